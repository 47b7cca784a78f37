"""Answers: framing, forbidden headers, pieces and order of calls."""

from collections.abc import Callable
from typing import Any

import pytest

from lamella.httpserver import Exchange, Phase

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n"
OLD = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"


@pytest.fixture
def open_exchange(wire: Any) -> Callable[[bytes], Exchange]:
    def feed(data: bytes) -> Exchange:
        wire.handler.answer = False
        wire.feed(data)
        exchange: Exchange = wire.handler.exchanges[-1]
        return exchange

    return feed


@pytest.mark.parametrize(
    ("request_", "status", "headers", "expected"),
    [
        (GET, 200, (), b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"),
        (GET, 200, [("A", "b"), ("A", "é")], b"HTTP/1.1 200 OK\r\nA: b\r\nA: \xe9\r\nContent-Length: 4\r\n\r\nbody"),
        (GET, 299, (), b"HTTP/1.1 299 Unknown\r\nContent-Length: 4\r\n\r\nbody"),
        (GET, 204, (), b"HTTP/1.1 204 No Content\r\n\r\n"),
        (GET, 304, (), b"HTTP/1.1 304 Not Modified\r\n\r\n"),
        (GET, 304, [("content-length", "9")], b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"),
        (HEAD, 200, (), b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"),
        (HEAD, 200, [("Content-Length", "9")], b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
        (GET, 200, [("Content-Length", "4")], b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"),
        (
            GET,
            200,
            [("Connection", "close"), ("A", "b")],
            b"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody",
        ),
    ],
)
def test_a_complete_answer(
    request_: bytes, status: int, headers: Any, expected: bytes, open_exchange: Any, wire: Any
) -> None:
    exchange = open_exchange(request_)
    exchange.respond(status, headers, b"body")
    assert wire.sent == expected
    assert wire.transport.writes == 1
    assert wire.transport.closed is (b"Connection: close" in expected)
    assert exchange.phase is Phase.DONE


def test_an_empty_answer_has_a_length(open_exchange: Any, wire: Any) -> None:
    open_exchange(GET).respond(200, ())
    assert wire.sent == b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def test_a_large_body_is_sent_whole(open_exchange: Any, wire: Any) -> None:
    open_exchange(GET).respond(200, (), 1_000_000 * b"x")
    assert wire.sent.endswith(b"Content-Length: 1000000\r\n\r\n" + 1_000_000 * b"x")


def test_a_date_if_the_server_is_set_so(make_wire: Any) -> None:
    wire = make_wire(dated=True)
    assert wire.feed(GET).count(b"\r\nDate: ") == 1
    wire.handler.on_handle = lambda exchange: exchange.respond(200, [("Date", "my own")])
    assert wire.feed(GET).count(b"\r\nDate: my own\r\n") == 1
    assert wire.sent.count(b"\r\nDate: ") == 2


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (200, [("A", "b\r\nC: d")]),
        (200, [("A", "b\nC: d")]),
        (200, [("A", "b\r")]),
        (200, [("A", "b\0")]),
        (200, [("A", "snow \N{SNOWMAN}")]),
        (200, [("A\r\nB", "c")]),
        (200, [("A B", "c")]),
        (200, [("A:", "c")]),
        (200, [("", "c")]),
        (200, [("Transfer-Encoding", "chunked")]),
        (200, [("Content-Length", "5")]),
        (200, [("Content-Length", "x")]),
        (200, [("Content-Length", "4\r\nA: b")]),
        (200, [("Connection", "close\r\nA: b"), ("A", "\n")]),
        (100, []),
        (99, []),
        (1000, []),
    ],
)
def test_an_answer_that_would_not_be_http(status: int, headers: Any, open_exchange: Any, wire: Any) -> None:
    exchange = open_exchange(GET)
    for _ in range(2):  # what has been refused once must not have been learnt as good
        with pytest.raises(ValueError):
            exchange.respond(status, headers, b"body")
    assert wire.sent == b""
    exchange.respond(500, ())
    assert wire.sent.startswith(b"HTTP/1.1 500 ")


def test_an_answer_is_given_once(open_exchange: Any, wire: Any) -> None:
    exchange = open_exchange(GET)
    exchange.respond(200, ())
    sent = wire.sent
    for again in (
        lambda: exchange.respond(200, ()),
        lambda: exchange.respond_raw(b"x", b""),
        lambda: exchange.start_response(200, ()),
        exchange.finish,
    ):
        with pytest.raises(RuntimeError):
            again()
    exchange.abort()
    assert wire.sent == sent
    assert not wire.transport.closed


def test_a_rendered_answer_to_head(open_exchange: Any, wire: Any) -> None:
    open_exchange(HEAD).respond_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", b"body")
    assert wire.sent == b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"


# In pieces


@pytest.mark.parametrize(
    ("request_", "status", "headers", "expected", "kept"),
    [
        (GET, 200, [], b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\nX-T: u\r\n\r\n", True),
        (GET, 200, [("Content-Length", "4")], b"Content-Length: 4\r\n\r\nabcd", True),
        (OLD, 200, [], b"Connection: close\r\n\r\nabcd", False),
        (OLD, 200, [("Content-Length", "4")], b"Content-Length: 4\r\nConnection: keep-alive\r\n\r\nabcd", True),
        (HEAD, 200, [], b"Transfer-Encoding: chunked\r\n\r\n", True),
        (HEAD, 200, [("Content-Length", "4")], b"Content-Length: 4\r\n\r\n", True),
        (GET, 204, [], b"\r\n", True),
        (GET, 304, [], b"\r\n", True),
        (
            GET,
            200,
            [("Connection", "close")],
            b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\nX-T: u\r\n\r\n",
            False,
        ),
    ],
)
async def test_an_answer_in_pieces(
    request_: bytes, status: int, headers: Any, expected: bytes, kept: bool, open_exchange: Any, wire: Any
) -> None:
    exchange = open_exchange(request_)
    exchange.start_response(status, headers)
    assert exchange.phase is Phase.STREAMING
    for piece in (b"abc", b"", b"d"):
        await exchange.write(piece)
    exchange.finish([("X-T", "u")])
    line, _, rest = wire.sent.partition(b"\r\n")
    assert line.startswith(b"HTTP/1.1 %d " % status)
    assert rest == expected
    assert wire.transport.closed is not kept
    if kept:
        before = len(wire.handler.exchanges)
        wire.feed(GET)
        assert len(wire.handler.exchanges) == before + 1


async def test_more_than_announced(open_exchange: Any, wire: Any) -> None:
    exchange = open_exchange(GET)
    exchange.start_response(200, [("Content-Length", "3")])
    await exchange.write(b"ab")
    with pytest.raises(ValueError):
        await exchange.write(b"cd")
    await exchange.write(b"c")
    exchange.finish()
    assert wire.sent.endswith(b"\r\n\r\nabc")


async def test_less_than_announced_cuts(open_exchange: Any, wire: Any) -> None:
    exchange = open_exchange(GET)
    exchange.start_response(200, [("Content-Length", "3")])
    await exchange.write(b"ab")
    with pytest.raises(RuntimeError):
        exchange.finish()
    assert wire.transport.aborted


async def test_trailers_cannot_break_out(open_exchange: Any, wire: Any) -> None:
    exchange = open_exchange(GET)
    exchange.start_response(200, [])
    for trailers in ([("A", "b\r\n")], [("Content-Length", "3")], [("A b", "c")]):
        with pytest.raises(ValueError):
            exchange.finish(trailers)
    exchange.finish()
    assert wire.sent.endswith(b"\r\n\r\n0\r\n\r\n")


async def test_an_answer_in_pieces_that_is_given_up(open_exchange: Any, wire: Any) -> None:
    exchange = open_exchange(GET)
    exchange.start_response(200, [])
    exchange.abort()
    assert wire.transport.aborted


async def test_nothing_is_written_before_the_start(open_exchange: Any, wire: Any) -> None:
    exchange = open_exchange(GET)
    with pytest.raises(RuntimeError):
        await exchange.write(b"x")
    with pytest.raises(RuntimeError):
        exchange.finish()
    assert wire.sent == b""


async def test_a_pipelined_request_waits_for_all_pieces(open_exchange: Any, wire: Any) -> None:
    exchange = open_exchange(GET + GET)
    exchange.start_response(200, [])
    await exchange.write(b"x")
    wire.loop.run_soon()
    assert len(wire.handler.exchanges) == 1
    exchange.finish()
    wire.loop.run_soon()
    assert len(wire.handler.exchanges) == 2
