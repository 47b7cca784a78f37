"""Stacks whose resources are entries of a dict."""

import itertools
from dataclasses import dataclass, field
from typing import Any

from lamella.neighbour.stacks.errors import HalfMadeError, ResourceError
from lamella.neighbour.stacks.kinds import Clients, Kind, Made, Properties, Task
from lamella.neighbour.stacks.model import STACK, ChangeSet, Stack, Wish
from lamella.neighbour.stacks.nested import NestedStack
from lamella.neighbour.stacks.service import Stacks
from lamella.neighbour.stacks.template import Json

ACCOUNT, REGION = "111122223333", "eu-west-1"


@dataclass
class FakeKind:
    """Makes things, unless a property says that it should not.

    Attributes:
        things: Those that there are, by physical id.
        calls: What was asked, as text.
    """

    things: dict[str, Properties] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)

    def create(self, task: Task, properties: Properties) -> Made:
        self.calls.append(f"create {task.logical_id}")
        self._fail("create", properties)
        identity = f"{task.logical_id}-{next(self._numbers)}"
        attributes = {"Arn": f"arn:{identity}", "Size": properties.get("Size")}
        made = Made(identity, attributes, secret=properties.get("Secret") == "yes")
        if properties.get("Fail") == "half":
            self.things[identity] = properties
            raise HalfMadeError("only half", made)
        if properties.get("Fail") == "wait":
            task.stop.wait(30)
            raise ResourceError("cancelled")
        self.things[identity] = properties
        return made

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        self.calls.append(f"update {task.logical_id}")
        self._fail("update", new)
        self.things[made.physical_id] = new
        return made

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        self.calls.append(f"delete {made.physical_id}")
        self._fail("delete", properties)
        del self.things[made.physical_id]

    def _fail(self, verb: str, properties: Properties) -> None:
        if properties.get("Fail") == verb:
            raise ResourceError(f"{verb} does not work")


class World:
    """Stacks on a fake kind.

    Attributes:
        kind: Answers for all types.
    """

    def __init__(self, templates: dict[str, str] | None = None, clients: Clients | None = None) -> None:
        self.kind = FakeKind()
        self.more: dict[str, Kind] = {}
        self.stacks = Stacks(lambda kind: self.more.get(kind, self.kind), clients or _no_clients)
        found = templates or {}
        self.more[STACK] = NestedStack(self.stacks, lambda url, account, region: found[url])

    def create(self, text: str, name: str = "s", **more: Any) -> Stack:
        stack = self.stacks.create(ACCOUNT, REGION, name, Wish(text), **more)
        assert stack.settled.wait(30)
        return stack

    def update(self, stack: Stack, text: str, **more: Any) -> None:
        self.stacks.update(stack, Wish(text), **more)
        assert stack.settled.wait(30)

    def delete(self, stack: Stack, retained: frozenset[str] = frozenset()) -> None:
        assert self.stacks.delete(stack, "", retained).wait(30)

    def change_set(self, text: str, kind: str, name: str = "s", called: str = "c", **wish: Any) -> ChangeSet:
        return self.stacks.add_change_set(ACCOUNT, REGION, name, called, Wish(text, **wish), kind=kind)


def events(stack: Stack) -> list[str]:
    return [f"{event.logical_id} {event.status}" for event in stack.events]


def reasons(stack: Stack) -> list[str]:
    return [event.reason for event in stack.events if event.reason]


def _no_clients(service: str, account: str, region: str) -> Json:
    raise AssertionError(f"nobody should ask {service}")
