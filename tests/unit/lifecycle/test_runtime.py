"""The Runtime API's own state table, section 2.8."""

import itertools
from typing import get_args

import pytest

from lamella.domain.invocation import Invocation
from lamella.lifecycle.events import (
    DeadlinePassed,
    ErrorPosted,
    Event,
    InitErrorPosted,
    InitRequested,
    InvocationAssigned,
    LaunchFailed,
    NextPolled,
    ProcessesGone,
    ResponsePosted,
    ResponseRefused,
    RuntimeExited,
    ShutdownRequested,
    TransitionError,
)
from lamella.lifecycle.runtime import TRANSITIONS, RuntimeMachine, RuntimeState

SAMPLES: tuple[Event, ...] = (
    InitRequested(),
    LaunchFailed("Runtime.InvalidEntrypoint", "no"),
    NextPolled(),
    InvocationAssigned(Invocation("r", b"", "application/json", "arn", "Root=1"), 3.0),
    ResponsePosted("r", b""),
    ErrorPosted("r", b"", "Runtime.Unknown"),
    ResponseRefused("r", "Function.ResponseSizeTooLarge", "too large"),
    InitErrorPosted(b"", "Runtime.Unknown"),
    RuntimeExited("Runtime exited"),
    DeadlinePassed(),
    ProcessesGone(),
    ShutdownRequested(),
)


def test_the_samples_cover_every_event() -> None:
    assert {type(sample) for sample in SAMPLES} == set(get_args(Event))


@pytest.mark.parametrize(
    ("state", "event"), list(itertools.product(RuntimeState, SAMPLES)), ids=lambda v: type(v).__name__
)
def test_a_pair_is_in_the_table_or_is_refused_and_changes_nothing(state: RuntimeState, event: Event) -> None:
    machine = RuntimeMachine()
    machine.state = state
    target = TRANSITIONS.get((state, type(event)))
    if target is not None:
        machine.receive(event)
        assert machine.state is target
    else:
        with pytest.raises(TransitionError):
            machine.receive(event)
        assert machine.state is state


def test_the_refusal_is_worded_as_aws_words_it() -> None:
    # rule 2.8
    machine = RuntimeMachine()
    machine.receive(InitErrorPosted(b"", ""))
    with pytest.raises(TransitionError) as refusal:
        machine.receive(NextPolled())
    assert str(refusal.value) == (
        "State transition from InitError to Ready failed for runtime. Error: State transition is not allowed"
    )
