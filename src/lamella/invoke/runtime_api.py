"""HTTP of the Runtime API, version 2018-06-01 (sections 1 and 2 of the contract): requests to events, and back.

A request is judged here by its form alone; whether it is legal now is for the state machines to say.
"""

import json
import re
from typing import Final, Protocol

from lamella.domain.errors import FunctionErrorType
from lamella.domain.invocation import Invocation
from lamella.domain.quotas import SYNCHRONOUS_PAYLOAD
from lamella.httpserver.message import Answer, Buffered, Refusal, Request, Streamed
from lamella.httpserver.server import Exchange
from lamella.lifecycle.events import (
    ErrorPosted,
    Event,
    InitErrorPosted,
    ProtocolError,
    ResponsePosted,
    ResponseRefused,
    TransitionError,
)

_NEXT: Final = "/2018-06-01/runtime/invocation/next"
_INVOCATION: Final = "/2018-06-01/runtime/invocation/"
_INIT_ERROR: Final = "/2018-06-01/runtime/init/error"
_PING: Final = "/2018-06-01/ping"
_METADATA: Final = "/2026-01-15/metadata/execution-environment"

_JSON: Final = (("Content-Type", "application/json"),)
_ACCEPTED: Final = b'{"status":"OK"}\n'
_ACCEPTED_HEAD: Final = b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n"
_CAUSE_TYPE: Final = "application/vnd.aws.lambda.error.cause+json"
_KNOWN_ERROR: Final = re.compile(r"(Runtime|Function)\.[A-Z][a-zA-Z]+")
_LINE_BREAKS: Final = re.compile(r"[\r\n]+")


class RuntimeApiHost(Protocol):
    """The execution environment behind the API."""

    metadata_token: str

    def poll(self, exchange: Exchange) -> None:
        """Take a `next`: answer it now or later.

        Raises:
            TransitionError: Not legal now.
        """

    def post(self, event: Event) -> None:
        """Take what the runtime hands in.

        Raises:
            ProtocolError: It names an invocation that is not running.
            TransitionError: Not legal now.
        """


class RuntimeApi:
    """The handler behind 169.254.100.1:9001 of one environment."""

    __slots__ = ("_host",)

    def __init__(self, host: RuntimeApiHost) -> None:
        self._host = host

    def head(self, request: Request) -> Buffered | Streamed:  # noqa: ARG002  # every call has the same limit
        """Every body fits into memory; what is too large is read as well: clients send first and read afterwards."""
        return _BODY

    def handle(self, exchange: Exchange) -> None:
        """Answer one call."""
        request = exchange.request
        path = request.path
        try:
            if path == _NEXT:
                if request.method != "GET":
                    return _wrong_method(exchange, "GET")
                return self._host.poll(exchange)
            if path.startswith(_INVOCATION):
                request_id, _, verb = path[len(_INVOCATION) :].partition("/")
                if verb in ("response", "error"):
                    if request.method != "POST":
                        return _wrong_method(exchange, "POST")
                    if verb == "response":
                        return self._response(exchange, request_id)
                    return self._error(exchange, request_id)
            return self._rare(exchange, path)
        except ProtocolError as error:
            _refuse(exchange, 400, "InvalidRequestID", str(error))
        except TransitionError as error:
            _refuse(exchange, 403, "InvalidStateTransition", str(error))

    def refuse(self, request: Request | None, refusal: Refusal) -> Answer:
        """Render a request that could not be read."""
        if refusal is Refusal.BODY_TOO_LARGE and request is not None:
            return self._too_large(request)
        if refusal is Refusal.TRUNCATED:
            return _answer(400, "TruncatedHTTPRequest", "HTTP request detected as truncated")
        return Answer(400, (("Content-Type", "text/plain; charset=utf-8"), ("Connection", "close")), b"400 Bad Request")

    def failed(self, exchange: Exchange, error: BaseException) -> Answer:  # noqa: ARG002  # never shown to a function
        """Render a fault of ours."""
        return _answer(500, "InternalServerError", "Internal Server Error")

    def _response(self, exchange: Exchange, request_id: str) -> None:
        request = exchange.request
        mode = request.header("lambda-runtime-function-response-mode")
        if mode and mode != "streaming":
            error_type = FunctionErrorType.RUNTIME_INVALID_RESPONSE_MODE_HEADER
            self._host.post(ResponseRefused(request_id, error_type, "Invalid function response mode"))
            _refuse(exchange, 400, "InvalidFunctionResponseMode", "Invalid function response mode")
            return
        # A response in streaming mode to a buffered invocation is collected and answered as one payload (RT-43).
        self._host.post(ResponsePosted(request_id, request.body))
        exchange.respond_raw(_ACCEPTED_HEAD, _ACCEPTED)

    def _error(self, exchange: Exchange, request_id: str) -> None:
        request = exchange.request
        payload = request.body
        if request.header("content-type").startswith(_CAUSE_TYPE):
            payload = _without_cause(payload)
        error_type = error_type_of(request.header("lambda-runtime-function-error-type"))
        self._host.post(ErrorPosted(request_id, payload, error_type))
        exchange.respond_raw(_ACCEPTED_HEAD, _ACCEPTED)

    def _too_large(self, request: Request) -> Answer:
        limit = SYNCHRONOUS_PAYLOAD.limit
        if request.path.startswith(_INVOCATION) and request.path.endswith("/response"):
            request_id = request.path[len(_INVOCATION) :].partition("/")[0]
            message = f"Response payload size exceeded maximum allowed payload size ({limit} bytes)."
            try:
                self._host.post(
                    ResponseRefused(request_id, FunctionErrorType.FUNCTION_RESPONSE_SIZE_TOO_LARGE, message)
                )
            except ProtocolError as error:
                return _answer(400, "InvalidRequestID", str(error))
            except TransitionError as error:
                return _answer(403, "InvalidStateTransition", str(error))
        return _answer(413, "RequestEntityTooLarge", f"Exceeded maximum allowed payload size ({limit} bytes).")

    def _rare(self, exchange: Exchange, path: str) -> None:
        request = exchange.request
        if path == _INIT_ERROR:
            if request.method != "POST":
                return _wrong_method(exchange, "POST")
            error_type = error_type_of(request.header("lambda-runtime-function-error-type"))
            self._host.post(InitErrorPosted(request.body, error_type))
            return exchange.respond_raw(_ACCEPTED_HEAD, _ACCEPTED)
        if path == _PING:
            if request.method != "GET":
                return _wrong_method(exchange, "GET")
            return exchange.respond(200, (("Content-Type", "text/plain"),), b"pong")
        if path == _METADATA:
            return self._metadata(exchange)
        headers = (("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff"))
        return exchange.respond(404, headers, b"404 page not found\n")

    def _metadata(self, exchange: Exchange) -> None:
        request = exchange.request
        if request.method != "GET":
            return _wrong_method(exchange, "GET")
        if request.header("authorization") != f"Bearer {self._host.metadata_token}":
            return exchange.respond(401, (), b"")
        headers = (*_JSON, ("Cache-Control", "private, max-age=43200, immutable"))
        return exchange.respond(200, headers, b'{"AvailabilityZoneID":"use1-az1"}')


_BODY: Final = Buffered(limit_bytes=SYNCHRONOUS_PAYLOAD.limit, drain_excess=True)


def render_event(invocation: Invocation, deadline_ms: int) -> bytes:
    """Status line and headers of the answer to `next` (RT-21); the body is the payload as it is."""
    optional = ""
    if invocation.client_context:
        # JSON may be spread over lines; a header may not.
        optional = f"Lambda-Runtime-Client-Context: {_LINE_BREAKS.sub(' ', invocation.client_context)}\r\n"
    return (
        f"HTTP/1.1 200 OK\r\n"
        f"Content-Type: {invocation.content_type}\r\n"
        f"Lambda-Runtime-Aws-Request-Id: {invocation.request_id}\r\n"
        f"Lambda-Runtime-Deadline-Ms: {deadline_ms}\r\n"
        f"Lambda-Runtime-Invoked-Function-Arn: {invocation.function_arn}\r\n"
        f"Lambda-Runtime-Trace-Id: {invocation.trace_id}\r\n"
        f"{optional}"
        f"Content-Length: {len(invocation.payload)}\r\n\r\n"
    ).encode()


def error_type_of(text: str) -> str:
    """The error type as logs and telemetry show it (RT-51); the payload is not rewritten by it."""
    if _KNOWN_ERROR.search(text):
        return text
    return FunctionErrorType.FUNCTION_UNKNOWN if text.startswith("Function.") else FunctionErrorType.RUNTIME_UNKNOWN


def _without_cause(body: bytes) -> bytes:
    """RT-53: the caller gets three of the members, written anew; `errorCause` is for tracing."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        return b'"Invalid error body"'
    kept = {name: document[name] for name in ("errorMessage", "errorType", "stackTrace") if name in document}
    return json.dumps(kept, separators=(",", ":")).encode()


def _error_body(error_type: str, message: str) -> bytes:
    """RT-08: key order, escapes and the final line feed as shown there."""
    text = json.dumps({"errorMessage": message, "errorType": error_type}, separators=(",", ":"))
    text = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return text.encode() + b"\n"


def _answer(status: int, error_type: str, message: str) -> Answer:
    return Answer(status, _JSON, _error_body(error_type, message))


def _refuse(exchange: Exchange, status: int, error_type: str, message: str) -> None:
    exchange.respond(status, _JSON, _error_body(error_type, message))


def _wrong_method(exchange: Exchange, allowed: str) -> None:
    exchange.respond(405, (("Allow", allowed),), b"")
