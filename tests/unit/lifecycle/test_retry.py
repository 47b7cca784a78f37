"""What becomes of asynchronous events: every stage with every event, the times, and random walks."""

from dataclasses import replace
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamella.domain.event import FINISHED, Condition, Progress, RetryPolicy, Stage, Target
from lamella.lifecycle.retry import (
    DELIVERY_S,
    TRANSITIONS,
    Begun,
    FunctionFailed,
    FunctionGone,
    Interrupted,
    NeverAllowed,
    Refused,
    RetryEvent,
    RetryTransitionError,
    Succeeded,
    TargetsTried,
    advance,
    backoff_s,
)

T0 = 1_800_000_000.0
NEW = Progress(accepted_s=T0, due_s=T0)
PLAIN = RetryPolicy()
QUEUE, TOPIC, DLQ = (f"arn:aws:sqs:us-east-1:0:{name}" for name in ("queue", "topic", "dlq"))
TOLD = RetryPolicy(on_success=QUEUE, on_failure=TOPIC, dead_letter=DLQ)
EVENTS: tuple[RetryEvent, ...] = (
    Begun(),
    Succeeded(),
    FunctionFailed(),
    Refused(),
    NeverAllowed(),
    Interrupted(),
    FunctionGone(),
    TargetsTried(),
    TargetsTried((Target(QUEUE),)),
    TargetsTried((Target(QUEUE),), (Target(QUEUE),)),
)


def play(progress: Progress, *steps: tuple[float, RetryEvent], policy: RetryPolicy = PLAIN) -> Progress:
    """Each step so many seconds after the acceptance."""
    for after_s, event in steps:
        progress = advance(progress, event, policy, now_s=T0 + after_s)
    return progress


@pytest.mark.parametrize("policy", [PLAIN, TOLD], ids=["plain", "told"])
@pytest.mark.parametrize(("stage", "event"), list(product(Stage, EVENTS)))
def test_every_stage_with_every_event(stage: Stage, event: RetryEvent, policy: RetryPolicy) -> None:
    targets = (Target(QUEUE),) if stage is Stage.DELIVERING else ()
    before = replace(NEW, stage=stage, attempts=1, targets=targets, condition=Condition.SUCCESS if targets else None)
    outcomes = TRANSITIONS.get((stage, type(event)))
    if outcomes is None:
        with pytest.raises(RetryTransitionError):
            advance(before, event, policy, now_s=T0)
    else:
        assert advance(before, event, policy, now_s=T0).stage in outcomes


def test_nothing_happens_to_what_is_finished() -> None:
    assert not [stage for stage, _ in TRANSITIONS if stage in FINISHED]


def test_a_success_is_the_end() -> None:
    done = play(NEW, (0, Begun()), (5, Succeeded()))
    assert (done.stage, done.condition, done.attempts) == (Stage.SUCCEEDED, Condition.SUCCESS, 1)


def test_errors_are_tried_again_after_one_minute_and_two() -> None:
    first = play(NEW, (0, Begun()), (1, FunctionFailed()))
    assert (first.stage, first.due_s) == (Stage.WAITING, T0 + 61)
    second = play(first, (61, Begun()), (62, FunctionFailed()))
    assert (second.stage, second.due_s) == (Stage.WAITING, T0 + 182)
    third = play(second, (182, Begun()), (183, FunctionFailed()))
    assert (third.stage, third.condition, third.attempts) == (Stage.FAILED, Condition.RETRIES_EXHAUSTED, 3)


@pytest.mark.parametrize("retries", [0, 1, 2])
def test_as_many_attempts_as_are_configured(retries: int) -> None:
    progress, policy = NEW, RetryPolicy(retries=retries)
    while progress.stage not in FINISHED:
        now_s = progress.due_s
        progress = advance(advance(progress, Begun(), policy, now_s=now_s), FunctionFailed(), policy, now_s=now_s)
    assert (progress.attempts, progress.condition) == (retries + 1, Condition.RETRIES_EXHAUSTED)


def test_an_attempt_that_would_come_too_late_is_not_waited_for() -> None:
    """As AWS was seen to do with a maximum age of a minute: `EventAgeExceeded` after one attempt."""
    failed = play(NEW, (0, Begun()), (1, FunctionFailed()), policy=RetryPolicy(max_age_s=60))
    assert (failed.stage, failed.condition, failed.attempts) == (Stage.FAILED, Condition.AGE_EXCEEDED, 1)


def test_what_is_refused_backs_off_and_is_no_attempt() -> None:
    progress, waits = NEW, []
    for _ in range(11):
        now_s = progress.due_s
        progress = advance(advance(progress, Begun(), PLAIN, now_s=now_s), Refused(), PLAIN, now_s=now_s)
        waits.append(progress.due_s - now_s)
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert progress.attempts == 0
    answered = advance(replace(progress, stage=Stage.RUNNING), FunctionFailed(), PLAIN, now_s=progress.due_s)
    assert (answered.attempts, answered.setbacks) == (1, 0)  # from the beginning, should it be refused again


def test_what_is_refused_for_too_long_is_given_up() -> None:
    progress, policy = NEW, RetryPolicy(max_age_s=60)
    while progress.stage not in FINISHED:
        now_s = progress.due_s
        assert now_s <= T0 + 60  # it is not kept waiting beyond its age
        progress = advance(progress, Begun(), policy, now_s=now_s)
        if progress.stage is Stage.RUNNING:
            progress = advance(progress, Refused(), policy, now_s=now_s)
    assert (progress.condition, progress.attempts, now_s) == (Condition.AGE_EXCEEDED, 0, T0 + 60)


def test_a_success_is_one_at_any_age() -> None:
    done = play(NEW, (59, Begun()), (900, Succeeded()), policy=RetryPolicy(max_age_s=60))
    assert done.stage is Stage.SUCCEEDED


def test_no_concurrency_at_all_is_no_reason_to_wait() -> None:
    done = play(NEW, (0, NeverAllowed()), policy=TOLD)
    assert (done.stage, done.condition, done.attempts) == (Stage.DELIVERING, Condition.ZERO_CONCURRENCY, 0)


def test_what_was_interrupted_is_run_again_at_once_and_not_counted() -> None:
    again = play(NEW, (0, Begun()), (30, Interrupted()))
    assert (again.stage, again.due_s, again.attempts) == (Stage.WAITING, T0 + 30, 0)


def test_who_is_told() -> None:
    assert play(NEW, (0, Begun()), (1, Succeeded()), policy=TOLD).targets == (Target(QUEUE),)
    failed = play(NEW, (0, Begun()), (1, FunctionFailed()), policy=replace(TOLD, retries=0))
    assert failed.targets == (Target(TOPIC), Target(DLQ, dead_letter=True))
    assert play(NEW, (0, Begun()), (1, Succeeded()), policy=replace(TOLD, on_success="")).stage is Stage.SUCCEEDED


def test_who_could_not_be_told_is_tried_again() -> None:
    failed = play(NEW, (0, Begun()), (1, FunctionFailed()), policy=replace(TOLD, retries=0))
    once = play(failed, (1, TargetsTried((Target(TOPIC),))))
    assert (once.stage, once.targets, once.due_s) == (Stage.DELIVERING, (Target(TOPIC),), T0 + 2)
    twice = play(once, (2, TargetsTried((Target(TOPIC),))))
    assert twice.due_s == T0 + 4
    assert play(twice, (4, TargetsTried())).stage is Stage.FAILED


def test_what_nobody_would_ever_take_is_given_up_at_once() -> None:
    failed = play(NEW, (0, Begun()), (1, FunctionFailed()), policy=replace(TOLD, retries=0))
    both = failed.targets
    once = play(failed, (1, TargetsTried(both, both[:1])))
    assert (once.stage, once.targets) == (Stage.DELIVERING, both)  # the other one may take it yet
    given_up = play(once, (2, TargetsTried(both[:1], both[:1])))
    assert (given_up.stage, given_up.targets) == (Stage.UNDELIVERED, both[:1])


def test_deliveries_end_some_day() -> None:
    done = play(NEW, (0, Begun()), (1, Succeeded()), policy=TOLD)
    late = play(done, (1 + DELIVERY_S, TargetsTried((Target(QUEUE),))))
    assert (late.stage, late.targets) == (Stage.UNDELIVERED, (Target(QUEUE),))


@pytest.mark.parametrize("scale", [0.01, 0.5])
def test_all_times_are_scaled(scale: float) -> None:
    running = advance(NEW, Begun(), PLAIN, now_s=T0, scale=scale)
    assert advance(running, FunctionFailed(), PLAIN, now_s=T0, scale=scale).due_s == T0 + 60 * scale
    assert advance(running, Refused(), PLAIN, now_s=T0, scale=scale).due_s == T0 + scale
    old = advance(NEW, Begun(), PLAIN, now_s=T0 + PLAIN.max_age_s * scale, scale=scale)
    assert old.condition is Condition.AGE_EXCEEDED


def test_backing_off() -> None:
    waits = [backoff_s(setbacks) for setbacks in range(100)]
    assert waits[0] == 1
    assert max(waits) == 300
    assert all(before <= after for before, after in pairwise(waits))


@given(
    st.lists(st.tuples(st.floats(0, 5000), st.sampled_from(EVENTS)), max_size=60),
    st.builds(
        RetryPolicy,
        retries=st.integers(0, 2),
        max_age_s=st.sampled_from([60.0, 600.0, 21_600.0]),
        on_success=st.sampled_from(["", QUEUE]),
        on_failure=st.sampled_from(["", TOPIC]),
        dead_letter=st.sampled_from(["", DLQ]),
    ),
)
def test_walks(steps: list[tuple[float, RetryEvent]], policy: RetryPolicy) -> None:
    """Whatever happens, in whatever order: counts grow, nobody is told twice or forgotten, the end is the end."""
    progress, now_s = NEW, T0
    for pause_s, event in steps:
        now_s += pause_s
        try:
            after = advance(progress, event, policy, now_s=now_s)
        except RetryTransitionError:
            assert (progress.stage, type(event)) not in TRANSITIONS
            continue
        assert after.stage in TRANSITIONS[progress.stage, type(event)]
        assert 0 <= after.attempts - progress.attempts <= 1
        assert after.attempts <= policy.retries + 1
        assert after.accepted_s == progress.accepted_s
        assert (after.stage is Stage.DELIVERING) <= bool(after.targets)
        assert (after.stage in {Stage.SUCCEEDED, Stage.FAILED}) <= (not after.targets)
        assert (after.condition is None) == (after.stage in {Stage.WAITING, Stage.RUNNING, Stage.DROPPED})
        if after.stage is Stage.WAITING:
            assert now_s <= after.due_s <= max(now_s, after.accepted_s + policy.max_age_s)
        progress = after
    # From wherever that led, a function that answers and destinations that take their messages lead to the end.
    for _ in range(3):
        if progress.stage is Stage.WAITING:
            progress = advance(progress, Begun(), policy, now_s=now_s)
        if progress.stage is Stage.RUNNING:
            progress = advance(progress, Succeeded(), policy, now_s=now_s)
        if progress.stage is Stage.DELIVERING:
            progress = advance(progress, TargetsTried(), policy, now_s=now_s)
    assert progress.stage in FINISHED
