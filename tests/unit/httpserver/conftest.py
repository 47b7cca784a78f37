"""A connection without sockets and without a running loop: bytes are fed by hand, time stands still."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import pytest

from lamella.httpserver import (
    Answer,
    Buffered,
    Exchange,
    Limits,
    Refusal,
    RejectedError,
    Request,
    Streamed,
    refusal_status,
)
from lamella.httpserver.connection import Connection
from lamella.httpserver.shared import Shared

DEFAULT = Limits()


class FakeTransport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.sent = bytearray()
        self.writes = 0
        self.closed = False
        self.aborted = False
        self.ended = False
        self.reading = True
        self.unsent_bytes = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.ended, "written after the end"
        self.sent += data
        self.writes += 1

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def is_closing(self) -> bool:
        return self.closed

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def pause_reading(self) -> None:
        assert self.reading, "paused twice"
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading, "resumed twice"
        self.reading = True

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("192.0.2.1", 1234) if name == "peername" else default


@dataclass
class FakeTimer:
    callback: Callable[..., None]
    args: tuple[Any, ...]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class FakeLoop:
    """Time that moves when told; callbacks that run when told. Tasks and futures are the real loop's, if one runs."""

    now_s: float = 1000.0
    soon: list[tuple[Callable[..., None], tuple[Any, ...]]] = field(default_factory=list)
    timers: list[FakeTimer] = field(default_factory=list)

    def time(self) -> float:
        return self.now_s

    def call_soon(self, callback: Callable[..., None], *args: Any) -> None:
        self.soon.append((callback, args))

    def call_later(self, delay_s: float, callback: Callable[..., None], *args: Any) -> FakeTimer:
        self.timers.append(FakeTimer(callback, args))
        return self.timers[-1]

    def create_task(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(coroutine)

    def create_future(self) -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_future()

    def run_soon(self) -> None:
        while self.soon:
            callback, args = self.soon.pop(0)
            callback(*args)

    def fire_timers(self) -> None:
        timers, self.timers = self.timers, []
        for timer in timers:
            if not timer.cancelled:
                timer.callback(*timer.args)


class FakeHandler:
    """Notes what it is called with, and answers every request with its number."""

    def __init__(self) -> None:
        self.plan: Buffered | Streamed = Buffered(1_000_000)
        self.rejection: Answer | None = None
        self.answer = True
        self.on_handle: Callable[[Exchange], None] | None = None
        self.exchanges: list[Exchange] = []
        self.refusals: list[Refusal] = []
        self.refused: list[Request | None] = []
        self.errors: list[BaseException] = []

    @property
    def requests(self) -> list[Request]:
        return [exchange.request for exchange in self.exchanges]

    def head(self, request: Request) -> Buffered | Streamed:
        if self.rejection is not None:
            raise RejectedError(self.rejection)
        return self.plan

    def handle(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)
        if self.on_handle is not None:
            self.on_handle(exchange)
        elif self.answer:
            exchange.respond(200, (), b"%d" % len(self.exchanges))

    def refuse(self, request: Request | None, refusal: Refusal) -> Answer:
        self.refused.append(request)
        self.refusals.append(refusal)
        return Answer(refusal_status(request, refusal), (), refusal.name.encode())

    def failed(self, exchange: Exchange, error: BaseException) -> Answer:
        self.errors.append(error)
        return Answer(500, (), b"failed")


class Wire:
    """A connection with its fakes around it."""

    def __init__(
        self,
        limits: Limits = DEFAULT,
        *,
        half_close: bool = True,
        dated: bool = False,
        handler: FakeHandler | None = None,
        others: int = 0,
    ) -> None:
        self.handler = FakeHandler() if handler is None else handler
        self.loop = FakeLoop()
        self.transport = FakeTransport()
        self.shared = Shared(self.handler, limits, half_close=half_close, dated=dated)
        self.shared.loop = cast("asyncio.AbstractEventLoop", self.loop)
        self.shared.watch = lambda: None
        self.shared.on_quiet = lambda: None
        self.shared.connections.update(Connection(self.shared) for _ in range(others))
        self.connection = Connection(self.shared)
        self.connection.connection_made(self.transport)

    def feed(self, *pieces: bytes) -> bytes:
        """Feed pieces as the transport would; return what was sent since."""
        before = len(self.transport.sent)
        for piece in pieces:
            if not self.transport.closed:
                self.connection.data_received(piece)
                self.loop.run_soon()
        return bytes(self.transport.sent[before:])

    def end(self) -> bytes:
        """Let the peer end its side; return what was sent since."""
        before = len(self.transport.sent)
        if not self.connection.eof_received():
            self.transport.close()
        self.loop.run_soon()
        return bytes(self.transport.sent[before:])

    def expire(self, after_s: float) -> bytes:
        before = len(self.transport.sent)
        self.loop.now_s += after_s
        self.connection.expire(self.loop.now_s)
        return bytes(self.transport.sent[before:])

    async def settle(self) -> None:
        """Wait for the coroutines that handlers have started."""
        if self.shared.tasks:
            await asyncio.wait(self.shared.tasks)

    @property
    def sent(self) -> bytes:
        return bytes(self.transport.sent)


class MakeWire(Protocol):
    def __call__(
        self,
        limits: Limits = ...,
        *,
        half_close: bool = ...,
        dated: bool = ...,
        handler: FakeHandler | None = ...,
        others: int = ...,
    ) -> Wire: ...


@pytest.fixture(scope="session")
def make_wire() -> MakeWire:
    return Wire


@pytest.fixture
def wire() -> Wire:
    return Wire()
