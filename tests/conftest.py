"""What holds for every test."""

import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from tests.support.host import missing_for_sandboxes
from tests.support.outcomes import Outcomes
from tests.support.postgres import PostgresCluster, PostgresDatabase, missing_for_postgres


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--outcomes FILE`: how each test ended, for the page about conformance."""
    parser.addoption("--outcomes", type=Path, metavar="FILE", help="write how each test ended to this file")


def pytest_configure(config: pytest.Config) -> None:
    """Keep outcomes if asked to, and let what tests start end with Ctrl-C.

    A shell has what it runs in the background ignore SIGINT, which programs inherit from each other.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    path = config.getoption("--outcomes")
    if path is not None and not hasattr(config, "workerinput"):  # the main process hears of every test
        config.pluginmanager.register(Outcomes(path), "outcomes")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests that need what this host has not; fail them in CI, so that they never rot unseen."""
    for marker, missing in (("sandbox", missing_for_sandboxes), ("postgres", missing_for_postgres)):
        if item.get_closest_marker(marker) is None or not (reason := missing()):
            continue
        if os.environ.get("CI"):
            pytest.fail(f"this test {reason}, and CI must run it", pytrace=False)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[PostgresCluster]:
    """A running PostgreSQL for all tests of the session that are marked `postgres`."""
    with PostgresCluster() as cluster:
        yield cluster


@pytest.fixture
def postgres(postgres_cluster: PostgresCluster) -> Iterator[PostgresDatabase]:
    """An empty database of one test's own."""
    with postgres_cluster.database() as database:
        yield database


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI nothing may be skipped for want of a program, which set-up has to install: such a skip is a failure.

    What another kind of host would be needed for may be skipped: its reason begins with `this host`.
    """
    report = yield
    if report.skipped and os.environ.get("CI"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not reason.removeprefix("Skipped: ").startswith("this host"):
            report.outcome = "failed"
            report.longrepr = f"skipped in CI: {reason}"
    return report
