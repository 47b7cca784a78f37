"""Which environments are kept ahead of invocations, with environments of a fake."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from tests.unit.invoke.test_targets import KEY, LATEST

import lamella.invoke.provisioned as module
from lamella.domain.alias import Alias, Route
from lamella.domain.function import FunctionVersion, State
from lamella.invoke.deployment import Deployment, NodeServices
from lamella.invoke.fleet import Fleet, Member
from lamella.invoke.host import EnvironmentHost
from lamella.invoke.job import Job
from lamella.invoke.provisioned import INIT_FAILED, ProvisionedPool, Provisions
from lamella.invoke.targets import Targets
from lamella.invoke.tasks import Tasks
from lamella.lifecycle.admission import Concurrency, Limits
from lamella.lifecycle.rates import Backoff
from lamella.lifecycle.scaling import Want
from lamella.ports.provisioning import Provisioned
from lamella.ports.runtimes import RuntimeNotInstalledError
from lamella.testing.stores import MemoryAliasStore, MemoryFunctionStore


class Host:
    """An environment that does what the test says."""

    made: list["Host"] = []  # noqa: RUF012  # emptied by the fixture
    another: asyncio.Event

    def __init__(self, deployment: Deployment, node: NodeServices, owner: ProvisionedPool) -> None:
        self.id = str(len(Host.made))
        self.owner = owner
        self.has_processes = False
        self.jobs: list[Job] = []
        self.ended = False
        Host.made.append(self)
        Host.another.set()

    async def start(self) -> None:
        """The test goes on with it."""

    def assign(self, job: Job) -> None:
        self.jobs.append(job)

    def shut_down(self) -> None:
        if not self.ended:
            self.ended = True
            self.owner.leaving(cast("EnvironmentHost", self))
            self.owner.gone(cast("EnvironmentHost", self))

    def offer(self, *, has_processes: bool = True) -> None:
        self.has_processes = has_processes
        self.owner.offered(cast("EnvironmentHost", self))

    def fail(self) -> None:
        self.ended = True
        self.owner.failed(cast("EnvironmentHost", self), OSError("no disk"))


@dataclass(eq=False)
class OnDemand:
    """Another pool, with idle environments."""

    fleet: Fleet
    idle: int
    size: int = field(init=False)
    leaving_count: int = 0

    def __post_init__(self) -> None:
        self.size = self.idle
        self.fleet.join(self)

    @property
    def oldest_idle_s(self) -> float | None:
        return 1.0 if self.idle else None

    def want(self) -> Want[Member] | None:
        return None

    def add(self) -> None:
        raise AssertionError

    def refuse_overdue(self, limit_s: float) -> float | None:
        return None

    def retire_oldest(self) -> None:
        self.idle -= 1
        self.size -= 1
        self.fleet.settle()


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> NodeServices:
    monkeypatch.setattr(module, "EnvironmentHost", Host)
    Host.made = []
    Host.another = asyncio.Event()

    class Node:
        tasks = Tasks()

    return cast("NodeServices", Node())


class Bench:
    def __init__(self, node: NodeServices, *, limit: int = 10, again_s: float = 60.0) -> None:
        self.fleet = Fleet(limit, 30.0)
        self.emptied: list[ProvisionedPool] = []
        version = cast("Deployment", replace_deployment())
        self.concurrency = Concurrency(Limits(1000)).of(KEY)
        self.pool = ProvisionedPool(
            version, node, self.fleet, self.concurrency, again=Backoff(again_s, 1.0), on_empty=self.emptied.append
        )

    @property
    def hosts(self) -> list[Host]:
        return [host for host in Host.made if not host.ended]


def replace_deployment() -> Any:
    class Any_:  # noqa: N801  # only what a log line names
        version = LATEST

    return Any_()


async def test_as_many_as_asked_for_are_made(node: NodeServices) -> None:
    bench = Bench(node)
    bench.pool.keep(2)
    assert (len(bench.hosts), bench.pool.allocated, bench.pool.missing) == (2, 0, 0)
    for host in bench.hosts:
        host.offer()
    assert bench.pool.allocated == 2
    bench.pool.keep(3)
    assert (len(bench.hosts), bench.pool.allocated) == (3, 2)
    bench.pool.keep(1)
    assert len(bench.hosts) == bench.pool.size == 1


async def test_jobs_are_taken_by_idle_ones_alone(node: NodeServices) -> None:
    bench = Bench(node)
    job = cast("Job", object())
    bench.pool.keep(1)
    assert not bench.pool.take(job)  # it is being initialised
    (host,) = bench.hosts
    host.offer()
    assert bench.pool.take(job)
    assert host.jobs == [job]
    assert not bench.pool.take(job)
    assert bench.pool.allocated == 1
    host.offer()
    assert bench.pool.take(job)
    bench.pool.keep(0)
    assert bench.hosts == [host]  # it may end its invocation
    host.offer()
    assert bench.hosts == []


async def test_one_without_processes_is_replaced(node: NodeServices) -> None:
    bench = Bench(node)
    bench.pool.keep(1)
    (first,) = bench.hosts
    first.offer()
    bench.pool.take(cast("Job", object()))
    first.offer(has_processes=False)  # a crash, and a reset
    (second,) = bench.hosts
    assert second is not first
    assert bench.pool.failure == ""
    second.offer()
    second.shut_down()  # or it is gone altogether
    assert len(bench.hosts) == 1


async def test_an_init_that_fails_ends_the_provisioning(node: NodeServices) -> None:
    """EX-61."""
    bench = Bench(node)
    bench.pool.keep(2)
    for host in bench.hosts:
        host.offer(has_processes=False)
    assert (bench.hosts, bench.pool.failure, bench.pool.missing) == ([], INIT_FAILED, 0)
    bench.pool.keep(2)
    assert len(bench.hosts) == 2
    assert bench.pool.failure == ""


async def test_a_replacement_is_allocated_and_not_available(node: NodeServices) -> None:
    bench = Bench(node)
    bench.pool.keep(2)
    first, second = bench.hosts
    first.offer()
    assert (bench.pool.allocated, bench.pool.available) == (1, 1)
    second.offer()
    bench.pool.take(cast("Job", object()))
    second.offer(has_processes=False)
    assert (bench.pool.allocated, bench.pool.available) == (2, 1)
    bench.hosts[-1].offer(has_processes=False)  # it cannot be had again
    assert (bench.pool.allocated, bench.pool.available, bench.pool.failure) == (1, 1, INIT_FAILED)


async def test_one_is_tried_again_by_itself_and_the_others_once_it_succeeds(node: NodeServices) -> None:
    bench = Bench(node, again_s=0.01)
    bench.pool.keep(3)
    for host in bench.hosts:
        host.offer(has_processes=False)
    for _ in range(2):
        assert (bench.hosts, bench.pool.missing) == ([], 0)
        await wait_made()
        (host,) = bench.hosts
        assert bench.pool.failure == INIT_FAILED  # until it is known better
        host.offer(has_processes=False)
    await wait_made()
    bench.hosts[0].offer()
    assert (len(bench.hosts), bench.pool.failure) == (3, "")
    bench.pool.close()
    assert bench.pool.missing == 0


async def wait_made() -> None:
    Host.another.clear()
    await asyncio.wait_for(Host.another.wait(), 10)


async def test_the_share_of_the_function_is_less_by_those_that_are_initialised(node: NodeServices) -> None:
    bench = Bench(node)
    bench.concurrency.reserve(3)
    bench.pool.keep(2)
    assert bench.concurrency.room == 3
    first, second = bench.hosts
    first.offer()
    second.offer()
    assert (bench.concurrency.room, bench.concurrency.most) == (1, 1)
    bench.pool.take(cast("Job", object()))
    assert bench.concurrency.room == 1
    bench.pool.close()
    assert bench.concurrency.room == 2  # one runs still
    bench.hosts[0].offer()
    assert bench.concurrency.room == 3


async def test_an_environment_that_cannot_be_made(node: NodeServices, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(node)
    bench.pool.keep(1)
    bench.hosts[0].fail()
    assert (bench.hosts, bench.pool.size) == ([], 0)
    assert "no disk" in bench.pool.failure
    assert "no provisioned environment" in caplog.text


async def test_others_that_are_idle_give_way(node: NodeServices) -> None:
    bench = Bench(node, limit=3)
    others = OnDemand(bench.fleet, idle=2)
    bench.pool.keep(2)
    assert (len(bench.hosts), others.idle) == (2, 1)
    bench.pool.keep(5)
    assert (len(bench.hosts), others.idle) == (3, 0)
    assert bench.fleet.hungry  # whoever becomes idle gives way at once
    bench.pool.keep(1)
    assert not bench.fleet.hungry


async def test_its_own_are_not_given_up(node: NodeServices) -> None:
    bench = Bench(node)
    bench.pool.keep(1)
    bench.hosts[0].offer()
    assert bench.pool.oldest_idle_s is None


async def test_a_pool_that_is_closed(node: NodeServices) -> None:
    bench = Bench(node)
    bench.pool.keep(3)
    starting, idle, busy = bench.hosts
    busy.offer()
    bench.pool.take(cast("Job", object()))
    idle.offer()
    bench.pool.close()
    assert bench.hosts == [busy]
    assert starting.ended
    assert bench.emptied == []
    busy.offer()
    assert bench.emptied
    assert bench.fleet.environments == 0


@dataclass(eq=False)
class FakePool:
    version: FunctionVersion
    kept: int = 0
    allocated: int = 0
    available: int = 0
    failure: str = ""
    closed: bool = False

    def keep(self, count: int) -> None:
        self.kept = count

    def close(self) -> None:
        self.closed = True


class Plans:
    def __init__(self) -> None:
        self.functions = MemoryFunctionStore()
        self.aliases = MemoryAliasStore(self.functions)
        self.targets = Targets(self.functions, self.aliases)
        self.tasks = Tasks()
        self.retired: list[Any] = []
        self.error: Exception | None = None

        class Node:
            tasks = self.tasks

        self.provisions = Provisions(self.targets, cast("NodeServices", Node()), self._make, self.retired.append)

    def _make(self, version: FunctionVersion) -> ProvisionedPool:
        if self.error is not None:
            raise self.error
        return cast("ProvisionedPool", FakePool(version))

    async def kept(self) -> dict[str, int]:
        await self.tasks.wait_idle()
        return {version: cast("FakePool", pool).kept for (_, version), pool in self.provisions.pools.items()}

    def pool(self, version: str) -> FakePool:
        return cast("FakePool", self.provisions.pools[KEY, version])


@pytest.fixture
async def plans() -> AsyncIterator[Plans]:
    plans = Plans()
    await plans.functions.create(LATEST, {})
    for _ in range(2):
        await plans.functions.publish(LATEST)
    await plans.aliases.create(Alias(KEY, "live", "1", "r"))
    yield plans
    await plans.tasks.wait_idle()


async def test_versions_and_aliases(plans: Plans) -> None:
    plans.provisions.provision(KEY, "live", 3)
    plans.provisions.provision(KEY, "2", 1)
    assert await plans.kept() == {"1": 3, "2": 1}
    plans.pool("1").allocated = plans.pool("1").available = 2
    assert plans.provisions.provisioned(KEY, "live") == Provisioned(2, 2)
    assert plans.provisions.provisioned(KEY, "2") == Provisioned(0, 0)
    plans.pool("2").failure = INIT_FAILED
    assert plans.provisions.provisioned(KEY, "2") == Provisioned(0, 0, INIT_FAILED)
    plans.provisions.provision(KEY, "2", None)
    assert await plans.kept() == {"1": 3}
    assert [pool.closed for pool in plans.retired] == [True]


async def test_an_alias_that_moves_takes_its_environments_along(plans: Plans) -> None:
    plans.provisions.provision(KEY, "live", 4)
    assert await plans.kept() == {"1": 4}
    for alias, kept in (
        (Alias(KEY, "live", "2", "r2"), {"2": 4}),
        (Alias(KEY, "live", "2", "r3", route=Route("1", 0.25)), {"2": 3, "1": 1}),
    ):
        await plans.aliases.delete(KEY, "live")
        await plans.aliases.create(alias)
        plans.targets.alias_changed(alias)
        plans.provisions.arrange(KEY)
        assert await plans.kept() == kept
    plans.provisions.forget_alias(KEY, "live")
    plans.targets.alias_deleted(KEY, "live")
    assert await plans.kept() == {}


async def test_aliases_of_one_version_share_its_environments(plans: Plans) -> None:
    await plans.aliases.create(Alias(KEY, "beta", "1", "r"))
    plans.provisions.provision(KEY, "live", 3)
    plans.provisions.provision(KEY, "beta", 1)
    assert await plans.kept() == {"1": 4}
    plans.pool("1").allocated = 4
    plans.pool("1").available = 2
    assert plans.provisions.provisioned(KEY, "live") == Provisioned(3, 1)
    assert plans.provisions.provisioned(KEY, "beta") == Provisioned(1, 0)


async def test_a_version_that_is_not_ready_gets_them_later(plans: Plans) -> None:
    pending = await plans.functions.publish(replace(LATEST, state=State.PENDING))
    plans.provisions.provision(KEY, pending.version, 1)
    assert await plans.kept() == {}
    plans.targets.function_settled(replace(pending, state=State.ACTIVE))
    plans.provisions.arrange(KEY)
    assert await plans.kept() == {pending.version: 1}


async def test_a_version_that_has_failed_says_so(plans: Plans) -> None:
    failed = await plans.functions.publish(replace(LATEST, state=State.FAILED))
    plans.provisions.provision(KEY, failed.version, 1)
    assert await plans.kept() == {}
    assert plans.provisions.provisioned(KEY, failed.version).failure.endswith("Failed")


async def test_the_last_word_counts(plans: Plans) -> None:
    for count in (1, 5, 2):
        plans.provisions.provision(KEY, "1", count)
        await asyncio.sleep(0)
    assert await plans.kept() == {"1": 2}


async def test_a_runtime_that_is_not_installed(plans: Plans) -> None:
    plans.error = RuntimeNotInstalledError("no pack")
    plans.provisions.provision(KEY, "1", 1)
    assert await plans.kept() == {}
    assert plans.provisions.provisioned(KEY, "1") == Provisioned(0, 0, "no pack")


@pytest.mark.parametrize("meanwhile", [False, True])
async def test_what_is_made_of_something_else_is_made_anew(plans: Plans, meanwhile: bool) -> None:
    """Also if they are being arranged at that moment."""
    plans.provisions.provision(KEY, "1", 1)
    assert await plans.kept() == {"1": 1}
    before = plans.pool("1")
    if meanwhile:
        plans.provisions.arrange(KEY)
    plans.provisions.arrange(KEY, anew=True)
    assert await plans.kept() == {"1": 1}
    assert before.closed
    assert plans.pool("1") is not before


@pytest.mark.parametrize("version", ["1", None])
async def test_what_is_deleted_keeps_nothing(plans: Plans, version: str | None) -> None:
    plans.provisions.provision(KEY, "1", 1)
    assert await plans.kept() == {"1": 1}
    plans.targets.function_deleted(KEY, version)
    await plans.functions.delete(KEY, version) if version is None else None
    plans.provisions.forget(KEY, version)
    plans.provisions.arrange(KEY)
    assert await plans.kept() == {}


async def test_nothing_is_kept_when_the_server_stops(plans: Plans) -> None:
    plans.provisions.provision(KEY, "1", 1)
    assert await plans.kept() == {"1": 1}
    plans.provisions.provision(KEY, "2", 1)
    plans.provisions.close()
    assert await plans.kept() == {}
