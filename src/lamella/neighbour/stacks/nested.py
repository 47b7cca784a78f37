"""`AWS::CloudFormation::Stack`: stacks within stacks."""

from collections.abc import Mapping
from typing import Protocol

from lamella.neighbour.stacks.errors import ResourceError
from lamella.neighbour.stacks.intrinsics import text
from lamella.neighbour.stacks.kinds import Made, Properties, Task
from lamella.neighbour.stacks.model import Stack
from lamella.neighbour.stacks.template import Json


class Children(Protocol):
    """Carries out operations on stacks, and returns when they are done."""

    def make_child(self, task: Task, url: str, parameters: Mapping[str, str], tags: Mapping[str, str]) -> Stack:
        """A new stack; it may have failed."""

    def change_child(
        self, task: Task, identity: str, url: str, parameters: Mapping[str, str], tags: Mapping[str, str]
    ) -> Stack | None:
        """The stack, changed; it may have failed. `None` if it is so already."""

    def remove_child(self, task: Task, identity: str) -> Stack:
        """The stack, gone; it may have failed."""


class NestedStack:
    """See the module."""

    def __init__(self, children: Children) -> None:
        self._children = children

    def create(self, task: Task, properties: Properties) -> Made:
        """Make it, and all that it has."""
        url, parameters, tags = _wanted(task, properties)
        stack = self._children.make_child(task, url, parameters, tags)
        if stack.status != "CREATE_COMPLETE":
            self._children.remove_child(task, stack.id)
            raise ResourceError(f"Embedded stack {stack.id} was not successfully created: {_why(stack)}")
        return _made(stack)

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """Change it, and what differs of all that it has."""
        url, parameters, tags = _wanted(task, new)
        stack = self._children.change_child(task, made.physical_id, url, parameters, tags)
        if stack is None:
            return made
        if stack.status != "UPDATE_COMPLETE":
            raise ResourceError(f"Embedded stack {stack.id} was not successfully updated. {_why(stack)}")
        return _made(stack)

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """Remove it, and all that it has."""
        stack = self._children.remove_child(task, made.physical_id)
        if stack.status != "DELETE_COMPLETE":
            raise ResourceError(f"Embedded stack {stack.id} was not successfully deleted: {_why(stack)}")


def _wanted(task: Task, properties: Properties) -> tuple[str, dict[str, str], dict[str, str]]:
    parameters = {name: _joined(value) for name, value in properties.get("Parameters", {}).items()}
    tags = {key: value for key, value in task.tags.items() if not key.startswith("aws:")}
    return str(properties["TemplateURL"]), parameters, tags


def _joined(value: Json) -> str:
    return ",".join(text(item) for item in value) if isinstance(value, list) else text(value)


def _made(stack: Stack) -> Made:
    return Made(stack.id, {f"Outputs.{output.key}": output.value for output in stack.outputs})


def _why(stack: Stack) -> str:
    """The reason that the stack gave when it failed, before whatever it did then."""
    failures = (event.reason for event in stack.events if event.logical_id == stack.name and event.reason)
    return next((reason for reason in reversed([*failures]) if "failed" in reason), stack.reason)
