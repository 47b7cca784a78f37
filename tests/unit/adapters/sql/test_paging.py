import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamella.adapters.sql.paging import cut_page, read_marker


def marker_of(*members: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(members).encode()).decode()


def test_a_page_with_more_behind_it_leads_on() -> None:
    page = cut_page([1, 2, 3], ("numbers", None), limit=2, value=str, position=lambda row: (row,))
    assert list(page.items) == ["1", "2"]
    assert read_marker(page.next_marker, ("numbers", None), int) == (2,)


def test_the_last_page_leads_nowhere() -> None:
    assert cut_page([1, 2], ("numbers",), limit=2, value=str, position=lambda row: (row,)).next_marker is None
    assert read_marker(None, ("numbers",), int) is None


@pytest.mark.parametrize(
    "marker",
    [
        marker_of("others", [1]),
        marker_of("numbers", 1),
        marker_of("numbers", []),
        marker_of("numbers", ["1"]),
        marker_of("numbers", [True]),
        marker_of("numbers", [1.0]),
        marker_of("numbers", [2**63]),
        marker_of("numbers", [1, 2]),
        marker_of("numbers", "more", [1]),
        marker_of([1]),
        base64.urlsafe_b64encode(b"[" * 100_000).decode(),
    ],
)
def test_refuses_forged_markers(marker: str) -> None:
    with pytest.raises(ValueError, match="not a marker"):
        read_marker(marker, ("numbers",), int)


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_refuses_names_no_database_takes(name: str) -> None:
    with pytest.raises(ValueError, match="not a marker"):
        read_marker(marker_of("names", [name]), ("names",), str)


@given(st.text())
def test_refuses_any_other_text(marker: str) -> None:
    with pytest.raises(ValueError, match="not a marker"):
        read_marker(marker, ("numbers",), int)
