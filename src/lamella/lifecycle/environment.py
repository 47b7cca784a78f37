"""The phases of one execution environment: init, invoke, reset, shutdown (section 4 of the contract).

Two couplings that the tables cannot show:

* The caller is answered at `response`, the environment is free at the following `next` (EX-63). In between the phase is
  still INVOKE and the deadline still holds, but the caller's answer can no longer change.
* A failed init is not the caller's error. The environment goes through RESET back to COLD, and the invocation that is
  then assigned carries a second init inside itself, against the function's own timeout (4.3, "suppressed init"). So
  COLD takes two events: `InitRequested` for the first try, `InvocationAssigned` for every later one.

Calls of a runtime whose environment is being reset or shut down are refused like any other illegal transition; the host
has cut its connections by then.
"""

import json
import math
from collections.abc import Mapping
from enum import Enum
from typing import Final, assert_never

from lamella.domain.errors import FunctionErrorType
from lamella.domain.invocation import Invocation
from lamella.lifecycle.commands import (
    Command,
    Discard,
    Freeze,
    GiveEvent,
    InitPhase,
    KillProcesses,
    LaunchRuntime,
    Offer,
    RecordEnd,
    RecordInit,
    RecordStart,
    Reply,
    Status,
    Thaw,
)
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
    ProtocolError,
    ResponsePosted,
    ResponseRefused,
    RuntimeExited,
    ShutdownRequested,
    TransitionError,
)
from lamella.lifecycle.runtime import RuntimeMachine, RuntimeState

INIT_ERROR_GRACE_S: Final = 1.0
"""How long a runtime that posted `init/error` has for its exit; then the call itself counts as the failure (EX-52)."""


class Phase(Enum):
    """What the environment is doing."""

    COLD = "cold"  # a sandbox without a runtime process
    INIT = "init"  # the runtime starts, no invocation is bound to it
    IDLE = "idle"  # the runtime waits in `next`; frozen
    INVOKE = "invoke"  # one invocation is bound, whether its runtime is still starting or not
    RESET = "reset"  # the processes are being killed; the sandbox stays
    ENDED = "ended"  # nothing more will happen


LEGAL: Final[Mapping[Phase, frozenset[type[Event]]]] = {
    Phase.COLD: frozenset({InitRequested, InvocationAssigned, ShutdownRequested}),
    Phase.INIT: frozenset(
        {NextPolled, InitErrorPosted, LaunchFailed, RuntimeExited, DeadlinePassed, ShutdownRequested}
    ),
    Phase.IDLE: frozenset({NextPolled, InvocationAssigned, RuntimeExited, ShutdownRequested}),
    Phase.INVOKE: frozenset(
        {
            NextPolled,
            InitErrorPosted,
            LaunchFailed,
            ResponsePosted,
            ErrorPosted,
            ResponseRefused,
            RuntimeExited,
            DeadlinePassed,
            ShutdownRequested,
        }
    ),
    # The exit that the reset itself causes is no news.
    Phase.RESET: frozenset({ProcessesGone, RuntimeExited, LaunchFailed, ShutdownRequested}),
    Phase.ENDED: frozenset({ProcessesGone, RuntimeExited, LaunchFailed, ShutdownRequested}),
}
"""Which events a phase takes. Calls of the runtime are checked by its own table as well."""

_RUNTIME_CALLS: Final = frozenset({NextPolled, InitErrorPosted, ResponsePosted, ErrorPosted, ResponseRefused})


class EnvironmentMachine:
    """One execution environment.

    Attributes:
        phase: See `Phase`.
        deadline_s: Monotonic seconds at which the host sends `DeadlinePassed`; `math.inf` if never.
    """

    __slots__ = (
        "_began_s",
        "_failure",
        "_init_duration_s",
        "_init_timeout_s",
        "_invocation",
        "_replied",
        "_runtime",
        "_start_recorded",
        "_timeout_s",
        "deadline_s",
        "phase",
    )

    def __init__(self, *, init_timeout_s: float) -> None:
        self.phase = Phase.COLD
        self.deadline_s = math.inf
        self._init_timeout_s = init_timeout_s
        self._runtime = RuntimeMachine()
        self._invocation: Invocation | None = None
        self._timeout_s = 0.0
        self._began_s = 0.0  # of the init in phase INIT, of the invocation in phase INVOKE
        self._replied = False
        self._start_recorded = False
        # The first fatal error wins (EX-64): type, and payload if the runtime gave one.
        self._failure: tuple[str, bytes] | None = None
        self._init_duration_s: float | None = None

    @property
    def responded(self) -> bool:
        """Whether the running invocation has its answer, so that the environment is about to become idle."""
        return self._replied and self.phase is Phase.INVOKE

    def receive(self, event: Event, *, now_s: float) -> list[Command]:
        """Take one event and say what the host must do next, in order.

        Args:
            event: What happened.
            now_s: Monotonic seconds. The machine never reads a clock.

        Returns:
            Commands for the host; empty when there is nothing to do.

        Raises:
            ProtocolError: A response or error for an invocation that is not running; nothing has changed.
            TransitionError: Not legal now; nothing has changed.
        """
        # The id is checked before any state (RT-31).
        if isinstance(event, ResponsePosted | ErrorPosted | ResponseRefused) and (
            self._invocation is None or event.request_id != self._invocation.request_id
        ):
            raise ProtocolError
        if type(event) not in LEGAL[self.phase]:
            raise TransitionError(self._runtime.state.value, type(event).__name__)
        if type(event) in _RUNTIME_CALLS:
            before = self._runtime.state
            self._runtime.receive(event)
        else:
            before = self._runtime.state
        match event:
            case NextPolled():
                return self._next_polled(before, now_s)
            case ResponsePosted(payload=payload):
                return self._reply(payload, failed=False)
            case ErrorPosted(payload=payload):
                # Not a failure of the environment: REPORT does not show it (LG-02).
                return self._reply(payload, failed=True)
            case ResponseRefused(error_type=error_type, message=message):
                payload = _error_payload(error_type, message)
                self._failure = self._failure or (error_type, payload)
                return self._reply(payload, failed=True)
            case InvocationAssigned(invocation=invocation, timeout_s=timeout_s):
                return self._assigned(invocation, timeout_s, now_s)
            case InitRequested():
                self.phase = Phase.INIT
                self._runtime = RuntimeMachine()
                self._began_s = now_s
                self.deadline_s = now_s + self._init_timeout_s
                return [LaunchRuntime(InitPhase.INIT)]
            case InitErrorPosted(payload=payload, error_type=error_type):
                self._failure = self._failure or (error_type, payload)
                self.deadline_s = min(self.deadline_s, now_s + INIT_ERROR_GRACE_S)
                return []
            case LaunchFailed(error_type=error_type, message=message):
                return self._failed(error_type, error_type, message, now_s)
            case RuntimeExited(message=message, out_of_memory=out_of_memory):
                # The payload always says ExitError; REPORT and telemetry know about memory (table of EX-67).
                reported = (
                    FunctionErrorType.RUNTIME_OUT_OF_MEMORY if out_of_memory else FunctionErrorType.RUNTIME_EXIT_ERROR
                )
                return self._failed(reported, FunctionErrorType.RUNTIME_EXIT_ERROR, message, now_s)
            case DeadlinePassed():
                return self._deadline_passed(now_s)
            case ProcessesGone():
                return self._processes_gone()
            case ShutdownRequested():
                return self._shut_down(now_s)
            case _:
                assert_never(event)

    def _assigned(self, invocation: Invocation, timeout_s: float, now_s: float) -> list[Command]:
        self._invocation = invocation
        self._timeout_s = timeout_s
        self._began_s = now_s
        self._replied = False
        self._failure = None
        self.deadline_s = now_s + timeout_s
        if self.phase is Phase.COLD:
            self.phase = Phase.INVOKE
            self._runtime = RuntimeMachine()
            self._start_recorded = False
            self._init_duration_s = None
            return [LaunchRuntime(InitPhase.INVOKE)]
        self._runtime.receive(_ASSIGNED)
        self.phase = Phase.INVOKE
        self._start_recorded = True
        return [Thaw(), RecordStart(invocation), GiveEvent(invocation)]

    def _next_polled(self, before: RuntimeState, now_s: float) -> list[Command]:
        invocation = self._invocation
        if self.phase is Phase.INIT:
            self.phase = Phase.IDLE
            self.deadline_s = math.inf
            self._init_duration_s = now_s - self._began_s
            return [RecordInit(InitPhase.INIT, self._init_duration_s, Status.SUCCESS), Freeze(), Offer()]
        if invocation is None:  # IDLE: one more connection waits
            return []
        if before is RuntimeState.STARTED:  # the init inside the invocation succeeded
            self._runtime.receive(_ASSIGNED)
            self._start_recorded = True
            return [
                RecordInit(InitPhase.INVOKE, now_s - self._began_s, Status.SUCCESS),
                RecordStart(invocation),
                GiveEvent(invocation),
            ]
        if before is RuntimeState.RUNNING:
            return [GiveEvent(invocation)]
        self.phase = Phase.IDLE
        self.deadline_s = math.inf
        commands: list[Command] = [self._end(invocation, now_s - self._began_s), Freeze(), Offer()]
        self._invocation = None
        return commands

    def _reply(self, payload: bytes, *, failed: bool) -> list[Command]:
        assert self._invocation is not None
        if self._replied:
            return []
        self._replied = True
        return [Reply(self._invocation, payload, failed)]

    def _end(self, invocation: Invocation, duration_s: float, *, timed_out: bool = False) -> RecordEnd:
        init_duration_s, self._init_duration_s = self._init_duration_s, None
        if timed_out:
            return RecordEnd(invocation, duration_s, Status.TIMEOUT, "", init_duration_s)
        if self._failure is not None:
            error_type = self._failure[0]
            return RecordEnd(invocation, duration_s, _status_of(error_type), error_type, init_duration_s)
        return RecordEnd(invocation, duration_s, Status.SUCCESS, "", init_duration_s)

    def _failed(self, reported_type: str, payload_type: str, message: str, now_s: float) -> list[Command]:
        """The runtime cannot go on: its process ended, or never began."""
        if self.phase in (Phase.RESET, Phase.ENDED):
            return []
        if self.phase is Phase.IDLE:
            # Between invocations nobody is waiting: no error, a fresh environment next time (EX-66).
            self.phase = Phase.ENDED
            return [Discard()]
        invocation = self._invocation
        prefix = "" if invocation is None else f"RequestId: {invocation.request_id} "
        posted = self._failure
        self._failure = posted or (reported_type, _error_payload(payload_type, f"{prefix}Error: {message}"))
        return self._reset(now_s)

    def _deadline_passed(self, now_s: float) -> list[Command]:
        if self._failure is not None and self._runtime.state is RuntimeState.INIT_ERROR:
            return self._reset(now_s)  # it said that it failed, and did not exit
        return self._reset(now_s, timed_out=True)

    def _reset(self, now_s: float, *, timed_out: bool = False) -> list[Command]:
        """End the phase with its failure, and have the processes killed."""
        commands: list[Command] = []
        invocation = self._invocation
        if invocation is None:
            commands.append(self._init_record(InitPhase.INIT, now_s, timed_out=timed_out))
        else:
            if not self._start_recorded:
                # The report of the init inside the invocation comes before START (4.3).
                commands += [
                    self._init_record(InitPhase.INVOKE, now_s, timed_out=timed_out),
                    RecordStart(invocation),
                ]
            duration_s = self._timeout_s if timed_out else now_s - self._began_s
            if timed_out:
                text = f"RequestId: {invocation.request_id} Error: Task timed out after {self._timeout_s:.2f} seconds"
                commands += self._reply(_error_payload(FunctionErrorType.SANDBOX_TIMEDOUT, text), failed=True)
            else:
                assert self._failure is not None
                commands += self._reply(self._failure[1], failed=True)
            commands.append(self._end(invocation, duration_s, timed_out=timed_out))
        commands.append(KillProcesses())
        self.phase = Phase.RESET
        self.deadline_s = math.inf
        self._invocation = None
        self._failure = None
        self._init_duration_s = None
        return commands

    def _init_record(self, phase: InitPhase, now_s: float, *, timed_out: bool) -> RecordInit:
        duration_s = now_s - self._began_s
        if timed_out:
            return RecordInit(phase, duration_s, Status.TIMEOUT)
        assert self._failure is not None
        return RecordInit(phase, duration_s, _status_of(self._failure[0]), self._failure[0])

    def _processes_gone(self) -> list[Command]:
        if self.phase is Phase.ENDED:
            return []
        self.phase = Phase.COLD
        return [Offer()]

    def _shut_down(self, now_s: float) -> list[Command]:
        if self.phase is Phase.ENDED:
            return []
        commands: list[Command] = []
        invocation = self._invocation
        if invocation is not None:
            if not self._replied:
                text = f"RequestId: {invocation.request_id} Error: The execution environment was shut down"
                payload = _error_payload(FunctionErrorType.SANDBOX_FAILURE, text)
                self._failure = self._failure or (FunctionErrorType.SANDBOX_FAILURE, payload)
                commands += self._reply(payload, failed=True)
            if not self._start_recorded:
                commands.append(RecordStart(invocation))
            commands.append(self._end(invocation, now_s - self._began_s))
        self._invocation = None
        self.phase = Phase.ENDED
        self.deadline_s = math.inf
        return [*commands, Discard()]


_ASSIGNED: Final = InvocationAssigned(Invocation("", b"", "", "", ""), 0.0)
"""For the runtime's own table, which looks at the type alone."""


def _status_of(error_type: str) -> Status:
    """Source: section 5.3, `failure` when the error type starts with `Sandbox.`, else `error`."""
    return Status.FAILURE if error_type.startswith("Sandbox.") else Status.ERROR


def _error_payload(error_type: str, message: str) -> bytes:
    """Key order and lack of spaces as recorded on the real service (4.4)."""
    return json.dumps({"errorType": error_type, "errorMessage": message}, separators=(",", ":")).encode()
