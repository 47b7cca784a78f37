"""The transport side of a connection: back-pressure, deadlines, and ends that lose nothing."""

import asyncio
import math
from typing import Any, Final, cast

from lamella.httpserver.limits import Limits
from lamella.httpserver.message import DisconnectedError

# States. Plain integers and false first: the state is looked at for every packet.
READING: Final = 0  # what comes in is parsed
BUSY: Final = 1  # a complete request has no answer yet, or the peer does not read its answers: input waits
LINGERING: Final = 2  # all is said; what still comes is dropped, so that the peer gets to read our last answer
CLOSED: Final = 3

_LINGER_BYTES_MAX: Final = 1_048_576
_LINGER_S: Final = 2.0


class Link(asyncio.Protocol):
    """What a connection knows of its peer, whatever is spoken over it.

    Attributes:
        deadline_s: When the peer must have sent more, on the loop's clock; `math.inf` for never.
        write: The transport's `write`.
    """

    __slots__ = (
        "_eof",
        "_limits",
        "_linger_bytes",
        "_linger_timer",
        "_loop",
        "_reading_paused",
        "_state",
        "_transport",
        "_unsent_bytes",
        "_write_deadline_s",
        "_write_paused",
        "_write_waiters",
        "deadline_s",
        "write",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits) -> None:
        """Start without a transport."""
        self._loop = loop
        self._limits = limits
        self._transport: asyncio.Transport
        self._state = READING
        self._eof = False
        self._reading_paused = False
        self._write_paused = False
        self._write_waiters: list[asyncio.Future[None]] = []
        self._unsent_bytes = 0
        self._write_deadline_s = math.inf
        self._linger_bytes = 0
        self._linger_timer: asyncio.TimerHandle | None = None
        self.deadline_s = math.inf

    @property
    def connected(self) -> bool:
        """The peer can still be written to."""
        return self._state < LINGERING and not self._transport.is_closing()

    @property
    def peer(self) -> Any:  # the shape depends on the address family
        """The address of the peer."""
        return self._transport.get_extra_info("peername")

    @property
    def next_deadline_s(self) -> float:
        """The earlier of the deadlines for reading and for writing."""
        return min(self.deadline_s, self._write_deadline_s)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        # Not checked: uvloop's transports do not inherit from asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self.write = self._transport.write

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        """Tell those who wait."""
        self._state = CLOSED
        if self._linger_timer is not None:
            self._linger_timer.cancel()
        self._wake_writers()

    # Writing

    def pause_writing(self) -> None:
        """The send buffer is over its high-water mark."""
        self._write_paused = True
        self._watch_unsent()

    def resume_writing(self) -> None:
        """The send buffer has drained."""
        self._write_paused = False
        self._write_deadline_s = math.inf
        self._wake_writers()

    async def wait_writable(self) -> None:
        """Wait until the send buffer is below its high-water mark; raises `DisconnectedError`."""
        if self._write_paused and self._state != CLOSED:
            waiter = self._loop.create_future()
            self._write_waiters.append(waiter)
            await waiter
        # A transport that has failed tells us so only when the loop runs, which a busy writer would not let it.
        if self._state == CLOSED or self._transport.is_closing():
            raise DisconnectedError

    def _wake_writers(self) -> None:
        waiters, self._write_waiters = self._write_waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _watch_unsent(self) -> None:
        timeout_s = self._limits.write_timeout_s
        if timeout_s is not None:
            self._unsent_bytes = self._transport.get_write_buffer_size()
            self._write_deadline_s = self._loop.time() + timeout_s

    def _expire_write(self, now_s: float) -> None:
        """Cut the connection if the peer has taken nothing since the last look."""
        if self._write_deadline_s <= now_s:
            if self._transport.get_write_buffer_size() >= self._unsent_bytes:
                self.cut()
            else:
                self._watch_unsent()

    # Reading

    def _arm(self, timeout_s: float | None) -> None:
        self.deadline_s = math.inf if timeout_s is None else self._loop.time() + timeout_s

    def _read_from_peer(self, wanted: bool) -> None:
        if wanted is self._reading_paused and not self._eof and not self._transport.is_closing():
            self._reading_paused = not wanted
            if wanted:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    # Ends

    def cut(self) -> None:
        """Drop the connection at once."""
        self._state = CLOSED
        self._transport.abort()

    def _close(self) -> None:
        """Close when what is written has been sent."""
        self._state = CLOSED
        self.deadline_s = math.inf
        if self._transport.get_write_buffer_size():
            self._watch_unsent()
        self._transport.close()

    def _linger(self, most_bytes: int = _LINGER_BYTES_MAX) -> None:
        """End our side, and drop what comes until the peer ends its own, up to `most_bytes`.

        Closing while the peer still sends would reset the connection, and the answer might be lost with it.
        """
        if self._eof or not self._transport.can_write_eof():
            self._close()
            return
        self._state = LINGERING
        self.deadline_s = math.inf
        self._linger_bytes = most_bytes
        self._read_from_peer(True)
        self._transport.write_eof()
        self._linger_timer = self._loop.call_later(_LINGER_S, self._linger_on, most_bytes)

    def _linger_on(self, left_bytes: int) -> None:
        if self._linger_bytes < left_bytes:
            self._linger_timer = self._loop.call_later(_LINGER_S, self._linger_on, self._linger_bytes)
        else:
            self.cut()

    def _drop(self, data: bytes) -> None:
        """Take what comes while lingering."""
        self._linger_bytes -= len(data)
        if self._linger_bytes < 0:
            self.cut()
