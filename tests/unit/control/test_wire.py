from datetime import UTC, datetime, timedelta, timezone

import pytest

from lamella.control.wire import timestamp


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 11, 20, 20, 1, 2, 123999, tzinfo=UTC), "2026-11-20T20:01:02.123+0000"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00.000+0000"),
        (datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=1))), "2026-01-01T23:00:00.000+0000"),
    ],
)
def test_times_are_written_as_lambda_does(moment: datetime, text: str) -> None:
    assert timestamp(moment) == text
