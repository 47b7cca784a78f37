"""What callers of CloudFormation's API are told, and why a resource cannot be made."""

from typing import TYPE_CHECKING

from moto.core.exceptions import ServiceException

if TYPE_CHECKING:  # it imports this module
    from lamella.neighbour.stacks.kinds import Made


class StackError(ServiceException):
    """An error of the API; its kin have other codes."""

    code = "ValidationError"


class AlreadyExistsError(StackError):
    """A stack or a change set of that name is there."""

    code = "AlreadyExistsException"


class ChangeSetNotFoundError(StackError):
    """There is no such change set."""

    code = "ChangeSetNotFound"


class InvalidChangeSetStatusError(StackError):
    """The change set cannot be executed or deleted now."""

    code = "InvalidChangeSetStatus"


class LimitExceededError(StackError):
    """There are as many as there may be."""

    code = "LimitExceededException"


class NoUpdatesError(StackError):
    """The stack is already what it is to be."""


class InsufficientCapabilitiesError(StackError):
    """The template asks for more than its sender has acknowledged."""

    code = "InsufficientCapabilitiesException"


class NotImplementedHereError(StackError):
    """AWS has it, and this server does not."""

    code = "NotImplementedException"


class TransformError(StackError):
    """A transform fails; a change set says so, other operations refuse."""


class ResourceError(Exception):
    """A resource cannot be made, changed or removed; the text is the reason in the stack's events."""


class HalfMadeError(ResourceError):
    """A resource cannot be made as it should be, and is there all the same: it has to be removed."""

    def __init__(self, reason: str, made: "Made") -> None:
        super().__init__(reason)
        self.made = made


class GoneError(Exception):
    """A resource that is to be removed is not there: what was wanted."""
