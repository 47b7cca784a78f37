"""Keep-alive, order, bodies, deadlines and ends of one connection."""

import asyncio
import gc
import sys
from typing import Any

import pytest

from lamella.httpserver import (
    Answer,
    Buffered,
    DisconnectedError,
    Exchange,
    Limits,
    Refusal,
    Streamed,
    TruncatedBodyError,
)

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LIMITS = Limits(
    head_timeout_s=10.0, body_idle_timeout_s=20.0, keepalive_timeout_s=30.0, write_timeout_s=40.0, drain_bytes=100_000
)


def post(body: bytes = b"", *headers: str, length: int | None = None) -> bytes:
    lines = ["POST /p HTTP/1.1", "Host: h", *headers, f"Content-Length: {len(body) if length is None else length}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(*chunks: bytes) -> bytes:
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + body


# Targets


@pytest.mark.parametrize(
    ("method", "target", "path", "query"),
    [
        ("GET", "/", "/", ""),
        ("GET", "/a%2Fb//c?x=%20&y=?", "/a%2Fb//c", "x=%20&y=?"),
        ("GET", "/?", "/", ""),
        ("GET", "http://user@host:80/a?b", "/a", "b"),
        ("GET", "HTTP://host", "/", ""),
        ("GET", "https://host?q=/", "/", "q=/"),
        ("OPTIONS", "*", "*", ""),
    ],
)
def test_targets(method: str, target: str, path: str, query: str, wire: Any) -> None:
    wire.feed(f"{method} {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    [request] = wire.handler.requests
    assert (request.method, request.target, request.path, request.query) == (method, target.encode(), path, query)


def test_headers_keep_order_and_repeats(wire: Any) -> None:
    wire.feed(b"GET / HTTP/1.1\r\nB: 1\r\nA:\xe9 \r\nb: 2\r\n\r\n")
    [request] = wire.handler.requests
    assert request.headers == [("b", "1"), ("a", "é"), ("b", "2")]
    assert request.header("b") == "1"
    assert request.header("c", "none") == "none"
    assert "secret" not in repr(request)


def test_a_header_line_of_a_mebibyte_is_taken(wire: Any) -> None:
    value = b"x" * 1_048_576
    data = b"GET / HTTP/1.1\r\nLambda-Runtime-Function-XRay-Error-Cause: %b\r\n\r\n" % value
    wire.feed(*[data[at : at + 65_536] for at in range(0, len(data), 65_536)])
    assert wire.handler.requests[0].headers[0][1].encode() == value


# Keep-alive and order


@pytest.mark.parametrize(
    ("head", "kept", "line"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", True, b""),
        (b"GET / HTTP/1.1\r\nConnection: keep-alive\r\n\r\n", True, b""),
        (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", False, b"Connection: close\r\n"),
        (b"GET / HTTP/1.1\r\nConnection: x, Close\r\n\r\n", False, b"Connection: close\r\n"),
        (b"GET / HTTP/1.0\r\n\r\n", False, b"Connection: close\r\n"),
        (b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", True, b"Connection: keep-alive\r\n"),
    ],
)
@pytest.mark.parametrize("raw", [False, True])
def test_keep_alive(head: bytes, kept: bool, line: bytes, raw: bool, wire: Any) -> None:
    if raw:
        wire.handler.on_handle = lambda e: e.respond_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n", b"1")
    assert wire.feed(head) == b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n" + line + b"\r\n1"
    assert wire.transport.closed is not kept
    assert wire.transport.writes == 1


def test_version_of_one_request_does_not_stick_to_the_next(wire: Any) -> None:
    wire.feed(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert b"onnection" not in wire.feed(b"GET / HTTP/1.1\r\n\r\n")
    assert not wire.transport.closed


def test_pipelined_requests_wait_for_the_answer_before(wire: Any) -> None:
    wire.handler.answer = False
    wire.feed(GET + GET + post(b"x"), GET)
    for number in range(4):
        assert len(wire.handler.exchanges) == number + 1
        wire.handler.exchanges[number].respond(200, (), b"answer %d" % number)
        wire.loop.run_soon()
    assert [part[-8:] for part in wire.sent.split(b"HTTP/1.1 ")[1:]] == [b"answer %d" % number for number in range(4)]


def test_the_next_request_is_not_served_within_the_call_that_answers(wire: Any) -> None:
    wire.handler.answer = False
    wire.feed(GET + GET)
    wire.handler.exchanges[0].respond(200, ())
    assert len(wire.handler.exchanges) == 1
    wire.connection.data_received(GET)  # comes before the parked one is resumed, and must not overtake it
    wire.loop.run_soon()
    assert len(wire.handler.exchanges) == 2


def test_too_much_early_input_pauses_reading(wire: Any) -> None:
    wire.handler.answer = False
    wire.feed(GET, GET)
    assert wire.transport.reading, "a little is kept, so that the end of the connection is noticed"
    wire.feed(5000 * GET)
    assert not wire.transport.reading
    wire.handler.answer = True
    wire.handler.exchanges[0].respond(200, ())
    wire.loop.run_soon()
    assert len(wire.handler.exchanges) == 5002
    assert wire.transport.reading


def test_a_peer_that_does_not_read_gets_no_further_answers(wire: Any) -> None:
    wire.handler.on_handle = lambda e: (wire.connection.pause_writing(), e.respond(200, ()))
    wire.feed(GET + GET + GET)
    assert len(wire.handler.exchanges) == 1
    wire.handler.on_handle = None
    wire.connection.resume_writing()
    wire.loop.run_soon()
    assert len(wire.handler.exchanges) == 3


def test_nothing_is_served_after_a_request_to_close(wire: Any) -> None:
    wire.feed(b"GET /a HTTP/1.1\r\nConnection: close\r\n\r\n" + GET, GET)
    assert len(wire.handler.exchanges) == 1
    assert wire.transport.closed


# Buffered bodies


@pytest.mark.parametrize("data", [post(b"abc"), chunked(b"ab", b"c") + b"0\r\n\r\n"])
def test_a_body_up_to_the_limit(data: bytes, wire: Any) -> None:
    wire.handler.plan = Buffered(3)
    wire.feed(data)
    assert [request.body for request in wire.handler.requests] == [b"abc"]


def test_a_body_over_the_limit_is_refused_before_it_comes(make_wire: Any) -> None:
    wire = make_wire(LIMITS)
    wire.handler.plan = Buffered(3)
    answer = wire.feed(post(length=1_000_000))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"Connection: close" in answer
    assert wire.transport.ended
    assert not wire.transport.closed, "the peer may not have read the answer"
    wire.feed(100_000 * b"x")
    wire.end()
    assert wire.transport.closed
    assert wire.handler.exchanges == []


@pytest.mark.parametrize("excess", [post(90_000 * b"x"), chunked(90_000 * b"x") + b"0\r\n\r\n"])
@pytest.mark.parametrize("at_once", [True, False])
def test_an_excessive_body_is_drained_and_the_connection_kept(excess: bytes, at_once: bool, make_wire: Any) -> None:
    wire = make_wire(LIMITS)
    wire.handler.plan = Buffered(3, drain_excess=True)
    pieces = [excess + GET] if at_once else [excess[:100], excess[100:], GET]
    wire.feed(*pieces)
    assert wire.handler.refusals == [Refusal.BODY_TOO_LARGE]
    assert wire.sent.startswith(b"HTTP/1.1 413 ")
    assert b"onnection" not in wire.sent
    assert [request.path for request in wire.handler.requests] == ["/a"]


def test_a_drain_has_an_end(make_wire: Any) -> None:
    wire = make_wire(LIMITS)
    wire.handler.plan = Buffered(3, drain_excess=True)
    assert b"Connection: close" in wire.feed(post(length=100_001))
    assert wire.transport.ended
    wire = make_wire(LIMITS)
    wire.handler.plan = Buffered(3, drain_excess=True)
    assert b"Connection: close" not in wire.feed(chunked(b"abcd"))
    wire.feed(*(11 * [b"2710\r\n" + 10_000 * b"x" + b"\r\n"]))
    assert wire.transport.aborted


def test_a_drain_that_stalls_is_cut(make_wire: Any) -> None:
    wire = make_wire(LIMITS)
    wire.handler.plan = Buffered(3, drain_excess=True)
    wire.feed(post(length=90_000))
    wire.expire(19.0)
    assert not wire.transport.closed
    wire.expire(2.0)
    assert wire.transport.aborted


def test_a_drain_that_is_truncated_is_not_answered_twice(make_wire: Any) -> None:
    wire = make_wire(LIMITS)
    wire.handler.plan = Buffered(3, drain_excess=True)
    wire.feed(post(length=90_000))
    assert wire.end() == b""
    assert wire.transport.closed


def test_continue_is_sent_when_the_body_is_wanted(wire: Any) -> None:
    assert wire.feed(post(b"", "Expect: 100-Continue", length=3)) == CONTINUE
    assert wire.feed(b"abc").startswith(b"HTTP/1.1 200 ")
    assert wire.feed(post(b"abc")).startswith(b"HTTP/1.1 200 "), "and not for the next request"


@pytest.mark.parametrize(
    "head",
    [
        b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
        post(b"", "Expect: 100-continue"),
    ],
)
def test_continue_is_not_sent_to_http_1_0_or_without_a_body(head: bytes, wire: Any) -> None:
    assert b" 100 " not in wire.feed(head)


@pytest.mark.parametrize("drain_excess", [True, False])
def test_continue_is_not_sent_for_what_is_refused(drain_excess: bool, wire: Any) -> None:
    wire.handler.plan = Buffered(2, drain_excess=drain_excess)
    answer = wire.feed(post(b"", "Expect: 100-continue", length=3))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"Connection: close" in answer, "the peer may or may not send the body: what follows is ambiguous"
    assert wire.transport.ended


def test_a_rejection_does_not_wait_for_the_body(wire: Any) -> None:
    wire.handler.rejection = Answer(403, (("X-A", "b"),), b"no")
    answer = wire.feed(post(b"", "Expect: 100-continue", length=3))
    assert answer == b"HTTP/1.1 403 Forbidden\r\nX-A: b\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
    assert wire.transport.ended


def test_a_rejection_without_a_body_keeps_the_connection(wire: Any) -> None:
    wire.handler.rejection = Answer(403)
    assert wire.feed(GET + GET) == 2 * b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    assert wire.handler.exchanges == []


def test_after_a_rejection_a_small_body_is_read_over(wire: Any) -> None:
    wire.handler.rejection = Answer(403)
    wire.feed(post(length=10), b"01234")
    wire.handler.rejection = None
    wire.feed(b"56789" + GET)
    assert [request.path for request in wire.handler.requests] == ["/a"]


def test_after_a_rejection_a_large_body_ends_the_connection(wire: Any) -> None:
    wire.handler.rejection = Answer(403)
    assert b"Connection: close" in wire.feed(post(length=10_000_000))
    assert wire.transport.ended


# Streamed bodies


async def test_a_streamed_body_arrives_in_pieces(wire: Any) -> None:
    wire.handler.plan = Streamed()
    wire.handler.answer = False
    wire.feed(post(b"", "Expect: 100-continue", length=6))
    [exchange] = wire.handler.exchanges
    assert wire.sent == b"", "no 100 before someone reads"
    reading = asyncio.ensure_future(exchange.read_chunk())
    await asyncio.sleep(0)
    assert wire.sent == CONTINUE
    wire.feed(b"abc")
    assert await reading == b"abc"
    wire.feed(b"def" + GET)
    assert [await exchange.read_chunk() for _ in range(3)] == [b"def", b"", b""]
    assert exchange.request.body == b""
    assert len(wire.handler.exchanges) == 1
    exchange.respond(200, ())
    wire.loop.run_soon()
    assert len(wire.handler.exchanges) == 2


async def test_trailers_of_a_streamed_body(wire: Any) -> None:
    wire.handler.plan = Streamed()
    wire.handler.answer = False
    wire.feed(chunked(b"abc") + b"0\r\nX-A: b\r\n\r\n")
    [exchange] = wire.handler.exchanges
    assert await exchange.read_chunk() == b"abc"
    assert await exchange.read_chunk() == b""
    assert exchange.request.trailers == [("x-a", "b")]
    assert exchange.request.headers == [("host", "h"), ("transfer-encoding", "chunked")]


async def test_a_request_without_body_ends_at_once(wire: Any) -> None:
    wire.handler.plan = Streamed()
    wire.handler.answer = False
    wire.feed(GET)
    assert await wire.handler.exchanges[0].read_chunk() == b""


async def test_an_unread_body_pauses_reading(make_wire: Any) -> None:
    wire = make_wire(LIMITS)
    wire.handler.plan = Streamed()
    wire.handler.answer = False
    wire.feed(post(length=1_000_000))
    [exchange] = wire.handler.exchanges
    fed = 0
    while wire.transport.reading:
        wire.feed(50_000 * b"x")
        fed += 50_000
    assert fed <= LIMITS.stream_bytes + 50_000
    wire.expire(1000.0)
    assert wire.transport.closed is False, "the handler is slow, not the peer"
    while not wire.transport.reading:
        fed -= len(await exchange.read_chunk())
    assert fed <= LIMITS.stream_bytes // 2
    wire.expire(21.0)
    while fed:
        fed -= len(await exchange.read_chunk())
    with pytest.raises(TruncatedBodyError, match="TIMEOUT"):
        await exchange.read_chunk()


@pytest.mark.parametrize(
    ("spoil", "refusal"),
    [
        (lambda wire: wire.end(), Refusal.TRUNCATED),
        (lambda wire: wire.expire(21.0), Refusal.TIMEOUT),
        (lambda wire: wire.feed(b"no chunk\r\n"), Refusal.MALFORMED),
        (lambda wire: wire.feed(b"a\r\n0123456789\r\n"), Refusal.BODY_TOO_LARGE),
    ],
)
async def test_a_streamed_body_that_breaks_off(spoil: Any, refusal: Refusal, make_wire: Any) -> None:
    wire = make_wire(LIMITS)
    wire.handler.plan = Streamed(limit_bytes=10)

    async def serve(exchange: Exchange) -> None:
        while await exchange.read_chunk():
            pass

    wire.handler.on_handle = lambda exchange: exchange.start(serve(exchange))
    wire.feed(chunked(b"abc"))
    await asyncio.sleep(0)
    spoil(wire)
    await wire.settle()
    assert wire.handler.refusals == [refusal], "answered by the server, since the handler did not"
    assert wire.sent.count(b"HTTP/1.1 ") == 1
    assert wire.handler.errors == []
    assert wire.transport.ended or wire.transport.closed


async def test_an_announced_length_over_the_limit_of_a_stream(wire: Any) -> None:
    wire.handler.plan = Streamed(limit_bytes=10)
    assert wire.feed(post(length=11)).startswith(b"HTTP/1.1 413 ")
    assert wire.handler.exchanges == []


async def test_an_answer_before_the_body_has_come(wire: Any) -> None:
    wire.handler.plan = Streamed()
    answer = wire.feed(post(length=1_000_000))
    assert b"Connection: close" in answer
    assert wire.transport.ended
    with pytest.raises(TruncatedBodyError):
        await wire.handler.exchanges[0].read_chunk()


async def test_an_answer_before_a_small_body_has_come_keeps_the_connection(wire: Any) -> None:
    wire.handler.plan = Streamed()
    assert b"Connection" not in wire.feed(post(length=1000))
    wire.feed(1000 * b"x" + GET)
    assert len(wire.handler.exchanges) == 2


async def test_only_one_reads(wire: Any) -> None:
    wire.handler.plan = Streamed()
    wire.handler.answer = False
    wire.feed(post(length=1))
    [exchange] = wire.handler.exchanges
    first = asyncio.ensure_future(exchange.read_chunk())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError):
        await exchange.read_chunk()
    wire.feed(b"x")
    assert await first == b"x"


# Deadlines


def test_an_idle_connection_is_closed(make_wire: Any) -> None:
    wire = make_wire(LIMITS)
    wire.feed(GET)
    sent = wire.sent
    wire.expire(29.0)
    assert not wire.transport.closed
    wire.expire(2.0)
    assert wire.transport.closed
    assert wire.sent == sent


def test_a_silent_new_connection_is_closed(make_wire: Any) -> None:
    wire = make_wire(LIMITS)
    wire.expire(11.0)
    assert wire.transport.closed
    assert wire.sent == b""


@pytest.mark.parametrize("first", [b"", GET])
def test_a_slow_head_is_refused_however_busy_it_looks(first: bytes, make_wire: Any) -> None:
    wire = make_wire(LIMITS)
    wire.feed(first, b"GET / HTTP/1.1\r\n")
    for _ in range(3):
        wire.expire(3.0)
        wire.feed(b"A: b\r\n")
    assert wire.handler.refusals == []
    assert wire.expire(2.0).startswith(b"HTTP/1.1 408 ")
    assert wire.handler.refusals == [Refusal.TIMEOUT]
    assert wire.transport.ended


def test_a_body_may_be_slow_but_not_stand_still(make_wire: Any) -> None:
    wire = make_wire(LIMITS)
    wire.feed(post(length=100))
    for _ in range(10):
        assert wire.expire(19.0) == b""
        wire.feed(b"x")
    assert wire.expire(21.0).startswith(b"HTTP/1.1 408 ")
    assert wire.handler.exchanges == []


def test_an_answer_may_take_for_ever(make_wire: Any) -> None:
    wire = make_wire(LIMITS)
    wire.handler.answer = False
    wire.feed(GET)
    assert wire.expire(1e9) == b""
    assert not wire.transport.closed


def test_without_timeouts_nothing_expires(make_wire: Any) -> None:
    limits = Limits(head_timeout_s=None, body_idle_timeout_s=None, keepalive_timeout_s=None, write_timeout_s=None)
    for data in (b"", b"GET", post(length=3), GET):
        wire = make_wire(limits)
        wire.feed(data)
        wire.expire(1e9)
        assert not wire.transport.closed
    assert limits.shortest_timeout_s is None


def test_a_peer_that_never_reads_is_cut(make_wire: Any) -> None:
    wire = make_wire(LIMITS)
    wire.handler.answer = False
    wire.feed(GET)
    wire.transport.unsent_bytes = 1000
    wire.connection.pause_writing()
    wire.transport.unsent_bytes = 900
    wire.expire(41.0)
    assert not wire.transport.closed, "it has read something"
    wire.expire(41.0)
    assert wire.transport.aborted


def test_a_closing_connection_does_not_wait_for_ever_for_its_peer(make_wire: Any) -> None:
    wire = make_wire(LIMITS)
    wire.transport.unsent_bytes = 10
    wire.feed(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert wire.transport.closed
    assert not wire.transport.aborted
    wire.expire(41.0)
    assert wire.transport.aborted


# Ends


@pytest.mark.parametrize(
    "data", [b"GET / HT", GET + b"GET", post(b"ab", length=3), chunked(b"ab"), chunked() + b"0\r\n"]
)
def test_a_truncated_request_is_refused(data: bytes, wire: Any) -> None:
    wire.feed(data)
    assert wire.end().startswith(b"HTTP/1.1 400 ")
    assert wire.handler.refusals == [Refusal.TRUNCATED]
    assert len(wire.handler.exchanges) == (1 if data.startswith(GET) else 0)
    assert wire.transport.closed


@pytest.mark.parametrize("data", [b"", GET, b"\r\n", GET + b"\r\n"])
def test_an_end_between_requests_closes(data: bytes, wire: Any) -> None:
    wire.feed(data)
    assert wire.end() == b""
    assert wire.transport.closed


def test_a_half_closed_peer_gets_all_its_answers(wire: Any) -> None:
    wire.handler.answer = False
    gone: list[bool] = []
    wire.feed(GET + GET)
    wire.handler.exchanges[0].on_disconnect(lambda: gone.append(True))
    wire.end()
    assert not wire.transport.closed
    for number in range(2):
        wire.handler.exchanges[number].respond(200, ())
        wire.loop.run_soon()
    assert wire.sent.count(b"HTTP/1.1 200 ") == 2
    assert wire.transport.closed
    assert gone == []


def test_a_half_closed_peer_with_a_rest_is_told_so(wire: Any) -> None:
    wire.handler.answer = False
    wire.feed(GET + b"GET / HT")
    wire.end()
    wire.handler.exchanges[0].respond(200, ())
    wire.loop.run_soon()
    assert wire.handler.refusals == [Refusal.TRUNCATED]
    assert wire.transport.closed


def test_a_half_closed_peer_may_count_as_gone(make_wire: Any) -> None:
    wire = make_wire(half_close=False)
    wire.handler.answer = False
    gone: list[bool] = []
    wire.feed(GET)
    [exchange] = wire.handler.exchanges
    exchange.on_disconnect(lambda: gone.append(True))
    wire.end()
    assert gone == [True]
    assert not exchange.connected
    assert wire.transport.closed
    exchange.respond(200, ())
    assert wire.sent == b""


def test_a_lost_peer_is_told_of_once(wire: Any, caplog: Any) -> None:
    wire.handler.answer = False
    gone: list[int] = []
    wire.feed(GET)
    [exchange] = wire.handler.exchanges
    assert exchange.connected
    assert exchange.peer == ("192.0.2.1", 1234)
    exchange.on_disconnect(lambda: gone.append(1))
    exchange.on_disconnect(lambda: gone.append(1 // 0))
    exchange.on_disconnect(lambda: gone.append(3))
    wire.connection.connection_lost(None)
    assert gone == [1, 3]
    assert "ZeroDivisionError" in caplog.text
    assert not exchange.connected
    exchange.on_disconnect(lambda: gone.append(4))
    assert gone == [1, 3, 4]
    exchange.respond(200, ())
    exchange.respond_raw(b"", b"")
    exchange.start_response(200, ())
    exchange.finish()
    assert wire.sent == b""
    assert wire.shared.connections == set()


def test_an_answered_exchange_is_not_disconnected(wire: Any) -> None:
    wire.handler.answer = False
    gone: list[bool] = []
    wire.feed(GET)
    [exchange] = wire.handler.exchanges
    exchange.on_disconnect(lambda: gone.append(True))
    exchange.respond(200, ())
    wire.connection.connection_lost(None)
    assert gone == []
    assert not exchange.connected


async def test_a_writer_learns_that_the_peer_is_gone(wire: Any) -> None:
    wire.handler.answer = False
    wire.feed(GET)
    [exchange] = wire.handler.exchanges
    exchange.start_response(200, ())
    wire.connection.pause_writing()
    writing = asyncio.ensure_future(exchange.write(b"x"))
    await asyncio.sleep(0)
    assert not writing.done()
    wire.connection.connection_lost(ConnectionResetError())
    with pytest.raises(DisconnectedError):
        await writing
    with pytest.raises(DisconnectedError):
        await exchange.write(b"y")


async def test_a_writer_that_never_waits_learns_it_too(wire: Any) -> None:
    """The transport knows before the loop has had a chance to tell the connection."""
    wire.handler.answer = False
    wire.feed(GET)
    [exchange] = wire.handler.exchanges
    exchange.start_response(200, ())
    await exchange.write(b"x")
    wire.transport.closed = True
    with pytest.raises(DisconnectedError):
        await exchange.write(b"y")


def test_too_many_connections_are_refused(make_wire: Any) -> None:
    wire = make_wire(Limits(max_connections=2), others=1)
    assert wire.feed(GET).startswith(b"HTTP/1.1 200 ")
    wire = make_wire(Limits(max_connections=2), others=2)
    assert wire.sent.startswith(b"HTTP/1.1 503 ")
    assert wire.handler.refusals == [Refusal.OVERLOADED]
    wire.feed(GET)
    assert wire.handler.exchanges == []


# Retiring


def test_retiring_closes_an_idle_connection(wire: Any) -> None:
    wire.feed(GET)
    wire.connection.retire()
    assert wire.transport.closed


@pytest.mark.parametrize(("before", "after"), [(GET, b""), (b"GET / HT", b"TP/1.1\r\n\r\n"), (post(length=3), b"abc")])
def test_retiring_lets_a_request_be_answered(before: bytes, after: bytes, wire: Any) -> None:
    wire.handler.answer = False
    wire.feed(before)
    wire.shared.retiring = True
    wire.connection.retire()
    assert not wire.transport.closed
    wire.feed(after)
    wire.handler.exchanges[0].respond(200, ())
    assert b"Connection: close" in wire.sent
    assert wire.transport.closed


def test_retiring_waits_for_what_the_peer_has_not_read(wire: Any) -> None:
    wire.handler.on_handle = lambda e: (wire.connection.pause_writing(), e.respond(200, ()))
    wire.feed(GET)
    wire.connection.retire()
    assert not wire.transport.closed
    wire.connection.resume_writing()
    assert wire.transport.closed


# Handlers that fail


@pytest.mark.parametrize("failed", [Answer(500, (("A", "b\r\n"),)), Answer(42)])
def test_an_answer_of_last_resort_that_is_not_valid_cuts(failed: Answer, wire: Any) -> None:
    wire.handler.on_handle = lambda exchange: 1 // 0
    wire.handler.failed = lambda exchange, error: failed
    assert wire.feed(GET) == b""
    assert wire.transport.aborted


def test_a_handler_that_raises(wire: Any, caplog: Any) -> None:
    def fail(exchange: Exchange) -> None:
        raise LookupError("boom")

    wire.handler.on_handle = fail
    assert wire.feed(GET).startswith(b"HTTP/1.1 500 ")
    assert [type(error) for error in wire.handler.errors] == [LookupError]
    assert caplog.text.count("LookupError: boom") == 1
    assert not wire.transport.closed


def test_a_handler_whose_head_raises(wire: Any, caplog: Any) -> None:
    wire.handler.plan = None
    wire.handler.head = lambda request: 1 // 0
    assert wire.feed(post(b"abc") + GET).count(b"HTTP/1.1 500 ") == 2
    assert "ZeroDivisionError" in caplog.text


def test_a_handler_that_cannot_word_its_failure(wire: Any, caplog: Any) -> None:
    wire.handler.on_handle = lambda exchange: 1 // 0
    wire.handler.failed = lambda exchange, error: 1 // 0
    assert wire.feed(GET).startswith(b"HTTP/1.1 500 ")


async def test_a_coroutine_that_raises_or_forgets(wire: Any, caplog: Any) -> None:
    async def fail(exchange: Exchange) -> None:
        raise LookupError("boom")

    async def forget(exchange: Exchange) -> None:
        pass

    for serve in (fail, forget):
        wire.handler.on_handle = lambda exchange, serve=serve: exchange.start(serve(exchange))
        wire.feed(GET)
        await wire.settle()
    assert [type(error) for error in wire.handler.errors] == [LookupError, RuntimeError]
    assert wire.sent.count(b"HTTP/1.1 500 ") == 2


async def test_a_coroutine_that_raises_in_the_middle_of_its_answer(wire: Any, caplog: Any) -> None:
    async def serve(exchange: Exchange) -> None:
        exchange.start_response(200, ())
        await exchange.write(b"half")
        raise LookupError("boom")

    wire.handler.on_handle = lambda exchange: exchange.start(serve(exchange))
    wire.feed(GET)
    await wire.settle()
    assert wire.transport.aborted, "else the peer would take the half for the whole"
    assert caplog.text.count("LookupError: boom") == 1
    assert wire.handler.errors == []


async def test_a_cancelled_coroutine_cuts(wire: Any) -> None:
    async def serve(exchange: Exchange) -> None:
        await asyncio.Event().wait()

    wire.handler.on_handle = lambda exchange: exchange.start(serve(exchange))
    wire.feed(GET)
    await asyncio.sleep(0)
    for task in wire.shared.tasks:
        task.cancel()
    await wire.settle()
    assert wire.transport.aborted


# What incomplete requests may take, all connections together


def test_incomplete_bodies_have_a_bound_together(make_wire: Any) -> None:
    wire = make_wire(Limits(held_bytes=1000))
    assert wire.feed(post(b"x" * 900, length=950)) == b""
    wire.shared.held_bytes += 500  # of another connection
    assert wire.feed(b"x").startswith(b"HTTP/1.1 503 ")
    assert wire.handler.refusals == [Refusal.OVERLOADED]
    assert wire.handler.exchanges == []
    assert wire.shared.held_bytes == 500


def test_heads_that_do_not_end_count_as_well(make_wire: Any) -> None:
    wire = make_wire(Limits(held_bytes=1000))
    assert wire.feed(b"GET / HTTP/1.1\r\nHost: h\r\nA: " + b"x" * 1000).startswith(b"HTTP/1.1 503 ")


def test_what_was_held_is_let_go_when_the_request_is_answered_or_lost(make_wire: Any) -> None:
    wire = make_wire(Limits(held_bytes=10_000))
    for _ in range(3):
        wire.feed(post(b"x" * 500, length=1000))
        assert wire.shared.held_bytes == 500
        assert wire.feed(b"x" * 500).startswith(b"HTTP/1.1 200 ")
        assert wire.shared.held_bytes == 0
    wire.feed(post(b"x" * 500, length=1000))
    wire.connection.connection_lost(None)
    assert wire.shared.held_bytes == 0


def test_a_lost_connection_is_freed_without_the_garbage_collector(make_wire: Any) -> None:
    wire = make_wire(Limits())
    wire.feed(post(b"x" * 500, length=1000))
    reader = wire.connection._reader
    wire.connection.connection_lost(None)
    assert reader.held_bytes == 0
    gc.disable()
    try:
        known = sys.getrefcount(reader)
        assert known == 3, gc.get_referrers(reader)  # the connection, our name, and the argument of the call
    finally:
        gc.enable()


def test_a_head_that_comes_again_is_read_as_before(wire: Any) -> None:
    """Bytes that are the same mean the same, but only where a head begins."""
    poll = b"GET /next?a=1 HTTP/1.1\r\nHost: x\r\nX-One: 1\r\n\r\n"
    wire.feed(poll, poll, poll)
    assert [(one.method, one.path, one.query, one.headers) for one in wire.handler.requests] == [
        ("GET", "/next", "a=1", [("host", "x"), ("x-one", "1")])
    ] * 3
    # As a body, and across the end of one, of which the rest is no request line.
    wire.feed(post(length=len(poll)), poll)
    last = wire.handler.requests[-1]
    assert (last.method, last.body) == ("POST", poll)
    wire.feed(post(length=5), poll)
    requests = wire.handler.requests
    assert (requests[4].method, requests[4].body) == ("POST", poll[:5])
    assert len(requests) == 5
    assert bytes(wire.transport.sent).count(b"HTTP/1.1 400 ") == 1
