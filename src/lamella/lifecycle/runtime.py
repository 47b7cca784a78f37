"""One runtime process, as the Runtime API sees it (section 2.8 of the contract).

The machine only knows which calls are legal, and in which order. When an invocation is over, and what a failure means
for the caller, depends on more than the runtime (the clock, the process, the extensions): that is
`lifecycle.environment`.

A state's value is the name that AWS's error text uses for it.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final

from lamella.lifecycle.events import (
    ErrorPosted,
    Event,
    InitErrorPosted,
    InvocationAssigned,
    NextPolled,
    ResponseEnded,
    ResponsePosted,
    ResponseRefused,
    ResponseStarted,
    RestoreErrorPosted,
    RestorePolled,
    TransitionError,
)


class RuntimeState(Enum):
    """What the runtime owes us."""

    STARTED = "Started"  # launched; has neither polled nor failed yet
    INIT_ERROR = "InitError"  # has said that it cannot work; only its exit is left
    RESTORING = "Restoring"  # has been told that its snapshot is restored, runs its hooks
    RESTORE_ERROR = "RuntimeRestoreErrorState"  # has said that these failed; only its exit is left
    READY = "Ready"  # blocked in `next`
    RUNNING = "Running"  # owes exactly one response or error
    RESPONDING = "InvocationResponse"  # is handing in a response in pieces
    RESPONDED = "RuntimeResponseSentState"  # has answered, has not polled again


TRANSITIONS: Final[Mapping[tuple[RuntimeState, type[Event]], RuntimeState]] = {
    (RuntimeState.STARTED, NextPolled): RuntimeState.READY,
    (RuntimeState.STARTED, InitErrorPosted): RuntimeState.INIT_ERROR,
    (RuntimeState.STARTED, RestorePolled): RuntimeState.RESTORING,
    (RuntimeState.RESTORING, NextPolled): RuntimeState.READY,
    (RuntimeState.RESTORING, RestoreErrorPosted): RuntimeState.RESTORE_ERROR,
    (RuntimeState.RESTORING, InitErrorPosted): RuntimeState.RESTORE_ERROR,
    (RuntimeState.READY, NextPolled): RuntimeState.READY,  # a second connection waits as well
    (RuntimeState.READY, InvocationAssigned): RuntimeState.RUNNING,
    (RuntimeState.RUNNING, NextPolled): RuntimeState.RUNNING,  # the same event again (RT-22)
    (RuntimeState.RUNNING, ResponsePosted): RuntimeState.RESPONDED,
    (RuntimeState.RUNNING, ResponseStarted): RuntimeState.RESPONDING,
    (RuntimeState.RESPONDING, ResponseEnded): RuntimeState.RESPONDED,
    (RuntimeState.RUNNING, ErrorPosted): RuntimeState.RESPONDED,
    (RuntimeState.RUNNING, ResponseRefused): RuntimeState.RESPONDED,
    (RuntimeState.RESPONDED, NextPolled): RuntimeState.READY,
}

TARGETS: Final[Mapping[type[Event], str]] = {
    NextPolled: "Ready",
    InitErrorPosted: "InitError",
    InvocationAssigned: "Running",
    ResponsePosted: "InvocationResponse",
    ResponseStarted: "InvocationResponse",
    ResponseEnded: "RuntimeResponseSentState",
    RestorePolled: "RestoreReady",
    RestoreErrorPosted: "RuntimeRestoreErrorState",
    ResponseRefused: "InvocationResponse",
    ErrorPosted: "InvocationErrorResponse",
}
"""What the runtime wanted to become, in the words of AWS's error text."""


class RuntimeMachine:
    """Which Runtime API call is legal now."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = RuntimeState.STARTED

    def receive(self, event: Event) -> None:
        """Take one event.

        Raises:
            TransitionError: Not legal now, and nothing has changed.
        """
        try:
            self.state = TRANSITIONS[self.state, type(event)]
        except KeyError:
            raise TransitionError(self.state.value, TARGETS.get(type(event), type(event).__name__)) from None
