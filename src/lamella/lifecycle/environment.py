"""The phases of one execution environment: init, invoke, reset, shutdown (section 4 of the contract).

Couplings that the tables cannot show:

* The caller is answered at `response`, the environment is free when the runtime and every extension that follows
  invocations have asked for the next event (EX-63). In between the phase is still INVOKE and the deadline still holds,
  but the caller's answer can no longer change.
* A failed init is not the caller's error. The environment goes through SHUTDOWN and RESET back to COLD, and the
  invocation that is then assigned carries a second init inside itself, against the function's own timeout (4.3,
  "suppressed init"). So COLD takes two events: `InitRequested` for the first try, `InvocationAssigned` for every later
  one.
* An init has up to three steps: external extensions register, then the runtime starts, then all of them ask for their
  first event (4.1). Without extensions the first and the last are empty.
* SHUTDOWN is the orderly end of the processes, for a reset and for the end of the environment alike; a machine of its
  own has the order (`lifecycle.shutdown`). Without an extension that has registered there is no such phase.
* `Offer`, `Discard`, `KillProcesses` and `FlushTelemetry` come last among the commands for an event, as performing them
  can bring the next event before the host has returned.

Calls of processes whose environment is being killed are refused like any other illegal transition; the host has cut
their connections by then.
"""

import json
import math
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final, assert_never

from lamella.domain.errors import FunctionErrorType
from lamella.domain.invocation import Invocation
from lamella.lifecycle.commands import (
    AnswerRestore,
    CloseSubscriptions,
    Command,
    Discard,
    EndReply,
    Freeze,
    GiveEvent,
    GiveInvoke,
    InitPhase,
    KillProcesses,
    LaunchExtension,
    LaunchRuntime,
    Offer,
    RecordEnd,
    RecordExtension,
    RecordInit,
    RecordInitRuntimeDone,
    RecordInitStart,
    RecordRestore,
    RecordRestoreStart,
    RecordStart,
    Reply,
    ShutdownReason,
    Status,
    Thaw,
    Withdraw,
)
from lamella.lifecycle.course import Course, outcome
from lamella.lifecycle.events import (
    DeadlinePassed,
    ErrorPosted,
    Event,
    ExtensionExited,
    ExtensionExitErrorPosted,
    ExtensionInitErrorPosted,
    ExtensionLaunchFailed,
    ExtensionPolled,
    ExtensionRegistered,
    InitErrorPosted,
    InitRequested,
    InvocationAssigned,
    LaunchFailed,
    NextPolled,
    ProcessesGone,
    ProtocolError,
    ResponseEnded,
    ResponsePosted,
    ResponseRefused,
    ResponseStarted,
    RestoreErrorPosted,
    RestorePolled,
    RuntimeExited,
    ShutdownRequested,
    TelemetryFlushed,
    TransitionError,
)
from lamella.lifecycle.extension import MAX_EXTENSIONS, ExtensionMachine, Extensions
from lamella.lifecycle.runtime import TARGETS, RuntimeMachine, RuntimeState
from lamella.lifecycle.shutdown import ShutdownMachine, Step

INIT_ERROR_GRACE_S: Final = 1.0
"""How long a process that posted an error has for its exit; then the call itself counts as the failure (EX-52)."""
RESTORE_HOOKS_S: Final = 10.0  # RT-70


class Phase(Enum):
    """What the environment is doing."""

    COLD = "cold"  # a sandbox without any process of the function
    INIT = "init"  # extensions and runtime start, no invocation is bound to them
    IDLE = "idle"  # all wait for an event; frozen
    INVOKE = "invoke"  # one invocation is bound, whether its runtime is still starting or not
    SHUTDOWN = "shutdown"  # the processes end in order, before a reset or for good
    RESET = "reset"  # the processes are being killed; the sandbox stays
    ENDED = "ended"  # nothing more will happen


_ANSWERS: Final = frozenset({ResponsePosted, ResponseStarted, ResponseEnded, ErrorPosted, ResponseRefused})
_INIT_CALLS: Final = frozenset({RestorePolled, RestoreErrorPosted, InitErrorPosted})
_RUNTIME_CALLS: Final = frozenset({NextPolled, *_INIT_CALLS, *_ANSWERS})
_EXTENSION_CALLS: Final = frozenset(
    {ExtensionRegistered, ExtensionPolled, ExtensionInitErrorPosted, ExtensionExitErrorPosted}
)
_NEWS: Final = frozenset(
    {RuntimeExited, LaunchFailed, ExtensionExited, ExtensionLaunchFailed, TelemetryFlushed, ShutdownRequested}
)
"""Nobody asks whether these may be: they have happened. So no phase refuses them, and a phase that they come too late
for takes no notice."""

LEGAL: Final[Mapping[Phase, frozenset[type[Event]]]] = {
    Phase.COLD: frozenset({InitRequested, InvocationAssigned, *_NEWS}),
    Phase.INIT: frozenset({NextPolled, DeadlinePassed, *_INIT_CALLS, *_EXTENSION_CALLS, *_NEWS}),
    Phase.IDLE: frozenset({NextPolled, InvocationAssigned, *_EXTENSION_CALLS, *_NEWS}),
    Phase.INVOKE: frozenset({DeadlinePassed, *_RUNTIME_CALLS, *_EXTENSION_CALLS, *_NEWS}),
    Phase.SHUTDOWN: frozenset({DeadlinePassed, *_EXTENSION_CALLS, *_NEWS}),
    Phase.RESET: frozenset({ProcessesGone, *_NEWS}),
    Phase.ENDED: frozenset({ProcessesGone, *_NEWS}),
}
"""Which events a phase takes. Calls of runtime and extensions are checked by their own tables as well."""

_WITHOUT_PROCESSES: Final = (Phase.COLD, Phase.RESET, Phase.ENDED)

# Commands without arguments are the same object each time.
_THAW: Final = Thaw()
_FREEZE: Final = Freeze()
_OFFER: Final = Offer()


class EnvironmentMachine:
    """One execution environment.

    Attributes:
        phase: See `Phase`.
        deadline_s: Monotonic seconds at which the host sends `DeadlinePassed`; `math.inf` if never.
    """

    __slots__ = (
        "_began_s",
        "_course",
        "_ending",
        "_extension_names",
        "_extensions",
        "_failure",
        "_failure_posted",
        "_init_duration_s",
        "_init_timeout_s",
        "_initialising",
        "_restore_began_s",
        "_restore_duration_s",
        "_runtime",
        "_runtime_alive",
        "_runtime_init_recorded",
        "_shutdown",
        "deadline_s",
        "phase",
    )

    def __init__(self, *, init_timeout_s: float, extensions: Sequence[str] = ()) -> None:
        """A sandbox stands, and nothing runs in it.

        Args:
            init_timeout_s: Of an init phase of its own (EX-60, EX-61).
            extensions: Names of the external extensions, sorted.
        """
        self.phase = Phase.COLD
        self.deadline_s = math.inf
        self._init_timeout_s = init_timeout_s
        self._extension_names = extensions
        self._runtime = RuntimeMachine()
        self._runtime_alive = False
        self._extensions = Extensions()
        self._initialising = False
        self._runtime_init_recorded = False
        self._began_s = 0.0  # of the running or last init
        self._course: Course | None = None  # of the running invocation
        # The first fatal error wins (EX-64): type, and payload for the caller. An extension's own error has no payload
        # until a process exits and its exit can be put into words.
        self._failure: tuple[str, bytes | None] | None = None
        self._failure_posted = False  # by a process that has yet to exit
        self._init_duration_s: float | None = None
        self._restore_began_s: float | None = None
        self._restore_duration_s: float | None = None
        self._shutdown: ShutdownMachine | None = None
        self._ending = False  # the running shutdown or reset is the last one

    @property
    def responded(self) -> bool:
        """Whether the running invocation has its answer, so that the environment is about to become idle."""
        return self._course is not None and self._course.replied

    def extension(self, identifier: str) -> ExtensionMachine:
        """The extension that was given this identifier.

        Raises:
            ExtensionRefusedError: There is none (EX-39).
        """
        return self._extensions.identified(identifier)

    def break_off(self) -> None:
        """The host cannot go on, which is a fault of ours: nothing more will happen."""
        self.phase = Phase.ENDED
        self.deadline_s = math.inf

    def receive(self, event: Event, *, now_s: float) -> list[Command]:
        """Take one event and say what the host must do next, in order.

        Args:
            event: What happened.
            now_s: Monotonic seconds. The machine never reads a clock.

        Returns:
            Commands for the host; empty when there is nothing to do.

        Raises:
            ProtocolError: A response or error for an invocation that is not running; nothing has changed.
            ExtensionRefusedError: An extension asked for what it cannot have; nothing has changed.
            TransitionError: Not legal now; nothing has changed.
        """
        kind = type(event)
        # The id is checked before any state (RT-31).
        if kind in _ANSWERS and (
            self._course is None or event.request_id != self._course.invocation.request_id  # type: ignore[union-attr]  # those have one
        ):
            raise ProtocolError
        if kind not in LEGAL[self.phase]:
            raise TransitionError(self._runtime.state.value, TARGETS.get(kind, kind.__name__))
        if self.phase is Phase.SHUTDOWN:
            return self._in_shutdown(event, now_s)
        before = self._runtime.state
        if kind in _RUNTIME_CALLS:
            self._runtime.receive(event)
        match event:
            case NextPolled():
                return self._next_polled(before, now_s)
            case ResponsePosted(payload=payload, content_type=content_type):
                self._running.answered(event, now_s)
                return self._reply(payload, failed=False, content_type=content_type)
            case ErrorPosted(payload=payload):
                self._running.answered(event, now_s)
                return self._reply(payload, failed=True)
            case ResponseRefused(error_type=error_type, message=message):
                payload = _error_payload(error_type, message)
                self._failure = self._failure or (error_type, payload)
                return self._reply(payload, failed=True)
            case ResponseStarted():
                self._running.answer_began(now_s)
                return []
            case ResponseEnded(error_code=error_code, error_type=error_type, error_body=error_body):
                self._running.answer_ended(event, now_s)
                return [EndReply(self._running.invocation, error_code or error_type, error_body)]
            case InvocationAssigned(invocation=invocation, timeout_s=timeout_s):
                return self._assigned(invocation, timeout_s, now_s)
            case InitRequested():
                self.phase = Phase.INIT
                self.deadline_s = now_s + self._init_timeout_s
                return self._start_init(InitPhase.INIT, now_s)
            case ExtensionRegistered():
                return self._registered(event)
            case ExtensionPolled(identifier=identifier):
                self._extensions.identified(identifier).receive(event)
                return self._extension_polled(now_s)
            case ExtensionInitErrorPosted(identifier=identifier):
                self._extensions.identified(identifier).receive(event)
                return self._error_posted(FunctionErrorType.EXTENSION_INIT_ERROR, None, now_s)
            case ExtensionExitErrorPosted(identifier=identifier):
                self._extensions.identified(identifier).receive(event)
                return self._error_posted(FunctionErrorType.EXTENSION_EXIT_ERROR, None, now_s)
            case ExtensionLaunchFailed(name=name, message=message) | ExtensionExited(name=name, message=message):
                return self._extension_ended(event, name, message, now_s)
            case RestorePolled():
                return self._restore_polled(now_s)
            case (
                InitErrorPosted(payload=payload, error_type=error_type)
                | RestoreErrorPosted(payload=payload, error_type=error_type)
            ):
                return self._error_posted(error_type, payload, now_s)
            case LaunchFailed(error_type=error_type, message=message):
                self._runtime_alive = False
                return self._failed(error_type, error_type, message, now_s)
            case RuntimeExited(message=message, out_of_memory=out_of_memory):
                self._runtime_alive = False
                # The payload always says ExitError; REPORT and telemetry know about memory (table of EX-67).
                reported = (
                    FunctionErrorType.RUNTIME_OUT_OF_MEMORY if out_of_memory else FunctionErrorType.RUNTIME_EXIT_ERROR
                )
                return self._failed(reported, FunctionErrorType.RUNTIME_EXIT_ERROR, message, now_s)
            case TelemetryFlushed():
                return []  # too late: whoever asked for it has gone
            case DeadlinePassed():
                return self._deadline_passed(now_s)
            case ProcessesGone():
                return self._processes_gone()
            case ShutdownRequested():
                return self._shutdown_requested(now_s)
            case _:
                assert_never(event)

    # Init

    def _start_init(self, phase: InitPhase, now_s: float) -> list[Command]:
        """Begin with the extensions; the runtime follows when all of them have registered (4.1)."""
        self._began_s = now_s
        self._runtime = RuntimeMachine()
        self._runtime_alive = False
        self._extensions = Extensions(self._extension_names)
        self._initialising = True
        self._runtime_init_recorded = False
        self._init_duration_s = self._restore_duration_s = self._restore_began_s = None
        self._failure = None
        self._failure_posted = False
        begin: list[Command] = [RecordInitStart(phase)]
        if len(self._extension_names) > MAX_EXTENSIONS:
            error_type = FunctionErrorType.EXTENSION_LAUNCH_ERROR
            return begin + self._failed(error_type, error_type, "TooManyExtensions", now_s)
        if self._extension_names:
            return [*begin, *(LaunchExtension(name) for name in self._extension_names)]
        return [*begin, self._launch_runtime()]

    def _launch_runtime(self) -> LaunchRuntime:
        self._runtime_alive = True
        return LaunchRuntime(self._init_phase)

    @property
    def _init_phase(self) -> InitPhase:
        return InitPhase.INIT if self._course is None else InitPhase.INVOKE

    def _registered(self, event: ExtensionRegistered) -> list[Command]:
        began = self._runtime.state not in (RuntimeState.STARTED, RuntimeState.RESTORING)
        self._extensions.register(event, closed=began or not self._initialising)
        if self._initialising and not self._runtime_alive and self._extensions.launched:
            return [self._launch_runtime()]
        return []

    def _restore_polled(self, now_s: float) -> list[Command]:
        self._restore_began_s = now_s
        self.deadline_s = min(self.deadline_s, now_s + RESTORE_HOOKS_S)
        return [self._runtime_init_done(Status.SUCCESS), RecordRestoreStart(), AnswerRestore()]

    def _runtime_init_done(self, status: Status, error_type: str = "") -> RecordInitRuntimeDone:
        self._runtime_init_recorded = True
        return RecordInitRuntimeDone(self._init_phase, status, error_type)

    def _runtime_initialised(self, before: RuntimeState, now_s: float) -> list[Command]:
        """The runtime has asked for its first event."""
        if before is RuntimeState.RESTORING and self._restore_began_s is not None:
            self._restore_duration_s = now_s - self._restore_began_s
            if not self._failure_posted:
                self.deadline_s = self._limit_s  # that of the hooks has been kept
            done: list[Command] = [RecordRestore(self._restore_duration_s, Status.SUCCESS)]
        else:
            done = [self._runtime_init_done(Status.SUCCESS)]
        return done + self._init_ended_if_complete(now_s)

    def _init_ended_if_complete(self, now_s: float) -> list[Command]:
        if self._runtime.state is not RuntimeState.READY or not self._extensions.initialised or self._failure_posted:
            return []
        self._initialising = False
        course = self._course
        duration_s = now_s - self._began_s
        done: list[Command] = [*self._extension_records(), CloseSubscriptions()]
        if course is None:
            self.phase = Phase.IDLE
            self.deadline_s = math.inf
            # REPORT shows the one or the other, never both.
            self._init_duration_s = duration_s if self._restore_duration_s is None else None
            return [*done, RecordInit(InitPhase.INIT, duration_s, Status.SUCCESS), _FREEZE, _OFFER]
        return [*done, RecordInit(InitPhase.INVOKE, duration_s, Status.SUCCESS), *self._give(course, now_s)]

    def _extension_records(self) -> list[Command]:
        return [
            RecordExtension(extension.name, extension.state.value, extension.events, extension.error_type)
            for extension in self._extensions
        ]

    # Invocations

    @property
    def _running(self) -> Course:
        """The running invocation, where the tables have made sure that there is one."""
        assert self._course is not None
        return self._course

    def _assigned(self, invocation: Invocation, timeout_s: float, now_s: float) -> list[Command]:
        cold = self.phase is Phase.COLD
        self.phase = Phase.INVOKE
        self._failure = None
        course = self._course = Course(invocation, timeout_s, now_s)
        self.deadline_s = course.deadline_s
        if cold:
            return self._start_init(InitPhase.INVOKE, now_s)
        return [_THAW, *self._give(course, now_s)]

    def _give(self, course: Course, now_s: float) -> list[Command]:
        """Release the event: to the extensions first, then to the runtime (4.1, step 7)."""
        self._runtime.receive(_ASSIGNED)
        course.given(now_s)
        invocation = course.invocation
        followers = self._extensions.followers
        if not followers:
            return [RecordStart(invocation), GiveEvent(invocation)]
        for extension in followers:
            extension.receive(_ASSIGNED)
        told = [GiveInvoke(extension.identifier, invocation) for extension in followers]
        return [RecordStart(invocation), *told, GiveEvent(invocation)]

    def _next_polled(self, before: RuntimeState, now_s: float) -> list[Command]:
        if before in (RuntimeState.STARTED, RuntimeState.RESTORING):
            return self._runtime_initialised(before, now_s)
        course = self._course
        if course is None or before is RuntimeState.READY:  # one more connection waits
            return []
        if before is RuntimeState.RUNNING:
            return [GiveEvent(course.invocation)]
        course.runtime_done_s = now_s
        done = course.runtime_done(now_s, self._error_type)
        if not self._extensions.done:
            return [done]
        return [done, *self._invocation_ended(course, now_s)]

    def _invocation_ended(self, course: Course, now_s: float) -> list[Command]:
        """Everybody has asked for the next event."""
        if self._failure_posted:
            return []  # an extension that is about to exit: the environment is not free
        end = self._end(course, now_s)
        self.phase = Phase.IDLE
        self.deadline_s = math.inf
        self._course = None
        return [end, _FREEZE, _OFFER]

    def _extension_polled(self, now_s: float) -> list[Command]:
        if self._initialising:
            return self._init_ended_if_complete(now_s)
        course = self._course
        if course is not None and course.runtime_done_s is not None and self._extensions.done:
            return self._invocation_ended(course, now_s)
        return []

    def _reply(self, payload: bytes, *, failed: bool, content_type: str = "") -> list[Command]:
        course = self._running
        course.replied = True
        return [Reply(course.invocation, payload, failed, content_type)]

    def _end(self, course: Course, now_s: float, *, timed_out: bool = False) -> RecordEnd:
        init_duration_s, self._init_duration_s = self._init_duration_s, None
        restore_duration_s, self._restore_duration_s = self._restore_duration_s, None
        return course.end(
            now_s,
            self._error_type,
            timed_out=timed_out,
            init_duration_s=init_duration_s,
            restore_duration_s=restore_duration_s,
            followed=bool(self._extensions.followers),
        )

    # Failures

    @property
    def _error_type(self) -> str:
        """Of the failure so far; empty if there is none."""
        return "" if self._failure is None else self._failure[0]

    def _error_posted(self, error_type: str, payload: bytes | None, now_s: float) -> list[Command]:
        """A process says that it cannot go on; it takes effect when it exits, or does not (RT-62, EX-52)."""
        if self.phase is Phase.IDLE:
            return self._begin_shutdown(ShutdownReason.FAILURE, now_s, ending=True)
        self._failure = self._failure or (error_type, payload)
        self._failure_posted = True
        self.deadline_s = min(self.deadline_s, now_s + INIT_ERROR_GRACE_S)
        return []

    def _extension_ended(
        self, event: ExtensionLaunchFailed | ExtensionExited, name: str, message: str, now_s: float
    ) -> list[Command]:
        if self.phase in _WITHOUT_PROCESSES:
            return []
        extension = self._extensions.named(name)
        extension.receive(event)
        launched = isinstance(event, ExtensionExited)
        error_type = FunctionErrorType.EXTENSION_CRASH if launched else FunctionErrorType.EXTENSION_LAUNCH_ERROR
        extension.error_type = extension.error_type or error_type
        return self._failed(error_type, error_type, message, now_s)

    def _failed(self, reported_type: str, payload_type: str, message: str, now_s: float) -> list[Command]:
        """A process cannot go on: it has ended, or never began."""
        if self.phase in _WITHOUT_PROCESSES:
            return []
        if self.phase is Phase.IDLE:
            # Between invocations nobody is waiting: no error, a fresh environment next time (EX-66).
            return self._begin_shutdown(ShutdownReason.FAILURE, now_s, ending=True)
        if self._failure is None:
            self._failure = (reported_type, self._payload(payload_type, message))
        elif self._failure[1] is None:
            self._failure = (self._failure[0], self._payload(self._failure[0], message))
        return self._reset(now_s)

    def _payload(self, error_type: str, message: str) -> bytes:
        prefix = "" if self._course is None else f"RequestId: {self._course.invocation.request_id} "
        return _error_payload(error_type, f"{prefix}Error: {message}")

    def _deadline_passed(self, now_s: float) -> list[Command]:
        if self._failure_posted:
            return self._reset(now_s)  # it said that it failed, and did not exit
        if self._runtime.state is RuntimeState.RESTORING and now_s < self._limit_s:
            error_type = FunctionErrorType.RUNTIME_RESTORE_HOOK_USER_TIMEOUT
            self._failure = (error_type, self._payload(error_type, "Restore hooks timed out"))
            return self._reset(now_s)
        return self._reset(now_s, timed_out=True)

    @property
    def _limit_s(self) -> float:
        """When the init of its own, or the invocation, has run out of time."""
        return self._began_s + self._init_timeout_s if self._course is None else self._course.deadline_s

    def _reset(self, now_s: float, *, timed_out: bool = False) -> list[Command]:
        """End the phase with its failure, and have the processes ended."""
        commands = self._interrupted(now_s, timed_out=timed_out)
        reason = ShutdownReason.TIMEOUT if timed_out else ShutdownReason.FAILURE
        return commands + self._begin_shutdown(reason, now_s, ending=False)

    def _interrupted(self, now_s: float, *, timed_out: bool = False) -> list[Command]:
        """Records of the init and of the invocation that will not be completed, and the answer that is still due."""
        commands: list[Command] = []
        course = self._course
        if self._initialising:
            commands += self._init_failed(now_s, timed_out=timed_out)
        if course is not None:
            if not course.started:
                # The report of the init inside the invocation comes before START (4.3).
                commands.append(RecordStart(course.invocation))
            if not course.replied:
                payload = self._timeout_payload(course) if timed_out else self._failure_payload()
                commands += self._reply(payload, failed=True)
            if course.runtime_done_s is None:
                commands.append(course.runtime_done(now_s, self._error_type, timed_out=timed_out))
            commands.append(self._end(course, now_s, timed_out=timed_out))
        self._initialising = False
        self._course = None
        self._failure = None
        self._failure_posted = False
        self._init_duration_s = None
        return commands

    def _timeout_payload(self, course: Course) -> bytes:
        text = f"RequestId: {course.invocation.request_id} Error: Task timed out after {course.timeout_s:.2f} seconds"
        return _error_payload(FunctionErrorType.SANDBOX_TIMEDOUT, text)

    def _failure_payload(self) -> bytes:
        assert self._failure is not None
        error_type, payload = self._failure
        if payload is None:
            # An extension that posted an error and did not exit: there is no exit to put into words.
            return self._payload(error_type, "the extension reported an error and did not exit")
        return payload

    def _init_failed(self, now_s: float, *, timed_out: bool) -> list[Command]:
        error_type = "" if timed_out else self._error_type
        status = outcome(error_type, timed_out=timed_out)
        commands: list[Command] = []
        if not self._runtime_init_recorded:
            commands.append(self._runtime_init_done(status, error_type))
        elif self._restore_began_s is not None and self._restore_duration_s is None:
            commands.append(RecordRestore(now_s - self._restore_began_s, status, error_type))
        commands += self._extension_records()
        return [*commands, RecordInit(self._init_phase, now_s - self._began_s, status, error_type)]

    # Shutdown and reset

    def _begin_shutdown(self, reason: ShutdownReason, now_s: float, *, ending: bool) -> list[Command]:
        """End the processes in order; at once if no extension has registered (EX-81)."""
        self._ending = ending
        if not self._extensions.registered_count:
            return self._kill()
        commands: list[Command] = [_THAW] if self.phase is Phase.IDLE else []
        if ending:
            commands.append(Withdraw())
        self.phase = Phase.SHUTDOWN
        self._shutdown = ShutdownMachine(self._extensions, reason, now_s=now_s)
        commands += self._shutdown.begin(runtime_alive=self._runtime_alive, now_s=now_s)
        return self._shutdown_went_on(commands)

    def _in_shutdown(self, event: Event, now_s: float) -> list[Command]:
        if isinstance(event, ShutdownRequested):
            if self._ending:
                return []
            self._ending = True
            return [Withdraw()]
        assert self._shutdown is not None
        return self._shutdown_went_on(self._shutdown.receive(event, now_s=now_s))

    def _shutdown_went_on(self, commands: list[Command]) -> list[Command]:
        assert self._shutdown is not None
        self.deadline_s = self._shutdown.deadline_s
        return commands + self._kill() if self._shutdown.step is Step.OVER else commands

    def _kill(self) -> list[Command]:
        """Whatever still runs has had its time."""
        self.deadline_s = math.inf
        if self._ending:
            self.phase = Phase.ENDED
            return [Discard()]
        self.phase = Phase.RESET
        return [KillProcesses()]

    def _processes_gone(self) -> list[Command]:
        if self.phase is Phase.ENDED:
            return []
        self.phase = Phase.COLD
        self._extensions = Extensions()
        return [_OFFER]

    def _shutdown_requested(self, now_s: float) -> list[Command]:
        match self.phase:
            case Phase.ENDED:
                return []
            case Phase.RESET:
                self._ending = True
                return self._kill()
            case _:
                commands: list[Command] = []
                if self._course is not None:
                    if not self._course.replied and self._failure is None:
                        error_type = FunctionErrorType.SANDBOX_FAILURE
                        payload = self._payload(error_type, "The execution environment was shut down")
                        self._failure = (error_type, payload)
                    commands += self._interrupted(now_s)
                self._initialising = False
                return commands + self._begin_shutdown(ShutdownReason.SPINDOWN, now_s, ending=True)


_ASSIGNED: Final = InvocationAssigned(Invocation("", b"", "", "", ""), 0.0)
"""For the tables of runtime and extensions, which look at the type alone."""


def _error_payload(error_type: str, message: str) -> bytes:
    """Key order and lack of spaces as recorded on the real service (4.4)."""
    return json.dumps({"errorType": error_type, "errorMessage": message}, separators=(",", ":")).encode()
