"""What can happen in a roll-out, as it is written to the journal, and what can be asked of the host."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, TypeAlias


@dataclass(frozen=True, slots=True)
class Started:
    """The user has agreed."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """Another process goes on: whatever an earlier one was at may have been done, or not."""


@dataclass(frozen=True, slots=True)
class Updated:
    """`$LATEST` of the function has the new layer, and the change has taken effect."""

    function: str


@dataclass(frozen=True, slots=True)
class Published:
    """The function has a version with the new layer that can be invoked.

    Attributes:
        created: Whether the roll-out has made it; else it had been there.
    """

    function: str
    version: str
    created: bool


@dataclass(frozen=True, slots=True)
class Probed:
    """The new version has answered the probe without an error."""

    function: str


@dataclass(frozen=True, slots=True)
class Shifted:
    """The function's aliases send it the share of this step."""

    function: str


@dataclass(frozen=True, slots=True)
class Baked:
    """The wave was watched for as long as a step takes.

    Attributes:
        unhealthy: Why, by name of function; those not in it are well.
        seen: In words what each function's new version did meanwhile.
        invocations: Of all new versions together, as far as is known.
        errors: How many of them failed.
    """

    unhealthy: Mapping[str, str]
    seen: Mapping[str, str]
    invocations: int = 0
    errors: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """The new layer does not work for the function, or Lambda refuses it."""

    function: str
    reason: str


@dataclass(frozen=True, slots=True)
class Conflicted:
    """Somebody else has changed the function, or deleted it."""

    function: str
    reason: str


@dataclass(frozen=True, slots=True)
class Undone:
    """Everything that the roll-out had changed of the function is as it was; `notes` says what is not, and why."""

    function: str
    notes: str = ""


@dataclass(frozen=True, slots=True)
class UndoFailed:
    """It could not be put back; it can be tried again."""

    function: str
    reason: str


@dataclass(frozen=True, slots=True)
class RollbackRequested:
    """Back with everything: the user wants it."""

    reason: str


Event: TypeAlias = (
    Started
    | Resumed
    | Updated
    | Published
    | Probed
    | Shifted
    | Baked
    | Failed
    | Conflicted
    | Undone
    | UndoFailed
    | RollbackRequested
)
EVENTS: Final[tuple[type[Event], ...]] = (
    *(Started, Resumed, Updated, Published, Probed, Shifted, Baked),
    *(Failed, Conflicted, Undone, UndoFailed, RollbackRequested),
)
_BY_NAME: Final = {kind.__name__: kind for kind in EVENTS}


def to_document(event: Event) -> dict[str, Any]:  # Any: JSON
    """As a line of the journal has it."""
    return {"event": type(event).__name__, **asdict(event)}


def of_document(document: Mapping[str, Any]) -> Event:  # Any: JSON
    """The opposite; members that are not the event's are ignored.

    Raises:
        KeyError: There is no such event, or it lacks a member.
    """
    kind = _BY_NAME[document["event"]]
    return kind(**{field.name: document[field.name] for field in fields(kind)})


@dataclass(frozen=True, slots=True)
class UpdateLayers:
    """Give `$LATEST` the new layer, and wait until that has taken effect."""

    function: str


@dataclass(frozen=True, slots=True)
class Publish:
    """Publish a version of `$LATEST`, and wait until it can be invoked."""

    function: str


@dataclass(frozen=True, slots=True)
class Probe:
    """Invoke the new version, or `$LATEST` if `version` is empty, and see whether it fails."""

    function: str
    version: str


@dataclass(frozen=True, slots=True)
class ShiftAliases:
    """Have the function's aliases send the new version a share of their invocations.

    Attributes:
        step: Counts the shares of the policy from 0.
    """

    function: str
    version: str
    step: int


@dataclass(frozen=True, slots=True)
class Watch:
    """Watch how new versions do, for as long as a step takes.

    Attributes:
        versions: Pairs of a function's name and its new version, which is empty for `$LATEST`.
    """

    versions: tuple[tuple[str, str], ...]
    wave: int
    step: int


@dataclass(frozen=True, slots=True)
class Undo:
    """Put back whatever the roll-out has changed of the function.

    Attributes:
        version: The new version; empty if none was published, as far as is known.
        touched: Whether `$LATEST` is known to have been changed by the roll-out.
    """

    function: str
    version: str
    touched: bool


Command: TypeAlias = UpdateLayers | Publish | Probe | ShiftAliases | Watch | Undo
