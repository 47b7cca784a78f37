"""Brings telemetry to a patient's listener, one batch after the other, and says what became of each."""

import asyncio
import socket
import zlib
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, Final

from lamella.conformance.play import Deliver, Delivered, Event
from lamella.httpserver.client import BadAnswerError, Client, open_client
from lamella.httpserver.message import DisconnectedError
from lamella.invoke.tasks import Tasks
from lamella.lifecycle.telemetry_events import Destination
from lamella.ports.sandbox import SandboxError

_WINDOW_BITS: Final = {"gzip": 31, "x-gzip": 31, "deflate": 15}


class Sender:
    """One listener's connection."""

    def __init__(
        self, open_socket: Callable[[], Awaitable[socket.socket]], address: str, tell: Callable[[Event], None]
    ) -> None:
        """Nothing is sent yet.

        Args:
            open_socket: Makes a socket in the sandbox's network.
            address: Of `sandbox.localdomain` there.
            tell: Takes a `Delivered` for each batch.
        """
        self._open_socket = open_socket
        self._address = address
        self._tell = tell
        self._tasks = Tasks()
        self._running: asyncio.Task[Any] | None = None
        self._client: tuple[Destination, Client] | None = None

    def send(self, command: Deliver) -> None:
        """Begin to send a batch."""
        self._running = self._tasks.start(self._deliver(command), name="deliver")

    def stop(self) -> None:
        """See `StopDelivery`."""
        if self._running is not None:
            self._running.cancel()
            self._running = None
        if self._client is not None:
            self._client[1].abort()
            self._client = None

    async def close(self) -> None:
        """Send nothing more."""
        self.stop()
        await self._tasks.close()

    async def _deliver(self, command: Deliver) -> None:
        began_s = monotonic()
        status: int | None = None
        problem = ""
        try:
            status = await self._send(command)
        except ConnectionRefusedError:
            problem = "connection refused"
        except DisconnectedError:
            problem = "the connection was closed without an answer"
        except (OSError, SandboxError, BadAnswerError) as error:
            problem = str(error)
        self._tell(Delivered(command.id, status, problem, monotonic() - began_s))

    async def _send(self, command: Deliver) -> int:
        destination = command.destination
        client = await self._connect(destination)
        if destination.protocol == "TCP":
            await client.send(command.body)
            return 0
        head = (
            f"{destination.method} {destination.target} HTTP/1.1\r\n"
            f"Host: {destination.host}:{destination.port}\r\n"
            "Content-Type: application/json\r\n"
            f"Content-Length: {len(command.body)}\r\n\r\n"
        ).encode()
        return await client.request(head, command.body)

    async def _connect(self, destination: Destination) -> Client:
        if self._client is not None:
            known, client = self._client
            if known == destination and client.usable:
                return client
            client.abort()
            self._client = None
        client = await open_client(await self._open_socket(), self._address, destination.port)
        self._client = destination, client
        return client


def unpacked(body: bytes, encoding: str, most_bytes: int) -> bytes:
    """A body without its compression, cut at a number of bytes; as it came if it is not what it says it is."""
    bits = _WINDOW_BITS.get(encoding.strip().lower())
    if bits is None:
        return body[:most_bytes]
    try:
        return zlib.decompressobj(bits).decompress(body, most_bytes)
    except zlib.error:
        return body[:most_bytes]
