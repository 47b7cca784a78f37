"""What CloudWatch knows of functions: how often they ran, failed and were throttled, and how long they took.

Kept in memory, minute by minute, for a day; bounded however many functions there are.

Source: developer guide, "Types of metrics for Lambda functions" (names, and that the time of a point is that of the
invocation) and "Using dimensions": by function; by `Resource`, which is a version or an alias as it was called; by
`ExecutedVersion` as well where an alias was called.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from math import ceil, log
from typing import Any, Final, TypeAlias

from lamella.domain.function import FunctionKey

_MINUTE_S: Final = 60
_MINUTES: Final = 1440
_TALLIES: Final = 200_000
"""At most, of all minutes together; about 100 MB when full. The oldest minutes go first."""
_BASE: Final = log(1.05)
"""Durations are counted by size classes, each 5 % wider than the one before, for percentiles."""


Series: TypeAlias = tuple[str, str]
"""What is counted apart: the function's ARN as it was called, with any qualifier, and the version that ran, which is
empty where none did. Two texts, whose hashes Python keeps: this is part of what a warm invocation costs."""


@dataclass(slots=True)
class Tally:
    """One minute of a series. Durations are in milliseconds, as CloudWatch has them."""

    invocations: int = 0
    errors: int = 0
    throttles: int = 0
    total_ms: float = 0.0
    least_ms: float = 0.0
    most_ms: float = 0.0
    classes: dict[int, int] = field(default_factory=dict)

    def add(self, duration_ms: float, *, failed: bool) -> None:
        """Count an invocation."""
        self.least_ms = duration_ms if not self.invocations else min(self.least_ms, duration_ms)
        self.most_ms = max(self.most_ms, duration_ms)
        self.total_ms += duration_ms
        self.invocations += 1
        self.errors += failed
        size = size_class(duration_ms)
        self.classes[size] = self.classes.get(size, 0) + 1

    def to_dict(self) -> dict[str, Any]:  # Any: JSON
        """As JSON-ready values; the size classes by number."""
        return {
            "invocations": self.invocations,
            "errors": self.errors,
            "throttles": self.throttles,
            "total_ms": self.total_ms,
            "least_ms": self.least_ms,
            "most_ms": self.most_ms,
            "classes": {str(number): count for number, count in self.classes.items()},
        }


def size_class(duration_ms: float) -> int:
    """Number of the size class; durations below 10 microseconds are all in the first."""
    return ceil(log(max(duration_ms, 0.01)) / _BASE)


class Measurements:
    """Counts what happens."""

    def __init__(self) -> None:
        self._minutes: dict[int, dict[Series, Tally]] = {}
        self._count = 0

    def ended(self, function_arn: str, version: str, *, duration_s: float, failed: bool, now_s: float) -> None:
        """An invocation is over.

        Args:
            function_arn: As the caller named it.
            version: The one that ran.
            duration_s: How long it ran.
            failed: Whether it ended with an error of the function.
            now_s: Since 1970.
        """
        self._tally((function_arn, version), now_s - duration_s).add(duration_s * 1000, failed=failed)

    def throttled(self, function_arn: str, *, now_s: float) -> None:
        """An invocation was refused because of a limit."""
        self._tally((function_arn, ""), now_s).throttles += 1

    def forget(self, key: FunctionKey) -> None:
        """A function is gone; whoever makes one of its name begins anew. On AWS the metrics of both are one."""
        for tallies in self._minutes.values():
            arn = key.arn()
            for series in [series for series in tallies if series[0] == arn or series[0].startswith(f"{arn}:")]:
                del tallies[series]
                self._count -= 1

    def read(
        self, account: str, region: str, *, begin_s: float, end_s: float, functions: AbstractSet[str] = frozenset()
    ) -> list[dict[str, Any]]:  # Any: JSON
        """What was counted from a minute up to another, by series: its function, qualifier, version and minutes.

        Args:
            account: Whose functions.
            region: Of the functions.
            begin_s: Since 1970; the minute that it lies in is the first.
            end_s: The first that does not count.
            functions: Names; empty for all.
        """
        prefix = f"arn:aws:lambda:{region}:{account}:function:"
        found: dict[Series, list[dict[str, Any]]] = {}
        first = int(begin_s) // _MINUTE_S
        for minute in sorted(self._minutes):
            if first <= minute and minute * _MINUTE_S < end_s:
                for series, tally in self._minutes[minute].items():
                    if series[0].startswith(prefix):
                        found.setdefault(series, []).append({"at": minute * _MINUTE_S, **tally.to_dict()})
        answer: list[dict[str, Any]] = []
        for (function_arn, version), minutes in found.items():
            name, _, qualifier = function_arn.removeprefix(prefix).partition(":")
            if not functions or name in functions:
                answer.append({"function": name, "qualifier": qualifier, "version": version, "minutes": minutes})
        return answer

    def _tally(self, series: Series, at_s: float) -> Tally:
        minute = int(at_s) // _MINUTE_S
        tallies = self._minutes.get(minute)
        if tallies is None:
            tallies = self._minutes[minute] = {}
            self._drop(minute)
        tally = tallies.get(series)
        if tally is None:
            tally = tallies[series] = Tally()
            self._count += 1
        return tally

    def _drop(self, newest: int) -> None:
        """Let the oldest minutes go."""
        for minute in sorted(self._minutes):
            if minute == newest or (minute > newest - _MINUTES and self._count <= _TALLIES):
                break
            self._count -= len(self._minutes.pop(minute))
