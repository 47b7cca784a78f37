"""What botocore's serialiser sends is what our parser reads: every operation, with generated parameters."""

from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.awsrequest import AWSPreparedRequest, create_request_object, prepare_request_dict
from botocore.loaders import Loader
from botocore.model import ServiceModel, Shape
from botocore.serialize import create_serializer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lamella.awsapi.parse import Parser
from lamella.awsapi.route import Router
from lamella.awsapi.spec import ServiceSpec

MODEL = ServiceModel(Loader().load_service_model("lambda", "service-2"), "lambda")
SPEC = ServiceSpec.load()
PARSER = Parser(SPEC)
ROUTER = Router(SPEC)
SERIALIZER = create_serializer("rest-json", include_validation=False)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
HEADER = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=8)
MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(
    lambda moment: moment.replace(microsecond=0)
)
SCALARS = {
    "string": TEXT,
    "boolean": st.booleans(),
    "integer": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "double": st.floats(allow_nan=False, allow_infinity=False),
    "blob": st.binary(max_size=8),
    "timestamp": MOMENTS,
}


@cache
def values(shape: Shape) -> st.SearchStrategy[Any]:
    match shape.type_name:
        case "structure":
            return st.fixed_dictionaries({}, optional={name: values(member) for name, member in shape.members.items()})
        case "list":
            return st.lists(values(shape.member), max_size=2)
        case "map":
            return st.dictionaries(TEXT, values(shape.value), max_size=2)
        case other:
            return SCALARS[other]


def parameters(operation: str) -> st.SearchStrategy[dict[str, Any]]:
    shape = MODEL.operation_model(operation).input_shape
    needed, optional = {}, {}
    for name, member in shape.members.items():
        match member.serialization.get("location"), member.type_name:
            case "uri", "string":
                # A label is never empty, and botocore's URLs normalise dots.
                needed[name] = TEXT.filter(lambda text: text and text not in {".", ".."})
            case "uri", _:
                needed[name] = values(member)
            case "header", _:
                optional[name] = HEADER
            case "querystring", "list":
                optional[name] = st.lists(TEXT, min_size=1, max_size=3)  # an empty one leaves no trace
            case None, "blob" if name == shape.serialization.get("payload"):
                optional[name] = st.binary(min_size=1, max_size=8)  # likewise
            case None, "structure" if name == shape.serialization.get("payload"):
                needed[name] = values(member)  # botocore sends an empty one for none
            case _:
                optional[name] = values(member)
    return st.fixed_dictionaries(needed, optional=optional)


def request_of(operation: str, params: dict[str, Any]) -> AWSPreparedRequest:
    request = SERIALIZER.serialize_to_request(params, MODEL.operation_model(operation))
    prepare_request_dict(request, endpoint_url="http://localhost:4566", context={})
    return create_request_object(request).prepare()


@pytest.mark.parametrize("operation", list(MODEL.operation_names))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors])
@given(data=st.data())
def test_the_parser_reads_what_botocore_writes(operation: str, data: st.DataObject) -> None:
    params = data.draw(parameters(operation))
    request = request_of(operation, params)
    url = urlsplit(request.url)
    match = ROUTER.match(request.method, url.path, url.query)
    assert match is not None
    assert match.operation == operation
    headers = [
        (name.lower(), value.decode() if isinstance(value, bytes) else value) for name, value in request.headers.items()
    ]
    body = request.body or b""
    body = body if isinstance(body, bytes) else body.encode()
    assert PARSER.parse(operation, match, url.query, headers, body) == params
