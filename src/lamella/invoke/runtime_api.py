"""HTTP of the Runtime API, version 2018-06-01 (sections 1 and 2 of the contract): requests to events, and back.

Its listener is also that of the Extensions and Telemetry APIs, whose calls are handed on to `extensions_api`.

A request is judged here by its form alone; whether it is legal now is for the state machines to say.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Final, Protocol

from lamella.domain.errors import FunctionErrorType
from lamella.domain.invocation import Invocation
from lamella.domain.quotas import STREAMED_RESPONSE, SYNCHRONOUS_PAYLOAD
from lamella.httpserver.message import Answer, Buffered, Refusal, Request, Streamed, TruncatedBodyError
from lamella.httpserver.server import Exchange
from lamella.invoke.answers import ACCEPTED, ACCEPTED_HEAD, JSON, error_answer, refuse, wrong_method
from lamella.invoke.extensions_api import ExtensionsApi, ExtensionsApiHost
from lamella.invoke.stream import ResponseStream
from lamella.invoke.variables import CREDENTIALS_PATH
from lamella.lifecycle.events import (
    ErrorPosted,
    Event,
    InitErrorPosted,
    ProtocolError,
    ResponseEnded,
    ResponsePosted,
    ResponseRefused,
    ResponseStarted,
    RestoreErrorPosted,
    TransitionError,
)

_NEXT: Final = "/2018-06-01/runtime/invocation/next"
_INVOCATION: Final = "/2018-06-01/runtime/invocation/"
_RESPONSE: Final = "/response"
_INIT_ERROR: Final = "/2018-06-01/runtime/init/error"
_RESTORE_NEXT: Final = "/2018-06-01/runtime/restore/next"
_RESTORE_ERROR: Final = "/2018-06-01/runtime/restore/error"
_PING: Final = "/2018-06-01/ping"
_METADATA: Final = "/2026-01-15/metadata/execution-environment"

_MODE: Final = "lambda-runtime-function-response-mode"
_ERROR_TYPE: Final = "lambda-runtime-function-error-type"
_ERROR_BODY: Final = "lambda-runtime-function-error-body"
_CAUSE_TYPE: Final = "application/vnd.aws.lambda.error.cause+json"
_KNOWN_ERROR: Final = re.compile(r"(Runtime|Function)\.[A-Z][a-zA-Z]+")
_LINE_BREAKS: Final = re.compile(r"[\r\n]+")


class RuntimeApiHost(ExtensionsApiHost, Protocol):
    """The execution environment behind the API.

    Attributes:
        stream: Takes the response of the running invocation in pieces, if its caller does.
        takes_snapshots: Whether the runtime is asked to prepare for a snapshot, and to restore.
    """

    metadata_token: str
    stream: ResponseStream | None
    takes_snapshots: bool

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

    def poll_restore(self, exchange: Exchange) -> None:
        """Take a `restore/next`.

        Raises:
            TransitionError: Not legal now.
        """

    def credentials(self, token: str) -> Mapping[str, str] | None:
        """The credentials of a function with snapshots; `None` if the token is not its own."""


class RuntimeApi:
    """The handler behind port 9001 of one environment."""

    __slots__ = ("_extensions", "_host")

    def __init__(self, host: RuntimeApiHost) -> None:
        self._host = host
        self._extensions = ExtensionsApi(host)

    def head(self, request: Request) -> Buffered | Streamed:
        """Every body but that of a streamed response fits into memory.

        What is too large is read as well: clients send first and read afterwards (RT-38).
        """
        if self._host.stream is not None and request.path.endswith(_RESPONSE) and request.header(_MODE) == "streaming":
            return _PIECES
        return _BODY

    def handle(self, exchange: Exchange) -> None:
        """Answer one call."""
        request = exchange.request
        path = request.path
        try:
            if path == _NEXT:
                if request.method != "GET":
                    return wrong_method(exchange, "GET")
                return self._host.poll(exchange)
            if path.startswith(_INVOCATION):
                request_id, _, verb = path[len(_INVOCATION) :].partition("/")
                if verb in ("response", "error"):
                    if request.method != "POST":
                        return wrong_method(exchange, "POST")
                    if verb == "response":
                        return self._response(exchange, request_id)
                    return self._error(exchange, request_id)
            return self._rare(exchange, path)
        except ProtocolError as error:
            self._refuse(exchange, 400, "InvalidRequestID", str(error))
        except TransitionError as error:
            self._refuse(exchange, 403, "InvalidStateTransition", str(error))

    def refuse(self, request: Request | None, refusal: Refusal) -> Answer:
        """Render a request that could not be read."""
        if refusal is Refusal.BODY_TOO_LARGE and request is not None:
            return self._too_large(request)
        if refusal is Refusal.TRUNCATED:
            return error_answer(400, "TruncatedHTTPRequest", "HTTP request detected as truncated")
        return Answer(400, (("Content-Type", "text/plain; charset=utf-8"), ("Connection", "close")), b"400 Bad Request")

    def failed(self, exchange: Exchange, error: BaseException) -> Answer:  # noqa: ARG002  # never shown to a function
        """Render a fault of ours."""
        return error_answer(500, "InternalServerError", "Internal Server Error")

    def _refuse(self, exchange: Exchange, status: int, error_type: str, message: str) -> None:
        self._host.refused(exchange.request.method, exchange.request.path, status, error_type)
        refuse(exchange, status, error_type, message)

    def _response(self, exchange: Exchange, request_id: str) -> None:
        request = exchange.request
        mode = request.header(_MODE)
        stream = self._host.stream
        if mode == "streaming" and stream is not None:
            content_type = request.header("content-type")
            self._host.post(ResponseStarted(request_id, content_type))
            stream.begin(content_type)
            exchange.start(self._pieces(exchange, request_id, stream))
            return
        if mode and mode != "streaming":
            error_type = FunctionErrorType.RUNTIME_INVALID_RESPONSE_MODE_HEADER
            self._host.post(ResponseRefused(request_id, error_type, "Invalid function response mode"))
            self._refuse(exchange, 400, "InvalidFunctionResponseMode", "Invalid function response mode")
            return
        # A response in streaming mode to a buffered invocation is collected and answered as one payload (RT-43).
        self._host.post(ResponsePosted(request_id, request.body, request.header("content-type")))
        exchange.respond_raw(ACCEPTED_HEAD, ACCEPTED)

    async def _pieces(self, exchange: Exchange, request_id: str, stream: ResponseStream) -> None:
        """Hand a response on as it comes (RT-41), and say how it ended (RT-42)."""
        size_bytes = 0
        try:
            while chunk := await exchange.read_chunk():
                size_bytes += len(chunk)
                await stream.write(chunk)
        except TruncatedBodyError as error:
            error_type, text = _broken(error.refusal)
            body = json.dumps({"errorType": error_type, "errorMessage": text}, separators=(",", ":")).encode()
            self._end(ResponseEnded(request_id, size_bytes, error_type, body))
            raise
        trailers = dict(exchange.request.trailers)
        code = trailers.get(_ERROR_TYPE, "")
        body = _decoded(trailers.get(_ERROR_BODY, ""))
        error_type = error_type_of(code) if code or body else ""
        try:
            self._host.post(ResponseEnded(request_id, size_bytes, error_type, body, code))
        except ProtocolError as error:  # the invocation has timed out meanwhile
            self._refuse(exchange, 400, "InvalidRequestID", str(error))
        except TransitionError as error:
            self._refuse(exchange, 403, "InvalidStateTransition", str(error))
        else:
            exchange.respond_raw(ACCEPTED_HEAD, ACCEPTED)

    def _end(self, event: ResponseEnded) -> None:
        try:
            self._host.post(event)
        except (ProtocolError, TransitionError):
            return  # the invocation is over, and so was the connection with it

    def _error(self, exchange: Exchange, request_id: str) -> None:
        request = exchange.request
        payload = request.body
        if request.header("content-type").startswith(_CAUSE_TYPE):
            payload = _without_cause(payload)
        error_type = error_type_of(request.header(_ERROR_TYPE))
        self._host.post(ErrorPosted(request_id, payload, error_type))
        exchange.respond_raw(ACCEPTED_HEAD, ACCEPTED)

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
                return error_answer(400, "InvalidRequestID", str(error))
            except TransitionError as error:
                return error_answer(403, "InvalidStateTransition", str(error))
        return error_answer(413, "RequestEntityTooLarge", f"Exceeded maximum allowed payload size ({limit} bytes).")

    def _rare(self, exchange: Exchange, path: str) -> None:
        request = exchange.request
        if path == _INIT_ERROR:
            if request.method != "POST":
                return wrong_method(exchange, "POST")
            error_type = error_type_of(request.header(_ERROR_TYPE))
            self._host.post(InitErrorPosted(request.body, error_type))
            return exchange.respond_raw(ACCEPTED_HEAD, ACCEPTED)
        if path == _RESTORE_NEXT and self._host.takes_snapshots:
            if request.method != "GET":
                return wrong_method(exchange, "GET")
            return self._host.poll_restore(exchange)
        if path == _RESTORE_ERROR and self._host.takes_snapshots:
            if request.method != "POST":
                return wrong_method(exchange, "POST")
            error_type = error_type_of(request.header(_ERROR_TYPE))
            self._host.post(RestoreErrorPosted(request.body, error_type))
            return exchange.respond_raw(ACCEPTED_HEAD, ACCEPTED)
        if path == _PING:
            if request.method != "GET":
                return wrong_method(exchange, "GET")
            return exchange.respond(200, (("Content-Type", "text/plain"),), b"pong")
        if path == _METADATA:
            return self._metadata(exchange)
        if path == CREDENTIALS_PATH and self._host.takes_snapshots:
            return self._credentials(exchange)
        if self._extensions.handle(exchange):
            return None
        headers = (("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff"))
        return exchange.respond(404, headers, b"404 page not found\n")

    def _metadata(self, exchange: Exchange) -> None:
        request = exchange.request
        if request.method != "GET":
            return wrong_method(exchange, "GET")
        if request.header("authorization") != f"Bearer {self._host.metadata_token}":
            return exchange.respond(401, (), b"")
        headers = (*JSON, ("Cache-Control", "private, max-age=43200, immutable"))
        return exchange.respond(200, headers, b'{"AvailabilityZoneID":"use1-az1"}')

    def _credentials(self, exchange: Exchange) -> None:
        request = exchange.request
        if request.method != "GET":
            return wrong_method(exchange, "GET")
        document = self._host.credentials(request.header("authorization"))
        if document is None:
            headers = (("Content-Type", "text/plain; charset=utf-8"),)
            return exchange.respond(404, headers, b"cannot get credentials for the provided token")
        return exchange.respond(200, JSON, json.dumps(document, separators=(",", ":")).encode())


_BODY: Final = Buffered(limit_bytes=SYNCHRONOUS_PAYLOAD.limit, drain_excess=True)
_PIECES: Final = Streamed(limit_bytes=STREAMED_RESPONSE.limit)


def render_event(invocation: Invocation, deadline_ms: int) -> bytes:
    """Status line and headers of the answer to `next` (RT-21); the body is the payload as it is."""
    optional = ""
    if invocation.client_context:
        # JSON may be spread over lines; a header may not.
        optional = f"Lambda-Runtime-Client-Context: {_LINE_BREAKS.sub(' ', invocation.client_context)}\r\n"
    if invocation.tenant_id:
        optional += f"Lambda-Runtime-Aws-Tenant-Id: {invocation.tenant_id}\r\n"
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


def _decoded(text: str) -> bytes:
    """The error document of a trailer; as it came if it is no base64."""
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return text.encode()


def _broken(refusal: Refusal) -> tuple[str, str]:
    """Type and text for the caller of a response that broke off."""
    if refusal is Refusal.BODY_TOO_LARGE:
        text = f"Response payload size exceeded maximum allowed payload size ({STREAMED_RESPONSE.limit} bytes)."
        return FunctionErrorType.FUNCTION_RESPONSE_SIZE_TOO_LARGE, text
    return FunctionErrorType.RUNTIME_TRUNCATED_RESPONSE, "Response stream ended before it was complete"
