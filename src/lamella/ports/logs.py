"""Where the log lines of functions go, and where they are read."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from lamella.domain.function import FunctionKey


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One line of a log stream.

    Attributes:
        timestamp_ms: Since the epoch.
        stream: Name of the log stream, `YYYY/MM/DD/[version]<32 hex>`.
        message: Without the final line feed.
    """

    timestamp_ms: int
    stream: str
    message: str


class LogStream(Protocol):
    """The log of one execution environment."""

    def append(self, timestamp_ms: int, lines: bytes) -> None:
        """Add complete lines, each ended by a line feed. Never waits; written soon, and in order."""

    def close(self) -> None:
        """Nothing more will come."""


class LogStore(Protocol):
    """The logs of all functions of this node."""

    def open_stream(self, key: FunctionKey, stream: str) -> LogStream:
        """Begin a stream of the function's log group."""

    def read(
        self, key: FunctionKey, *, since_ms: int = 0, limit: int | None = None, follow: bool = False
    ) -> AsyncIterator[LogEvent]:
        """Events of all the function's streams in the order of time; the newest `limit` of those that are there.

        With `follow` it then waits for more and ends only when it is closed.
        """
