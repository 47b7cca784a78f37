"""One connection: requests in, answers out, one at a time and in order."""

import asyncio
import functools
import math
from collections.abc import Coroutine
from typing import Any, Final

from lamella.httpserver.exchange import Exchange, Phase
from lamella.httpserver.handler import LOG, word_failure, word_refusal
from lamella.httpserver.incoming import IncomingBody
from lamella.httpserver.link import BUSY, CLOSED, LINGERING, READING, Link
from lamella.httpserver.message import (
    Answer,
    Buffered,
    DisconnectedError,
    Refusal,
    RejectedError,
    Request,
    TruncatedBodyError,
)
from lamella.httpserver.reader import RequestReader
from lamella.httpserver.shared import Shared

_PARKED_BYTES_MAX: Final = 65_536  # of input that came too early; then reading pauses
_WRITE_TOGETHER_BYTES_MAX: Final = 65_536  # a body up to this is copied behind its head, to be one write
_REST_BYTES_MAX: Final = 65_536  # of a body whose answer came early: dropping that costs less than a new connection


class Connection(Link):
    """Serves one peer.

    Attributes:
        keep_alive: The connection is to be kept after the current answer.
        persists: That is so, and needs no `Connection` header: HTTP/1.1, and the request is complete.
        dated: Answers carry a `Date`.
    """

    __slots__ = (
        "_advancing",
        "_answered",
        "_continue_owed",
        "_draining",
        "_exchange",
        "_head_armed",
        "_held",
        "_held_bytes",
        "_idle_s",
        "_incoming",
        "_parked",
        "_reader",
        "_shared",
        "dated",
        "keep_alive",
        "persists",
    )

    def __init__(self, shared: Shared) -> None:
        """Wait for `connection_made`."""
        super().__init__(shared.loop, shared.limits)
        self._shared = shared
        self._reader = RequestReader(shared.limits)
        self._advancing = False  # `_advance` is on the stack: it goes on by itself
        self._exchange: Exchange | None = None
        self._incoming: IncomingBody | None = None
        self._answered = False  # before the body was complete; the rest of it is being dropped
        self._draining = False  # the handler wants an excessive body read to its end
        self._continue_owed = False
        self._head_armed = True  # the deadline of `connection_made` covers the first head
        self._parked = b""
        self._held_bytes = 0  # as counted in what is shared
        self._held = False  # the next request waits until the peer reads
        self._idle_s = shared.limits.keepalive_timeout_s
        self.keep_alive = True
        self.persists = True
        self.dated = shared.dated

    # Called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start reading."""
        super().connection_made(transport)
        shared = self._shared
        shared.connections.add(self)
        most = shared.limits.max_connections
        if shared.retiring:
            self.cut()
        elif most is not None and len(shared.connections) > most:
            self._refuse(Refusal.OVERLOADED)
        else:
            self._arm(shared.limits.head_timeout_s)
        shared.watch()

    def data_received(self, data: bytes) -> None:
        """Parse, or keep for later."""
        if self._state or self._parked:
            self._park(data)
        else:
            self._advance(data)

    def eof_received(self) -> bool:
        """Note that the peer sends no more; it may still read. False closes the connection."""
        self._eof = True
        if self._state == READING:
            if self._parked:
                return True  # `_resume` is on its way
            return self._end_of_input()
        if self._state == BUSY:
            if self._shared.half_close or self._exchange is None:
                return True
            self._lose_exchange()
        self._state = CLOSED
        return False

    def resume_writing(self) -> None:
        """The send buffer has drained."""
        super().resume_writing()
        if self._held:
            self._held = False
            if self.keep_alive:
                self._state = READING
                self._resume_soon()
            else:
                self._close()

    def connection_lost(self, error: Exception | None) -> None:
        """Tell everyone who waits."""
        super().connection_lost(error)
        self._shared.connections.discard(self)
        self._lose_exchange()
        self._parked = b""
        self._let_go()
        self._reader.close()
        self._shared.on_quiet()

    # Called by the server

    def expire(self, now_s: float) -> None:
        """Act on deadlines that have passed."""
        self._expire_write(now_s)
        if self.deadline_s > now_s or self._state != READING:
            return
        self.deadline_s = math.inf
        if self._exchange is not None:
            self._fail_incoming(Refusal.TIMEOUT)
        elif self._answered:
            self.cut()
        elif self._reader.begun:
            self._refuse(Refusal.TIMEOUT)
        else:
            self._close()

    def retire(self) -> None:
        """Close now if idle, else after the current answer."""
        self.keep_alive = self.persists = False
        if self._state == READING and self._exchange is None and not self._reader.begun and not self._parked:
            self._close()

    # Called by exchanges

    @property
    def http10(self) -> bool:
        """The peer speaks HTTP/1.0."""
        return self._reader.http10

    def connection_line(self) -> str:
        """Settle whether the connection is kept, and return the header line that says so, if one is needed."""
        if not self._reader.complete and not self._can_drop_rest():
            self.keep_alive = False
        if not self.keep_alive:
            return "Connection: close\r\n"
        return "Connection: keep-alive\r\n" if self._reader.http10 else ""

    def send_answer(self, head: bytes, body: bytes) -> None:
        """Write a complete answer and go on to the next request."""
        if len(body) <= _WRITE_TOGETHER_BYTES_MAX:
            self.write(head + body)
        else:
            self._transport.writelines((head, body))
        self.finish_answer()

    def finish_answer(self) -> None:
        """Go on to the next request, or close."""
        self._exchange = None
        if self._held_bytes:
            self._let_go()
        if self._incoming is not None:
            self._incoming.fail(TruncatedBodyError(Refusal.TRUNCATED))  # for a reader that outlives the answer
            self._incoming = None
        if self._reader.complete:
            self._ready()
        elif self._can_drop_rest():
            self._answered = True
            self._reader.discard(self._limits.drain_bytes)
            self._state = READING
            self._arm(self._limits.body_idle_timeout_s)
            if not self._advancing:
                self._resume_soon()
        else:
            self._parked = b""
            self._reader.discard(None)
            if self._draining:
                self._linger(self._limits.drain_bytes)
            else:
                self._linger()

    def start(self, exchange: Exchange, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine until it ends or the server closes."""
        task = self._loop.create_task(coroutine)
        self._shared.tasks.add(task)
        task.add_done_callback(functools.partial(self._task_done, exchange))

    # Input

    def _advance(self, data: bytes) -> None:
        """Parse and serve as many requests as are complete; park the rest."""
        reader = self._reader
        start = 0
        end = len(data)
        self._advancing = True
        try:
            while start < end and not self._state:
                if reader.request is None:
                    start = reader.read_head(data, start)
                    if reader.fault is not None:
                        self._refuse(reader.fault)
                    elif reader.request is not None:
                        self._begin(reader.request)
                    elif reader.begun and not self._head_armed:
                        self._head_armed = True
                        self._arm(self._limits.head_timeout_s)
                else:
                    start = reader.read_body(data, start)
                    if reader.fault is not None:
                        self._body_fault(reader.fault)
                    elif reader.complete:
                        self._body_complete(reader.request)
        finally:
            self._advancing = False
        if start < end:
            self._park(data[start:] if start else data)
        elif reader.begun and not self._state and self._hold() and reader.request is not None:
            self._body_goes_on()

    def _hold(self) -> bool:
        """Count what the incomplete request takes; False if it was refused because all of them take too much."""
        before, self._held_bytes = self._held_bytes, self._reader.held_bytes
        if self._shared.hold(self._held_bytes - before) or self._answered:
            return True
        self._refuse(Refusal.OVERLOADED)
        return False

    def _let_go(self) -> None:
        self._shared.hold(-self._held_bytes)
        self._held_bytes = 0

    def _park(self, data: bytes) -> None:
        """Keep input whose time has not come, or drop it if it never comes."""
        if self._state < LINGERING:
            self._parked += data
            self._update_reading()
        elif self._state == LINGERING:
            self._drop(data)

    def _update_reading(self) -> None:
        """Stop reading from the peer when too much waits here; start again when it is gone."""
        mark = self._limits.stream_bytes
        if self._reading_paused:
            mark //= 2
        unread = 0 if self._incoming is None else self._incoming.size_bytes
        waiting = self._state < LINGERING and (unread > mark or len(self._parked) > _PARKED_BYTES_MAX)
        self._read_from_peer(not waiting)

    def _resume_soon(self) -> None:
        """Go on with parked input, but not within the call that gave the answer."""
        if self._parked or self._eof:
            self._loop.call_soon(self._resume)

    def _resume(self) -> None:
        if self._state != READING:
            return
        data, self._parked = self._parked, b""
        if data:
            self._advance(data)
        self._update_reading()
        if self._eof and self._state == READING and not self._parked and not self._end_of_input():
            self._transport.close()

    def _end_of_input(self) -> bool:
        """The peer has ended its side and all that it sent is parsed; False if there is nothing left to say."""
        if self._incoming is not None:
            self._fail_incoming(Refusal.TRUNCATED)
            return True
        if self._reader.begun and not self._answered:
            self._refuse(Refusal.TRUNCATED)
            return True
        self._state = CLOSED
        return False

    # Requests

    def _begin(self, request: Request) -> None:
        """The head is complete."""
        shared = self._shared
        reader = self._reader
        self._head_armed = False
        self.keep_alive = reader.keep_alive and not shared.retiring
        self.persists = self.keep_alive and reader.complete and not reader.http10
        try:
            plan = shared.handler.head(request)
        except RejectedError as rejection:
            self._continue_owed = reader.expects_continue
            self._give(request, rejection.answer)
            return
        except Exception as error:  # noqa: BLE001 - the boundary: a fault in one request must not end the server
            self._crashed(Exchange(request, self), error)
            return
        if reader.complete:
            self._dispatch(Exchange(request, self))
            return
        self._draining = isinstance(plan, Buffered) and plan.drain_excess
        self._continue_owed = reader.expects_continue
        limit, length = plan.limit_bytes, reader.content_length
        if limit is not None and length is not None and length > limit:
            self._refuse_body(request)
            return
        if isinstance(plan, Buffered):
            reader.collect(plan.limit_bytes)
            if self._continue_owed:
                self._ask_for_body()
        else:
            self._incoming = IncomingBody(self._body_was_read)
            reader.pass_on(self._incoming.feed, limit)
            self._dispatch(Exchange(request, self, self._incoming))

    def _ask_for_body(self) -> None:
        if self._continue_owed:
            self._continue_owed = False
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _body_was_read(self) -> None:
        """A handler is about to read from a streamed body, or has read."""
        if self._exchange is not None and self._exchange.phase is Phase.OPEN:
            self._ask_for_body()
        if self._reading_paused:
            self._update_reading()
            if not self._reading_paused and self._state == READING:
                self._arm(self._limits.body_idle_timeout_s)

    def _body_goes_on(self) -> None:
        """More of the body is to come."""
        self._arm(self._limits.body_idle_timeout_s)
        if self._incoming is not None:
            self._update_reading()
            if self._reading_paused:
                self.deadline_s = math.inf  # it is the handler who is slow

    def _body_complete(self, request: Request) -> None:
        self.persists = self.keep_alive and not self._reader.http10
        self._continue_owed = False
        if self._answered:
            self._answered = False
            self._ready()
        elif self._incoming is not None:
            self._state = BUSY
            self.deadline_s = math.inf
            self._incoming.end()
        else:
            self._dispatch(Exchange(request, self))

    def _body_fault(self, fault: Refusal) -> None:
        request = self._reader.request
        if self._answered or request is None:
            self.cut()
        elif self._incoming is not None:
            self._fail_incoming(fault)
        elif fault is Refusal.BODY_TOO_LARGE:
            self._refuse_body(request)
        else:
            self._refuse(fault)

    def _fail_incoming(self, refusal: Refusal) -> None:
        """The rest of a streamed body will not come; the handler learns it when it reads."""
        assert self._incoming is not None
        self.keep_alive = self.persists = False
        self._state = BUSY
        self.deadline_s = math.inf
        self._incoming.fail(TruncatedBodyError(refusal))

    def _dispatch(self, exchange: Exchange) -> None:
        self._exchange = exchange
        if self._reader.complete:
            self._state = BUSY
            self.deadline_s = math.inf
        try:
            self._shared.handler.handle(exchange)
        except Exception as error:  # noqa: BLE001 - as in `_begin`
            self._crashed(exchange, error)

    # Answers that the server gives itself

    def _refuse(self, refusal: Refusal) -> None:
        """Say why, then close."""
        self.keep_alive = self.persists = False
        request = self._reader.request
        self._give(request, word_refusal(self._shared.handler, request, refusal))

    def _refuse_body(self, request: Request) -> None:
        """Say that the body is too large; the connection may survive it."""
        self.persists = self.keep_alive and self._reader.complete and not self._reader.http10
        self._give(request, word_refusal(self._shared.handler, request, Refusal.BODY_TOO_LARGE))

    def _give(self, request: Request | None, answer: Answer) -> None:
        self.deadline_s = math.inf
        self._respond(Exchange(request or Request("GET", b"", "", "", []), self), answer)

    def _respond(self, exchange: Exchange, answer: Answer) -> None:
        try:
            exchange.respond(answer.status, answer.headers, answer.body)
        except ValueError:
            LOG.exception("the handler's answer is not valid")
            exchange.abort()

    def _crashed(self, exchange: Exchange, error: BaseException) -> None:
        """Answer for a handler that raised."""
        phase = exchange.phase
        if isinstance(error, TruncatedBodyError) and phase is Phase.OPEN:
            self.keep_alive = self.persists = False
            self._respond(exchange, word_refusal(self._shared.handler, exchange.request, error.refusal))
            return
        # That the peer left is no fault of ours.
        if not isinstance(error, DisconnectedError | TruncatedBodyError):
            LOG.error("the handler failed: %r", exchange.request, exc_info=error)
        if phase is not Phase.OPEN:
            exchange.abort()
            return
        self._respond(exchange, word_failure(self._shared.handler, exchange, error))

    def _task_done(self, exchange: Exchange, task: asyncio.Task[None]) -> None:
        self._shared.tasks.discard(task)
        if task.cancelled():
            exchange.abort()
        elif (error := task.exception()) is not None:
            self._crashed(exchange, error)
        elif exchange.phase < Phase.DONE:
            self._crashed(exchange, RuntimeError("the coroutine ended without an answer"))
        self._shared.on_quiet()

    # Between requests, and the end

    def _ready(self) -> None:
        """The request is read and answered."""
        if not self.keep_alive:
            self._close()
            return
        self._reader.reset()
        if self._idle_s is not None:
            self.deadline_s = self._loop.time() + self._idle_s
        if self._write_paused:
            # Whoever does not read answers gets no further ones: else they would pile up here.
            self._state = BUSY
            self._held = True
            return
        self._state = READING
        if not self._advancing:
            self._resume_soon()

    def _can_drop_rest(self) -> bool:
        """Tell whether the rest of a body that is already answered may be read over, to keep the connection."""
        reader = self._reader
        if not self.keep_alive or self._continue_owed or self._eof or not reader.can_go_on:
            return False
        rest_bytes = reader.rest_bytes
        if rest_bytes is None:
            return self._draining
        return rest_bytes <= (self._limits.drain_bytes if self._draining else _REST_BYTES_MAX)

    def _lose_exchange(self) -> None:
        exchange, self._exchange = self._exchange, None
        if self._incoming is not None:
            self._incoming.fail(TruncatedBodyError(Refusal.TRUNCATED))
            self._incoming = None
        for callback in () if exchange is None else exchange.lose():
            try:
                callback()
            except Exception:  # noqa: BLE001 - the boundary: the other callbacks are to be called
                LOG.exception("a disconnect callback failed")
