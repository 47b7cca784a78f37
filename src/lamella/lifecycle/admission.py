"""Which invocations may begin: an account's concurrency, and what is reserved of it. Decisions without I/O.

An invocation counts from its acceptance to its answer, so one that waits for an execution environment counts as well.
A reservation is for all versions of a function together. It works both ways: the function has its share for itself, and
gets no more. Functions without one share what is left. Source: developer guide, "Lambda function scaling".

A change of a reservation is in force for what begins after it. What runs goes on, and is counted where the function
belongs now; so for a while more may run than a limit that was lowered says.
"""

from enum import StrEnum
from typing import Final

from lamella.domain.function import FunctionKey


class Throttle(StrEnum):
    """Why an invocation may not begin. Source: model, shape `ThrottleReason`; API reference, Invoke."""

    ACCOUNT = "ConcurrentInvocationLimitExceeded"
    FUNCTION = "ReservedFunctionConcurrentInvocationLimitExceeded"


class _Account:
    """What the functions of an account in a region share that have no reservation."""

    __slots__ = ("limit", "running")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.running = 0


class FunctionConcurrency:
    """The invocations of one function, of all its versions.

    Attributes:
        reserved: Most that may run at once; `None` if the function shares with the others.
        running: How many do.
    """

    __slots__ = ("_account", "reserved", "running")

    def __init__(self, account: _Account) -> None:
        self._account = account
        self.reserved: int | None = None
        self.running = 0

    @property
    def room(self) -> int:
        """How many invocations may begin."""
        if self.reserved is None:
            return max(0, self._account.limit - self._account.running)
        return max(0, self.reserved - self.running)

    def enter(self) -> Throttle | None:
        """An invocation wants to begin; `None` if it may, and then `leave` follows at its end."""
        if self.reserved is None:
            account = self._account
            if account.running >= account.limit:
                return Throttle.ACCOUNT
            account.running += 1
        elif self.running >= self.reserved:
            return Throttle.FUNCTION
        self.running += 1
        return None

    def leave(self) -> None:
        """An invocation that was let in has ended."""
        self.running -= 1
        if self.reserved is None:
            self._account.running -= 1

    def reserve(self, executions: int | None) -> None:
        """Reserve so many in place of what was reserved; `None` ends the reservation."""
        account = self._account
        account.limit += (self.reserved or 0) - (executions or 0)
        if (self.reserved is None) != (executions is None):
            account.running += self.running if executions is None else -self.running
        self.reserved = executions


class Concurrency:
    """All functions of a node, by account and region."""

    def __init__(self, limit: int) -> None:
        """Take the limit of an account in a region."""
        self._limit: Final = limit
        self._accounts: dict[tuple[str, str], _Account] = {}
        self._functions: dict[FunctionKey, FunctionConcurrency] = {}

    def of(self, key: FunctionKey) -> FunctionConcurrency:
        """The function's invocations; the same object until the function is forgotten."""
        found = self._functions.get(key)
        if found is None:
            place = (key.account, key.region)
            account = self._accounts.get(place)
            if account is None:
                account = self._accounts[place] = _Account(self._limit)
            found = self._functions[key] = FunctionConcurrency(account)
        return found

    def forget(self, key: FunctionKey) -> None:
        """The function is deleted: its reservation is free, and what it still runs counts among the others."""
        found = self._functions.get(key)
        if found is not None:
            found.reserve(None)
            if not found.running:  # else one of the same name goes on counting in it
                del self._functions[key]
