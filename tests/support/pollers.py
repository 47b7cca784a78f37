"""What pollers work with, in memory, for unit tests."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from lamella.domain.function import Artifact, FunctionConfig, FunctionKey, FunctionVersion, State
from lamella.domain.invocation import Outcome
from lamella.domain.stream import Shard, StreamRecord
from lamella.invoke.stream_sources import Page, Position, Stream

PATIENCE_S = 20.0  # of a test with a poller that hangs; never waited for otherwise
ROLE = "arn:aws:iam::111122223333:role/r"
VERSION = FunctionVersion(
    key=FunctionKey("111122223333", "eu-west-1", "f"),
    version="7",
    artifact=Artifact("0" * 64, "", 1, 1),
    config=FunctionConfig(role=ROLE, runtime="provided.al2023", handler="h"),
    revision_id="1",
    modified_at=datetime(2026, 1, 1, tzinfo=UTC),
    state=State.ACTIVE,
)


class HastyClock:
    """A minute passes whenever somebody looks, so that no test waits for a deadline."""

    def __init__(self) -> None:
        self._looks = 0

    def now(self) -> datetime:
        self._looks += 1
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=self._looks)

    def monotonic_s(self) -> float:
        return 60.0 * self._looks


class MemoryStream:
    """Implements `lamella.invoke.stream_sources.StreamSource`.

    Attributes:
        created: Tells it from one of the same name.
        shards: What it is made of.
        troubles: What the next reads raise instead of answering.
        opened: Where reading was begun: shard and position.
        last_read: How many records were before the place where the last read ended.
    """

    most = 1000
    idle_s = 0.001

    def __init__(self, *shards: Shard) -> None:
        self.created = "1"
        self.shards = {shard.id: shard for shard in shards}
        self.records: dict[str, list[StreamRecord]] = {shard.id: [] for shard in shards}
        self.troubles: list[Exception] = []
        self.opened: list[tuple[str, Position]] = []
        self.last_read = 0

    def put(self, shard: str, *texts: str, key: str = "k", arrived_s: float = 0.0) -> None:
        """Records with these sequence numbers."""
        self.records[shard] += [StreamRecord(text, arrived_s, key, {"text": text}, {"data": text}) for text in texts]

    def close(self, shard: str, *children: str) -> None:
        """Close a shard, with others in its place."""
        self.shards[shard] = replace(self.shards[shard], closed=True)
        for child in children:
            self.shards[child] = Shard(child, (shard,))
            self.records[child] = []

    async def look(self) -> Stream:
        return Stream(self.created, tuple(self.shards.values()))

    async def open(self, shard: str, position: Position) -> str:
        self.opened.append((shard, position))
        records = self.records[shard]
        match position.kind:
            case "LATEST":
                return str(len(records))
            case "AT_TIMESTAMP":
                return str(sum(record.arrived_s < position.at_s for record in records))
            case "AFTER_SEQUENCE_NUMBER":
                return str([record.sequence for record in records].index(position.sequence) + 1)
            case _:
                return "0"

    async def read(self, shard: str, iterator: str, most: int) -> Page:
        if self.troubles:
            raise self.troubles.pop(0)
        start = int(iterator)
        found = self.records[shard][start : start + most]
        end = self.last_read = start + len(found)
        over = self.shards[shard].closed and end == len(self.records[shard])
        return Page(found, None if over else str(end), tip=end == len(self.records[shard]))


class Function:
    """Implements `lamella.invoke.callee.Callee` for a function that answers as a test says.

    Attributes:
        events: Each as it came: the texts of its records.
        whole: All of them, as they came.
        answers: What it does with the next ones; after that it succeeds. `None` is a refusal.
        gates: By text: a call with that record waits until it is set.
        gone: Whether there is no such function.
    """

    def __init__(self) -> None:
        self.events: asyncio.Queue[list[str]] = asyncio.Queue()
        self.whole: list[Any] = []
        self.answers: list[Outcome | None] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.gone = False

    async def find(self, arn: str) -> FunctionVersion | None:
        del arn
        await asyncio.sleep(0)  # with a clock that hastens there is no other wait
        return None if self.gone else VERSION

    async def call(self, version: FunctionVersion, arn: str, event: bytes, request_id: str) -> Outcome | None:
        del version, arn, request_id
        self.whole.append(json.loads(event))
        texts = [record["text"] for record in self.whole[-1]["Records"]]
        self.events.put_nowait(texts)
        for text in texts:
            if text in self.gates:
                await self.gates[text].wait()
        return self.answers.pop(0) if self.answers else Outcome(b"null")

    async def take(self, count: int) -> list[list[str]]:
        """The next events."""
        async with asyncio.timeout(PATIENCE_S):
            return [await self.events.get() for _ in range(count)]
