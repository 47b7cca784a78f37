"""Faults of the platform as a runtime sees them: the Runtime API over a real connection, before a host that breaks."""

import asyncio
import logging
from typing import cast

import pytest

from lamella.httpserver.server import Exchange, HttpServer
from lamella.invoke.runtime_api import RuntimeApi, RuntimeApiHost
from lamella.lifecycle.events import Event


class BrokenHost:
    """An environment with a fault in it."""

    metadata_token = "token"
    stream = None
    takes_snapshots = False

    def poll(self, exchange: Exchange) -> None:
        raise RuntimeError("secret of the server")

    def post(self, event: Event) -> None:
        raise RuntimeError("secret of the server")


INVOCATION = "/2018-06-01/runtime/invocation"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{INVOCATION}/next"),
        ("POST", f"{INVOCATION}/r-1/response"),
        ("POST", f"{INVOCATION}/r-1/error"),
        ("POST", "/2018-06-01/runtime/init/error"),
    ],
)
async def test_a_fault_of_the_platform(method: str, path: str, caplog: pytest.LogCaptureFixture) -> None:
    """RT-37: 500 with a fixed text; what went wrong stands in the server's log alone."""
    server = HttpServer(RuntimeApi(cast("RuntimeApiHost", BrokenHost())))
    await server.start(host="127.0.0.1", port=0)
    try:
        with caplog.at_level(logging.ERROR):
            reader, writer = await asyncio.open_connection(*server.addresses[0])
            writer.write(f"{method} {path} HTTP/1.1\r\nHost: l\r\nContent-Length: 0\r\n".encode())
            writer.write(b"Connection: close\r\n\r\n")
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
    finally:
        server.abort()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 500 ")
    assert b"Content-Type: application/json" in head
    assert body == b'{"errorMessage":"Internal Server Error","errorType":"InternalServerError"}\n'
    assert "secret of the server" in caplog.text
