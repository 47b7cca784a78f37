"""What the flight recorder keeps, cuts, lets go of and writes."""

from collections.abc import Sequence

import pytest
from tests.support.recording import ENVIRONMENT, KEY, Driven

from lamella.invoke import recorder as module
from lamella.invoke.recorder import (
    BUSY_BYTES,
    IDLE_BYTES,
    KEPT_BYTES,
    NEWEST_ENTRIES,
    FlightRecorder,
)
from lamella.invoke.timeline import AbridgedBytes, Record
from lamella.lifecycle.events import (
    DeadlinePassed,
    ErrorPosted,
    Event,
    InitRequested,
    InvocationAssigned,
    NextPolled,
    ProcessesGone,
    ResponsePosted,
    ResponseRefused,
    RuntimeExited,
    ShutdownRequested,
)


class Told:
    """A watcher that remembers what it was told."""

    def __init__(self) -> None:
        self.heavies: list[FlightRecorder] = []
        self.failures: list[Record] = []
        self.ends = 0

    def heavy(self, recorder: FlightRecorder) -> None:
        self.heavies.append(recorder)

    def failed(self, recorder: FlightRecorder) -> None:
        self.failures.append(recorder.record(now_s=0.0, wall_s=0.0))

    def ended(self, recorder: FlightRecorder) -> None:
        assert recorder.has_ended
        self.ends += 1


def payloads(recorder: FlightRecorder) -> list[bytes]:
    entries = recorder.record(now_s=0.0, wall_s=0.0).entries
    return [event.invocation.payload for _, event, _ in entries if isinstance(event, InvocationAssigned)]


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def driven(told: Told) -> Driven:
    return Driven(FlightRecorder(ENVIRONMENT, KEY, "1", "stream", told))


def test_entries_are_kept_as_they_were_given(driven: Driven) -> None:
    recorder = driven.recorder
    recorder.mark(0.5, "sandbox.asked")
    commands: list[object] = []
    event = InitRequested()
    recorder.fed(0.6, event, commands)  # type: ignore[arg-type]  # any list will do
    record = recorder.record(now_s=2.0, wall_s=1002.0)
    assert [entry[0] for entry in record.entries] == [0.5, 0.6]
    assert record.entries[0][1:] == ("sandbox.asked", {})
    assert record.entries[1][1] is event
    assert record.entries[1][2] is commands
    assert record.gap is None


def test_the_number_of_entries_is_bounded_and_the_beginning_stays(driven: Driven) -> None:
    driven.feed(InitRequested(), NextPolled())
    ids = [driven.invoke() for _ in range(NEWEST_ENTRIES)]
    record = driven.recorder.record(now_s=0.0, wall_s=0.0)
    assert len(record.entries) == 5 + NEWEST_ENTRIES  # init and first invocation: 2 + 3
    assert isinstance(record.entries[0][1], InitRequested)
    assert record.gap == 5
    assert record.invocations == len(ids)
    shown = driven.recorder.request_ids()
    assert shown[0] == ids[0]
    assert shown[1:] == ids[-len(shown[1:]) :]


def test_a_runtime_that_polls_without_end_takes_no_more_room(driven: Driven) -> None:
    driven.feed(InitRequested(), NextPolled())
    driven.assign()
    driven.feed(*[NextPolled()] * 3 * NEWEST_ENTRIES)
    assert len(driven.recorder.record(now_s=0.0, wall_s=0.0).entries) == NEWEST_ENTRIES


def test_payloads_of_a_busy_environment_are_bounded_by_letting_go_of_whole_invocations(driven: Driven) -> None:
    driven.feed(InitRequested(), NextPolled())
    ids = [driven.invoke(bytes(50_000), bytes(50_000)) for _ in range(40)]
    assert BUSY_BYTES // 4 < driven.recorder.held_bytes <= BUSY_BYTES
    shown = driven.recorder.request_ids()
    assert shown[1:] == ids[-len(shown[1:]) :]
    assert not any(isinstance(payload, AbridgedBytes) for payload in payloads(driven.recorder)[1:])


def test_the_running_invocation_is_kept_whole_however_large(driven: Driven) -> None:
    driven.feed(InitRequested(), NextPolled())
    driven.invoke(bytes(6_000_000), bytes(6_000_000))
    driven.invoke(bytes(6_000_000), bytes(6_000_000))
    request_id = driven.assign(bytes(6_000_000))
    driven.feed(ResponsePosted(request_id, bytes(6_000_000)))
    assert not driven.recorder.shrink()
    first, second, running = payloads(driven.recorder)
    assert len(running) == 6_000_000
    assert len(first) == len(second) == KEPT_BYTES
    assert isinstance(second, AbridgedBytes)
    assert second.size_bytes == 6_000_000


def test_an_idle_environment_is_told_of_and_can_be_shrunk(driven: Driven, told: Told) -> None:
    driven.feed(InitRequested(), NextPolled())
    driven.invoke(bytes(6_000_000), bytes(6_000_000))
    assert told.heavies == [driven.recorder]
    assert driven.recorder.shrink()
    assert driven.recorder.held_bytes <= IDLE_BYTES
    driven.invoke(bytes(IDLE_BYTES), b"")
    assert told.heavies == [driven.recorder] * 2  # once for each time


def test_no_reference_to_a_payload_that_was_cut_is_left(driven: Driven) -> None:
    driven.feed(InitRequested(), NextPolled())
    driven.invoke(bytes(6_000_000), bytes(6_000_000))
    while not driven.recorder.shrink():
        pass
    entries = driven.recorder.record(now_s=0.0, wall_s=0.0).entries
    assert max(len(text) for text in module._texts(list(entries))) == KEPT_BYTES


def test_shrinking_goes_in_steps_until_little_is_held(driven: Driven) -> None:
    driven.feed(InitRequested(), NextPolled())
    for _ in range(40):
        driven.invoke(bytes(10_000), bytes(10_000))
    steps = 1
    while not driven.recorder.shrink():
        steps += 1
    assert steps > 1
    assert driven.recorder.held_bytes <= IDLE_BYTES
    cut = [isinstance(payload, AbridgedBytes) for payload in payloads(driven.recorder)]
    assert cut == sorted(cut, reverse=True)  # the oldest first
    assert not cut[-1]


def test_long_texts_of_marks_and_error_types_do_not_stay(driven: Driven) -> None:
    driven.recorder.mark(0.0, "refused", path="/" + "x" * 8000, status=404)
    detail = driven.recorder.record(now_s=0.0, wall_s=0.0).entries[0][2]
    assert isinstance(detail, dict)
    assert len(detail["path"]) == KEPT_BYTES + 1
    assert detail["status"] == 404
    driven.feed(InitRequested(), NextPolled())
    for _ in range(3):
        driven.feed(ErrorPosted(driven.assign(), b"{}", "Runtime." + "X" * 1_000_000), NextPolled())
    driven.assign()
    assert driven.recorder.held_bytes < BUSY_BYTES


@pytest.mark.parametrize(
    ("events", "failures"),
    [
        ([DeadlinePassed(), ProcessesGone()], 1),
        ([RuntimeExited("Runtime exited with error: exit status 1"), ProcessesGone()], 1),
        ([ResponseRefused("", "Function.ResponseSizeTooLarge", "too large"), NextPolled()], 1),
        ([ShutdownRequested()], 1),
        ([ErrorPosted("", b"{}", "Function.Bad"), NextPolled()], 0),
        ([ResponsePosted("", b"{}"), NextPolled(), ShutdownRequested()], 0),
    ],
)
def test_what_counts_as_a_failure(driven: Driven, told: Told, events: Sequence[Event], failures: int) -> None:
    driven.feed(InitRequested(), NextPolled())
    request_id = driven.assign(b"x" * 1_000_000)
    for event in events:
        if isinstance(event, ResponseRefused):
            event = ResponseRefused(request_id, event.error_type, event.message)
        elif isinstance(event, ErrorPosted):
            event = ErrorPosted(request_id, event.payload, event.error_type)
        elif isinstance(event, ResponsePosted):
            event = ResponsePosted(request_id, event.payload)
        assert told.failures == []  # only when all is over
        driven.feed(event)
    assert len(told.failures) == failures
    for record in told.failures:
        assert type(record.entries[-1][1]) is type(events[-1])
        assert any(
            isinstance(e, InvocationAssigned) and len(e.invocation.payload) == 1_000_000 for _, e, _ in record.entries
        )


def test_an_init_that_fails_is_a_failure(driven: Driven, told: Told) -> None:
    driven.feed(InitRequested(), RuntimeExited("Runtime exited with error: exit status 1"))
    assert told.failures == []
    driven.feed(ProcessesGone())
    assert len(told.failures) == 1


def test_the_end_reports_a_failure_that_waits(driven: Driven, told: Told) -> None:
    driven.feed(InitRequested(), DeadlinePassed())
    driven.recorder.ended()
    driven.recorder.ended()
    assert len(told.failures) == 1
    assert told.ends == 1
