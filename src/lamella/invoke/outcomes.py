"""What destinations and dead-letter queues are told of an event.

Source: developer guide, "Capturing records of Lambda asynchronous invocations"; records and messages of AWS in
LocalStack's tests, 2022 to 2024.
"""

import json
from typing import Final

from lamella.domain.event import Condition, EventRecord, Response, Target
from lamella.domain.function import LATEST
from lamella.invoke.envelope import timestamp
from lamella.ports.destinations import Message

_MAX_ERROR_BYTES: Final = 1024
_THROTTLED: Final = "Rate Exceeded."
_ZERO: Final = "Function not invoked. Function is configured with zero reserved concurrent executions"


def message(record: EventRecord, target: Target) -> Message:
    """What is sent to one of those who are to be told."""
    event, progress = record.event, record.progress
    return Message(
        key=event.key,
        function_arn=event.key.arn(event.qualifier or LATEST),
        target_arn=target.arn,
        body=event.payload if target.dead_letter else invocation_record(record),
        succeeded=progress.condition is Condition.SUCCESS,
        request_id=event.request_id,
        when_s=progress.decided_s,
        attributes=_attributes(record) if target.dead_letter else {},
    )


def invocation_record(record: EventRecord) -> bytes:
    """The record of a finished invocation, as JSON. An event that no function has seen has no response in it."""
    event, progress, response = record.event, record.progress, record.response
    head = {
        "version": "1.0",
        "timestamp": timestamp(progress.decided_s),
        "requestContext": {
            "requestId": event.request_id,
            "functionArn": event.key.arn(event.qualifier or LATEST),
            "condition": progress.condition,
            "approximateInvokeCount": progress.attempts,
        },
    }
    # Payloads go in as they came: what Python would make of their numbers is not what the function got.
    parts = [_encode(head)[:-1], b',"requestPayload":', event.payload.strip() or b"null"]
    if response is not None:
        context = {"statusCode": 200, "executedVersion": response.executed_version}
        if response.error is not None:
            context["functionError"] = response.error
        parts += [b',"responseContext":', _encode(context), b',"responsePayload":', _as_json(response.payload)]
    return b"".join([*parts, b"}"])


def error_message(response: Response | None) -> str:
    """The first 1 KB of the `errorMessage` of a function; empty if it gave none."""
    try:
        document = json.loads(response.payload) if response is not None else None
    except (ValueError, RecursionError):
        document = None
    text = document.get("errorMessage") if isinstance(document, dict) else None
    return text.encode(errors="replace")[:_MAX_ERROR_BYTES].decode(errors="ignore") if isinstance(text, str) else ""


def _attributes(record: EventRecord) -> dict[str, tuple[str, str]]:
    """`ErrorCode` is the status of the invocation, which is 200 if the function has answered, with whatever."""
    attributes = {"RequestID": ("String", record.event.request_id)}
    if record.progress.condition is Condition.ZERO_CONCURRENCY:
        return {**attributes, "ErrorMessage": ("String", _ZERO)}
    if record.response is None:
        return {**attributes, "ErrorCode": ("Number", "429"), "ErrorMessage": ("String", _THROTTLED)}
    attributes["ErrorCode"] = ("Number", "200")
    if text := error_message(record.response):  # queues refuse attributes that are empty
        attributes["ErrorMessage"] = ("String", text)
    return attributes


def _as_json(payload: bytes) -> bytes:
    """A response as it is if it is JSON, and else as a string: a custom runtime may answer with anything."""
    try:
        json.loads(payload)
    except (ValueError, RecursionError):
        return _encode(payload.decode(errors="replace"))
    return payload


def _encode(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
