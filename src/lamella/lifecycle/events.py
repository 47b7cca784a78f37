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
class ExtensionRegistered:
    """A process asks to be told of the environment's life: `POST /extension/register`.

    Attributes:
        identifier: A new UUID, which the extension is to name itself by if it is accepted.
        name: As the extension calls itself. One of the files in `/opt/extensions` is that external extension; any other
            name is an internal one (EX-04).
        events: What it asks for, as it spells it: `INVOKE`, `SHUTDOWN` or anything else.
    """

    identifier: str
    name: str
    events: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExtensionPolled:
    """An extension asks for the next event: `GET /extension/event/next`.

    Attributes:
        replaces: The connection of its call that was waiting is gone, so that this one takes its place (EX-36).
    """

    identifier: str
    replaces: bool = False


@dataclass(frozen=True, slots=True)
class ExtensionInitErrorPosted:
    """An extension says that its initialisation failed: `POST /extension/init/error`.

    Attributes:
        error_type: As the extension gives it, for `platform.extension` (EX-53).
    """

    identifier: str
    error_type: str


@dataclass(frozen=True, slots=True)
class ExtensionExitErrorPosted:
    """An extension says that it is about to end with an error: `POST /extension/exit/error`."""

    identifier: str
    error_type: str


@dataclass(frozen=True, slots=True)
class ExtensionExited:
    """The process of an external extension has ended.

    Attributes:
        message: As in the table of exits (rule EX-65), e.g. `exit status 2`.
    """

    name: str
    message: str


@dataclass(frozen=True, slots=True)
class ExtensionLaunchFailed:
    """The process of an external extension could not be started (EX-03).

    Attributes:
        message: E.g. `fork/exec /opt/extensions/x: permission denied`.
    """

    name: str
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
    """The runtime hands in the result of an invocation, complete.

    Attributes:
        content_type: Of the payload; only callers that stream see it.
    """

    request_id: str
    payload: bytes
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class ResponseStarted:
    """The runtime begins a response in streaming mode to a caller who takes it in pieces (RT-41)."""

    request_id: str
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class ResponseEnded:
    """The response that was begun is complete, or will never be.

    Attributes:
        size_bytes: Of what came.
        error_type: Empty, or why it is incomplete: as the runtime's trailer says (RT-42), checked as in RT-51; or in
            our words if it broke off.
        error_body: Error document for the caller, as the trailer's base64 holds it, or ours.
        error_code: The type as the trailer spells it, which is what the caller is told; `error_type` if empty.
    """

    request_id: str
    size_bytes: int
    error_type: str = ""
    error_body: bytes = b""
    error_code: str = ""


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
class RestorePolled:
    """The runtime of a function with snapshots has initialised itself: `GET /runtime/restore/next` (RT-70)."""


@dataclass(frozen=True, slots=True)
class RestoreErrorPosted:
    """What the runtime does after a restore has failed: `POST /runtime/restore/error`."""

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
class TelemetryFlushed:
    """What subscribers had coming when `FlushTelemetry` was asked for has been delivered, or cannot be."""


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
    | ExtensionRegistered
    | ExtensionPolled
    | ExtensionInitErrorPosted
    | ExtensionExitErrorPosted
    | ExtensionExited
    | ExtensionLaunchFailed
    | NextPolled
    | InvocationAssigned
    | ResponsePosted
    | ResponseStarted
    | ResponseEnded
    | ErrorPosted
    | ResponseRefused
    | InitErrorPosted
    | RestorePolled
    | RestoreErrorPosted
    | RuntimeExited
    | TelemetryFlushed
    | DeadlinePassed
    | ProcessesGone
    | ShutdownRequested
)


class TransitionError(Exception):
    """The event is not legal now, and nothing has changed.

    A runtime is answered 403 `InvalidStateTransition`, an extension 403 `Extension.InvalidExtensionState`.

    Attributes:
        state: Name of the state the participant is in, as AWS spells it.
        target: Name of the state it asked for.
    """

    def __init__(self, state: str, target: str, subject: str = "runtime") -> None:
        super().__init__(
            f"State transition from {state} to {target} failed for {subject}. Error: State transition is not allowed"
        )
        self.state = state
        self.target = target


class ProtocolError(Exception):
    """The event names an invocation that is not running. The runtime is answered 400 `InvalidRequestID` (RT-31)."""

    def __init__(self) -> None:
        super().__init__("Invalid request ID")


class ExtensionRefusedError(Exception):
    """An extension asked for what it cannot have, and nothing has changed. It is answered 403.

    Attributes:
        error_type: E.g. `Extension.RegistrationClosed`.
    """

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type
