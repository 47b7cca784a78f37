"""Brings telemetry to the extensions of one environment: performs what `lifecycle.telemetry` commands.

Whatever an extension does with what it is sent, it does to its own subscription: each has a task and a connection of
its own, and nobody waits for them.
"""

import asyncio
import math
import socket
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic, time
from typing import Any, assert_never

from lamella.httpserver.client import BadAnswerError, Client, open_client
from lamella.httpserver.message import DisconnectedError
from lamella.invoke.envelope import render
from lamella.invoke.tasks import Tasks
from lamella.invoke.telemetry_api import refusal_of
from lamella.lifecycle.events import DeadlinePassed
from lamella.lifecycle.telemetry import TelemetryMachine
from lamella.lifecycle.telemetry_events import (
    Api,
    Deliver,
    Delivered,
    DeliveryFailed,
    Destination,
    Entry,
    Flushed,
    FlushRequested,
    Frozen,
    GiveUp,
    InitCompleted,
    Produced,
    Reset,
    Subscribed,
    Subscription,
    SubscriptionClosedError,
    SubscriptionConflictError,
    TelemetryCommand,
    TelemetryEvent,
    Thawed,
)
from lamella.ports.sandbox import SandboxError


class Telemetry:
    """The telemetry of one environment.

    Attributes:
        active: Whether anybody has subscribed, or still may, so that an event must be made. Cheap to ask.
    """

    def __init__(
        self,
        *,
        open_socket: Callable[[], Awaitable[socket.socket]],
        address: Callable[[], str] | str,
        on_delivery: Callable[[str, int], None] | None = None,
    ) -> None:
        """Start with open subscriptions; history begins with the first event.

        Args:
            open_socket: Makes a socket in the sandbox's network; may raise `SandboxError`.
            address: Of `sandbox.localdomain` there; may be a function if it is not known yet.
            on_delivery: Called after each batch that was taken: the extension's identifier, the number of events.
        """
        self._open_socket = open_socket
        self._address = address
        self._on_delivery = on_delivery
        self._loop = asyncio.get_running_loop()
        self._machine = TelemetryMachine(render)
        self._tasks = Tasks()
        self._running: dict[str, asyncio.Task[Any]] = {}
        self._clients: dict[str, tuple[Destination, Client]] = {}
        self._on_flushed: list[Callable[[], None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_s = math.inf
        self._closed = False
        self.active = True

    def emit(self, when_s: float, kind: str, record: Mapping[str, object] | str) -> None:
        """Take an event for those who subscribe to its kind.

        Args:
            when_s: Seconds since the epoch.
            kind: `platform.<something>`, `function` or `extension`.
            record: Of the Telemetry API, which has all that the Logs API has; not to be changed afterwards.
        """
        self._feed(Produced(Entry(when_s, kind, record)))

    def subscribe(self, identifier: str, name: str, subscription: Subscription) -> None:
        """Begin or replace the subscription of an extension, and emit that it has subscribed.

        Raises:
            TelemetryApiError: Status 403: init is complete (TL-04), or it uses the other API (TL-06).
        """
        try:
            self._feed(Subscribed(identifier, subscription))
        except (SubscriptionClosedError, SubscriptionConflictError) as error:
            raise refusal_of(subscription.api, error) from None
        kind = "platform.telemetrySubscription" if subscription.api is Api.TELEMETRY else "platform.logsSubscription"
        self.emit(time(), kind, {"name": name, "state": "Subscribed", "types": list(subscription.types)})

    def close_subscriptions(self) -> None:
        """Init is complete: what has piled up goes out, and nobody can subscribe any more (TL-04, TL-21)."""
        self._feed(InitCompleted())

    def pause(self) -> None:
        """The environment is frozen: nothing new is sent (TL-27)."""
        self._feed(Frozen())

    def resume(self) -> None:
        """It is not any more."""
        self._feed(Thawed())

    def flush(self, on_flushed: Callable[[], None]) -> None:
        """Send at once what subscribers have coming.

        Args:
            on_flushed: Called once, never before this returns: it is delivered, or cannot be within a second.
        """
        if self._closed:
            self._loop.call_soon(on_flushed)
            return
        self._on_flushed.append(on_flushed)
        self._feed(FlushRequested())

    def reset(self) -> None:
        """All processes of the environment are dead: subscriptions are open again, and history begins anew."""
        self._feed(Reset())
        self._drop_connections()

    def close(self) -> None:
        """Send nothing more. Idempotent."""
        self._closed = True
        self.active = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for callback in self._on_flushed:
            self._loop.call_soon(callback)
        self._on_flushed.clear()
        self._drop_connections()

    async def wait_closed(self) -> None:
        """Wait, after `close`, until no task is left."""
        await self._tasks.close()

    def _feed(self, event: TelemetryEvent) -> None:
        if self._closed:
            return
        commands = self._machine.receive(event, now_s=monotonic())
        self.active = self._machine.active
        for command in commands:
            self._perform(command)
        if self._machine.deadline_s < self._timer_at_s:
            self._arm()

    def _perform(self, command: TelemetryCommand) -> None:
        match command:
            case Deliver(identifier=identifier):
                self._running[identifier] = self._tasks.start(self._deliver(command), name="telemetry")
            case GiveUp(identifier):
                self._break_off(identifier)
            case Flushed():
                # In a turn of its own: whoever asked may still be in the middle of something.
                for callback in self._on_flushed:
                    self._loop.call_soon(callback)
                self._on_flushed.clear()
            case _:
                assert_never(command)

    async def _deliver(self, command: Deliver) -> None:
        identifier = command.identifier
        try:
            taken = await self._send(command)
        except (OSError, SandboxError, DisconnectedError, BadAnswerError):
            taken = False
        if not taken:
            self._feed(DeliveryFailed(identifier, command.serial))
            return
        self._feed(Delivered(identifier, command.serial))
        if self._on_delivery is not None:
            self._on_delivery(identifier, len(command.batch))

    async def _send(self, command: Deliver) -> bool:
        """Whether the subscriber has taken the batch: a 2xx by HTTP (TL-23), whatever was written by TCP (TL-24)."""
        destination = command.destination
        client = await self._connect(command.identifier, destination)
        if destination.protocol == "TCP":
            await client.send(b"\n".join(command.batch) + b"\n")
            return True
        body = b"[" + b",".join(command.batch) + b"]"
        head = (
            f"{destination.method} {destination.target} HTTP/1.1\r\n"
            f"Host: {destination.host}:{destination.port}\r\n"
            "Content-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode()
        return 200 <= await client.request(head, body) < 300

    async def _connect(self, identifier: str, destination: Destination) -> Client:
        """The connection that is kept for a subscriber, or a new one."""
        before = self._clients.get(identifier)
        if before is not None:
            if before[0] == destination and before[1].usable:
                return before[1]
            before[1].abort()
            del self._clients[identifier]
        address = self._address if isinstance(self._address, str) else self._address()
        client = await open_client(await self._open_socket(), address, destination.port)
        self._clients[identifier] = (destination, client)
        return client

    def _break_off(self, identifier: str) -> None:
        task = self._running.pop(identifier, None)
        if task is not None:
            task.cancel()
        before = self._clients.pop(identifier, None)
        if before is not None:
            before[1].abort()

    def _drop_connections(self) -> None:
        for identifier in {*self._running, *self._clients}:
            self._break_off(identifier)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at_s = self._machine.deadline_s
        self._timer = self._loop.call_later(max(0.0, self._timer_at_s - monotonic()), self._deadline_reached)

    def _deadline_reached(self) -> None:
        self._timer = None
        self._timer_at_s = math.inf
        if self._machine.deadline_s <= monotonic():
            self._feed(DeadlinePassed())
        elif self._machine.deadline_s < math.inf:
            self._arm()
