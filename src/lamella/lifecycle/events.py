"""What can happen to an execution environment. Events carry parsed, size-checked data and no I/O objects."""

from dataclasses import dataclass
from typing import TypeAlias

from lamella.domain.invocation import Invocation


@dataclass(frozen=True, slots=True)
class InitRequested:
    """The init phase is to begin, ahead of the invocation that the environment was made for."""


@dataclass(frozen=True, slots=True)
class LaunchFailed:
    """The runtime's first program could not be started.

    Attributes:
        error_type: `Runtime.InvalidEntrypoint`, or `Sandbox.Failure` if the sandbox is at fault.
        message: Without the `RequestId: … Error: ` in front.
    """

    error_type: str
    message: str


@dataclass(frozen=True, slots=True)
class NextPolled:
    """The runtime asks for the next event: `GET /runtime/invocation/next`."""


@dataclass(frozen=True, slots=True)
class InvocationAssigned:
    """The environment is to run this invocation; nobody else will.

    Attributes:
        timeout_s: Of the function, 1 to 900.
    """

    invocation: Invocation
    timeout_s: float


@dataclass(frozen=True, slots=True)
class ResponsePosted:
    """The runtime hands in the result of an invocation, complete."""

    request_id: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class ErrorPosted:
    """The runtime hands in a function error: the payload is what the caller gets."""

    request_id: str
    payload: bytes
    error_type: str


@dataclass(frozen=True, slots=True)
class ResponseRefused:
    """A response was too large or malformed. It counts as the answer, so that the runtime may go on (RT-34, RT-35).

    Attributes:
        message: The caller's `errorMessage`, complete.
    """

    request_id: str
    error_type: str
    message: str


@dataclass(frozen=True, slots=True)
class InitErrorPosted:
    """The runtime says that its initialisation failed: `POST /runtime/init/error`."""

    payload: bytes
    error_type: str


@dataclass(frozen=True, slots=True)
class RuntimeExited:
    """The runtime process has ended.

    Attributes:
        message: As in the table of exits (rule EX-65), e.g. `Runtime exited with error: exit status 1`.
        out_of_memory: The kernel killed something in the environment because the memory limit was hit.
    """

    message: str
    out_of_memory: bool = False


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The moment that the state machine published as `deadline_s` has come."""


@dataclass(frozen=True, slots=True)
class ProcessesGone:
    """Every process that was told to die is dead; the sandbox itself still stands."""


@dataclass(frozen=True, slots=True)
class ShutdownRequested:
    """The environment is to end: idle for too long, its version changed, or the server stops."""


Event: TypeAlias = (
    InitRequested
    | LaunchFailed
    | NextPolled
    | InvocationAssigned
    | ResponsePosted
    | ErrorPosted
    | ResponseRefused
    | InitErrorPosted
    | RuntimeExited
    | DeadlinePassed
    | ProcessesGone
    | ShutdownRequested
)


class TransitionError(Exception):
    """The event is not legal now, and nothing has changed. The runtime is answered 403 `InvalidStateTransition`.

    Attributes:
        state: Name of the state the runtime is in, as AWS spells it.
        target: Name of the state it asked for.
    """

    def __init__(self, state: str, target: str) -> None:
        super().__init__(
            f"State transition from {state} to {target} failed for runtime. Error: State transition is not allowed"
        )
        self.state = state
        self.target = target


class ProtocolError(Exception):
    """The event names an invocation that is not running. The runtime is answered 400 `InvalidRequestID` (RT-31)."""

    def __init__(self) -> None:
        super().__init__("Invalid request ID")
