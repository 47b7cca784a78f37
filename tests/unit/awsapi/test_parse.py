import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from lamella.awsapi.parse import Parser, decode_json
from lamella.awsapi.route import Match
from lamella.awsapi.spec import ServiceSpec
from lamella.domain.errors import SerializationException


@pytest.fixture(scope="module")
def parser(spec: ServiceSpec) -> Parser:
    return Parser(spec)


def body_of(value: object) -> bytes:
    return json.dumps(value).encode()


def parse(
    parser: Parser,
    operation: str,
    *,
    labels: dict[str, str] | None = None,
    query: str = "",
    headers: list[tuple[str, str]] | None = None,
    body: bytes = b"",
) -> dict[str, Any]:
    return parser.parse(operation, Match(operation, labels or {}), query, headers or [], body)


FUNCTION = {"FunctionName": "f"}


def test_invoke(parser: Parser) -> None:
    headers = [("host", "x"), ("x-amz-invocation-type", "Event"), ("x-amz-log-type", ""), ("x-amz-tenant-id", "t")]
    params = parse(parser, "Invoke", labels=FUNCTION, query="Qualifier=live", headers=headers, body=b"{}")
    assert params == {
        "FunctionName": "f",
        "Qualifier": "live",
        "InvocationType": "Event",
        "TenantId": "t",
        "Payload": b"{}",
    }


def test_an_empty_payload_is_absent(parser: Parser) -> None:
    assert parse(parser, "Invoke", labels=FUNCTION) == FUNCTION


def test_the_first_of_repeated_headers_and_query_parameters_counts(parser: Parser) -> None:
    headers = [("x-amz-log-type", "None"), ("x-amz-log-type", "Tail")]
    params = parse(parser, "Invoke", labels=FUNCTION, query="Qualifier=1&Qualifier=2", headers=headers)
    assert params == {"FunctionName": "f", "Qualifier": "1", "LogType": "None"}


def test_a_body(parser: Parser) -> None:
    body = {
        "FunctionName": "f",
        "Code": {"ZipFile": "UEsDBA==", "Unknown": 1},
        "Timeout": 3,
        "Publish": True,
        "Environment": {"Variables": {"A": "b", "C": ""}},
        "Layers": ["arn"],
        "Description": None,
        "Unknown": {"deep": []},
    }
    assert parse(parser, "CreateFunction", body=body_of(body)) == {
        "FunctionName": "f",
        "Code": {"ZipFile": b"PK\x03\x04"},
        "Timeout": 3,
        "Publish": True,
        "Environment": {"Variables": {"A": "b", "C": ""}},
        "Layers": ["arn"],
    }


def test_an_empty_body_has_no_members(parser: Parser) -> None:
    assert parse(parser, "CreateFunction") == {}


def test_a_body_where_none_belongs_is_ignored(parser: Parser) -> None:
    assert parse(parser, "GetFunction", labels=FUNCTION, body=b"{") == FUNCTION


def test_null_elements_stay_for_validation_to_refuse(parser: Parser) -> None:
    body = body_of({"Layers": [None], "Environment": {"Variables": {"A": None}}})
    assert parse(parser, "CreateFunction", body=body) == {"Layers": [None], "Environment": {"Variables": {"A": None}}}


def test_lists_in_the_query(parser: Parser) -> None:
    params = parse(
        parser, "UntagResource", labels={"Resource": "arn"}, query="tagKeys=a&other=x&tagKeys=b%20c&tagKeys="
    )
    assert params == {"Resource": "arn", "TagKeys": ["a", "b c", ""]}


def test_numbers_and_booleans_and_times_in_the_query(parser: Parser) -> None:
    query = "MaxItems=20&ReverseOrder=TRUE&StartedAfter=2026-11-20T20%3A00%3A00Z&StartedBefore=1795204800"
    params = parse(parser, "ListDurableExecutionsByFunction", labels=FUNCTION, query=query)
    assert params == {
        "FunctionName": "f",
        "MaxItems": 20,
        "ReverseOrder": True,
        "StartedAfter": datetime(2026, 11, 20, 20, tzinfo=UTC),
        "StartedBefore": datetime(2026, 11, 20, 20, tzinfo=UTC),
    }
    assert parse(parser, "ListDurableExecutionsByFunction", labels=FUNCTION, query="ReverseOrder=false") == {
        "FunctionName": "f",
        "ReverseOrder": False,
    }


def test_numbers_in_the_path(parser: Parser) -> None:
    params = parse(parser, "GetLayerVersion", labels={"LayerName": "l", "VersionNumber": "12"})
    assert params == {"LayerName": "l", "VersionNumber": 12}


@pytest.mark.parametrize("text", ["x", "", "1.5", "٣", "--1", "9" * 20, "9" * 19])
def test_what_is_no_number_in_the_path(parser: Parser, text: str) -> None:
    with pytest.raises(SerializationException) as caught:
        parse(parser, "GetLayerVersion", labels={"LayerName": "l", "VersionNumber": text})
    assert caught.value.message.endswith("can not be converted to a Long")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("MaxItems=x", "STRING_VALUE can not be converted to an Integer"),
        ("ReverseOrder=1", "STRING_VALUE can not be converted to an Boolean"),
        ("StartedAfter=yesterday", "STRING_VALUE can not be converted to a Timestamp"),
        ("StartedAfter=inf", "STRING_VALUE can not be converted to a Timestamp"),
        ("StartedAfter=1e300", "NUMBER_VALUE can not be converted to a Timestamp"),
    ],
)
def test_wrong_types_in_the_query(parser: Parser, query: str, message: str) -> None:
    with pytest.raises(SerializationException) as caught:
        parse(parser, "ListDurableExecutionsByFunction", labels=FUNCTION, query=query)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"Timeout": "3"}, "STRING_VALUE can not be converted to an Integer"),
        ({"Timeout": True}, "TRUE_VALUE can not be converted to an Integer"),
        ({"Timeout": False}, "FALSE_VALUE can not be converted to an Integer"),
        ({"Timeout": [3]}, "Start of list found where not expected"),
        ({"Timeout": {}}, "Start of structure or map found where not expected."),
        ({"Timeout": 1 << 31}, "NUMBER_VALUE can not be converted to an Integer"),
        ({"FunctionName": 1}, "NUMBER_VALUE can not be converted to a String"),
        ({"FunctionName": 1.5}, "NUMBER_VALUE can not be converted to a String"),
        ({"FunctionName": True}, "TRUE_VALUE can not be converted to a String"),
        ({"FunctionName": ["x"]}, "Start of list found where not expected"),
        ({"Publish": "true"}, "STRING_VALUE can not be converted to an Boolean"),
        ({"Publish": 1}, "NUMBER_VALUE can not be converted to an Boolean"),
        ({"Layers": "x"}, "Expected list or null"),
        ({"Layers": {}}, "Start of structure or map found where not expected."),
        ({"Layers": [1]}, "NUMBER_VALUE can not be converted to a String"),
        ({"Layers": [["a"]]}, "Start of list found where not expected"),
        ({"Code": "x"}, "Expected null"),
        ({"Code": []}, "Start of list found where not expected"),
        ({"Code": {"ZipFile": 1}}, "NUMBER_VALUE can not be converted to a Blob"),
        ({"Code": {"ZipFile": "a"}}, "Could not decode base64"),
        ({"Code": {"ZipFile": "ü"}}, "Could not decode base64"),
        ({"Tags": "x"}, "Expected map or null"),
        ({"Tags": {"a": 1}}, "NUMBER_VALUE can not be converted to a String"),
        ([], "Start of list found where not expected"),
        ("x", "Expected null"),
        (1, "Expected null"),
        (None, "Expected null"),
    ],
)
def test_wrong_types_in_the_body(parser: Parser, body: object, message: str) -> None:
    with pytest.raises(SerializationException) as caught:
        parse(parser, "CreateFunction", body=body_of(body))
    assert caught.value.message == message


@pytest.mark.parametrize("body", [b"{", b"{'a': 1}", b"\xff{}", b'{"Timeout": NaN}', b"[" * 100_000, b"{} {}"])
def test_a_body_that_is_not_json(parser: Parser, body: bytes) -> None:
    with pytest.raises(SerializationException) as caught:
        parse(parser, "CreateFunction", body=body)
    assert caught.value.message.startswith("Could not parse request body into json: ")


def test_fractions_given_for_integers_are_cut_off(parser: Parser) -> None:
    assert parse(parser, "CreateFunction", body=b'{"Timeout": 3.9}') == {"Timeout": 3}


@pytest.mark.parametrize("size_bytes", [786_431, 786_432, 786_433, 2_000_000])
def test_blobs_that_are_decoded_in_pieces(parser: Parser, size_bytes: int) -> None:
    data = bytes(range(256)) * (size_bytes // 256 + 1)
    body = body_of({"Code": {"ZipFile": base64.b64encode(data[:size_bytes]).decode()}})
    assert parse(parser, "CreateFunction", body=body) == {"Code": {"ZipFile": data[:size_bytes]}}


def test_padding_between_pieces_is_refused(parser: Parser) -> None:
    text = "A" * ((1 << 20) - 4) + "AA==" + "AAAA"
    with pytest.raises(SerializationException, match="base64"):
        parse(parser, "CreateFunction", body=body_of({"Code": {"ZipFile": text}}))


def test_an_empty_blob(parser: Parser) -> None:
    assert parse(parser, "CreateFunction", body=b'{"Code": {"ZipFile": ""}}') == {"Code": {"ZipFile": b""}}


def test_a_structure_as_payload(parser: Parser) -> None:
    labels = {"DurableExecutionArn": "arn"}
    params = parse(parser, "StopDurableExecution", labels=labels, body=b'{"ErrorType": "E"}')
    assert params == {"DurableExecutionArn": "arn", "Error": {"ErrorType": "E"}}
    assert parse(parser, "StopDurableExecution", labels=labels) == labels


def test_decode_json_refuses_what_python_adds() -> None:
    with pytest.raises(ValueError, match="Infinity is not JSON"):
        decode_json(b"Infinity")


TIMES: dict[str, Any] = {
    "shapes": {
        "T": {"type": "timestamp"},
        "D": {"type": "double"},
        "Tree": {"type": "structure", "members": {"Next": {"shape": "Tree"}}},
    },
    "take": {"members": {"At": {"shape": "T"}, "Ratio": {"shape": "D"}, "Tree": {"shape": "Tree"}}},
}


@pytest.fixture(scope="module")
def made(made_spec: Callable[..., ServiceSpec]) -> Parser:
    return Parser(made_spec(uri="/do", **TIMES))


@pytest.mark.parametrize(
    ("given", "moment"),
    [
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (1.5, datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)),
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05+01:00", datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ],
)
def test_times_in_the_body(made: Parser, given: object, moment: datetime) -> None:
    assert parse(made, "Do", body=body_of({"At": given})) == {"At": moment}


def test_doubles(made: Parser) -> None:
    params = parse(made, "Do", body=b'{"Ratio": 1}')
    assert params == {"Ratio": 1.0}
    assert type(params["Ratio"]) is float
    for body in (b'{"Ratio": "1"}', b'{"Ratio": 1' + b"0" * 400 + b"}"):
        with pytest.raises(SerializationException, match="a Double"):
            parse(made, "Do", body=body)


def test_shapes_that_refer_to_themselves(made: Parser) -> None:
    tree = {"Tree": {"Next": {"Next": {}}}}
    assert parse(made, "Do", body=body_of(tree)) == tree


def test_an_operation_without_parameters(made_spec: Callable[..., ServiceSpec]) -> None:
    assert parse(Parser(made_spec(uri="/do")), "Do", query="a=b", body=b"x") == {}


def test_a_location_without_support_is_refused_loudly(made_spec: Callable[..., ServiceSpec]) -> None:
    shapes = {"M": {"type": "map", "key": {"shape": "S"}, "value": {"shape": "S"}}}
    take = {"members": {"All": {"shape": "M", "location": "headers", "locationName": "x-"}}}
    with pytest.raises(NotImplementedError, match=r"Do\.All"):
        parse(Parser(made_spec(uri="/do", shapes=shapes, take=take)), "Do")
