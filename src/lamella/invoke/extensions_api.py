"""HTTP of the Extensions API, version 2020-01-01, and of the two APIs to subscribe to telemetry: requests to events.

Sections 3 and 5.1 of the contract. A request is judged here by its form alone; whether it is legal now is for the state
machines to say.
"""

import json
import re
import uuid
from dataclasses import dataclass
from typing import Final, Protocol

from lamella.httpserver.server import Exchange
from lamella.invoke.answers import ACCEPTED, ACCEPTED_HEAD, JSON, refuse, wrong_method
from lamella.invoke.telemetry_api import ACCEPTED as SUBSCRIBED
from lamella.invoke.telemetry_api import ACCEPTED_TYPE as SUBSCRIBED_TYPE
from lamella.invoke.telemetry_api import API_OF_PATH, TelemetryApiError, parse_subscription
from lamella.lifecycle.commands import ShutdownReason
from lamella.lifecycle.events import (
    Event,
    ExtensionExitErrorPosted,
    ExtensionInitErrorPosted,
    ExtensionRefusedError,
    ExtensionRegistered,
    TransitionError,
)
from lamella.lifecycle.telemetry_events import Subscription

BASE: Final = "/2020-01-01/extension/"
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FunctionFacts:
    """What an extension is told of the function when it registers (EX-10)."""

    name: str
    version: str
    handler: str
    account: str


class ExtensionsApiHost(Protocol):
    """The execution environment behind the API."""

    facts: FunctionFacts

    def post(self, event: Event) -> None:
        """Take what an extension says.

        Raises:
            ExtensionRefusedError: It cannot have what it asks for.
            TransitionError: Not legal now.
        """

    def poll_extension(self, identifier: str, exchange: Exchange) -> None:
        """Take an `event/next`: answer it now or later.

        Raises:
            ExtensionRefusedError: There is no such extension.
            TransitionError: Not legal now.
        """

    def subscribe(self, identifier: str, subscription: Subscription) -> None:
        """Take a subscription to telemetry.

        Raises:
            ExtensionRefusedError: There is no such extension.
            TelemetryApiError: It cannot be had now.
        """

    def refused(self, method: str, path: str, status: int, error_type: str) -> None:
        """Take note of a call that was answered with an error."""

    def check_extension(self, identifier: str) -> None:
        """Make sure that there is such an extension.

        Raises:
            ExtensionRefusedError: There is none.
        """


class ExtensionsApi:
    """Answers the calls of all extensions of one environment."""

    __slots__ = ("_host",)

    def __init__(self, host: ExtensionsApiHost) -> None:
        self._host = host

    def handle(self, exchange: Exchange) -> bool:
        """Answer one call; False if its path is none of ours."""
        path = exchange.request.path
        if path in API_OF_PATH:
            method, answer = "PUT", ExtensionsApi.subscribe
        elif path.startswith(BASE) and path[len(BASE) :] in _ROUTES:
            method, answer = _ROUTES[path[len(BASE) :]]
        else:
            return False
        if exchange.request.method != method:
            wrong_method(exchange, method)
            return True
        try:
            answer(self, exchange)
        except ExtensionRefusedError as error:
            self._refuse(exchange, 403, error.error_type, str(error))
        except TelemetryApiError as error:
            self._refuse(exchange, error.status, error.error_type, str(error))
        except TransitionError as error:
            self._refuse(exchange, 403, "Extension.InvalidExtensionState", str(error))
        return True

    def _refuse(self, exchange: Exchange, status: int, error_type: str, message: str) -> None:
        self._host.refused(exchange.request.method, exchange.request.path, status, error_type)
        refuse(exchange, status, error_type, message)

    def register(self, exchange: Exchange) -> None:
        """`POST /register` (3.2). The content type is not looked at (EX-11)."""
        request = exchange.request
        name = request.header("lambda-extension-name")
        if not name:
            raise ExtensionRefusedError("Extension.InvalidExtensionName", "Empty extension name")
        event = ExtensionRegistered(str(uuid.uuid4()), name, _events(request.body))
        self._host.post(event)
        facts = self._host.facts
        document = {"functionName": facts.name, "functionVersion": facts.version, "handler": facts.handler}
        features = request.header("lambda-extension-accept-feature").split(",")
        if "accountId" in (feature.strip() for feature in features):
            document["accountId"] = facts.account
        body = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
        exchange.respond(200, (*JSON, ("Lambda-Extension-Identifier", event.identifier)), body)

    def next_event(self, exchange: Exchange) -> None:
        """`GET /event/next` (3.3)."""
        self._host.poll_extension(_identifier(exchange), exchange)

    def init_error(self, exchange: Exchange) -> None:
        """`POST /init/error` (3.4)."""
        identifier, error_type = _failure(exchange)
        self._fail(exchange, ExtensionInitErrorPosted(identifier, error_type))

    def exit_error(self, exchange: Exchange) -> None:
        """`POST /exit/error` (3.4)."""
        identifier, error_type = _failure(exchange)
        self._fail(exchange, ExtensionExitErrorPosted(identifier, error_type))

    def subscribe(self, exchange: Exchange) -> None:
        """`PUT /2022-07-01/telemetry` and `PUT /2020-08-15/logs` (5.1)."""
        request = exchange.request
        identifier = _identifier(exchange)
        self._host.check_extension(identifier)
        subscription = parse_subscription(API_OF_PATH[request.path], request.body)
        self._host.subscribe(identifier, subscription)
        exchange.respond(200, (("Content-Type", SUBSCRIBED_TYPE),), SUBSCRIBED)

    def _fail(self, exchange: Exchange, event: Event) -> None:
        try:
            self._host.post(event)
        except ExtensionRefusedError as error:
            # These two routes word it otherwise than `event/next` does.
            raise ExtensionRefusedError(error.error_type, "Unknown Lambda-Extension-Identifier") from None
        exchange.respond_raw(ACCEPTED_HEAD, ACCEPTED)


_ROUTES: Final = {
    "register": ("POST", ExtensionsApi.register),
    "event/next": ("GET", ExtensionsApi.next_event),
    "init/error": ("POST", ExtensionsApi.init_error),
    "exit/error": ("POST", ExtensionsApi.exit_error),
}


def invoke_event(
    *, request_id: str, function_arn: str, trace_id: str, deadline_ms: int
) -> tuple[tuple[tuple[str, str], ...], bytes]:
    """Headers and body of the INVOKE event (3.3, EX-30)."""
    document: dict[str, object] = {
        "eventType": "INVOKE",
        "deadlineMs": deadline_ms,
        "requestId": request_id,
        "invokedFunctionArn": function_arn,
    }
    if trace_id:
        document["tracing"] = {"type": "X-Amzn-Trace-Id", "value": trace_id}
    return _event(document)


def shutdown_event(reason: ShutdownReason, *, deadline_ms: int) -> tuple[tuple[tuple[str, str], ...], bytes]:
    """Headers and body of the SHUTDOWN event (3.3, EX-31)."""
    return _event({"eventType": "SHUTDOWN", "deadlineMs": deadline_ms, "shutdownReason": str(reason)})


def _event(document: dict[str, object]) -> tuple[tuple[tuple[str, str], ...], bytes]:
    headers = (*JSON, ("Lambda-Extension-Event-Identifier", str(uuid.uuid4())))
    return headers, json.dumps(document, separators=(",", ":")).encode()


def _events(body: bytes) -> tuple[str, ...]:
    """What a registration asks for (EX-11, EX-13 to EX-15)."""
    if not body.strip():
        raise _malformed("unexpected end of JSON input")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _malformed(str(error)) from None
    if not isinstance(document, dict):
        raise _malformed('the body must be an object such as {"events":["INVOKE"]}')
    if document.get("configurationKeys"):
        raise _malformed("configurationKeys are deprecated; use environment variables instead")
    events = document.get("events") or []
    if not isinstance(events, list) or not all(isinstance(event, str) for event in events):
        raise _malformed("events must be a list of texts")
    return tuple(events)


def _malformed(message: str) -> ExtensionRefusedError:
    return ExtensionRefusedError("InvalidRequestFormat", message)


def _identifier(exchange: Exchange) -> str:
    """The caller's identifier (EX-37, EX-38)."""
    identifier = exchange.request.header("lambda-extension-identifier")
    if not identifier:
        text = "Missing Lambda-Extension-Identifier header"
        raise ExtensionRefusedError("Extension.MissingExtensionIdentifier", text)
    if not _UUID.fullmatch(identifier):
        raise ExtensionRefusedError("Extension.InvalidExtensionIdentifier", "Invalid Lambda-Extension-Identifier")
    return identifier.lower()


def _failure(exchange: Exchange) -> tuple[str, str]:
    """Who reports a failure, and its type (3.4)."""
    identifier = _identifier(exchange)
    error_type = exchange.request.header("lambda-extension-function-error-type")
    if not error_type:
        text = "Lambda-Extension-Function-Error-Type not found"
        raise ExtensionRefusedError("Extension.MissingHeader", text)
    return identifier, error_type
