"""The states of a function version: being made, usable, being changed.

Two members of the API tell one story. `State` says whether the version can be invoked at all; `LastUpdateStatus` says
how far the last change has got, while the version goes on answering with what it was before. Both start at creation and
only one of them moves at a time, so one table holds the pairs.

`Inactive` is in the model, but nothing here leads to it: AWS takes resources away from functions that nobody has
invoked for weeks, and here an idle function has none. A version whose creation failed stays so until an update
succeeds. That an update can mend it is known of AWS for images that have become unreadable, and not for all failures.

A change takes effect when it is settled. Code that cannot be had, which only happens to container images, never does:
an active version has what it had before, which is kept with it until then.

The machine works on values: the caller stores the result under the revision that it read, so that of two changes at
once only one is kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from lamella.domain.function import FunctionVersion, LastUpdateStatus, State
from lamella.domain.image_code import with_image_before, without_image_before

CREATING: Final = "Creating"
BEING_CREATED: Final = "The function is being created."
"""What AWS says of a new function, and, odd as it reads, of one that is being updated.

Source: answers of AWS recorded in LocalStack's tests, 2022 to 2025.
"""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a creation or an update cannot take effect; `code` is one of the model's `StateReasonCode`."""

    reason: str
    code: str


@dataclass(frozen=True, slots=True)
class CreationSucceeded:
    """The new version can be invoked."""


@dataclass(frozen=True, slots=True)
class CreationFailed:
    """The new version can never be invoked; `code` is one of the model's `StateReasonCode`."""

    reason: str
    code: str


@dataclass(frozen=True, slots=True)
class UpdateRequested:
    """Code or configuration of `$LATEST` were changed; the change has no effect yet."""


@dataclass(frozen=True, slots=True)
class UpdateSucceeded:
    """The change has taken effect."""


@dataclass(frozen=True, slots=True)
class UpdateFailed:
    """The change cannot take effect; `code` is one of the model's `LastUpdateStatusReasonCode`."""

    reason: str
    code: str


FunctionEvent: TypeAlias = CreationSucceeded | CreationFailed | UpdateRequested | UpdateSucceeded | UpdateFailed
Status: TypeAlias = tuple[State, LastUpdateStatus]

_NEW: Final = (State.PENDING, LastUpdateStatus.IN_PROGRESS)
_USABLE: Final = (State.ACTIVE, LastUpdateStatus.SUCCESSFUL)
_CHANGING: Final = (State.ACTIVE, LastUpdateStatus.IN_PROGRESS)
_UNCHANGED: Final = (State.ACTIVE, LastUpdateStatus.FAILED)
_UNUSABLE: Final = (State.FAILED, LastUpdateStatus.FAILED)
_MENDING: Final = (State.FAILED, LastUpdateStatus.IN_PROGRESS)

TRANSITIONS: Final[Mapping[tuple[Status, type[FunctionEvent]], Status]] = {
    (_NEW, CreationSucceeded): _USABLE,
    (_NEW, CreationFailed): _UNUSABLE,
    (_USABLE, UpdateRequested): _CHANGING,
    (_UNCHANGED, UpdateRequested): _CHANGING,
    (_CHANGING, UpdateSucceeded): _USABLE,
    (_CHANGING, UpdateFailed): _UNCHANGED,
    (_UNUSABLE, UpdateRequested): _MENDING,
    (_MENDING, UpdateSucceeded): _USABLE,
    (_MENDING, UpdateFailed): _UNUSABLE,
}


class FunctionTransitionError(Exception):
    """The event cannot happen to a version in this state; nothing has changed.

    Attributes:
        version: As it is.
    """

    def __init__(self, version: FunctionVersion, event: FunctionEvent) -> None:
        super().__init__(
            f"{type(event).__name__} while {version.state} and {version.update_status}: {version.key.arn()}"
        )
        self.version: Final = version


def created(version: FunctionVersion) -> FunctionVersion:
    """A new version before it can be invoked."""
    state, update_status = _NEW
    return replace(
        version,
        state=state,
        state_reason=BEING_CREATED,
        state_reason_code=CREATING,
        update_status=update_status,
        update_reason=BEING_CREATED,
        update_reason_code=CREATING,
    )


def advance(version: FunctionVersion, event: FunctionEvent, *, revision_id: str) -> FunctionVersion:
    """What becomes of a version through an event.

    Args:
        version: As it is stored.
        event: What happened.
        revision_id: A new UUID: AWS gives one to every change, of state too. Source: answers recorded by LocalStack.

    Raises:
        FunctionTransitionError: The event is not legal now.
    """
    try:
        state, update_status = TRANSITIONS[(version.state, version.update_status), type(event)]
    except KeyError:
        raise FunctionTransitionError(version, event) from None
    state_reason = state_code = update_reason = update_code = ""
    if state is State.FAILED:
        state_reason, state_code = version.state_reason, version.state_reason_code
    if not isinstance(event, UpdateRequested):
        restore = isinstance(event, UpdateFailed) and state is State.ACTIVE
        version = with_image_before(version) if restore else without_image_before(version)
    match event:
        case CreationSucceeded() | UpdateSucceeded():
            pass
        case CreationFailed(reason, code):
            state_reason = update_reason = reason
            state_code = update_code = code
        case UpdateRequested():
            update_reason, update_code = BEING_CREATED, CREATING
        case UpdateFailed(reason, code):
            update_reason, update_code = reason, code
    return replace(
        version,
        revision_id=revision_id,
        state=state,
        state_reason=state_reason,
        state_reason_code=state_code,
        update_status=update_status,
        update_reason=update_reason,
        update_reason_code=update_code,
    )


def outcome(version: FunctionVersion, problem: Problem | None = None) -> FunctionEvent:
    """How the creation or update that is under way ends.

    Args:
        version: As it is stored.
        problem: Why its code cannot be used, if it cannot.
    """
    creating = version.state is State.PENDING
    if problem is not None:
        kind = CreationFailed if creating else UpdateFailed
        return kind(problem.reason, problem.code)
    return CreationSucceeded() if creating else UpdateSucceeded()


def settled(version: FunctionVersion) -> bool:
    """Whether nothing is under way: no creation, no update."""
    return version.state is not State.PENDING and version.update_status is not LastUpdateStatus.IN_PROGRESS
