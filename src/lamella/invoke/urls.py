"""The front of function URLs: finds the function, translates both ways, and answers as AWS does.

Source of the answers that are no function's: those of AWS recorded in LocalStack's tests, November 2025.
"""

import asyncio
import json
import logging
from dataclasses import dataclass, replace
from functools import partial
from typing import Final
from urllib.parse import urlsplit

from lamella.awsapi._types import InvokeWithResponseStreamResponseEvent
from lamella.awsapi.context import new_request_id
from lamella.awsapi.serialize import serialize_error
from lamella.domain._api_errors import ResourceConflictException, ResourceNotFoundException
from lamella.domain.errors import ApiError
from lamella.domain.function import FunctionKey, FunctionVersion
from lamella.domain.invocation import Invocation, Outcome
from lamella.domain.quotas import SYNCHRONOUS_PAYLOAD
from lamella.domain.url import URLS, FunctionUrl, UrlName, urls_of
from lamella.httpserver.exchange import Exchange
from lamella.httpserver.message import Answer, DisconnectedError
from lamella.invoke.eager import drive
from lamella.invoke.service import InvokeServices, api_error, begin_stream, new_trace_id, too_large
from lamella.invoke.stream import ResponseStream
from lamella.invoke.targets import NotReadyError
from lamella.invoke.url_answer import (
    PRELUDE_CONTENT_TYPE,
    InvalidAnswerError,
    Prelude,
    UrlAnswer,
    read_answer,
    stream_answer,
)
from lamella.invoke.url_cors import is_preflight, preflight_headers, response_headers
from lamella.invoke.url_event import Caller, UrlRequest, render_event
from lamella.invoke.url_guard import ForbiddenError, UrlGuard
from lamella.ports.clock import Clock
from lamella.ports.records import FunctionRecordStore

_log: Final = logging.getLogger(__name__)

DOMAIN: Final = "localhost"
"""Browsers and curl take every name below it for this machine, without a name server."""

_INLINE_BYTES: Final = 256 * 1024
"""A larger body or response is translated in a thread: the event loop has others to serve."""

_MAX_TRACE_CHARS: Final = 1024
_JSON: Final = ("Content-Type", "application/json")
_FORBIDDEN: Final = (
    "Forbidden. For troubleshooting Function URL authorization issues, see: "
    "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
)
_CONFINED: Final = (
    "Content-Security-Policy",
    "sandbox allow-downloads allow-forms allow-modals allow-popups allow-scripts",
)
"""What is served under the name of the API itself must not act in its name: a document of a function's gets an origin
of its own, which the API refuses. Browsers apply all such headers, so the function's own cannot undo it."""


@dataclass(frozen=True, slots=True)
class UrlAddress:
    """Where a request was sent.

    Attributes:
        name: The URL; its region is empty if the address has none.
        path: What the function is told, percent-encoded.
        confined: The host name is not the URL's own but the API's.
    """

    name: UrlName
    path: str
    confined: bool = False


class FunctionFailedError(Exception):
    """The function ended in an error."""


class Urls:
    """All function URLs of a node; implements `lamella.ports.urls.UrlObserver`."""

    def __init__(self, services: InvokeServices, guard: UrlGuard, clock: Clock, *, port: int) -> None:
        """None are known before `load`. The port is the listener's, for clients that do not say which they used."""
        self._services: Final = services
        self._guard: Final = guard
        self._clock: Final = clock
        self._port: Final = port
        self._urls: Final[dict[str, FunctionUrl]] = {}
        services.router.on_deletion(self._deleted)

    async def load(self, records: FunctionRecordStore) -> None:
        """Learn all URLs; before any request."""
        for record in await records.every(URLS):
            for url in urls_of(record.key, record.document):
                self._urls[url.id] = url

    def url_changed(self, url: FunctionUrl) -> None:
        """See the port."""
        self._urls[url.id] = url

    def url_deleted(self, url: FunctionUrl) -> None:
        """See the port."""
        self._urls.pop(url.id, None)

    def handle(self, exchange: Exchange, address: UrlAddress) -> None:
        """Serve a request whose body has come."""
        call = _Call(exchange, address, new_request_id())
        name = address.name
        url = self._urls.get(name.id)
        if url is None or name.region not in ("", url.key.region):
            call.deny(None)
            return
        call.url = url
        if url.cors is not None and is_preflight(exchange.request.method, exchange.request.headers):
            call.respond(UrlAnswer(200, (_JSON, *preflight_headers(url.cors, call.origin)), b""), cors=False)
        elif url.streams:
            exchange.start(self._serve(call, url))
        else:
            # Not to be cancelled when the client goes away: the function does not depend on its caller.
            drive(self._serve(call, url), partial(_served, call))

    def too_large(self) -> Answer:
        """The answer to a request whose body is over the limit of an event."""
        wire = serialize_error(too_large(), new_request_id())
        return Answer(wire.status, wire.headers, wire.body)

    def _deleted(self, key: FunctionKey, qualifier: str | None) -> None:
        for url in [url for url in self._urls.values() if url.key == key and qualifier in (None, url.alias)]:
            del self._urls[url.id]

    async def _serve(self, call: "_Call", url: FunctionUrl) -> None:
        try:
            caller = await self._guard.admit(url, call.exchange.request)
            version = await self._target(url)
            invocation = await self._invocation(call, url, caller)
            if url.streams:
                await self._stream(call, begin_stream(self._services, version, invocation))
            else:
                call.respond(await self._invoke(version, invocation))
        except ForbiddenError:
            call.deny(_FORBIDDEN)
        except FunctionFailedError:
            call.fail()
        except InvalidAnswerError as error:
            _log.info("%s: %s", url.arn, error, extra={"request_id": call.request_id})
            call.fail()
        except Exception as error:  # noqa: BLE001 - the boundary that answers
            self._refuse(call, error)

    def _refuse(self, call: "_Call", error: Exception) -> None:
        """The invocation did not take place. What is nobody's fault but ours is the gateway's failure."""
        told = api_error(error)
        if isinstance(told, ResourceNotFoundException):
            call.deny(None)  # deleted meanwhile: there is no such URL any more
        elif isinstance(told, ApiError) and told.fault == "client":
            call.refuse(told)
        else:
            _log.error("a function URL failed", exc_info=error, extra={"request_id": call.request_id})
            call.fail()

    async def _target(self, url: FunctionUrl) -> FunctionVersion:
        """The version to run.

        Raises:
            ForbiddenError: The alias is gone. Source: LocalStack's tests, as above.
            ResourceConflictException: The version is not active.
        """
        targets = self._services.router.targets
        try:
            version = targets.known(url.key, url.alias) or await targets.resolve(url.key, url.alias)
        except NotReadyError as error:
            raise ResourceConflictException(
                "The operation cannot be performed at this time. "
                f"The function is currently in the following state: {error.state}"
            ) from None
        if version is None:
            raise ForbiddenError
        return version

    async def _invocation(self, call: "_Call", url: FunctionUrl, caller: Caller | None) -> Invocation:
        """What the function is told.

        Raises:
            RequestTooLargeException: The body fits, the event that it becomes does not.
        """
        exchange, request = call.exchange, call.exchange.request
        peer = exchange.peer
        given = request.header("x-amzn-trace-id")
        trace = given if 0 < len(given) <= _MAX_TRACE_CHARS else new_trace_id()
        call.trace = trace.partition(";")[0]
        url_request = UrlRequest(
            url_id=url.id,
            method=request.method,
            path=call.address.path,
            query=request.query,
            headers=request.headers,
            body=request.body,
            domain=UrlName(url.id, url.key.region).host(DOMAIN),
            port=_port_of(request.header("host")) or self._port,
            source_ip=peer[0] if peer else "",
            request_id=call.request_id,
            trace=call.trace,
            received_at=self._clock.now(),
            caller=caller,
        )
        inline = len(request.body) <= _INLINE_BYTES
        payload = render_event(url_request) if inline else await asyncio.to_thread(render_event, url_request)
        if len(payload) > SYNCHRONOUS_PAYLOAD.limit:
            raise too_large()
        return Invocation(call.request_id, payload, "application/json", url.arn, trace)

    async def _invoke(self, version: FunctionVersion, invocation: Invocation) -> UrlAnswer:
        """The response of a buffered invocation.

        Raises:
            FunctionFailedError: It ended in an error.
            InvalidAnswerError: It is no response.
        """
        outcome: Outcome = await self._services.router.invoke(version, invocation, want_tail=False)
        if outcome.function_error is not None:
            raise FunctionFailedError
        if len(outcome.payload) <= _INLINE_BYTES:
            return read_answer(outcome.payload)
        return await asyncio.to_thread(read_answer, outcome.payload)

    async def _stream(self, call: "_Call", stream: ResponseStream) -> None:
        """Send each piece as it comes, no faster than the client reads; the first decides what the head is."""
        exchange = call.exchange
        try:
            answer = await _begin(stream)
            exchange.start_response(answer.status, call.headers(answer))
            try:
                await exchange.write(answer.body)
                async for event in stream:
                    await exchange.write(_piece(event))
            except DisconnectedError:
                raise
            except Exception:  # noqa: BLE001 - the function's error, or one that was logged where it happened
                # There is no status left to tell it by: the client sees that the end is missing.
                exchange.abort()
                return
            exchange.finish()
        except DisconnectedError:
            return
        finally:
            stream.abandon()


async def _begin(stream: ResponseStream) -> UrlAnswer:
    """The head of a streamed response, with what has come of its body.

    Raises:
        FunctionFailedError: It ended in an error, and nothing has come.
        InvalidAnswerError: It is no response.
    """
    content_type = await stream.wait_began()
    has_prelude = content_type.partition(";")[0].strip().lower() == PRELUDE_CONTENT_TYPE
    prelude = Prelude() if has_prelude else None
    async for event in stream:
        chunk = _piece(event)
        if chunk and prelude is None:
            return replace(stream_answer(content_type), body=chunk)
        if prelude is not None and (answer := prelude.feed(chunk)) is not None:
            return answer
    if prelude is not None:
        raise InvalidAnswerError("the response ended within its prelude")
    return stream_answer(content_type)


def _piece(event: InvokeWithResponseStreamResponseEvent) -> bytes:
    """What has come of a body; nothing at its end.

    Raises:
        FunctionFailedError: It ended in an error.
    """
    chunk, complete = event.get("PayloadChunk"), event.get("InvokeComplete")
    if complete is not None and complete.get("ErrorCode"):
        raise FunctionFailedError
    return b"" if chunk is None else chunk.get("Payload") or b""


class _Call:
    """One request, with what every answer to it carries."""

    __slots__ = ("address", "exchange", "origin", "request_id", "trace", "url")

    def __init__(self, exchange: Exchange, address: UrlAddress, request_id: str) -> None:
        self.exchange = exchange
        self.address = address
        self.request_id = request_id
        self.origin = exchange.request.header("origin")
        self.trace = ""
        self.url: FunctionUrl | None = None

    def headers(self, answer: UrlAnswer, *, cors: bool = True) -> list[tuple[str, str]]:
        headers = [("x-amzn-RequestId", self.request_id)]
        if self.trace:
            headers.append(("X-Amzn-Trace-Id", self.trace))
        headers.extend(answer.headers)
        if cors and self.url is not None:
            headers.extend(response_headers(self.url.cors, self.origin))
        if self.address.confined:
            headers.append(_CONFINED)
        return headers

    def respond(self, answer: UrlAnswer, *, cors: bool = True) -> None:
        self.exchange.respond(answer.status, self.headers(answer, cors=cors), answer.body)

    def deny(self, message: str | None) -> None:
        body = json.dumps({"Message": message}, separators=(",", ":")).encode()
        self.respond(UrlAnswer(403, (_JSON, ("x-amzn-ErrorType", "AccessDeniedException")), body))

    def refuse(self, error: ApiError) -> None:
        wire = serialize_error(error, self.request_id)
        headers = tuple(header for header in wire.headers if header[0] != "x-amzn-RequestId")
        self.respond(UrlAnswer(wire.status, headers, wire.body))

    def fail(self) -> None:
        self.respond(UrlAnswer(502, (_JSON,), b"Internal Server Error"))


def _served(call: _Call, error: BaseException | None) -> None:
    """Whatever a request failed with was answered where it failed; what comes up to here is a bug."""
    if error is not None:
        _log.error("a function URL failed", exc_info=error)
        call.fail()


def _port_of(host: str) -> int | None:
    try:
        return urlsplit(f"//{host}").port
    except ValueError:
        return None
