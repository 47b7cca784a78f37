"""The client over real sockets: servers that answer well, late, wrongly, or not at all."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from lamella.httpserver import DisconnectedError
from lamella.httpserver.client import BadAnswerError, Client, open_client

PATIENCE_S = 20.0
HEAD = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n"
REQUEST = HEAD + b"abc"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK"

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
async def connect() -> AsyncIterator[Callable[[Serve], Awaitable[Client]]]:
    servers: list[asyncio.Server] = []
    clients: list[Client] = []
    serving = asyncio.TaskGroup()

    async def start(serve: Serve) -> Client:
        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            async def run() -> None:
                try:
                    await serve(reader, writer)
                except (asyncio.IncompleteReadError, ConnectionError):
                    pass
                finally:
                    writer.close()

            serving.create_task(run())

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        servers.append(server)
        client = await open_client(unconnected(), "127.0.0.1", server.sockets[0].getsockname()[1])
        clients.append(client)
        return client

    async with asyncio.timeout(PATIENCE_S), serving:
        yield start
        for client in clients:
            client.abort()
        for server in servers:
            server.close()


def unconnected() -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    return sock


def answering(*answers: bytes) -> Serve:
    """Serves one request after the other with these."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            assert await reader.readexactly(len(REQUEST)) == REQUEST
            writer.write(answer)
        await reader.read()

    return serve


def answering_and_closing(answer: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(REQUEST))
        writer.write(answer)

    return serve


async def test_requests_share_a_connection(connect: Callable[[Serve], Awaitable[Client]]) -> None:
    """TL-23: one keep-alive connection."""
    chunked = b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    client = await connect(answering(OK, chunked, b"HTTP/1.1 204 No Content\r\n\r\n"))
    assert [await client.request(HEAD, b"abc") for _ in range(3)] == [200, 500, 204]
    assert client.usable


async def test_an_interim_answer_is_no_answer(connect: Callable[[Serve], Awaitable[Client]]) -> None:
    client = await connect(answering(b"HTTP/1.1 100 Continue\r\n\r\n" + OK, OK))
    assert [await client.request(HEAD, b"abc") for _ in range(2)] == [200, 200]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 202 Accepted\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 202 Accepted\r\nContent-Length: 0\r\n\r\n",
    ],
)
async def test_a_server_that_wants_no_second_request(
    answer: bytes, connect: Callable[[Serve], Awaitable[Client]]
) -> None:
    client = await connect(answering(answer))
    assert await client.request(HEAD, b"abc") == 202
    assert not client.usable
    with pytest.raises(DisconnectedError):
        await client.request(HEAD, b"abc")


async def test_an_answer_that_ends_with_the_connection(connect: Callable[[Serve], Awaitable[Client]]) -> None:
    """What simple servers of HTTP/1.0 do."""
    client = await connect(answering_and_closing(b"HTTP/1.0 200 OK\r\n\r\nno length"))
    assert await client.request(HEAD, b"abc") == 200
    assert not client.usable


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_a_server_that_leaves(answer: bytes, connect: Callable[[Serve], Awaitable[Client]]) -> None:
    client = await connect(answering_and_closing(answer))
    with pytest.raises(DisconnectedError):
        await client.request(HEAD, b"abc")
    assert not client.usable


async def test_a_server_that_resets(connect: Callable[[Serve], Awaitable[Client]]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)  # the rest is unread, so that closing resets
        writer.transport.abort()

    client = await connect(serve)
    with pytest.raises(DisconnectedError):
        await client.request(HEAD, b"abc")


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x16\x03\x01\x00\xa5",
        b"HTTP/1.1 99999 What\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000,
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 2_000_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000,
    ],
    ids=lambda answer: repr(answer[:20]),
)
async def test_garbage_ends_the_connection(answer: bytes, connect: Callable[[Serve], Awaitable[Client]]) -> None:
    """What a listener can make us hold is bounded."""
    client = await connect(answering(answer))
    with pytest.raises(BadAnswerError):
        await client.request(HEAD, b"abc")
    assert not client.usable


async def test_two_answers_to_one_request(connect: Callable[[Serve], Awaitable[Client]]) -> None:
    """The second is not taken for that of the next request."""
    client = await connect(answering(OK + b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"))
    assert await client.request(HEAD, b"abc") == 200
    assert not client.usable


async def test_an_answer_to_no_request(connect: Callable[[Serve], Awaitable[Client]]) -> None:
    late = asyncio.Event()
    sent = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(REQUEST))
        writer.write(OK)
        await late.wait()
        writer.write(OK)
        assert await reader.read() == b"", "the client hangs up"
        sent.set()

    client = await connect(serve)
    assert await client.request(HEAD, b"abc") == 200
    late.set()
    await sent.wait()
    assert not client.usable


async def test_a_request_that_is_cancelled_takes_the_connection_with_it(
    connect: Callable[[Serve], Awaitable[Client]],
) -> None:
    asked = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(REQUEST))
        asked.set()
        await reader.read()

    client = await connect(serve)
    request = asyncio.ensure_future(client.request(HEAD, b"abc"))
    await asked.wait()
    with pytest.raises(RuntimeError):
        await client.request(HEAD, b"abc")
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert not client.usable


async def test_plain_data(connect: Callable[[Serve], Awaitable[Client]]) -> None:
    """TL-24: what is written is with the system; a listener that talks is not heard."""
    received = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello, who is there\r\n")
        received.set_result(await reader.readexactly(3_000_000))

    client = await connect(serve)
    for _ in range(3):
        await client.send(b"x" * 1_000_000)
    assert await received == b"x" * 3_000_000


async def test_plain_data_to_one_who_leaves(connect: Callable[[Serve], Awaitable[Client]]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        writer.transport.abort()

    client = await connect(serve)
    with pytest.raises(DisconnectedError):
        await client.send(b"x" * 10_000_000)
    with pytest.raises(DisconnectedError):
        await client.send(b"x")


async def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    sock = unconnected()
    with pytest.raises(ConnectionRefusedError):
        await open_client(sock, "127.0.0.1", port)
    assert sock.fileno() == -1, "closed"
