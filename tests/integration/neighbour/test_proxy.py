"""Requests handed on to a real server, over real sockets."""

import asyncio
import contextlib
import hashlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from lamella.awsapi.guards import HashGuard
from lamella.awsapi.service_error import ServiceError
from lamella.httpserver import (
    Answer,
    Exchange,
    HttpServer,
    Refusal,
    Request,
    Streamed,
    TruncatedBodyError,
    refusal_status,
)
from lamella.neighbour.endpoint import Endpoint
from lamella.neighbour.proxy import BODY, Neighbours, forward
from lamella.neighbour.trust import TRUST_HEADERS

PATIENCE_S = 20.0  # of a test with a server that hangs; never waited for otherwise
Serve = Callable[[Exchange], Awaitable[None]]


class _App:
    def __init__(self, serve: Serve) -> None:
        self._serve = serve

    def head(self, request: Request) -> Streamed:
        return BODY

    def handle(self, exchange: Exchange) -> None:
        async def serve() -> None:
            await self._serve(exchange)

        exchange.start(serve())

    def refuse(self, request: Request | None, refusal: Refusal) -> Answer:
        return Answer(refusal_status(request, refusal), (), refusal.name.encode())

    def failed(self, exchange: Exchange, error: BaseException) -> Answer:
        return Answer(500, (), repr(error).encode())


class Connection:
    """A client that sends and reads what it is told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def head(self) -> str:
        return (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")

    async def rest(self) -> bytes:
        return await self.reader.read()


Connect = Callable[..., Awaitable[Connection]]


@contextlib.asynccontextmanager
async def proxied(serve: Serve, **options: Any) -> AsyncIterator[tuple[int, Endpoint]]:
    """Port of a front server that hands everything on to a server that runs `serve`."""
    behind = HttpServer(_App(serve), half_close=False)
    await behind.start(host="127.0.0.1")
    endpoint = Endpoint.parse(f"http://127.0.0.1:{behind.addresses[0][1]}")

    async def hand_on(exchange: Exchange) -> None:
        await forward(exchange, Neighbours({}, endpoint), "s3", **{"account": None, **options})

    front = HttpServer(_App(hand_on))
    await front.start(host="127.0.0.1")
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield front.addresses[0][1], endpoint
    finally:
        await front.close(grace_s=0)
        await behind.close(grace_s=0)


@contextlib.asynccontextmanager
async def connected(port: int, request: str, body: bytes = b"") -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request.replace("\n", "\r\n").encode() + b"\r\n" + body)
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()


async def test_head_and_bodies_go_both_ways_unchanged() -> None:
    seen: list[Request] = []

    async def serve(exchange: Exchange) -> None:
        seen.append(exchange.request)
        body = b""
        while piece := await exchange.read_chunk():
            body += piece
        exchange.respond(201, [("ETag", '"x"'), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")], body[::-1])

    async with proxied(serve, account="111122223333", confined=True) as (port, _):
        head = (
            "PUT /bucket/a%20b?x=%2F&y HTTP/1.1\nHost: bucket.localhost:4566\nAuthorization: AWS4 x\n"
            "Content-Length: 6\nX-Moto-Account-Id: 999999999999\nX-Lamella-Sandbox: 0\nConnection: close\n"
            "X-Lamella-Bridge: x\nX-Lamella-Principal: s3.amazonaws.com\n"
        )
        async with connected(port, head, b"abcdef") as client:
            answer = await client.head()
            assert await client.rest() == b"fedcba"
    assert answer.startswith("HTTP/1.1 201 ")
    assert 'etag: "x"' in answer
    assert "set-cookie: a=1\r\nset-cookie: b=2" in answer
    request = seen[0]
    assert (request.method, request.path, request.query) == ("PUT", "/bucket/a%20b", "x=%2F&y")
    assert request.header("host") == "bucket.localhost:4566"
    assert request.header("authorization") == "AWS4 x"
    accounts = [value for name, value in request.headers if name in ("x-moto-account-id", "x-lamella-sandbox")]
    assert accounts == ["111122223333", "1"]
    assert not {name for name, _ in request.headers} & TRUST_HEADERS


async def test_a_long_answer_is_passed_on_as_it_comes() -> None:
    """The client has the first piece while the server behind has not made the second."""
    go_on = asyncio.Event()

    async def serve(exchange: Exchange) -> None:
        exchange.start_response(200, [])
        await exchange.write(b"first")
        await go_on.wait()
        await exchange.write(b"second")
        exchange.finish()

    async with proxied(serve) as (port, _), connected(port, "GET / HTTP/1.1\nHost: x\nConnection: close\n") as client:
        await client.head()
        assert await client.reader.readuntil(b"first")
        go_on.set()
        assert b"second" in await client.rest()


async def test_a_body_that_nobody_reads_is_not_held() -> None:
    """What the proxy takes from a client whose body nobody reads is bounded: its writing comes to a stand."""
    begun, end = asyncio.Event(), asyncio.Event()

    async def serve(exchange: Exchange) -> None:
        begun.set()
        await end.wait()
        exchange.respond(200, [])

    size = 200 * 1024 * 1024
    head = f"PUT / HTTP/1.1\nHost: x\nContent-Length: {size}\n"
    async with proxied(serve) as (port, _), connected(port, head) as client:
        await begun.wait()
        sent, piece = 0, bytes(1024 * 1024)
        with contextlib.suppress(TimeoutError):
            while sent < size:
                client.writer.write(piece)
                async with asyncio.timeout(0.5):  # a bound for a stand, which has no event
                    await client.writer.drain()
                sent += len(piece)
        assert sent < 64 * 1024 * 1024
        end.set()
        assert (await client.head()).startswith("HTTP/1.1 200 ")


async def test_a_chunked_body_arrives_whole() -> None:
    async def serve(exchange: Exchange) -> None:
        body = b""
        while piece := await exchange.read_chunk():
            body += piece
        exchange.respond(200, [], body)

    head = "POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\nConnection: close\n"
    async with proxied(serve) as (port, _), connected(port, head, b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n") as client:
        await client.head()
        assert await client.rest() == b"abcde"


async def test_an_answer_to_head_has_its_length_and_no_body() -> None:
    async def serve(exchange: Exchange) -> None:
        exchange.respond(200, [("Content-Length", "12345")])

    head = "HEAD / HTTP/1.1\nHost: x\nConnection: close\n"
    async with proxied(serve) as (port, _), connected(port, head) as client:
        assert "content-length: 12345" in (await client.head()).lower()
        assert await client.rest() == b""


async def test_an_answer_that_comes_before_the_body_was_sent() -> None:
    async def serve(exchange: Exchange) -> None:
        exchange.respond(403, [], b"no")

    head = "PUT / HTTP/1.1\nHost: x\nContent-Length: 1000000\n"
    async with proxied(serve) as (port, _), connected(port, head, b"only the beginning") as client:
        assert (await client.head()).startswith("HTTP/1.1 403 ")


async def test_an_answer_that_is_cut_off_is_not_taken_for_whole() -> None:
    async def serve(exchange: Exchange) -> None:
        exchange.start_response(200, [("Content-Length", "100")])
        await exchange.write(b"half")
        exchange.abort()

    async with proxied(serve) as (port, _), connected(port, "GET / HTTP/1.1\nHost: x\n") as client:
        await client.head()
        with contextlib.suppress(ConnectionError):
            assert len(await client.rest()) < 100


async def test_a_client_that_goes_away_ends_the_request_behind() -> None:
    begun, gone = asyncio.Event(), asyncio.Event()

    async def serve(exchange: Exchange) -> None:
        exchange.on_disconnect(gone.set)
        begun.set()
        await gone.wait()

    async with proxied(serve) as (port, _), connected(port, "GET / HTTP/1.1\nHost: x\n") as client:
        await begun.wait()
        # Reset the connection: one that is merely closed may still be read from, as far as the server knows.
        plain = client.writer.get_extra_info("socket")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.writer.transport.abort()
        await gone.wait()


async def test_nobody_there_is_a_fault_that_clients_try_again() -> None:
    async def refuse(exchange: Exchange) -> None:
        exchange.respond(500, [])

    async with proxied(refuse) as (_, endpoint):
        pass

    async def hand_on(exchange: Exchange) -> None:
        await forward(exchange, Neighbours({}, endpoint), "s3", account=None)

    front = HttpServer(_App(hand_on))
    await front.start(host="127.0.0.1")
    head = "GET / HTTP/1.1\nHost: x\nConnection: close\n"
    async with connected(front.addresses[0][1], head) as client:
        assert (await client.head()).startswith("HTTP/1.1 503 ")
        assert b"cannot be reached" in await client.rest()
    await front.close(grace_s=0)


@pytest.mark.parametrize("answer", [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 100_000, b""])
async def test_a_neighbour_that_does_not_speak_http(answer: bytes) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    behind = await asyncio.start_server(speak, "127.0.0.1")
    endpoint = Endpoint.parse(f"http://127.0.0.1:{behind.sockets[0].getsockname()[1]}")

    async def hand_on(exchange: Exchange) -> None:
        await forward(exchange, Neighbours({}, endpoint), "s3", account=None)

    front = HttpServer(_App(hand_on))
    await front.start(host="127.0.0.1")
    head = "GET / HTTP/1.1\nHost: x\nConnection: close\n"
    async with asyncio.timeout(PATIENCE_S), connected(front.addresses[0][1], head) as client:
        assert (await client.head()).startswith("HTTP/1.1 503 ")
    await front.close(grace_s=0)
    behind.close()


class Fussy:
    """A guard that lets the body through but for the end, which is not what was signed."""

    def __init__(self) -> None:
        self._last = b""

    def feed(self, piece: bytes) -> bytes:
        ready, self._last = self._last, piece
        return ready

    def finish(self) -> bytes:
        raise ServiceError(400, "XAmzContentSHA256Mismatch", "no")


class Served:
    """A server that says how a request ended for it."""

    def __init__(self) -> None:
        self.begun = False
        self.body = b""
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def __call__(self, exchange: Exchange) -> None:
        self.begun = True
        try:
            while piece := await exchange.read_chunk():
                self.body += piece
        except TruncatedBodyError:
            self.ended.set_result("cut off")
            raise
        self.ended.set_result("complete")
        exchange.respond(200, [])


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_its_guard_refuses_is_no_request_behind(chunked: bool) -> None:
    served, size = Served(), 2_000_000
    async with proxied(served, guard=Fussy()) as (port, _):
        framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (size, bytes(size)) if chunked else bytes(size)
        async with connected(port, f"PUT / HTTP/1.1\nHost: x\n{framing}\nConnection: close\n", body) as client:
            assert (await client.head()).startswith("HTTP/1.1 400 ")
            assert b"<Code>XAmzContentSHA256Mismatch</Code>" in await client.rest()
        assert await served.ended == "cut off"
        assert 0 < len(served.body) < size


@pytest.mark.parametrize("size", [0, 1])
async def test_nothing_is_sent_on_of_a_body_that_a_guard_refuses_at_once(size: int) -> None:
    served = Served()
    async with proxied(served, guard=Fussy()) as (port, _):
        head = f"PUT / HTTP/1.1\nHost: x\nContent-Length: {size}\nConnection: close\n"
        async with connected(port, head, bytes(size)) as client:
            assert (await client.head()).startswith("HTTP/1.1 400 ")
    assert not served.begun


async def test_a_guarded_body_that_is_good_arrives_whole() -> None:
    served, body = Served(), bytes(range(256)) * 4096
    async with proxied(served, guard=HashGuard(hashlib.sha256(body).hexdigest())) as (port, _):
        head = f"PUT / HTTP/1.1\nHost: x\nContent-Length: {len(body)}\nConnection: close\n"
        async with connected(port, head, body) as client:
            assert (await client.head()).startswith("HTTP/1.1 200 ")
    assert served.body == body


async def test_an_answer_is_rewritten_as_a_whole() -> None:
    async def serve(exchange: Exchange) -> None:
        exchange.start_response(200, [("X-Kept", "1")])
        await exchange.write(b"first ")
        await exchange.write(b"second")
        exchange.finish()

    asked = "GET / HTTP/1.1\nHost: x\nConnection: close\n"
    async with proxied(serve, rewrite=bytes.upper) as (port, _), connected(port, asked) as client:
        head = (await client.head()).lower()
        assert await client.rest() == b"FIRST SECOND"
    assert "x-kept: 1" in head
    assert "content-length: 12" in head
