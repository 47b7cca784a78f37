"""Asynchronous invocations: attempts, age, and who is told in the end.

An event waits, is run, waits again if that failed, and when it is decided how it ended, destinations are told. As on
AWS, two kinds of failure are kept apart. An error of the function counts as an attempt: there are so many, a minute and
two minutes apart. What the function never saw, because of a limit or a fault of the node, does not count: such an event
comes again after one second, two, four, up to five minutes, as long as it is not too old.

Nothing but the time limits how often an event is refused, and a success is one at any age. If the next attempt would
come too late for the event's age, it is given up at once, as AWS was seen to do.

The machine works on values, because they outlive the process: the caller stores a value before it acts on it. What a
crash interrupts is `RUNNING` in the store, and `Interrupted` makes it wait again: an event is run at least once. Time
is passed in as seconds since the epoch, which go on while no server runs.

Source: developer guide, "How Lambda handles errors and retries with asynchronous invocation"; invocation records of AWS
in LocalStack's tests, 2022 to 2024.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from lamella.domain.event import Condition, Progress, RetryPolicy, Stage, Target

RETRY_STEP_S: Final = 60.0
"""After the first error a minute, after the second one two."""
MAX_BACKOFF_S: Final = 300.0
DELIVERY_S: Final = 21_600.0
"""How long destinations are tried to be told; on AWS it is once. As long as events are kept for at most."""


@dataclass(frozen=True, slots=True)
class Begun:
    """It is due, and there is a function to run it."""


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The function has answered."""


@dataclass(frozen=True, slots=True)
class FunctionFailed:
    """The function has answered with an error, or broke down, or took too long."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The function never saw it: a limit is reached, it is not ready, or the node could not make an environment."""


@dataclass(frozen=True, slots=True)
class NeverAllowed:
    """The function's reserved concurrency is 0, so no attempt makes sense."""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The server stopped or died; whether the function was done is not known."""


@dataclass(frozen=True, slots=True)
class FunctionGone:
    """There is no such function, version or alias any more."""


@dataclass(frozen=True, slots=True)
class TargetsTried:
    """Everybody was told but these; `hopeless` are those of them that would never take it."""

    failed: tuple[Target, ...] = ()
    hopeless: tuple[Target, ...] = ()


RetryEvent: TypeAlias = (
    Begun | Succeeded | FunctionFailed | Refused | NeverAllowed | Interrupted | FunctionGone | TargetsTried
)

_GIVEN_UP: Final = frozenset({Stage.DELIVERING, Stage.FAILED})
_AGAIN_OR_GIVEN_UP: Final = _GIVEN_UP | {Stage.WAITING}

TRANSITIONS: Final[Mapping[tuple[Stage, type[RetryEvent]], frozenset[Stage]]] = {
    (Stage.WAITING, Begun): _GIVEN_UP | {Stage.RUNNING},
    (Stage.WAITING, Refused): _AGAIN_OR_GIVEN_UP,
    (Stage.WAITING, NeverAllowed): _GIVEN_UP,
    (Stage.WAITING, FunctionGone): frozenset({Stage.DROPPED}),
    (Stage.RUNNING, Succeeded): frozenset({Stage.DELIVERING, Stage.SUCCEEDED}),
    (Stage.RUNNING, FunctionFailed): _AGAIN_OR_GIVEN_UP,
    (Stage.RUNNING, Refused): _AGAIN_OR_GIVEN_UP,
    (Stage.RUNNING, NeverAllowed): _GIVEN_UP,
    (Stage.RUNNING, Interrupted): frozenset({Stage.WAITING}),
    (Stage.RUNNING, FunctionGone): frozenset({Stage.DROPPED}),
    (Stage.DELIVERING, TargetsTried): frozenset({Stage.DELIVERING, Stage.SUCCEEDED, Stage.FAILED, Stage.UNDELIVERED}),
}
"""What may become of an event; which of several it is depends on counts, age and configuration."""


class RetryTransitionError(Exception):
    """That cannot happen to an event at this stage; nothing has changed."""


def advance(
    progress: Progress, event: RetryEvent, policy: RetryPolicy, *, now_s: float, scale: float = 1.0
) -> Progress:
    """What becomes of an event.

    Args:
        progress: As it is stored.
        event: What happened.
        policy: What the function's configuration says now.
        now_s: Seconds since the epoch.
        scale: All times of the policy and of this module are multiplied by it.

    Raises:
        RetryTransitionError: Not legal now.
    """
    if (progress.stage, type(event)) not in TRANSITIONS:
        raise RetryTransitionError(f"{type(event).__name__} while {progress.stage}")
    expires_s = progress.accepted_s + policy.max_age_s * scale
    match event:
        case Begun():
            if now_s >= expires_s:
                return _decided(progress, Condition.AGE_EXCEEDED, policy, now_s)
            return replace(progress, stage=Stage.RUNNING)
        case Succeeded():
            return _decided(_answered(progress), Condition.SUCCESS, policy, now_s)
        case FunctionFailed():
            progress = _answered(progress)
            due_s = now_s + RETRY_STEP_S * scale * progress.attempts
            if progress.attempts > policy.retries:
                return _decided(progress, Condition.RETRIES_EXHAUSTED, policy, now_s)
            if due_s > expires_s:
                return _decided(progress, Condition.AGE_EXCEEDED, policy, now_s)
            return replace(progress, stage=Stage.WAITING, due_s=due_s)
        case Refused():
            if now_s >= expires_s:
                return _decided(progress, Condition.AGE_EXCEEDED, policy, now_s)
            due_s = min(now_s + backoff_s(progress.setbacks) * scale, expires_s)
            return replace(progress, stage=Stage.WAITING, due_s=due_s, setbacks=progress.setbacks + 1)
        case NeverAllowed():
            return _decided(progress, Condition.ZERO_CONCURRENCY, policy, now_s)
        case Interrupted():
            return replace(progress, stage=Stage.WAITING, due_s=now_s)
        case FunctionGone():
            return replace(progress, stage=Stage.DROPPED)
        case TargetsTried(failed, hopeless):
            if failed and failed == hopeless:
                return replace(progress, stage=Stage.UNDELIVERED, targets=failed)
            return _told(progress, failed, now_s, scale)


def backoff_s(setbacks: int) -> float:
    """1, 2, 4 ... 300 seconds."""
    return min(MAX_BACKOFF_S, 2.0 ** min(setbacks, 16))


def _answered(progress: Progress) -> Progress:
    return replace(progress, attempts=progress.attempts + 1, setbacks=0)


def _decided(progress: Progress, condition: Condition, policy: RetryPolicy, now_s: float) -> Progress:
    """It is known how it ended; whoever wants to know is told, and then it is over."""
    targets: tuple[Target, ...]
    if condition is Condition.SUCCESS:
        targets = (Target(policy.on_success),)
    else:
        # Not one instead of the other: a function may have both, and both are served.
        targets = (Target(policy.on_failure), Target(policy.dead_letter, dead_letter=True))
    decided = replace(progress, condition=condition, decided_s=now_s, due_s=now_s, setbacks=0)
    return _with_targets(decided, tuple(target for target in targets if target.arn))


def _told(progress: Progress, failed: tuple[Target, ...], now_s: float, scale: float) -> Progress:
    if failed and now_s >= progress.decided_s + DELIVERY_S * scale:
        return replace(progress, stage=Stage.UNDELIVERED, targets=failed)
    due_s = now_s + backoff_s(progress.setbacks) * scale
    return _with_targets(replace(progress, due_s=due_s, setbacks=progress.setbacks + 1), failed)


def _with_targets(progress: Progress, targets: tuple[Target, ...]) -> Progress:
    if targets:
        stage = Stage.DELIVERING
    else:
        stage = Stage.SUCCEEDED if progress.condition is Condition.SUCCESS else Stage.FAILED
    return replace(progress, stage=stage, targets=targets)
