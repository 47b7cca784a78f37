from datetime import UTC, datetime, timedelta

import pytest

from lamella.testing.clock import FakeClock


def test_both_clocks_move_together() -> None:
    clock = FakeClock(datetime(2026, 5, 17, tzinfo=UTC), monotonic_s=5.0)
    clock.advance(1.5)
    assert clock.now() == datetime(2026, 5, 17, tzinfo=UTC) + timedelta(seconds=1.5)
    assert clock.monotonic_s() == 6.5


def test_time_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="does not go back"):
        FakeClock().advance(-1)
