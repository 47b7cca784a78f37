"""Gathering messages of a queue, or records of a stream, into batches; no clock, no queue.

A batch is full at its number of records, at its size, or when its window has passed since its first record.
"""

import math
from dataclasses import dataclass, field
from typing import Any, Final

RECEIVE_MOST: Final = 10
"""Messages in one answer of SQS. Source: API reference, ReceiveMessage."""


@dataclass(slots=True)
class Batch:
    """Records that wait to be handed to the function.

    Attributes:
        most: Records in a batch.
        window_s: Seconds; 0 hands over whatever one answer of the source has brought.
        most_bytes: Of all records together, as they stand in the event.
        deadline_s: When it is full by time; infinite while it is empty.
    """

    most: int
    window_s: float
    most_bytes: int
    deadline_s: float = math.inf
    _records: list[Any] = field(default_factory=list)  # Any: JSON
    _size_bytes: int = 0

    @property
    def empty(self) -> bool:
        """Whether it has none."""
        return not self._records

    @property
    def full(self) -> bool:
        """Whether it has as many records as it may."""
        return len(self._records) >= self.most

    @property
    def wanted(self) -> int:
        """How many messages to ask the queue for."""
        return min(RECEIVE_MOST, self.most - len(self._records))

    def add(self, record: Any, size_bytes: int, *, now_s: float) -> list[Any] | None:
        """Add a record; returns the batch before it, if it has no room in that one."""
        before = self.take() if self._records and self._size_bytes + size_bytes > self.most_bytes else None
        if not self._records:
            self.deadline_s = now_s + self.window_s
        self._records.append(record)
        self._size_bytes += size_bytes
        return before

    def due(self, *, now_s: float) -> bool:
        """Whether it is to be handed over."""
        return bool(self._records) and (self.full or now_s >= self.deadline_s)

    def take(self) -> list[Any]:
        """Hand it over, and begin the next."""
        records, self._records = self._records, []
        self._size_bytes, self.deadline_s = 0, math.inf
        return records
