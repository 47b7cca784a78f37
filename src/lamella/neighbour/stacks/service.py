"""The stacks of all accounts and regions: what CloudFormation's operations do, each of which answers at once.

What takes long is done in a thread of the stack's own; clients look at the stack's status and events meanwhile.
"""

import logging
import threading
from collections.abc import Callable
from typing import Any, Final
from uuid import uuid4

from lamella.neighbour.stacks.capabilities import missing_capabilities
from lamella.neighbour.stacks.changes import design_of, failed_change_set, new_change_set
from lamella.neighbour.stacks.errors import (
    InsufficientCapabilitiesError,
    InvalidChangeSetStatusError,
    NoUpdatesError,
    StackError,
    TransformError,
)
from lamella.neighbour.stacks.kinds import Clients, Kind
from lamella.neighbour.stacks.model import ChangeSet, Design, Stack, Wish
from lamella.neighbour.stacks.names import check_name
from lamella.neighbour.stacks.runner import Runner, World
from lamella.neighbour.stacks.shelf import Shelf

_log = logging.getLogger(__name__)

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


class Stacks(Shelf):
    """See the module.

    Args:
        kind_of: Who makes resources of a type.
        clients: For them, and for values of parameters.
    """

    def __init__(self, kind_of: Callable[[str], Kind], clients: Clients) -> None:
        super().__init__()
        self._world = World(kind_of, clients, self.exports, self.is_known)
        self._clients = clients

    # Changing

    def create(
        self, account: str, region: str, name: str, wish: Wish, *, on_failure: str = "ROLLBACK", **more: Any
    ) -> Stack:
        """Begin to make a stack; `on_failure` is that of `Runner.create`, `more` are further fields of the stack.

        Raises:
            StackError, AlreadyExistsError, InsufficientCapabilitiesError: See there.
        """
        # A template can take seconds to be read: others do not wait for that.
        stack = self._new(account, region, name, wish, **more)
        stack.design = design_of(self._clients, stack, wish, None)
        _check_capabilities(stack.design, wish)
        new_change_set(self._world, stack, stack.design, "CREATE", "")  # does the template hold together?
        with self.lock:
            self.add(stack)
            settled = self._begin(stack, "CREATE_IN_PROGRESS", wish.token)
        self._run(stack, stack.design, wish.token, settled, lambda runner: runner.create(on_failure))
        return stack

    def update(self, stack: Stack, wish: Wish, *, disable_rollback: bool = False) -> None:
        """Begin to change a stack.

        Raises:
            StackError, InsufficientCapabilitiesError: It cannot be; among others if nothing would differ.
        """
        _check_idle(stack, "updated")
        previous = stack.design
        design = design_of(self._clients, stack, wish, previous)
        _check_capabilities(design, wish)
        if new_change_set(self._world, stack, design, "UPDATE", "").status == "FAILED":
            raise NoUpdatesError("No updates are to be performed.")
        with self.lock:
            _check_idle(stack, "updated")
            if stack.design is not previous:
                raise StackError(f"Stack:{stack.id} was updated by another request meanwhile.")
            settled = self._begin(stack, "UPDATE_IN_PROGRESS", wish.token)
            for change_set in self.change_sets(stack):
                change_set.outdate()
        self._run(stack, design, wish.token, settled, lambda runner: runner.update(disable_rollback=disable_rollback))

    def delete(self, stack: Stack, token: str, retained: frozenset[str] = frozenset()) -> threading.Event:
        """Begin to remove a stack; what is under way with it ends early.

        Returns:
            Set when it is done.

        Raises:
            StackError: It is protected.
        """
        with self.lock:
            if stack.gone or stack.status == "DELETE_IN_PROGRESS":
                return stack.settled
            if stack.protected:
                raise StackError(f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled")
            users = self.importers(stack)
            if users:
                export, user = users[0]
                stack.tell("DELETE_IN_PROGRESS", "User Initiated", token)
                stack.tell("DELETE_FAILED", f"Cannot delete export {export} as it is in use by {user}.", token)
                return stack.settled
            self.forget_change_sets(stack)
            if stack.status == "REVIEW_IN_PROGRESS":
                stack.tell("DELETE_COMPLETE", token=token)
                return stack.settled
            if not stack.busy:
                return self._begin_delete(stack, token, retained)
            stack.stop.set()
        done = threading.Event()

        def work() -> None:
            self._delete_when_idle(stack, token, retained).wait()
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
        check_name("changeSetName", name)
        with self.lock:
            if kind == "CREATE":
                stack = self._reviewed(account, region, stack_name, wish)
                previous = None
            else:
                stack = self.find(account, region, stack_name)
                _check_idle(stack, "updated")
                previous = stack.design
            self.check_change_set(stack, name)
        change_set = self._change_set(stack, name, wish, kind, previous)
        for key, value in more.items():
            setattr(change_set, key, value)
        with self.lock:
            if stack.gone:
                raise StackError(f"Stack [{stack.name}] does not exist")
            if previous is not None and stack.design is not previous:
                change_set.outdate()
            self.keep_change_set(change_set)
        return change_set

    def execute(self, change_set: ChangeSet, token: str, *, disable_rollback: bool = False) -> None:
        """Begin to carry a change set out.

        Raises:
            InvalidChangeSetStatusError, StackError: It cannot be.
        """
        stack = change_set.stack
        with self.lock:
            if change_set.execution != "AVAILABLE":
                raise InvalidChangeSetStatusError(
                    f"ChangeSet [{change_set.id}] cannot be executed in its current status of [{change_set.status}]"
                )
            if change_set.kind == "UPDATE":
                _check_idle(stack, "updated")
            elif stack.status != "REVIEW_IN_PROGRESS":
                raise StackError(f"Stack:{stack.id} is in {stack.status} state and can not be created.")
            change_set.execution = "EXECUTE_IN_PROGRESS"
            stack.change_set = change_set.id
            # The others say what would change in a stack that is no more. Source: API reference, `ExecuteChangeSet`.
            self.forget_change_sets(stack, but=change_set)
            settled = self._begin(stack, f"{change_set.kind}_IN_PROGRESS", token)

        def carry_out(runner: Runner) -> None:
            if change_set.kind == "UPDATE":
                runner.update(disable_rollback=disable_rollback)
            else:
                stack.design = change_set.design
                runner.create("DO_NOTHING" if disable_rollback else change_set.on_failure or "ROLLBACK")
            ended_well = stack.status in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
            change_set.execution = "EXECUTE_COMPLETE" if ended_well else "EXECUTE_FAILED"

        self._run(stack, change_set.design, token, settled, carry_out)

    def _new(self, account: str, region: str, name: str, wish: Wish, **more: Any) -> Stack:
        check_name("stackName", name)
        self.check_name(account, region, name)
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
        self.add(stack)
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

    def _begin(self, stack: Stack, status: str, token: str) -> threading.Event:
        """With the lock held; returns what is to be set when it is done.

        Each operation has an event of its own: the next one may begin between an operation's last status and its end.
        """
        stack.stop.clear()
        stack.settled = threading.Event()
        stack.tell(status, "User Initiated", token)
        return stack.settled

    def _run(
        self,
        stack: Stack,
        design: Design,
        token: str,
        settled: threading.Event,
        operation: Callable[[Runner], None],
    ) -> None:
        def work() -> None:
            runner = Runner(self._world, stack, design, token=token, export=self.check_exports)
            try:
                operation(runner)
                stack.imports = runner.scope.imports
            except Exception as error:  # noqa: BLE001  # a thread has nobody above it, and the stack has to end
                _log.exception("an operation on the stack %s failed", stack.name)
                verb = stack.status.removesuffix("_IN_PROGRESS").removesuffix("_CLEANUP").removesuffix("_COMPLETE")
                stack.tell(f"{verb}_FAILED", runner.scope.masked(f"Internal failure: {error}"), token)
            finally:
                settled.set()

        threading.Thread(target=work, name=f"stack {stack.name}", daemon=True).start()

    def _delete_when_idle(self, stack: Stack, token: str, retained: frozenset[str]) -> threading.Event:
        """Returns what is set when it is gone, or cannot go."""
        while True:
            stack.settled.wait()
            with self.lock:
                if stack.gone or stack.status == "DELETE_IN_PROGRESS":
                    return stack.settled
                if not stack.busy:
                    return self._begin_delete(stack, token, retained)
                stack.stop.set()  # another one has begun meanwhile

    def _begin_delete(self, stack: Stack, token: str, retained: frozenset[str]) -> threading.Event:
        """With the lock held."""
        settled = self._begin(stack, "DELETE_IN_PROGRESS", token)
        self._run(stack, stack.design, token, settled, lambda runner: runner.delete(retained))
        return settled


def _check_idle(stack: Stack, verb: str) -> None:
    if stack.status not in _UPDATABLE:
        raise StackError(f"Stack:{stack.id} is in {stack.status} state and can not be {verb}.")


def _check_capabilities(design: Design, wish: Wish) -> None:
    missing = missing_capabilities(design.template, wish.capabilities)
    if design.transformed and "CAPABILITY_AUTO_EXPAND" not in wish.capabilities:
        missing = [*missing, "CAPABILITY_AUTO_EXPAND"]
    if missing:
        raise InsufficientCapabilitiesError(f"Requires capabilities : [{', '.join(missing)}]")
