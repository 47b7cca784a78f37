"""Follows a stream for a mapping: which shards it has, which of them are read now, and what is kept of them."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

from lamella.domain.mapping import NO_RECORDS, EventSourceMapping
from lamella.domain.stream import LATEST, TRIM_HORIZON, Checkpoint, Shard
from lamella.invoke.callee import Callee
from lamella.invoke.stream_lane import StreamWork
from lamella.invoke.stream_reader import PAUSE_MAX_S, PAUSE_S, ShardReader
from lamella.invoke.stream_sources import Position, Stream, StreamSource
from lamella.invoke.tasks import Tasks, wait_set
from lamella.lifecycle.shards import begin, follow, readable
from lamella.ports.aws import AwsError, AwsUnavailableError
from lamella.ports.checkpoints import ALL_SHARDS, CheckpointStore
from lamella.ports.clock import Clock
from lamella.ports.destinations import Destinations
from lamella.ports.errors import UnavailableError

_log = logging.getLogger(__name__)

_LOOK_EVERY_S: Final = 30.0
"""New shards are looked for this often, and whenever one has come to its end."""
_PREPARE_S: Final = 5.0
_TROUBLE: Final = (AwsError, AwsUnavailableError, UnavailableError)


class StreamPoller:
    """Implements `lamella.invoke.mappings.Poller` for streams.

    Attributes:
        result: What came of the last call, in AWS's words.
    """

    def __init__(
        self,
        mapping: EventSourceMapping,
        source: StreamSource,
        callee: Callee,
        destinations: Destinations,
        checkpoints: CheckpointStore,
        clock: Clock,
        tasks: Tasks,
        *,
        report: Callable[[str], None],
    ) -> None:
        """Nothing is read yet.

        Args:
            mapping: What is read for whom.
            source: The stream.
            callee: Calls the function.
            destinations: Are told of what is given up.
            checkpoints: Where it is kept how far shards are read.
            clock: The time.
            tasks: Owns what outlives a call.
            report: Is told what came of the last call, in AWS's words.
        """
        self._mapping = mapping
        self._source = source
        self._checkpoints = checkpoints
        self._clock = clock
        self._tasks = tasks
        self._report = report
        self._work = StreamWork(mapping, callee, destinations, clock, self._reported)
        self._known: dict[str, Checkpoint] = {}
        self._stream: dict[str, Any] | None = None  # JSON: when reading began, of which stream, and the last result
        self._iterators: dict[str, str] = {}
        self._readers: dict[str, ShardReader] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._stopping = asyncio.Event()

    async def prepare(self) -> None:
        """Find where reading begins, before the mapping is shown as enabled: what is put after that is not missed."""
        try:
            async with asyncio.timeout(_PREPARE_S):
                await self._look()
        except (*_TROUBLE, TimeoutError) as error:
            _log.warning("%s cannot be looked at yet: %s", self._mapping.source_arn, str(error) or "no answer in time")

    def stop(self) -> None:
        """Begin nothing new; `run` returns when the function has given back what it has."""
        self._stopping.set()
        self._changed.set()
        for reader in self._readers.values():
            reader.stop()

    async def run(self) -> None:
        """Until it is stopped. What the stream or the network does wrong is waited out."""
        pause_s = PAUSE_S
        try:
            while not self._stopping.is_set():
                self._changed.clear()
                try:
                    shards = await self._look()
                except _TROUBLE as error:
                    _log.warning("%s cannot be looked at: %s", self._mapping.source_arn, error)
                    self._reported(f"PROBLEM: {error}")
                    await wait_set(self._stopping, pause_s)
                    pause_s = min(pause_s * 2, PAUSE_MAX_S)
                    continue
                pause_s = PAUSE_S
                self._read(shards)
                await wait_set(self._changed, _LOOK_EVERY_S)
            await self._wait_idle()
        finally:
            for task in self._running:
                task.cancel()

    async def _look(self) -> tuple[Shard, ...]:
        """The shards of the stream; where each is read from is stored when this returns."""
        if self._stream is None:
            documents = dict(await self._checkpoints.load(self._mapping.uuid))
            self._stream = dict(documents.pop(ALL_SHARDS, {})) or None
            self._known = {shard: Checkpoint.from_document(found) for shard, found in documents.items()}
        stream = await self._source.look()
        if self._stream is not None and self._stream["created"] != stream.created:
            await self._begin_anew()
        if self._stream is None:
            await self._begin(stream)
        fresh = follow(stream.shards, self._known.keys())
        gone = self._known.keys() - {shard.id for shard in stream.shards} - self._readers.keys()
        if fresh:
            await self._checkpoints.save(self._mapping.uuid, {key: one.document() for key, one in fresh.items()})
        if gone:
            await self._checkpoints.forget(self._mapping.uuid, gone)
        self._known = {key: one for key, one in (self._known | dict(fresh)).items() if key not in gone}
        return stream.shards

    async def _begin(self, stream: Stream) -> None:
        """The first look at a stream."""
        position = self._mapping.start
        began_s = self._clock.now().timestamp()
        known = dict(begin(stream.shards, position))
        if position == LATEST:
            for shard, checkpoint in known.items():
                if not checkpoint.over:
                    self._iterators[shard] = await self._source.open(shard, Position(LATEST))
        begun = {"created": stream.created, "began_s": began_s, "result": NO_RECORDS}
        documents = {shard: checkpoint.document() for shard, checkpoint in known.items()}
        await self._checkpoints.save(self._mapping.uuid, {**documents, ALL_SHARDS: begun})
        self._stream, self._known = begun, known

    async def _begin_anew(self) -> None:
        """There is another stream of the same name. All of it is new to the mapping."""
        _log.warning("%s was made anew, and is read from its beginning", self._mapping.source_arn)
        for reader in self._readers.values():
            reader.stop()
        await self._wait_idle()
        self._iterators.clear()
        await self._checkpoints.forget(self._mapping.uuid)
        stream = await self._source.look()
        begun = {"created": stream.created, "began_s": self._clock.now().timestamp(), "result": NO_RECORDS}
        known = dict(begin(stream.shards, TRIM_HORIZON))
        documents = {shard: checkpoint.document() for shard, checkpoint in known.items()}
        await self._checkpoints.save(self._mapping.uuid, {**documents, ALL_SHARDS: begun})
        self._stream, self._known = begun, known

    def _read(self, shards: tuple[Shard, ...]) -> None:
        """Begin to read what may be read now and is not read yet."""
        assert self._stream is not None
        for shard in readable(shards, {key for key, one in self._known.items() if one.over}):
            if shard.id not in self._readers:
                reader = ShardReader(
                    self._work,
                    self._source,
                    shard.id,
                    self._known[shard.id],
                    self._save,
                    began_s=self._stream["began_s"],
                    iterator=self._iterators.pop(shard.id, None),
                )
                self._readers[shard.id] = reader
                self._start(self._read_shard(shard.id, reader), f"read {shard.id}")
            self._readers[shard.id].closed = shard.closed

    async def _read_shard(self, shard: str, reader: ShardReader) -> None:
        try:
            if await reader.run():
                await self._finish(shard)
        except Exception:  # noqa: BLE001  # the boundary of a task that serves nobody: the shard is read again
            _log.exception("%s of %s could not be read", shard, self._mapping.source_arn)
            await wait_set(self._stopping, PAUSE_MAX_S)
        finally:
            del self._readers[shard]
            self._changed.set()

    async def _finish(self, shard: str) -> None:
        """The shard is closed and everything in it is done, which lets its children begin."""
        checkpoint = self._known[shard]
        while True:
            try:
                await self._save(shard, Checkpoint(checkpoint.start, checkpoint.sequence, over=True))
            except UnavailableError:
                _log.exception("the end of %s cannot be stored yet", shard)
                await wait_set(self._stopping, PAUSE_S)
                if not self._stopping.is_set():
                    continue
            return

    async def _save(self, shard: str, checkpoint: Checkpoint) -> None:
        await self._checkpoints.save(self._mapping.uuid, {shard: checkpoint.document()})
        self._known[shard] = checkpoint

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = self._tasks.start(work, name=f"{name} for mapping {self._mapping.uuid}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _wait_idle(self) -> None:
        while self._running:
            await asyncio.wait(self._running)

    def _reported(self, result: str) -> None:
        self._report(result)
        if self._stream is not None and self._stream["result"] != result:
            self._stream["result"] = result
            self._start(self._keep_result(), "keep the last result")

    async def _keep_result(self) -> None:
        try:
            await self._checkpoints.save(self._mapping.uuid, {ALL_SHARDS: dict(self._stream or {})})
        except UnavailableError as error:
            _log.warning("the last result of a mapping is not kept: %s", error)
