"""Carries out one operation on one stack: makes, changes and removes its resources one after the other.

What fails is undone: the resources that were made go, those that were changed get their old properties, and those that
were replaced are the old ones again, which are removed only when all else has succeeded.

Source: CloudFormation user guide, "Stack failure options", "Update behaviors of stack resources", "DeletionPolicy".
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from lamella.neighbour.stacks.drafts import as_made, check_properties, could_not, drafted, refuse_same_name
from lamella.neighbour.stacks.errors import GoneError, HalfMadeError, StackError
from lamella.neighbour.stacks.intrinsics import resolve, text
from lamella.neighbour.stacks.kinds import Clients, Kind, Task
from lamella.neighbour.stacks.model import Design, Event, Output, Policy, Resource, Stack
from lamella.neighbour.stacks.names import physical_name
from lamella.neighbour.stacks.plan import (
    Definitions,
    active,
    backwards,
    differs,
    order,
    properties_of,
    shown_properties,
)
from lamella.neighbour.stacks.reasons import is_absent, reason_of
from lamella.neighbour.stacks.schemas import schema_of
from lamella.neighbour.stacks.scope import ShownScope, StackScope
from lamella.neighbour.stacks.template import refusing_shapes

_log = logging.getLogger(__name__)

_INITIATED: Final = "Resource creation Initiated"
_REPLACES: Final = "Requested update requires the creation of a new physical resource; hence creating one."
_KEPT: Final = (Policy.RETAIN, Policy.RETAIN_EXCEPT_ON_CREATE)


@dataclass(frozen=True, slots=True)
class World:
    """What lies around a stack.

    Attributes:
        kind_of: Who makes resources of a type.
        exports: What all stacks of an account and region give to others.
        is_stack: Whether there is, or was, a stack with the id since this process began.
    """

    kind_of: Callable[[str], Kind]
    clients: Clients
    exports: Callable[[str, str], Mapping[str, str]]
    is_stack: Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class _Step:
    """Something done, for whoever has to undo it; `old` is absent for what was not there."""

    new: Resource
    old: Resource | None = None
    replaced: bool = False


class Runner:
    """For one operation, in a thread of its own.

    Args:
        design: What the stack is to be.
        token: Of the client's request; in every event.
        export: Called with the stack when its outputs are known; raises `StackError` if it may not export them.
    """

    def __init__(self, world: World, stack: Stack, design: Design, *, token: str, export: Callable[[Stack], None]):
        self._world = world
        self._stack = stack
        self._design = design
        self._token = token
        self._export = export
        self._steps = list[_Step]()
        self._failed = list[str]()
        self.scope = StackScope(stack, design, lambda: world.exports(stack.account, stack.region), self._client)

    def create(self, on_failure: str = "ROLLBACK") -> None:
        """Make all resources.

        Args:
            on_failure: `ROLLBACK`, `DELETE` or `DO_NOTHING`.
        """
        failure = self._bring_about()
        if not failure:
            self._tell("CREATE_COMPLETE")
            return
        if on_failure == "DO_NOTHING":
            self._tell("CREATE_FAILED", failure)
            return
        wanted = "Rollback" if on_failure == "ROLLBACK" else "Delete"
        status = "ROLLBACK" if on_failure == "ROLLBACK" else "DELETE"
        self._tell(f"{status}_IN_PROGRESS", f"{failure} {wanted} requested by user.")
        self._stack.stop.clear()  # what is undone is waited for
        left = self._remove_all(self._stack.resources, undone=True)
        if left:
            self._tell(f"{status}_FAILED", could_not("delete", left))
            return
        self._stack.outputs = []
        self._tell(f"{status}_COMPLETE")

    def update(self, *, disable_rollback: bool = False) -> None:
        """Bring the resources to what the new design says, and remove what it does not have."""
        stack, old_design, old_outputs = self._stack, self._stack.design, self._stack.outputs
        before = dict(stack.resources)
        failure = self._bring_about()
        if not failure:
            stack.design = self._design
            self._tell("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
            self._clean_up(before)
            self._tell("UPDATE_COMPLETE")
            return
        if disable_rollback:
            stack.design = self._design
            self._tell("UPDATE_FAILED", failure)
            return
        self._tell("UPDATE_ROLLBACK_IN_PROGRESS", failure)
        stack.stop.clear()  # what is undone is waited for
        stack.design, stack.outputs = old_design, old_outputs
        left = self._undo()
        if left:
            self._tell("UPDATE_ROLLBACK_FAILED", could_not("update", left))
            return
        self._tell("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
        self._drop_made(before)
        self._tell("UPDATE_ROLLBACK_COMPLETE")

    def delete(self, retained: frozenset[str] = frozenset()) -> None:
        """Remove all resources but those with a policy that keeps them, and those that are named."""
        stack = self._stack
        for name in retained & stack.resources.keys():
            self._note(stack.resources.pop(name).told("DELETE_SKIPPED"))
        left = self._remove_all(stack.resources)
        if left:
            self._tell("DELETE_FAILED", could_not("delete", left))
            return
        self._tell("DELETE_COMPLETE")

    # Making and changing

    def _bring_about(self) -> str:
        """Make and change all that the design has; returns why that did not succeed, or nothing."""
        stack, scope = self._stack, self.scope
        try:
            with refusing_shapes():
                definitions = active(self._design.template, scope.condition)
                ordered = order(self._design.template, definitions, scope.condition)
        except StackError as error:
            return error.message
        for name, depends_on in ordered.items():
            if stack.stop.is_set():
                return "Stack operation was cancelled by another request."
            if not self._bring_one(name, definitions, depends_on):
                verb = "update" if stack.status.startswith("UPDATE") else "create"
                return f"The following resource(s) failed to {verb}: [{', '.join(self._failed)}]."
        try:
            with refusing_shapes():
                stack.outputs = self._outputs()
            self._export(stack)
        except StackError as error:
            return error.message
        return ""

    def _bring_one(self, name: str, definitions: Definitions, depends_on: frozenset[str]) -> bool:
        """Returns whether it succeeded."""
        definition = definitions[name]
        old = self._stack.resources.get(name)
        draft = drafted(name, definition, depends_on)
        try:
            # Metadata is told as it is, but for what dynamic references stand for.
            metadata = resolve(definition.get("Metadata"), ShownScope(self.scope, ()))
            properties = properties_of(definition, draft.kind, self._design, self.scope)
            shown = shown_properties(definition, draft.kind, self._design, self.scope, self._secret())
            draft = replace(draft, properties=properties, metadata=metadata, shown=shown)
            check_properties(draft)
            self._bring(draft, old)
        except Exception as error:  # noqa: BLE001  # the boundary: whatever it is, it is this resource's failure
            self._failed.append(name)
            there = self._stack.resources.get(name, draft)
            verb = "UPDATE" if old is not None else "CREATE"
            if isinstance(error, HalfMadeError) and old is None:
                half = draft.become(error.made)
                self._stack.resources[name] = there = half
                self._steps.append(_Step(half))
            reason = self._reason(error)
            self._note(replace(there, shown=draft.shown).told(f"{verb}_FAILED", reason))
            if name in self._stack.resources:
                self._stack.resources[name] = there.told(f"{verb}_FAILED", reason)
            return False
        return True

    def _bring(self, draft: Resource, old: Resource | None) -> None:
        name = draft.logical_id
        if old is None:
            self._note(draft.told("CREATE_IN_PROGRESS"))
            made = self._make(draft)
            self._steps.append(_Step(made))
            self._keep(made, "CREATE_COMPLETE")
            return
        if not differs(draft.kind, old, draft.properties):
            kept = replace(old, deletion=draft.deletion, replacement=draft.replacement, depends_on=draft.depends_on)
            self._stack.resources[name] = replace(kept, metadata=draft.metadata)
            return
        fixed = schema_of(draft.kind).replacing(old.properties, draft.properties)
        if fixed or old.kind != draft.kind:
            self._note(replace(old, shown=draft.shown).told("UPDATE_IN_PROGRESS", _REPLACES))
            refuse_same_name(old, draft)
            made = self._make(draft, status="UPDATE_IN_PROGRESS")
            self._steps.append(_Step(made, old, replaced=True))
        else:
            self._note(replace(old, shown=draft.shown).told("UPDATE_IN_PROGRESS"))
            made = self._change(old, draft)
        self._keep(made, "UPDATE_COMPLETE")

    def _make(self, draft: Resource, status: str = "CREATE_IN_PROGRESS") -> Resource:
        task = self._task(draft)
        made = self._world.kind_of(draft.kind).create(task, draft.properties)
        resource = draft.become(made)
        self._note(resource.told(status, _INITIATED))
        return resource

    def _change(self, old: Resource, draft: Resource) -> Resource:
        # Before it is done: what fails half-way has to be undone as well.
        self._steps.append(_Step(draft, old))
        made = self._world.kind_of(draft.kind).update(self._task(old), as_made(old), old.properties, draft.properties)
        changed = draft.become(made)
        # A custom resource may say that it is another one now.
        self._steps[-1] = _Step(changed, old, replaced=changed.physical_id != old.physical_id)
        return changed

    def _keep(self, resource: Resource, status: str) -> None:
        told = resource.told(status)
        self._stack.resources[resource.logical_id] = told
        self._note(told)

    def _outputs(self) -> list[Output]:
        found = []
        for key, output in self._design.template.get("Outputs", {}).items():
            if "Condition" in output and not self.scope.condition(output["Condition"]):
                continue
            export = output.get("Export")
            name = text(resolve(export["Name"], self.scope)) if isinstance(export, Mapping) else ""
            value = resolve(output["Value"], self.scope)
            if not isinstance(value, str | int | float | bool):
                raise StackError(
                    f"Template format error: Output {key} is malformed. The Value field of every Outputs "
                    "member must evaluate to a String."
                )
            found.append(Output(key, text(value), text(output.get("Description", "")), name))
        return found

    # Undoing and removing

    def _undo(self) -> list[str]:
        """Bring back what was; returns what could not be."""
        left = []
        for step in reversed(self._steps):
            old = step.old
            if old is None:
                continue
            name = old.logical_id
            if step.replaced:
                self._stack.resources[name] = old
                continue
            self._note(old.told("UPDATE_IN_PROGRESS"))
            try:
                kind = self._world.kind_of(old.kind)
                made = kind.update(self._task(old), as_made(step.new, old), step.new.properties, old.properties)
            except Exception as error:  # noqa: BLE001  # the boundary: see `_bring_one`
                left.append(name)
                failed = old.told("UPDATE_FAILED", self._reason(error))
                self._stack.resources[name] = failed
                self._note(failed)
                continue
            self._keep(replace(old, attributes=made.attributes, handle=made.handle), "UPDATE_COMPLETE")
        return left

    def _drop_made(self, before: Mapping[str, Resource]) -> None:
        """After going back: remove what the failed update has made."""
        for step in reversed(self._steps):
            if step.old is None or step.replaced:
                self._remove(step.new)
                if step.new.logical_id not in before:
                    self._stack.resources.pop(step.new.logical_id, None)

    def _clean_up(self, before: Mapping[str, Resource]) -> None:
        """After succeeding: remove what was replaced, and what the template no longer has."""
        stack = self._stack
        replaced = {step.old.logical_id: step.old for step in self._steps if step.replaced and step.old is not None}
        definitions = active(self._design.template, self.scope.condition)
        gone = {name: old for name, old in before.items() if name not in definitions}
        for old in backwards({**replaced, **gone}):
            policy = old.deletion if old.logical_id in gone else old.replacement
            if policy in _KEPT:
                self._note(old.told("DELETE_SKIPPED"))
            else:
                self._remove(old)  # a failure is told, and does not fail the update
            if old.logical_id in gone:
                stack.resources.pop(old.logical_id, None)

    def _remove_all(self, resources: dict[str, Resource], *, undone: bool = False) -> list[str]:
        """Returns what could not be removed."""
        left = list[str]()
        for resource in backwards(resources):
            kept = resource.deletion is Policy.RETAIN or (not undone and resource.deletion in _KEPT)
            if kept:
                self._note(resource.told("DELETE_SKIPPED"))
            elif any(resource.logical_id in resources[name].depends_on for name in left) or not self._remove(resource):
                left.append(resource.logical_id)
                continue
            resources.pop(resource.logical_id, None)
        return left

    def _remove(self, resource: Resource) -> bool:
        """Returns whether it is gone."""
        self._note(resource.told("DELETE_IN_PROGRESS"))
        try:
            self._world.kind_of(resource.kind).delete(self._task(resource), as_made(resource), resource.properties)
        except GoneError:
            pass
        except Exception as error:  # noqa: BLE001  # the boundary: see `_bring_one`
            if not is_absent(error):
                failed = resource.told("DELETE_FAILED", self._reason(error))
                self._note(failed)
                if self._stack.resources.get(resource.logical_id) is resource:
                    self._stack.resources[resource.logical_id] = failed
                return False
        self._note(resource.told("DELETE_COMPLETE"))
        return True

    # Telling

    def _tell(self, status: str, reason: str = "") -> None:
        self._stack.tell(status, reason, self._token)

    def _secret(self) -> set[str]:
        return {name for name, resource in self._stack.resources.items() if resource.secret}

    def _reason(self, error: Exception) -> str:
        return self.scope.masked(reason_of(error))

    def _note(self, resource: Resource) -> None:
        self._stack.note(
            Event(
                resource.logical_id,
                resource.physical_id,
                resource.kind,
                resource.status,
                resource.reason,
                resource.shown,
                self._token,
            )
        )

    def _task(self, resource: Resource) -> Task:
        stack = self._stack
        tags = {
            **self._design.tags,
            "aws:cloudformation:stack-name": stack.name,
            "aws:cloudformation:stack-id": stack.id,
            "aws:cloudformation:logical-id": resource.logical_id,
        }
        name = physical_name(stack.name, resource.logical_id, resource.kind, resource.properties)
        return Task(
            account=stack.account,
            region=stack.region,
            stack_id=stack.id,
            stack_name=stack.name,
            logical_id=resource.logical_id,
            kind=resource.kind,
            name=name,
            clients=self._world.clients,
            base_url=stack.base_url,
            tags=tags,
            token=self._token,
            stop=stack.stop,
            is_stack=self._world.is_stack,
        )

    def _client(self, service: str) -> Any:  # Any: botocore
        return self._world.clients(service, self._stack.account, self._stack.region)
