"""Compares how new versions do with how old ones did. Pure; who has the figures is behind `Watcher`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from lamella.fleet.policy import Policy

_ENOUGH: Final = 10
"""With fewer invocations than this, times are not compared, and the old version's errors do not count as usual."""
_SLACK_MS: Final = 10.0
"""So much longer is never too long: of functions that take a millisecond, twice as long is noise."""


@dataclass(frozen=True, slots=True)
class Watched:
    """Invocations to be looked at.

    Attributes:
        alias: Through which; empty for unqualified ones.
        new: The new version; empty for `$LATEST`.
        old: The version that the alias invoked, or still does.
        share: What the new version gets of them, from 0 to 1.
    """

    function: str
    alias: str
    new: str
    old: str
    share: float


@dataclass(frozen=True, slots=True)
class Stats:
    """How invocations went.

    Attributes:
        average_ms: How long they took on average; `None` if there were none.
        longest_ms: The longest of them.
    """

    invocations: int = 0
    errors: int = 0
    average_ms: float | None = None
    longest_ms: float | None = None

    @property
    def error_rate(self) -> float:
        """Share of those that failed; 0 if there were none."""
        return self.errors / self.invocations if self.invocations else 0.0

    def __add__(self, other: "Stats") -> "Stats":
        timed = [one for one in (self, other) if one.average_ms is not None and one.invocations]
        count = sum(one.invocations for one in timed)
        average = sum((one.average_ms or 0) * one.invocations for one in timed) / count if count else None
        longest = [one.longest_ms for one in (self, other) if one.longest_ms is not None]
        return Stats(
            self.invocations + other.invocations, self.errors + other.errors, average, max(longest, default=None)
        )

    def __str__(self) -> str:
        if not self.invocations:
            return "no invocations"
        took = "" if self.average_ms is None else f", {self.average_ms:.1f} ms on average"
        return f"{self.invocations} invocations, {self.errors} failed ({self.error_rate:.1%}){took}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """The new version beside the old one."""

    new: Stats = Stats()
    old: Stats = Stats()

    def __add__(self, other: "Comparison") -> "Comparison":
        return Comparison(self.new + other.new, self.old + other.old)

    def __str__(self) -> str:
        return f"new: {self.new}; old: {self.old}"


class Watcher(Protocol):
    """Knows how invocations went."""

    def check(self) -> None:
        """See whether it can be asked.

        Raises:
            FleetError: It cannot; the text says why.
        """
        ...

    def observe(self, targets: Sequence[Watched], *, since: datetime, until: datetime) -> Mapping[Watched, Comparison]:
        """What is known of invocations.

        Args:
            targets: Which.
            since: When the new versions got their share; aware.
            until: Now; aware.
        """
        ...


def by_function(observed: Mapping[Watched, Comparison]) -> dict[str, Comparison]:
    """All aliases of a function together."""
    found: dict[str, Comparison] = {}
    for target, comparison in observed.items():
        found[target.function] = found.get(target.function, Comparison()) + comparison
    return found


def judge(compared: Mapping[str, Comparison], policy: Policy) -> dict[str, str]:
    """Which functions do worse than they may, by name, with the reason."""
    return {name: reason for name, one in compared.items() if (reason := _fault(one, policy))}


def too_quiet(names: Iterable[str], compared: Mapping[str, Comparison], policy: Policy) -> dict[str, str]:
    """Which functions were not invoked often enough to tell, by name, with the reason."""
    counts = {name: compared.get(name, Comparison()).new.invocations for name in names}
    return {
        name: f"its new version was invoked {count} times, and {policy.min_invocations} are asked for"
        for name, count in counts.items()
        if count < policy.min_invocations
    }


def _fault(one: Comparison, policy: Policy) -> str:
    new, old = one.new, one.old
    usual = old.error_rate if old.invocations >= _ENOUGH else 0.0  # one failed call of two is no excuse
    if new.error_rate - usual > policy.max_error_rate:
        return f"{new.errors} of {new.invocations} invocations of the new version failed, of the old {usual:.1%}"
    if min(new.invocations, old.invocations) < _ENOUGH or new.average_ms is None or old.average_ms is None:
        return ""
    if new.average_ms > old.average_ms * policy.max_duration_ratio and new.average_ms - old.average_ms > _SLACK_MS:
        return f"the new version takes {new.average_ms:.0f} ms on average, the old {old.average_ms:.0f} ms"
    return ""
