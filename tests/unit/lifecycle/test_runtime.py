"""The Runtime API's own state table, section 2.8."""

import itertools
from typing import get_args

import pytest
from tests.support.events import SAMPLES

from lamella.lifecycle.events import (
    ErrorPosted,
    Event,
    InitErrorPosted,
    InvocationAssigned,
    NextPolled,
    ResponseEnded,
    ResponsePosted,
    ResponseStarted,
    RestoreErrorPosted,
    RestorePolled,
    TransitionError,
)
from lamella.lifecycle.runtime import TRANSITIONS, RuntimeMachine, RuntimeState


def reached(*events: Event) -> RuntimeMachine:
    machine = RuntimeMachine()
    for event in events:
        machine.receive(event)
    return machine


ASSIGNED = next(sample for sample in SAMPLES if isinstance(sample, InvocationAssigned))
RUNNING = (NextPolled(), ASSIGNED)


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


def test_a_response_in_pieces_ends_as_one_that_comes_whole() -> None:
    """RT-41: the runtime may ask for the next event once the last piece is in, and not before."""
    machine = reached(*RUNNING, ResponseStarted("r-1"))
    with pytest.raises(TransitionError, match="from InvocationResponse to Ready"):
        machine.receive(NextPolled())
    machine.receive(ResponseEnded("r-1", 10))
    machine.receive(NextPolled())
    assert machine.state is RuntimeState.READY


@pytest.mark.parametrize(
    ("late", "target"),
    [
        (ErrorPosted("r-1", b"", ""), "InvocationErrorResponse"),
        (ResponsePosted("r-1", b""), "InvocationResponse"),
        (ResponseStarted("r-1"), "InvocationResponse"),
    ],
)
def test_nothing_else_may_be_posted_once_a_streamed_response_has_begun(late: Event, target: str) -> None:
    """RT-56, RT-32: an error has to travel in the trailers then."""
    with pytest.raises(TransitionError, match=f"from InvocationResponse to {target} failed"):
        reached(*RUNNING, ResponseStarted("r-1")).receive(late)


@pytest.mark.parametrize("failure", [RestoreErrorPosted(b"", ""), InitErrorPosted(b"", "")])
def test_hooks_after_a_restore_end_in_next_or_in_an_error(failure: Event) -> None:
    """RT-70: and after the error every call is refused."""
    assert reached(RestorePolled(), NextPolled()).state is RuntimeState.READY
    failed = reached(RestorePolled(), failure)
    for event in (NextPolled(), RestorePolled(), failure):
        with pytest.raises(TransitionError, match="from RuntimeRestoreErrorState"):
            failed.receive(event)


def test_restore_is_asked_for_once_and_before_the_first_event() -> None:
    """RT-70."""
    for events in ((RestorePolled(),), (NextPolled(),), RUNNING):
        with pytest.raises(TransitionError, match="to RestoreReady failed"):
            reached(*events).receive(RestorePolled())
