import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from lamella.awsapi.serialize import Serializer, WireResponse, serialize_error
from lamella.awsapi.spec import ServiceSpec
from lamella.domain import _api_errors, errors

ID = ("x-amzn-RequestId", "r-1")
JSON = ("Content-Type", "application/json")


@pytest.fixture(scope="module")
def serializer(spec: ServiceSpec) -> Serializer:
    return Serializer(spec)


def test_invoke(serializer: Serializer) -> None:
    result = {
        "StatusCode": 200,
        "Payload": b'{"a": 1}',
        "FunctionError": "Unhandled",
        "LogResult": None,
        "ExecutedVersion": "1",
    }
    assert serializer.serialize("Invoke", result, "r-1") == WireResponse(
        200, (ID, JSON, ("X-Amz-Function-Error", "Unhandled"), ("X-Amz-Executed-Version", "1")), b'{"a": 1}'
    )


def test_invoke_without_payload(serializer: Serializer) -> None:
    assert serializer.serialize("Invoke", {"StatusCode": 202}, "r-1") == WireResponse(202, (ID, JSON), b"")


def test_a_dry_run_has_no_body(serializer: Serializer) -> None:
    result = {"StatusCode": 204, "ExecutedVersion": "1"}
    assert serializer.serialize("Invoke", result, "r-1") == WireResponse(
        204, (ID, ("X-Amz-Executed-Version", "1")), b""
    )


def test_the_status_of_the_model(serializer: Serializer) -> None:
    response = serializer.serialize("CreateFunction", {"FunctionName": "f"}, "r-1")
    assert response == WireResponse(201, (ID, JSON), b'{"FunctionName":"f"}')


def test_operations_without_output(serializer: Serializer) -> None:
    assert serializer.serialize("TagResource", {}, "r-1") == WireResponse(204, (ID,), b"")


def test_a_status_given_by_the_handler(serializer: Serializer) -> None:
    assert serializer.serialize("DeleteFunction", {"StatusCode": 204}, "r-1") == WireResponse(204, (ID,), b"")
    assert serializer.serialize("DeleteFunction", {}, "r-1") == WireResponse(200, (ID, JSON), b"{}")


def test_members_follow_the_model_and_none_is_left_out(serializer: Serializer) -> None:
    result = {
        "Tags": {"a": "ü"},
        "Configuration": {
            "Timeout": 3,
            "FunctionName": "f",
            "Description": None,
            "Layers": [{"Arn": "x", "CodeSize": 1}],
        },
        "Code": {"Location": "http://x"},
        "Concurrency": None,
    }
    response = serializer.serialize("GetFunction", result, "r-1")
    assert response.body.decode() == (
        '{"Configuration":{"FunctionName":"f","Timeout":3,"Layers":[{"Arn":"x","CodeSize":1}]},'
        '"Code":{"Location":"http://x"},"Tags":{"a":"ü"}}'
    )


@pytest.mark.parametrize(
    "result", [{"Nonsense": 1}, {"Configuration": {"Nonsense": 1}}, {"Configuration": {"Layers": [{"Nonsense": 1}]}}]
)
def test_members_the_model_does_not_know_are_our_bug(serializer: Serializer, result: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="has no member Nonsense"):
        serializer.serialize("GetFunction", result, "r-1")


def test_times_are_seconds(serializer: Serializer) -> None:
    moments = [datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 0, 0, 123_456, tzinfo=UTC)]
    bodies = [serializer.serialize("GetEventSourceMapping", {"LastModified": moment}, "r").body for moment in moments]
    assert bodies == [b'{"LastModified":1767225600}', b'{"LastModified":1767225600.123}']


SHAPES: dict[str, Any] = {
    "B": {"type": "blob"},
    "Tree": {"type": "structure", "members": {"Next": {"shape": "Tree"}, "Data": {"shape": "B"}}},
    "N": {"type": "integer"},
}


def test_blobs_and_shapes_that_refer_to_themselves(made_spec: Callable[..., ServiceSpec]) -> None:
    serializer = Serializer(made_spec(uri="/do", shapes=SHAPES, give={"members": {"Tree": {"shape": "Tree"}}}))
    response = serializer.serialize("Do", {"Tree": {"Next": {"Data": b"PK"}}}, "r")
    assert json.loads(response.body) == {"Tree": {"Next": {"Data": "UEs="}}}


@pytest.mark.parametrize(
    "give",
    [
        {"members": {"Size": {"shape": "N", "location": "header", "locationName": "x-size"}}},
        {"members": {"Tree": {"shape": "Tree"}}, "payload": "Tree"},
    ],
)
def test_what_no_operation_needs_is_refused_loudly(made_spec: Callable[..., ServiceSpec], give: dict[str, Any]) -> None:
    with pytest.raises(NotImplementedError, match=r"Do\."):
        Serializer(made_spec(uri="/do", shapes=SHAPES, give=give)).serialize("Do", {}, "r")


class Events:
    """An event stream as handlers give it."""

    def __init__(self, *events: dict[str, Any]) -> None:
        self.left = list(events)
        self.closed = False

    async def __anext__(self) -> dict[str, Any]:
        if not self.left:
            raise StopAsyncIteration
        return self.left.pop(0)

    async def aclose(self) -> None:
        self.closed = True


async def test_an_event_stream(serializer: Serializer) -> None:
    events = Events({"PayloadChunk": {"Payload": b"a"}}, {"InvokeComplete": {"ErrorCode": None}})
    result = {
        "StatusCode": 200,
        "ExecutedVersion": "1",
        "ResponseStreamContentType": "text/html",
        "EventStream": events,
    }
    response = serializer.serialize("InvokeWithResponseStream", result, "r-1")
    assert response.status == 200
    assert response.headers == (
        ID,
        ("Content-Type", "application/vnd.amazon.eventstream"),
        ("X-Amz-Executed-Version", "1"),
        ("X-Amzn-Remapped-Content-Type", "text/html"),
    )
    stream = response.stream
    assert stream is not None
    pieces = [piece async for piece in stream]
    assert [b"PayloadChunk" in piece for piece in pieces] == [True, False]
    assert b"application/json\r:message-type\x07\x00\x05event{}" in pieces[1]
    await stream.aclose()
    assert events.closed


def test_a_status_without_a_body_has_no_stream(serializer: Serializer) -> None:
    response = serializer.serialize("InvokeWithResponseStream", {"StatusCode": 204}, "r-1")
    assert response == WireResponse(204, (ID,), b"")


@pytest.mark.parametrize(
    ("error", "status", "headers", "body"),
    [
        (
            _api_errors.ResourceNotFoundException("Function not found: arn"),
            404,
            (("x-amzn-ErrorType", "ResourceNotFoundException"),),
            b'{"Type":"User","Message":"Function not found: arn"}',
        ),
        (
            _api_errors.ResourceConflictException("busy"),
            409,
            (("x-amzn-ErrorType", "ResourceConflictException"),),
            b'{"Type":"User","message":"busy"}',
        ),
        (
            _api_errors.ServiceException("oh"),
            500,
            (("x-amzn-ErrorType", "ServiceException"),),
            b'{"Type":"Service","Message":"oh"}',
        ),
        (
            _api_errors.TooManyRequestsException(
                "Rate exceeded", retry_after_seconds="1", reason="CallerRateLimitExceeded"
            ),
            429,
            (("x-amzn-ErrorType", "TooManyRequestsException"), ("Retry-After", "1")),
            b'{"Type":"User","message":"Rate exceeded","Reason":"CallerRateLimitExceeded"}',
        ),
        (
            _api_errors.EC2UnexpectedException("oh", ec2_error_code="E"),
            502,
            (("x-amzn-ErrorType", "EC2UnexpectedException"),),
            b'{"Type":"Service","Message":"oh","EC2ErrorCode":"E"}',
        ),
        (
            errors.ValidationException("1 validation error"),
            400,
            (("x-amzn-ErrorType", "ValidationException"),),
            b'{"message":"1 validation error"}',
        ),
        (errors.SerializationException(), 400, (("x-amzn-ErrorType", "SerializationException"),), b"{}"),
        (
            errors.OperationNotImplementedError("GetAlias", "no aliases"),
            501,
            (("x-amzn-ErrorType", "NotImplementedException"),),
            (
                b'{"Type":"Service","message":"Lamella does not implement GetAlias yet: no aliases. '
                b'See docs/reference/operations.md."}'
            ),
        ),
    ],
    ids=lambda value: value.code if isinstance(value, errors.ApiError) else "",
)
def test_errors(error: errors.ApiError, status: int, headers: tuple[tuple[str, str], ...], body: bytes) -> None:
    assert serialize_error(error, "r-1") == WireResponse(status, (ID, JSON, *headers), body)
