"""Pollers of streams, with a stream in memory."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from tests.support.pollers import PATIENCE_S, Function, HastyClock, MemoryStream

from lamella.domain.invocation import Outcome
from lamella.domain.mapping import EventSourceMapping
from lamella.domain.stream import Shard
from lamella.invoke import stream_reader
from lamella.invoke.stream_poller import StreamPoller
from lamella.invoke.stream_sources import Position
from lamella.invoke.tasks import Tasks
from lamella.ports.aws import AwsError
from lamella.ports.checkpoints import ALL_SHARDS
from lamella.ports.errors import UnavailableError
from lamella.testing.queue import MemoryDestinations
from lamella.testing.records import MemoryCheckpointStore

QUEUE = "arn:aws:sqs:eu-west-1:111122223333:lost"
MAPPING = EventSourceMapping(
    uuid="u",
    account="111122223333",
    region="eu-west-1",
    source_arn="arn:aws:kinesis:eu-west-1:111122223333:stream/s",
    function_arn="arn:aws:lambda:eu-west-1:111122223333:function:f",
    batch_size=2,
    window_s=0,
    enabled=True,
    state="Enabled",
    modified_at=0.0,
    start="TRIM_HORIZON",
)
FAILED = Outcome(b"{}", "Unhandled")


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """After an error of the stream or the store, go on at once."""
    monkeypatch.setattr(stream_reader, "PAUSE_S", 0.0)


class Place:
    """A stream, a function and what is kept; pollers come and go."""

    def __init__(self, *shards: Shard, store: MemoryCheckpointStore | None = None) -> None:
        self.stream = MemoryStream(*(shards or (Shard("a"),)))
        self.function = Function()
        self.checkpoints = store or MemoryCheckpointStore()
        self.destinations = MemoryDestinations()
        self.results: list[str] = []
        self.poller: StreamPoller | None = None

    @asynccontextmanager
    async def polling(self, **changes: Any) -> AsyncIterator[Function]:
        """A poller that is stopped in the end, and has ended well."""
        tasks = Tasks()
        self.poller = StreamPoller(
            replace(MAPPING, **changes),
            self.stream,
            self.function,
            self.destinations,
            self.checkpoints,
            HastyClock(),
            tasks,
            report=self.results.append,
        )
        await self.poller.prepare()
        running = asyncio.create_task(self.poller.run())
        try:
            yield self.function
        finally:
            self.poller.stop()
            async with asyncio.timeout(PATIENCE_S):
                await running
                await tasks.wait_idle()

    async def sequence(self, shard: str = "a") -> str:
        return str((await self.checkpoints.load("u"))[shard]["sequence"])

    async def wait(self, condition: Callable[[], Any]) -> None:
        """Until it holds; what a task has stored has no event."""
        async with asyncio.timeout(PATIENCE_S):
            while not await condition():  # noqa: ASYNC110 - see above
                await asyncio.sleep(0.001)

    async def wait_sequence(self, sequence: str, shard: str = "a") -> None:
        async def reached() -> bool:
            return await self.sequence(shard) == sequence

        await self.wait(reached)


async def test_records_come_in_batches_and_the_next_poller_goes_on_behind_them() -> None:
    place = Place()
    place.stream.put("a", "1", "2", "3")
    async with place.polling() as function:
        assert await function.take(2) == [["1", "2"], ["3"]]
        await place.wait_sequence("3")
    place.stream.put("a", "4")
    async with place.polling() as function:
        assert await function.take(1) == [["4"]]
    assert place.results[-1] == "OK"
    assert (await place.checkpoints.load("u"))[ALL_SHARDS]["result"] == "OK"


async def test_latest_is_what_comes_after_the_beginning_even_for_a_poller_that_comes_later() -> None:
    place = Place()
    place.stream.put("a", "before", arrived_s=0.0)
    async with place.polling(start="LATEST"):
        pass  # it ends before anything came
    place.stream.put("a", "between", arrived_s=4e9)
    async with place.polling(start="LATEST") as function:
        assert await function.take(1) == [["between"]]
    kinds = [position.kind for _, position in place.stream.opened]
    assert kinds == ["LATEST", "AT_TIMESTAMP"]


async def test_from_a_time_on_records_of_a_source_that_begins_earlier_are_skipped() -> None:
    place = Place()
    place.stream.put("a", "old", arrived_s=5.0)
    place.stream.put("a", "new", arrived_s=10.0)

    async def from_the_beginning(shard: str, position: Position) -> str:
        place.stream.opened.append((shard, position))
        return "0"

    place.stream.open = from_the_beginning  # type: ignore[method-assign]  # as DynamoDB does
    async with place.polling(start="AT_TIMESTAMP", start_at=10.0) as function:
        assert await function.take(1) == [["new"]]
    assert place.stream.opened == [("a", Position("AT_TIMESTAMP", at_s=10.0))]


async def test_children_wait_for_what_their_parent_has_with_the_function() -> None:
    place = Place()
    gate = place.function.gates["2"] = asyncio.Event()
    async with place.polling() as function:
        place.stream.put("a", "1", "2", "3")
        place.stream.close("a", "b", "c")
        place.stream.put("b", "4")
        place.stream.put("c", "5")
        assert await function.take(1) == [["1", "2"]]
        for _ in range(100):
            await asyncio.sleep(0)
        assert function.events.empty()
        gate.set()
        assert await function.take(1) == [["3"]]
        assert sorted(await function.take(2)) == [["4"], ["5"]]
    documents = await place.checkpoints.load("u")
    assert documents["a"] == {"start": "TRIM_HORIZON", "sequence": "3", "over": True}
    place.stream.put("b", "6")
    async with place.polling() as function:
        assert await function.take(1) == [["6"]]


async def test_from_the_latest_on_children_that_come_later_are_read_from_their_beginning() -> None:
    place = Place()
    async with place.polling(start="LATEST") as function:
        place.stream.close("a", "b")
        place.stream.put("b", "1")
        assert await function.take(1) == [["1"]]


async def test_lanes_run_at_once_and_keys_keep_their_order() -> None:
    place = Place()
    gate = place.function.gates["1"] = asyncio.Event()
    for number in range(1, 7):
        place.stream.put("a", str(number), key="odd" if number % 2 else "evn")
    async with place.polling(lanes=10, batch_size=1) as function:
        assert sorted(await function.take(4)) == [["1"], ["2"], ["4"], ["6"]]
        assert await place.sequence() == ""  # 1 is open, so nothing may be forgotten
        gate.set()
        assert await function.take(2) == [["3"], ["5"]]
        await place.wait_sequence("6")


async def test_what_was_done_behind_an_open_record_comes_again() -> None:
    """At least once: the server dies while the first record is with the function."""
    place = Place()
    place.function.gates["1"] = asyncio.Event()
    place.stream.put("a", "1", key="odd")
    place.stream.put("a", "2", key="evn")
    tasks = Tasks()
    poller = StreamPoller(
        replace(MAPPING, lanes=10),
        place.stream,
        place.function,
        place.destinations,
        place.checkpoints,
        HastyClock(),
        tasks,
        report=place.results.append,
    )
    tasks.start(poller.run(), name="a poller that dies")
    assert sorted(await place.function.take(2)) == [["1"], ["2"]]
    await tasks.close()
    place.function.gates.clear()
    async with place.polling(lanes=10) as function:
        assert sorted(await function.take(2)) == [["1"], ["2"]]


async def test_a_poller_that_is_stopped_waits_for_the_function_and_begins_nothing() -> None:
    place = Place()
    gate = place.function.gates["1"] = asyncio.Event()
    place.stream.put("a", "1", "2", "3")
    async with place.polling() as function:
        await function.take(1)
        assert place.poller is not None
        place.poller.stop()
        gate.set()
    assert function.events.empty()
    assert await place.sequence() == "2"


@pytest.mark.parametrize("gone", [False, True])
async def test_what_the_function_never_saw_comes_again_and_is_no_attempt(gone: bool) -> None:
    place = Place()
    place.function.gone = gone
    place.function.answers = [] if gone else [None, None]
    place.stream.put("a", "1")
    async with place.polling(retries=0) as function:
        if gone:
            await place.wait(lambda: asyncio.sleep(0, place.results))
            function.gone = False
            assert await function.take(1) == [["1"]]
        else:
            assert await function.take(3) == [["1"]] * 3
        await place.wait_sequence("1")
    assert place.results[0] == "PROBLEM: Function call failed"
    assert place.results[-1] == "OK"
    assert place.destinations.sent == []


async def test_records_that_are_given_up_are_told_and_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    place = Place()
    place.function.answers = [FAILED, FAILED]
    place.stream.put("a", "1", "2", "3")
    async with place.polling(retries=1, on_failure=QUEUE) as function:
        assert await function.take(3) == [["1", "2"], ["1", "2"], ["3"]]
        await place.wait_sequence("3")
    (told,) = place.destinations.sent
    assert (told.target_arn, told.key.name) == (QUEUE, "f")
    assert b'"startSequenceNumber":"1","endSequenceNumber":"2"' in told.body
    assert "are given up, 1 to 2 (2), for arn:aws:lambda:" in caplog.text


async def test_a_destination_that_takes_nothing_does_not_stop_the_stream() -> None:
    place = Place()
    place.destinations.refusing.add(QUEUE)
    place.function.answers = [FAILED]
    place.stream.put("a", "1", "2", "3")
    async with place.polling(retries=0, on_failure=QUEUE) as function:
        assert await function.take(2) == [["1", "2"], ["3"]]
        await place.wait_sequence("3")


async def test_only_what_a_filter_lets_through_comes_and_the_rest_is_left_behind() -> None:
    place = Place()
    place.stream.put("a", "1", "2", "3")
    async with place.polling(patterns=('{"data": ["2"]}',)) as function:
        assert await function.take(1) == [["2"]]
        await place.wait_sequence("3")


async def test_what_is_left_out_behind_a_record_that_is_not_done_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a function that hangs on one record would have the server remember the whole stream behind it."""
    monkeypatch.setattr(stream_reader, "_OPEN_MOST", 0)
    place = Place()
    place.stream.put("a", "wanted")
    place.stream.put("a", *(f"other {number}" for number in range(2000)))
    place.stream.put("a", "wanted too")
    place.function.gates["wanted"] = asyncio.Event()
    async with place.polling(batch_size=1, patterns=('{"data": [{"prefix": "wanted"}]}',)) as function:
        assert await function.take(1) == [["wanted"]]
        for _ in range(100):
            await asyncio.sleep(0)
        assert place.stream.last_read < 1000
        place.function.gates["wanted"].set()
        assert await function.take(1) == [["wanted too"]]
        await place.wait_sequence("wanted too")


@pytest.mark.parametrize("code", ["ExpiredIteratorException", "InternalFailure"])
async def test_after_an_error_of_the_stream_reading_goes_on_where_it_was(code: str) -> None:
    place = Place()
    async with place.polling() as function:
        place.stream.put("a", "1", "2")
        assert await function.take(1) == [["1", "2"]]
        place.stream.troubles.append(AwsError(code, "as asked"))
        place.stream.put("a", "3")
        assert await function.take(1) == [["3"]]
    assert place.stream.opened[-1] == ("a", Position("AFTER_SEQUENCE_NUMBER", "2"))
    assert (f"PROBLEM: {code}: as asked" in place.results) == (code == "InternalFailure")


async def test_records_that_were_trimmed_before_they_were_read_are_gone() -> None:
    place = Place()
    await place.checkpoints.save(
        "u",
        {
            ALL_SHARDS: {"created": "1", "began_s": 0.0, "result": "OK"},
            "a": {"start": "TRIM_HORIZON", "sequence": "1", "over": False},
        },
    )
    place.stream.put("a", "1", "7")
    place.stream.troubles.append(AwsError("TrimmedDataAccessException", "too late"))
    async with place.polling(batch_size=1) as function:
        assert await function.take(2) == [["1"], ["7"]]  # a stream that still had it would give it


async def test_a_stream_that_was_made_anew_is_read_from_its_beginning() -> None:
    place = Place()
    place.stream.put("a", "1", "2")
    async with place.polling(start="TRIM_HORIZON") as function:
        await function.take(1)
        await place.wait_sequence("2")
    place.stream.created = "2"
    place.stream.records["a"] = []
    place.stream.put("a", "x")
    async with place.polling(start="LATEST") as function:
        assert await function.take(1) == [["x"]]


async def test_shards_that_are_not_listed_any_more_are_forgotten() -> None:
    place = Place(Shard("a"), Shard("b"))
    async with place.polling():
        pass
    del place.stream.shards["b"]
    async with place.polling():
        assert set(await place.checkpoints.load("u")) == {ALL_SHARDS, "a"}


async def test_a_store_that_is_away_is_waited_for() -> None:
    class Flaky(MemoryCheckpointStore):
        refusals = 0

        async def save(self, mapping: str, documents: Any) -> None:
            if self.refusals and "a" in documents:
                self.refusals -= 1
                raise UnavailableError("away")
            await super().save(mapping, documents)

    store = Flaky()
    place = Place(store=store)
    async with place.polling() as function:
        store.refusals = 3
        place.stream.put("a", "1")
        await function.take(1)
        await place.wait_sequence("1")
    assert store.refusals == 0


def state(*texts: str) -> Outcome:
    return Outcome(json.dumps({"state": list(texts)}).encode())


def windows(function: Function) -> list[tuple[list[str], Any, bool, bool]]:
    """Of each event: texts, state, and whether it is the last of its window, or ends it early."""
    return [
        (
            [record["text"] for record in event["Records"]],
            event["state"],
            event["isFinalInvokeForWindow"],
            event["isWindowTerminatedEarly"],
        )
        for event in function.whole
    ]


async def test_a_window_has_a_state_until_a_record_of_a_later_one_comes() -> None:
    place = Place()
    place.function.answers = [state("1", "2"), state("1", "2", "3"), Outcome(b"null"), state("4")]
    place.stream.put("a", "1", "2", arrived_s=2_000_000_040.0)
    place.stream.put("a", "3", arrived_s=2_000_000_069.0)
    place.stream.put("a", "4", arrived_s=2_000_000_070.0)
    async with place.polling(tumbling_s=30) as function:
        await function.take(4)
        await place.wait_sequence("4")
    assert windows(function) == [
        (["1", "2"], {}, False, False),
        (["3"], ["1", "2"], False, False),
        ([], ["1", "2", "3"], True, False),
        (["4"], {}, False, False),
    ]
    first = function.whole[0]
    assert {name: first[name] for name in ("window", "shardId", "eventSourceARN")} == {
        "window": {"start": "2033-05-18T03:34:00Z", "end": "2033-05-18T03:34:30Z"},
        "shardId": "a",
        "eventSourceARN": MAPPING.source_arn,
    }


async def test_an_open_window_is_gone_on_with_after_a_restart() -> None:
    place = Place()
    place.function.answers = [state("1"), state("1", "2")]
    place.stream.put("a", "1", arrived_s=2_000_000_040.0)
    async with place.polling(tumbling_s=30) as function:
        await function.take(1)
        await place.wait_sequence("1")
    place.stream.put("a", "2", arrived_s=2_000_000_041.0)
    async with place.polling(tumbling_s=30) as function:
        await function.take(1)
    assert windows(function)[1] == (["2"], ["1"], False, False)


async def test_a_window_is_over_two_minutes_after_its_end_and_with_its_shard() -> None:
    place = Place()
    place.function.answers = [state("1"), FAILED, None, Outcome(b"null"), state("2")]
    place.stream.put("a", "1", arrived_s=0.0)  # long ago
    async with place.polling(tumbling_s=30) as function:
        await function.take(4)  # the last call of a window is made until it succeeds
        place.stream.put("a", "2", arrived_s=2_000_000_040.0)
        place.stream.close("a")
        await function.take(2)
    assert windows(function) == [
        (["1"], {}, False, False),
        *([([], ["1"], True, False)] * 3),
        (["2"], {}, False, False),
        ([], ["2"], True, False),
    ]


async def test_a_shard_is_not_over_before_its_last_window_is() -> None:
    place = Place()
    place.function.answers = [state("1"), *[FAILED] * 1000]
    place.stream.put("a", "1", arrived_s=2_000_000_040.0)
    place.stream.close("a", "b")
    place.stream.put("b", "2", arrived_s=2_000_000_040.0)
    async with place.polling(tumbling_s=30) as function:
        await function.take(2)
    place.function.answers = [Outcome(b"null"), state("2")]
    function.whole.clear()
    async with place.polling(tumbling_s=30) as function:
        await place.wait_sequence("2", "b")
    assert windows(function)[:2] == [([], ["1"], True, False), (["2"], {}, False, False)]


async def test_an_answer_without_a_state_is_a_failure() -> None:
    place = Place()
    place.function.answers = [Outcome(b"{}"), Outcome(b"null"), Outcome(b'{"state": [NaN]}'), state("1")]
    place.stream.put("a", "1", arrived_s=2_000_000_040.0)
    async with place.polling(tumbling_s=30) as function:
        assert await function.take(4) == [["1"]] * 4
        await place.wait_sequence("1")
    assert [one[1] for one in windows(function)] == [{}] * 4


async def test_of_a_partial_failure_the_state_is_kept_if_it_goes_on() -> None:
    place = Place()
    failure = {"state": ["1"], "batchItemFailures": [{"itemIdentifier": "2"}]}
    place.function.answers = [Outcome(json.dumps(failure).encode())] * 2 + [state("1", "2")]
    place.stream.put("a", "1", "2", arrived_s=2_000_000_040.0)
    async with place.polling(tumbling_s=30, partial_failures=True) as function:
        assert await function.take(3) == [["1", "2"], ["2"], ["2"]]
        await place.wait_sequence("2")
    assert [one[1] for one in windows(function)] == [{}, ["1"], ["1"]]


async def test_a_state_that_grows_too_large_ends_its_window_early() -> None:
    place = Place()
    large = "x" * 1_000_000
    place.function.answers = [state(large), Outcome(b"null"), state("2")]
    place.stream.put("a", "1", "2", "3", arrived_s=2_000_000_040.0)
    async with place.polling(tumbling_s=30) as function:
        await function.take(3)
        await place.wait_sequence("3")
    assert windows(function) == [
        (["1", "2"], {}, False, False),
        ([], [large], False, True),
        (["3"], {}, False, False),
    ]


async def test_a_window_gathers_records_until_a_batch_is_full() -> None:
    place = Place()
    async with place.polling(window_s=300, batch_size=3) as function:
        place.stream.put("a", "1")
        place.stream.put("a", "2")
        await asyncio.sleep(0.01)  # it is seen that nothing comes; a shorter wait can only let the test pass
        assert function.events.empty()
        place.stream.put("a", "3", "4")
        assert await function.take(1) == [["1", "2", "3"]]
    assert function.events.empty()
