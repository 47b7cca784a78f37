"""What holds for every test."""

import os

import pytest
from tests.support.host import missing_for_sandboxes


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests that need sandboxes where there can be none; fail them in CI, so that they never rot unseen."""
    if item.get_closest_marker("sandbox") is None:
        return
    if reason := missing_for_sandboxes():
        if os.environ.get("CI"):
            pytest.fail(f"this test {reason}, and CI must run it", pytrace=False)
        pytest.skip(reason)
