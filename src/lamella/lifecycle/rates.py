"""How often something may happen: decisions on a clock that is passed in.

A bucket holds as much as may happen at once, and is filled at a steady rate up to that; what is not used is lost. So
AWS describes its scaling rate: refilled continuously, and never more than one portion. Source: developer guide,
"Lambda scaling behavior".

Rather than a number of tokens, which every look would have to bring up to date, one moment is kept: when the bucket
will be full. Taking one moves it on, and the bucket is empty when that would be too far ahead.
"""

import math
from typing import Final

_SLACK_S: Final = 1e-9
"""Sums of floating-point numbers are not exact."""


class Rate:
    """So many in a period, at any time of which all of them may come at once."""

    __slots__ = ("_full_at_s", "_interval_s", "_most_s")

    def __init__(self, count: int, period_s: float) -> None:
        """Fill it with `count`, which come again in so many seconds; with 0 nothing may ever happen."""
        self._full_at_s = -math.inf
        self._interval_s: Final = period_s / count if count else math.inf
        self._most_s: Final = period_s + _SLACK_S

    def take(self, now_s: float) -> bool:
        """Whether one more may happen now; if so, it counts."""
        full_at_s = self._full_at_s
        if full_at_s < now_s:
            full_at_s = now_s
        full_at_s += self._interval_s
        if full_at_s - now_s > self._most_s:
            return False
        self._full_at_s = full_at_s
        return True

    def wait_s(self, now_s: float) -> float:
        """How long until one more may happen; infinite if that is never."""
        return max(0.0, max(self._full_at_s, now_s) + self._interval_s - now_s - self._most_s)


class Backoff:
    """How long to wait before something that failed is tried again: twice as long each time, up to a limit."""

    __slots__ = ("_first_s", "_most_s", "_next_s")

    def __init__(self, first_s: float, most_s: float) -> None:
        """Nothing has failed yet."""
        self._first_s: Final = first_s
        self._most_s: Final = most_s
        self._next_s = first_s

    def failed(self) -> float:
        """It has failed; returns how long to wait, in seconds."""
        wait_s = self._next_s
        self._next_s = min(2 * wait_s, self._most_s)
        return wait_s

    def succeeded(self) -> None:
        """It has not: the next failure is the first one."""
        self._next_s = self._first_s
