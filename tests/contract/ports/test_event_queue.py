"""What every queue of events promises."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from lamella.adapters.sql.database import Database
from lamella.adapters.sql.queue import SqlEventQueue
from lamella.domain.event import (
    AcceptedEvent,
    Condition,
    EventRecord,
    Response,
    Stage,
    Step,
    Target,
    accepted,
)
from lamella.domain.function import FunctionKey
from lamella.ports.errors import ConflictError
from lamella.ports.queue import EventQueue
from lamella.testing.queue import MemoryEventQueue

ACCOUNT, REGION = "000000000000", "us-east-1"
KEY = FunctionKey(ACCOUNT, REGION, "f")
T0 = 1_800_000_000.123
HISTORY = 100


def event(number: int, key: FunctionKey = KEY, *, after_s: float = 0.0, **members: object) -> AcceptedEvent:
    request_id = f"00000000-0000-4000-8000-{number:012d}"
    plain = AcceptedEvent(request_id, key, None, T0 + after_s, b'{"n": %d}' % number, trace_id="Root=1-a-b")
    return replace(plain, **members)  # type: ignore[arg-type]  # members of the event


def at(one: AcceptedEvent, stage: Stage, **members: object) -> EventRecord:
    record = accepted(one)
    return replace(record, progress=replace(record.progress, stage=stage, **members))  # type: ignore[arg-type]


class EventQueueContract:
    """The promises; a subclass brings the queue."""

    @pytest.fixture
    async def queue(self) -> AsyncIterator[EventQueue]:
        raise NotImplementedError
        return

    async def test_what_is_put_can_be_got(self, queue: EventQueue) -> None:
        full = event(
            1,
            FunctionKey("123456789012", "eu-central-1", "g"),
            qualifier="live",
            payload=b'"\xc3\xa4\\u0000"',
            content_type="text/plain",
            client_context='{"custom": "\ud83d"}',
            tenant_id="blue",
        )
        await queue.put(full)
        await queue.put(event(2))
        assert await queue.get(full.request_id) == accepted(full)
        assert await queue.get(event(2).request_id) == accepted(event(2))
        assert await queue.get("00000000-0000-4000-8000-999999999999") is None

    async def test_progress_is_kept_with_steps_and_response(self, queue: EventQueue) -> None:
        one = event(1)
        await queue.put(one)
        record = replace(
            at(
                one,
                Stage.DELIVERING,
                due_s=T0 + 61.5,
                attempts=3,
                setbacks=2,
                condition=Condition.RETRIES_EXHAUSTED,
                decided_s=T0 + 60.25,
                targets=(Target("arn:aws:sqs:us-east-1:0:q"), Target("arn:aws:sns:us-east-1:0:t", dead_letter=True)),
            ),
            response=Response(b"\xff\x00", "Unhandled", "7"),
            steps=(Step(T0, T0 + 1, "invoke", "function error", "ünïcode \0"), Step(T0 + 2, None, "x", "running")),
        )
        await queue.save(record)
        assert await queue.get(one.request_id) == record

    async def test_the_end_takes_payload_and_response_along(self, queue: EventQueue) -> None:
        for number, stage in enumerate((Stage.SUCCEEDED, Stage.FAILED, Stage.DROPPED)):
            one = event(number)
            await queue.put(one)
            await queue.save(replace(at(one, stage), response=Response(b"answer", None, "1")))
            kept = await queue.get(one.request_id)
            assert kept is not None
            assert (kept.event.payload, kept.progress.stage) == (b"", stage)
            assert kept.response == Response(b"", None, "1")

    async def test_what_nobody_could_be_told_stays_whole(self, queue: EventQueue) -> None:
        one = event(1)
        await queue.put(one)
        record = replace(
            at(one, Stage.UNDELIVERED, targets=(Target("arn"),)), response=Response(b"answer", "Unhandled", "1")
        )
        await queue.save(record)
        assert await queue.get(one.request_id) == record

    async def test_a_finished_event_does_not_come_back(self, queue: EventQueue) -> None:
        one = event(1)
        await queue.put(one)
        await queue.save(at(one, Stage.DROPPED))
        await queue.save(at(one, Stage.WAITING, attempts=1))
        kept = await queue.get(one.request_id)
        assert kept is not None
        assert (kept.progress.stage, kept.progress.attempts) == (Stage.DROPPED, 0)

    async def test_an_event_that_nobody_put_is_not_made_by_saving(self, queue: EventQueue) -> None:
        await queue.save(at(event(1), Stage.RUNNING))
        assert await queue.get(event(1).request_id) is None

    async def test_what_is_left_to_do(self, queue: EventQueue) -> None:
        """In the order of acceptance, with everything but what is finished."""
        other = FunctionKey("123456789012", REGION, "g")
        stages = [Stage.WAITING, Stage.SUCCEEDED, Stage.RUNNING, Stage.FAILED, Stage.DELIVERING, Stage.UNDELIVERED]
        for number, stage in enumerate(stages):
            one = event(number, other if number % 4 == 0 else KEY, after_s=100.0 - number)
            await queue.put(one)
            await queue.save(at(one, stage, due_s=T0 + number))
        assert [(id_[-1], key, progress.stage, progress.due_s) for id_, key, progress in await queue.unfinished()] == [
            ("4", other, Stage.DELIVERING, T0 + 4),
            ("2", KEY, Stage.RUNNING, T0 + 2),
            ("0", other, Stage.WAITING, T0),
        ]
        assert [progress.accepted_s for _, _, progress in await queue.unfinished()] == [T0 + 96, T0 + 98, T0 + 100]

    async def test_a_function_that_goes_takes_what_it_has_not_run_along(self, queue: EventQueue) -> None:
        stages = [Stage.WAITING, Stage.RUNNING, Stage.DELIVERING, Stage.SUCCEEDED]
        for number, stage in enumerate(stages):
            await queue.put(event(number))
            await queue.save(at(event(number), stage))
        namesake = event(9, FunctionKey("123456789012", REGION, "f"))
        await queue.put(namesake)
        assert await queue.drop(KEY, now_s=T0 + 1) == 2
        assert await queue.drop(KEY, now_s=T0 + 2) == 0
        found = [await queue.get(event(number).request_id) for number in range(4)]
        assert [one.progress.stage for one in found if one is not None] == [
            Stage.DROPPED,
            Stage.DROPPED,
            Stage.DELIVERING,
            Stage.SUCCEEDED,
        ]
        assert [one.event.payload for one in found[:2] if one is not None] == [b"", b""]
        assert await queue.get(namesake.request_id) == accepted(namesake)

    async def test_lists(self, queue: EventQueue) -> None:
        """The newest first, by account, region, function and stage; without payloads."""
        other = FunctionKey(ACCOUNT, REGION, "g")
        for number in range(4):
            await queue.put(event(number, other if number == 2 else KEY, after_s=number))
        await queue.put(event(8, FunctionKey("123456789012", REGION, "f")))
        await queue.put(event(9, FunctionKey(ACCOUNT, "eu-central-1", "f")))
        await queue.save(replace(at(event(1), Stage.FAILED), steps=(Step(T0, T0, "invoke", "fault", "text"),)))

        async def listed(limit: int = 10, name: str | None = None, stage: Stage | None = None) -> str:
            found = await queue.list(ACCOUNT, REGION, limit=limit, name=name, stage=stage)
            assert not any(one.event.payload for one in found)
            return "".join(one.event.request_id[-1] for one in found)

        assert await listed() == "3210"
        assert await listed(limit=2) == "32"
        assert await listed(name="f") == "310"
        assert await listed(name="none") == ""
        assert await listed(stage=Stage.FAILED) == "1"
        assert await listed(name="g", stage=Stage.FAILED) == ""
        (failed,) = await queue.list(ACCOUNT, REGION, limit=1, stage=Stage.FAILED)
        assert failed.steps == (Step(T0, T0, "invoke", "fault", "text"),)
        assert await queue.counts(ACCOUNT, REGION) == {Stage.WAITING: 3, Stage.FAILED: 1}
        assert await queue.counts(ACCOUNT, REGION, name="g") == {Stage.WAITING: 1}
        assert await queue.counts("999999999999", REGION) == {}

    async def test_only_so_many_are_remembered(self, queue: EventQueue) -> None:
        """And of what is not finished nothing is forgotten."""
        await asyncio.gather(*(queue.put(event(number, after_s=number)) for number in range(3 * HISTORY)))
        for number in range(2 * HISTORY + 1):
            one = event(number, after_s=number)
            await queue.save(replace(at(one, Stage.SUCCEEDED), steps=(Step(T0, T0 + number, "invoke", "succeeded"),)))
        counts = await queue.counts(ACCOUNT, REGION)
        assert counts[Stage.WAITING] == HISTORY - 1
        assert HISTORY <= counts[Stage.SUCCEEDED] < 2 * HISTORY
        assert await queue.get(event(0).request_id) is None
        assert await queue.get(event(2 * HISTORY).request_id) is not None

    async def test_many_at_once(self, queue: EventQueue) -> None:
        events = [event(number) for number in range(500)]
        await asyncio.gather(*(queue.put(one) for one in events))
        await asyncio.gather(*(queue.save(at(one, Stage.SUCCEEDED)) for one in events[:50]))
        assert await queue.counts(ACCOUNT, REGION) == {Stage.WAITING: 450, Stage.SUCCEEDED: 50}


class TestMemory(EventQueueContract):
    @pytest.fixture
    async def queue(self) -> AsyncIterator[EventQueue]:
        return MemoryEventQueue(HISTORY)


class TestSql(EventQueueContract):
    @pytest.fixture
    async def queue(self, database: Database) -> AsyncIterator[EventQueue]:
        queue = SqlEventQueue(database, history=HISTORY)
        yield queue
        await queue.close()

    async def test_what_was_put_is_there_after_a_restart(self, tmp_path: Path) -> None:
        database = Database.open(tmp_path / "other.db")
        await SqlEventQueue(database).put(event(1))
        database.close()
        database = Database.open(tmp_path / "other.db")
        assert await SqlEventQueue(database).get(event(1).request_id) == accepted(event(1))
        database.close()

    async def test_a_commit_that_fails_is_told_to_all_who_wait_for_it(self, queue: SqlEventQueue) -> None:
        results = await asyncio.gather(
            queue.put(event(1)), queue.put(event(1)), queue.put(event(2)), return_exceptions=True
        )
        assert [type(result) for result in results] == [ConflictError] * 3
        assert await queue.get(event(2).request_id) is None
        await queue.put(event(2))  # the next one is not affected

    async def test_who_goes_away_does_not_take_the_commit_along(self, queue: SqlEventQueue) -> None:
        tasks = [asyncio.create_task(queue.put(event(number))) for number in range(3)]
        await asyncio.sleep(0)  # all three wait for the same commit
        tasks[1].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [type(None), asyncio.CancelledError, type(None)]
        assert await queue.counts(ACCOUNT, REGION) == {Stage.WAITING: 3}
