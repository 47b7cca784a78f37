"""Time, passed in so that the core can be tested without waiting."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Where the core learns the time."""

    def now(self) -> datetime:
        """Wall clock, aware UTC."""

    def monotonic_s(self) -> float:
        """Seconds that never go back; the zero point means nothing."""
