"""What all connections of one server have in common."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from lamella.httpserver.handler import Handler
from lamella.httpserver.limits import Limits


class ServedConnection(Protocol):
    """A connection, as its server knows it."""

    @property
    def next_deadline_s(self) -> float:
        """The earlier of the deadlines for reading and for writing."""

    def retire(self) -> None:
        """Close now if idle, else after the current answer."""

    def expire(self, now_s: float) -> None:
        """Act on deadlines that have passed."""

    def cut(self) -> None:
        """Drop the connection."""


class Shared:
    """What all connections of one server have in common.

    Attributes:
        held_bytes: Of requests that are not complete, see `Limits.held_bytes`.
    """

    __slots__ = (
        "connections",
        "dated",
        "half_close",
        "handler",
        "held_bytes",
        "limits",
        "loop",
        "on_quiet",
        "retiring",
        "tasks",
        "watch",
    )

    def __init__(self, handler: Handler, limits: Limits, *, half_close: bool, dated: bool) -> None:
        """Start without a loop; the server sets it when it starts."""
        self.handler = handler
        self.limits = limits
        self.half_close = half_close
        self.dated = dated
        self.loop: asyncio.AbstractEventLoop
        self.connections: set[ServedConnection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.held_bytes = 0
        self.retiring = False  # the server is closing: no connection is kept
        self.watch: Callable[[], None]  # makes sure that deadlines are looked at
        self.on_quiet: Callable[[], None]  # called when a connection or task has ended

    def hold(self, change_bytes: int) -> bool:
        """Count what a connection holds more, or less; False if it is too much for all of them together."""
        self.held_bytes += change_bytes
        return self.limits.held_bytes is None or self.held_bytes <= self.limits.held_bytes
