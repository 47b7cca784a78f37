"""Reads one shard from where its checkpoint says, sorts its records into lanes, and keeps the checkpoint."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from lamella.domain.event_filter import compile_pattern
from lamella.domain.stream import AT_TIMESTAMP, LATEST, TRIM_HORIZON, Checkpoint
from lamella.invoke.stream_events import wanted
from lamella.invoke.stream_lane import Lane, StreamWork
from lamella.invoke.stream_sources import AFTER, Page, Position, StreamSource
from lamella.invoke.tasks import wait_set
from lamella.lifecycle.shards import Watermark, lane
from lamella.lifecycle.windows import Windows
from lamella.ports.aws import AwsError, AwsUnavailableError
from lamella.ports.errors import UnavailableError

_log = logging.getLogger(__name__)

PAUSE_S: Final = 1.0
PAUSE_MAX_S: Final = 30.0
_READ_LEAST: Final = 100
"""Records are asked for by the hundred at least, however small batches are: filters may leave few of them."""
_OPEN_MOST: Final = 10_000
"""Records that may be known besides those that lanes hold: what filters leave out behind one that is not done."""
_EXPIRED: Final = "ExpiredIteratorException"
_TRIMMED: Final = "TrimmedDataAccessException"


class ShardReader:
    """One shard, for as long as there is something in it.

    Args:
        work: Of the mapping.
        source: The stream.
        shard: Id of the shard.
        checkpoint: How far it was read before.
        save: Stores a checkpoint.
        began_s: When the mapping began to read the stream; seconds since the epoch.
        iterator: Where to begin, if that is known; it is a few minutes old at most.

    Attributes:
        closed: Whether the stream says that nothing is added to the shard any more.
    """

    def __init__(
        self,
        work: StreamWork,
        source: StreamSource,
        shard: str,
        checkpoint: Checkpoint,
        save: Callable[[str, Checkpoint], Awaitable[None]],
        *,
        began_s: float,
        iterator: str | None = None,
    ) -> None:
        mapping = work.mapping
        self._work = work
        self._source = source
        self._shard = shard
        self._save = save
        self._start = checkpoint.start
        self._position = _position(checkpoint, mapping.start_at, began_s)
        self._iterator = iterator
        self._matchers = [compile_pattern(text) for text in mapping.patterns]
        self._mark = Watermark()
        self._first, self._saved = checkpoint.sequence, checkpoint
        self._saving = asyncio.Lock()
        self._drained = asyncio.Event()
        self._stopping = asyncio.Event()
        self._windows = Windows(mapping.tumbling_s, checkpoint.window) if mapping.tumbling_s else None
        self._lanes = [Lane(work, shard, self._done, self._drained, self._windows) for _ in range(mapping.lanes)]
        self._most = max(mapping.batch_size * mapping.lanes, _READ_LEAST)
        self.closed = False

    def stop(self) -> None:
        """Read no further, and begin no further batch; `run` returns when the function has given back what it has."""
        self._stopping.set()
        self._drained.set()
        for one in self._lanes:
            one.stop()

    async def run(self) -> bool:
        """Until the end of the shard, or until it is stopped; says whether the shard is over and done with."""
        async with asyncio.TaskGroup() as group:
            for one in self._lanes:
                group.create_task(one.run(), name=f"batches of {self._shard}")
            at_end = await self._read_on()
            for one in self._lanes:
                one.end()
        # If it was stopped, records may be open, or the function may not have seen the state of a window.
        return at_end and not self._mark.open and (self._windows is None or self._windows.start_s is None)

    async def _read_on(self) -> bool:
        """Whether the end of the shard was reached."""
        pause_s = PAUSE_S
        while not self._stopping.is_set():
            if not self._has_room():
                self._drained.clear()
                await self._drained.wait()
                continue
            try:
                page = await self._read()
            except (AwsError, AwsUnavailableError) as error:
                if not self._recover(error):
                    await wait_set(self._stopping, pause_s)
                    pause_s = min(pause_s * 2, PAUSE_MAX_S)
                continue
            pause_s = PAUSE_S
            await self._take(page)
            self._iterator = page.iterator
            if page.iterator is None or (self.closed and page.tip and not page.records):
                return True
            if not page.records:
                await wait_set(self._stopping, self._source.idle_s)
        return False

    def _has_room(self) -> bool:
        """Whether it makes sense to read further."""
        return self._mark.open < 4 * self._most + _OPEN_MOST and all(one.room for one in self._lanes)

    async def _read(self) -> Page:
        if self._iterator is None:
            self._iterator = await self._source.open(self._shard, self._position)
        return await self._source.read(self._shard, self._iterator, self._most)

    def _recover(self, error: AwsError | AwsUnavailableError) -> bool:
        """After an error, read from where the last record was; whether that is worth trying at once."""
        fresh, self._iterator = self._iterator is not None, None
        code = error.code if isinstance(error, AwsError) else ""
        if code == _TRIMMED and self._position.kind != TRIM_HORIZON:
            _log.warning("%s: records of %s are gone that were not read", self._work.mapping.source_arn, self._shard)
            self._position = Position(TRIM_HORIZON)
            return True
        if code == _EXPIRED and fresh:
            return True
        _log.warning("%s in %s cannot be read: %s", self._work.mapping.source_arn, self._shard, error)
        self._work.report(f"PROBLEM: {error}")
        return False

    async def _take(self, page: Page) -> None:
        skipped: list[int] = []
        earliest_s = int(self._position.at_s)
        for record in page.records:
            number = self._mark.read(record.sequence)
            # A stream of DynamoDB cannot be read from a time on.
            if record.arrived_s >= earliest_s and wanted(record, self._matchers):
                self._lanes[lane(record.key, len(self._lanes))].push(number, record)
            else:
                skipped.append(number)
        if page.records:
            at_s = self._position.at_s
            self._position = Position(AFTER, page.records[-1].sequence, at_s)
        if skipped:
            await self._done(skipped)

    async def _done(self, numbers: Sequence[int]) -> None:
        """These records are over; returns when the checkpoint is stored, if that or the window is another."""
        self._mark.done(numbers)
        self._drained.set()
        # One after the other, so that no older one comes last; whoever has waited may find it done.
        async with self._saving:
            while (checkpoint := self._checkpoint()) != self._saved:
                try:
                    await self._save(self._shard, checkpoint)
                except UnavailableError:
                    _log.exception("the checkpoint of %s cannot be stored yet", self._shard)
                    await wait_set(self._stopping, PAUSE_S)
                    if self._stopping.is_set():
                        return  # the records come again
                else:
                    self._saved = checkpoint

    def _checkpoint(self) -> Checkpoint:
        window = None if self._windows is None else self._windows.document()
        return Checkpoint(self._start, self._mark.sequence or self._first, window=window)


def _position(checkpoint: Checkpoint, start_at: float, began_s: float) -> Position:
    """Where to read on. What came after the mapping began and before the first record was done is not `LATEST` now."""
    if checkpoint.sequence:
        return Position(AFTER, checkpoint.sequence)
    if checkpoint.start == LATEST:
        return Position(AT_TIMESTAMP, at_s=began_s)
    if checkpoint.start == AT_TIMESTAMP:
        return Position(AT_TIMESTAMP, at_s=start_at)
    return Position(TRIM_HORIZON)
