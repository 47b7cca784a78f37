"""One request and its answer, as a handler sees them."""

import enum
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, Protocol

from lamella.httpserver.incoming import IncomingBody
from lamella.httpserver.message import DisconnectedError, Request
from lamella.httpserver.rendering import (
    Framing,
    are_plain,
    date_line,
    has_no_body,
    header_lines,
    length_line,
    status_line,
    take_framing,
    trailer_lines,
)

Headers = Sequence[tuple[str, str]]


class Phase(enum.IntEnum):
    """How far the answer is."""

    OPEN = 0  # nothing has been sent; the only one that is false, for the test on the hot path
    STREAMING = 1
    DONE = 2
    LOST = 3  # the peer left first: answers are dropped, since a handler cannot know


# Plain integers: looking up a member of an enumeration costs more than the comparison.
_OPEN: Final = int(Phase.OPEN)
_STREAMING: Final = int(Phase.STREAMING)
_DONE: Final = int(Phase.DONE)
_LOST: Final = int(Phase.LOST)


class Channel(Protocol):
    """The connection, as an exchange needs it."""

    persists: bool  # HTTP/1.1, to be kept after this exchange: the head needs no `Connection` header
    keep_alive: bool
    dated: bool

    @property
    def http10(self) -> bool:
        """The peer speaks HTTP/1.0."""
        ...

    @property
    def connected(self) -> bool:
        """The peer can still be written to."""
        ...

    @property
    def peer(self) -> Any:  # the shape depends on the address family
        """The address of the peer."""
        ...

    def connection_line(self) -> str:
        """Decide whether the connection is kept, and return the header line that says so, if one is needed."""
        ...

    def send_answer(self, head: bytes, body: bytes) -> None:
        """Write a complete answer and go on to the next request."""
        ...

    def write(self, data: bytes) -> None:
        """Write without waiting."""
        ...

    async def wait_writable(self) -> None:
        """Wait until the send buffer is below its high-water mark; raises `DisconnectedError`."""
        ...

    def finish_answer(self) -> None:
        """Go on to the next request."""
        ...

    def cut(self) -> None:
        """Drop the connection."""
        ...

    def start(self, exchange: "Exchange", coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine owned by the server."""
        ...


class Exchange:
    """A request that wants exactly one answer.

    Complete answers: `respond`, or `respond_raw` where the head is rendered beforehand. Answers in pieces:
    `start_response`, `write` and `finish`. A second answer raises `RuntimeError`; an answer after the peer has left
    is dropped. Everything must be called on the event loop.
    """

    __slots__ = ("_callbacks", "_channel", "_chunked", "_incoming", "_left_bytes", "_phase", "request")

    def __init__(self, request: Request, channel: Channel, incoming: IncomingBody | None = None) -> None:
        """Open an exchange; the server's business."""
        self.request = request
        self._channel = channel
        self._incoming = incoming
        self._phase = _OPEN
        self._callbacks: list[Callable[[], None]] | None = None

    @property
    def peer(self) -> Any:  # the shape depends on the address family
        """The address of the peer as `socket.getpeername` gives it; None if it is gone."""
        return self._channel.peer

    @property
    def connected(self) -> bool:
        """The peer is still there, as far as is known, and waits for (the rest of) the answer."""
        return self._phase < _DONE and self._channel.connected

    @property
    def phase(self) -> Phase:
        """How far the answer is."""
        return Phase(self._phase)

    # Complete answers

    def respond(self, status: int, headers: Headers, body: bytes = b"") -> None:
        """Send a complete answer; `Content-Length` and `Connection` are added, and `Date` if the server is set so.

        To `HEAD`, and with 204 and 304, the body is not sent. `Connection: close` among the headers is honoured.

        Raises:
            ValueError: A header is not valid. Nothing has been sent: another answer can be given.
            RuntimeError: There was an answer already.
        """
        if self._phase:
            self._check_lost()
            return
        channel = self._channel
        framing: Framing | None = None
        if not are_plain(headers):
            headers, framing = take_framing(headers)
            if framing.close:
                channel.keep_alive = channel.persists = False
        method = self.request.method
        head = f"{status_line(status)}{header_lines(headers)}{length_line(method, status, len(body), framing)}"
        if channel.dated and not (framing is not None and framing.date):
            head += date_line()
        if not channel.persists:
            head += channel.connection_line()
        encoded = f"{head}\r\n".encode("latin-1")
        self._phase = _DONE
        channel.send_answer(encoded, b"" if has_no_body(method, status) else body)

    def respond_raw(self, head: bytes, body: bytes) -> None:
        """Send a complete answer whose head is rendered already; the fastest way.

        Args:
            head: Status line and headers, `Content-Length` included, with the empty line at the end; not checked.
                Without `Connection`: that is added where it is needed.
            body: As long as announced. To `HEAD` it is not sent.
        """
        if self._phase:
            self._check_lost()
            return
        channel = self._channel
        if not channel.persists:
            head = b"%b%b\r\n" % (head[:-2], channel.connection_line().encode())
        self._phase = _DONE
        channel.send_answer(head, b"" if self.request.method == "HEAD" else body)

    # Answers in pieces

    def start_response(self, status: int, headers: Headers) -> None:
        """Send the head of an answer whose body follows with `write`.

        Without `Content-Length` among the headers the body is sent in chunks, or ended by closing to HTTP/1.0.

        Raises:
            ValueError, RuntimeError: As `respond`.
        """
        if self._phase:
            self._check_lost()
            return
        channel = self._channel
        plain, framing = take_framing(headers)
        bodiless = has_no_body(self.request.method, status)
        lines = header_lines(plain)
        chunked = False
        if framing.content_length is not None:
            if status != 204:
                lines += f"Content-Length: {framing.content_length}\r\n"
        elif channel.http10:
            channel.keep_alive = channel.keep_alive and bodiless
        elif status not in (204, 304):
            chunked = True
            lines += "Transfer-Encoding: chunked\r\n"
        if framing.close:
            channel.keep_alive = channel.persists = False
        if channel.dated and not framing.date:
            lines += date_line()
        if not channel.persists or not channel.keep_alive:
            lines += channel.connection_line()
        head = f"{status_line(status)}{lines}\r\n".encode("latin-1")
        # -1: any length; None: the body is not sent at all.
        self._left_bytes = None if bodiless else -1 if framing.content_length is None else framing.content_length
        self._chunked = chunked and not bodiless
        self._phase = _STREAMING
        channel.write(head)

    async def write(self, chunk: bytes) -> None:
        """Send a piece of the body, then wait while the peer is slower than we are.

        Raises:
            DisconnectedError: The peer is gone.
            ValueError: More than the announced length. Nothing of the piece has been sent.
        """
        self._check_streaming()
        if self._phase == _LOST:
            raise DisconnectedError
        left = self._left_bytes
        if not chunk or left is None:
            return
        channel = self._channel
        if self._chunked:
            channel.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        else:
            if left >= 0:
                if len(chunk) > left:
                    raise ValueError(f"{len(chunk) - left} bytes more than the announced Content-Length")
                self._left_bytes = left - len(chunk)
            channel.write(chunk)
        await channel.wait_writable()

    def finish(self, trailers: Headers = ()) -> None:
        """End the body. Trailers are sent if it is chunked, else dropped.

        Raises:
            RuntimeError: Less than the announced length was written; the connection is cut, so that the peer knows.
        """
        self._check_streaming()
        if self._phase == _LOST:
            return
        if self._left_bytes is not None and self._left_bytes > 0:
            self.abort()
            raise RuntimeError("less was written than the announced Content-Length")
        if self._chunked:
            self._channel.write(b"0\r\n%b\r\n" % trailer_lines(trailers))
        self._phase = _DONE
        self._channel.finish_answer()

    def abort(self) -> None:
        """Give up: cut the connection, so that the peer cannot take what it has for the whole answer."""
        if self._phase < _DONE:
            self._phase = _DONE
            self._channel.cut()

    # Requests in pieces, and the rest

    async def read_chunk(self) -> bytes:
        """Return the next piece of a `Streamed` body, empty at its end; one reader at a time.

        Raises:
            TruncatedBodyError: The rest will not come.
        """
        if self._incoming is None:
            return b""
        return await self._incoming.read()

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine that answers before it ends. The server owns it, and cancels it when it closes.

        An exception is logged and answered through `Handler.failed`, or cuts the connection if the answer has begun.
        """
        self._channel.start(self, coroutine)

    def on_disconnect(self, callback: Callable[[], None]) -> None:
        """Call back when the peer goes away before the answer is complete; at once if that has happened.

        A peer that has only ended its sending side (half-closed) counts as gone where the server is set so.
        """
        if self._phase == _LOST:
            callback()
        elif self._callbacks is None:
            self._callbacks = [callback]
        else:
            self._callbacks.append(callback)

    def lose(self) -> list[Callable[[], None]]:
        """Note that the peer is gone and return what is to be called; the server's business."""
        if self._phase >= _DONE:
            return []
        self._phase = _LOST
        callbacks, self._callbacks = self._callbacks, None
        return callbacks or []

    def _check_lost(self) -> None:
        if self._phase != _LOST:
            raise RuntimeError("the request has been answered already")

    def _check_streaming(self) -> None:
        if self._phase not in (_STREAMING, _LOST):
            raise RuntimeError("no response has been started, or it is finished")
