"""What is said of invocations that AWS would have throttled, where rates are no limits."""

import logging
import math
from collections.abc import Callable
from time import monotonic
from typing import Final

from lamella.domain.function import FunctionKey
from lamella.lifecycle.admission import Throttle

_log: Final = logging.getLogger("lamella.limits")
_EVERY_S: Final = 60.0


class RateNotes:
    """Writes a line of the log for each function and rate, and then none for a minute.

    Args:
        clock_s: Monotonic seconds; replaced in tests.
    """

    def __init__(self, clock_s: Callable[[], float] = monotonic) -> None:
        self._clock_s: Final = clock_s
        self._said_s: Final[dict[tuple[FunctionKey, Throttle], float]] = {}

    def note(self, key: FunctionKey, throttle: Throttle) -> None:
        """An invocation goes on that AWS would have refused."""
        now_s = self._clock_s()
        if now_s - self._said_s.get((key, throttle), -math.inf) >= _EVERY_S:
            self._said_s[key, throttle] = now_s
            _log.warning("on AWS invocations of %s would be throttled now: %s", key.arn(), throttle.value)

    def forget(self, key: FunctionKey) -> None:
        """The function is gone."""
        for place in [place for place in self._said_s if place[0] == key]:
            del self._said_s[place]
