"""How many batches of a queue may be with the function at once. Decisions without I/O.

A standard queue begins with five. While messages are waiting, which shows in that every place is taken, up to 300 more
are added a minute, to 1,250 at most. When a poll finds nothing, it goes back to five, and when that goes on, down to
two, unless a maximum is configured. Batches that the function did not get because of a limit make it less.

A FIFO queue gives no message of a group to anybody while one is being worked on, so more batches than groups make no
sense: as many as there are groups in flight, and one that looks for another.

Source: developer guide, "Configuring scaling behavior for SQS event source mappings". How AWS goes down, and how
quickly it notices, it does not say; halving and the times are ours.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

FIRST: Final = 5
LEAST: Final = 2
MOST: Final = 1250
ADDED_EACH_S: Final = 300 / 60
_STEP_S: Final = 1.0  # before that, places may have been free
QUIET_S: Final = 60.0
"""After so long without a message, places are given up down to `LEAST`."""


class QueueScaling:
    """The places of one mapping."""

    def __init__(self, *, fifo: bool, maximum: int, now_s: float) -> None:
        """Nothing is in flight.

        Args:
            fifo: Whether the queue keeps the order of groups.
            maximum: `MaximumConcurrency`; 0 if it is not configured.
            now_s: Monotonic seconds, as in all that follows.
        """
        self._fifo = fifo
        self._most = maximum or MOST
        self._least = min(FIRST, self._most) if maximum else LEAST
        self._places = float(min(FIRST, self._most))
        self._grown_s = now_s
        self._message_s = now_s
        self._in_flight = 0
        self._groups: Counter[str] = Counter()

    @property
    def places(self) -> int:
        """How many batches may be with the function at once."""
        if self._fifo:
            return min(self._most, len(self._groups) + 1)
        return int(self._places)

    @property
    def in_flight(self) -> int:
        """How many are."""
        return self._in_flight

    @property
    def room(self) -> bool:
        """Whether another batch may be gathered."""
        return self._in_flight < self.places

    def begun(self, groups: Iterable[str], *, now_s: float) -> None:
        """A batch was gathered, with messages of these groups, and goes to the function."""
        self._in_flight += 1
        self._groups.update(groups)
        self._message_s = now_s

    def ended(self, groups: Iterable[str], *, refused: bool) -> None:
        """A batch came back; refused if the function did not get it."""
        self._in_flight -= 1
        self._groups -= Counter(groups)
        if refused:
            self._places = max(float(self._least), self._places / 2)

    def waited(self, *, now_s: float) -> None:
        """All places are taken, so messages may be waiting. To be called several times a second while that is so."""
        waited_s = min(now_s - self._grown_s, _STEP_S)
        self._places = min(self._most, self._places + waited_s * ADDED_EACH_S)
        self._grown_s = now_s

    def found_nothing(self, *, now_s: float) -> None:
        """A poll has brought no message."""
        self._grown_s = now_s
        quiet = not self._in_flight and now_s - self._message_s >= QUIET_S
        floor = self._least if quiet else min(FIRST, self._most)
        self._places = min(self._places, float(max(floor, self._in_flight)))
