"""Asynchronous invocations against a scripted function, with all waits shortened to a thousandth."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from lamella.domain.event import FINISHED, AcceptedEvent, Condition, EventRecord, Stage, accepted
from lamella.domain.function import Artifact, FunctionConfig, FunctionKey, FunctionVersion, State
from lamella.domain.invocation import Invocation, Outcome
from lamella.invoke.dispatcher import Dispatcher
from lamella.invoke.router import BusyError, EnvironmentFailedError
from lamella.invoke.targets import NotReadyError
from lamella.lifecycle.admission import Throttle
from lamella.ports.errors import UnavailableError
from lamella.testing.queue import MemoryDestinations, MemoryEventQueue

F, G = (FunctionKey("000000000000", "us-east-1", name) for name in ("f", "g"))
QUEUE, DLQ = (f"arn:aws:sqs:us-east-1:000000000000:{name}" for name in ("q", "dlq"))
FAILURE = Outcome(b'{"errorMessage": "it broke"}', "Unhandled")
WITHIN_S = 20.0  # only a bound for a dispatcher that hangs
Script = Callable[[Invocation], Awaitable[Outcome]]


def version(key: FunctionKey, number: str = "$LATEST", **other: Any) -> FunctionVersion:
    return FunctionVersion(
        key=key,
        version=number,
        artifact=Artifact("0" * 64, "", 1, 1),
        config=FunctionConfig(role="", runtime="provided.al2023", handler="h", other=other),
        revision_id="1",
        modified_at=datetime(2026, 1, 1, tzinfo=UTC),
        state=State.ACTIVE,
    )


class RealClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        return time.monotonic()


class Queue(MemoryEventQueue):
    """Lets tests wait for what is stored; its methods yield, as those of a real one do."""

    def __init__(self) -> None:
        super().__init__()
        self.changed = asyncio.Condition()
        self.saved: list[EventRecord] = []
        self.broken = 0

    async def put(self, event: AcceptedEvent) -> None:
        await asyncio.sleep(0)
        await super().put(event)

    async def save(self, record: EventRecord) -> None:
        await asyncio.sleep(0)
        if self.broken:
            self.broken -= 1
            raise UnavailableError("the disk is full")
        self.saved.append(record)
        await super().save(record)
        await self._notify()

    async def drop(self, key: FunctionKey, *, now_s: float) -> int:
        await asyncio.sleep(0)
        dropped = await super().drop(key, now_s=now_s)
        await self._notify()
        return dropped

    async def _notify(self) -> None:
        async with self.changed:
            self.changed.notify_all()


class Functions:
    """Runs what the test's script says, as long as there is concurrency."""

    def __init__(self) -> None:
        self.script: Script = self.echo
        self.versions: dict[tuple[FunctionKey, str], FunctionVersion] = {
            (F, "$LATEST"): version(F),
            (G, "$LATEST"): version(G),
        }
        self.state = State.ACTIVE
        self.limit: int | None = 1000
        self.running = 0
        self.most = 0
        self.seen: list[Invocation] = []

    async def echo(self, invocation: Invocation) -> Outcome:
        return Outcome(invocation.payload)

    def room(self, key: FunctionKey) -> int | None:
        return None if self.limit is None else self.limit - self.running

    async def resolve(self, key: FunctionKey, qualifier: str | None) -> FunctionVersion | None:
        if self.state is not State.ACTIVE:
            raise NotReadyError(self.state)
        return self.versions.get((key, qualifier or "$LATEST"))

    async def invoke(
        self, version: FunctionVersion, invocation: Invocation, *, want_tail: bool, synchronous: bool
    ) -> Outcome:
        assert not synchronous
        assert self.limit is not None
        if self.running >= self.limit:
            raise BusyError(Throttle.FUNCTION)
        self.running += 1
        self.most = max(self.most, self.running)
        self.seen.append(invocation)
        try:
            return await self.script(invocation)
        finally:
            self.running -= 1


class Node:
    """A dispatcher with everything around it."""

    def __init__(self, queue: Queue | None = None, *, concurrency: int = 8, scale: float = 0.001) -> None:
        self.queue = queue or Queue()
        self.functions = Functions()
        self.destinations = MemoryDestinations()
        self.dispatcher = Dispatcher(
            self.queue, self.functions, self.destinations, RealClock(), concurrency=concurrency, scale=scale
        )
        self.accepted = 0

    async def accept(self, key: FunctionKey = F, qualifier: str | None = None, **members: Any) -> AcceptedEvent:
        self.accepted += 1
        request_id = f"00000000-0000-4000-8000-{self.accepted:012d}"
        event = AcceptedEvent(request_id, key, qualifier, time.time(), b'{"n": %d}' % self.accepted)
        event = replace(event, **members)
        await self.dispatcher.accept(event)
        return event

    async def wait(self, predicate: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN_S), self.queue.changed:
            await self.queue.changed.wait_for(predicate)

    async def finished(self, event: AcceptedEvent) -> EventRecord:
        records = self.queue.records
        await self.wait(lambda: records[event.request_id].progress.stage in FINISHED)
        return records[event.request_id]

    def results(self, event: AcceptedEvent) -> list[str]:
        return [step.result for step in self.queue.records[event.request_id].steps]


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    made = Node()
    await made.dispatcher.load({})
    made.dispatcher.start()
    yield made
    await made.dispatcher.close(grace_s=0)


async def fails(invocation: Invocation) -> Outcome:
    return FAILURE


async def test_an_event_is_run(node: Node) -> None:
    event = await node.accept(content_type="text/plain", trace_id="Root=1", client_context="{}", tenant_id="blue")
    record = await node.finished(event)
    assert (record.progress.stage, record.progress.attempts) == (Stage.SUCCEEDED, 1)
    assert node.results(event) == ["succeeded"]
    assert node.functions.seen == [
        Invocation(event.request_id, b'{"n": 1}', "text/plain", F.arn(), "Root=1", "{}", "blue"),
    ]


async def test_it_is_begun_in_the_store_before_the_function_gets_it(node: Node) -> None:
    async def script(invocation: Invocation) -> Outcome:
        record = node.queue.records[invocation.request_id]
        assert (record.progress.stage, record.steps[-1].result) == (Stage.RUNNING, "running")
        return Outcome(b"null")

    node.functions.script = script
    assert (await node.finished(await node.accept())).progress.stage is Stage.SUCCEEDED


async def test_errors_are_tried_again_with_the_same_request_id(node: Node) -> None:
    node.functions.script = fails
    event = await node.accept()
    record = await node.finished(event)
    assert (record.progress.stage, record.progress.condition) == (Stage.FAILED, Condition.RETRIES_EXHAUSTED)
    assert [one.request_id for one in node.functions.seen] == [event.request_id] * 3
    assert [(step.result, step.detail) for step in record.steps] == [("function error", "it broke")] * 3
    pauses = [after.began_s - before.began_s for before, after in zip(record.steps, record.steps[1:], strict=False)]
    assert pauses[0] >= 0.06
    assert pauses[1] >= 0.12


async def test_what_is_configured_counts(node: Node) -> None:
    node.functions.script = fails
    node.dispatcher.event_config_changed(F, "$LATEST", {"MaximumRetryAttempts": 0})
    assert (await node.finished(await node.accept())).progress.attempts == 1
    node.functions.versions[F, "1"] = version(F, "1")
    assert (await node.finished(await node.accept(qualifier="1"))).progress.attempts == 3  # another qualifier
    node.dispatcher.event_config_changed(F, "$LATEST", None)
    assert (await node.finished(await node.accept())).progress.attempts == 3


async def test_what_a_qualifier_means_is_looked_up_at_each_attempt(node: Node) -> None:
    node.functions.versions[F, "live"] = version(F, "1")

    async def moves(invocation: Invocation) -> Outcome:
        node.functions.versions[F, "live"] = version(F, "2")
        return FAILURE if len(node.functions.seen) == 1 else Outcome(b"1")

    node.functions.script = moves
    record = await node.finished(await node.accept(qualifier="live"))
    assert record.response is not None
    assert (record.response.executed_version, record.progress.attempts) == ("2", 2)


async def test_refusals_are_no_attempts(node: Node) -> None:
    answers = iter([BusyError(Throttle.ACCOUNT), EnvironmentFailedError("no sandbox"), None])

    async def script(invocation: Invocation) -> Outcome:
        error = next(answers)
        if error is not None:
            raise error
        return Outcome(b"1")

    node.functions.script = script
    event = await node.accept()
    assert (await node.finished(event)).progress.attempts == 1
    assert node.results(event) == ["throttled", "fault", "succeeded"]


async def test_a_function_that_is_not_ready_is_waited_for(node: Node) -> None:
    node.functions.state = State.PENDING
    event = await node.accept()
    await node.wait(lambda: len(node.results(event)) >= 2)
    node.functions.state = State.ACTIVE
    assert (await node.finished(event)).progress.stage is Stage.SUCCEEDED
    assert set(node.results(event)) == {"throttled", "succeeded"}


async def test_too_old(node: Node) -> None:
    node.dispatcher.event_config_changed(
        F, "$LATEST", {"MaximumEventAgeInSeconds": 60, "DestinationConfig": {"OnFailure": {"Destination": QUEUE}}}
    )
    node.functions.state = State.PENDING
    record = await node.finished(await node.accept())
    assert (record.progress.condition, record.progress.attempts) == (Condition.AGE_EXCEEDED, 0)
    assert node.functions.seen == []
    assert [one.target_arn for one in node.destinations.sent] == [QUEUE]


async def test_too_old_without_concurrency(node: Node) -> None:
    """Nobody tries to run it meanwhile, and yet its time runs out."""
    node.functions.limit = 0
    node.dispatcher.event_config_changed(F, "$LATEST", {"MaximumEventAgeInSeconds": 60})
    event = await node.accept()
    assert (await node.finished(event)).progress.condition is Condition.AGE_EXCEEDED
    assert node.results(event) == []


async def test_no_concurrency_ever(node: Node) -> None:
    node.functions.limit = None
    node.functions.versions[F, "$LATEST"] = version(F, DeadLetterConfig={"TargetArn": DLQ})
    event = await node.accept()
    assert (await node.finished(event)).progress.condition is Condition.ZERO_CONCURRENCY
    (told,) = node.destinations.sent
    assert (told.target_arn, told.body) == (DLQ, event.payload)


@pytest.mark.parametrize("limit", [1, 3])
async def test_no_more_at_once_than_a_function_has_room_for(node: Node, limit: int) -> None:
    """And none is even tried, so none is refused and has to wait for it."""
    node.functions.limit = limit
    full = asyncio.Event()

    async def script(invocation: Invocation) -> Outcome:
        if node.functions.running == limit:
            full.set()
        await full.wait()
        return Outcome(b"1")

    node.functions.script = script
    events = [await node.accept() for _ in range(30)]
    for event in events:
        await node.finished(event)
        assert node.results(event) == ["succeeded"]
    assert node.functions.most == limit


async def test_events_are_begun_in_the_order_of_their_acceptance() -> None:
    node = Node(concurrency=1)
    await node.dispatcher.load({})
    node.dispatcher.start()
    events = [await node.accept() for _ in range(10)]
    await node.finished(events[-1])
    assert [one.request_id for one in node.functions.seen] == [one.request_id for one in events]
    await node.dispatcher.close(grace_s=0)


async def test_functions_do_not_wait_for_each_other(node: Node) -> None:
    blocked = asyncio.Event()

    async def script(invocation: Invocation) -> Outcome:
        if invocation.function_arn.endswith(":f"):
            await blocked.wait()
        return Outcome(b"1")

    node.functions.script = script
    slow = [await node.accept(F) for _ in range(50)]
    await node.finished(await node.accept(G))
    assert node.functions.running == 8  # of f, and no more
    blocked.set()
    for event in slow:
        await node.finished(event)


async def test_destinations_are_told(node: Node) -> None:
    destinations = {"OnSuccess": {"Destination": QUEUE}, "OnFailure": {"Destination": DLQ}}
    node.dispatcher.event_config_changed(F, "$LATEST", {"DestinationConfig": destinations, "MaximumRetryAttempts": 0})
    event = await node.accept()
    assert (await node.finished(event)).progress.stage is Stage.SUCCEEDED
    node.functions.script = fails
    await node.finished(await node.accept())
    told = [(one.target_arn, one.succeeded, json.loads(one.body)["requestPayload"]) for one in node.destinations.sent]
    assert told == [(QUEUE, True, {"n": 1}), (DLQ, False, {"n": 2})]
    assert node.results(event) == ["succeeded", "delivered"]


async def test_the_outcome_is_stored_before_anybody_is_told(node: Node) -> None:
    node.dispatcher.event_config_changed(F, "$LATEST", {"DestinationConfig": {"OnSuccess": {"Destination": QUEUE}}})
    await node.finished(await node.accept())
    assert [one.progress.stage for one in node.queue.saved] == [Stage.RUNNING, Stage.DELIVERING, Stage.SUCCEEDED]
    assert node.queue.saved[1].response is not None


async def test_destinations_that_take_nothing_are_tried_again(node: Node) -> None:
    node.destinations.refusing.add(QUEUE)
    node.functions.versions[F, "$LATEST"] = version(F, DeadLetterConfig={"TargetArn": DLQ})
    node.functions.script = fails
    config = {"DestinationConfig": {"OnFailure": {"Destination": QUEUE}}, "MaximumRetryAttempts": 0}
    node.dispatcher.event_config_changed(F, "$LATEST", config)
    event = await node.accept()
    await node.wait(lambda: node.results(event).count("refused") >= 3)
    node.destinations.refusing.clear()
    assert (await node.finished(event)).progress.stage is Stage.FAILED
    assert [one.target_arn for one in node.destinations.sent] == [DLQ, QUEUE]  # each once


async def test_a_record_that_is_too_large_is_not_sent_again(node: Node) -> None:
    node.destinations.largest_bytes = 10
    node.dispatcher.event_config_changed(F, "$LATEST", {"DestinationConfig": {"OnSuccess": {"Destination": QUEUE}}})
    event = await node.accept()
    assert (await node.finished(event)).progress.stage is Stage.UNDELIVERED
    assert node.results(event).count("refused") == 1


async def test_what_cannot_be_delivered_is_kept_and_said(caplog: pytest.LogCaptureFixture) -> None:
    node = Node(scale=0.00001)
    node.destinations.refusing.add(QUEUE)
    node.dispatcher.event_config_changed(F, "$LATEST", {"DestinationConfig": {"OnSuccess": {"Destination": QUEUE}}})
    node.dispatcher.start()
    event = await node.accept()
    with caplog.at_level(logging.ERROR):
        record = await node.finished(event)
        await node.dispatcher.close(grace_s=WITHIN_S)
    assert record.progress.stage is Stage.UNDELIVERED
    assert record.event.payload == event.payload
    assert QUEUE in caplog.text


async def test_another_function_is_told(node: Node) -> None:
    node.dispatcher.event_config_changed(F, "$LATEST", {"DestinationConfig": {"OnSuccess": {"Destination": G.arn()}}})
    await node.finished(await node.accept())
    await node.wait(lambda: len(node.queue.records) == 2)
    (told,) = [one for one in node.queue.records.values() if one.event.key == G]
    await node.finished(told.event)
    document = json.loads(node.functions.seen[1].payload)
    assert document["requestContext"]["condition"] == "Success"
    assert node.functions.seen[1].request_id != node.functions.seen[0].request_id


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:lambda:us-east-1:000000000000:function:none",
        "arn:aws:lambda:us-east-1:999999999999:function:g",
        "arn:aws:lambda:eu-west-1:000000000000:function:g",
    ],
)
async def test_a_function_that_is_not_there_is_a_failed_delivery(node: Node, arn: str) -> None:
    node.dispatcher.event_config_changed(F, "$LATEST", {"DestinationConfig": {"OnSuccess": {"Destination": arn}}})
    event = await node.accept()
    await node.wait(lambda: "refused" in node.results(event))


async def test_a_deleted_function_takes_its_events_along(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    node.functions.limit = 0
    events = [await node.accept() for _ in range(5)]
    del node.functions.versions[F, "$LATEST"]
    with caplog.at_level(logging.WARNING):
        node.dispatcher.function_deleted(F, None)
        for event in events:
            assert (await node.finished(event)).progress.stage is Stage.DROPPED
    node.functions.limit = 10
    node.functions.versions[F, "$LATEST"] = version(F)  # one of the same name
    later = await node.accept()
    await node.finished(later)
    assert [one.request_id for one in node.functions.seen] == [later.request_id]
    assert "5 events that it had not run are dropped" in caplog.text


async def test_a_version_that_is_gone(node: Node) -> None:
    assert (await node.finished(await node.accept(qualifier="7"))).progress.stage is Stage.DROPPED


async def test_what_an_earlier_server_left(node: Node) -> None:
    """Of what it was running nobody knows whether it was done: it is run again, and that shows."""
    hanging = asyncio.Event()

    async def hangs(invocation: Invocation) -> Outcome:
        await hanging.wait()
        return FAILURE

    first = Node(node.queue)
    first.functions.script = hangs
    first.functions.limit = 2
    first.dispatcher.start()
    events = [await first.accept() for _ in range(5)]
    await node.wait(lambda: sum(one.progress.stage is Stage.RUNNING for one in node.queue.records.values()) == 2)
    await first.dispatcher.close(grace_s=0)

    second = Node(node.queue)
    await second.dispatcher.load({})
    assert second.functions.seen == []
    second.dispatcher.start()
    for event in events:
        assert (await second.finished(event)).progress.attempts == 1
    results = [second.results(event) for event in events]
    assert sorted(results) == [["interrupted", "succeeded"]] * 2 + [["succeeded"]] * 3
    await second.dispatcher.close(grace_s=0)


async def test_deliveries_that_an_earlier_server_left(node: Node) -> None:
    node.destinations.refusing.add(QUEUE)
    config = {"DestinationConfig": {"OnSuccess": {"Destination": QUEUE}}}
    node.dispatcher.event_config_changed(F, "$LATEST", config)
    event = await node.accept()
    await node.wait(lambda: "refused" in node.results(event))
    await node.dispatcher.close(grace_s=0)

    second = Node(node.queue)
    await second.dispatcher.load({})
    second.dispatcher.start()
    assert (await second.finished(event)).progress.stage is Stage.SUCCEEDED
    assert [one.target_arn for one in second.destinations.sent] == [QUEUE]
    assert second.functions.seen == []
    await second.dispatcher.close(grace_s=0)


async def test_stopping_lets_what_runs_end(node: Node) -> None:
    go = asyncio.Event()

    async def waits(invocation: Invocation) -> Outcome:
        await go.wait()
        return Outcome(b"1")

    node.functions.script = waits
    running = await node.accept()
    await node.wait(lambda: node.functions.running == 1 or node.queue.records[running.request_id].steps != ())
    node.dispatcher.stop()
    waiting = await node.accept()  # from a function that runs, say
    go.set()
    await node.dispatcher.close(grace_s=WITHIN_S)
    stages = [node.queue.records[event.request_id].progress.stage for event in (running, waiting)]
    assert stages == [Stage.SUCCEEDED, Stage.WAITING]


async def test_a_store_that_fails_is_tried_again(
    node: Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("lamella.invoke.dispatcher._RETRY_STORE_S", 0.01)
    node.queue.broken = 2
    event = await node.accept()
    assert (await node.finished(event)).progress.stage is Stage.SUCCEEDED
    assert "could not be worked on" in caplog.text
    assert "the disk is full" in caplog.text


async def test_what_is_not_stored_is_not_run(node: Node) -> None:
    async def put(event: AcceptedEvent) -> None:
        raise UnavailableError("the disk is full")

    node.queue.put = put  # type: ignore[method-assign]  # this once
    with pytest.raises(UnavailableError):
        await node.accept()
    assert node.functions.seen == []


async def test_payloads_that_there_was_no_room_for_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lamella.invoke.dispatcher._REMEMBERED_BYTES", 3000)
    node = Node(concurrency=1)
    node.dispatcher.start()
    events = [await node.accept(payload=b'"%d"' % number * 300) for number in range(10)]
    for event in events:
        await node.finished(event)
    assert {one.payload for one in node.functions.seen} == {event.payload for event in events}
    await node.dispatcher.close(grace_s=0)


def test_a_new_record_waits() -> None:
    event = AcceptedEvent("1", F, None, 5.0, b"")
    assert (accepted(event).progress.stage, accepted(event).progress.due_s) == (Stage.WAITING, 5.0)
