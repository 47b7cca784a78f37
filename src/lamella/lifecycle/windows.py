"""Tumbling windows: which records of a shard belong together, and when a window is over. No clock, no stream.

Windows follow each other without a gap. A record belongs to the window in which it arrived. While one is open, the
function gets its records with the state that it returned before. It is over when a record of a later one comes, two
minutes after its end at the latest, and with its shard; then the function gets the state once more, and it is dropped.
A state of more than 1 MB ends it early: the function gets that state once more, and goes on with none.

Source: developer guide, "Implementing stateful Kinesis Data Streams processing in Lambda"; comments of AWS's
`TimeWindowEvent` in aws-lambda-java-events for the two flags.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

GRACE_S: Final = 120.0
STATE_BYTES: Final = 1_000_000


class Windows:
    """The windows of one shard, of which one is open at most.

    Attributes:
        state: What the function has returned in the open one.
        start_s: When that began, in seconds since the epoch; `None` if none is open.
        early: Whether it is to be ended early.
    """

    def __init__(self, length_s: int, opened: Mapping[str, Any] | None) -> None:  # Any: JSON
        """Go on where `document` was made."""
        self._length_s = length_s
        self.start_s: int | None = None if opened is None else opened["start_s"]
        self.state: Any = {} if opened is None else opened["state"]
        self.early = False

    @property
    def deadline_s(self) -> float:
        """When the open one is over if no record comes; infinite if none is open."""
        return math.inf if self.start_s is None else self.start_s + self._length_s + GRACE_S

    @property
    def end_s(self) -> int:
        """When the open one ends."""
        assert self.start_s is not None
        return self.start_s + self._length_s

    def takes(self, arrived_s: float) -> bool:
        """Whether a record is of the open window, or opens one. A record that comes late is of the open one."""
        start_s = int(arrived_s // self._length_s) * self._length_s
        if self.start_s is None:
            self.start_s = start_s
        return start_s <= self.start_s

    def keep(self, state: Any, size_bytes: int) -> None:
        """The function has returned this state."""
        self.state = state
        self.early = size_bytes > STATE_BYTES

    def finish(self) -> None:
        """The function has seen the state for the last time."""
        self.state = {}
        if not self.early:
            self.start_s = None
        self.early = False

    def document(self) -> dict[str, Any] | None:
        """What is kept."""
        return None if self.start_s is None else {"start_s": self.start_s, "state": self.state}
