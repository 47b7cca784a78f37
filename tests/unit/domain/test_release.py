from datetime import date

import pytest

from lamella.domain._api_errors import InvalidParameterValueException
from lamella.domain.release import Release

TODAY = date(2026, 11, 20)


def test_nothing_is_no_lifecycle() -> None:
    assert Release.of_members({}) is None


def test_members_come_back() -> None:
    members = {
        "ReleaseState": "GA",
        "DeprecationDate": "2026-12-01",
        "FunctionCreateBlockDate": "2027-01-01",
        "FunctionUpdateBlockDate": "2027-02-01",
    }
    release = Release.of_members(members)
    assert release is not None
    assert release.members() == members


def test_a_day_that_is_in_no_calendar() -> None:
    with pytest.raises(InvalidParameterValueException, match="DeprecationDate 2026-02-30 is not a day"):
        Release.of_members({"DeprecationDate": "2026-02-30"})


@pytest.mark.parametrize(
    ("state", "deprecated_on", "allowed"),
    [
        ("DEPRECATED", "2026-11-20", True),
        ("DEPRECATED", "2026-11-21", False),
        ("DEPRECATED", None, False),
        ("GA", "2026-11-20", False),
        ("GA", "2026-11-21", True),
        ("GA", None, True),
        ("PREVIEW", "2026-11-19", False),
        (None, "2026-11-19", True),
    ],
)
def test_a_state_that_the_date_contradicts(state: str | None, deprecated_on: str | None, allowed: bool) -> None:
    members = {"ReleaseState": state, "DeprecationDate": deprecated_on}
    release = Release.of_members({name: value for name, value in members.items() if value is not None})
    assert release is not None
    if allowed:
        release.check(TODAY)
    else:
        with pytest.raises(InvalidParameterValueException, match="requires a DeprecationDate"):
            release.check(TODAY)


def test_it_reads_as_deprecated_once_the_day_is_there() -> None:
    release = Release("GA", deprecated_on=TODAY)
    assert release.members(date(2026, 11, 19))["ReleaseState"] == "GA"
    assert release.members(TODAY)["ReleaseState"] == "DEPRECATED"
    assert Release("", deprecated_on=TODAY).state(TODAY) == "DEPRECATED"


def test_blocks() -> None:
    release = Release("GA", create_blocked_on=TODAY, update_blocked_on=date(2026, 12, 1))
    assert release.blocks(TODAY, creating=True)
    assert not release.blocks(TODAY, creating=False)
    assert not release.blocks(date(2026, 11, 19), creating=True)
    assert not Release("GA").blocks(TODAY, creating=True)
