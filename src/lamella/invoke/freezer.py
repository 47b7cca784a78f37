"""Freezes environments that have nothing to do, a moment after they have become idle.

Freezing and thawing make the kernel schedule every process of the environment: 30 µs together, a third of a warm
invocation. A busy function is called again long before the moment is over, so it pays nothing; for an idle one the
moment is too short to matter. One timer serves all environments of the node.
"""

import asyncio
from collections import deque
from time import monotonic
from typing import Final, Protocol

FREEZE_AFTER_S: Final = 0.001


class Freezable(Protocol):
    """An environment, as the freezer knows it."""

    idle_serial: int
    """Changes whenever the environment becomes idle, and whenever it is no longer."""

    def freeze_now(self) -> None:
        """Stop all processes."""


class Freezer:
    """The node's freezer."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._due: deque[tuple[float, Freezable, int]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def freeze_soon(self, environment: Freezable) -> None:
        """Freeze the environment after the moment, unless its serial has changed by then."""
        self._due.append((monotonic() + FREEZE_AFTER_S, environment, environment.idle_serial))
        if self._timer is None:
            self._timer = self._loop.call_later(FREEZE_AFTER_S, self._freeze_due)

    def close(self) -> None:
        """Freeze nothing any more."""
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _freeze_due(self) -> None:
        self._timer = None
        # The loop's clock is coarser than ours: what is due within its next tick is due.
        now_s = monotonic() + FREEZE_AFTER_S / 2
        while self._due and self._due[0][0] <= now_s:
            _, environment, serial = self._due.popleft()
            if environment.idle_serial == serial:
                environment.freeze_now()
        if self._due:
            self._timer = self._loop.call_later(FREEZE_AFTER_S, self._freeze_due)
