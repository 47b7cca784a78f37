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


@dataclass(frozen=True, slots=True)
class LaunchRuntime:
    """Start the runtime's first program, and report `RuntimeExited` when it ends."""

    phase: InitPhase


@dataclass(frozen=True, slots=True)
class RecordInit:
    """An initialisation has ended."""

    phase: InitPhase
    duration_s: float
    status: Status
    error_type: str = ""


@dataclass(frozen=True, slots=True)
class RecordStart:
    """The invocation begins: the START line."""

    invocation: Invocation


@dataclass(frozen=True, slots=True)
class GiveEvent:
    """Answer the oldest waiting `next`. If none waits, do nothing: the next one to come asks for it again."""

    invocation: Invocation


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer the function's caller; comes exactly once for each invocation."""

    invocation: Invocation
    payload: bytes
    failed: bool = False


@dataclass(frozen=True, slots=True)
class RecordEnd:
    """The invocation has ended for the environment: END and REPORT.

    Attributes:
        duration_s: From the release of the event to the last `next` (7.2).
        init_duration_s: Only for the first invocation after an init phase of its own.
    """

    invocation: Invocation
    duration_s: float
    status: Status
    error_type: str = ""
    init_duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class Freeze:
    """Stop all processes of the environment from running."""


@dataclass(frozen=True, slots=True)
class Thaw:
    """Let them run again."""


@dataclass(frozen=True, slots=True)
class KillProcesses:
    """Kill everything that runs inside, and report `ProcessesGone`. `/tmp` stays (EX-73)."""


@dataclass(frozen=True, slots=True)
class Offer:
    """The environment can take an invocation."""


@dataclass(frozen=True, slots=True)
class Discard:
    """The environment has come to its end: destroy the sandbox."""


Command: TypeAlias = (
    LaunchRuntime
    | RecordInit
    | RecordStart
    | GiveEvent
    | Reply
    | RecordEnd
    | Freeze
    | Thaw
    | KillProcesses
    | Offer
    | Discard
)
