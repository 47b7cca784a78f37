"""What a pool does when environments cannot be made, or are not wanted any more while they are made."""

import asyncio
import socket
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest

from lamella.domain.function import Architecture, Artifact, FunctionConfig, FunctionKey, FunctionVersion, State
from lamella.domain.invocation import Invocation, Outcome
from lamella.httpserver.exchange import Exchange
from lamella.httpserver.handler import Handler
from lamella.httpserver.message import Request
from lamella.invoke.deployment import Deployment, NodeServices
from lamella.invoke.entrypoint import View
from lamella.invoke.fleet import Fleet
from lamella.invoke.freezer import Freezer
from lamella.invoke.host import BrokenEnvironmentError, EnvironmentHost
from lamella.invoke.job import Job
from lamella.invoke.permissions import Permissions
from lamella.invoke.pool import Pool
from lamella.invoke.pools import Pools
from lamella.invoke.router import Router, RouterSettings
from lamella.invoke.targets import Targets
from lamella.invoke.tasks import Tasks
from lamella.lifecycle.admission import Concurrency, Limits
from lamella.lifecycle.events import InitRequested, NextPolled, ResponsePosted
from lamella.ports.images import ImageStore
from lamella.ports.logs import LogStore
from lamella.ports.runtimes import RuntimeCatalog, RuntimePack
from lamella.ports.sandbox import Sandbox, SandboxError, SandboxProvider, SandboxSpec
from lamella.ports.stores import ArtifactStore, FunctionStore

KEY = FunctionKey("000000000000", "us-east-1", "f")
VERSION = FunctionVersion(
    key=KEY,
    version="$LATEST",
    artifact=Artifact("0" * 64, "", 1, 1),
    config=FunctionConfig(role="", runtime="provided.al2023", handler="h", architecture=Architecture.X86_64),
    revision_id="1",
    modified_at=datetime(2026, 1, 1, tzinfo=UTC),
    state=State.ACTIVE,
)


SETTINGS = RouterSettings(
    max_environments=1,
    idle_timeout_s=1,
    spare_sandboxes=0,
    init_timeout_s=1,
    cpu_limits=False,
    dev_shm=False,
    freeze=False,
    endpoint_url="",
    secret_access_key="",
)


class FakeStream:
    def append(self, timestamp_ms: int, lines: bytes) -> None:
        pass

    def close(self) -> None:
        pass


class FakeLogs:
    def open_stream(self, key: FunctionKey, stream: str) -> FakeStream:
        return FakeStream()


class FakeSandbox:
    """Two sockets, and nothing that runs."""

    def __init__(self, *, sticks: bool) -> None:
        self.sticks = sticks
        self.destroyed = 0
        self.runtime_api_listener, self.endpoint_listener = socket.socket(), socket.socket()
        for listener in (self.runtime_api_listener, self.endpoint_listener):
            listener.bind(("127.0.0.1", 0))
            listener.listen()

    async def destroy(self) -> None:
        self.destroyed += 1
        self.runtime_api_listener.close()
        self.endpoint_listener.close()
        if self.sticks:
            raise SandboxError("something holds it")


class FakeProvider:
    """Makes sandboxes when the test says so, or fails to."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.go = asyncio.Event()
        self.error: Exception | None = None
        self.sticks = False
        self.made: list[FakeSandbox] = []

    async def create(self, spec: SandboxSpec) -> Sandbox:
        self.asked.set()
        await self.go.wait()
        if self.error is not None:
            raise self.error
        self.made.append(FakeSandbox(sticks=self.sticks))
        return cast("Sandbox", self.made[-1])


class Bench:
    def __init__(self) -> None:
        self.provider = FakeProvider()
        self.tasks = Tasks()
        self.endpoint_error: Exception | None = None
        self.node = NodeServices(
            cast("SandboxProvider", self.provider), cast("LogStore", FakeLogs()), Freezer(), self.endpoint, self.tasks
        )
        pack = RuntimePack(
            name="provided.al2023",
            architecture=Architecture.X86_64,
            rootfs=Path("/nowhere"),
            digest="",
            version="",
            entrypoints=("/var/task/bootstrap",),
        )
        tree = Path("/nowhere")
        deployment = Deployment(
            version=VERSION,
            pack=pack,
            view=View(rootfs=tree, task=tree, layers=()),
            sandbox=SandboxSpec(id="", rootfs=tree, task=tree, layers=(), memory_mib=128, cpus=None, tmp_mib=512),
            init_timeout_s=10,
            freeze=False,
            endpoint_url="",
            secret_access_key="",
        )
        self.emptied: list[Pool] = []
        self.fleet = Fleet(100, 30)
        concurrency = Concurrency(Limits(1000)).of(KEY)
        self.pool = Pool(deployment, self.node, self.fleet, concurrency, on_empty=self.emptied.append)
        self.outcomes: list[Outcome] = []
        self.failures: list[Exception] = []

    def endpoint(self, key: FunctionKey) -> Handler:
        if self.endpoint_error is not None:
            raise self.endpoint_error
        return cast("Handler", None)  # nobody calls

    def job(self) -> Job:
        invocation = Invocation("1", b"{}", "", "", "")
        return Job(invocation, 3, want_tail=False, on_outcome=self.outcomes.append, on_failure=self.failures.append)


@pytest.fixture
async def bench() -> Bench:
    return Bench()


def open_files() -> set[str]:
    return {f"{path.name} {target}" for path in Path("/proc/self/fd").iterdir() if (target := link_of(path))}


def link_of(path: Path) -> str:
    try:
        return str(path.readlink())
    except FileNotFoundError:  # the one that the listing itself used
        return ""


async def test_a_spare_that_is_given_up_while_it_is_made_is_taken_away_once_it_is_there(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    before = open_files()
    bench.pool.keep_spare()
    await bench.provider.asked.wait()
    bench.pool.drop_spare()
    bench.provider.go.set()
    await bench.tasks.wait_idle()
    assert [sandbox.destroyed for sandbox in bench.provider.made] == [1]
    assert not caplog.records
    assert open_files() == before


async def test_a_spare_that_is_given_up_and_then_fails_is_no_news_to_those_who_wait(bench: Bench) -> None:
    bench.pool.keep_spare()
    await bench.provider.asked.wait()
    bench.pool.drop_spare()
    bench.provider.asked.clear()
    bench.pool.submit(bench.job())  # waits for an environment of its own
    await bench.provider.asked.wait()
    started = next(iter(bench.pool._hosts))
    spare_failed = SandboxError("of the spare")
    spare = type("Spare", (), {})()
    bench.pool.failed(spare, spare_failed)
    assert bench.failures == []
    assert bench.pool._hosts == {started}
    bench.provider.error = SandboxError("of its own")
    bench.provider.go.set()
    await bench.tasks.wait_idle()
    assert [str(error) for error in bench.failures] == ["of its own"]


async def test_who_waits_is_told_although_the_half_made_sandbox_cannot_be_removed(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    before = open_files()
    bench.provider.sticks = True
    bench.endpoint_error = RuntimeError("no endpoint")
    bench.provider.go.set()
    bench.pool.submit(bench.job())
    await bench.tasks.wait_idle()
    assert [str(error) for error in bench.failures] == ["no endpoint"]
    assert bench.pool.size == 0
    assert "something holds it" in caplog.text
    assert open_files() == before


class LostPoll:
    """A `next` of a runtime that has gone away."""

    connected = False
    request = Request("GET", b"/", "/", "", [])


async def test_polls_of_runtimes_that_have_gone_do_not_pile_up(bench: Bench) -> None:
    """An environment that is not frozen between invocations could go on with that for ever."""
    host = EnvironmentHost(bench.pool.deployment, bench.node, bench.pool)
    host._sandbox = cast("Sandbox", FakeSandbox(sticks=False))
    host._machine.receive(InitRequested(), now_s=0)
    host._machine.receive(NextPolled(), now_s=0)  # idle from now on
    for _ in range(2000):
        host.poll(cast("Exchange", LostPoll()))
    assert len(host._waiting) < 500
    host.shut_down()
    await bench.tasks.wait_idle()


async def test_a_fault_of_ours_leaves_no_caller_waiting(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """The fake sandbox does not know how much memory is used, which END and REPORT ask for."""
    host = EnvironmentHost(bench.pool.deployment, bench.node, bench.pool)
    sandbox = FakeSandbox(sticks=False)
    host._sandbox = cast("Sandbox", sandbox)
    host._machine.receive(InitRequested(), now_s=0)
    host._machine.receive(NextPolled(), now_s=0)
    job = bench.job()
    job.want_tail = True
    host.assign(job)
    host.feed(ResponsePosted("1", b"answer"))
    assert (bench.outcomes, bench.failures) == ([], [])  # waits for the log's tail
    with pytest.raises(AttributeError):
        host.feed(NextPolled())
    assert [type(error) for error in bench.failures] == [BrokenEnvironmentError]
    await bench.tasks.wait_idle()
    assert sandbox.destroyed == 1
    assert "is broken and is discarded" in caplog.text


async def test_an_idle_timeout_of_nothing_does_not_keep_the_loop_busy(bench: Bench) -> None:
    settings = replace(SETTINGS, idle_timeout_s=0)
    router = Router(
        settings,
        cast("FunctionStore", None),
        cast("Targets", None),
        cast("ArtifactStore", None),
        cast("RuntimeCatalog", None),
        bench.node,
        permissions=cast("Permissions", None),
        images=cast("ImageStore", None),
    )
    now_s = asyncio.get_running_loop().time()
    router.start()
    assert router._sweep is not None
    assert router._sweep.when() >= now_s + 0.1
    await router.close(grace_s=0)


async def test_an_environment_that_is_leaving_gets_no_job_and_still_counts(bench: Bench) -> None:
    pool = bench.pool
    leaving = EnvironmentHost(pool.deployment, bench.node, pool)
    pool._hosts.add(leaving)
    pool.offered(leaving)
    pool.leaving(leaving)
    assert (pool.size, pool.idle_count) == (1, 0)
    pool.submit(bench.job())
    await bench.provider.asked.wait()  # another one is made
    assert pool.size == 2
    pool.close()
    pool.abort()
    bench.provider.go.set()
    await bench.tasks.wait_idle()
    assert (pool.size, bench.emptied) == (0, [pool])


async def test_the_router_waits_for_environments_that_take_their_time_to_leave(bench: Bench) -> None:
    router = Router(
        SETTINGS,
        cast("FunctionStore", None),
        cast("Targets", None),
        cast("ArtifactStore", None),
        cast("RuntimeCatalog", None),
        bench.node,
        permissions=cast("Permissions", None),
        images=cast("ImageStore", None),
    )
    concurrency = router._concurrency.of(KEY)
    pool = Pool(bench.pool.deployment, bench.node, router._fleet, concurrency, on_empty=router._pool_emptied)
    router._pools = Pools(lambda _: pool)
    router._pools.of(VERSION)
    leaving = Leaving(pool)
    pool._hosts.add(cast("EnvironmentHost", leaving))
    async with asyncio.TaskGroup() as group:
        closing = group.create_task(router.close(grace_s=0))
        await leaving.told.wait()
        await asyncio.wait({closing}, timeout=0)
        assert not closing.done()
        pool.gone(cast("EnvironmentHost", leaving))
    assert router.environments == 0


class Leaving:
    """An environment whose extensions are shutting down, without any task of the server's."""

    soon_idle = False

    def __init__(self, pool: Pool) -> None:
        self.told = asyncio.Event()
        self._pool = pool

    def shut_down(self) -> None:
        self._pool.leaving(cast("EnvironmentHost", self))
        self.told.set()
