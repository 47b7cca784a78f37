"""The stacks and change sets of all accounts and regions, as far as they are kept."""

import threading
from collections.abc import Sequence
from typing import Final

from lamella.neighbour.stacks.errors import (
    AlreadyExistsError,
    ChangeSetNotFoundError,
    LimitExceededError,
    StackError,
)
from lamella.neighbour.stacks.model import ChangeSet, Stack

_STACKS_MOST: Final = 2000
"""Of an account in a region. Source: CloudFormation user guide, "Understand CloudFormation quotas"."""
_GONE_MOST: Final = 100
"""Ours: of an account in a region; on AWS they are there for 90 days."""
_CHANGE_SETS_MOST: Final = 100
"""Ours: of a stack."""


class Shelf:
    """See the module. Whoever changes what is here, or a stack that is here, holds `lock`."""

    def __init__(self) -> None:
        self.lock: Final = threading.RLock()
        self._stacks = dict[str, Stack]()
        self._change_sets = dict[str, ChangeSet]()

    # Stacks

    def find(self, account: str, region: str, name: str) -> Stack:
        """By name, which finds no deleted one, or by id.

        Raises:
            StackError: There is none.
        """
        with self.lock:
            stack = self._stacks.get(name)
            if stack is not None and (stack.account, stack.region) == (account, region):
                return stack
            for stack in self._stacks.values():
                if (stack.account, stack.region, stack.name) == (account, region, name) and not stack.gone:
                    return stack
        raise StackError(f"Stack with id {name} does not exist")

    def every(self, account: str, region: str, *, gone: bool = False) -> list[Stack]:
        """The newest first."""
        with self.lock:
            mine = [stack for stack in self._stacks.values() if (stack.account, stack.region) == (account, region)]
        return sorted((one for one in mine if gone or not one.gone), key=lambda one: one.created_at, reverse=True)

    def is_known(self, identity: str) -> bool:
        """Whether a stack of the id is kept, whosever it is."""
        with self.lock:
            return identity in self._stacks

    def levels_above(self, stack: Stack) -> int:
        """How many stacks a stack is within, as far as they are kept."""
        levels, above = 0, self._stacks.get(stack.parent)
        while above is not None:
            levels, above = levels + 1, self._stacks.get(above.parent)
        return levels

    def check_name(self, account: str, region: str, name: str) -> None:
        """Refuse a name that is taken.

        Raises:
            AlreadyExistsError: It is.
        """
        if any(stack.name == name for stack in self.every(account, region)):
            raise AlreadyExistsError(f"Stack [{name}] already exists")

    def add(self, stack: Stack) -> None:
        """Keep a stack, and forget the oldest of many that are gone.

        Raises:
            AlreadyExistsError, LimitExceededError: It cannot be.
        """
        with self.lock:
            self.check_name(stack.account, stack.region, stack.name)
            every = self.every(stack.account, stack.region, gone=True)
            gone = [one for one in every if one.gone]
            if len(every) - len(gone) >= _STACKS_MOST:
                raise LimitExceededError(f"Limit for stack has been exceeded: an account has {_STACKS_MOST} at most")
            for forgotten in gone[_GONE_MOST:]:
                del self._stacks[forgotten.id]
            self._stacks[stack.id] = stack

    # What stacks give to each other

    def exports(self, account: str, region: str) -> dict[str, str]:
        """What all stacks give to others."""
        return {name: value for stack in self.every(account, region) for name, value in stack.exports.items()}

    def check_exports(self, stack: Stack) -> None:
        """Refuse what another stack exports already.

        Raises:
            StackError: See there.
        """
        for other in self.every(stack.account, stack.region):
            if other is stack:
                continue
            for name in stack.exports.keys() & other.exports.keys():
                raise StackError(f"Export with name {name} is already exported by stack {other.name}. ")

    def importers(self, stack: Stack) -> list[tuple[str, str]]:
        """What is used of a stack, each with the name of the stack that uses it."""
        others = self.every(stack.account, stack.region)
        return [(name, one.name) for one in others if one is not stack for name in stack.exports.keys() & one.imports]

    # Change sets

    def change_set(self, account: str, region: str, name: str, stack: str | None) -> ChangeSet:
        """By id, or by its name and that of its stack.

        Raises:
            ChangeSetNotFoundError, StackError: There is none.
        """
        with self.lock:
            found = self._change_sets.get(name)
            if found is None and stack:
                owner = self.find(account, region, stack)
                found = next((one for one in self.change_sets(owner) if one.name == name), None)
        if found is None or (found.stack.account, found.stack.region) != (account, region):
            raise ChangeSetNotFoundError(f"ChangeSet [{name}] does not exist")
        return found

    def change_sets(self, stack: Stack) -> Sequence[ChangeSet]:
        """Of a stack."""
        with self.lock:
            return [one for one in self._change_sets.values() if one.stack is stack]

    def check_change_set(self, stack: Stack, name: str) -> None:
        """Refuse another change set of a name that is taken, or where there are many.

        Raises:
            AlreadyExistsError, LimitExceededError: See there.
        """
        there = self.change_sets(stack)
        if any(one.name == name for one in there):
            raise AlreadyExistsError(f"ChangeSet {name} already exists")
        if len(there) >= _CHANGE_SETS_MOST:
            raise LimitExceededError(f"A stack has {_CHANGE_SETS_MOST} change sets at most here")

    def keep_change_set(self, change_set: ChangeSet) -> None:
        """Keep it.

        Raises:
            AlreadyExistsError, LimitExceededError: It cannot be.
        """
        with self.lock:
            self.check_change_set(change_set.stack, change_set.name)
            self._change_sets[change_set.id] = change_set

    def remove_change_set(self, change_set: ChangeSet) -> None:
        """Forget it; the stack that it would have made stays, as on AWS."""
        with self.lock:
            self._change_sets.pop(change_set.id, None)

    def forget_change_sets(self, stack: Stack, *, but: ChangeSet | None = None) -> None:
        """Forget those of a stack."""
        for change_set in self.change_sets(stack):
            if change_set is not but:
                self.remove_change_set(change_set)
