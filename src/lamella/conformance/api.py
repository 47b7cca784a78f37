"""The Runtime API as scenarios speak it: what a call is, and the answers that the service gives."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from lamella.conformance.play import Answer, Call, Headers

_INVOCATION: Final = re.compile(r"/2018-06-01/runtime/invocation/([^/]*)/(response|error)")
_JSON: Final = ("Content-Type", "application/json")
FUNCTION_ARN: Final = "arn:aws:lambda:us-east-1:000000000000:function:verify"


class Kind(Enum):
    """What a runtime asks for."""

    NEXT = auto()
    RESPONSE = auto()
    ERROR = auto()
    INIT_ERROR = auto()
    REGISTER = auto()  # an internal extension: clients register one so that they are sent SIGTERM
    EXTENSION_NEXT = auto()
    METADATA = auto()
    OTHER = auto()


_PATHS: Final = {
    ("GET", "/2018-06-01/runtime/invocation/next"): Kind.NEXT,
    ("POST", "/2018-06-01/runtime/init/error"): Kind.INIT_ERROR,
    ("POST", "/2020-01-01/extension/register"): Kind.REGISTER,
    ("GET", "/2020-01-01/extension/event/next"): Kind.EXTENSION_NEXT,
    ("GET", "/2026-01-15/metadata/execution-environment"): Kind.METADATA,
}


def kind_of(call: Call) -> tuple[Kind, str]:
    """What a call is, and the request id in its path."""
    match = _INVOCATION.fullmatch(call.path)
    if match is not None and call.method == "POST":
        return (Kind.RESPONSE if match[2] == "response" else Kind.ERROR), match[1]
    return _PATHS.get((call.method, call.path), Kind.OTHER), ""


@dataclass(frozen=True, slots=True)
class Sent:
    """An event as `next` gives it.

    Attributes:
        headers: In place of the usual ones, or beside them; `None` leaves one out.
        lower: Send the names of headers in lower case.
        chunked, close: As of `Answer`.
    """

    payload: bytes = b"{}"
    headers: Mapping[str, str | None] = field(default_factory=dict)
    lower: bool = False
    chunked: bool = False
    close: bool = False


def trace_id(number: int) -> str:
    """The trace header of an event."""
    return f"Root=1-5759e988-{number:024x};Parent=53995c3f42cd8ad8;Sampled=1"


def request_id(number: int) -> str:
    """The request id of an event."""
    return f"8476a536-e9f4-11e8-9739-{number:012x}"


def event_answer(call: Call, sent: Sent, number: int, deadline_ms: int) -> Answer:
    """The answer to `next` that hands out an event (RT-21)."""
    headers: dict[str, str | None] = {
        "Content-Type": "application/json",
        "Lambda-Runtime-Aws-Request-Id": request_id(number),
        "Lambda-Runtime-Deadline-Ms": str(deadline_ms),
        "Lambda-Runtime-Invoked-Function-Arn": FUNCTION_ARN,
        "Lambda-Runtime-Trace-Id": trace_id(number),
        **sent.headers,
    }
    shown: Headers = tuple(
        (name.lower() if sent.lower else name, value) for name, value in headers.items() if value is not None
    )
    return Answer(call, 200, shown, sent.payload, chunked=sent.chunked, close=sent.close)


def accepted(call: Call) -> Answer:
    """RT-09."""
    return Answer(call, 202, (_JSON,), b'{"status":"OK"}\n')


def refused(call: Call, status: int, error_type: str, message: str) -> Answer:
    """RT-08."""
    body = json.dumps({"errorMessage": message, "errorType": error_type}, separators=(",", ":"))
    return Answer(call, status, (_JSON,), f"{body}\n".encode())


def invalid_id(call: Call) -> Answer:
    """RT-31."""
    return refused(call, 400, "InvalidRequestID", "Invalid request ID")


def not_allowed(call: Call, state: str, to: str) -> Answer:
    """Section 2.8."""
    text = f"State transition from {state} to {to} failed for runtime. Error: State transition is not allowed"
    return refused(call, 403, "InvalidStateTransition", text)


def answer_aside(call: Call, kind: Kind) -> Answer | None:
    """The answer to what is not about events; `None` for a call that waits for ever."""
    match kind:
        case Kind.EXTENSION_NEXT:
            return None
        case Kind.REGISTER:
            identifier = ("Lambda-Extension-Identifier", "3fa85f64-5717-4562-b3fc-2c963f66afa6")
            body = b'{"functionName":"verify","functionVersion":"$LATEST","handler":"verify.handler"}\n'
            return Answer(call, 200, (_JSON, identifier), body)
        case Kind.METADATA:
            return Answer(call, 200, (_JSON,), b'{"AvailabilityZoneID":"use1-az1"}')
        case _:
            headers = (("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff"))
            return Answer(call, 404, headers, b"404 page not found\n")
