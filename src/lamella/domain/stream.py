"""Streams of Kinesis and DynamoDB as whoever reads them sees them: shards, records, and how far each shard is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

TRIM_HORIZON: Final = "TRIM_HORIZON"
LATEST: Final = "LATEST"
AT_TIMESTAMP: Final = "AT_TIMESTAMP"


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of a stream with an order of its own.

    Attributes:
        parents: Ids of the shards that it was split or merged from; they may be gone from the stream.
        closed: Nothing is added to it any more.
    """

    id: str
    parents: tuple[str, ...] = ()
    closed: bool = False


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """One record of a shard.

    Attributes:
        sequence: Its sequence number.
        arrived_s: About when it was put; seconds since the epoch.
        key: Records with the same one keep their order.
        event: The record as the function gets it.
        filtered: What filter patterns are compared with.
    """

    sequence: str
    arrived_s: float
    key: str
    event: Mapping[str, Any]  # Any: JSON
    filtered: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a mapping has got with a shard.

    Attributes:
        start: Where reading began, while no record is done: one of the positions above.
        sequence: Of the last record such that it and all before it are done; empty while there is none.
        over: The shard is closed, and everything in it is done.
        window: The tumbling window that is open, with its state.
    """

    start: str = TRIM_HORIZON
    sequence: str = ""
    over: bool = False
    window: Mapping[str, Any] | None = None

    def document(self) -> dict[str, Any]:
        """As it is stored."""
        document = {"start": self.start, "sequence": self.sequence, "over": self.over}
        return document if self.window is None else {**document, "window": self.window}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """What `document` has written."""
        return cls(document["start"], document["sequence"], document["over"], document.get("window"))
