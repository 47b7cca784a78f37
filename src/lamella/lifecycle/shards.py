"""Which shards of a stream are read when, and how far one has been read. No clock, no stream.

A stream that is resharded closes shards and opens others in their place. What was put under one key before is in the
parent, what came after is in a child: so a child is not read until all its parents are done.
"""

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from zlib import crc32

from lamella.domain.stream import LATEST, TRIM_HORIZON, Checkpoint, Shard


def readable(shards: Iterable[Shard], over: Collection[str]) -> list[Shard]:
    """Shards that are to be read now. A parent that is not listed any more was trimmed, and hinders nobody."""
    listed = {shard.id: shard for shard in shards}
    return [
        shard
        for shard in listed.values()
        if shard.id not in over and all(parent in over or parent not in listed for parent in shard.parents)
    ]


def begin(shards: Iterable[Shard], position: str) -> Mapping[str, Checkpoint]:
    """Where the shards are read from that a stream has when its mapping begins.

    From the latest on, what is closed has nothing to give. Shards that come later are read from their beginning,
    wherever the mapping began.
    """
    return {shard.id: Checkpoint(position, over=position == LATEST and shard.closed) for shard in shards}


def follow(shards: Iterable[Shard], known: Collection[str]) -> Mapping[str, Checkpoint]:
    """Where shards are read from that have come since."""
    return {shard.id: Checkpoint(TRIM_HORIZON) for shard in shards if shard.id not in known}


def lane(key: str, lanes: int) -> int:
    """In which of the batches that run at once the records of a key are; the same after a restart."""
    return crc32(key.encode("utf-8", "surrogatepass")) % lanes


class Watermark:
    """Records of one shard in the order they were read, and which of them are done.

    Several batches of a shard may be worked on at once and end in any order. What may be forgotten is only what has
    nothing open before it.

    Attributes:
        sequence: Of the last record that may be forgotten; empty while there is none.
    """

    __slots__ = ("_first", "_open", "sequence")

    def __init__(self) -> None:
        self.sequence = ""
        self._first = 0
        self._open: deque[tuple[str, bool]] = deque()  # sequence number, and whether it is done

    @property
    def open(self) -> int:
        """Records that have been read and may not be forgotten yet."""
        return len(self._open)

    def read(self, sequence: str) -> int:
        """A record has been read; returns the number that it goes by here."""
        self._open.append((sequence, False))
        return self._first + len(self._open) - 1

    def done(self, numbers: Iterable[int]) -> bool:
        """These records are done; says whether more may be forgotten than before."""
        for number in numbers:
            index = number - self._first
            self._open[index] = (self._open[index][0], True)
        moved = False
        while self._open and self._open[0][1]:
            self.sequence = self._open.popleft()[0]
            self._first += 1
            moved = True
        return moved
