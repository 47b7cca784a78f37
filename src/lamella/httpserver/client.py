"""The client's side of HTTP/1.1, no more than it takes to hand something in and see whether it was accepted.

The peer is a process inside a sandbox and may answer anything or nothing. What it can make us hold is bounded; how long
it may take is for the caller to bound, by cancelling the call or by `abort`.
"""

import asyncio
import socket
from typing import Any, Final

import httptools

from lamella.httpserver.message import DisconnectedError

_MAX_HEAD_BYTES: Final = 65_536
_MAX_ANSWER_BYTES: Final = 1_048_576
"""Head and body. What a listener says beside its status is of no interest; one that says more is cut off."""


class BadAnswerError(Exception):
    """What came is not HTTP, or more than anybody has to say to us. The connection is closed."""


class Client(asyncio.Protocol):
    """One connection to a server; requests go over it one after the other.

    Attributes:
        usable: Whether another request, or other data, can be sent.
    """

    __slots__ = (
        "_answer_bytes",
        "_closed",
        "_head_complete",
        "_keep_alive",
        "_parser",
        "_status",
        "_transport",
        "_waiter",
        "_writable",
        "_write_paused",
        "usable",
    )

    def __init__(self) -> None:
        """Start without a transport; see `open_client`."""
        self._transport: Any = None  # uvloop's transports do not inherit from asyncio's
        self._parser: Any = None  # httptools has no types
        self._waiter: asyncio.Future[int] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._write_paused = False
        self._closed = False
        self._answer_bytes = 0
        self._head_complete = False
        self._keep_alive = False
        self._status = 0
        self.usable = True

    async def request(self, head: bytes, body: bytes) -> int:
        """Send a request and wait for its answer, whose body is dropped.

        Args:
            head: Request line and headers, `Content-Length` among them, with the empty line at the end.
            body: As long as the head says.

        Returns:
            The status.

        Raises:
            DisconnectedError: The connection ended before the answer was there.
            BadAnswerError: See there.
            RuntimeError: Another request is on its way.
        """
        if self._waiter is not None:
            raise RuntimeError("one request at a time")
        if not self.usable:
            raise DisconnectedError
        self._parser = httptools.HttpResponseParser(self)
        self._answer_bytes = 0
        self._head_complete = False
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(head + body)
        try:
            return await self._waiter
        except asyncio.CancelledError:
            self.abort()  # the answer would be taken for that of the next request
            raise
        finally:
            self._waiter = None

    async def send(self, data: bytes) -> None:
        """Write data, and wait until the system has taken it all.

        Raises:
            DisconnectedError: The connection has ended.
        """
        if not self.usable:
            raise DisconnectedError
        self._transport.write(data)
        if self._write_paused:
            self._writable = asyncio.get_running_loop().create_future()
            try:
                await self._writable
            finally:
                self._writable = None
        if self._transport.is_closing():
            raise DisconnectedError

    def abort(self) -> None:
        """Drop the connection at once. Idempotent."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = transport
        self._transport.set_write_buffer_limits(high=0)  # so that `send` knows when the system has taken everything

    def data_received(self, data: bytes) -> None:
        """Read on in the answer."""
        if self._waiter is None or self._waiter.done():
            if self._parser is not None:
                self.abort()  # more than one answer to a request
            return  # a listener for plain TCP may say what it likes
        self._answer_bytes += len(data)
        if self._answer_bytes > (_MAX_ANSWER_BYTES if self._head_complete else _MAX_HEAD_BYTES):
            self._fail(BadAnswerError("the answer is too long"))
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._waiter.done():
                self._fail(BadAnswerError(str(error)))
            else:
                self.abort()

    def eof_received(self) -> bool:
        """The peer says no more; an answer without a length is complete thereby."""
        self.usable = False
        self._end_by_close()
        return False

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        """Tell whoever waits."""
        self.usable = False
        self._end_by_close()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(DisconnectedError())
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def pause_writing(self) -> None:
        """The system has not taken everything."""
        self._write_paused = True

    def resume_writing(self) -> None:
        """Now it has."""
        self._write_paused = False
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    # The parser's side

    def on_message_begin(self) -> None:
        """Something follows a complete answer."""
        if self._waiter is not None and self._waiter.done():
            self.abort()

    def on_headers_complete(self) -> None:
        """The status is known."""
        status = self._parser.get_status_code()
        if status >= 200:  # an interim answer is no answer
            self._head_complete = True
            self._status = status
            self._keep_alive = self._parser.should_keep_alive()

    def on_message_complete(self) -> None:
        """The answer is there."""
        if self._head_complete and self._waiter is not None and not self._waiter.done():
            if not self._keep_alive:
                self.usable = False
                self._transport.close()
            self._waiter.set_result(self._status)

    def _end_by_close(self) -> None:
        if self._head_complete and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(self._status)

    def _fail(self, error: BadAnswerError) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)
        self.abort()


async def open_client(sock: socket.socket, address: str, port: int) -> Client:
    """Connect a socket, which is the client's from then on.

    Args:
        sock: Non-blocking and not connected; closed if this fails.
        address: Numeric.
        port: 1 to 65535.

    Raises:
        OSError: Nobody listens there.
    """
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_connect(sock, (address, port))
        _, client = await loop.create_connection(Client, sock=sock)
    except BaseException:
        sock.close()
        raise
    return client
