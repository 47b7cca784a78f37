"""What becomes of a batch of records: every stage with every event, what AWS was seen to do, and random walks."""

import math
from collections.abc import Callable
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamella.lifecycle.stream_batches import (
    BACKOFF_MAX_S,
    TELL_TRIES,
    TRANSITIONS,
    Advance,
    BatchCommand,
    BatchEvent,
    BatchMachine,
    BatchPolicy,
    BatchTransitionError,
    Condition,
    Discard,
    Due,
    Failed,
    Invoke,
    NotTold,
    Refused,
    Stage,
    Succeeded,
    Told,
    backoff_s,
)

T0 = 1_800_000_000.0
EVENTS: tuple[BatchEvent, ...] = (Due(), Succeeded(), Failed(), Failed(2), Refused(), Told(), NotTold())
ENDLESS = BatchPolicy()


def batch(size: int = 4, policy: BatchPolicy = ENDLESS, *, ages_s: list[float] | None = None) -> BatchMachine:
    """Records that have just arrived, or so many seconds ago."""
    arrived_s = [T0 - age for age in (ages_s or [0.0] * size)]
    return BatchMachine(arrived_s, policy, now_s=T0)


def play(machine: BatchMachine, *events: BatchEvent) -> list[BatchCommand]:
    """Each event as soon as its time has come; what the last one commands."""
    commands: list[BatchCommand] = []
    for event in events:
        now_s = machine.deadline_s if isinstance(event, Due) and math.isfinite(machine.deadline_s) else T0
        commands = machine.receive(event, now_s=now_s)
    return commands


def at_stage(stage: Stage, policy: BatchPolicy) -> BatchMachine:
    machine = batch(policy=policy, ages_s=[100.0, 0, 0, 0])
    match stage:
        case Stage.WAITING:
            pass
        case Stage.RUNNING:
            play(machine, Due())
            if machine.stage is Stage.TELLING:
                play(machine, Told(), Due())
        case Stage.TELLING:
            play(machine, Due())
            if machine.stage is Stage.RUNNING:
                play(machine, Failed())
        case Stage.OVER:
            play(machine, Due())
            if machine.stage is Stage.TELLING:
                play(machine, Told(), Due())
            play(machine, Succeeded())
    assert machine.stage is stage
    return machine


@pytest.mark.parametrize(
    "policy", [BatchPolicy(retries=0), BatchPolicy(retries=0, max_age_s=60)], ids=["plain", "aged"]
)
@pytest.mark.parametrize(("stage", "event"), list(product(Stage, EVENTS)))
def test_every_stage_with_every_event(stage: Stage, event: BatchEvent, policy: BatchPolicy) -> None:
    machine = at_stage(stage, policy)
    deadline_s = machine.deadline_s
    outcomes = TRANSITIONS.get((stage, type(event)))
    if outcomes is None:
        with pytest.raises(BatchTransitionError):
            machine.receive(event, now_s=T0)
        assert (machine.stage, machine.deadline_s) == (stage, deadline_s)
    else:
        machine.receive(event, now_s=T0)
        assert machine.stage in outcomes


def test_nothing_happens_to_what_is_over() -> None:
    assert not [stage for stage, _ in TRANSITIONS if stage is Stage.OVER]


def test_a_success_is_the_end() -> None:
    machine = batch()
    assert machine.deadline_s == T0
    assert play(machine, Due()) == [Invoke(0, 4)]
    assert machine.deadline_s == math.inf
    assert play(machine, Succeeded()) == [Advance(0, 4)]
    assert (machine.stage, machine.deadline_s) == (Stage.OVER, math.inf)


def test_attempts_are_further_and_further_apart_and_without_end() -> None:
    machine = batch()
    pauses = []
    for _ in range(20):
        play(machine, Due())
        assert machine.receive(Failed(), now_s=T0) == []
        pauses.append(machine.deadline_s - T0)
    assert pauses[:4] == pytest.approx([0.2, 0.4, 0.8, 1.6])
    assert pauses[-1] == BACKOFF_MAX_S == backoff_s(10_000)


def test_retries_end_and_the_whole_part_is_given_up() -> None:
    machine = batch(policy=BatchPolicy(retries=2))
    assert play(machine, Due(), Failed(), Due(), Failed(), Due()) == [Invoke(0, 4)]
    assert play(machine, Failed()) == [Discard(0, 4, Condition.RETRIES_EXHAUSTED, 3)]
    assert play(machine, Told()) == [Advance(0, 4)]
    assert machine.stage is Stage.OVER


def test_what_the_function_never_saw_does_not_count() -> None:
    machine = batch(policy=BatchPolicy(retries=0))
    for _ in range(50):
        assert play(machine, Due()) == [Invoke(0, 4)]
        assert play(machine, Refused()) == []
    assert machine.deadline_s - T0 == BACKOFF_MAX_S
    assert play(machine, Due(), Failed()) == [Discard(0, 4, Condition.RETRIES_EXHAUSTED, 1)]


def test_refusals_are_counted_anew_after_an_answer() -> None:
    machine = batch()
    play(machine, Due(), Refused(), Due(), Refused(), Due(), Failed(), Due(), Refused())
    assert machine.deadline_s - T0 == pytest.approx(0.2)


def test_halves_of_halves_use_up_no_attempts() -> None:
    machine = batch(policy=BatchPolicy(retries=0, bisect=True))
    assert play(machine, Due(), Failed(), Due()) == [Invoke(0, 2)]
    assert play(machine, Failed(), Due()) == [Invoke(0, 1)]
    assert play(machine, Succeeded()) == [Advance(0, 1)]
    assert play(machine, Due()) == [Invoke(1, 2)]
    assert play(machine, Failed()) == [Discard(1, 2, Condition.RETRIES_EXHAUSTED, 1)]
    assert play(machine, Told()) == [Advance(1, 2)]
    assert play(machine, Due()) == [Invoke(2, 4)]
    assert play(machine, Succeeded()) == [Advance(2, 4)]


def test_an_odd_batch_is_cut_as_well() -> None:
    machine = batch(3, BatchPolicy(bisect=True))
    assert play(machine, Due(), Failed(), Due()) == [Invoke(0, 1)]
    assert play(machine, Succeeded(), Due()) == [Invoke(1, 3)]


def test_from_a_reported_record_on_attempts_are_counted_anew() -> None:
    """Source: a recording of AWS, 12 October 2024: 3 retries, once with the others, and four times alone."""
    machine = batch(3, BatchPolicy(retries=3))
    assert play(machine, Due(), Failed(2)) == [Advance(0, 2)]
    for _ in range(3):
        assert play(machine, Due()) == [Invoke(2, 3)]
        assert play(machine, Failed(2)) == []
    assert play(machine, Due(), Failed(2)) == [Discard(2, 3, Condition.RETRIES_EXHAUSTED, 4)]


def test_a_report_of_the_first_record_counts_and_cuts_nothing() -> None:
    machine = batch(policy=BatchPolicy(retries=1, bisect=True))
    assert play(machine, Due(), Failed(0), Due()) == [Invoke(0, 4)]
    assert play(machine, Failed(0)) == [Discard(0, 4, Condition.RETRIES_EXHAUSTED, 2)]


def test_a_report_within_a_half_leaves_the_other_half() -> None:
    machine = batch(policy=BatchPolicy(bisect=True))
    assert play(machine, Due(), Failed(), Due(), Failed(1)) == [Advance(0, 1)]
    assert play(machine, Due(), Succeeded()) == [Advance(1, 2)]
    assert play(machine, Due()) == [Invoke(2, 4)]


def test_old_records_are_given_up_before_the_others_are_run() -> None:
    machine = batch(policy=BatchPolicy(max_age_s=60), ages_s=[90, 61, 60, 0])
    assert play(machine, Due()) == [Discard(0, 2, Condition.AGE_EXCEEDED, 0)]
    assert play(machine, Told()) == [Advance(0, 2)]
    assert play(machine, Due()) == [Invoke(2, 4)]


def test_records_grow_old_while_they_are_tried() -> None:
    machine = batch(2, BatchPolicy(max_age_s=60))
    play(machine, Due(), Failed())
    assert machine.receive(Due(), now_s=T0 + 61) == [Discard(0, 2, Condition.AGE_EXCEEDED, 1)]
    assert play(machine, Told()) == [Advance(0, 2)]
    assert machine.stage is Stage.OVER


def test_a_destination_is_told_again_and_then_no_more() -> None:
    machine = batch(policy=BatchPolicy(retries=0))
    told = play(machine, Due(), Failed())
    for _ in range(TELL_TRIES - 1):
        assert play(machine, NotTold()) == []
        assert machine.deadline_s > T0
        assert play(machine, Due()) == told
    assert play(machine, NotTold()) == [Advance(0, 4)]
    assert machine.stage is Stage.OVER


ANSWERS: dict[Stage, Callable[[st.DataObject, Invoke | None], BatchEvent]] = {
    Stage.WAITING: lambda _data, _run: Due(),
    Stage.TELLING: lambda data, _run: data.draw(st.sampled_from([Told(), NotTold(), Due()])),
    Stage.RUNNING: lambda data, run: data.draw(
        st.sampled_from([Succeeded(), Failed(), Refused(), Failed(data.draw(st.integers(run.first, run.end - 1)))])  # type: ignore[union-attr]  # it runs
    ),
}


@given(
    data=st.data(),
    size=st.integers(1, 9),
    retries=st.integers(-1, 2),
    bisect=st.booleans(),
    max_age_s=st.sampled_from([-1.0, 60.0]),
)
def test_whatever_happens_records_go_in_order_and_each_is_done_once(
    data: st.DataObject, size: int, retries: int, bisect: bool, max_age_s: float
) -> None:
    machine = batch(size, BatchPolicy(retries, max_age_s, bisect))
    done, now_s, run = 0, T0, None
    for _ in range(60):
        if machine.stage is Stage.OVER:
            break
        event = ANSWERS[machine.stage](data, run)
        now_s += data.draw(st.sampled_from([0.0, 1.0, 61.0]))
        for command in machine.receive(event, now_s=now_s):
            match command:
                case Advance(first, end):
                    assert first == done < end
                    done = end
                case Invoke(first, end):
                    assert first == done < end <= size
                    run = command
                case Discard(first, end):
                    assert first == done < end <= size
    assert (machine.stage is Stage.OVER) == (done == size)
