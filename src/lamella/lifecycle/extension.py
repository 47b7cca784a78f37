"""The extensions of an execution environment, as the Extensions API sees them (section 3 of the contract).

An *external* extension is a file in `/opt/extensions`, started as a process of its own before the runtime. Any other
name that registers is an *internal* one, which lives inside the runtime's process (EX-04).

As with the runtime, the machine of one extension only knows which calls are legal. When an init or an invocation is
over, and what a failure means, is for `lifecycle.environment` to say. A process that has ended leaves its extension in
the state it had reached, because that is what logs and telemetry tell of it (TL-45).

A state's value is the name that AWS's error text uses for it.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Final

from lamella.domain.errors import FunctionErrorType
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

MAX_EXTENSIONS: Final = 10  # EX-05
INVOKE: Final = "INVOKE"
SHUTDOWN: Final = "SHUTDOWN"


class ExtensionState(Enum):
    """What the extension owes us."""

    STARTED = "Started"  # its process runs; it has not registered
    LAUNCH_ERROR = "LaunchError"  # there is no process
    REGISTERED = "Registered"  # has not asked for an event yet, so it is not initialised (EX-32)
    READY = "Ready"  # blocked in `event/next`
    RUNNING = "Running"  # has an event
    INIT_ERROR = "InitError"  # has said that it cannot work; only its exit is left
    EXIT_ERROR = "ExitError"  # has said that it is about to end


_CALLABLE: Final = (ExtensionState.REGISTERED, ExtensionState.READY, ExtensionState.RUNNING)

TRANSITIONS: Final[Mapping[tuple[ExtensionState, type[Event]], ExtensionState]] = {
    (ExtensionState.STARTED, ExtensionRegistered): ExtensionState.REGISTERED,
    (ExtensionState.REGISTERED, ExtensionPolled): ExtensionState.READY,
    (ExtensionState.READY, InvocationAssigned): ExtensionState.RUNNING,  # given INVOKE
    (ExtensionState.READY, ShutdownRequested): ExtensionState.RUNNING,  # given SHUTDOWN
    (ExtensionState.RUNNING, ExtensionPolled): ExtensionState.READY,
    (ExtensionState.REGISTERED, ExtensionInitErrorPosted): ExtensionState.INIT_ERROR,
    (ExtensionState.INIT_ERROR, ExtensionInitErrorPosted): ExtensionState.INIT_ERROR,  # again, without effect (EX-50)
    **{(state, ExtensionExitErrorPosted): ExtensionState.EXIT_ERROR for state in _CALLABLE},
    (ExtensionState.EXIT_ERROR, ExtensionExitErrorPosted): ExtensionState.EXIT_ERROR,  # likewise (EX-51)
    # The end of a process is a fact, whatever state its extension is in. Another process may even have registered
    # under the name of one that could not be started: names are what callers say.
    **{(state, ExtensionLaunchFailed): ExtensionState.LAUNCH_ERROR for state in ExtensionState},
    **{(state, ExtensionExited): state for state in ExtensionState},
}

_TARGETS: Final[Mapping[type[Event], ExtensionState]] = {
    ExtensionRegistered: ExtensionState.REGISTERED,
    ExtensionPolled: ExtensionState.READY,
    ExtensionInitErrorPosted: ExtensionState.INIT_ERROR,
    ExtensionExitErrorPosted: ExtensionState.EXIT_ERROR,
}


class ExtensionMachine:
    """Which Extensions API call of one extension is legal now.

    Attributes:
        identifier: Empty until it has registered.
        events: What it asked for when it registered.
        alive: Whether its process runs. Of an internal one: always, as it has none.
        error_type: What it said of its own failure, or what its end is called (EX-53); empty if it is well.
        told: Whether it has been given SHUTDOWN, which comes once (EX-82).
    """

    __slots__ = ("alive", "error_type", "events", "external", "identifier", "name", "state", "told")

    def __init__(self, name: str, *, external: bool) -> None:
        self.name: Final = name
        self.external: Final = external
        self.state = ExtensionState.STARTED
        self.identifier = ""
        self.events: tuple[str, ...] = ()
        self.alive = True
        self.error_type = ""
        self.told = False

    @property
    def registered(self) -> bool:
        """Whether it has an identifier, and thus a say in shutdowns (EX-81)."""
        return bool(self.identifier)

    def receive(self, event: Event) -> None:
        """Take one event.

        Raises:
            TransitionError: Not legal now, and nothing has changed.
        """
        if isinstance(event, ExtensionPolled) and event.replaces and self.state is ExtensionState.READY:
            return
        try:
            self.state = TRANSITIONS[self.state, type(event)]
        except KeyError:
            target = _TARGETS.get(type(event))
            subject = self.name if isinstance(event, ExtensionRegistered) else self.identifier
            raise TransitionError(
                self.state.value,
                type(event).__name__ if target is None else target.value,
                f"extension {subject}",
            ) from None
        match event:
            case ExtensionRegistered(identifier=identifier, events=events):
                self.identifier, self.events = identifier, events
            case ExtensionInitErrorPosted(error_type=error_type) | ExtensionExitErrorPosted(error_type=error_type):
                self.error_type = self.error_type or error_type
            case ExtensionLaunchFailed():
                self.alive = False
                self.error_type = FunctionErrorType.EXTENSION_LAUNCH_ERROR
            case ExtensionExited():
                self.alive = False
            case ShutdownRequested():
                self.told = True
            case _:
                pass  # the table has said it all


class Extensions:
    """All extensions of one life of an environment, from init to shutdown; a reset begins with new ones."""

    __slots__ = ("_by_identifier", "_by_name", "followers", "registered_count")

    def __init__(self, external: Sequence[str] = ()) -> None:
        """None has registered.

        Args:
            external: Names of the files in `/opt/extensions`, sorted.
        """
        self._by_name = {name: ExtensionMachine(name, external=True) for name in external}
        self._by_identifier: dict[str, ExtensionMachine] = {}
        self.registered_count = 0
        self.followers: list[ExtensionMachine] = []  # those that are told of each invocation

    def __iter__(self) -> Iterator[ExtensionMachine]:
        """External ones by name, then internal ones as they registered."""
        return iter(self._by_name.values())

    def named(self, name: str) -> ExtensionMachine:
        """The external extension of that name."""
        return self._by_name[name]

    def identified(self, identifier: str) -> ExtensionMachine:
        """The extension that was given this identifier.

        Raises:
            ExtensionRefusedError: There is none (EX-39).
        """
        extension = self._by_identifier.get(identifier)
        if extension is None:
            raise ExtensionRefusedError("Extension.UnknownExtensionIdentifier", f"Unknown extension {identifier}")
        return extension

    def register(self, event: ExtensionRegistered, *, closed: bool) -> None:
        """Take a registration.

        Args:
            event: What the extension says.
            closed: Whether the runtime has asked for its first event, after which no internal one may come (EX-18).

        Raises:
            ExtensionRefusedError: It cannot be; the texts are those of EX-05 and EX-16 to EX-19.
            TransitionError: It is registered already (EX-20).
        """
        for wanted in event.events:
            if wanted not in (INVOKE, SHUTDOWN):
                raise ExtensionRefusedError("Extension.InvalidEventType", f"{wanted}: ErrorInvalidEventType")
        extension = self._by_name.get(event.name)
        if extension is None or not extension.external:
            # In the order in which the public emulator checks.
            if SHUTDOWN in event.events:
                text = f"{SHUTDOWN}: ShutdownEventNotSupportedForInternalExtension"
                raise ExtensionRefusedError("Extension.InvalidEventType", text)
            if closed:
                text = "Extension registration closed already"
                raise ExtensionRefusedError("Extension.RegistrationClosed", text)
            if len(self._by_name) >= MAX_EXTENSIONS:
                text = f"Extension limit ({MAX_EXTENSIONS}) reached"
                raise ExtensionRefusedError("Extension.TooManyExtensions", text)
            if extension is not None:
                text = "Extension with this name already registered"
                raise ExtensionRefusedError("Extension.InvalidExtensionState", text)
            extension = ExtensionMachine(event.name, external=False)
        extension.receive(event)
        self._by_name[event.name] = extension
        self._by_identifier[event.identifier] = extension
        self.registered_count += 1
        if INVOKE in event.events:
            self.followers.append(extension)

    @property
    def launched(self) -> bool:
        """Whether every external one has registered, so that the runtime may start (4.1)."""
        return all(extension.registered for extension in self)

    @property
    def initialised(self) -> bool:
        """Whether every one has asked for its first event (EX-32)."""
        return all(extension.state is ExtensionState.READY for extension in self)

    @property
    def done(self) -> bool:
        """Whether every one that was told of the invocation has asked for the next event (EX-33)."""
        return not self.followers or all(extension.state is ExtensionState.READY for extension in self.followers)

    @property
    def has_registered_external(self) -> bool:
        """Whether a shutdown has a phase for extensions (4.6)."""
        return any(extension.external and extension.registered for extension in self)

    @property
    def any_alive(self) -> bool:
        """Whether the process of an external one still runs."""
        return any(extension.external and extension.alive for extension in self)
