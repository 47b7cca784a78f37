import json

import pytest

from lamella.cli.failure import CommandError, Status
from lamella.cli.logs import parse_age_s, render


@pytest.mark.parametrize(
    ("text", "expected_s"), [("30s", 30), ("10m", 600), ("2h", 7200), ("1d", 86_400), ("1w", 604_800), ("0s", 0)]
)
def test_an_age_has_a_unit(text: str, expected_s: int) -> None:
    assert parse_age_s(text) == expected_s


@pytest.mark.parametrize("text", ["", "10", "m", "-5m", "1.5h", "10 m", "10y", "\u0661m"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match="give a number and a unit") as caught:
        parse_age_s(text)
    assert caught.value.status is Status.USAGE


def test_a_line_begins_with_its_time_in_utc() -> None:
    line = json.dumps({"timestamp": 1_700_000_000_123, "stream": "s", "message": "hello"})
    assert render(line) == "2023-11-14T22:13:20.123Z hello\n"


@pytest.mark.parametrize(
    "line", ["", "<html>", "[]", "{}", '{"timestamp": "x", "message": ""}', '{"timestamp": 1e99, "message": ""}']
)
def test_what_is_no_log_is_not_shown_as_one(line: str) -> None:
    with pytest.raises(CommandError, match="is another server listening there"):
        render(line)
