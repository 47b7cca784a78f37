"""Calls of runtime and extensions that wait for an event, and the answers they get."""

from collections import deque
from typing import Final

from lamella.domain.invocation import Invocation
from lamella.httpserver.server import Exchange
from lamella.invoke.extensions_api import invoke_event, shutdown_event
from lamella.invoke.runtime_api import render_event
from lamella.lifecycle.commands import ShutdownReason

_RESTORED: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class WaitingCalls:
    """The `next` calls of the runtime, in the order they came, and one `event/next` of each extension."""

    def __init__(self, *, many: int) -> None:
        """Nobody waits.

        Args:
            many: How many calls of the runtime may be remembered before those that have gone away are looked for.
        """
        self._many = many
        self._runtime: deque[Exchange] = deque()
        self._extensions: dict[str, Exchange] = {}
        self._restore: Exchange | None = None

    def __len__(self) -> int:
        """Calls of the runtime that are remembered."""
        return len(self._runtime)

    def add(self, exchange: Exchange) -> None:
        """A `next`."""
        if len(self._runtime) >= self._many:  # a runtime that asks and goes away, again and again
            self._runtime = deque(poll for poll in self._runtime if poll.connected)
        self._runtime.append(exchange)

    def remove(self, exchange: Exchange) -> None:
        """A `next` that was not legal."""
        self._runtime.remove(exchange)

    def add_restore(self, exchange: Exchange) -> None:
        """A `restore/next`."""
        self._restore = exchange

    def add_extension(self, identifier: str, exchange: Exchange) -> Exchange | None:
        """An `event/next`; returns the one that waited before it, for `restore_extension`."""
        earlier = self._extensions.get(identifier)
        self._extensions[identifier] = exchange
        return earlier

    def restore_extension(self, identifier: str, earlier: Exchange | None) -> None:
        """An `event/next` was not legal: the one that waited before it goes on waiting (EX-36)."""
        if earlier is None:
            self._extensions.pop(identifier, None)
        else:
            self._extensions[identifier] = earlier

    def is_gone(self, identifier: str) -> bool:
        """Whether the extension's waiting call has lost its connection (EX-36)."""
        exchange = self._extensions.get(identifier)
        return exchange is not None and not exchange.connected

    def clear(self) -> None:
        """The processes are gone."""
        self._runtime.clear()
        self._extensions.clear()
        self._restore = None

    def give(self, invocation: Invocation, deadline_ms: int) -> None:
        """Answer the oldest `next` whose caller is still there."""
        while self._runtime:
            exchange = self._runtime.popleft()
            if exchange.connected:
                exchange.respond_raw(render_event(invocation, deadline_ms), invocation.payload)
                return

    def give_restored(self) -> None:
        """Answer `restore/next`."""
        exchange, self._restore = self._restore, None
        if exchange is not None:
            exchange.respond_raw(_RESTORED, b"")

    def give_invoke(self, identifier: str, invocation: Invocation, deadline_ms: int) -> None:
        """Answer an extension with INVOKE."""
        exchange = self._extensions.pop(identifier, None)
        if exchange is not None:
            headers, body = invoke_event(
                request_id=invocation.request_id,
                function_arn=invocation.function_arn,
                trace_id=invocation.trace_id,
                deadline_ms=deadline_ms,
            )
            exchange.respond(200, headers, body)

    def give_shutdown(self, identifier: str, reason: ShutdownReason, deadline_ms: int) -> None:
        """Answer an extension with SHUTDOWN."""
        exchange = self._extensions.pop(identifier, None)
        if exchange is not None:
            headers, body = shutdown_event(reason, deadline_ms=deadline_ms)
            exchange.respond(200, headers, body)
