"""The Extensions API's own state table, and the register of all extensions: section 3."""

import itertools

import pytest
from tests.support.events import SAMPLES

from lamella.lifecycle.events import (
    Event,
    ExtensionExited,
    ExtensionExitErrorPosted,
    ExtensionInitErrorPosted,
    ExtensionLaunchFailed,
    ExtensionPolled,
    ExtensionRefusedError,
    ExtensionRegistered,
    InvocationAssigned,
    ShutdownRequested,
    TransitionError,
)
from lamella.lifecycle.extension import (
    INVOKE,
    MAX_EXTENSIONS,
    SHUTDOWN,
    TRANSITIONS,
    ExtensionMachine,
    Extensions,
    ExtensionState,
)

INVOCATION = next(sample for sample in SAMPLES if isinstance(sample, InvocationAssigned))
POLLED = ExtensionPolled("e-1")
REGISTERED = ExtensionRegistered("e-1", "one", (INVOKE, SHUTDOWN))


def reached(*events: Event, external: bool = True) -> ExtensionMachine:
    machine = ExtensionMachine("one", external=external)
    for event in events:
        machine.receive(event)
    return machine


def snapshot(machine: ExtensionMachine) -> dict[str, object]:
    return {name: getattr(machine, name) for name in ExtensionMachine.__slots__}


def register(extensions: Extensions, name: str, *events: str, closed: bool = False) -> None:
    extensions.register(ExtensionRegistered(f"id of {name}", name, events), closed=closed)


def refusal(extensions: Extensions, name: str, *events: str, closed: bool = False) -> tuple[str, str]:
    before = [snapshot(extension) for extension in extensions], extensions.registered_count
    with pytest.raises(ExtensionRefusedError) as refused:
        register(extensions, name, *events, closed=closed)
    assert ([snapshot(extension) for extension in extensions], extensions.registered_count) == before
    return refused.value.error_type, str(refused.value)


@pytest.mark.parametrize(
    ("state", "event"), list(itertools.product(ExtensionState, SAMPLES)), ids=lambda v: type(v).__name__
)
def test_a_pair_is_in_the_table_or_is_refused_and_changes_nothing(state: ExtensionState, event: Event) -> None:
    machine = ExtensionMachine("one", external=True)
    machine.state = state
    before = snapshot(machine)
    target = TRANSITIONS.get((state, type(event)))
    if target is not None:
        machine.receive(event)
        assert machine.state is target
    else:
        with pytest.raises(TransitionError, match=f"from {state.value} to "):
            machine.receive(event)
        assert snapshot(machine) == before


def test_a_second_poll_is_refused_unless_the_first_ones_connection_is_gone() -> None:
    """EX-36, EX-40: and in AWS's words."""
    machine = reached(REGISTERED, POLLED)
    with pytest.raises(TransitionError) as refused:
        machine.receive(POLLED)
    assert str(refused.value) == (
        "State transition from Ready to Ready failed for extension e-1. Error: State transition is not allowed"
    )
    machine.receive(ExtensionPolled("e-1", replaces=True))
    assert machine.state is ExtensionState.READY


def test_a_poll_that_replaces_nothing_is_like_any_other() -> None:
    """EX-33, EX-36: no repeat of events. Busy, `next` means done."""
    machine = reached(REGISTERED, POLLED, INVOCATION, ExtensionPolled("e-1", replaces=True))
    assert machine.state is ExtensionState.READY


@pytest.mark.parametrize(
    "posted", [ExtensionInitErrorPosted("e-1", "Extension.Bad"), ExtensionExitErrorPosted("e-1", "X")]
)
def test_an_extension_that_has_given_up_gets_no_more_events(posted: Event) -> None:
    """EX-40, EX-50, EX-51: the same call again is accepted, without effect."""
    machine = reached(REGISTERED, posted)
    error_type = machine.error_type
    machine.receive(type(posted)("e-1", "Extension.Other"))  # type: ignore[call-arg]  # both have these two
    assert machine.error_type == error_type
    with pytest.raises(TransitionError, match=f"from {machine.state.value} to Ready failed for extension e-1"):
        machine.receive(POLLED)


@pytest.mark.parametrize("events", [(POLLED,), (POLLED, INVOCATION)])
def test_init_error_is_for_those_that_are_not_initialised_yet(events: tuple[Event, ...]) -> None:
    """EX-50; EX-51: `exit/error` is legal then."""
    with pytest.raises(TransitionError, match="to InitError failed"):
        reached(REGISTERED, *events).receive(ExtensionInitErrorPosted("e-1", "X"))
    assert reached(REGISTERED, *events, ExtensionExitErrorPosted("e-1", "X")).state is ExtensionState.EXIT_ERROR


def test_what_has_become_of_an_extension_outlives_its_process() -> None:
    """TL-45, EX-53: telemetry names the state it had reached, and the type it gave."""
    machine = reached(
        REGISTERED, ExtensionInitErrorPosted("e-1", "Extension.Bad"), ExtensionExited("one", "exit status 1")
    )
    assert (machine.state.value, machine.error_type, machine.alive) == ("InitError", "Extension.Bad", False)
    machine = reached(ExtensionLaunchFailed("one", "fork/exec"))
    assert (machine.state.value, machine.error_type, machine.alive) == ("LaunchError", "Extension.LaunchError", False)


def test_shutdown_is_told_once() -> None:
    """EX-82: whoever asks again just waits."""
    machine = reached(REGISTERED, POLLED, ShutdownRequested())
    assert machine.told
    with pytest.raises(TransitionError):
        machine.receive(ShutdownRequested())
    machine.receive(POLLED)
    assert machine.state is ExtensionState.READY


def test_a_name_in_the_directory_is_external_and_any_other_internal() -> None:
    """EX-04."""
    extensions = Extensions(["one"])
    register(extensions, "one", INVOKE, SHUTDOWN)
    register(extensions, "two", INVOKE)
    assert [(extension.name, extension.external) for extension in extensions] == [("one", True), ("two", False)]
    assert extensions.identified("id of two").name == "two"
    assert [extension.name for extension in extensions.followers] == ["one", "two"]


@pytest.mark.parametrize("name", ["one", "internal"])
def test_an_unknown_event_is_refused(name: str) -> None:
    """EX-16: by name, whoever asks."""
    assert refusal(Extensions(["one"]), name, INVOKE, "FOO") == (
        "Extension.InvalidEventType",
        "FOO: ErrorInvalidEventType",
    )


@pytest.mark.parametrize("closed", [False, True])
def test_an_internal_extension_gets_no_shutdown(closed: bool) -> None:
    """EX-17: which is said first, as the events are looked at before anything else."""
    assert refusal(Extensions(["one"]), "internal", SHUTDOWN, closed=closed) == (
        "Extension.InvalidEventType",
        "SHUTDOWN: ShutdownEventNotSupportedForInternalExtension",
    )


def test_internal_extensions_come_before_the_runtimes_first_next() -> None:
    """EX-18: external ones may still come then."""
    extensions = Extensions(["one"])
    assert refusal(extensions, "internal", INVOKE, closed=True) == (
        "Extension.RegistrationClosed",
        "Extension registration closed already",
    )
    register(extensions, "one", SHUTDOWN, closed=True)
    assert extensions.launched


def test_a_name_is_registered_once() -> None:
    """EX-19, EX-20: with a text for internal ones and another for external ones."""
    extensions = Extensions(["one"])
    register(extensions, "one", SHUTDOWN)
    register(extensions, "internal")
    assert refusal(extensions, "internal", INVOKE) == (
        "Extension.InvalidExtensionState",
        "Extension with this name already registered",
    )
    with pytest.raises(TransitionError) as refused:
        register(extensions, "one", INVOKE)
    assert str(refused.value) == (
        "State transition from Registered to Registered failed for extension one. "
        "Error: State transition is not allowed"
    )
    assert extensions.registered_count == 2
    assert not extensions.followers


def test_the_eleventh_is_refused() -> None:
    """EX-05: external ones count before they register."""
    extensions = Extensions(["one", "two"])
    for number in range(MAX_EXTENSIONS - 2):
        register(extensions, f"internal {number}")
    assert refusal(extensions, "internal 8") == ("Extension.TooManyExtensions", "Extension limit (10) reached")


def test_an_unknown_identifier_is_refused() -> None:
    """EX-39."""
    with pytest.raises(ExtensionRefusedError, match="Unknown extension e-9") as refused:
        Extensions(["one"]).identified("e-9")
    assert refused.value.error_type == "Extension.UnknownExtensionIdentifier"
