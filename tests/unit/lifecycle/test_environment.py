"""The phases of an execution environment, section 4."""

import itertools
import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from lamella.lifecycle.environment import INIT_ERROR_GRACE_S, LEGAL, EnvironmentMachine, Phase
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
from lamella.testing.play import play

INVOCATION = Invocation("r-1", b'{"a":1}', "application/json", "arn:f", "Root=1-0-0")
SECOND = Invocation("r-2", b"{}", "application/json", "arn:f", "Root=1-0-0")
ASSIGNED = InvocationAssigned(INVOCATION, 3.0)
EXITED = RuntimeExited("Runtime exited with error: exit status 1")

PATHS: dict[str, tuple[Event, ...]] = {
    "cold": (),
    "init": (InitRequested(),),
    "init, error posted": (InitRequested(), InitErrorPosted(b"{}", "Runtime.Bad")),
    "idle": (InitRequested(), NextPolled()),
    "invoke": (InitRequested(), NextPolled(), ASSIGNED),
    "invoke, answered": (InitRequested(), NextPolled(), ASSIGNED, ResponsePosted("r-1", b"1")),
    "invoke, starting": (ASSIGNED,),
    "reset": (InitRequested(), EXITED),
    "ended": (ShutdownRequested(),),
}
EVENTS: tuple[Event, ...] = (
    InitRequested(),
    LaunchFailed("Runtime.InvalidEntrypoint", "Couldn't find valid bootstrap(s): [/opt/bootstrap]"),
    NextPolled(),
    InvocationAssigned(SECOND, 3.0),
    ResponsePosted("r-1", b"1"),
    ErrorPosted("r-1", b"{}", "Runtime.Unknown"),
    ResponseRefused("r-1", "Function.ResponseSizeTooLarge", "too large"),
    InitErrorPosted(b"{}", "Runtime.Bad"),
    EXITED,
    DeadlinePassed(),
    ProcessesGone(),
    ShutdownRequested(),
)


def machine(path: str = "cold") -> EnvironmentMachine:
    return play(EnvironmentMachine(init_timeout_s=10.0), *PATHS[path])


def snapshot(one: EnvironmentMachine) -> dict[str, object]:
    values = {name: getattr(one, name) for name in EnvironmentMachine.__slots__}
    values["_runtime"] = one._runtime.state
    return values


@pytest.mark.parametrize(
    ("path", "event"),
    list(itertools.product(PATHS, EVENTS)),
    ids=lambda v: v if isinstance(v, str) else type(v).__name__,
)
def test_an_event_is_legal_or_refused_without_a_trace(path: str, event: Event) -> None:
    one = machine(path)
    before = snapshot(one)
    try:
        one.receive(event, now_s=1.0)
    except TransitionError:
        assert snapshot(one) == before
    except ProtocolError:
        assert getattr(event, "request_id", None) == "r-1"
        assert before["_invocation"] is None
        assert snapshot(one) == before
    else:
        phase = before["phase"]
        assert isinstance(phase, Phase)
        assert type(event) in LEGAL[phase]


def test_a_cold_start_launches_freezes_and_offers() -> None:
    # rule RT-24
    one = machine()
    assert one.receive(InitRequested(), now_s=5.0) == [LaunchRuntime(InitPhase.INIT)]
    assert one.deadline_s == 15.0
    assert one.receive(NextPolled(), now_s=5.25) == [
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
        RecordEnd(INVOCATION, 1.0, Status.SUCCESS, "", 0.0),
        Freeze(),
        Offer(),
    ]
    assert not one.responded


def test_the_init_duration_is_reported_once() -> None:
    # rules LG-01, TL-44
    one = machine("invoke, answered")
    (end, *_) = one.receive(NextPolled(), now_s=1.0)
    assert isinstance(end, RecordEnd)
    assert end.init_duration_s == 0.0
    one.receive(InvocationAssigned(SECOND, 3.0), now_s=2.0)
    one.receive(ResponsePosted("r-2", b""), now_s=2.0)
    (end, *_) = one.receive(NextPolled(), now_s=2.0)
    assert isinstance(end, RecordEnd)
    assert end.init_duration_s is None


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
    assert [type(command) for command in one.receive(first, now_s=1.0)] == [Reply]
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
    # rules RT-57, LG-02
    one = machine("invoke")
    assert one.receive(ErrorPosted("r-1", b"<html>", "Function.Bad"), now_s=1.0) == [Reply(INVOCATION, b"<html>", True)]
    (end, *_) = one.receive(NextPolled(), now_s=1.0)
    assert isinstance(end, RecordEnd)
    assert (end.status, end.error_type) == (Status.SUCCESS, "")


def test_a_refused_response_ends_the_invocation_and_next_is_allowed() -> None:
    # rule RT-34
    one = machine("invoke")
    (reply,) = one.receive(ResponseRefused("r-1", "Function.ResponseSizeTooLarge", "too large"), now_s=1.0)
    assert isinstance(reply, Reply)
    assert json.loads(reply.payload) == {"errorType": "Function.ResponseSizeTooLarge", "errorMessage": "too large"}
    (end, *rest) = one.receive(NextPolled(), now_s=1.0)
    assert isinstance(end, RecordEnd)
    assert (end.status, end.error_type) == (Status.ERROR, "Function.ResponseSizeTooLarge")
    assert rest == [Freeze(), Offer()]


def test_the_first_fatal_error_wins() -> None:
    # rules EX-64, RT-3A: a client that exits after a 413
    one = machine("invoke")
    one.receive(ResponseRefused("r-1", "Function.ResponseSizeTooLarge", "too large"), now_s=1.0)
    commands = one.receive(EXITED, now_s=1.0)
    assert [type(command) for command in commands] == [RecordEnd, KillProcesses]
    (end, _) = commands
    assert isinstance(end, RecordEnd)
    assert end.error_type == "Function.ResponseSizeTooLarge"


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
        RecordEnd(INVOCATION, 2.0, Status.ERROR, "Runtime.ExitError", 0.0),
        KillProcesses(),
    ]


def test_out_of_memory_is_an_exit_for_the_caller_and_named_in_the_report() -> None:
    # table of rule EX-67
    event = RuntimeExited("Runtime exited with error: signal: killed", out_of_memory=True)
    reply, end, _ = machine("invoke").receive(event, now_s=1.0)
    assert isinstance(reply, Reply)
    assert isinstance(end, RecordEnd)
    assert json.loads(reply.payload)["errorType"] == "Runtime.ExitError"
    assert end.error_type == "Runtime.OutOfMemory"


def test_a_timeout_answers_reports_exactly_the_timeout_and_resets() -> None:
    # rules EX-70, EX-72, EX-73
    one = machine("invoke")
    reply, end, kill = one.receive(DeadlinePassed(), now_s=3.004)
    assert reply == Reply(
        INVOCATION,
        b'{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: r-1 Error: Task timed out after 3.00 seconds"}',
        failed=True,
    )
    assert end == RecordEnd(INVOCATION, 3.0, Status.TIMEOUT, "", 0.0)
    assert kill == KillProcesses()
    assert one.receive(ProcessesGone(), now_s=3.1) == [Offer()]
    assert one.phase is Phase.COLD


def test_a_runtime_that_never_asks_again_times_out_but_the_caller_keeps_the_answer() -> None:
    # rule EX-63
    commands = machine("invoke, answered").receive(DeadlinePassed(), now_s=3.0)
    assert [type(command) for command in commands] == [RecordEnd, KillProcesses]


def test_an_exit_while_idle_discards_the_environment_without_an_error() -> None:
    # rule EX-66
    one = machine("idle")
    assert one.receive(EXITED, now_s=1.0) == [Discard()]
    assert one.phase is Phase.ENDED


def test_a_failed_init_is_not_the_callers_error() -> None:
    # section 4.3
    one = machine("init")
    record, kill = one.receive(EXITED, now_s=0.5)
    assert record == RecordInit(InitPhase.INIT, 0.5, Status.ERROR, "Runtime.ExitError")
    assert kill == KillProcesses()
    assert one.receive(ProcessesGone(), now_s=0.6) == [Offer()]
    assert one.receive(ASSIGNED, now_s=1.0) == [LaunchRuntime(InitPhase.INVOKE)]
    assert one.deadline_s == 4.0  # against the function's timeout
    commands = one.receive(NextPolled(), now_s=2.0)
    assert commands == [
        RecordInit(InitPhase.INVOKE, 1.0, Status.SUCCESS),
        RecordStart(INVOCATION),
        GiveEvent(INVOCATION),
    ]
    one.receive(ResponsePosted("r-1", b""), now_s=2.5)
    (end, *_) = one.receive(NextPolled(), now_s=3.0)
    assert end == RecordEnd(INVOCATION, 2.0, Status.SUCCESS)  # the init is inside, and not shown


def test_a_second_failed_init_is_the_callers_error_with_the_posted_payload() -> None:
    # rules RT-63, RT-62; order of the lines from section 4.3
    one = machine("invoke, starting")
    payload = b'{"errorMessage":"no module","errorType":"Runtime.ImportModuleError"}'
    assert one.receive(InitErrorPosted(payload, "Runtime.ImportModuleError"), now_s=0.5) == []
    record, start, reply, end, kill = one.receive(EXITED, now_s=0.6)
    assert record == RecordInit(InitPhase.INVOKE, 0.6, Status.ERROR, "Runtime.ImportModuleError")
    assert start == RecordStart(INVOCATION)
    assert reply == Reply(INVOCATION, payload, failed=True)
    assert end == RecordEnd(INVOCATION, 0.6, Status.ERROR, "Runtime.ImportModuleError")
    assert kill == KillProcesses()


def test_a_runtime_that_posts_an_init_error_and_stays_is_ended() -> None:
    # rule EX-52, for runtimes alike
    one = machine("init, error posted")
    assert one.deadline_s == INIT_ERROR_GRACE_S
    record, kill = one.receive(DeadlinePassed(), now_s=INIT_ERROR_GRACE_S)
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
    record, _ = machine("init").receive(DeadlinePassed(), now_s=10.0)
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


@given(st.randoms(use_true_random=False))
def test_a_random_walk_keeps_the_promises(rng: random.Random) -> None:
    """Never two answers for one invocation, every accepted one is answered, no event is given while frozen."""
    one = EnvironmentMachine(init_timeout_s=10.0)
    answered: dict[str, int] = {}
    accepted: list[str] = []
    frozen = False
    ended: list[str] = []
    now_s = 0.0

    def check(commands: list[Command]) -> None:
        nonlocal frozen
        for command in commands:
            match command:
                case Reply(invocation=invocation):
                    answered[invocation.request_id] = answered.get(invocation.request_id, 0) + 1
                case Freeze():
                    assert not frozen
                    frozen = True
                case Thaw():
                    frozen = False
                case GiveEvent():
                    assert not frozen
                case RecordEnd(invocation=invocation):
                    ended.append(invocation.request_id)
                case KillProcesses() | Discard():
                    frozen = False
                case Offer():
                    assert one.phase in (Phase.IDLE, Phase.COLD)

    for step in range(60):
        now_s += rng.random()
        current = accepted[-1] if accepted else "none"
        event = rng.choice(
            [
                InitRequested(),
                NextPolled(),
                NextPolled(),
                NextPolled(),
                InvocationAssigned(Invocation(f"r-{step}", b"", "application/json", "arn", "t"), 3.0),
                ResponsePosted(current, b""),
                ResponsePosted("bogus", b""),
                ErrorPosted(current, b"", ""),
                ResponseRefused(current, "Function.ResponseSizeTooLarge", "x"),
                InitErrorPosted(b"", "Runtime.X"),
                EXITED,
                DeadlinePassed(),
                ProcessesGone(),
            ]
        )
        try:
            commands = one.receive(event, now_s=now_s)
        except (TransitionError, ProtocolError):
            continue
        if isinstance(event, InvocationAssigned):
            accepted.append(event.invocation.request_id)
        check(commands)
    check(one.receive(ShutdownRequested(), now_s=now_s))
    assert answered == dict.fromkeys(accepted, 1)
    assert ended == accepted
    assert one.deadline_s == math.inf
