"""The server over real sockets: slow, half-open, greedy and impatient peers, and its own end."""

import asyncio
import contextlib
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from lamella.httpserver import Buffered, DisconnectedError, Exchange, HttpServer, Limits, Refusal, Streamed

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
PATIENCE_S = 20.0
SHORT = Limits(head_timeout_s=0.1, body_idle_timeout_s=0.1, keepalive_timeout_s=0.1, write_timeout_s=0.1)


async def test_an_idle_connection_is_closed(run: Any) -> None:
    running = await run(limits=SHORT)
    assert await running.exchange(GET) == b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\nA: ", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc"])
async def test_a_slow_loris_is_refused(data: bytes, run: Any) -> None:
    running = await run(limits=SHORT)
    assert (await running.exchange(data)).startswith(b"HTTP/1.1 408 ")
    assert await running.app.refusals.get() is Refusal.TIMEOUT


async def test_a_peer_that_does_not_read_is_cut(run: Any) -> None:
    gone = asyncio.Event()

    async def pour(exchange: Exchange) -> None:
        exchange.on_disconnect(gone.set)
        exchange.start_response(200, ())
        while True:
            await exchange.write(1_000_000 * b"x")

    running = await run(pour, limits=SHORT)
    with await running.connect(4096) as client:
        await asyncio.get_running_loop().sock_sendall(client, GET)
        async with asyncio.timeout(PATIENCE_S):
            await gone.wait()


async def test_a_half_closed_peer_is_answered(run: Any) -> None:
    running = await run()
    data = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
    assert (await running.exchange(data + GET, half_close=True)).count(b"HTTP/1.1 200 ") == 2
    assert (await running.exchange(data[:-1], half_close=True)).startswith(b"HTTP/1.1 400 ")
    assert await running.app.refusals.get() is Refusal.TRUNCATED
    assert await running.exchange(b"", half_close=True) == b""


async def test_a_half_closed_peer_may_count_as_gone(run: Any) -> None:
    gone = asyncio.Event()

    async def poll(exchange: Exchange) -> None:
        exchange.on_disconnect(gone.set)
        await gone.wait()

    running = await run(poll, half_close=False)
    assert await running.exchange(GET, half_close=True) == b""
    assert gone.is_set()


async def test_a_peer_that_leaves_is_noticed(run: Any) -> None:
    gone = asyncio.Event()

    async def poll(exchange: Exchange) -> None:
        exchange.on_disconnect(gone.set)
        await gone.wait()
        exchange.respond(200, ())

    running = await run(poll)
    client = await running.connect()
    await asyncio.get_running_loop().sock_sendall(client, GET)
    exchange = await running.app.exchanges.get()
    assert exchange.connected
    assert exchange.peer == client.getsockname()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # reset, not an orderly end
    client.close()
    async with asyncio.timeout(PATIENCE_S):
        await gone.wait()
    assert not exchange.connected


async def test_a_large_upload_waits_for_its_reader(run: Any) -> None:
    """The kernel's buffers take a few MiB; what is sent beyond them must not pile up in the server."""
    size = 64_000_000
    go_on = asyncio.Event()

    async def serve(exchange: Exchange) -> None:
        await go_on.wait()
        received = 0
        while chunk := await exchange.read_chunk():
            received += len(chunk)
        exchange.respond(200, (("Connection", "close"),), b"%d" % received)

    running = await run(serve, Streamed(), Limits(stream_bytes=100_000))
    client = await running.connect()
    with client:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(client, b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size)
        sending = asyncio.ensure_future(loop.sock_sendall(client, size * b"x"))
        await running.app.exchanges.get()
        [connection] = running.server._shared.connections
        await running.wait_until(lambda: connection._reading_paused)
        assert connection._incoming.size_bytes < 1_000_000
        assert not sending.done()
        go_on.set()
        assert (await running.read_to_end(client)).endswith(b"\r\n\r\n%d" % size)
        await sending


async def test_a_large_answer_waits_for_its_reader(run: Any) -> None:
    pieces = 0

    async def serve(exchange: Exchange) -> None:
        nonlocal pieces
        exchange.start_response(200, (("Connection", "close"), ("Content-Length", "200000000")))
        for _ in range(200):
            await exchange.write(1_000_000 * b"x")
            pieces += 1
        exchange.finish()

    running = await run(serve)
    client = await running.connect(65_536)
    with client:
        await asyncio.get_running_loop().sock_sendall(client, GET)
        await running.app.exchanges.get()
        [connection] = running.server._shared.connections
        await running.wait_until(lambda: connection._write_paused)
        assert connection._transport.get_write_buffer_size() < 3_000_000
        assert pieces < 200
        assert (await running.read_to_end(client)).endswith(b"\r\n\r\n" + 200_000_000 * b"x")


async def test_a_body_first_client_reads_the_refusal(run: Any) -> None:
    running = await run(plan=Buffered(1000, drain_excess=True))
    client = await running.connect()
    with client:
        data = b"POST / HTTP/1.1\r\nContent-Length: 20000000\r\n\r\n" + 20_000_000 * b"x"
        await asyncio.get_running_loop().sock_sendall(client, data)
        assert (await running.read_until(client, b"BODY_TOO_LARGE")).startswith(b"HTTP/1.1 413 ")
        await asyncio.get_running_loop().sock_sendall(client, GET)
        assert (await running.read_until(client, b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")


async def test_a_header_of_a_mebibyte(run: Any) -> None:
    running = await run()
    data = b"GET / HTTP/1.1\r\nConnection: close\r\nX-Cause: " + 1_048_576 * b"x" + b"\r\n\r\n"
    assert (await running.exchange(data)).startswith(b"HTTP/1.1 200 ")
    request = (await running.app.exchanges.get()).request
    assert len(request.header("x-cause")) == 1_048_576


async def test_too_many_connections(run: Any) -> None:
    running = await run(limits=Limits(max_connections=1))
    with await running.connect() as first:
        await asyncio.get_running_loop().sock_sendall(first, GET)
        await running.read_until(first, b"\r\n\r\n")
        assert (await running.exchange(b"")).startswith(b"HTTP/1.1 503 ")


# The end


async def test_closing_lets_an_open_exchange_end(run: Any) -> None:
    go_on = asyncio.Event()

    async def serve(exchange: Exchange) -> None:
        await go_on.wait()
        exchange.respond(200, (), b"done")

    running = await run(serve)
    idle, busy = await running.connect(), await running.connect()
    with idle, busy:
        await asyncio.get_running_loop().sock_sendall(busy, GET)
        await running.app.exchanges.get()
        closing = asyncio.ensure_future(running.server.close(grace_s=PATIENCE_S))
        assert await running.read_to_end(idle) == b"", "closed at once"
        with pytest.raises(OSError):
            await running.connect()
        assert not closing.done()
        go_on.set()
        answer = await running.read_to_end(busy)
        assert answer.endswith(b"done")
        assert b"Connection: close" in answer
        await closing
    assert running.server.connection_count == 0


async def test_closing_cuts_and_cancels_after_the_grace(run: Any) -> None:
    cancelled = asyncio.Event()

    async def serve(exchange: Exchange) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    running = await run(serve)
    client = await running.connect()
    with client:
        await asyncio.get_running_loop().sock_sendall(client, GET)
        await running.app.exchanges.get()
        await running.server.close(grace_s=0.01)
        assert cancelled.is_set()
        with contextlib.suppress(ConnectionResetError):
            assert await running.read_to_end(client) == b""
        await running.server.close(grace_s=0)


async def test_a_task_outlives_its_peer_but_not_the_server(run: Any) -> None:
    ended: list[str] = []

    async def serve(exchange: Exchange) -> None:
        try:
            exchange.start_response(200, ())
            while True:
                await exchange.write(100_000 * b"x")
        except DisconnectedError:
            ended.append("disconnected")
            await asyncio.Event().wait()
        finally:
            ended.append("ended")

    running = await run(serve)
    client = await running.connect()
    await asyncio.get_running_loop().sock_sendall(client, GET)
    client.close()
    await running.wait_until(lambda: ended)
    running.server.abort()
    await running.server.close(grace_s=PATIENCE_S)
    assert ended == ["disconnected", "ended"]


async def test_connections_are_dropped_but_new_ones_served(run: Any) -> None:
    running = await run()
    with await running.connect() as client:
        await asyncio.get_running_loop().sock_sendall(client, GET)
        await running.read_until(client, b"\r\n\r\n")
        running.server.drop_connections()
        with contextlib.suppress(ConnectionResetError):
            assert await running.read_to_end(client) == b""
    assert (await running.exchange(GET, half_close=True)).startswith(b"HTTP/1.1 200 ")


async def test_a_socket_that_listens_already(run: Any) -> None:
    app = (await run()).app
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    server = HttpServer(app)
    assert server.addresses == []
    await server.start(sock=listener)
    assert server.addresses == [address]
    with pytest.raises(RuntimeError):
        await server.start(host="127.0.0.1", port=0)
    reader, writer = await asyncio.open_connection(*address)
    writer.write(GET)
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    writer.close()
    await writer.wait_closed()
    await server.close(grace_s=PATIENCE_S)
    with pytest.raises(RuntimeError):
        await server.start(host="127.0.0.1", port=0)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*address)


@pytest.mark.parametrize("given", ["path", "socket"])
async def test_a_unix_socket(given: str, run: Any, tmp_path: Path) -> None:
    server = HttpServer((await run()).app)
    path = tmp_path / "http.sock"
    if given == "path":
        await server.start(unix=path)
    else:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(os.fspath(path))
        listener.listen()
        await server.start(sock=listener)
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(GET)
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    writer.close()
    await writer.wait_closed()
    await server.close(grace_s=PATIENCE_S)


async def test_a_server_that_never_started_closes(run: Any) -> None:
    server = HttpServer((await run()).app)
    await server.close(grace_s=0)
    server.abort()


async def test_many_clients_at_once(run: Any) -> None:
    running = await run()
    data = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
    answers = await asyncio.gather(*(running.exchange(20 * data, half_close=True) for _ in range(50)))
    assert {answer.count(b"\r\n\r\nabc") for answer in answers} == {20}
