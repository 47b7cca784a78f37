"""One request to another HTTP server, streamed both ways: what is held of a body is a few pieces, however long it is.

The peer is a neighbour, not an adversary; but it may break, hang, or speak nonsense, and whoever asked is told.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import httptools

from lamella.neighbour.endpoint import Endpoint

_PIECE_BYTES: Final = 65_536
_HEAD_BYTES_MAX: Final = 131_072
_CONNECT_TIMEOUT_S: Final = 10.0
_SILENCE_S: Final = 300.0
"""Between two pieces of what either side has to say. A long poll of SQS takes 20 s at most."""

Headers = Sequence[tuple[str, str]]


class UpstreamError(Exception):
    """The other server cannot be reached, went silent, or does not speak HTTP; the text says which."""


class Upstream:
    """A connection for one request. Close it whatever happens.

    Attributes:
        status: Of the answer; 0 until `wait_head` has returned.
        headers: Of the answer, names in lower case.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._parser: Any = httptools.HttpResponseParser(self)  # httptools has no types
        self._pieces: deque[bytes] = deque()
        self._head_bytes = 0
        self._head_complete = False
        self._complete = False
        self._bodiless = False
        self._chunked = False
        self.status = 0
        self.headers: list[tuple[str, str]] = []

    async def send_head(self, method: str, target: str, headers: Headers, *, chunked: bool) -> None:
        """Send the request line and headers; `Connection`, and the transfer coding if need be, are added.

        Raises:
            UpstreamError: See there.
            ValueError: A header would break the framing.
        """
        self._bodiless = method == "HEAD"
        self._chunked = chunked
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "Connection: close"]
        if chunked:
            lines.append("Transfer-Encoding: chunked")
        if any("\r" in line or "\n" in line or "\0" in line for line in lines):
            raise ValueError("a line of the head holds a line end")
        await self._write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    async def send(self, piece: bytes) -> None:
        """Send a piece of the body; an empty one ends it.

        Raises:
            UpstreamError: See there.
        """
        if self._chunked:
            await self._write(b"%x\r\n%b\r\n" % (len(piece), piece))
        elif piece:
            await self._write(piece)

    async def wait_head(self) -> None:
        """Wait for the head of the answer.

        Raises:
            UpstreamError: See there.
        """
        while not self._head_complete:
            await self._feed()

    async def read(self) -> bytes:
        """The next piece of the answer's body; empty at its end.

        Raises:
            UpstreamError: The answer was cut off, among others.
        """
        while not self._pieces:
            if self._complete:
                return b""
            await self._feed()
        return self._pieces.popleft()

    def close(self) -> None:
        """Drop the connection. Idempotent."""
        self._writer.transport.abort()

    async def _write(self, data: bytes) -> None:
        try:
            self._writer.write(data)
            async with asyncio.timeout(_SILENCE_S):
                await self._writer.drain()
        except (OSError, TimeoutError) as error:
            raise UpstreamError(f"it takes no more: {_reason(error)}") from error

    async def _feed(self) -> None:
        try:
            async with asyncio.timeout(_SILENCE_S):
                data = await self._reader.read(_PIECE_BYTES)
        except (OSError, TimeoutError) as error:
            raise UpstreamError(f"it does not answer: {_reason(error)}") from error
        if not data:
            if self._head_complete and not self._has_length():
                self._complete = True  # an answer without a length ends with its connection
                return
            raise UpstreamError("it ended the connection before its answer was complete")
        if not self._head_complete:
            self._head_bytes += len(data)
            if self._head_bytes > _HEAD_BYTES_MAX + _PIECE_BYTES:
                raise UpstreamError("the head of its answer does not end")
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._complete:
                raise UpstreamError(f"it does not speak HTTP: {error}") from error

    def _has_length(self) -> bool:
        return any(name in ("content-length", "transfer-encoding") for name, _ in self.headers)

    # The parser's side

    def on_message_begin(self) -> None:
        """An interim answer may have come before."""
        if not self._head_complete:
            self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep it as it is."""
        if not self._head_complete:
            self.headers.append((name.decode("latin-1").lower(), value.decode("latin-1").strip()))

    def on_headers_complete(self) -> None:
        """The status is known, unless it is an interim one."""
        status = self._parser.get_status_code()
        if status >= 200 and not self._head_complete:
            self.status = status
            self._head_complete = True
            self._complete = self._bodiless or status in (204, 304)

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        if not self._complete:
            self._pieces.append(data)

    def on_message_complete(self) -> None:
        """The answer is complete, if it was the final one."""
        self._complete = self._complete or self._head_complete


def _reason(error: Exception) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else str(error)


async def open_upstream(endpoint: Endpoint) -> Upstream:
    """Connect.

    Raises:
        UpstreamError: Nobody listens there, or not in time.
    """
    try:
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            if endpoint.unix:
                reader, writer = await asyncio.open_unix_connection(endpoint.unix, limit=_PIECE_BYTES)
            else:
                context = ssl.create_default_context() if endpoint.tls else None
                reader, writer = await asyncio.open_connection(
                    endpoint.host, endpoint.port, ssl=context, limit=_PIECE_BYTES
                )
    except (OSError, TimeoutError) as error:
        raise UpstreamError(f"{endpoint.url} cannot be reached: {_reason(error)}") from error
    return Upstream(reader, writer)
