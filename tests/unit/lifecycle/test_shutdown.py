"""The order in which processes end, section 4.6: with the machine of the shutdown, and inside the environment's."""

import itertools
import math

import pytest
from tests.support.events import SAMPLES

from lamella.lifecycle.commands import (
    Discard,
    FlushTelemetry,
    GiveShutdown,
    KillExtension,
    KillProcesses,
    KillRuntime,
    Offer,
    Reply,
    ShutdownReason,
    TerminateRuntime,
    Thaw,
    Withdraw,
)
from lamella.lifecycle.environment import EnvironmentMachine, Phase
from lamella.lifecycle.events import (
    DeadlinePassed,
    Event,
    ExtensionExited,
    ExtensionExitErrorPosted,
    ExtensionInitErrorPosted,
    ExtensionLaunchFailed,
    ExtensionPolled,
    ExtensionRefusedError,
    ExtensionRegistered,
    InitRequested,
    InvocationAssigned,
    LaunchFailed,
    NextPolled,
    ProcessesGone,
    RuntimeExited,
    ShutdownRequested,
    TelemetryFlushed,
    TransitionError,
)
from lamella.lifecycle.extension import Extensions
from lamella.lifecycle.shutdown import (
    FLUSH_S,
    INTERNAL_SHUTDOWN_S,
    RUNTIME_SHUTDOWN_S,
    SHUTDOWN_S,
    ShutdownMachine,
    Step,
)
from lamella.testing.play import play

EXITED = RuntimeExited("Runtime exited without providing a reason")
LEGAL = (
    RuntimeExited,
    LaunchFailed,
    ExtensionExited,
    ExtensionLaunchFailed,
    TelemetryFlushed,
    DeadlinePassed,
    ExtensionPolled,
    ExtensionInitErrorPosted,
    ExtensionExitErrorPosted,
    ExtensionRegistered,
)
ASSIGNED = next(sample for sample in SAMPLES if isinstance(sample, InvocationAssigned))
STEPS: dict[Step, tuple[Event, ...]] = {
    Step.RUNTIME: (),
    Step.FLUSH: (EXITED,),
    Step.EXTENSIONS: (EXITED, TelemetryFlushed()),
    Step.OVER: (EXITED, ExtensionExited("one", "exit code 0")),
}


def registered(name: str, *events: str) -> ExtensionRegistered:
    return ExtensionRegistered(f"id of {name}", name, events)


def polled(name: str) -> ExtensionPolled:
    return ExtensionPolled(f"id of {name}")


def idle(*registrations: ExtensionRegistered, external: tuple[str, ...] = ()) -> EnvironmentMachine:
    """An environment whose extensions all wait for an event."""
    one = EnvironmentMachine(init_timeout_s=10.0, extensions=external)
    polls = (ExtensionPolled(registration.identifier) for registration in registrations)
    return play(one, InitRequested(), *registrations, NextPolled(), *polls)


@pytest.mark.parametrize(("step", "event"), list(itertools.product(Step, SAMPLES)), ids=lambda v: type(v).__name__)
def test_an_event_is_legal_or_refused(step: Step, event: Event) -> None:
    extensions = Extensions(["one"])
    extensions.register(ExtensionRegistered("e-1", "one", ("SHUTDOWN",)), closed=False)
    one = ShutdownMachine(extensions, ShutdownReason.SPINDOWN, now_s=0.0)
    one.begin(runtime_alive=True, now_s=0.0)
    play(one, *STEPS[step])
    assert one.step is step
    deadline_s = one.deadline_s
    try:
        one.receive(event, now_s=0.0)
    except TransitionError:
        assert type(event) not in LEGAL or isinstance(event, ExtensionRegistered)  # which it is already
        assert (one.step, one.deadline_s) == (step, deadline_s)
    else:
        assert type(event) in LEGAL
        assert (one.deadline_s < math.inf) == (one.step is not Step.OVER)
        assert list(Step).index(one.step) >= list(Step).index(step)  # never back


def test_without_extensions_nobody_gets_any_time() -> None:
    """First row of 4.6; EX-81."""
    assert idle().receive(ShutdownRequested(), now_s=1.0) == [Discard()]


def test_an_extension_that_is_there_but_has_not_registered_counts_for_nothing() -> None:
    """EX-81: the runtime is not even there yet."""
    one = play(EnvironmentMachine(init_timeout_s=10.0, extensions=("one",)), InitRequested())
    assert one.receive(ShutdownRequested(), now_s=1.0) == [Discard()]


def test_with_internal_extensions_the_runtime_gets_half_a_second() -> None:
    """Second row of 4.6, EX-80."""
    one = idle(registered("inside", "INVOKE"))
    assert one.receive(ShutdownRequested(), now_s=1.0) == [Thaw(), Withdraw(), TerminateRuntime()]
    assert one.deadline_s == 1.0 + INTERNAL_SHUTDOWN_S
    assert one.receive(DeadlinePassed(), now_s=1.5) == [KillRuntime(), Discard()]
    assert (one.phase, one.deadline_s) == (Phase.ENDED, math.inf)


def test_with_internal_extensions_all_is_over_when_the_runtime_ends() -> None:
    one = play(idle(registered("inside", "INVOKE")), ShutdownRequested())
    assert one.receive(EXITED, now_s=0.1) == [Discard()]


def test_external_extensions_are_told_when_the_runtime_is_gone_and_telemetry_is_out() -> None:
    """Third row of 4.6; EX-80, EX-82, EX-83: one that did not ask to be told is killed."""
    one = idle(registered("one", "SHUTDOWN"), registered("two", "INVOKE"), external=("one", "two"))
    assert one.receive(ShutdownRequested(), now_s=1.0) == [Thaw(), Withdraw(), TerminateRuntime()]
    assert one.deadline_s == 1.0 + RUNTIME_SHUTDOWN_S
    assert one.receive(DeadlinePassed(), now_s=1.3) == [KillRuntime(), KillExtension("two"), FlushTelemetry()]
    assert one.deadline_s == 1.3 + FLUSH_S
    assert one.receive(ExtensionExited("two", "signal: killed"), now_s=1.35) == []
    assert one.receive(EXITED, now_s=1.35) == []
    assert one.receive(TelemetryFlushed(), now_s=1.4) == [
        GiveShutdown("id of one", ShutdownReason.SPINDOWN, 1.0 + SHUTDOWN_S)
    ]
    assert one.deadline_s == 1.0 + SHUTDOWN_S
    assert one.receive(polled("one"), now_s=1.5) == []  # asking again only means waiting (EX-82)
    assert one.receive(ExtensionExited("one", "exit status 1"), now_s=1.6) == [Discard()]  # whatever its code


def test_a_subscriber_that_takes_nothing_does_not_hold_up_the_event() -> None:
    """EX-83: half a second, of the two that all of it may take."""
    one = play(idle(registered("one", "SHUTDOWN"), external=("one",)), ShutdownRequested(), EXITED)
    assert one.deadline_s == FLUSH_S
    assert one.receive(DeadlinePassed(), now_s=FLUSH_S) == [GiveShutdown("id of one", ShutdownReason.SPINDOWN, 2.0)]
    assert one.receive(TelemetryFlushed(), now_s=0.6) == []
    assert one.receive(DeadlinePassed(), now_s=2.0) == [Discard()]


def test_an_extension_that_is_busy_is_told_when_it_asks() -> None:
    """EX-82: a timeout, of which the extension that has not come back knows nothing yet."""
    one = play(idle(registered("one", "INVOKE", "SHUTDOWN"), external=("one",)), ASSIGNED)
    assert one.receive(DeadlinePassed(), now_s=3.0)[-1] == TerminateRuntime()
    assert one.receive(EXITED, now_s=3.1) == [FlushTelemetry()]
    assert one.receive(TelemetryFlushed(), now_s=3.2) == []
    assert one.receive(polled("one"), now_s=3.3) == [GiveShutdown("id of one", ShutdownReason.TIMEOUT, 5.0)]


@pytest.mark.parametrize("kind", [ExtensionExitErrorPosted, ExtensionInitErrorPosted])
def test_an_extension_that_reports_an_error_meanwhile_just_ends(
    kind: type[ExtensionExitErrorPosted] | type[ExtensionInitErrorPosted],
) -> None:
    """EX-50, EX-51: its error is nobody's any more."""
    one = play(EnvironmentMachine(init_timeout_s=10.0, extensions=("one",)), InitRequested())
    play(one, registered("one", "SHUTDOWN"), ShutdownRequested())
    assert one.receive(kind("id of one", "X"), now_s=0.1) == []
    assert one.receive(EXITED, now_s=0.2) == [FlushTelemetry()]
    assert one.receive(TelemetryFlushed(), now_s=0.3) == []
    assert one.receive(ExtensionExited("one", "exit status 1"), now_s=0.4) == [Discard()]


def test_nobody_new_comes_in_during_a_shutdown() -> None:
    """EX-18."""
    one = play(idle(registered("one", "SHUTDOWN"), external=("one",)), ShutdownRequested())
    with pytest.raises(ExtensionRefusedError, match="Extension registration closed already"):
        one.receive(registered("inside"), now_s=0.1)


def test_a_runtime_that_crashed_gets_no_signal_and_extensions_learn_of_the_failure() -> None:
    """EX-84; section 4.7: the caller does not wait for any of it."""
    one = play(idle(registered("one", "SHUTDOWN"), external=("one",)), ASSIGNED)
    commands = one.receive(EXITED, now_s=1.0)
    assert [command for command in commands if isinstance(command, Reply)]
    assert commands[-1] == FlushTelemetry()
    assert one.receive(TelemetryFlushed(), now_s=1.1) == [GiveShutdown("id of one", ShutdownReason.FAILURE, 3.0)]
    assert one.receive(ExtensionExited("one", "exit code 0"), now_s=1.2) == [KillProcesses()]
    assert one.receive(ProcessesGone(), now_s=1.3) == [Offer()]
    assert one.phase is Phase.COLD


def test_extensions_that_are_all_gone_do_not_spare_the_runtime_its_time() -> None:
    """EX-81: it may have hooks of its own; nobody is left to be told after it."""
    one = play(idle(registered("one", "SHUTDOWN"), external=("one",)), ExtensionExited("one", "exit code 0"))
    assert one.phase is Phase.SHUTDOWN
    assert one.deadline_s == RUNTIME_SHUTDOWN_S
    assert one.receive(EXITED, now_s=0.1) == [Discard()]


def test_a_second_request_changes_nothing() -> None:
    one = play(idle(registered("one", "SHUTDOWN"), external=("one",)), ShutdownRequested())
    assert one.receive(ShutdownRequested(), now_s=0.2) == []
    assert one.deadline_s == RUNTIME_SHUTDOWN_S


def test_the_end_that_is_asked_for_during_a_reset_comes_instead_of_it() -> None:
    """In SHUTDOWN in its own time, which has begun; in RESET at once."""
    one = play(idle(registered("inside", "INVOKE")), ASSIGNED, DeadlinePassed())
    assert one.receive(ShutdownRequested(), now_s=0.1) == [Withdraw()]
    assert one.receive(EXITED, now_s=0.2) == [Discard()]
    one = play(EnvironmentMachine(init_timeout_s=10.0), InitRequested(), EXITED)
    assert one.receive(ShutdownRequested(), now_s=0.1) == [Discard()]
    assert one.receive(ProcessesGone(), now_s=0.2) == []
