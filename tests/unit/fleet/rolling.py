"""Roll-outs of a fleet in memory."""

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.unit.fleet.fake_lambda import LAYER, FakeLambda, layers

from lamella.fleet.driver import Driver
from lamella.fleet.events import Event, Resumed, RollbackRequested, Started
from lamella.fleet.journal import Journal, read_record
from lamella.fleet.lambda_api import FunctionApi
from lamella.fleet.making import find_layer, make_plan
from lamella.fleet.plan import Plan
from lamella.fleet.planning import Request
from lamella.fleet.policy import Policy
from lamella.fleet.watching import Comparison, Stats, Watched
from lamella.fleet.work import Performer

QUICK = Policy(steps=(0.1, 1.0), bake_s=0.0, probe="{}", parallel=1, settle_s=1.0)


class FakeWatcher:
    """Says of each function what the test says; else that all is well."""

    def __init__(self, seen: Mapping[str, Comparison] | None = None) -> None:
        self.seen = dict(seen or {})
        self.asked: list[Sequence[Watched]] = []

    def check(self) -> None:
        pass

    def observe(self, targets: Sequence[Watched], *, since: datetime, until: datetime) -> Mapping[Watched, Comparison]:
        self.asked.append(targets)
        well = Comparison(Stats(100, 0, 5.0, 9.0), Stats(100, 0, 5.0, 9.0))
        return {target: self.seen.get(target.function, well) for target in targets}


def fleet(*names: str, version: int = 7) -> FakeLambda:
    """Functions with three layers, a version and an alias `live` of it."""
    fake = FakeLambda()
    fake.add_layer("shared", 9)
    for name in names:
        fake.add(name, layers(version))
        fake.add_alias(name, "live", fake.publish(name))
    fake.changes.clear()
    return fake


def plan_of(fake: FakeLambda, version: int = 8, *, waves: str = "100%", **wishes: Any) -> Plan:
    wanted = find_layer(fake, "shared", str(version))
    return make_plan(fake, wanted, Request(LAYER, version, **wishes), waves=waves)


class Crash(BaseException):
    """The process is gone."""


class CrashingJournal:
    """A journal whose process dies at a certain line: before it is written, or right after."""

    def __init__(self, journal: Journal, at: int, *, written: bool) -> None:
        self._journal, self._left, self._written = journal, at, written

    def append(self, event: Event) -> None:
        self._left -= 1
        if self._left or self._written:
            self._journal.append(event)
        if not self._left:
            raise Crash


def begin(state: Path, fake: FakeLambda, plan: Plan, policy: Policy = QUICK, **options: Any) -> None:
    Journal.create(state, plan, policy)
    go_on(state / plan.id, fake, **options)


def go_on(
    directory: Path,
    fake: FakeLambda,
    watcher: FakeWatcher | None = None,
    *,
    rollback: bool = False,
    crash_at: int = 0,
    written: bool = True,
) -> bool:
    """As the command does it: a new process knows nothing but what is on the disk."""
    with Journal(directory) as journal:
        record = read_record(directory)
        now = [datetime(2026, 11, 26, tzinfo=UTC)]
        api = FunctionApi(fake, settle_s=record.policy.settle_s, sleep=lambda _: None)
        performer = Performer(record.plan, record.policy, api, watcher or FakeWatcher(), now=lambda: now[0])
        log = CrashingJournal(journal, crash_at, written=written) if crash_at else journal
        driver = Driver(record.machine, record.policy, log, performer)
        if rollback:
            driver.take(RollbackRequested("wanted"))
        driver.take(Resumed() if driver.machine.began else Started())
        return driver.run()


def phases(directory: Path) -> dict[str, str]:
    return {name: one.phase.value for name, one in read_record(directory).machine.functions.items()}


def stopped() -> threading.Event:
    event = threading.Event()
    event.set()
    return event
