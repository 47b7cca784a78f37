"""Hands requests that are not Lambda's to whoever answers for their service."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from lamella.awsapi.guards import Guard
from lamella.awsapi.service_error import ServiceError
from lamella.httpserver.exchange import Exchange, Phase
from lamella.httpserver.message import DisconnectedError, Streamed
from lamella.neighbour.endpoint import Endpoint
from lamella.neighbour.refusals import error_answer
from lamella.neighbour.trust import ACCOUNT_HEADER, TRUST_HEADERS
from lamella.neighbour.upstream import Upstream, UpstreamError, open_upstream

_log = logging.getLogger(__name__)

BODY: Final = Streamed(limit_bytes=5 * 1024**3)
"""Source: S3 user guide, "Uploading objects": at most 5 GB in one request, the most that any service takes."""
SANDBOX_HEADER: Final = "x-lamella-sandbox"
UNSIGNED: Final = "s3"
"""The service of requests that say none: public objects, forms, and URLs presigned in the old way."""

_NOT_FORWARDED: Final = frozenset(
    {
        "connection",
        "expect",  # answered by our own server
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        ACCOUNT_HEADER,
        SANDBOX_HEADER,
        *TRUST_HEADERS,
    }
)
_NOT_RETURNED: Final = frozenset({"connection", "keep-alive", "transfer-encoding", "upgrade", "trailer"})
_REWRITTEN_BYTES_MAX: Final = 1024**2

Rewrite = Callable[[bytes], bytes]
"""Makes the body that is sent on of the one that a successful answer has."""


class Moto(Protocol):
    """The neighbour that is our own child."""

    async def wait_ready(self) -> Endpoint:
        """Start it if need be. Raises `UpstreamError`."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Who answers for which service.

    Attributes:
        overrides: By service, as signatures name it.
        other: For all others; `None` if there is nobody.
        absence: Says why, to whoever asks.
    """

    overrides: Mapping[str, Endpoint]
    other: Moto | Endpoint | None
    absence: str = ""

    def serves(self, service: str) -> bool:
        """Whether anybody answers for the service."""
        return service in self.overrides or self.other is not None

    async def endpoint(self, service: str) -> Endpoint | None:
        """Where the service is; started if need be.

        Raises:
            UpstreamError: It cannot be started.
        """
        found = self.overrides.get(service) or self.other
        return found if found is None or isinstance(found, Endpoint) else await found.wait_ready()

    def is_own(self, service: str) -> bool:
        """Whether it is our own child that answers for the service."""
        return service not in self.overrides and self._has_moto

    @property
    def _has_moto(self) -> bool:
        return self.other is not None and not isinstance(self.other, Endpoint)


async def forward(
    exchange: Exchange,
    neighbours: Neighbours,
    service: str,
    *,
    account: str | None,
    confined: bool = False,
    guard: Guard | None = None,
    rewrite: Rewrite | None = None,
) -> None:
    """Hand a request on, and its answer back, piece by piece.

    `Host` and everything that was signed stay as they are, so that the signature remains one.

    Args:
        exchange: Whose body has not been read, or has come as a whole.
        neighbours: Who is there.
        service: As its signature names it.
        account: For which the request acts; `None` if its access key decides.
        confined: Whether moto's own pages, which see and reset everything, are not for who sends it.
        guard: What the body has to pass.
        rewrite: What is done to a successful answer.
    """
    body = _Body(exchange, guard)
    try:
        await body.begin()
        endpoint = await neighbours.endpoint(service)
        if endpoint is None:
            refused(exchange, service, ServiceError(501, "NotImplementedException", absent(neighbours, service)))
            return
        upstream = await open_upstream(endpoint)
    except UpstreamError as error:
        _unavailable(exchange, service, error)
        return
    except ServiceError as error:
        refused(exchange, service, error)
        return
    exchange.on_disconnect(upstream.close)
    try:
        await _exchange(exchange, upstream, body, account=account, confined=confined, rewrite=rewrite)
    except UpstreamError as error:
        _unavailable(exchange, service, error)
    except ServiceError as error:
        upstream.close()  # before anything else: the request behind must not become complete
        refused(exchange, service, error)
    except DisconnectedError:
        return  # nobody is left to be told
    finally:
        upstream.close()


class _Body:
    """The body of a request, as far as it may be handed on."""

    def __init__(self, exchange: Exchange, guard: Guard | None) -> None:
        self._exchange = exchange
        self._guard = guard
        self._ready = exchange.request.body
        self._ended = False

    async def begin(self) -> None:
        """Wait for the first piece of a guarded body.

        A request whose body is empty is complete with its head: the guard has to be asked before that is sent.
        """
        if self._guard is not None:
            self._ready = await self.read()

    async def read(self) -> bytes:
        """The next piece; empty at the end.

        Raises:
            ServiceError: It must not be handed on, and what was must not become a request.
        """
        ready, self._ready = self._ready, b""
        while not ready and not self._ended:
            piece = await self._exchange.read_chunk()
            self._ended = not piece
            if self._guard is None:
                return piece
            ready = self._guard.feed(piece) if piece else self._guard.finish()
        return ready


def absent(neighbours: Neighbours, service: str) -> str:
    """What to tell who asks for a service that nobody answers for."""
    return f"Lamella does not answer for {service} itself, and {neighbours.absence}. See docs/how-to/neighbour.md."


def refused(exchange: Exchange, service: str, error: ServiceError) -> None:
    """Answer with an error, if that is still possible."""
    if exchange.phase in (Phase.OPEN, Phase.LOST):
        answer = error_answer(exchange.request, service, error)
        exchange.respond(answer.status, answer.headers, answer.body)
    else:
        exchange.abort()  # the client sees that the end is missing


async def _exchange(
    exchange: Exchange,
    upstream: Upstream,
    body: _Body,
    *,
    account: str | None,
    confined: bool,
    rewrite: Rewrite | None,
) -> None:
    request = exchange.request
    headers = [(name, value) for name, value in request.headers if name not in _NOT_FORWARDED]
    if account is not None:
        headers.append((ACCOUNT_HEADER, account))
    if confined:
        headers.append((SANDBOX_HEADER, "1"))
    chunked = bool(request.header("transfer-encoding"))
    target = f"{request.path}?{request.query}" if request.query else request.path
    await upstream.send_head(request.method, target, headers, chunked=chunked)
    sending = asyncio.create_task(_send_body(body, upstream), name="send a body on")
    try:
        answering = asyncio.create_task(upstream.wait_head(), name="wait for an answer")
        try:
            await asyncio.wait({sending, answering}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()  # raises if the client sent less than it announced
            await answering
        finally:
            answering.cancel()
        shown = [(name, value) for name, value in upstream.headers if name not in _NOT_RETURNED]
        if rewrite is not None and upstream.status == 200:
            shown = [(name, value) for name, value in shown if name != "content-length"]
            exchange.respond(upstream.status, shown, rewrite(await _read_all(upstream)))
            return
        exchange.start_response(upstream.status, shown)
        while piece := await upstream.read():
            await exchange.write(piece)
        exchange.finish()
    finally:
        if not sending.done():
            sending.cancel()
        await asyncio.wait({sending})
        if not sending.cancelled():
            sending.exception()  # of no interest by now: the answer is there, or what ended the exchange is known


async def _read_all(upstream: Upstream) -> bytes:
    whole = bytearray()
    while piece := await upstream.read():
        whole += piece
        if len(whole) > _REWRITTEN_BYTES_MAX:
            raise UpstreamError("its answer is too long")
    return bytes(whole)


async def _send_body(body: _Body, upstream: Upstream) -> None:
    with suppress(UpstreamError):  # it may have answered before it stopped listening: the answer decides
        while piece := await body.read():
            await upstream.send(piece)
        await upstream.send(b"")


def _unavailable(exchange: Exchange, service: str, error: UpstreamError) -> None:
    if exchange.phase is Phase.LOST:
        return  # the connection was closed because nobody waits for the answer
    _log.warning("the neighbour that answers for %s failed: %s", service, error)
    if exchange.phase is not Phase.OPEN:
        exchange.abort()  # the client sees that the end is missing
        return
    message = f"The neighbour that answers for {service} failed: {error}"
    refused(exchange, service, ServiceError(503, "ServiceUnavailable", message))
