"""The phases of an execution environment, section 4."""

import itertools
import json
import math
from collections.abc import Sequence
from typing import TypeVar

import pytest
from tests.support.events import SAMPLES

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
    RecordRuntimeDone,
    RecordStart,
    Reply,
    Status,
    TerminateRuntime,
    Thaw,
    Withdraw,
)
from lamella.lifecycle.course import Course
from lamella.lifecycle.environment import INIT_ERROR_GRACE_S, LEGAL, EnvironmentMachine, Phase
from lamella.lifecycle.events import (
    DeadlinePassed,
    ErrorPosted,
    Event,
    ExtensionExited,
    ExtensionExitErrorPosted,
    ExtensionInitErrorPosted,
    ExtensionLaunchFailed,
    ExtensionPolled,
    ExtensionRefusedError,
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
from lamella.lifecycle.extension import ExtensionMachine, Extensions
from lamella.lifecycle.runtime import RuntimeMachine
from lamella.lifecycle.shutdown import ShutdownMachine
from lamella.testing.play import play

INVOCATION = Invocation("r-1", b'{"a":1}', "application/json", "arn:f", "Root=1-0-0")
SECOND = Invocation("r-2", b"{}", "application/json", "arn:f", "Root=1-0-0")
ASSIGNED = InvocationAssigned(INVOCATION, 3.0)
EXITED = RuntimeExited("Runtime exited with error: exit status 1")
REGISTERED = ExtensionRegistered("e-1", "one", ("INVOKE", "SHUTDOWN"))
POLLED = ExtensionPolled("e-1")
RESPONDED = ResponsePosted("r-1", b"1")

PATHS: dict[str, tuple[Event, ...]] = {
    "cold": (),
    "init": (InitRequested(),),
    "init, error posted": (InitRequested(), InitErrorPosted(b"{}", "Runtime.Bad")),
    "init, restoring": (InitRequested(), RestorePolled()),
    "idle": (InitRequested(), NextPolled()),
    "invoke": (InitRequested(), NextPolled(), ASSIGNED),
    "invoke, streaming": (InitRequested(), NextPolled(), ASSIGNED, ResponseStarted("r-1")),
    "invoke, answered": (InitRequested(), NextPolled(), ASSIGNED, RESPONDED),
    "invoke, starting": (ASSIGNED,),
    "reset": (InitRequested(), EXITED),
    "ended": (ShutdownRequested(),),
}
_READY = (InitRequested(), REGISTERED, NextPolled(), POLLED)
PATHS_WITH_EXTENSION: dict[str, tuple[Event, ...]] = {
    "init": (InitRequested(),),
    "init, registered": (InitRequested(), REGISTERED),
    "init, error posted": (InitRequested(), REGISTERED, ExtensionInitErrorPosted("e-1", "Extension.Bad")),
    "init, runtime ready": (InitRequested(), REGISTERED, NextPolled()),
    "init, extension ready": (InitRequested(), REGISTERED, POLLED),
    "idle": _READY,
    "invoke": (*_READY, ASSIGNED),
    "invoke, extension done": (*_READY, ASSIGNED, POLLED),
    "invoke, runtime done": (*_READY, ASSIGNED, RESPONDED, NextPolled()),
    "invoke, error posted": (*_READY, ASSIGNED, ExtensionExitErrorPosted("e-1", "Extension.Bad")),
    "invoke, starting": (ASSIGNED, REGISTERED),
    "shutdown, runtime": (*_READY, ShutdownRequested()),
    "shutdown, flush": (*_READY, ShutdownRequested(), DeadlinePassed()),
    "shutdown, told": (*_READY, ShutdownRequested(), EXITED, TelemetryFlushed()),
    "shutdown before a reset": (*_READY, ASSIGNED, EXITED),
    "reset": (InitRequested(), ExtensionExited("one", "exit status 1")),
    "ended": (*_READY, ShutdownRequested(), ExtensionExited("one", "exit code 0"), EXITED),
}
NEWS = (LaunchFailed, RuntimeExited, ExtensionLaunchFailed, ExtensionExited, TelemetryFlushed, ShutdownRequested)


def machine(path: str = "cold") -> EnvironmentMachine:
    return play(EnvironmentMachine(init_timeout_s=10.0), *PATHS[path])


def extended(path: str = "init", *, extensions: Sequence[str] = ("one",)) -> EnvironmentMachine:
    """With an external extension, which follows invocations and shutdowns."""
    return play(EnvironmentMachine(init_timeout_s=10.0, extensions=extensions), *PATHS_WITH_EXTENSION[path])


C = TypeVar("C", bound=Command)


def only(commands: list[Command], kind: type[C]) -> C:
    """The one command of that kind."""
    (found,) = [command for command in commands if isinstance(command, kind)]
    return found


def kinds(commands: list[Command]) -> list[type[Command]]:
    return [type(command) for command in commands]


def snapshot(one: object) -> object:
    """All that a machine holds, down to the last of its parts."""
    if isinstance(one, dict):
        return {key: snapshot(value) for key, value in one.items()}
    if isinstance(one, list):
        return [snapshot(value) for value in one]
    if isinstance(one, (EnvironmentMachine, Course, RuntimeMachine, Extensions, ExtensionMachine, ShutdownMachine)):
        return {name: snapshot(getattr(one, name)) for name in type(one).__slots__}
    return one


def is_legal_or_refused_without_a_trace(one: EnvironmentMachine, event: Event) -> None:
    before = snapshot(one)
    phase = one.phase
    try:
        one.receive(event, now_s=0.0)
    except (TransitionError, ExtensionRefusedError):
        assert snapshot(one) == before
        assert type(event) not in NEWS
        assert not (isinstance(event, DeadlinePassed) and one.deadline_s < math.inf)
    except ProtocolError:
        assert getattr(event, "request_id", None) == "r-1"
        assert one._course is None
        assert snapshot(one) == before
    else:
        assert type(event) in LEGAL[phase]


@pytest.mark.parametrize(
    ("path", "event"),
    [(path, event) for path in PATHS for event in SAMPLES if getattr(event, "name", "") != "one"],
    ids=lambda v: v if isinstance(v, str) else type(v).__name__,
)
def test_an_event_is_legal_or_refused_without_a_trace(path: str, event: Event) -> None:
    is_legal_or_refused_without_a_trace(machine(path), event)


@pytest.mark.parametrize(
    ("path", "event"),
    list(itertools.product(PATHS_WITH_EXTENSION, SAMPLES)),
    ids=lambda v: v if isinstance(v, str) else type(v).__name__,
)
def test_so_it_is_with_an_extension(path: str, event: Event) -> None:
    is_legal_or_refused_without_a_trace(extended(path), event)


@pytest.mark.parametrize("path", PATHS_WITH_EXTENSION)
def test_a_phase_in_which_others_act_has_a_deadline(path: str) -> None:
    one = extended(path)
    assert (one.deadline_s < math.inf) == (one.phase in (Phase.INIT, Phase.INVOKE, Phase.SHUTDOWN))


def test_a_cold_start_launches_freezes_and_offers() -> None:
    # rule RT-24
    one = machine()
    assert one.receive(InitRequested(), now_s=5.0) == [RecordInitStart(InitPhase.INIT), LaunchRuntime(InitPhase.INIT)]
    assert one.deadline_s == 15.0
    assert one.receive(NextPolled(), now_s=5.25) == [
        RecordInitRuntimeDone(InitPhase.INIT, Status.SUCCESS),
        CloseSubscriptions(),
        RecordInit(InitPhase.INIT, 0.25, Status.SUCCESS),
        Freeze(),
        Offer(),
    ]
    assert (one.phase, one.deadline_s) == (Phase.IDLE, math.inf)


def test_only_the_first_next_ends_the_init_phase() -> None:
    # rule RT-24: a second connection of the runtime just waits as well
    one = machine("idle")
    assert one.receive(NextPolled(), now_s=9.0) == []
    assert one.phase is Phase.IDLE


@pytest.mark.parametrize("path", ["cold", "init, error posted", "reset", "ended"])
def test_next_is_refused_where_no_runtime_may_ask(path: str) -> None:
    # rule RT-23
    one = machine(path)
    with pytest.raises(TransitionError):
        one.receive(NextPolled(), now_s=1.0)


def test_an_invocation_thaws_gives_replies_and_freezes() -> None:
    one = machine("idle")
    assert one.receive(ASSIGNED, now_s=7.0) == [Thaw(), RecordStart(INVOCATION), GiveEvent(INVOCATION)]
    assert one.deadline_s == 10.0
    assert one.receive(ResponsePosted("r-1", b"42"), now_s=7.5) == [Reply(INVOCATION, b"42")]  # RT-39
    assert one.responded
    assert one.receive(NextPolled(), now_s=8.0) == [
        RecordRuntimeDone(INVOCATION, 1.0, Status.SUCCESS, "", 2, 7.0, (7.5, 7.5), 8.0),
        RecordEnd(INVOCATION, 1.0, Status.SUCCESS, "", 0.0),
        Freeze(),
        Offer(),
    ]
    assert not one.responded


def test_the_init_duration_is_reported_once() -> None:
    # rules LG-01, TL-44
    one = machine("invoke, answered")
    assert only(one.receive(NextPolled(), now_s=1.0), RecordEnd).init_duration_s == 0.0
    one.receive(InvocationAssigned(SECOND, 3.0), now_s=2.0)
    one.receive(ResponsePosted("r-2", b""), now_s=2.0)
    assert only(one.receive(NextPolled(), now_s=2.0), RecordEnd).init_duration_s is None


def test_next_while_running_gives_the_same_event_again() -> None:
    # rule RT-22
    assert machine("invoke").receive(NextPolled(), now_s=1.0) == [GiveEvent(INVOCATION)]


@pytest.mark.parametrize("answer", [ResponsePosted("other", b""), ErrorPosted("other", b"", "")])
@pytest.mark.parametrize("path", PATHS)
def test_a_wrong_id_is_refused_before_any_state_is_looked_at(path: str, answer: Event) -> None:
    # rules RT-31, RT-55
    with pytest.raises(ProtocolError):
        machine(path).receive(answer, now_s=1.0)


@pytest.mark.parametrize("first", [ResponsePosted("r-1", b"1"), ErrorPosted("r-1", b"1", "")])
def test_a_second_answer_is_refused_until_next_and_unknown_afterwards(first: Event) -> None:
    # rules RT-32, RT-55
    one = machine("invoke")
    assert kinds(one.receive(first, now_s=1.0)) == [Reply]
    with pytest.raises(TransitionError, match="from RuntimeResponseSentState to InvocationResponse"):
        one.receive(ResponsePosted("r-1", b"2"), now_s=1.0)
    with pytest.raises(TransitionError, match="to InvocationErrorResponse"):
        one.receive(ErrorPosted("r-1", b"2", ""), now_s=1.0)
    one.receive(NextPolled(), now_s=1.0)
    for late in (ResponsePosted("r-1", b"2"), ErrorPosted("r-1", b"2", "")):
        with pytest.raises(ProtocolError):
            one.receive(late, now_s=1.0)


@pytest.mark.parametrize("late", [ResponsePosted("r-1", b"late"), ErrorPosted("r-1", b"late", "")])
def test_an_answer_after_the_timeout_is_refused(late: Event) -> None:
    # rules RT-33, RT-55: while the processes are killed, when they are gone, and during the next invocation
    one = machine("invoke")
    replies = [command for command in one.receive(DeadlinePassed(), now_s=3.0) if isinstance(command, Reply)]
    assert len(replies) == 1  # the timeout; what comes later must not add another
    for following in (ProcessesGone(), InvocationAssigned(SECOND, 3.0), NextPolled()):
        with pytest.raises(ProtocolError):
            one.receive(late, now_s=3.1)
        one.receive(following, now_s=3.2)
    with pytest.raises(ProtocolError):
        one.receive(late, now_s=3.3)
    assert one.receive(ResponsePosted("r-2", b"2"), now_s=3.4) == [Reply(SECOND, b"2")]


def test_a_function_error_is_the_answer_and_not_a_failure_of_the_environment() -> None:
    # rules RT-57, LG-02, TL-49
    one = machine("invoke")
    assert one.receive(ErrorPosted("r-1", b"<html>", "Function.Bad"), now_s=1.0) == [Reply(INVOCATION, b"<html>", True)]
    commands = one.receive(NextPolled(), now_s=1.0)
    done, end = only(commands, RecordRuntimeDone), only(commands, RecordEnd)
    assert (done.status, done.error_type) == (Status.ERROR, "Function.Bad")
    assert (end.status, end.error_type) == (Status.SUCCESS, "")


def test_a_refused_response_ends_the_invocation_and_next_is_allowed() -> None:
    # rule RT-34
    one = machine("invoke")
    (reply,) = one.receive(ResponseRefused("r-1", "Function.ResponseSizeTooLarge", "too large"), now_s=1.0)
    assert isinstance(reply, Reply)
    assert json.loads(reply.payload) == {"errorType": "Function.ResponseSizeTooLarge", "errorMessage": "too large"}
    done, end, *rest = one.receive(NextPolled(), now_s=1.0)
    for record in (done, end):
        assert isinstance(record, (RecordRuntimeDone, RecordEnd))
        assert (record.status, record.error_type) == (Status.ERROR, "Function.ResponseSizeTooLarge")
    assert rest == [Freeze(), Offer()]


def test_the_first_fatal_error_wins() -> None:
    # rules EX-64, RT-3A: a client that exits after a 413
    one = machine("invoke")
    one.receive(ResponseRefused("r-1", "Function.ResponseSizeTooLarge", "too large"), now_s=1.0)
    commands = one.receive(EXITED, now_s=1.0)
    assert kinds(commands) == [RecordRuntimeDone, RecordEnd, KillProcesses]
    assert only(commands, RecordEnd).error_type == "Function.ResponseSizeTooLarge"


def test_an_exit_during_an_invocation_is_its_error() -> None:
    # rule EX-65 and the payload of section 4.4
    commands = machine("invoke").receive(EXITED, now_s=2.0)
    assert commands[0] == Reply(
        INVOCATION,
        b'{"errorType":"Runtime.ExitError",'
        b'"errorMessage":"RequestId: r-1 Error: Runtime exited with error: exit status 1"}',
        failed=True,
    )
    assert commands[1:] == [
        RecordRuntimeDone(INVOCATION, 2.0, Status.ERROR, "Runtime.ExitError", None, 0.0, None, 2.0),
        RecordEnd(INVOCATION, 2.0, Status.ERROR, "Runtime.ExitError", 0.0),
        KillProcesses(),
    ]


def test_out_of_memory_is_an_exit_for_the_caller_and_named_in_the_report() -> None:
    # table of rule EX-67
    event = RuntimeExited("Runtime exited with error: signal: killed", out_of_memory=True)
    commands = machine("invoke").receive(event, now_s=1.0)
    assert json.loads(only(commands, Reply).payload)["errorType"] == "Runtime.ExitError"
    assert only(commands, RecordRuntimeDone).error_type == "Runtime.OutOfMemory"
    assert only(commands, RecordEnd).error_type == "Runtime.OutOfMemory"


def test_a_timeout_answers_reports_exactly_the_timeout_and_resets() -> None:
    # rules EX-70, EX-72, EX-73
    one = machine("invoke")
    reply, done, end, kill = one.receive(DeadlinePassed(), now_s=3.004)
    assert reply == Reply(
        INVOCATION,
        b'{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: r-1 Error: Task timed out after 3.00 seconds"}',
        failed=True,
    )
    assert done == RecordRuntimeDone(INVOCATION, 3.0, Status.TIMEOUT, "", None, 0.0, None, 3.004)
    assert end == RecordEnd(INVOCATION, 3.0, Status.TIMEOUT, "", 0.0)
    assert kill == KillProcesses()
    assert one.receive(ProcessesGone(), now_s=3.1) == [Offer()]
    assert one.phase is Phase.COLD


def test_a_runtime_that_never_asks_again_times_out_but_the_caller_keeps_the_answer() -> None:
    # rule EX-63
    commands = machine("invoke, answered").receive(DeadlinePassed(), now_s=3.0)
    assert kinds(commands) == [RecordRuntimeDone, RecordEnd, KillProcesses]


def test_an_exit_while_idle_discards_the_environment_without_an_error() -> None:
    # rule EX-66
    one = machine("idle")
    assert one.receive(EXITED, now_s=1.0) == [Discard()]
    assert one.phase is Phase.ENDED


def test_a_failed_init_is_not_the_callers_error() -> None:
    # section 4.3
    one = machine("init")
    done, record, kill = one.receive(EXITED, now_s=0.5)
    assert done == RecordInitRuntimeDone(InitPhase.INIT, Status.ERROR, "Runtime.ExitError")  # TL-48
    assert record == RecordInit(InitPhase.INIT, 0.5, Status.ERROR, "Runtime.ExitError")
    assert kill == KillProcesses()
    assert one.receive(ProcessesGone(), now_s=0.6) == [Offer()]
    assert one.receive(ASSIGNED, now_s=1.0) == [RecordInitStart(InitPhase.INVOKE), LaunchRuntime(InitPhase.INVOKE)]
    assert one.deadline_s == 4.0  # against the function's timeout
    commands = one.receive(NextPolled(), now_s=2.0)
    assert commands == [
        RecordInitRuntimeDone(InitPhase.INVOKE, Status.SUCCESS),
        CloseSubscriptions(),
        RecordInit(InitPhase.INVOKE, 1.0, Status.SUCCESS),
        RecordStart(INVOCATION),
        GiveEvent(INVOCATION),
    ]
    one.receive(ResponsePosted("r-1", b""), now_s=2.5)
    done, end, *_ = one.receive(NextPolled(), now_s=3.0)
    assert end == RecordEnd(INVOCATION, 2.0, Status.SUCCESS)  # the init is inside, and not shown
    # The runtime's own time counts from the release of the event (TL-43).
    assert done == RecordRuntimeDone(INVOCATION, 1.0, Status.SUCCESS, "", 0, 2.0, (2.5, 2.5), 3.0)


def test_a_second_failed_init_is_the_callers_error_with_the_posted_payload() -> None:
    # rules RT-63, RT-62; order of the lines from section 4.3
    one = machine("invoke, starting")
    payload = b'{"errorMessage":"no module","errorType":"Runtime.ImportModuleError"}'
    assert one.receive(InitErrorPosted(payload, "Runtime.ImportModuleError"), now_s=0.5) == []
    _, record, start, reply, done, end, kill = one.receive(EXITED, now_s=0.6)
    assert record == RecordInit(InitPhase.INVOKE, 0.6, Status.ERROR, "Runtime.ImportModuleError")
    assert start == RecordStart(INVOCATION)
    assert reply == Reply(INVOCATION, payload, failed=True)
    assert only([done], RecordRuntimeDone).error_type == "Runtime.ImportModuleError"
    assert end == RecordEnd(INVOCATION, 0.6, Status.ERROR, "Runtime.ImportModuleError")
    assert kill == KillProcesses()


def test_a_runtime_that_posts_an_init_error_and_stays_is_ended() -> None:
    # rule EX-52, for runtimes alike
    one = machine("init, error posted")
    assert one.deadline_s == INIT_ERROR_GRACE_S
    _, record, kill = one.receive(DeadlinePassed(), now_s=INIT_ERROR_GRACE_S)
    assert record == RecordInit(InitPhase.INIT, 1.0, Status.ERROR, "Runtime.Bad")
    assert kill == KillProcesses()


def test_every_later_call_after_an_init_error_is_refused() -> None:
    # rule RT-60
    one = machine("init, error posted")
    for event in (NextPolled(), InitErrorPosted(b"", "")):
        with pytest.raises(TransitionError):
            one.receive(event, now_s=0.1)


def test_init_error_after_next_is_refused() -> None:
    # rule RT-60
    with pytest.raises(TransitionError):
        machine("invoke").receive(InitErrorPosted(b"", ""), now_s=0.1)


def test_an_init_that_never_ends_times_out() -> None:
    # rules EX-60, RT-64
    done, record, _ = machine("init").receive(DeadlinePassed(), now_s=10.0)
    assert done == RecordInitRuntimeDone(InitPhase.INIT, Status.TIMEOUT)
    assert record == RecordInit(InitPhase.INIT, 10.0, Status.TIMEOUT)


def test_a_missing_entry_point_is_the_callers_error_at_the_invocation() -> None:
    # rule EN-22
    commands = machine("invoke, starting").receive(
        LaunchFailed("Runtime.InvalidEntrypoint", "Couldn't find valid bootstrap(s): [/var/task/bootstrap]"), now_s=0.1
    )
    reply = next(command for command in commands if isinstance(command, Reply))
    assert json.loads(reply.payload) == {
        "errorType": "Runtime.InvalidEntrypoint",
        "errorMessage": "RequestId: r-1 Error: Couldn't find valid bootstrap(s): [/var/task/bootstrap]",
    }


def test_a_fault_of_the_sandbox_is_a_failure() -> None:
    commands = machine("invoke, starting").receive(LaunchFailed("Sandbox.Failure", "crun: no"), now_s=0.1)
    assert RecordEnd(INVOCATION, 0.1, Status.FAILURE, "Sandbox.Failure") in commands


# With extensions


def test_the_runtime_starts_when_the_last_extension_has_registered() -> None:
    """Section 4.1, EX-21, TL-47: and everybody's first `next` ends the init, also of one with no events (EX-32)."""
    one = EnvironmentMachine(init_timeout_s=10.0, extensions=("one", "two"))
    assert one.receive(InitRequested(), now_s=1.0) == [
        RecordInitStart(InitPhase.INIT),
        LaunchExtension("one"),
        LaunchExtension("two"),
    ]
    assert one.receive(ExtensionRegistered("e-2", "two", ()), now_s=2.0) == []
    assert one.receive(REGISTERED, now_s=3.0) == [LaunchRuntime(InitPhase.INIT)]
    assert one.receive(POLLED, now_s=4.0) == []
    assert one.receive(NextPolled(), now_s=5.0) == [RecordInitRuntimeDone(InitPhase.INIT, Status.SUCCESS)]
    assert one.deadline_s == 11.0
    assert one.receive(ExtensionPolled("e-2"), now_s=6.0) == [
        RecordExtension("one", "Ready", ("INVOKE", "SHUTDOWN")),
        RecordExtension("two", "Ready", ()),
        CloseSubscriptions(),
        RecordInit(InitPhase.INIT, 5.0, Status.SUCCESS),
        Freeze(),
        Offer(),
    ]


def test_an_internal_extension_is_part_of_the_init_too() -> None:
    """EX-04, EX-32, EX-35: it registers while the runtime loads, and is told of the invocation."""
    one = machine("init")
    assert one.receive(ExtensionRegistered("e-1", "inside", ("INVOKE",)), now_s=0.1) == []
    assert kinds(one.receive(NextPolled(), now_s=0.2)) == [RecordInitRuntimeDone]
    assert Offer() in one.receive(POLLED, now_s=0.3)
    assert GiveInvoke("e-1", INVOCATION) in one.receive(ASSIGNED, now_s=0.4)


@pytest.mark.parametrize("path", ["init, runtime ready", "idle", "invoke"])
def test_registration_of_internal_extensions_closes_at_the_runtimes_first_next(path: str) -> None:
    """EX-18, RT-24."""
    with pytest.raises(ExtensionRefusedError, match="Extension registration closed already"):
        extended(path).receive(ExtensionRegistered("e-2", "inside", ()), now_s=0.0)


def test_a_restored_runtime_may_still_register_internal_extensions() -> None:
    """EX-18, RT-70: `restore/next` is not its first `next`."""
    assert machine("init, restoring").receive(ExtensionRegistered("e-2", "inside", ()), now_s=0.0) == []


@pytest.mark.parametrize("path", ["idle", "invoke"])
def test_an_unknown_extension_is_refused(path: str) -> None:
    """EX-39."""
    for event in (ExtensionPolled("e-9"), ExtensionInitErrorPosted("e-9", ""), ExtensionExitErrorPosted("e-9", "")):
        with pytest.raises(ExtensionRefusedError, match="Unknown extension e-9"):
            extended(path).receive(event, now_s=0.0)


def test_extensions_get_an_invocation_before_the_runtime_does() -> None:
    """Section 4.1, step 7."""
    assert extended("idle").receive(ASSIGNED, now_s=7.0) == [
        Thaw(),
        RecordStart(INVOCATION),
        GiveInvoke("e-1", INVOCATION),
        GiveEvent(INVOCATION),
    ]


def test_an_extension_that_does_not_follow_invocations_is_left_alone() -> None:
    """EX-34: it stays blocked, is told nothing, and the environment does not wait for it."""
    one = EnvironmentMachine(init_timeout_s=10.0, extensions=("one",))
    play(one, InitRequested(), ExtensionRegistered("e-1", "one", ("SHUTDOWN",)), NextPolled(), POLLED)
    assert kinds(one.receive(ASSIGNED, now_s=0.0)) == [Thaw, RecordStart, GiveEvent]
    one.receive(RESPONDED, now_s=1.0)
    commands = one.receive(NextPolled(), now_s=2.0)
    assert only(commands, RecordEnd).overhead_s is None
    assert one.phase is Phase.IDLE


def test_the_environment_is_free_when_the_last_extension_is_done() -> None:
    """EX-33, EX-63, TL-43: the caller has the answer long before."""
    one = extended("invoke")
    assert one.receive(RESPONDED, now_s=1.0) == [Reply(INVOCATION, b"1")]
    assert kinds(one.receive(NextPolled(), now_s=1.5)) == [RecordRuntimeDone]
    assert (one.responded, one.deadline_s) == (True, 3.0)
    assert one.receive(POLLED, now_s=2.0) == [
        RecordEnd(INVOCATION, 2.0, Status.SUCCESS, "", 0.0, None, (1.5, 2.0)),
        Freeze(),
        Offer(),
    ]


def test_an_extension_that_is_done_first_waits_for_the_runtime() -> None:
    """EX-63: one event is one event; it is not told again (EX-36)."""
    one = extended("invoke, extension done")
    assert one.receive(RESPONDED, now_s=1.0) == [Reply(INVOCATION, b"1")]
    assert kinds(one.receive(NextPolled(), now_s=1.5)) == [RecordRuntimeDone, RecordEnd, Freeze, Offer]


def test_an_extension_that_never_asks_again_makes_the_invocation_time_out() -> None:
    """EX-63: but the caller's answer and `runtimeDone` stand."""
    one = extended("invoke, runtime done")
    commands = one.receive(DeadlinePassed(), now_s=3.0)
    assert kinds(commands) == [RecordEnd, TerminateRuntime]
    assert only(commands, RecordEnd).status is Status.TIMEOUT


def test_a_poll_whose_connection_is_gone_is_replaced() -> None:
    """EX-36."""
    one = extended("idle")
    with pytest.raises(TransitionError, match="from Ready to Ready"):
        one.receive(POLLED, now_s=0.0)
    assert one.receive(ExtensionPolled("e-1", replaces=True), now_s=0.0) == []


# Extensions that fail


def test_an_exit_of_an_extension_fails_the_init() -> None:
    """EX-65, TL-45, TL-48: with the state it had reached."""
    one = extended("init, registered")
    assert one.receive(ExtensionExited("one", "exit status 2"), now_s=1.0)[:3] == [
        RecordInitRuntimeDone(InitPhase.INIT, Status.ERROR, "Extension.Crash"),
        RecordExtension("one", "Registered", ("INVOKE", "SHUTDOWN"), "Extension.Crash"),
        RecordInit(InitPhase.INIT, 1.0, Status.ERROR, "Extension.Crash"),
    ]


def test_an_exit_of_an_extension_fails_the_invocation() -> None:
    """EX-65, and the payload of section 7.4; EX-84: the runtime still has to be told, as it is alive."""
    commands = extended("invoke").receive(ExtensionExited("one", "exit code 0"), now_s=1.0)
    assert kinds(commands) == [Reply, RecordRuntimeDone, RecordEnd, TerminateRuntime]
    assert only(commands, Reply).payload == (
        b'{"errorType":"Extension.Crash","errorMessage":"RequestId: r-1 Error: exit code 0"}'
    )


def test_an_extension_that_cannot_be_started_fails_the_init() -> None:
    """EX-03: nobody has registered, so there is nobody to wait for (EX-81)."""
    one = extended("init")
    commands = one.receive(ExtensionLaunchFailed("one", "fork/exec /opt/extensions/one: permission denied"), now_s=0.1)
    assert RecordExtension("one", "LaunchError", (), "Extension.LaunchError") in commands
    assert commands[-1] == KillProcesses()


def test_eleven_files_fail_the_init_before_anything_is_started() -> None:
    """EX-05: which the caller learns at the second try."""
    one = EnvironmentMachine(init_timeout_s=10.0, extensions=[f"{number:02}" for number in range(11)])
    assert kinds(one.receive(InitRequested(), now_s=0.0)) == [
        RecordInitStart,
        RecordInitRuntimeDone,
        *[RecordExtension] * 11,
        RecordInit,
        KillProcesses,
    ]
    one.receive(ProcessesGone(), now_s=0.0)
    assert json.loads(only(one.receive(ASSIGNED, now_s=0.0), Reply).payload) == {
        "errorType": "Extension.LaunchError",
        "errorMessage": "RequestId: r-1 Error: TooManyExtensions",
    }


@pytest.mark.parametrize(
    ("path", "posted", "error_type"),
    [
        ("invoke, starting", ExtensionInitErrorPosted("e-1", "Extension.Bad"), "Extension.InitError"),
        ("invoke", ExtensionExitErrorPosted("e-1", "Extension.Bad"), "Extension.ExitError"),
    ],
)
def test_an_error_of_an_extension_takes_effect_at_its_exit(path: str, posted: Event, error_type: str) -> None:
    """EX-52, EX-64: in the words of the exit; until then nobody is told anything."""
    one = extended(path)
    assert one.receive(posted, now_s=0.5) == []
    reply = only(one.receive(ExtensionExited("one", "exit status 1"), now_s=0.6), Reply)
    assert json.loads(reply.payload) == {"errorType": error_type, "errorMessage": "RequestId: r-1 Error: exit status 1"}


def test_an_extension_that_reports_an_error_and_stays_is_ended() -> None:
    """EX-52."""
    one = extended("invoke, error posted")
    assert one.deadline_s == INIT_ERROR_GRACE_S
    reply = only(one.receive(DeadlinePassed(), now_s=1.0), Reply)
    assert json.loads(reply.payload)["errorType"] == "Extension.ExitError"


def test_an_error_of_an_internal_extension_is_put_into_the_words_of_the_runtimes_exit() -> None:
    """EX-52, EX-64: that is the process it lives in."""
    one = play(machine("init"), ExtensionRegistered("e-1", "inside", ("INVOKE",)), NextPolled(), POLLED, ASSIGNED)
    one.receive(ExtensionExitErrorPosted("e-1", "Extension.Bad"), now_s=0.1)
    reply = only(one.receive(EXITED, now_s=0.2), Reply)
    assert json.loads(reply.payload) == {
        "errorType": "Extension.ExitError",
        "errorMessage": "RequestId: r-1 Error: Runtime exited with error: exit status 1",
    }


def test_each_extension_has_its_own_error_in_telemetry() -> None:
    """EX-53, TL-45: one that only crashed does not get the name of what another one reported."""
    one = EnvironmentMachine(init_timeout_s=10.0, extensions=("one", "two"))
    play(one, InitRequested(), REGISTERED, ExtensionRegistered("e-2", "two", ()))
    one.receive(ExtensionInitErrorPosted("e-1", "Extension.Bad"), now_s=0.1)
    commands = one.receive(ExtensionExited("two", "exit status 1"), now_s=0.2)
    assert RecordExtension("one", "InitError", ("INVOKE", "SHUTDOWN"), "Extension.Bad") in commands
    assert RecordExtension("two", "Registered", (), "Extension.Crash") in commands
    assert only(commands, RecordInit).error_type == "Extension.InitError"  # the first one wins (EX-64)


def test_an_invocation_is_not_over_while_an_extension_is_about_to_exit() -> None:
    """EX-52: the environment would be offered with a process missing."""
    one = EnvironmentMachine(init_timeout_s=10.0, extensions=("one",))
    play(one, InitRequested(), ExtensionRegistered("e-1", "one", ()), NextPolled(), POLLED, ASSIGNED, RESPONDED)
    one.receive(ExtensionExitErrorPosted("e-1", ""), now_s=0.1)
    assert kinds(one.receive(NextPolled(), now_s=0.2)) == [RecordRuntimeDone]
    assert kinds(one.receive(ExtensionExited("one", "exit status 1"), now_s=0.3)) == [RecordEnd, TerminateRuntime]


@pytest.mark.parametrize(
    "event", [ExtensionExited("one", "exit status 1"), ExtensionExitErrorPosted("e-1", ""), EXITED]
)
def test_a_failure_between_invocations_is_nobodys_error(event: Event) -> None:
    """EX-66: and the environment ends in order."""
    one = extended("idle")
    commands = one.receive(event, now_s=1.0)
    assert commands[:2] == [Thaw(), Withdraw()]
    assert one.phase is Phase.SHUTDOWN


# News that comes late, and calls that nobody expects


@pytest.mark.parametrize("path", ["cold", "idle", "invoke", "reset", "ended"])
def test_telemetry_that_is_flushed_too_late_is_no_news(path: str) -> None:
    """The subscriber may be gone, and with it the phase, before it is known that it got everything."""
    one = machine(path)
    before = snapshot(one)
    assert one.receive(TelemetryFlushed(), now_s=1.0) == []
    assert snapshot(one) == before


def test_what_cannot_be_started_is_news_also_when_all_seemed_ready() -> None:
    """RT-06: an extension may speak for the runtime and for another extension, before these have been started."""
    launch = ExtensionLaunchFailed("one", "no such file")
    for event in (launch, LaunchFailed("Runtime.InvalidEntrypoint", "no such file")):
        one = extended("idle")
        assert kinds(one.receive(event, now_s=1.0))[:2] == [Thaw, Withdraw]
    assert only(extended("invoke").receive(launch, now_s=1.0), RecordEnd).error_type == "Extension.LaunchError"


def test_a_call_that_comes_after_the_processes_is_refused_in_the_usual_words() -> None:
    # rule RT-23
    with pytest.raises(TransitionError, match="from Started to Ready failed for runtime"):
        machine("reset").receive(NextPolled(), now_s=1.0)


# Responses in streaming mode


def test_a_streamed_response_is_answered_at_its_end() -> None:
    """RT-41, TL-43: latency ends with the first byte, the response with the last."""
    one = machine("invoke")
    assert one.receive(ResponseStarted("r-1", "text/html"), now_s=1.0) == []
    assert not one.responded
    assert one.receive(ResponseEnded("r-1", 12), now_s=2.0) == [EndReply(INVOCATION)]
    assert one.responded
    done, end, *_ = one.receive(NextPolled(), now_s=2.5)
    assert done == RecordRuntimeDone(INVOCATION, 2.5, Status.SUCCESS, "", 12, 0.0, (1.0, 2.0), 2.5)
    assert end == RecordEnd(INVOCATION, 2.5, Status.SUCCESS, "", 0.0)


def test_an_error_in_mid_stream_is_an_answer() -> None:
    """RT-42: `runtimeDone` has its type (TL-49), REPORT does not."""
    one = machine("invoke, streaming")
    event = ResponseEnded("r-1", 3, "Function.Bad", b'{"errorMessage":"x"}')
    assert one.receive(event, now_s=1.0) == [EndReply(INVOCATION, "Function.Bad", b'{"errorMessage":"x"}')]
    commands = one.receive(NextPolled(), now_s=2.0)
    assert only(commands, RecordRuntimeDone).error_type == "Function.Bad"
    assert only(commands, RecordEnd).status is Status.SUCCESS


@pytest.mark.parametrize(
    ("event", "error_type"), [(DeadlinePassed(), "Sandbox.Timedout"), (EXITED, "Runtime.ExitError")]
)
def test_a_stream_that_cannot_be_completed_ends_with_the_failure(event: Event, error_type: str) -> None:
    """RT-47: what is still said about the response concerns nobody then."""
    one = machine("invoke, streaming")
    reply = only(one.receive(event, now_s=3.0), Reply)
    assert reply.failed
    assert json.loads(reply.payload)["errorType"] == error_type
    with pytest.raises(ProtocolError):
        one.receive(ResponseEnded("r-1", 3, "Runtime.TruncatedResponse"), now_s=3.0)


def test_error_after_a_streamed_response_has_begun_is_refused() -> None:
    """RT-56."""
    with pytest.raises(TransitionError, match="from InvocationResponse to InvocationErrorResponse failed for runtime"):
        machine("invoke, streaming").receive(ErrorPosted("r-1", b"", ""), now_s=1.0)


@pytest.mark.parametrize("event", [ResponseStarted("other"), ResponseEnded("other", 0)])
def test_a_stream_for_another_request_is_refused_before_any_state_is_looked_at(event: Event) -> None:
    """RT-31."""
    for path in PATHS:
        with pytest.raises(ProtocolError):
            machine(path).receive(event, now_s=1.0)


# Functions with snapshots


def test_a_restore_is_over_at_once_and_reported() -> None:
    """RT-70, TL-44: REPORT shows the restore and not the init."""
    one = machine("init")
    assert one.receive(RestorePolled(), now_s=2.0) == [
        RecordInitRuntimeDone(InitPhase.INIT, Status.SUCCESS),
        RecordRestoreStart(),
        AnswerRestore(),
    ]
    assert one.receive(NextPolled(), now_s=2.5) == [
        RecordRestore(0.5, Status.SUCCESS),
        CloseSubscriptions(),
        RecordInit(InitPhase.INIT, 2.5, Status.SUCCESS),
        Freeze(),
        Offer(),
    ]
    play(one, ASSIGNED, RESPONDED)
    end = only(one.receive(NextPolled(), now_s=4.0), RecordEnd)
    assert (end.init_duration_s, end.restore_duration_s) == (None, 0.5)


def test_hooks_that_take_too_long_are_a_failure_of_their_own() -> None:
    """RT-70: 10 s, whatever the init as a whole may take."""
    one = EnvironmentMachine(init_timeout_s=130.0)
    one.receive(InitRequested(), now_s=0.0)
    one.receive(RestorePolled(), now_s=50.0)
    assert one.deadline_s == 60.0
    assert one.receive(DeadlinePassed(), now_s=60.0) == [
        RecordRestore(10.0, Status.ERROR, "Runtime.RestoreHookUserTimeout"),
        RecordInit(InitPhase.INIT, 60.0, Status.ERROR, "Runtime.RestoreHookUserTimeout"),
        KillProcesses(),
    ]


def test_hooks_do_not_prolong_the_init() -> None:
    """EX-60: if that is over first, it is a timeout of the init."""
    one = machine("init, restoring")
    assert one.deadline_s == 10.0
    assert only(one.receive(DeadlinePassed(), now_s=10.0), RecordInit).status is Status.TIMEOUT


def test_the_deadline_of_the_hooks_ends_with_them() -> None:
    """RT-70: a second init inside an invocation must not be cut short by it, nor the invocation after it."""
    one = EnvironmentMachine(init_timeout_s=10.0)
    one.receive(InvocationAssigned(INVOCATION, 60.0), now_s=0.0)
    one.receive(RestorePolled(), now_s=1.0)
    assert one.deadline_s == 11.0
    one.receive(NextPolled(), now_s=2.0)
    assert one.deadline_s == 60.0


def test_a_failed_restore_is_reported_with_the_runtimes_own_words() -> None:
    """RT-70: on the second try to the caller (RT-63)."""
    one = machine("invoke, starting")
    one.receive(RestorePolled(), now_s=0.5)
    assert one.receive(RestoreErrorPosted(b'{"errorMessage":"x"}', "Runtime.Bad"), now_s=1.0) == []
    commands = one.receive(EXITED, now_s=1.5)
    assert commands[0] == RecordRestore(1.0, Status.ERROR, "Runtime.Bad")
    assert only(commands, Reply).payload == b'{"errorMessage":"x"}'


def test_an_error_of_an_extension_is_not_forgotten_when_the_hooks_are_done() -> None:
    """EX-52, RT-70: its second runs on."""
    one = play(machine("init, restoring"), ExtensionRegistered("e-1", "inside", ()))
    one.receive(ExtensionExitErrorPosted("e-1", ""), now_s=0.5)
    one.receive(NextPolled(), now_s=0.6)
    assert one.deadline_s == 1.5


# Faults of ours


@pytest.mark.parametrize("path", PATHS_WITH_EXTENSION)
def test_an_environment_that_is_broken_off_takes_notice_of_nothing(path: str) -> None:
    """What its processes still do comes to a host that has given up."""
    one = extended(path)
    one.break_off()
    assert (one.phase, one.deadline_s) == (Phase.ENDED, math.inf)
    for event in SAMPLES:
        if type(event) in NEWS:
            assert one.receive(event, now_s=1.0) == []
