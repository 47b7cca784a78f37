"""Which invocations may begin: an account's concurrency, what is reserved of it, and rates. Decisions without I/O.

An invocation counts from its acceptance to its answer, so one that waits for an execution environment counts as well.
A reservation is for all versions of a function together. It works both ways: the function has its share for itself, and
gets no more. Functions without one share what is left. Source: developer guide, "Lambda function scaling".

Environments of provisioned concurrency are taken out of the same share, the function's own or that of all, from the
moment they are initialised; invocations that they run are not counted here. So where as much is provisioned as is
reserved, nothing is left for `$LATEST`. Source: developer guide, "Configuring provisioned concurrency".

In a second there may be ten times as many synchronous invocations as may run at once, and in ten seconds a function
gets so many new environments. Source: developer guide, "Lambda quotas" and "Lambda scaling behavior".

A change of a reservation is in force for what begins after it. What runs goes on, and is counted where the function
belongs now; so for a while more may run than a limit that was lowered says.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from lamella.domain.function import FunctionKey
from lamella.domain.quotas import CONCURRENCY, REQUEST_RATE, SCALING_PERIOD_S, SCALING_RATE
from lamella.lifecycle.rates import Rate


class Throttle(StrEnum):
    """Why an invocation may not begin. Source: model, shape `ThrottleReason`; API reference, Invoke.

    That `CallerRateLimitExceeded` is the account's rate is known from answers to Invoke (fyoorer/ShadowClone issue 25,
    2023); which of the other two rates is which, from their names alone.
    """

    ACCOUNT = "ConcurrentInvocationLimitExceeded"
    FUNCTION = "ReservedFunctionConcurrentInvocationLimitExceeded"
    ACCOUNT_RATE = "CallerRateLimitExceeded"
    FUNCTION_RATE = "ReservedFunctionInvocationRateLimitExceeded"
    SCALING_RATE = "FunctionInvocationRateLimitExceeded"


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds for each account in a region, and each function.

    Attributes:
        concurrency: Concurrent executions of an account.
        request_rate: Synchronous invocations in a second for each execution that may be concurrent.
        scaling_rate: New environments of a function in ten seconds.
    """

    concurrency: int = CONCURRENCY.limit
    request_rate: int = REQUEST_RATE.limit
    scaling_rate: int = SCALING_RATE.limit


class _Account:
    """What the functions of an account in a region share that have no reservation."""

    __slots__ = ("limit", "requests", "running")

    def __init__(self, limits: Limits) -> None:
        self.limit = limits.concurrency
        self.running = 0
        self.requests: Final = Rate(limits.concurrency * limits.request_rate, 1.0)


class FunctionConcurrency:
    """The invocations of one function, of all its versions.

    Attributes:
        reserved: Most that may run at once; `None` if the function shares with the others.
        provisioned: Environments that are initialised ahead and kept.
        running: How many invocations run elsewhere than in those.
    """

    __slots__ = ("_account", "_limits", "_requests", "_scaling", "provisioned", "reserved", "running")

    def __init__(self, account: _Account, limits: Limits) -> None:
        self._account = account
        self._limits = limits
        self._requests: Rate | None = None
        self._scaling = Rate(limits.scaling_rate, SCALING_PERIOD_S)
        self.reserved: int | None = None
        self.provisioned = 0
        self.running = 0

    @property
    def most(self) -> int | None:
        """How many may run at once, beside those in provisioned environments; `None` if the account decides."""
        return None if self.reserved is None else max(0, self.reserved - self.provisioned)

    @property
    def room(self) -> int:
        """How many invocations may begin, beside those in provisioned environments."""
        if self.reserved is None:
            return max(0, self._account.limit - self._account.running)
        return max(0, self.reserved - self.provisioned - self.running)

    @property
    def idle(self) -> bool:
        """Whether nothing is counted here."""
        return not self.running and not self.provisioned

    def request(self, now_s: float) -> Throttle | None:
        """A synchronous invocation is asked for; `None` if there have not been too many."""
        if self._requests is None:
            return None if self._account.requests.take(now_s) else Throttle.ACCOUNT_RATE
        return None if self._requests.take(now_s) else Throttle.FUNCTION_RATE

    def enter(self) -> Throttle | None:
        """An invocation wants to begin; `None` if it may, and then `leave` follows at its end."""
        if self.reserved is None:
            account = self._account
            if account.running >= account.limit:
                return Throttle.ACCOUNT
            account.running += 1
        elif self.running >= self.reserved - self.provisioned:
            return Throttle.FUNCTION
        self.running += 1
        return None

    def leave(self) -> None:
        """An invocation that was let in has ended."""
        self.running -= 1
        if self.reserved is None:
            self._account.running -= 1

    def grow(self, now_s: float) -> Throttle | None:
        """One more environment is needed; `None` if there have not been too many."""
        return None if self._scaling.take(now_s) else Throttle.SCALING_RATE

    def wait_s(self, throttle: Throttle, now_s: float) -> float | None:
        """How long what was refused has to wait; `None` if that cannot be said."""
        match throttle:
            case Throttle.ACCOUNT_RATE:
                return self._account.requests.wait_s(now_s)
            case Throttle.FUNCTION_RATE if self._requests is not None:
                return self._requests.wait_s(now_s)
            case Throttle.SCALING_RATE:
                return self._scaling.wait_s(now_s)
            case _:
                return None

    def reserve(self, executions: int | None) -> None:
        """Reserve so many in place of what was reserved; `None` ends the reservation."""
        account, before = self._account, self._taken
        if (self.reserved is None) != (executions is None):
            account.running += self.running if executions is None else -self.running
        self.reserved = executions
        account.limit += before - self._taken
        self._requests = None if executions is None else Rate(executions * self._limits.request_rate, 1.0)

    def provision(self, more: int) -> None:
        """So many more provisioned environments are initialised, or fewer."""
        before = self._taken
        self.provisioned += more
        self._account.limit += before - self._taken

    @property
    def _taken(self) -> int:
        """What the account has not to share, because of this function."""
        return self.provisioned if self.reserved is None else self.reserved


class Concurrency:
    """All functions of a node, by account and region."""

    def __init__(self, limits: Limits) -> None:
        """Take the limits of every account in a region."""
        self._limits: Final = limits
        self._accounts: dict[tuple[str, str], _Account] = {}
        self._functions: dict[FunctionKey, FunctionConcurrency] = {}

    def of(self, key: FunctionKey) -> FunctionConcurrency:
        """The function's invocations; the same object until the function is forgotten."""
        found = self._functions.get(key)
        if found is None:
            place = (key.account, key.region)
            account = self._accounts.get(place)
            if account is None:
                account = self._accounts[place] = _Account(self._limits)
            found = self._functions[key] = FunctionConcurrency(account, self._limits)
        return found

    def forget(self, key: FunctionKey) -> None:
        """The function is deleted: its reservation is free, and what it still runs counts among the others."""
        found = self._functions.get(key)
        if found is not None:
            found.reserve(None)
            if found.idle:  # else one of the same name goes on counting in it
                del self._functions[key]
