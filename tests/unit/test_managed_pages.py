"""How much of runtimes an account may send."""

from pathlib import Path
from typing import Any, cast

import pytest

from lamella.domain.quotas import LimitProfile
from lamella.frontdoor import PageError
from lamella.pages import managed
from lamella.pages.managed import ManagedPages


def test_an_account_does_not_fill_the_disk_within_the_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was sent is kept for an hour whether or not a version is made of it, and no quota counts it."""
    now = [0.0]
    monkeypatch.setattr(managed, "monotonic", lambda: now[0])
    nobody = cast("Any", None)
    pages = ManagedPages(nobody, nobody, tmp_path, LimitProfile.AWS, account="1", region="r")
    for _ in range(5):
        pages.count_sent("1", 1 << 30)
    with pytest.raises(PageError, match="Account 1 has sent 5 GiB of runtimes within the hour"):
        pages.count_sent("1", 1)
    pages.count_sent("2", 1)
    now[0] = 3601.0
    pages.count_sent("1", 1)
