"""However the bytes of a request are cut into pieces, the same comes out."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamella.httpserver import Buffered, Limits

REQUESTS = {
    "get": b"GET /a/b?c=d HTTP/1.1\r\nHost: h\r\nX-Empty:\r\nX-Spaced:  v \t \r\n\r\n",
    "blank lines first": b"\r\n\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n",
    "length": b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\nab\r\n\r\ncd\r\n\r\n",
    "chunked with trailers": (
        b"POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: X-A\r\n\r\n"
        b"6\r\na\r\n\r\nb\r\n3;ext=1\r\ncde\r\n0\r\nX-A: 1\r\nX-B: \r\n\r\n"
    ),
    "pipelined": b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n",
    "pipelined bodies": (
        b"POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
        b"POST /2 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nd\r\n0\r\n\r\n"
        b"GET /3 HTTP/1.1\r\nHost: h\r\n\r\n"
    ),
    "expect": b"POST /p HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    "offer of h2c": (
        b"POST /p HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"Content-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\nHost: h\r\n\r\n"
    ),
    "offer of h2c, chunked": (
        b"POST /p HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n0\r\nX-T: u\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n"
    ),
    "http 1.0": b"POST /p HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabcGET /2 HTTP/1.0\r\n\r\n",
    "refused in the middle": b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nBad Header: h\r\n\r\n",
    "body too large": b"POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 30\r\n\r\n"
    + 30 * b"x"
    + b"GET / HTTP/1.1\r\n\r\n",
    "chunks too large": (
        b"POST /1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1e\r\n" + 30 * b"x" + b"\r\n0\r\n\r\n"
        b"GET /2 HTTP/1.1\r\n\r\n"
    ),
}


def outcome(make_wire: Any, pieces: list[bytes]) -> tuple[Any, ...]:
    wire = make_wire(Limits(drain_bytes=1000))
    wire.handler.plan = Buffered(20, drain_excess=True)
    wire.feed(*pieces)
    seen = [(r.method, r.target, r.path, r.query, r.headers, r.body, r.trailers) for r in wire.handler.requests]
    return seen, wire.sent, wire.handler.refusals, wire.transport.closed or wire.transport.ended


EXPECTED = {
    "get": (1, 0),
    "blank lines first": (1, 0),
    "length": (1, 0),
    "chunked with trailers": (1, 0),
    "pipelined": (2, 0),
    "pipelined bodies": (3, 0),
    "expect": (1, 0),
    "offer of h2c": (2, 0),
    "offer of h2c, chunked": (2, 0),
    "http 1.0": (2, 0),
    "refused in the middle": (1, 1),
    "body too large": (1, 1),
    "chunks too large": (1, 1),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_every_byte_boundary_gives_the_same(name: str, make_wire: Any) -> None:
    data = REQUESTS[name]
    whole = outcome(make_wire, [data])
    assert (len(whole[0]), len(whole[2])) == EXPECTED[name]
    for at in range(1, len(data)):
        assert outcome(make_wire, [data[:at], data[at:]]) == whole, f"cut at {at}"
    assert outcome(make_wire, [data[at : at + 1] for at in range(len(data))]) == whole, "byte by byte"


@given(name=st.sampled_from(sorted(REQUESTS)), draw=st.data())
def test_any_pieces_give_the_same(name: str, draw: st.DataObject, make_wire: Any) -> None:
    data = REQUESTS[name]
    cuts = sorted(draw.draw(st.sets(st.integers(1, len(data) - 1), max_size=8)))
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    assert outcome(make_wire, pieces) == outcome(make_wire, [data])


@given(pieces=st.lists(st.binary(min_size=1, max_size=40), max_size=8))
def test_noise_is_never_an_error_of_ours(pieces: list[bytes], make_wire: Any) -> None:
    wire = make_wire()
    wire.feed(*pieces)
    wire.end()
    assert wire.transport.closed or wire.transport.ended


@given(
    chunks=st.lists(st.binary(min_size=1, max_size=30).map(lambda b: b.replace(b"x", b"\r\n")), max_size=6),
    trailers=st.lists(st.sampled_from([("x-a", "1"), ("x-b", "")]), max_size=3),
    size=st.integers(1, 50),
)
def test_a_chunked_body_comes_out_whole(
    chunks: list[bytes], trailers: list[tuple[str, str]], size: int, make_wire: Any
) -> None:
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks if chunk) + b"0\r\n"
    body += "".join(f"{name}: {value}\r\n" for name, value in trailers).encode() + b"\r\n"
    data = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + body + b"GET /next HTTP/1.1\r\n\r\n"
    wire = make_wire()
    wire.feed(*[data[at : at + size] for at in range(0, len(data), size)])
    assert [request.path for request in wire.handler.requests] == ["/", "/next"]
    assert wire.handler.requests[0].body == b"".join(chunks)
    assert wire.handler.requests[0].trailers == trailers
