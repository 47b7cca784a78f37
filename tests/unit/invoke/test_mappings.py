"""Pollers, with a queue in memory."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from tests.support.pollers import VERSION

from lamella.domain.function import FunctionVersion
from lamella.domain.invocation import Outcome
from lamella.domain.mapping import DELETING, KIND, UPDATING, EventSourceMapping
from lamella.invoke import mappings, queue_poller
from lamella.invoke.mappings import MappingPorts, Mappings
from lamella.ports.aws import AwsError, AwsServices
from lamella.ports.checkpoints import ALL_SHARDS
from lamella.testing.aws import MemoryAws
from lamella.testing.clock import FakeClock
from lamella.testing.queue import MemoryDestinations
from lamella.testing.records import MemoryAccountRecordStore, MemoryCheckpointStore

PATIENCE_S = 20.0  # of a test with a poller that hangs; never waited for otherwise
MAPPING = EventSourceMapping(
    uuid="u",
    account="111122223333",
    region="eu-west-1",
    source_arn="arn:aws:sqs:eu-west-1:111122223333:q",
    function_arn="arn:aws:lambda:eu-west-1:111122223333:function:f",
    batch_size=2,
    window_s=0,
    enabled=True,
    state="Creating",
    modified_at=0.0,
    concurrency=2,
)


class Queue:
    """Implements `AwsServices.call` for one queue, which waits as long as it is empty."""

    def __init__(self) -> None:
        self.waiting: asyncio.Queue[str] = asyncio.Queue()
        self.deleted: asyncio.Queue[str] = asyncio.Queue()
        self.returned: list[str] = []
        self.polls = 0

    async def call(self, service: str, operation: str, parameters: Mapping[str, Any], **_: str) -> Mapping[str, Any]:
        match operation:
            case "GetQueueUrl":
                return {"QueueUrl": "http://q"}
            case "ReceiveMessage":
                self.polls += 1
                ids = [await self.waiting.get()]
                while len(ids) < parameters["MaxNumberOfMessages"] and not self.waiting.empty():
                    ids.append(self.waiting.get_nowait())
                if "gone" in ids:
                    raise AwsError("QueueDoesNotExist", "gone")
                if "strange" in ids:
                    return {"Messages": [{"Body": "it has no id"}]}
                return {"Messages": [{"MessageId": one, "ReceiptHandle": one, "Body": one} for one in ids]}
            case "DeleteMessageBatch":
                for entry in parameters["Entries"]:
                    self.deleted.put_nowait(entry["ReceiptHandle"])
            case "ChangeMessageVisibilityBatch":
                self.returned += [entry["ReceiptHandle"] for entry in parameters["Entries"]]
        return {}

    def fetch(self, *_: object, **__: object) -> Any:
        raise NotImplementedError


class Function:
    """Implements `Callee`. Answers when it is told to, and counts how often it is asked at once."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[list[str]] = asyncio.Queue()
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.outcome: Outcome | None = Outcome(b"null")
        self.running = self.most = 0

    async def find(self, arn: str) -> FunctionVersion | None:
        return VERSION if arn == MAPPING.function_arn else None

    async def call(self, version: FunctionVersion, arn: str, event: bytes, request_id: str) -> Outcome | None:
        assert (version, arn) == (VERSION, MAPPING.function_arn)
        assert request_id
        self.running += 1
        self.most = max(self.most, self.running)
        self.events.put_nowait([record["body"] for record in json.loads(event)["Records"]])
        await self.go_on.wait()
        self.running -= 1
        return self.outcome


async def wait_for(condition: Callable[[], object]) -> None:
    """Let everybody have turns until it holds: what a task has done has no event."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0)


class Stage:
    def __init__(self, aws: AwsServices | None = None) -> None:
        self.records = MemoryAccountRecordStore()
        self.queue, self.function = Queue(), Function()
        self.checkpoints = MemoryCheckpointStore()
        ports = MappingPorts(
            self.records, self.checkpoints, aws or self.queue, MemoryDestinations(), self.function, FakeClock()
        )
        self.mappings = Mappings(ports, delay_s=0)

    async def put(self, mapping: EventSourceMapping) -> None:
        await self.records.put(mapping.account, mapping.region, KIND, mapping.uuid, mapping.document())
        self.mappings.mapping_changed(mapping)

    async def state(self) -> str | None:
        document = await self.records.get(MAPPING.account, MAPPING.region, KIND, MAPPING.uuid)
        return None if document is None else document["state"]

    async def close(self) -> None:
        """With a queue that ends the poll under way."""
        self.queue.waiting.put_nowait("last")
        await self.mappings.close(grace_s=PATIENCE_S)


async def test_a_new_mapping_is_enabled_and_polls() -> None:
    stage = Stage()
    await stage.put(MAPPING)
    await wait_for(lambda: stage.queue.polls)
    assert await stage.state() == "Enabled"
    for one in "abc":
        stage.queue.waiting.put_nowait(one)
    assert await stage.function.events.get() == ["a", "b"]
    assert await stage.function.events.get() == ["c"]
    assert {await stage.queue.deleted.get() for _ in "abc"} == {"a", "b", "c"}
    await stage.close()
    assert stage.queue.returned == ["last"]


@pytest.mark.parametrize("outcome", [None, Outcome(b"{}", "Unhandled")])
async def test_what_the_function_did_not_do_stays_in_the_queue(outcome: Outcome | None) -> None:
    stage = Stage()
    stage.function.outcome = outcome
    await stage.put(MAPPING)
    stage.queue.waiting.put_nowait("a")
    await stage.function.events.get()
    await stage.close()
    assert stage.queue.deleted.empty()


async def test_no_more_batches_at_once_than_allowed_and_none_is_taken_for_nobody() -> None:
    stage = Stage()
    stage.function.go_on.clear()
    for number in range(10):
        stage.queue.waiting.put_nowait(str(number))
    await stage.put(MAPPING)
    await stage.function.events.get()
    await stage.function.events.get()
    for _ in range(100):
        await asyncio.sleep(0)
    assert (stage.queue.polls, stage.queue.waiting.qsize()) == (2, 6)
    stage.function.go_on.set()
    for _ in range(10):
        await stage.queue.deleted.get()
    assert stage.function.most == 2
    await stage.close()


async def test_an_answer_that_nobody_expected_does_not_end_the_poller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mappings, "_PAUSE_S", 0.0)
    stage = Stage()
    stage.queue.waiting.put_nowait("strange")
    await stage.put(MAPPING)
    await wait_for(lambda: stage.queue.polls == 2)
    stage.queue.waiting.put_nowait("a")
    assert await stage.function.events.get() == ["a"]
    await stage.close()


async def test_when_it_stops_nothing_more_is_taken_and_what_runs_goes_on() -> None:
    stage = Stage()
    stage.function.go_on.clear()
    await stage.put(MAPPING)
    stage.queue.waiting.put_nowait("a")
    assert await stage.function.events.get() == ["a"]
    stage.mappings.stop()
    await stage.put(replace(MAPPING, uuid="late"))
    for one in "bc":
        stage.queue.waiting.put_nowait(one)
    stage.function.go_on.set()
    assert await stage.queue.deleted.get() == "a"
    await stage.mappings.close(grace_s=PATIENCE_S)
    assert stage.function.events.empty()
    assert {*stage.queue.returned, *stage.queue.waiting._queue} == {"b", "c"}  # type: ignore[attr-defined]


class StrangeStream:
    """Implements `AwsServices.call` for a stream whose description has nothing in it."""

    async def call(self, service: str, operation: str, parameters: Mapping[str, Any], **_: str) -> Mapping[str, Any]:
        return {}

    def fetch(self, *_: object, **__: object) -> Any:
        raise NotImplementedError


async def test_nor_does_it_keep_a_mapping_from_being_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mappings, "_PAUSE_S", 0.0)
    stage = Stage(StrangeStream())
    stream = replace(MAPPING, source_arn="arn:aws:kinesis:eu-west-1:111122223333:stream/s", start="LATEST")
    await stage.put(stream)
    async with asyncio.timeout(PATIENCE_S):
        while await stage.state() != "Enabled":  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
    await stage.mappings.close(grace_s=PATIENCE_S)


async def test_a_mapping_that_is_deleted_gives_back_what_it_has_not_handed_over() -> None:
    stage = Stage()
    await stage.put(MAPPING)
    await wait_for(lambda: stage.queue.polls)
    await stage.put(EventSourceMapping.from_document({**MAPPING.document(), "state": DELETING}))
    stage.queue.waiting.put_nowait("late")
    async with asyncio.timeout(PATIENCE_S):
        while await stage.state() is not None:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
    assert stage.queue.returned == ["late"]
    assert stage.function.events.empty()
    await stage.mappings.close(grace_s=0)


async def test_what_a_crash_interrupted_is_settled_at_the_start() -> None:
    stage = Stage()
    document = {**MAPPING.document(), "state": UPDATING}
    await stage.records.put(MAPPING.account, MAPPING.region, KIND, MAPPING.uuid, document)
    await stage.mappings.start()
    await wait_for(lambda: stage.queue.polls)
    assert await stage.state() == "Enabled"
    await stage.close()


async def test_more_batches_run_at_once_while_messages_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = count()
    monkeypatch.setattr(queue_poller, "monotonic", lambda: float(next(seconds)))  # one passes with each look
    monkeypatch.setattr(queue_poller, "_LOOK_S", 0.0)
    stage = Stage()
    stage.function.go_on.clear()
    for number in range(12):
        stage.queue.waiting.put_nowait(str(number))
    await stage.put(replace(MAPPING, batch_size=1, concurrency=0))
    await wait_for(lambda: stage.function.running == 12)
    stage.function.go_on.set()
    await stage.close()


@pytest.fixture
def stream() -> MemoryAws:
    """A stream of Kinesis with one shard, and nothing in it."""
    aws = MemoryAws()
    created = {"StreamCreationTimestamp": datetime(2026, 11, 20, tzinfo=UTC)}
    aws.operations = {
        ("kinesis", "DescribeStreamSummary"): lambda _: {"StreamDescriptionSummary": created},
        ("kinesis", "ListShards"): lambda _: {"Shards": [{"ShardId": "a"}]},
        ("kinesis", "GetShardIterator"): lambda _: {"ShardIterator": "i"},
        ("kinesis", "GetRecords"): lambda _: {"Records": [], "NextShardIterator": "i"},
    }
    return aws


STREAM_MAPPING = replace(
    MAPPING, source_arn="arn:aws:kinesis:eu-west-1:111122223333:stream/s", concurrency=0, start="LATEST"
)


async def test_where_a_stream_is_read_from_is_known_before_its_mapping_is_enabled(stream: MemoryAws) -> None:
    stage = Stage(stream)
    seen: list[object] = []
    change = stage.records.change

    async def watched(*place: Any) -> Any:
        seen.append(set(await stage.checkpoints.load(MAPPING.uuid)))
        return await change(*place)

    stage.records.change = watched  # type: ignore[method-assign]
    await stage.put(STREAM_MAPPING)
    await wait_for(lambda: any(call[1] == "GetRecords" for call in stream.calls))
    assert await stage.state() == "Enabled"
    assert seen[-1] == {ALL_SHARDS, "a"}  # before that it is put there
    assert stage.mappings.last_result(MAPPING.uuid) == "No records processed"
    await stage.mappings.close(grace_s=PATIENCE_S)


async def test_a_stream_that_cannot_be_looked_at_does_not_hold_up_its_mapping(stream: MemoryAws) -> None:
    del stream.operations["kinesis", "ListShards"]
    stage = Stage(stream)
    await stage.put(STREAM_MAPPING)
    await wait_for(lambda: stage.mappings.last_result(MAPPING.uuid) != "No records processed")
    assert stage.mappings.last_result(MAPPING.uuid) == "PROBLEM: nobody answers for kinesis"
    assert await stage.state() == "Enabled"
    await stage.mappings.close(grace_s=PATIENCE_S)


async def test_with_a_mapping_its_checkpoints_go(stream: MemoryAws) -> None:
    stage = Stage(stream)
    await stage.put(STREAM_MAPPING)
    await wait_for(lambda: any(call[1] == "GetRecords" for call in stream.calls))
    await stage.put(replace(STREAM_MAPPING, state=DELETING))
    async with asyncio.timeout(PATIENCE_S):
        while await stage.state() is not None:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
    assert await stage.checkpoints.load(MAPPING.uuid) == {}
    await stage.mappings.close(grace_s=PATIENCE_S)


async def test_the_last_result_outlives_the_server(stream: MemoryAws) -> None:
    stage = Stage(stream)
    disabled = replace(STREAM_MAPPING, state="Disabled", enabled=False)
    await stage.records.put(MAPPING.account, MAPPING.region, KIND, MAPPING.uuid, disabled.document())
    await stage.checkpoints.save(MAPPING.uuid, {ALL_SHARDS: {"created": "", "began_s": 0.0, "result": "OK"}})
    await stage.mappings.start()
    assert stage.mappings.last_result(MAPPING.uuid) == "OK"
    assert stream.calls == []
    await stage.mappings.close(grace_s=PATIENCE_S)
