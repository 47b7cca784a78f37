"""What our serialiser writes is what botocore's parser reads: every operation, with generated results."""

import io
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
from botocore.awsrequest import HeadersDict
from botocore.loaders import Loader
from botocore.model import ServiceModel, Shape
from botocore.parsers import create_parser
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lamella.awsapi.serialize import Serializer
from lamella.awsapi.spec import ServiceSpec

MODEL = ServiceModel(Loader().load_service_model("lambda", "service-2"), "lambda")
SERIALIZER = Serializer(ServiceSpec.load())

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
HEADER = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=8)
MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
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


def results(operation: str) -> st.SearchStrategy[dict[str, Any]]:
    shape = MODEL.operation_model(operation).output_shape
    if shape is None:
        return st.just({})
    needed, optional = {}, {}
    for name, member in shape.members.items():
        match member.serialization.get("location"):
            case "statusCode":
                needed[name] = st.sampled_from([200, 201, 202])
            case "header":
                optional[name] = HEADER
            case _ if name == shape.serialization.get("payload"):
                needed[name] = st.binary(max_size=8)  # botocore gives it even if nothing was sent
            case _:
                optional[name] = values(member)
    return st.fixed_dictionaries(needed, optional=optional)


def members_of(shape: Shape | None) -> list[Shape]:
    return [] if shape is None else list(shape.members.values())


def without_microseconds(value: Any) -> Any:
    """botocore reads fractions of seconds through floats, a microsecond more or less."""
    match value:
        case datetime():
            return round(value.timestamp(), 3)
        case dict():
            return {key: without_microseconds(item) for key, item in value.items()}
        case list():
            return [without_microseconds(item) for item in value]
        case _:
            return value


@pytest.mark.parametrize(
    "operation", [name for name in MODEL.operation_names if not MODEL.operation_model(name).has_event_stream_output]
)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors])
@given(data=st.data())
def test_botocore_reads_what_the_serialiser_writes(operation: str, data: st.DataObject) -> None:
    result = data.draw(results(operation))
    response = SERIALIZER.serialize(operation, result, "r-1")
    model = MODEL.operation_model(operation)
    body = io.BytesIO(response.body) if model.has_streaming_output else response.body
    parsed = create_parser("rest-json").parse(
        {"status_code": response.status, "headers": HeadersDict(response.headers), "body": body},
        model.output_shape,
    )
    if model.has_streaming_output:
        parsed["Payload"] = parsed["Payload"].read()
    metadata = parsed.pop("ResponseMetadata")
    assert (metadata["RequestId"], metadata["HTTPStatusCode"]) == ("r-1", response.status)
    assert without_microseconds(parsed) == without_microseconds(result)
    if all(member.serialization.get("location") != "statusCode" for member in members_of(model.output_shape)):
        assert response.status == model.http["responseCode"]
