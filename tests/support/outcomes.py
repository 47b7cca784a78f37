"""Keeps how each test ended, for the page about conformance (scripts/conformance.py)."""

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lamella.adapters.sandbox.cgroups import detect_here

_WORSE = ("passed", "skipped", "failed")


class Outcomes:
    """A plugin of pytest: tests by file and name, the worst outcome of all their cases."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Set-up and tear-down count as well."""
        name = report.nodeid.partition("[")[0]
        before = self._found.get(name, "passed")
        self._found[name] = max(before, report.outcome, key=_WORSE.index)

    def pytest_sessionfinish(self) -> None:
        """Write all of them, with the day and the kind of host."""
        document = {
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
            "host": f"Linux {os.uname().release.partition('-')[0]}, {platform.machine()}, "
            f"control groups {detect_here().mode}, Python {platform.python_version()}",
            "tests": dict(sorted(self._found.items())),
        }
        self._path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
