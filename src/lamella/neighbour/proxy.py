"""Hands requests that are not Lambda's to whoever answers for their service."""

import asyncio
import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol
from xml.sax.saxutils import escape

from lamella.awsapi.context import new_request_id
from lamella.httpserver.exchange import Exchange, Phase
from lamella.httpserver.message import Answer, DisconnectedError, Request, Streamed
from lamella.neighbour.endpoint import Endpoint
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
_NOT_MOTOS: Final = frozenset({"cloudformation"})
"""What moto would do with resources of its own: its stacks make functions that nobody can invoke here."""
_XML_SERVICES: Final = frozenset({"cloudfront", "route53"})


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
        return service in self.overrides or self._other(service) is not None

    async def endpoint(self, service: str) -> Endpoint | None:
        """Where the service is; started if need be.

        Raises:
            UpstreamError: It cannot be started.
        """
        found = self.overrides.get(service) or self._other(service)
        return found if found is None or isinstance(found, Endpoint) else await found.wait_ready()

    def why_not(self, service: str) -> str:
        """Why nobody answers for the service, as the end of a sentence."""
        if self.other is not None and service in _NOT_MOTOS:
            return "moto's stacks would be made of functions of its own, which are not Lamella's"
        return self.absence

    def _other(self, service: str) -> Moto | Endpoint | None:
        mine = self.other is not None and not isinstance(self.other, Endpoint)
        return None if mine and service in _NOT_MOTOS else self.other


async def forward(
    exchange: Exchange, neighbours: Neighbours, service: str, *, account: str | None, sandbox: bool = False
) -> None:
    """Hand a request on, and its answer back, piece by piece.

    `Host` and everything that was signed stay as they are, so that the signature remains one.

    Args:
        exchange: Whose body has not been read.
        neighbours: Who is there.
        service: As its signature names it.
        account: For which the request acts; `None` if its access key decides.
        sandbox: Whether a function sends it.
    """
    request = exchange.request
    try:
        endpoint = await neighbours.endpoint(service)
        if endpoint is None:
            answer = refusal(request, service, 501, "NotImplementedException", absent(neighbours, service))
            exchange.respond(answer.status, answer.headers, answer.body)
            return
        upstream = await open_upstream(endpoint)
    except UpstreamError as error:
        _unavailable(exchange, service, error)
        return
    exchange.on_disconnect(upstream.close)
    try:
        await _exchange(exchange, upstream, account=account, sandbox=sandbox)
    except UpstreamError as error:
        _unavailable(exchange, service, error)
    except DisconnectedError:
        return  # nobody is left to be told
    finally:
        upstream.close()


def absent(neighbours: Neighbours, service: str) -> str:
    """What to tell who asks for a service that nobody answers for."""
    reason = neighbours.why_not(service)
    return f"Lamella does not answer for {service} itself, and {reason}. See docs/how-to/neighbour.md."


def refusal(request: Request, service: str, status: int, code: str, message: str) -> Answer:
    """An error in the form that the clients of the service read."""
    request_id = new_request_id()
    kind = request.header("content-type")
    if request.header("x-amz-target") or "json" in kind:
        body = json.dumps({"__type": code, "message": message}).encode()
        return Answer(
            status,
            (("Content-Type", "application/x-amz-json-1.1"), ("x-amzn-RequestId", request_id)),
            body,
        )
    error = f"<Code>{code}</Code><Message>{escape(message)}</Message>"
    if service == "s3":
        text = f"<Error>{error}<RequestId>{request_id}</RequestId></Error>"
    elif service in _XML_SERVICES or "x-www-form-urlencoded" in kind or "Action=" in request.query:
        error = f"<Error><Type>Receiver</Type>{error}</Error>"
        text = f"<ErrorResponse>{error}<RequestId>{request_id}</RequestId></ErrorResponse>"
    else:
        body = json.dumps({"message": message}).encode()
        headers = (("Content-Type", "application/json"), ("x-amzn-ErrorType", code), ("x-amzn-RequestId", request_id))
        return Answer(status, headers, body)
    document = f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()
    return Answer(status, (("Content-Type", "application/xml"), ("x-amzn-RequestId", request_id)), document)


async def _exchange(exchange: Exchange, upstream: Upstream, *, account: str | None, sandbox: bool) -> None:
    request = exchange.request
    headers = [(name, value) for name, value in request.headers if name not in _NOT_FORWARDED]
    if account is not None:
        headers.append((ACCOUNT_HEADER, account))
    if sandbox:
        headers.append((SANDBOX_HEADER, "1"))
    chunked = bool(request.header("transfer-encoding"))
    target = f"{request.path}?{request.query}" if request.query else request.path
    await upstream.send_head(request.method, target, headers, chunked=chunked)
    sending = asyncio.create_task(_send_body(exchange, upstream), name="send a body on")
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


async def _send_body(exchange: Exchange, upstream: Upstream) -> None:
    with suppress(UpstreamError):  # it may have answered before it stopped listening: the answer decides
        while piece := await exchange.read_chunk():
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
    answer = refusal(exchange.request, service, 503, "ServiceUnavailable", message)
    exchange.respond(answer.status, answer.headers, answer.body)
