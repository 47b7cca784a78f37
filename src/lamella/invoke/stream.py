"""Where a streamed response passes from the runtime's side to the caller's, for one invocation.

Neither side knows the other: the environment writes and learns only that it must wait; the caller reads and learns only
that there is more, or how it ended. Either may be driven without a task (`lamella.invoke.eager`), so that a wait may
end, and the other side run on, within the very call that ends it: each method changes what there is to change first,
and wakes last.
"""

import asyncio
import base64
import math
from collections import deque
from time import monotonic
from typing import Final

from lamella.awsapi._types import InvokeWithResponseStreamCompleteEvent, InvokeWithResponseStreamResponseEvent
from lamella.invoke.eager import Slot

DEFAULT_CONTENT_TYPE: Final = "application/octet-stream"  # section 2.3: what a response without a type is
BUFFER_BYTES: Final = 256 * 1024

_BURST_BYTES: Final = 6 * 1024 * 1024
_RATE_BYTES_S: Final = 2 * 1024 * 1024
_TICK_S: Final = 0.125


class RateLimit:
    """RT-46: how fast a function may stream, once it has sent a first lot at any speed.

    Source: developer guide, "Bandwidth limits for response streaming"; the public runtime interface emulator for the
    steps in which the bucket is topped up.
    """

    def __init__(self, *, now_s: float) -> None:
        """Full, at `now_s` (monotonic)."""
        self._left_bytes = float(_BURST_BYTES)
        self._ticked_s = now_s

    def take(self, size_bytes: int, *, now_s: float) -> float:
        """Count a chunk in.

        Returns:
            Seconds from now until it may be sent. A chunk that is larger than all there can ever be may go when the
            bucket is full; those after it wait the longer.
        """
        ticks = math.floor((now_s - self._ticked_s) / _TICK_S)
        self._ticked_s += ticks * _TICK_S
        self._left_bytes = min(self._left_bytes + ticks * _TICK_S * _RATE_BYTES_S, _BURST_BYTES)
        lacking_bytes = min(size_bytes, _BURST_BYTES) - self._left_bytes
        self._left_bytes -= size_bytes
        if lacking_bytes <= 0:
            return 0.0
        return self._ticked_s + math.ceil(lacking_bytes / (_TICK_S * _RATE_BYTES_S)) * _TICK_S - now_s


class ResponseStream:
    """One streamed response: one writer, one reader.

    The runtime's side calls `begin`, then `write` or `put`, then `finish`. The caller's side calls `wait_began`, then
    iterates over the events as the model names them, `InvokeComplete` last, or calls `abandon` if it goes away before.
    Everything must be called on the event loop.
    """

    def __init__(self, *, buffer_bytes: int = BUFFER_BYTES, rate_limit: RateLimit | None = None) -> None:
        """Nothing has come.

        Args:
            buffer_bytes: `write` waits while the reader is behind by more.
            rate_limit: Slows `write` down.
        """
        self._buffer_bytes = buffer_bytes
        self._rate_limit = rate_limit
        self._content_type: str | None = None
        self._chunks: deque[bytes] = deque()
        self._held_bytes = 0
        self._complete: InvokeWithResponseStreamCompleteEvent | None = None
        self._error: BaseException | None = None
        self._ended = False  # by `finish`, `fail` or `abandon`: nothing more is taken
        self._reader: Slot[None] | None = None
        self._writer: Slot[None] | None = None

    # The runtime's side

    @property
    def began(self) -> bool:
        """The response has begun: an error is no answer of its own any more, but ends the stream."""
        return self._content_type is not None

    def begin(self, content_type: str) -> None:
        """Begin the response; the first call decides. An empty type means the default."""
        if self._content_type is None:
            self._content_type = content_type or DEFAULT_CONTENT_TYPE
            self._wake_reader()

    def put(self, chunk: bytes) -> None:
        """Take a chunk, however far the reader is behind; dropped if nobody will read it. Begins the response."""
        if self._ended or not chunk:
            return
        self._chunks.append(chunk)
        self._held_bytes += len(chunk)
        self._content_type = self._content_type or DEFAULT_CONTENT_TYPE
        self._wake_reader()

    async def write(self, chunk: bytes) -> None:
        """Take a chunk, then wait while the reader is behind; before that, as long as the rate limit says.

        Returns at once when the reader is gone, since a function goes on without its caller, and when the stream is
        finished meanwhile.
        """
        if self._rate_limit is not None and not self._ended:
            delay_s = self._rate_limit.take(len(chunk), now_s=monotonic())
            if delay_s > 0:
                await self._wait_s(delay_s)
        self.put(chunk)
        while self._held_bytes > self._buffer_bytes and not self._ended:
            self._writer = Slot()
            await self._writer

    def finish(self, *, error_code: str = "", error_details: str = "", log_result: bytes | None = None) -> None:
        """End the stream, beginning it if need be; nothing happens if it has ended.

        Args:
            error_code: Of the final event; empty if the function succeeded.
            error_details: Likewise.
            log_result: The last 4 KB of the log, if asked for; not yet in base64.
        """
        if self._ended:
            return
        complete: InvokeWithResponseStreamCompleteEvent = {}
        if error_code:
            complete["ErrorCode"] = error_code
        if error_details:
            complete["ErrorDetails"] = error_details
        if log_result is not None:
            complete["LogResult"] = base64.b64encode(log_result).decode()
        self._complete = complete
        self._content_type = self._content_type or DEFAULT_CONTENT_TYPE
        self._end()

    def fail(self, error: BaseException) -> None:
        """End the stream because of a fault of the platform; whoever reads it gets the error after what came before."""
        if not self._ended:
            self._error = error
            self._end()

    # The caller's side

    async def wait_began(self) -> str:
        """Wait until the response has begun, and return its content type.

        Raises:
            BaseException: What `fail` was called with; the response has not begun.
        """
        while self._content_type is None and not self._ended:
            self._reader = Slot()
            await self._reader
        if self._content_type is None and self._error is not None:
            raise self._error
        return self._content_type or DEFAULT_CONTENT_TYPE

    def __aiter__(self) -> "ResponseStream":
        """The stream is its own iterator: what has been read is gone."""
        return self

    async def __anext__(self) -> InvokeWithResponseStreamResponseEvent:
        """The next event.

        Raises:
            BaseException: What `fail` was called with.
        """
        while not self._chunks and not self._ended:
            self._reader = Slot()
            await self._reader
        if self._chunks:
            chunk = self._chunks.popleft()
            self._held_bytes -= len(chunk)
            if self._held_bytes <= self._buffer_bytes:
                self._wake_writer()
            return {"PayloadChunk": {"Payload": chunk}}
        if self._error is not None:
            raise self._error
        complete, self._complete = self._complete, None
        if complete is None:
            raise StopAsyncIteration
        return {"InvokeComplete": complete}

    def abandon(self) -> None:
        """The caller is gone, or has read all: what is held is dropped, and so is what comes."""
        self._chunks.clear()
        self._held_bytes = 0
        self._complete = None
        self._end()

    async def aclose(self) -> None:
        """Abandon it, as asynchronous iterators are told."""
        self.abandon()

    def _end(self) -> None:
        self._ended = True
        self._wake_writer()
        self._wake_reader()

    async def _wait_s(self, delay_s: float) -> None:
        """Wait for a time, or until the stream has ended."""
        slot: Slot[None] = Slot()
        self._writer = slot
        timer = asyncio.get_running_loop().call_later(delay_s, slot.set_result, None)
        try:
            await slot
        finally:
            timer.cancel()

    def _wake_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.set_result(None)

    def _wake_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.set_result(None)
