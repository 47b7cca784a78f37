"""Real servers on loopback, on both event loops."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvloop

from lamella.httpserver import (
    Answer,
    Buffered,
    Exchange,
    HttpServer,
    Limits,
    Refusal,
    Request,
    Streamed,
    refusal_status,
)

PATIENCE_S = 20.0  # of a test with a server that hangs; never waited for otherwise
AMPLE = Buffered(100_000_000)
DEFAULT = Limits()


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every test of this directory on both."""
    return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}


class App:
    """Serves with the coroutine it is given, and shows what happens as events to wait for."""

    def __init__(self, serve: Callable[[Exchange], Awaitable[None]], plan: Buffered | Streamed) -> None:
        self.serve = serve
        self.plan = plan
        self.exchanges: asyncio.Queue[Exchange] = asyncio.Queue()
        self.refusals: asyncio.Queue[Refusal] = asyncio.Queue()

    def head(self, request: Request) -> Buffered | Streamed:
        return self.plan

    def handle(self, exchange: Exchange) -> None:
        self.exchanges.put_nowait(exchange)

        async def serve() -> None:
            await self.serve(exchange)

        exchange.start(serve())

    def refuse(self, request: Request | None, refusal: Refusal) -> Answer:
        self.refusals.put_nowait(refusal)
        return Answer(refusal_status(request, refusal), (), refusal.name.encode())

    def failed(self, exchange: Exchange, error: BaseException) -> Answer:
        return Answer(500, (), repr(error).encode())


class Running:
    """A running server and clients for it."""

    def __init__(self, app: App, server: HttpServer) -> None:
        self.app = app
        self.server = server
        self.port: int = server.addresses[0][1]

    async def connect(self, receive_bytes: int | None = None) -> socket.socket:
        client = socket.socket()
        client.setblocking(False)
        if receive_bytes is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        try:
            await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", self.port))
        except OSError:
            client.close()
            raise
        return client

    async def read_to_end(self, client: socket.socket) -> bytes:
        data = bytearray()
        async with asyncio.timeout(PATIENCE_S):
            while piece := await asyncio.get_running_loop().sock_recv(client, 1_000_000):
                data += piece
        return bytes(data)

    async def read_until(self, client: socket.socket, end: bytes) -> bytes:
        data = bytearray()
        async with asyncio.timeout(PATIENCE_S):
            while not data.endswith(end):
                piece = await asyncio.get_running_loop().sock_recv(client, 1_000_000)
                assert piece, f"ended after {bytes(data)!r}"
                data += piece
        return bytes(data)

    async def wait_until(self, condition: Callable[[], object]) -> None:
        """Wait for what has no event of its own: the state of a transport."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():  # noqa: ASYNC110 - see above
                await asyncio.sleep(0)

    async def exchange(self, data: bytes, *, half_close: bool = False) -> bytes:
        """Send all, read to the end."""
        client = await self.connect()
        with client:
            await asyncio.get_running_loop().sock_sendall(client, data)
            if half_close:
                client.shutdown(socket.SHUT_WR)
            return await self.read_to_end(client)


async def echo(exchange: Exchange) -> None:
    exchange.respond(200, (), exchange.request.body)


@pytest.fixture
async def run() -> AsyncIterator[Callable[..., Awaitable[Running]]]:
    async with contextlib.AsyncExitStack() as stack:

        async def start(
            serve: Callable[[Exchange], Awaitable[None]] = echo,
            plan: Buffered | Streamed = AMPLE,
            limits: Limits = DEFAULT,
            **options: Any,
        ) -> Running:
            app = App(serve, plan)
            server = HttpServer(app, limits, **options)
            await server.start(host="127.0.0.1", port=0)
            stack.push_async_callback(server.close, grace_s=0)
            return Running(app, server)

        yield start
