"""A clock that moves only when told to."""

from datetime import UTC, datetime, timedelta


class FakeClock:
    """Implements `lamella.ports.clock.Clock`; wall and monotonic time move together.

    Args:
        now: Where the wall clock starts; aware UTC.
        monotonic_s: Where the monotonic clock starts. Not zero by default, so that code which takes zero for "never"
            is found out.
    """

    def __init__(self, now: datetime = datetime(2026, 1, 1, tzinfo=UTC), monotonic_s: float = 1000.0) -> None:
        self._now = now
        self._monotonic_s = monotonic_s

    def now(self) -> datetime:
        """Wall clock, aware UTC."""
        return self._now

    def monotonic_s(self) -> float:
        """Monotonic seconds."""
        return self._monotonic_s

    def advance(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            ValueError: Time does not go back.
        """
        if seconds < 0:
            raise ValueError(f"time does not go back: {seconds}")
        self._now += timedelta(seconds=seconds)
        self._monotonic_s += seconds
