"""What a state machine asks of the host that drives it, to be performed in the order given."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from lamella.domain.invocation import Invocation


class InitPhase(StrEnum):
    """In which phase an initialisation runs: of its own, or inside the invocation after a failed one (4.3)."""

    INIT = "init"
    INVOKE = "invoke"


class Status(StrEnum):
    """How an init or an invocation ended, as REPORT and telemetry spell it. Source: rule section 5.3."""

    SUCCESS = "success"
    ERROR = "error"
    FAILURE = "failure"
    TIMEOUT = "timeout"


class ShutdownReason(StrEnum):
    """Why an environment, or its processes, come to their end, as the SHUTDOWN event spells it (EX-31)."""

    SPINDOWN = "spindown"
    TIMEOUT = "timeout"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class LaunchExtension:
    """Start an external extension, and report `ExtensionExited` when it ends."""

    name: str


@dataclass(frozen=True, slots=True)
class LaunchRuntime:
    """Start the runtime's first program, and report `RuntimeExited` when it ends."""

    phase: InitPhase


@dataclass(frozen=True, slots=True)
class RecordInitStart:
    """An initialisation begins: INIT_START, `platform.initStart`."""

    phase: InitPhase


@dataclass(frozen=True, slots=True)
class RecordInitRuntimeDone:
    """The runtime's part of an initialisation has ended: `platform.initRuntimeDone`."""

    phase: InitPhase
    status: Status
    error_type: str = ""


@dataclass(frozen=True, slots=True)
class RecordExtension:
    """What has become of an extension by the end of init: EXTENSION, `platform.extension` (TL-45, LG-08).

    Attributes:
        state: `Ready`, or the state reached if something failed.
        events: What it asked for, in its own order.
        error_type: Empty if it is well.
    """

    name: str
    state: str
    events: tuple[str, ...]
    error_type: str = ""


@dataclass(frozen=True, slots=True)
class RecordInit:
    """An initialisation has ended: INIT_REPORT, `platform.initReport`."""

    phase: InitPhase
    duration_s: float
    status: Status
    error_type: str = ""


@dataclass(frozen=True, slots=True)
class RecordRestoreStart:
    """The runtime of a function with snapshots is restored: RESTORE_START, `platform.restoreStart`."""


@dataclass(frozen=True, slots=True)
class RecordRestore:
    """It is: `platform.restoreRuntimeDone`, and RESTORE_REPORT, `platform.restoreReport`."""

    duration_s: float
    status: Status
    error_type: str = ""


@dataclass(frozen=True, slots=True)
class RecordStart:
    """The invocation begins: the START line, `platform.start`."""

    invocation: Invocation


@dataclass(frozen=True, slots=True)
class GiveInvoke:
    """Answer the waiting `event/next` of an extension with INVOKE."""

    identifier: str
    invocation: Invocation


@dataclass(frozen=True, slots=True)
class GiveShutdown:
    """Answer the waiting `event/next` of an extension with SHUTDOWN.

    Attributes:
        deadline_s: Monotonic seconds at which the extension is killed.
    """

    identifier: str
    reason: ShutdownReason
    deadline_s: float


@dataclass(frozen=True, slots=True)
class GiveEvent:
    """Answer the oldest waiting `next`. If none waits, do nothing: the next one to come asks for it again."""

    invocation: Invocation


@dataclass(frozen=True, slots=True)
class AnswerRestore:
    """Answer the waiting `restore/next`: there is no snapshot, so the restore is over at once (RT-70)."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer the function's caller; this or `EndReply` comes exactly once for each invocation.

    Comes for a response in streaming mode as well if it cannot be completed: the caller's stream then ends with the
    payload as its error.
    """

    invocation: Invocation
    payload: bytes
    failed: bool = False
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class EndReply:
    """The response in streaming mode that the caller has been getting is over.

    Attributes:
        error_type: Empty, or that of an error in mid-stream (RT-42).
        error_body: The error's document.
    """

    invocation: Invocation
    error_type: str = ""
    error_body: bytes = b""


@dataclass(frozen=True, slots=True)
class RecordRuntimeDone:
    """The runtime has done its part of an invocation, or never will: `platform.runtimeDone` (TL-42, TL-43).

    Attributes:
        duration_s: From the release of the event.
        produced_bytes: Size of the response; `None` if there was none.
        given_s: When the event was released. All moments are monotonic seconds.
        response_s: When the response began and when it was complete; `None` if there was none.
        done_s: When the runtime asked for the next event.
    """

    invocation: Invocation
    duration_s: float
    status: Status
    error_type: str = ""
    produced_bytes: int | None = None
    given_s: float = 0.0
    response_s: tuple[float, float] | None = None
    done_s: float = 0.0


@dataclass(frozen=True, slots=True)
class RecordEnd:
    """The invocation has ended for the environment: END and REPORT, `platform.report`.

    Attributes:
        duration_s: From the release of the event to the last `next` of runtime and extensions (7.2).
        init_duration_s: Only for the first invocation after an init phase of its own.
        restore_duration_s: Only for the first invocation after a restore.
        overhead_s: From when to when extensions that follow invocations kept the environment after its runtime was
            done, monotonic; `None` if there are none (TL-43).
    """

    invocation: Invocation
    duration_s: float
    status: Status
    error_type: str = ""
    init_duration_s: float | None = None
    restore_duration_s: float | None = None
    overhead_s: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class CloseSubscriptions:
    """Init is complete: telemetry can no longer be subscribed to (TL-04), and what has piled up goes out (TL-21)."""


@dataclass(frozen=True, slots=True)
class FlushTelemetry:
    """Deliver at once what subscribers have coming, and report `TelemetryFlushed`."""


@dataclass(frozen=True, slots=True)
class Freeze:
    """Stop all processes of the environment from running."""


@dataclass(frozen=True, slots=True)
class Thaw:
    """Let them run again."""


@dataclass(frozen=True, slots=True)
class TerminateRuntime:
    """Send SIGTERM to the process group of the runtime."""


@dataclass(frozen=True, slots=True)
class KillRuntime:
    """Send SIGKILL to the process group of the runtime."""


@dataclass(frozen=True, slots=True)
class KillExtension:
    """Send SIGKILL to the process group of an external extension."""

    name: str


@dataclass(frozen=True, slots=True)
class KillProcesses:
    """Kill everything that runs inside, and report `ProcessesGone`. `/tmp` stays (EX-73)."""


@dataclass(frozen=True, slots=True)
class Offer:
    """The environment can take an invocation."""


@dataclass(frozen=True, slots=True)
class Withdraw:
    """The environment will take no invocation any more, although it is not at its end yet."""


@dataclass(frozen=True, slots=True)
class Discard:
    """The environment has come to its end: destroy the sandbox."""


Record: TypeAlias = (
    RecordInitStart
    | RecordInitRuntimeDone
    | RecordExtension
    | RecordInit
    | RecordRestoreStart
    | RecordRestore
    | RecordStart
    | RecordRuntimeDone
    | RecordEnd
)
"""What log and telemetry say."""

Command: TypeAlias = (
    Record
    | LaunchExtension
    | LaunchRuntime
    | GiveInvoke
    | GiveShutdown
    | GiveEvent
    | AnswerRestore
    | Reply
    | EndReply
    | CloseSubscriptions
    | FlushTelemetry
    | Freeze
    | Thaw
    | TerminateRuntime
    | KillRuntime
    | KillExtension
    | KillProcesses
    | Offer
    | Withdraw
    | Discard
)
