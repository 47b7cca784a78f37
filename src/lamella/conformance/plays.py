"""Which steps belong together: those of each scenario about events."""

import json
from typing import Final

from lamella.conformance.api import trace_id
from lamella.conformance.invocations import Step
from lamella.conformance.steps import (
    NESTED,
    Context,
    Echo,
    HandlerError,
    Headers,
    LargeEvent,
    LargeResponse,
    Leak,
    Null,
    Print,
    Refused,
    Reuse,
    Survived,
    Trace,
)


def event_steps() -> list[Step]:
    """Events of all kinds, as invokers send them."""
    return [
        Echo("event-intact", "a nested event", NESTED),
        Null(),
        Trace(present=True),
        Trace(present=False),
        Context(),
        Print(),
        HandlerError(),
        Headers("header-case", "an event with header names in small letters", lower=True),
        Headers("header-all", "an event with all headers", headers=_ALL_HEADERS),
        Reuse(),
    ]


def harsh_steps() -> list[Step]:
    """Events that end fragile runtimes; each is followed by a start if it does."""
    bare = {"Lambda-Runtime-Deadline-Ms": None, "Lambda-Runtime-Invoked-Function-Arn": None}
    return [
        Headers("header-trace", "an event without a trace id", headers={"Lambda-Runtime-Trace-Id": None}),
        Headers("header-optional", "an event with the id alone", headers={"Lambda-Runtime-Trace-Id": None, **bare}),
        Survived("empty-event", "an empty event", b""),
        Survived("text-event", "an event that is not JSON", b"{not JSON"),
        Survived("binary-event", "an event that is not text", bytes(range(256))),
        Headers("chunked-event", "an event in chunks", unusual=True, chunked=True),
        Headers("connection-close", "an event after which the connection is closed", unusual=True, close=True),
        Step(),
    ]


def large_steps() -> list[Step]:
    """Much at once."""
    return [LargeEvent(), LargeResponse()]


def refused_steps() -> list[Step]:
    """Answers that are refused."""
    return [
        Refused("refused-size", "an event whose answer is too large", 413, "RequestEntityTooLarge"),
        Refused("refused-late", "an event whose answer comes too late", 400, "InvalidRequestID"),
        Refused("refused-state", "an event whose answer is not allowed", 403, "InvalidStateTransition"),
    ]


def many_steps() -> list[Step]:
    """So many events that what is not closed shows."""
    # Runtimes grow in their first events: pools of threads and connections.
    warm_up: list[Step] = [Step() for _ in range(3)]
    return [*warm_up, Leak(last=False), *(Step() for _ in range(12)), Leak(last=True)]


# As AWS's mobile SDKs send it; AWS's Rust client ends if one of these is missing.
_MOBILE_CLIENT: Final = {
    "installation_id": "i",
    "app_title": "t",
    "app_version_name": "1.0",
    "app_version_code": "1",
    "app_package_name": "p",
}
_ALL_HEADERS: Final = {
    "Lambda-Runtime-Client-Context": json.dumps({"client": _MOBILE_CLIENT, "custom": {"k": "v"}, "env": {}}),
    "Lambda-Runtime-Cognito-Identity": '{"cognitoIdentityId":"us-east-1:1","cognitoIdentityPoolId":"us-east-1:2"}',
    "Lambda-Runtime-Aws-Tenant-Id": "tenant",
    "Lambda-Runtime-Trace-Id": f"{trace_id(1)};Lineage=1:abcdef12:0",
    "Lambda-Runtime-Of-The-Future": "new; value=1",
}
