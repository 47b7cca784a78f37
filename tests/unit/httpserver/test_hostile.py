"""What must never reach a handler: malformed, ambiguous and endless requests."""

from typing import Any

import pytest

from lamella.httpserver import Limits, Refusal

R = Refusal
GET = b"GET / HTTP/1.1\r\nHost: h\r\n"
POST = b"POST / HTTP/1.1\r\nHost: h\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

CORPUS: dict[str, tuple[bytes, Refusal]] = {
    # The request line
    "not http": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", R.MALFORMED),
    "garbage": (b"hello\r\n\r\n", R.MALFORMED),
    "unknown method": (b"FOO / HTTP/1.1\r\n\r\n", R.MALFORMED),
    "method in lower case": (b"get / HTTP/1.1\r\n\r\n", R.MALFORMED),
    "tab after method": (b"GET\t/ HTTP/1.1\r\n\r\n", R.MALFORMED),
    "no version": (b"GET /\r\n\r\n", R.UNSUPPORTED),
    "version 1.2": (b"GET / HTTP/1.2\r\n\r\n", R.MALFORMED),
    "version 2.0": (b"GET / HTTP/2.0\r\n\r\n", R.UNSUPPORTED),
    "version 0.9": (b"GET / HTTP/0.9\r\n\r\n", R.UNSUPPORTED),
    "version 2.0, kept alive": (b"GET / HTTP/2.0\r\nConnection: keep-alive\r\n\r\n", R.UNSUPPORTED),
    "http2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", R.MALFORMED),
    "rtsp": (b"DESCRIBE / RTSP/1.0\r\n\r\n", R.UNSUPPORTED),
    "icecast": (b"SOURCE / ICE/1.0\r\n\r\n", R.UNSUPPORTED),
    "connect": (b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\ntunnelled", R.UNSUPPORTED),
    "relative target": (b"GET foo HTTP/1.1\r\n\r\n", R.MALFORMED),
    "other scheme": (b"GET ftp://h/ HTTP/1.1\r\n\r\n", R.MALFORMED),
    "star for get": (b"GET * HTTP/1.1\r\n\r\n", R.MALFORMED),
    "fragment": (b"GET /a#b HTTP/1.1\r\n\r\n", R.MALFORMED),
    "nul in target": (b"GET /a\0b HTTP/1.1\r\n\r\n", R.MALFORMED),
    "control in target": (b"GET /a\x01b HTTP/1.1\r\n\r\n", R.MALFORMED),
    "raw high byte in target": (b"GET /\xff HTTP/1.1\r\n\r\n", R.MALFORMED),
    "line feeds only": (b"GET / HTTP/1.1\nHost: h\n\n", R.MALFORMED),
    "endless line": (b"GET /" + 70_000 * b"a", R.LINE_TOO_LONG),
    "long line": (b"GET /" + 70_000 * b"a" + b" HTTP/1.1\r\n\r\n", R.LINE_TOO_LONG),
    # Headers
    "folded": (GET + b"A: b\r\n c\r\n\r\n", R.MALFORMED),
    "folded first": (b"GET / HTTP/1.1\r\n A: b\r\n\r\n", R.MALFORMED),
    "bare line feed": (GET + b"A: b\nC: d\r\n\r\n", R.MALFORMED),
    "bare carriage return": (GET + b"A: b\rC: d\r\n\r\n", R.MALFORMED),
    "space before colon": (GET + b"A : b\r\n\r\n", R.MALFORMED),
    "tab before colon": (POST + b"Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", R.MALFORMED),
    "nul in value": (GET + b"A: b\0c\r\n\r\n", R.MALFORMED),
    "nul in name": (GET + b"A\0: b\r\n\r\n", R.MALFORMED),
    "control in value": (GET + b"A: \x01\r\n\r\n", R.MALFORMED),
    "empty name": (GET + b": b\r\n\r\n", R.MALFORMED),
    "no colon": (GET + b"abc\r\n\r\n", R.MALFORMED),
    "two hosts": (GET + b"host: i\r\n\r\n", R.MALFORMED),
    "two hosts, spelt oddly": (GET + b"hOST: h\r\n\r\n", R.MALFORMED),
    "endless header": (GET + b"A: " + 200_000 * b"b", R.HEADERS_TOO_LARGE),
    "endless header name": (GET + 200_000 * b"b", R.HEADERS_TOO_LARGE),
    "large headers": (GET + b"A: " + 200_000 * b"b" + b"\r\n\r\n", R.HEADERS_TOO_LARGE),
    "many headers": (GET + 101 * b"A: b\r\n" + b"\r\n", R.HEADERS_TOO_LARGE),
    "endless headers": (GET + 90_000 * b"A:\r\n", R.HEADERS_TOO_LARGE),
    # Framing
    "length and chunks": (POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", R.MALFORMED),
    "chunks and length": (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", R.MALFORMED),
    "length and unknown coding": (POST + b"Transfer-Encoding: x\r\nContent-Length: 1\r\n\r\n0\r\n\r\n", R.MALFORMED),
    "h2c, length and chunks": (
        POST
        + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        R.MALFORMED,
    ),
    "two lengths": (POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", R.MALFORMED),
    "length twice": (POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", R.MALFORMED),
    "list of lengths": (POST + b"Content-Length: 3, 3\r\n\r\nabc", R.MALFORMED),
    "signed length": (POST + b"Content-Length: +3\r\n\r\nabc", R.MALFORMED),
    "negative length": (POST + b"Content-Length: -3\r\n\r\nabc", R.MALFORMED),
    "hexadecimal length": (POST + b"Content-Length: 0x3\r\n\r\nabc", R.MALFORMED),
    "underscored length": (POST + b"Content-Length: 1_0\r\n\r\nabc", R.MALFORMED),
    "empty length": (POST + b"Content-Length: \r\n\r\nabc", R.MALFORMED),
    "length over 64 bits": (POST + b"Content-Length: 99999999999999999999\r\n\r\nabc", R.MALFORMED),
    "coding identity": (POST + b"Transfer-Encoding: identity\r\n\r\nabc", R.MALFORMED),
    "coding gzip": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", R.UNSUPPORTED),
    "coding gzip apart": (
        POST + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        R.UNSUPPORTED,
    ),
    "chunked twice": (POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", R.MALFORMED),
    "chunked then identity": (
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        R.MALFORMED,
    ),
    "chunked with vertical tab": (POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", R.MALFORMED),
    "chunked in 1.0": (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", R.MALFORMED),
    "other expectation": (POST + b"Expect: tea\r\nContent-Length: 3\r\n\r\nabc", R.UNSUPPORTED),
    "chunk without carriage return": (CHUNKED + b"3\nabc\n0\n\n", R.MALFORMED),
    "negative chunk": (CHUNKED + b"-3\r\nabc\r\n0\r\n\r\n", R.MALFORMED),
    "chunk 0x": (CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n", R.MALFORMED),
    "chunk size with space": (CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n", R.MALFORMED),
    "chunk over 64 bits": (CHUNKED + b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n", R.MALFORMED),
    "chunk longer than said": (CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n", R.MALFORMED),
    "line feed in chunk extension": (CHUNKED + b"3;a\nb\r\nabc\r\n0\r\n\r\n", R.MALFORMED),
    "endless chunk extension": (CHUNKED + b"3;" + 200_000 * b"a", R.HEADERS_TOO_LARGE),
    "endless trailer": (CHUNKED + b"0\r\nA: " + 200_000 * b"a", R.HEADERS_TOO_LARGE),
    "many trailers": (CHUNKED + b"0\r\n" + 101 * b"A: b\r\n" + b"\r\n", R.HEADERS_TOO_LARGE),
    "much framing, little body": (CHUNKED + 40 * (b"1;" + 5000 * b"a" + b"\r\nx\r\n"), R.HEADERS_TOO_LARGE),
    "length in trailer": (CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n", R.MALFORMED),
    "coding in trailer": (CHUNKED + b"0\r\nTransfer-Encoding: chunked\r\n\r\n", R.MALFORMED),
    "broken trailer": (CHUNKED + b"0\r\nno colon\r\n\r\n", R.MALFORMED),
}
STATUS = {R.MALFORMED: (400,), R.LINE_TOO_LONG: (414,), R.HEADERS_TOO_LARGE: (431,), R.UNSUPPORTED: (501, 417)}
LIMITS = Limits(line_bytes=65_536, headers_bytes=131_072, header_count=100)


@pytest.mark.parametrize("name", CORPUS)
@pytest.mark.parametrize("piece_bytes", [10**9, 1000, 7])
def test_is_refused_and_ended(name: str, piece_bytes: int, make_wire: Any) -> None:
    data, refusal = CORPUS[name]
    wire = make_wire(LIMITS)
    wire.feed(*[data[at : at + piece_bytes] for at in range(0, len(data), piece_bytes)])
    wire.end()
    assert wire.handler.refusals == [refusal]
    assert wire.handler.requests == []
    head, _, body = wire.sent.partition(b"\r\n\r\n")
    assert int(head.split()[1]) in STATUS[refusal]
    assert b"\r\nConnection: close" in head
    assert body == refusal.name.encode(), "exactly one answer"
    assert wire.transport.closed


def test_nothing_after_a_refusal_is_served(make_wire: Any) -> None:
    wire = make_wire()
    wire.feed(GET + b"A : b\r\n\r\n" + GET + b"\r\n", GET + b"\r\n")
    assert wire.handler.requests == []
    assert wire.sent.count(b"HTTP/1.1 ") == 1
    assert wire.transport.ended


@pytest.mark.parametrize("name", ["endless line", "endless header", "endless header name", "endless headers"])
def test_an_endless_head_is_refused_at_the_limit(name: str, make_wire: Any) -> None:
    data = CORPUS[name][0]
    wire = make_wire(LIMITS)
    fed = 0
    while not wire.handler.refusals:
        wire.feed(data[fed : fed + 1000])
        fed += 1000
    limit = LIMITS.line_bytes if name == "endless line" else LIMITS.headers_bytes
    assert fed <= limit + 2000


def test_another_expectation_is_417(make_wire: Any) -> None:
    wire = make_wire()
    assert wire.feed(POST + b"Expect: tea\r\nContent-Length: 3\r\n\r\n").startswith(b"HTTP/1.1 417 ")
    assert wire.handler.refused[0].header("expect") == "tea"


def test_a_handler_that_cannot_word_a_refusal_does_not_matter(make_wire: Any, caplog: Any) -> None:
    wire = make_wire()

    def refuse(*_: object) -> None:
        raise LookupError("no words")

    wire.handler.refuse = refuse
    assert wire.feed(b"garbage\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert "no words" in caplog.text


def test_an_expired_linger_cuts(make_wire: Any) -> None:
    wire = make_wire()
    wire.feed(b"garbage\r\n\r\n")
    wire.feed(b"more")
    wire.loop.fire_timers()
    assert not wire.transport.closed, "the peer is still sending"
    wire.loop.fire_timers()
    assert wire.transport.aborted


def test_a_peer_that_goes_on_sending_is_cut(make_wire: Any) -> None:
    wire = make_wire()
    wire.feed(b"garbage\r\n\r\n", *(20 * [65_536 * b"x"]))
    assert wire.transport.aborted
