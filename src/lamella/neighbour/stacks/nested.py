"""`AWS::CloudFormation::Stack`: stacks within stacks."""

from collections.abc import Callable
from typing import Final

from lamella.neighbour.stacks.errors import GoneError, NoUpdatesError, ResourceError
from lamella.neighbour.stacks.intrinsics import text
from lamella.neighbour.stacks.kinds import Made, Properties, Task
from lamella.neighbour.stacks.model import Stack, Wish
from lamella.neighbour.stacks.service import Stacks
from lamella.neighbour.stacks.template import Json

_LEVELS_MOST: Final = 10
"""Ours: a template may have itself for a nested stack, and each level takes a thread."""
_LOOK_S: Final = 0.5


class NestedStack:
    """See the module.

    Args:
        stacks: All there are.
        template_at: Fetches a template by its URL, for an account and region.
    """

    def __init__(self, stacks: Stacks, template_at: Callable[[str, str, str], str]) -> None:
        self._stacks = stacks
        self._template_at = template_at

    def create(self, task: Task, properties: Properties) -> Made:
        """Make it, and all that it has."""
        parent, wish = self._wish(task, properties)
        if self._stacks.levels_above(parent) + 1 >= _LEVELS_MOST:
            raise ResourceError(
                f"Stacks are nested {_LEVELS_MOST} deep at most here; has {properties['TemplateURL']} itself in it?"
            )
        root = parent.root or parent.id
        stack = self._stacks.create(task.account, task.region, task.name, wish, parent=parent.id, root=root)
        _wait(stack, task)
        if stack.status != "CREATE_COMPLETE":
            self._stacks.delete(stack, task.token).wait()
            raise ResourceError(f"Embedded stack {stack.id} was not successfully created: {_why(stack)}")
        return _made(stack)

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """Change it, and what differs of all that it has."""
        stack = self._child(task, made.physical_id)
        if stack is None:
            raise ResourceError(f"Embedded stack {made.physical_id} does not exist")
        try:
            self._stacks.update(stack, self._wish(task, new)[1])
        except NoUpdatesError:
            return made
        _wait(stack, task)
        if stack.status != "UPDATE_COMPLETE":
            raise ResourceError(f"Embedded stack {stack.id} was not successfully updated. {_why(stack)}")
        return _made(stack)

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """Remove it, and all that it has."""
        stack = self._child(task, made.physical_id)
        if stack is None:
            raise GoneError
        self._stacks.delete(stack, task.token).wait()
        if stack.status != "DELETE_COMPLETE":
            raise ResourceError(f"Embedded stack {stack.id} was not successfully deleted: {_why(stack)}")

    def _child(self, task: Task, identity: str) -> Stack | None:
        if not self._stacks.is_known(identity):
            return None  # removed by itself, long ago
        return self._stacks.find(task.account, task.region, identity)

    def _wish(self, task: Task, properties: Properties) -> tuple[Stack, Wish]:
        """The stack that has it, and what it is to be."""
        parent = self._stacks.find(task.account, task.region, task.stack_id)
        url, parameters, tags = _wanted(task, properties)
        text = self._template_at(url, task.account, task.region)
        capabilities = parent.design.capabilities
        return parent, Wish(text, parameters, tags, capabilities, base_url=parent.base_url, token=task.token)


def _wait(child: Stack, task: Task) -> None:
    """Until what is done with it has ended, as it does early if that of the stack which has it is to."""
    while not child.settled.wait(_LOOK_S):
        if task.stop.is_set():
            child.stop.set()


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
