"""The body of a streamed request, between the connection that receives it and the handler that reads it."""

import asyncio
from collections import deque
from collections.abc import Callable

from lamella.httpserver.message import TruncatedBodyError


class IncomingBody:
    """A queue of pieces for one reader.

    Attributes:
        size_bytes: What has come and not been read.
    """

    __slots__ = ("_ended", "_error", "_on_read", "_pieces", "_waiter", "size_bytes")

    def __init__(self, on_read: Callable[[], None]) -> None:
        """Start empty.

        Args:
            on_read: Called at each read before it waits, and after each piece is taken: time to let more come in.
        """
        self._pieces: deque[bytes] = deque()
        self._ended = False
        self._error: TruncatedBodyError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._on_read = on_read
        self.size_bytes = 0

    def feed(self, data: bytes) -> None:
        """Add a piece."""
        self._pieces.append(data)
        self.size_bytes += len(data)
        self._wake()

    def end(self) -> None:
        """The body is complete."""
        self._ended = True
        self._wake()

    def fail(self, error: TruncatedBodyError) -> None:
        """The rest will not come. What has come can still be read. Without effect after the end."""
        if not self._ended and self._error is None:
            self._error = error
            self._wake()

    async def read(self) -> bytes:
        """Return the next piece; empty at the end.

        Raises:
            TruncatedBodyError: See `fail`.
            RuntimeError: Someone else is reading.
        """
        while not self._pieces:
            if self._ended:
                return b""
            if self._error is not None:
                raise self._error
            if self._waiter is not None:
                raise RuntimeError("the body is being read already")
            self._on_read()
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        data = self._pieces.popleft()
        self.size_bytes -= len(data)
        self._on_read()
        return data

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
