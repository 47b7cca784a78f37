"""What a kind of resource has to be able to do, and which kind answers for a type."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import Any, Final, Protocol

from lamella.neighbour.stacks.errors import ResourceError
from lamella.neighbour.stacks.template import Json

Properties = Mapping[str, Json]


class Clients(Protocol):
    """botocore clients that act for an account."""

    def __call__(self, service: str, account: str, region: str) -> Any:  # Any: botocore makes clients at run time
        """Lambda's is Lamella's; all others are moto's."""


@dataclass(frozen=True, slots=True)
class Task:
    """One resource that is to be made, changed or removed.

    Attributes:
        name: A physical name for it, should the template give none.
        base_url: Under which this server is known to whoever deploys.
        tags: Those of the stack, and the ones that AWS adds.
        stack_id: Of the stack, for whoever has to tell.
        is_stack: Whether a stack is known, by its id; the ids of those before a restart are not.
        stop: Set when the operation is to end early; whoever waits for long looks at it.
    """

    account: str
    region: str
    stack_id: str
    stack_name: str
    logical_id: str
    kind: str
    name: str
    clients: Clients
    base_url: str = "http://127.0.0.1:4566"
    tags: Mapping[str, str] = field(default_factory=dict)
    token: str = ""
    stop: Event = field(default_factory=Event)
    is_stack: Callable[[str], bool] = lambda _: True

    def client(self, service: str) -> Any:  # Any: botocore
        """A client of a service that acts for the stack's account, in its region."""
        return self.clients(service, self.account, self.region)


@dataclass(frozen=True, slots=True)
class Made:
    """A resource as it is now.

    Attributes:
        secret: Whether events do not tell what its attributes are.
    """

    physical_id: str
    attributes: Mapping[str, Json] = field(default_factory=dict)
    handle: Any = None  # of its kind
    secret: bool = False


class Kind(Protocol):
    """Makes, changes and removes resources of a type.

    What goes wrong is a `ResourceError`, or an error of botocore or moto, which the caller words.
    """

    def create(self, task: Task, properties: Properties) -> Made:
        """Make it, and wait until it can be used."""

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """Change it in place."""

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """Remove it. `GoneError`, or any error that says it is not there, is as good."""


class Nothing:
    """Is there as a name only: what a template may hold and nobody has to make."""

    def create(self, task: Task, properties: Properties) -> Made:
        """Only its name."""
        return Made(task.name)

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """As it was."""
        return made

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """Nothing to do."""


class Unsupported:
    """A type that nobody here can make: a stack with it fails, and says why."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def create(self, task: Task, properties: Properties) -> Made:
        """Refuse."""
        raise ResourceError(f"Lamella does not make resources of the type {self._kind}. See docs/how-to/deploy.md.")

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """Never there."""
        raise ResourceError(f"Lamella does not change resources of the type {self._kind}")

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """Never there."""


NOTHING: Final[Mapping[str, Kind]] = {
    "AWS::CDK::Metadata": Nothing(),
    "AWS::CloudFormation::WaitConditionHandle": Nothing(),
}
