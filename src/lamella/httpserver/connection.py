"""One connection: requests in, answers out, one at a time and in order."""

import asyncio
import functools
import logging
import math
from collections.abc import Callable, Coroutine
from typing import Any, Final, cast

from lamella.httpserver.exchange import Exchange, Phase
from lamella.httpserver.handler import Handler
from lamella.httpserver.incoming import IncomingBody
from lamella.httpserver.limits import Limits
from lamella.httpserver.message import (
    Answer,
    Buffered,
    DisconnectedError,
    Refusal,
    RejectedError,
    Request,
    TruncatedBodyError,
    refusal_status,
)
from lamella.httpserver.reader import RequestReader

LOG: Final = logging.getLogger("lamella.httpserver")

# States. Plain integers and false first: the state is looked at for every packet.
_READING: Final = 0  # what comes in is parsed
_BUSY: Final = 1  # a complete request has no answer yet, or the peer does not read its answers: input waits
_LINGERING: Final = 2  # all is said; what still comes is dropped, so that the peer gets to read our last answer
_CLOSED: Final = 3

_PARKED_BYTES_MAX: Final = 65_536  # of input that came too early; then reading pauses
_WRITE_TOGETHER_BYTES_MAX: Final = 65_536  # a body up to this is copied behind its head, to be one write
_REST_BYTES_MAX: Final = 65_536  # of a body whose answer came early: dropping that costs less than a new connection
_LINGER_BYTES_MAX: Final = 1_048_576
_LINGER_S: Final = 2.0


class Shared:
    """What all connections of one server have in common."""

    __slots__ = (
        "connections",
        "dated",
        "half_close",
        "handler",
        "limits",
        "loop",
        "on_quiet",
        "retiring",
        "tasks",
        "watch",
    )

    def __init__(self, handler: Handler, limits: Limits, *, half_close: bool, dated: bool) -> None:
        """Start without a loop; the server sets it when it starts."""
        self.handler = handler
        self.limits = limits
        self.half_close = half_close
        self.dated = dated
        self.loop: asyncio.AbstractEventLoop
        self.connections: set[Connection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.retiring = False  # the server is closing: no connection is kept
        self.watch: Callable[[], None]  # makes sure that deadlines are looked at
        self.on_quiet: Callable[[], None]  # called when a connection or task has ended


class Connection(asyncio.Protocol):
    """Serves one peer.

    Attributes:
        deadline_s: When `expire` is to be called, on the loop's clock; `math.inf` for never.
    """

    __slots__ = (
        "_advancing",
        "_answered",
        "_continue_owed",
        "_draining",
        "_eof",
        "_exchange",
        "_head_armed",
        "_held",
        "_idle_s",
        "_incoming",
        "_linger_bytes",
        "_linger_timer",
        "_loop",
        "_parked",
        "_reader",
        "_reading_paused",
        "_shared",
        "_state",
        "_transport",
        "_unsent_bytes",
        "_write_deadline_s",
        "_write_paused",
        "_write_waiters",
        "dated",
        "deadline_s",
        "keep_alive",
        "persists",
        "write",
    )

    def __init__(self, shared: Shared) -> None:
        """Wait for `connection_made`."""
        self._shared = shared
        self._loop = shared.loop
        self._reader = RequestReader(shared.limits)
        self._transport: asyncio.Transport
        self._state = _READING
        self._advancing = False  # `_advance` is on the stack: it goes on by itself
        self._exchange: Exchange | None = None
        self._incoming: IncomingBody | None = None
        self._answered = False  # before the body was complete; the rest of it is being dropped
        self._draining = False  # the handler wants an excessive body read to its end
        self._continue_owed = False
        self._head_armed = True  # the deadline of `connection_made` covers the first head
        self._parked = b""
        self._eof = False
        self._held = False  # the next request waits until the peer reads
        self._reading_paused = False
        self._write_paused = False
        self._write_waiters: list[asyncio.Future[None]] = []
        self._unsent_bytes = 0
        self._write_deadline_s = math.inf
        self._linger_bytes = 0
        self._linger_timer: asyncio.TimerHandle | None = None
        self._idle_s = shared.limits.keepalive_timeout_s
        self.deadline_s = math.inf
        self.keep_alive = True
        self.persists = True
        self.dated = shared.dated

    # Called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start reading."""
        shared = self._shared
        # Not checked: uvloop's transports do not inherit from asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self.write = self._transport.write
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
        if self._state == _READING:
            if self._parked:
                return True  # `_resume` is on its way
            return self._end_of_input()
        if self._state == _BUSY:
            if self._shared.half_close or self._exchange is None:
                return True
            self._lose_exchange()
        self._state = _CLOSED
        return False

    def pause_writing(self) -> None:
        """The send buffer is over its high-water mark."""
        self._write_paused = True
        self._watch_unsent()

    def resume_writing(self) -> None:
        """The send buffer has drained."""
        self._write_paused = False
        self._write_deadline_s = math.inf
        self._wake_writers()
        if self._held:
            self._held = False
            self._state = _READING
            self._resume_soon()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        """Tell everyone who waits."""
        self._state = _CLOSED
        if self._linger_timer is not None:
            self._linger_timer.cancel()
        self._shared.connections.discard(self)
        self._lose_exchange()
        self._wake_writers()
        self._parked = b""
        self._shared.on_quiet()

    # Called by the server

    def expire(self, now_s: float) -> None:
        """Act on deadlines that have passed."""
        if self._write_deadline_s <= now_s:
            unsent = self._transport.get_write_buffer_size()
            if unsent >= self._unsent_bytes:
                self.cut()
                return
            self._watch_unsent()
        if self.deadline_s > now_s or self._state != _READING:
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

    @property
    def next_deadline_s(self) -> float:
        """The earlier of the deadlines."""
        return min(self.deadline_s, self._write_deadline_s)

    def retire(self) -> None:
        """Close now if idle, else after the current answer."""
        self.keep_alive = self.persists = False
        if self._state == _READING and self._exchange is None and not self._reader.begun and not self._parked:
            self._close()

    # Called by exchanges

    @property
    def connected(self) -> bool:
        """The peer can still be written to."""
        return self._state < _LINGERING and not self._transport.is_closing()

    @property
    def peer(self) -> Any:  # the shape depends on the address family
        """The address of the peer."""
        return self._transport.get_extra_info("peername")

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

    async def wait_writable(self) -> None:
        """Wait until the send buffer is below its high-water mark; raises `DisconnectedError`."""
        if self._write_paused and self._state != _CLOSED:
            waiter = self._loop.create_future()
            self._write_waiters.append(waiter)
            await waiter
        # A transport that has failed tells us so only when the loop runs, which a busy writer would not let it.
        if self._state == _CLOSED or self._transport.is_closing():
            raise DisconnectedError

    def finish_answer(self) -> None:
        """Go on to the next request, or close."""
        self._exchange = None
        if self._incoming is not None:
            self._incoming.fail(TruncatedBodyError(Refusal.TRUNCATED))  # for a reader that outlives the answer
            self._incoming = None
        if self._reader.complete:
            self._ready()
        elif self._can_drop_rest():
            self._answered = True
            self._reader.discard(self._shared.limits.drain_bytes)
            self._state = _READING
            self._arm(self._shared.limits.body_idle_timeout_s)
            if not self._advancing:
                self._resume_soon()
        else:
            self._linger()

    def cut(self) -> None:
        """Drop the connection at once."""
        self._state = _CLOSED
        self._transport.abort()

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
                        self._arm(self._shared.limits.head_timeout_s)
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
        elif reader.request is not None and not self._state:
            self._body_goes_on()

    def _park(self, data: bytes) -> None:
        """Keep input whose time has not come, or drop it if it never comes."""
        if self._state < _LINGERING:
            self._parked += data
            self._update_reading()
        elif self._state == _LINGERING:
            self._linger_bytes -= len(data)
            if self._linger_bytes < 0:
                self.cut()

    def _update_reading(self) -> None:
        """Stop reading from the peer when too much waits here; start again when it is gone."""
        mark = self._shared.limits.stream_bytes
        if self._reading_paused:
            mark //= 2
        unread = 0 if self._incoming is None else self._incoming.size_bytes
        pause = self._state < _LINGERING and (unread > mark or len(self._parked) > _PARKED_BYTES_MAX)
        if pause != self._reading_paused and not self._eof and not self._transport.is_closing():
            self._reading_paused = pause
            if pause:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _resume_soon(self) -> None:
        """Go on with parked input, but not within the call that gave the answer."""
        if self._parked or self._eof:
            self._loop.call_soon(self._resume)

    def _resume(self) -> None:
        if self._state != _READING:
            return
        data, self._parked = self._parked, b""
        if data:
            self._advance(data)
        self._update_reading()
        if self._eof and self._state == _READING and not self._parked and not self._end_of_input():
            self._transport.close()

    def _end_of_input(self) -> bool:
        """The peer has ended its side and all that it sent is parsed; False if there is nothing left to say."""
        if self._incoming is not None:
            self._fail_incoming(Refusal.TRUNCATED)
            return True
        if self._reader.begun and not self._answered:
            self._refuse(Refusal.TRUNCATED)
            return True
        self._state = _CLOSED
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
            if not self._reading_paused and self._state == _READING:
                self._arm(self._shared.limits.body_idle_timeout_s)

    def _body_goes_on(self) -> None:
        """More of the body is to come."""
        self._arm(self._shared.limits.body_idle_timeout_s)
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
            self._state = _BUSY
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
        self._state = _BUSY
        self.deadline_s = math.inf
        self._incoming.fail(TruncatedBodyError(refusal))

    def _dispatch(self, exchange: Exchange) -> None:
        self._exchange = exchange
        if self._reader.complete:
            self._state = _BUSY
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
        self._give(request, self._refusal(request, refusal))

    def _refuse_body(self, request: Request) -> None:
        """Say that the body is too large; the connection may survive it."""
        self.persists = self.keep_alive and self._reader.complete and not self._reader.http10
        self._give(request, self._refusal(request, Refusal.BODY_TOO_LARGE))

    def _refusal(self, request: Request | None, refusal: Refusal) -> Answer:
        try:
            return self._shared.handler.refuse(request, refusal)
        except Exception:
            LOG.exception("the handler failed to word a refusal")
            return Answer(refusal_status(request, refusal))

    def _give(self, request: Request | None, answer: Answer) -> None:
        self.deadline_s = math.inf
        try:
            exchange = Exchange(request or Request("GET", b"", "", "", []), self)
            exchange.respond(answer.status, answer.headers, answer.body)
        except ValueError:
            LOG.exception("the handler's answer is not valid")
            self.cut()

    def _crashed(self, exchange: Exchange, error: BaseException) -> None:
        """Answer for a handler that raised."""
        phase = exchange.phase
        if isinstance(error, TruncatedBodyError) and phase is Phase.OPEN:
            self.keep_alive = self.persists = False
            answer = self._refusal(exchange.request, error.refusal)
        else:
            # That the peer left is no fault of ours, once it has.
            if not isinstance(error, DisconnectedError | TruncatedBodyError):
                LOG.error("the handler failed: %r", exchange.request, exc_info=error)
            if phase is not Phase.OPEN:
                exchange.abort()
                return
            try:
                answer = self._shared.handler.failed(exchange, error)
            except Exception:
                LOG.exception("the handler failed to word its failure")
                answer = Answer(500)
        try:
            exchange.respond(answer.status, answer.headers, answer.body)
        except ValueError:
            LOG.exception("the handler's answer is not valid")
            exchange.abort()

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
            self._state = _BUSY
            self._held = True
            return
        self._state = _READING
        if not self._advancing:
            self._resume_soon()

    def _arm(self, timeout_s: float | None) -> None:
        self.deadline_s = math.inf if timeout_s is None else self._loop.time() + timeout_s

    def _watch_unsent(self) -> None:
        timeout_s = self._shared.limits.write_timeout_s
        if timeout_s is not None:
            self._unsent_bytes = self._transport.get_write_buffer_size()
            self._write_deadline_s = self._loop.time() + timeout_s

    def _can_drop_rest(self) -> bool:
        """Tell whether the rest of a body that is already answered may be read over, to keep the connection."""
        reader = self._reader
        if not self.keep_alive or self._continue_owed or self._eof:
            return False
        if reader.fault is not None and reader.fault is not Refusal.BODY_TOO_LARGE:
            return False
        if reader.content_length is None:
            return self._draining and reader.request is not None
        rest = reader.content_length - reader.received_bytes
        return rest <= (self._shared.limits.drain_bytes if self._draining else _REST_BYTES_MAX)

    def _close(self) -> None:
        """Close when what is written has been sent."""
        self._state = _CLOSED
        self.deadline_s = math.inf
        if self._transport.get_write_buffer_size():
            self._watch_unsent()
        self._transport.close()

    def _linger(self) -> None:
        """End our side, and drop what comes until the peer ends its own.

        Closing while the peer still sends would reset the connection, and the answer might be lost with it.
        """
        if self._eof or not self._transport.can_write_eof():
            self._close()
            return
        self._state = _LINGERING
        self.deadline_s = math.inf
        self._parked = b""
        self._linger_bytes = self._shared.limits.drain_bytes if self._draining else _LINGER_BYTES_MAX
        self._update_reading()
        self._transport.write_eof()
        self._linger_timer = self._loop.call_later(_LINGER_S, self._linger_on, self._linger_bytes)

    def _linger_on(self, left_bytes: int) -> None:
        if self._linger_bytes < left_bytes:
            self._linger_timer = self._loop.call_later(_LINGER_S, self._linger_on, self._linger_bytes)
        else:
            self.cut()

    def _lose_exchange(self) -> None:
        exchange, self._exchange = self._exchange, None
        if self._incoming is not None:
            self._incoming.fail(TruncatedBodyError(Refusal.TRUNCATED))
            self._incoming = None
        for callback in () if exchange is None else exchange.lose():
            try:
                callback()
            except Exception:
                LOG.exception("a disconnect callback failed")

    def _wake_writers(self) -> None:
        waiters, self._write_waiters = self._write_waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
