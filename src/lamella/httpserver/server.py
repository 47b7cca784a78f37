"""The HTTP/1.1 server: owns the listening socket, the connections and the tasks that serve them."""

import asyncio
import contextlib
import math
import os
import socket
from typing import Any, Final

from lamella.httpserver.connection import Connection
from lamella.httpserver.exchange import Exchange
from lamella.httpserver.handler import Handler
from lamella.httpserver.limits import Limits
from lamella.httpserver.shared import Shared

__all__ = ["Exchange", "Handler", "HttpServer", "Limits"]

_BACKLOG: Final = 1024
_SWEEP_PARTS: Final = 4  # a deadline is noticed late by at most this part of the shortest timeout


class HttpServer:
    """Serves one listening socket. Cheap to make: nothing is acquired before `start`."""

    __slots__ = ("_closing", "_quiet", "_server", "_shared", "_shortest_s", "_sweep_timer")

    def __init__(
        self,
        handler: Handler,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        *,
        half_close: bool = True,
        dated: bool = False,
    ) -> None:
        """Configure a server.

        Args:
            handler: Serves the requests.
            limits: What one peer may ask for.
            half_close: A peer that has ended its sending side still gets its answer (curl, netcat). If False, it
                counts as gone while it waits for one: for long polls, where an answer to a dead peer is lost.
            dated: Add a `Date` header to answers, save those of `respond_raw`.
        """
        self._shared = Shared(handler, limits, half_close=half_close, dated=dated)
        self._shared.watch = self._watch
        self._shared.on_quiet = self._check_quiet
        self._shortest_s = limits.shortest_timeout_s
        self._server: asyncio.Server | None = None
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._quiet: asyncio.Event | None = None
        self._closing = False

    @property
    def sockets(self) -> tuple[Any, ...]:  # uvloop gives pseudo sockets
        """The listening sockets; empty unless running."""
        return () if self._server is None else tuple(self._server.sockets)

    @property
    def addresses(self) -> list[Any]:  # the shape depends on the address family
        """The addresses listened on, as `getsockname` gives them."""
        return [listener.getsockname() for listener in self.sockets]

    @property
    def connection_count(self) -> int:
        """The open connections."""
        return len(self._shared.connections)

    async def start(
        self,
        *,
        sock: socket.socket | None = None,
        host: str | None = None,
        port: int | None = None,
        unix: str | os.PathLike[str] | None = None,
    ) -> None:
        """Listen; give one of a socket, host and port, or the path of a Unix socket.

        Args:
            sock: A listening stream socket, of any network namespace; the server closes it.
            host: A name or address; all of its addresses are listened on.
            port: 0 for any free one, see `addresses`.
            unix: A path that is not in use.

        Raises:
            OSError: The address cannot be listened on.
            RuntimeError: The server was started before.
        """
        if self._server is not None or self._closing:
            raise RuntimeError("a server is started once")
        loop = asyncio.get_running_loop()
        shared = self._shared
        shared.loop = loop

        def connection() -> Connection:
            return Connection(shared)

        if unix is not None:
            self._server = await loop.create_unix_server(connection, path=os.fspath(unix), backlog=_BACKLOG)
        elif sock is not None and sock.family == socket.AF_UNIX:
            self._server = await loop.create_unix_server(connection, sock=sock, backlog=_BACKLOG)
        elif sock is not None:
            self._server = await loop.create_server(connection, sock=sock, backlog=_BACKLOG)
        else:
            self._server = await loop.create_server(connection, host, port or 0, backlog=_BACKLOG)

    async def close(self, *, grace_s: float) -> None:
        """Stop: no new connections, idle ones closed at once, open exchanges and their tasks within `grace_s`.

        What is still open then is cut and cancelled. Returns when everything has ended; may be called again.
        """
        self._stop_listening()
        shared = self._shared
        shared.retiring = True
        for connection in list(shared.connections):
            connection.retire()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._wait_quiet()
        self.abort()
        await self._wait_quiet()

    def abort(self) -> None:
        """Stop at once: cut every connection and cancel every task. They end within the next turns of the loop."""
        self._stop_listening()
        shared = self._shared
        shared.retiring = True
        for task in list(shared.tasks):
            task.cancel()
        for connection in list(shared.connections):
            connection.cut()
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
            self._sweep_timer = None

    def drop_connections(self) -> None:
        """Cut every connection and go on listening; nothing that was sent on them is served any more."""
        for connection in list(self._shared.connections):
            connection.cut()

    def _stop_listening(self) -> None:
        self._closing = True
        server, self._server = self._server, None
        if server is not None:
            server.close()

    async def _wait_quiet(self) -> None:
        """Wait until there are neither connections nor tasks."""
        if self._quiet is None:
            self._quiet = asyncio.Event()
        self._quiet.clear()
        self._check_quiet()
        await self._quiet.wait()

    def _check_quiet(self) -> None:
        if self._quiet is not None and not self._shared.connections and not self._shared.tasks:
            self._quiet.set()

    # Deadlines: one coarse timer for all connections, as a timer for each request would cost more than the request.

    def _watch(self) -> None:
        if self._sweep_timer is None and self._shortest_s is not None and self._shared.connections:
            self._sweep_timer = self._shared.loop.call_later(self._shortest_s / _SWEEP_PARTS, self._sweep)

    def _sweep(self) -> None:
        self._sweep_timer = None
        if self._shortest_s is None:
            return
        now_s = self._shared.loop.time()
        earliest_s = math.inf
        for connection in list(self._shared.connections):
            connection.expire(now_s)
            earliest_s = min(earliest_s, connection.next_deadline_s)
        if self._shared.connections:
            # A deadline that is set from now on is not before now + shortest; those that are set are known.
            pause_s = self._shortest_s / _SWEEP_PARTS
            at_s = max(now_s + pause_s, min(earliest_s, now_s + self._shortest_s))
            self._sweep_timer = self._shared.loop.call_at(at_s, self._sweep)
