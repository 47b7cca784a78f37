"""The stacks of all accounts and regions: what CloudFormation's operations do, each of which answers at once.

What takes long is done in a thread of the stack's own; clients look at the stack's status and events meanwhile.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

from lamella.neighbour.stacks.capabilities import missing_capabilities
from lamella.neighbour.stacks.changes import design_of, failed_change_set, new_change_set
from lamella.neighbour.stacks.errors import (
    AlreadyExistsError,
    ChangeSetNotFoundError,
    InsufficientCapabilitiesError,
    InvalidChangeSetStatusError,
    StackError,
    TransformError,
)
from lamella.neighbour.stacks.kinds import Clients, Kind, Task
from lamella.neighbour.stacks.model import ChangeSet, Design, Stack
from lamella.neighbour.stacks.runner import Runner, World

_log = logging.getLogger(__name__)

_NO_UPDATES: Final = "No updates are to be performed."
_UPDATABLE: Final = frozenset(
    {
        "CREATE_COMPLETE",
        "IMPORT_COMPLETE",
        "UPDATE_COMPLETE",
        "UPDATE_FAILED",
        "UPDATE_ROLLBACK_COMPLETE",
        "CREATE_FAILED",
    }
)


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


class Stacks:
    """See the module.

    Args:
        kind_of: Who makes resources of a type.
        clients: For them, and for values of parameters.
        template_at: Fetches a template by its URL, for an account and region.
    """

    def __init__(
        self, kind_of: Callable[[str], Kind], clients: Clients, template_at: Callable[[str, str, str], str]
    ) -> None:
        self._world = World(kind_of, clients, self.exports, self._is_known)
        self._clients = clients
        self._template_at = template_at
        self._stacks = dict[str, Stack]()
        self._change_sets = dict[str, ChangeSet]()
        self._lock = threading.RLock()

    # Looking

    def find(self, account: str, region: str, name: str) -> Stack:
        """By name, which finds no deleted one, or by id.

        Raises:
            StackError: There is none.
        """
        with self._lock:
            stack = self._stacks.get(name)
            if stack is not None and (stack.account, stack.region) == (account, region):
                return stack
            for stack in self._stacks.values():
                if (stack.account, stack.region, stack.name) == (account, region, name) and not _is_gone(stack):
                    return stack
        raise StackError(f"Stack with id {name} does not exist")

    def every(self, account: str, region: str, *, gone: bool = False) -> list[Stack]:
        """The newest first."""
        with self._lock:
            mine = [stack for stack in self._stacks.values() if (stack.account, stack.region) == (account, region)]
        return sorted((one for one in mine if gone or not _is_gone(one)), key=lambda one: one.created_at, reverse=True)

    def exports(self, account: str, region: str) -> dict[str, str]:
        """What all stacks give to others."""
        return {name: value for stack in self.every(account, region) for name, value in stack.exports.items()}

    def change_set(self, account: str, region: str, name: str, stack: str | None) -> ChangeSet:
        """By id, or by its name and that of its stack.

        Raises:
            ChangeSetNotFoundError, StackError: There is none.
        """
        with self._lock:
            found = self._change_sets.get(name)
            if found is None and stack:
                owner = self.find(account, region, stack)
                same = [one for one in self._change_sets.values() if one.stack is owner and one.name == name]
                found = same[0] if same else None
        if found is None or (found.stack.account, found.stack.region) != (account, region):
            raise ChangeSetNotFoundError(f"ChangeSet [{name}] does not exist")
        return found

    def change_sets(self, stack: Stack) -> Sequence[ChangeSet]:
        """Of a stack."""
        with self._lock:
            return [one for one in self._change_sets.values() if one.stack is stack]

    # Changing

    def create(
        self, account: str, region: str, name: str, wish: Wish, *, on_failure: str = "ROLLBACK", **more: Any
    ) -> Stack:
        """Begin to make a stack; `on_failure` is that of `Runner.create`, `more` are further fields of the stack.

        Raises:
            StackError, AlreadyExistsError, InsufficientCapabilitiesError: See there.
        """
        with self._lock:
            stack = self._new(account, region, name, wish, **more)
            stack.design = design_of(self._clients, stack, wish, None)
            _check_capabilities(stack.design, wish)
            new_change_set(self._world, stack, stack.design, "CREATE", "")  # does the template hold together?
            self._stacks[stack.id] = stack
            self._begin(stack, "CREATE_IN_PROGRESS", wish.token)
        self._run(stack, stack.design, wish.token, lambda runner: runner.create(on_failure))
        return stack

    def update(self, stack: Stack, wish: Wish, *, disable_rollback: bool = False) -> None:
        """Begin to change a stack.

        Raises:
            StackError, InsufficientCapabilitiesError: It cannot be; among others if nothing would differ.
        """
        with self._lock:
            _check_idle(stack, "updated")
            design = design_of(self._clients, stack, wish, stack.design)
            _check_capabilities(design, wish)
            if new_change_set(self._world, stack, design, "UPDATE", "").status == "FAILED":
                raise StackError(_NO_UPDATES)
            self._begin(stack, "UPDATE_IN_PROGRESS", wish.token)
        self._run(stack, design, wish.token, lambda runner: runner.update(disable_rollback=disable_rollback))

    def delete(self, stack: Stack, token: str, retained: frozenset[str] = frozenset()) -> threading.Event:
        """Begin to remove a stack; what is under way with it ends early.

        Returns:
            Set when it is done.

        Raises:
            StackError: It is protected.
        """
        done = threading.Event()
        with self._lock:
            if _is_gone(stack) or stack.status == "DELETE_IN_PROGRESS":
                return stack.settled
            if stack.protected:
                raise StackError(f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled")
            users = self._users(stack)
            if users:
                export, user = users[0]
                stack.tell("DELETE_IN_PROGRESS", "User Initiated", token)
                stack.tell("DELETE_FAILED", f"Cannot delete export {export} as it is in use by {user}.", token)
                return stack.settled
            self._forget_change_sets(stack)
            stack.stop.set()
        if stack.status == "REVIEW_IN_PROGRESS":
            stack.tell("DELETE_COMPLETE", token=token)
            return stack.settled

        def work() -> None:
            self._delete(stack, token, retained)
            stack.settled.wait()
            done.set()

        threading.Thread(target=work, name=f"delete {stack.name}", daemon=True).start()
        return done

    def add_change_set(
        self, account: str, region: str, stack_name: str, name: str, wish: Wish, *, kind: str, **more: Any
    ) -> ChangeSet:
        """Make a change set, and for a new stack the stack that it will make.

        Raises:
            StackError, AlreadyExistsError: See there.
        """
        with self._lock:
            if kind == "CREATE":
                stack = self._reviewed(account, region, stack_name, wish)
                previous = None
            else:
                stack = self.find(account, region, stack_name)
                _check_idle(stack, "updated")
                previous = stack.design
            if any(one.name == name for one in self.change_sets(stack)):
                raise AlreadyExistsError(f"ChangeSet {name} already exists")
            change_set = self._change_set(stack, name, wish, kind, previous)
            for key, value in more.items():
                setattr(change_set, key, value)
            self._change_sets[change_set.id] = change_set
            return change_set

    def execute(self, change_set: ChangeSet, token: str, *, disable_rollback: bool = False) -> None:
        """Begin to carry a change set out.

        Raises:
            InvalidChangeSetStatusError, StackError: It cannot be.
        """
        stack = change_set.stack
        with self._lock:
            if change_set.execution != "AVAILABLE":
                raise InvalidChangeSetStatusError(
                    f"ChangeSet [{change_set.id}] cannot be executed in its current status of [{change_set.status}]"
                )
            if change_set.kind == "UPDATE":
                _check_idle(stack, "updated")
            change_set.execution = "EXECUTE_IN_PROGRESS"
            stack.change_set = change_set.id
            self._begin(stack, f"{change_set.kind}_IN_PROGRESS", token)

        def carry_out(runner: Runner) -> None:
            if change_set.kind == "UPDATE":
                runner.update(disable_rollback=disable_rollback)
            else:
                stack.design = change_set.design
                runner.create("DO_NOTHING" if disable_rollback else change_set.on_failure or "ROLLBACK")
            ended_well = stack.status in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
            change_set.execution = "EXECUTE_COMPLETE" if ended_well else "EXECUTE_FAILED"

        self._run(stack, change_set.design, token, carry_out)

    def remove_change_set(self, change_set: ChangeSet) -> None:
        """Forget it; the stack that it would have made stays, as on AWS."""
        with self._lock:
            self._change_sets.pop(change_set.id, None)

    # Stacks within stacks: see `nested.Children`

    def make_child(self, task: Task, url: str, parameters: Mapping[str, str], tags: Mapping[str, str]) -> Stack:
        """See there."""
        parent = self._stacks[task.stack_id]
        wish = self._child_wish(task, parent, url, parameters, tags)
        child = self.create(task.account, task.region, task.name, wish, parent=parent.id, root=parent.root or parent.id)
        child.settled.wait()
        return child

    def change_child(
        self, task: Task, identity: str, url: str, parameters: Mapping[str, str], tags: Mapping[str, str]
    ) -> Stack | None:
        """See there."""
        child = self._stacks[identity]
        wish = self._child_wish(task, self._stacks[task.stack_id], url, parameters, tags)
        try:
            self.update(child, wish)
        except StackError as error:
            if error.message == _NO_UPDATES:
                return None
            raise
        child.settled.wait()
        return child

    def remove_child(self, task: Task, identity: str) -> Stack:
        """See there."""
        child = self._stacks[identity]
        self.delete(child, task.token).wait()
        return child

    def _child_wish(
        self, task: Task, parent: Stack, url: str, parameters: Mapping[str, str], tags: Mapping[str, str]
    ) -> Wish:
        text = self._template_at(url, task.account, task.region)
        capabilities = parent.design.capabilities
        return Wish(text, parameters, tags, capabilities, base_url=parent.base_url, token=task.token)

    # Underneath

    def _is_known(self, identity: str) -> bool:
        with self._lock:
            return identity in self._stacks

    def _new(self, account: str, region: str, name: str, wish: Wish, **more: Any) -> Stack:
        for stack in self.every(account, region):
            if stack.name == name:
                raise AlreadyExistsError(f"Stack [{name}] already exists")
        identity = f"arn:aws:cloudformation:{region}:{account}:stack/{name}/{uuid4()}"
        design = Design("", {}, {}, {})
        stack = Stack(identity, name, account, region, design, "CREATE_IN_PROGRESS", base_url=wish.base_url, **more)
        stack.settled.set()
        return stack

    def _reviewed(self, account: str, region: str, name: str, wish: Wish) -> Stack:
        """The stack that a change set is to make."""
        for stack in self.every(account, region):
            if stack.name == name and stack.status == "REVIEW_IN_PROGRESS":
                return stack
        stack = self._new(account, region, name, wish)
        self._stacks[stack.id] = stack
        stack.tell("REVIEW_IN_PROGRESS", "User Initiated", wish.token)
        return stack

    def _change_set(self, stack: Stack, name: str, wish: Wish, kind: str, previous: Design | None) -> ChangeSet:
        try:
            design = design_of(self._clients, stack, wish, previous)
        except TransformError as error:
            return failed_change_set(stack, Design(wish.text, {}, {}, wish.tags or {}), kind, name, error.message)
        missing = missing_capabilities(design.template, wish.capabilities)
        if missing:
            reason = f"Requires capabilities : [{', '.join(missing)}]"
            if not design.transformed:
                raise InsufficientCapabilitiesError(reason)
            return failed_change_set(stack, design, kind, name, reason)
        return new_change_set(self._world, stack, design, kind, name)

    def _begin(self, stack: Stack, status: str, token: str) -> None:
        stack.stop.clear()
        stack.settled.clear()
        stack.tell(status, "User Initiated", token)

    def _run(self, stack: Stack, design: Design, token: str, operation: Callable[[Runner], None]) -> None:
        def work() -> None:
            runner = Runner(self._world, stack, design, token=token, export=self._check_exports)
            try:
                operation(runner)
                stack.imports = runner.scope.imports
            except Exception as error:  # noqa: BLE001  # a thread has nobody above it, and the stack has to end
                _log.exception("an operation on the stack %s failed", stack.name)
                verb = stack.status.removesuffix("_IN_PROGRESS").removesuffix("_CLEANUP").removesuffix("_COMPLETE")
                stack.tell(f"{verb}_FAILED", f"Internal failure: {error}", token)
            finally:
                stack.settled.set()

        threading.Thread(target=work, name=f"stack {stack.name}", daemon=True).start()

    def _delete(self, stack: Stack, token: str, retained: frozenset[str]) -> None:
        stack.settled.wait()
        with self._lock:
            if _is_gone(stack) or stack.busy:
                return
            self._begin(stack, "DELETE_IN_PROGRESS", token)
        self._run(stack, stack.design, token, lambda runner: runner.delete(retained))

    def _check_exports(self, stack: Stack) -> None:
        for other in self.every(stack.account, stack.region):
            if other is stack:
                continue
            for name in stack.exports.keys() & other.exports.keys():
                raise StackError(f"Export with name {name} is already exported by stack {other.name}. ")

    def _users(self, stack: Stack) -> list[tuple[str, str]]:
        others = self.every(stack.account, stack.region)
        return [(name, one.name) for one in others if one is not stack for name in stack.exports.keys() & one.imports]

    def _forget_change_sets(self, stack: Stack) -> None:
        for change_set in self.change_sets(stack):
            self._change_sets.pop(change_set.id, None)


def _is_gone(stack: Stack) -> bool:
    return stack.status == "DELETE_COMPLETE"


def _check_idle(stack: Stack, verb: str) -> None:
    if stack.status not in _UPDATABLE:
        raise StackError(f"Stack:{stack.id} is in {stack.status} state and can not be {verb}.")


def _check_capabilities(design: Design, wish: Wish) -> None:
    missing = missing_capabilities(design.template, wish.capabilities)
    if design.transformed and "CAPABILITY_AUTO_EXPAND" not in wish.capabilities:
        missing = [*missing, "CAPABILITY_AUTO_EXPAND"]
    if missing:
        raise InsufficientCapabilitiesError(f"Requires capabilities : [{', '.join(missing)}]")
