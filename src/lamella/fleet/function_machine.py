"""One function in a roll-out as a state machine: how far it is, and where each event leads.

The table is the whole truth about what may follow what; the diagram in docs/design/roll-out.md is drawn from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from lamella.fleet.events import (
    Conflicted,
    Failed,
    Probed,
    Published,
    Shifted,
    UndoFailed,
    Undone,
    Updated,
)


class Phase(StrEnum):
    """How far one function is."""

    WAITING = "waiting"
    UPDATING = "updating"
    PUBLISHING = "publishing"
    PROBING = "probing"
    READY = "ready"  # has all but the traffic
    SHIFTING = "shifting"
    SHIFTED = "shifted"  # its aliases have the share of this step
    DONE = "done"
    UNDOING = "undoing"
    UNDONE = "undone"
    LEFT = "left"  # somebody else was quicker, and has it
    STUCK = "stuck"  # could not be put back


@dataclass(frozen=True, slots=True)
class Begun:
    """The turn of the function's wave has come."""


@dataclass(frozen=True, slots=True)
class ShiftBegun:
    """The wave goes to its next share."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The wave has gone through all its shares."""


@dataclass(frozen=True, slots=True)
class UndoBegun:
    """The roll-out goes back."""


Step: TypeAlias = (
    type[Begun | ShiftBegun | Finished | UndoBegun]
    | type[Updated | Published | Probed | Shifted | Failed | Conflicted | Undone | UndoFailed]
)
AT_WORK: Final = (Phase.UPDATING, Phase.PUBLISHING, Phase.PROBING, Phase.SHIFTING)
CHANGED: Final = (*AT_WORK, Phase.READY, Phase.SHIFTED)
RESTING: Final = (Phase.READY, Phase.SHIFTED, Phase.DONE, Phase.STUCK)
_PREPARED: Final = frozenset({Phase.PUBLISHING, Phase.PROBING, Phase.READY})

TRANSITIONS: Final[Mapping[tuple[Phase, Step], frozenset[Phase]]] = {
    # Where to depends on what the plan wants of the function: a new layer, a version, a probe.
    (Phase.WAITING, Begun): frozenset({Phase.UPDATING}) | _PREPARED,
    (Phase.UPDATING, Updated): _PREPARED,
    (Phase.PUBLISHING, Published): frozenset({Phase.PROBING, Phase.READY}),
    (Phase.PROBING, Probed): frozenset({Phase.READY}),
    (Phase.READY, ShiftBegun): frozenset({Phase.SHIFTING}),
    (Phase.SHIFTING, Shifted): frozenset({Phase.SHIFTED}),
    (Phase.SHIFTED, ShiftBegun): frozenset({Phase.SHIFTING}),
    (Phase.READY, Finished): frozenset({Phase.DONE}),
    (Phase.SHIFTED, Finished): frozenset({Phase.DONE}),
    **{(phase, Failed): frozenset({Phase.UNDOING}) for phase in CHANGED},
    **{(phase, Conflicted): frozenset({Phase.UNDOING}) for phase in AT_WORK},
    (Phase.UPDATING, Conflicted): frozenset({Phase.LEFT}),  # nothing of it is ours
    **{(phase, UndoBegun): frozenset({Phase.UNDOING}) for phase in (*CHANGED, Phase.DONE, Phase.STUCK)},
    (Phase.UNDOING, Undone): frozenset({Phase.UNDONE}),
    (Phase.UNDOING, UndoFailed): frozenset({Phase.STUCK}),
}
SETTLED: Final = frozenset({Phase.DONE, Phase.UNDONE, Phase.LEFT, Phase.STUCK})
"""In these nothing more happens to a function while the roll-out goes forward."""


class RolloutTransitionError(Exception):
    """The event cannot happen now; nothing has changed."""


@dataclass(frozen=True, slots=True)
class Task:
    """What the plan wants of one function.

    Attributes:
        update: Whether `$LATEST` has to get the new layer; else it has it.
        publish: Whether a version is to be published.
        shift: Whether it has aliases to be moved.
        probe: Whether it is to be invoked before it gets traffic.
    """

    name: str
    update: bool
    publish: bool
    shift: bool
    probe: bool


@dataclass(slots=True)
class FunctionMachine:
    """One function in a roll-out.

    Attributes:
        version: The version that was published for it; empty before that.
        created: Whether it was made by the roll-out.
        touched: Whether `$LATEST` is known to have been changed.
        reason: Why it failed or was left alone; empty else.
        failed: Whether the new layer is bad for it, rather than somebody else at work on it.
        notes: What undoing it could not put back.
        seen: What was last seen of the new version.
    """

    task: Task
    phase: Phase = Phase.WAITING
    version: str = ""
    created: bool = False
    touched: bool = False
    reason: str = ""
    failed: bool = False
    notes: str = ""
    seen: str = ""

    def receive(
        self,
        event: Begun
        | ShiftBegun
        | Finished
        | UndoBegun
        | Updated
        | Published
        | Probed
        | Shifted
        | Failed
        | Conflicted
        | Undone
        | UndoFailed,
    ) -> None:
        """Take one event.

        Raises:
            RolloutTransitionError: Not legal now, and nothing has changed.
        """
        targets = TRANSITIONS.get((self.phase, type(event)))
        if targets is None:
            raise RolloutTransitionError(f"{type(event).__name__} of {self.task.name} while it is {self.phase}")
        match event:
            case Updated():
                self.touched = True
            case Published(_, version, created):
                self.version, self.created = version, created
            case Failed(_, reason):
                self.reason, self.failed = reason, True
            case Conflicted(_, reason):
                self.reason = reason
            case Undone(_, notes):
                self.notes = notes
            case UndoFailed(_, reason):
                self.notes = reason
            case UndoBegun() if not self.reason:
                self.reason = "rolled back with the others"
            case _:
                pass
        self.phase = self._next(targets, event)

    def _next(self, targets: frozenset[Phase], event: object) -> Phase:
        if len(targets) == 1:
            return next(iter(targets))
        if isinstance(event, Begun) and self.task.update:
            return Phase.UPDATING
        if isinstance(event, Begun | Updated) and self.task.publish:
            return Phase.PUBLISHING
        return Phase.PROBING if self.task.probe else Phase.READY
