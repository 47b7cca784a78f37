"""Subscribers on loopback, on both event loops."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Self

import pytest
import uvloop

from lamella.invoke.delivery import Telemetry
from lamella.invoke.tasks import Tasks
from lamella.lifecycle.telemetry_events import Destination, Schema, Subscription

PATIENCE_S = 20.0  # of a test that hangs; never waited for otherwise


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every test of this directory on both."""
    return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}


@dataclass(frozen=True, slots=True)
class Batch:
    """One request that a listener got."""

    line: str
    headers: dict[str, str]
    events: list[Any]
    connection: int

    @property
    def records(self) -> list[Any]:
        return [event["record"] for event in self.events]


class Listener:
    """What an extension listens with: answers 200, or what it was told to, in their order.

    Attributes:
        answers: Statuses of the next requests; 0 never answers, -1 resets the connection, bytes are sent as they are.
        batches: What was asked of it.
        connections: How many there have been.
        gone: Set when a connection has ended.
    """

    def __init__(self) -> None:
        self.answers: list[int | bytes] = []
        self.batches: asyncio.Queue[Batch] = asyncio.Queue()
        self.raw: asyncio.Queue[bytes] = asyncio.Queue()
        self.connections = 0
        self.gone = asyncio.Event()
        self.plain = False
        self.once = False  # leave after one request
        self._server: asyncio.Server | None = None
        self._serving = Tasks()
        self.port = 0

    async def __aenter__(self) -> Self:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()
        await self._serving.close()

    async def listen(self) -> None:
        """Begin to listen on the port, which nobody did before."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, reuse_address=True)

    def close(self) -> None:
        """Listen no more; connections stay."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def next(self) -> Batch:
        async with asyncio.timeout(PATIENCE_S):
            return await self.batches.get()

    async def next_line(self) -> Any:
        async with asyncio.timeout(PATIENCE_S):
            return json.loads(await self.raw.get())

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._serving.start(self._serve(reader, writer, self.connections), name="listener")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> None:
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    if self.plain:
                        self.raw.put_nowait(await reader.readuntil(b"\n"))
                    else:
                        await self._answer(reader, writer, connection)
                    if self.once:
                        break
        finally:
            self.gone.set()
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
        body = await reader.readexactly(int(headers["content-length"]))
        self.batches.put_nowait(Batch(head[0], headers, json.loads(body), connection))
        answer = self.answers.pop(0) if self.answers else 200
        if answer == 0:
            await reader.read()
        elif answer == -1:
            writer.transport.abort()
        elif isinstance(answer, bytes):
            writer.write(answer)
        else:
            writer.write(f"HTTP/1.1 {answer} Text\r\nContent-Length: 2\r\n\r\nxy".encode())


class Bench:
    """One environment's telemetry and its subscribers."""

    def __init__(self, listeners: contextlib.AsyncExitStack) -> None:
        self._listeners = listeners
        self.sockets = 0
        self.opened = asyncio.Condition()
        self.delivered: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
        self.telemetry = Telemetry(
            open_socket=self._open_socket,
            address=lambda: "127.0.0.1",
            on_delivery=lambda identifier, events: self.delivered.put_nowait((identifier, events)),
        )

    async def _open_socket(self) -> socket.socket:
        async with self.opened:
            self.sockets += 1
            self.opened.notify_all()
        sock = socket.socket()
        sock.setblocking(False)
        return sock

    async def wait_sockets(self, count: int) -> None:
        """Wait until so many connections have been tried."""
        async with asyncio.timeout(PATIENCE_S), self.opened:
            await self.opened.wait_for(lambda: self.sockets >= count)

    async def wait_delivered(self) -> tuple[str, int]:
        async with asyncio.timeout(PATIENCE_S):
            return await self.delivered.get()

    async def listener(self, *, listening: bool = True) -> Listener:
        listener = await self._listeners.enter_async_context(Listener())
        if listening:
            await listener.listen()
        return listener

    def subscribe(
        self,
        listener: Listener,
        *types: str,
        identifier: str = "a",
        schema: Schema = Schema.TELEMETRY_2022_07_01,
        protocol: str = "HTTP",
        method: str = "POST",
        timeout_s: float = 0.025,
    ) -> None:
        destination = Destination(protocol, listener.port, "sandbox", "/to?a=b", method)
        subscription = Subscription(schema, types or ("function",), destination, timeout_s=timeout_s)
        self.telemetry.subscribe(identifier, f"extension {identifier}", subscription)

    def say(self, *lines: str) -> None:
        """Have the function print lines."""
        for line in lines:
            self.telemetry.emit(1795201681.847, "function", f"{line}\n")

    async def flush(self) -> None:
        done = asyncio.Event()
        self.telemetry.flush(done.set)
        async with asyncio.timeout(PATIENCE_S):
            await done.wait()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with contextlib.AsyncExitStack() as listeners:
        bench = Bench(listeners)
        yield bench
        bench.telemetry.close()
        await bench.telemetry.wait_closed()
