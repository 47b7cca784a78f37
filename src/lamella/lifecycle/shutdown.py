"""The orderly end of an environment's processes: first the runtime, then its extensions (section 4.6 of the contract).

It comes before a reset and before the end of an environment alike. Only extensions that have registered make it last
(EX-81): `lifecycle.environment` does not begin it without any.
"""

import math
from enum import Enum
from typing import Final, assert_never

from lamella.lifecycle.commands import (
    Command,
    FlushTelemetry,
    GiveShutdown,
    KillExtension,
    KillRuntime,
    ShutdownReason,
    TerminateRuntime,
)
from lamella.lifecycle.events import (
    DeadlinePassed,
    Event,
    ExtensionExited,
    ExtensionExitErrorPosted,
    ExtensionInitErrorPosted,
    ExtensionLaunchFailed,
    ExtensionPolled,
    ExtensionRegistered,
    LaunchFailed,
    RuntimeExited,
    ShutdownRequested,
    TelemetryFlushed,
    TransitionError,
)
from lamella.lifecycle.extension import SHUTDOWN, ExtensionMachine, Extensions, ExtensionState

RUNTIME_SHUTDOWN_S: Final = 0.3  # with external extensions; the table of 4.6 has all three
INTERNAL_SHUTDOWN_S: Final = 0.5
SHUTDOWN_S: Final = 2.0
FLUSH_S: Final = 0.5
"""How long SHUTDOWN events wait for the telemetry that is on its way. An extension may exit as soon as it has the
event, so what is buffered goes first (EX-83); one that takes no telemetry must still get the event in time."""


class Step(Enum):
    """How far the shutdown has got."""

    RUNTIME = "runtime"  # the runtime has SIGTERM and a little time
    FLUSH = "flush"  # telemetry goes out before the extensions are told
    EXTENSIONS = "extensions"  # those that want to know have the event
    OVER = "over"  # whatever still runs has had its time, and is to be killed


class ShutdownMachine:
    """One shutdown.

    Attributes:
        step: See `Step`.
        deadline_s: Monotonic seconds at which it wants `DeadlinePassed`; `math.inf` once it is over.
    """

    __slots__ = ("_began_s", "_extensions", "_reason", "deadline_s", "step")

    def __init__(self, extensions: Extensions, reason: ShutdownReason, *, now_s: float) -> None:
        """It begins now; at least one extension has registered."""
        self._extensions: Final = extensions
        self._reason: Final = reason
        self._began_s: Final = now_s
        external = extensions.has_registered_external
        self.step = Step.RUNTIME
        self.deadline_s = now_s + (RUNTIME_SHUTDOWN_S if external else INTERNAL_SHUTDOWN_S)

    def begin(self, *, runtime_alive: bool, now_s: float) -> list[Command]:
        """The first commands. A runtime that is gone gets no signal (EX-84)."""
        return [TerminateRuntime()] if runtime_alive else self._runtime_ended(now_s)

    def receive(self, event: Event, *, now_s: float) -> list[Command]:
        """Take one event and say what the host must do next, in order.

        Raises:
            ExtensionRefusedError: An extension asked for what it cannot have; nothing has changed.
            TransitionError: Not legal now; nothing has changed.
        """
        match event:
            case RuntimeExited() | LaunchFailed():
                return self._runtime_ended(now_s) if self.step is Step.RUNTIME else []
            case ExtensionExited(name=name) | ExtensionLaunchFailed(name=name):
                self._extensions.named(name).receive(event)
                if self.step is not Step.RUNTIME and not self._extensions.any_alive:
                    self._end()
                return []
            case TelemetryFlushed():
                return self._tell_all() if self.step is Step.FLUSH else []
            case DeadlinePassed():
                return self._deadline_passed(now_s)
            case ExtensionPolled(identifier=identifier):
                extension = self._extensions.identified(identifier)
                extension.receive(event)
                return self._tell(extension) if self.step is Step.EXTENSIONS else []
            case ExtensionInitErrorPosted(identifier=identifier) | ExtensionExitErrorPosted(identifier=identifier):
                self._extensions.identified(identifier).receive(event)
                return []  # it is about to end, as it should
            case ExtensionRegistered():
                self._extensions.register(event, closed=True)
                return []
            case _:
                raise TransitionError(self.step.value, type(event).__name__, "shutdown")

    def _deadline_passed(self, now_s: float) -> list[Command]:
        match self.step:
            case Step.RUNTIME:
                return [KillRuntime(), *self._runtime_ended(now_s)]
            case Step.FLUSH:
                return self._tell_all()
            case Step.EXTENSIONS | Step.OVER:
                self._end()
                return []
            case _:
                assert_never(self.step)

    def _runtime_ended(self, now_s: float) -> list[Command]:
        if not self._extensions.has_registered_external or not self._extensions.any_alive:
            self._end()
            return []
        self.step = Step.FLUSH
        self.deadline_s = min(now_s + FLUSH_S, self._began_s + SHUTDOWN_S)
        silent = [
            KillExtension(extension.name)
            for extension in self._extensions
            if extension.external and extension.alive and SHUTDOWN not in extension.events
        ]
        return [*silent, FlushTelemetry()]

    def _tell_all(self) -> list[Command]:
        self.step = Step.EXTENSIONS
        self.deadline_s = self._began_s + SHUTDOWN_S
        return [command for extension in self._extensions for command in self._tell(extension)]

    def _tell(self, extension: ExtensionMachine) -> list[Command]:
        """Tell one that waits for an event and wants to know; once (EX-82)."""
        waits = extension.alive and extension.state is ExtensionState.READY
        if not waits or extension.told or SHUTDOWN not in extension.events:
            return []
        extension.receive(_REQUESTED)
        return [GiveShutdown(extension.identifier, self._reason, self.deadline_s)]

    def _end(self) -> None:
        self.step = Step.OVER
        self.deadline_s = math.inf


_REQUESTED: Final = ShutdownRequested()
