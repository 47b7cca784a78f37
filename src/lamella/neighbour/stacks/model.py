"""Stacks, their resources, events and change sets: what CloudFormation keeps."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final
from uuid import uuid4

from lamella.neighbour.stacks.kinds import Made
from lamella.neighbour.stacks.parameters import Parameter
from lamella.neighbour.stacks.template import Json, Template

STACK: Final = "AWS::CloudFormation::Stack"
_EVENTS_MOST: Final = 10_000
"""Ours: of a stack; to make one with 500 resources takes 1,500."""


class Policy(StrEnum):
    """What becomes of a resource that a stack no longer has."""

    DELETE = "Delete"
    RETAIN = "Retain"
    RETAIN_EXCEPT_ON_CREATE = "RetainExceptOnCreate"
    SNAPSHOT = "Snapshot"


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource that exists; a change is a new value.

    Attributes:
        logical_id: In the template.
        kind: Its type.
        physical_id: What `Ref` gives.
        properties: Resolved.
        secret: Whether events do not tell what its attributes are.
        shown: The properties as events tell of them, in JSON: without secrets.
        attributes: What `Fn::GetAtt` gives.
        depends_on: Logical ids of what has to be there while it is.
        handle: Whatever its kind wants to keep of it.
        deletion: What becomes of it when it is no longer in the template, or the stack goes.
        replacement: What becomes of it when a new one takes its place.
        status: Of its last change, with `reason` and `at`.
    """

    logical_id: str
    kind: str
    physical_id: str
    properties: Mapping[str, Json]
    attributes: Mapping[str, Json] = field(default_factory=dict)
    depends_on: frozenset[str] = frozenset()
    handle: Any = None  # of its kind
    deletion: Policy = Policy.DELETE
    replacement: Policy = Policy.DELETE
    metadata: Json = None
    secret: bool = False
    shown: str = ""
    status: str = "CREATE_IN_PROGRESS"
    reason: str = ""
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def become(self, made: Made) -> "Resource":
        """The same as its kind has made it."""
        return replace(
            self,
            physical_id=made.physical_id,
            attributes=made.attributes,
            handle=made.handle,
            secret=made.secret,
        )

    def told(self, status: str, reason: str = "") -> "Resource":
        """The same in another status."""
        return replace(self, status=status, reason=reason, at=datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Event:
    """One line of what `DescribeStackEvents` tells."""

    logical_id: str
    physical_id: str
    kind: str
    status: str
    reason: str = ""
    properties: str = ""
    token: str = ""
    id: str = field(default_factory=lambda: str(uuid4()))
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Output:
    """One output of a stack."""

    key: str
    value: str
    description: str = ""
    export: str = ""


@dataclass(frozen=True, slots=True)
class Design:
    """What a stack is to be: a template with its parameters. Also what it goes back to.

    Attributes:
        text: The template as it was sent.
        template: Transformed.
        parameters: Settled.
        tags: Of the stack, for all of its resources.
        capabilities: That its sender has acknowledged.
        transformed: Whether the template is another one than was sent.
    """

    text: str
    template: Template
    parameters: Mapping[str, Parameter]
    tags: Mapping[str, str]
    capabilities: tuple[str, ...] = ()
    role: str = ""
    notifications: tuple[str, ...] = ()
    transformed: bool = False


@dataclass(slots=True)
class Stack:
    """One stack. Whoever changes it holds `lock`, but for the thread that carries out its operation."""

    id: str
    name: str
    account: str
    region: str
    design: Design
    status: str
    reason: str = ""
    parent: str = ""
    root: str = ""
    disable_rollback: bool = False
    protected: bool = False
    timeout_minutes: int | None = None
    resources: dict[str, Resource] = field(default_factory=dict)
    outputs: list[Output] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    change_set: str = ""
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    updated_at: datetime | None = None
    deleted_at: datetime | None = None
    policy: str = ""
    base_url: str = ""
    imports: set[str] = field(default_factory=set)
    settled: threading.Event = field(default_factory=threading.Event)
    """Of the last operation: set when it has ended."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Set when the operation under way is to end early."""

    @property
    def busy(self) -> bool:
        """Whether an operation is under way."""
        return self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"

    @property
    def exports(self) -> dict[str, str]:
        """What it gives to other stacks."""
        return {output.export: output.value for output in self.outputs if output.export}

    @property
    def gone(self) -> bool:
        """Whether it was removed."""
        return self.status == "DELETE_COMPLETE"

    def tell(self, status: str, reason: str = "", token: str = "") -> None:
        """Change the stack's own status, and add the event that says so."""
        self.note(Event(self.name, self.id, STACK, status, reason, token=token))
        self.status, self.reason = status, reason

    def note(self, event: Event) -> None:
        """Add an event, and forget the oldest of very many."""
        self.events.append(event)
        del self.events[:-_EVENTS_MOST]


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request asks for, whichever operation it is.

    Attributes:
        text: The template; empty for the one that the stack has.
        parameters: By name; `None` for the value that the stack has.
        tags: `None` to keep those that the stack has.
        base_url: Under which the client knows this server.
        token: For the events.
    """

    text: str
    parameters: Mapping[str, str | None] = field(default_factory=dict)
    tags: Mapping[str, str] | None = None
    capabilities: tuple[str, ...] = ()
    role: str = ""
    notifications: tuple[str, ...] = ()
    base_url: str = ""
    token: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """What a change set would do with one resource."""

    action: str
    logical_id: str
    kind: str
    physical_id: str = ""
    replacement: str = ""
    scope: tuple[str, ...] = ()
    details: tuple[Mapping[str, Json], ...] = ()


@dataclass(slots=True)
class ChangeSet:
    """A change that can be carried out."""

    id: str
    name: str
    stack: Stack
    kind: str
    design: Design
    description: str = ""
    status: str = "CREATE_COMPLETE"
    reason: str = ""
    execution: str = "AVAILABLE"
    changes: tuple[Change, ...] = ()
    on_failure: str = ""
    nested: bool = False
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def outdate(self) -> None:
        """The stack is not what this would change any more."""
        if self.execution == "AVAILABLE":
            self.execution = "OBSOLETE"
