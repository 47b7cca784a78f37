"""Which invocations the router lets begin. No sandbox can be made here, which those that begin are told."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
from tests.support.scripted_images import ScriptedImages

from lamella.domain._api_errors import CodeArtifactUserFailedException
from lamella.domain.function import Architecture, Artifact, FunctionConfig, FunctionKey, FunctionVersion, State
from lamella.domain.image_code import image_code
from lamella.domain.invocation import Invocation
from lamella.domain.managed_runtime import (
    Content,
    ManagedRuntime,
    ResourceState,
    RuntimeAlias,
    RuntimeKey,
    RuntimeVersion,
)
from lamella.httpserver.handler import Handler
from lamella.invoke.deployment import NodeServices
from lamella.invoke.freezer import Freezer
from lamella.invoke.images import ImageNotHereError
from lamella.invoke.managed import ManagedRuntimes
from lamella.invoke.permissions import Permissions
from lamella.invoke.router import BusyError, DeletedError, EnvironmentFailedError, Router, RouterSettings
from lamella.invoke.service import api_error
from lamella.invoke.targets import Targets
from lamella.invoke.tasks import Tasks
from lamella.lifecycle.admission import Limits, Throttle
from lamella.ports.logs import LogStore
from lamella.ports.managed import RuntimeDeletedError
from lamella.ports.runtimes import RuntimeNotInstalledError, RuntimePack
from lamella.ports.sandbox import Sandbox, SandboxError, SandboxProvider, SandboxSpec
from lamella.testing.managed import MemoryRuntimeContents
from lamella.testing.records import MemoryFunctionRecordStore
from lamella.testing.stores import MemoryAliasStore, MemoryArtifactStore, MemoryFunctionStore

KEY = FunctionKey("000000000000", "us-east-1", "f")
VERSION = FunctionVersion(
    key=KEY,
    version="$LATEST",
    artifact=Artifact("0" * 64, "", 1, 1),
    config=FunctionConfig(role="", runtime="provided.al2023", handler="h"),
    revision_id="1",
    modified_at=datetime(2026, 1, 1, tzinfo=UTC),
    state=State.ACTIVE,
)
RUNTIME = RuntimeKey("000000000000", "us-east-1", "rt")
EVENT = Invocation("1", b"{}", "", "arn:as-called", "")


class Stream:
    def append(self, timestamp_ms: int, lines: bytes) -> None:
        pass

    def close(self) -> None:
        pass


class Logs:
    def open_stream(self, key: FunctionKey, stream: str) -> Stream:
        return Stream()


class Catalog:
    def find(self, name: str, architecture: Architecture, digest: str | None = None) -> RuntimePack:
        return RuntimePack(name, architecture, Path("/none") / (digest or "newest"), "0" * 64, "v1", ("/bootstrap",))

    def packs(self) -> list[RuntimePack]:
        return []


class Contents(MemoryRuntimeContents):
    """The root of a version bears its name."""

    def pack(self, key: RuntimeKey, version: RuntimeVersion, architecture: Architecture) -> RuntimePack:
        return replace(super().pack(key, version, architecture), rootfs=Path("/none") / version.name)


class Provider:
    """Fails to make a sandbox, when the test lets it."""

    def __init__(self) -> None:
        self.asked = 0
        self.rootfs: Path | None = None
        self.go = asyncio.Event()
        self.go.set()

    async def create(self, spec: SandboxSpec) -> Sandbox:
        self.asked += 1
        self.rootfs = spec.rootfs
        await self.go.wait()
        raise SandboxError("no sandbox")


class Node:
    def __init__(
        self,
        *,
        max_environments: int = 10,
        concurrency: int = 1000,
        queue_timeout_s: float = 30.0,
        request_rate: int = 10,
        scaling_rate: int = 1000,
        rates_bind: bool = True,
    ) -> None:
        self.functions = MemoryFunctionStore()
        self.provider = Provider()
        self.images = ScriptedImages()
        self.complaints: dict[Architecture, str] = {}
        settings = RouterSettings(
            max_environments=max_environments,
            idle_timeout_s=1,
            spare_sandboxes=0,
            init_timeout_s=1,
            cpu_limits=False,
            dev_shm=False,
            freeze=False,
            endpoint_url="",
            secret_access_key="",
            queue_timeout_s=queue_timeout_s,
            limits=Limits(concurrency, request_rate, scaling_rate),
            rates_bind=rates_bind,
        )
        services = NodeServices(
            cast("SandboxProvider", self.provider),
            cast("LogStore", Logs()),
            Freezer(),
            lambda key: cast("Handler", None),
            Tasks(),
        )
        targets = Targets(self.functions, MemoryAliasStore(self.functions))
        self.records = MemoryFunctionRecordStore(self.functions)
        self.router = Router(
            settings,
            self.functions,
            targets,
            MemoryArtifactStore(),
            Catalog(),
            services,
            permissions=Permissions(self.records),
            images=self.images,
            managed=ManagedRuntimes(Contents()),
            complaint=lambda architecture: self.complaints.get(architecture, ""),
        )

    async def begins(self) -> bool:
        """Whether an invocation may begin: then it is told that there is no sandbox."""
        with pytest.raises((BusyError, EnvironmentFailedError)) as caught:
            await self.router.invoke(VERSION, EVENT, want_tail=False)
        return caught.type is EnvironmentFailedError


@pytest.fixture
async def node() -> Node:
    return Node()


async def test_a_reservation_that_was_stored_is_known_after_a_start(node: Node) -> None:
    await node.functions.create(VERSION, {})
    await node.functions.reserve(KEY, 0, at_most=900)
    await node.router.load()
    with pytest.raises(BusyError) as caught:
        await node.router.invoke(VERSION, EVENT, want_tail=False)
    assert caught.value.reason is Throttle.FUNCTION
    assert node.provider.asked == 0


async def test_what_is_refused_leaves_nothing_behind(node: Node) -> None:
    """Least of all for a tenant whose name a caller has made up."""
    node.router.concurrency_changed(KEY, 0)
    for tenant in "abc":
        with pytest.raises(BusyError):
            await node.router.invoke(VERSION, replace(EVENT, tenant_id=tenant), want_tail=False)
    assert node.router.mounted_digests() == frozenset()


async def test_what_has_no_runtime_here_counts_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(concurrency=1)

    def find(*_: object) -> RuntimePack:
        raise RuntimeNotInstalledError("python3.99")

    with monkeypatch.context() as patch:
        patch.setattr(Catalog, "find", find)
        with pytest.raises(RuntimeNotInstalledError):
            await node.router.invoke(VERSION, EVENT, want_tail=False)
    assert node.router.in_flight == 0
    assert await node.begins()


async def test_a_change_is_in_force_for_the_next_invocation(node: Node) -> None:
    began = []
    for reserved in (None, 0, 1, 0, None):
        node.router.concurrency_changed(KEY, reserved)
        began.append(await node.begins())
    assert began == [True, False, True, False, True]


async def test_a_deleted_function_takes_its_reservation_along(node: Node) -> None:
    node.router.concurrency_changed(KEY, 0)
    node.router.function_deleted(KEY, "1")
    assert not await node.begins()
    node.router.function_deleted(KEY, None)
    assert await node.begins()


async def test_an_environment_has_the_runtime_that_its_version_keeps(node: Node) -> None:
    arn = f"arn:aws:lambda:us-east-1::runtime:{'a' * 64}"
    found = []
    for other in ({}, {"RuntimeVersionArn": arn}, {"RuntimeVersionArn": arn, "UpdateRuntimeOn": "Manual"}):
        version = replace(VERSION, config=replace(VERSION.config, other=other))
        node.router.function_settled(version)
        with pytest.raises(EnvironmentFailedError):
            await node.router.invoke(version, EVENT, want_tail=False)
        found.append(node.provider.rootfs)
    assert found == [Path("/none/newest"), Path("/none/newest"), Path("/none") / ("a" * 64)]


def runtime(points_to: str, generation: int, state: ResourceState = ResourceState.ACTIVE) -> ManagedRuntime:
    now = VERSION.modified_at
    contents = (Content(Architecture.X86_64, "0" * 64),)
    versions = {
        name: RuntimeVersion(name, "", "", contents, ResourceState.ACTIVE, now, now) for name in ("first", "second")
    }
    aliases = {"prod": RuntimeAlias("prod", points_to, state, now, now)}
    return ManagedRuntime(RUNTIME, "i", now, now, generation=generation, versions=versions, aliases=aliases)


async def test_an_alias_of_a_runtime_that_moves_is_in_force_for_the_next_invocation(node: Node) -> None:
    chosen = {"RuntimeConfig": {"RuntimeArn": RUNTIME.arn, "RuntimeAlias": "prod"}}
    version = replace(VERSION, config=replace(VERSION.config, runtime="custom", other=chosen))
    found = []
    for generation, name in enumerate(("first", "second", "first"), 1):
        node.router.runtime_changed(runtime(name, generation))
        with pytest.raises(EnvironmentFailedError):
            await node.router.invoke(version, EVENT, want_tail=False)
        found.append(node.provider.rootfs)
    assert found == [Path("/none/first"), Path("/none/second"), Path("/none/first")]
    node.router.runtime_changed(runtime("second", 1))  # told late
    with pytest.raises(EnvironmentFailedError):
        await node.router.invoke(version, EVENT, want_tail=False)
    assert node.provider.rootfs == Path("/none/first")
    node.complaints[Architecture.X86_64] = "x86_64 functions do not run here"
    with pytest.raises(RuntimeNotInstalledError, match="do not run here"):
        await node.router.invoke(replace(version, version="2"), EVENT, want_tail=False)


async def test_an_alias_of_a_runtime_that_is_deleted_keeps_invocations_out(node: Node) -> None:
    chosen = {"RuntimeConfig": {"RuntimeArn": RUNTIME.arn, "RuntimeAlias": "prod"}}
    version = replace(VERSION, config=replace(VERSION.config, runtime="custom", other=chosen))
    node.router.runtime_changed(runtime("first", 1))
    with pytest.raises(EnvironmentFailedError):
        await node.router.invoke(version, EVENT, want_tail=False)
    node.router.runtime_changed(runtime("first", 2, ResourceState.PENDING_DELETION))
    with pytest.raises(RuntimeDeletedError):
        await node.router.invoke(version, EVENT, want_tail=False)
    assert node.router.in_flight == 0
    assert node.provider.asked == 1


async def test_an_account_has_a_limit(node: Node) -> None:
    node = Node(concurrency=1)
    node.provider.go.clear()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(node.begins())
        await asyncio.sleep(0)  # until it has been accepted
        with pytest.raises(BusyError) as caught:
            await node.router.invoke(VERSION, EVENT, want_tail=False)
        node.provider.go.set()
    assert caught.value.reason is Throttle.ACCOUNT
    assert first.result()
    assert await node.begins()  # what has failed counts no more


async def test_who_waits_too_long_is_told_as_if_the_account_were_busy() -> None:
    node = Node(max_environments=1, queue_timeout_s=0.01)
    node.provider.go.clear()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(node.begins())
        await asyncio.sleep(0)  # until it has been accepted
        with pytest.raises(BusyError) as caught:
            await node.router.invoke(VERSION, EVENT, want_tail=False)
        node.provider.go.set()
    assert caught.value.reason is Throttle.ACCOUNT
    assert first.result()


async def test_who_waits_when_the_function_is_deleted_is_told() -> None:
    node = Node(max_environments=1)
    node.provider.go.clear()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(node.begins())
        await asyncio.sleep(0)  # until it has been accepted
        second = group.create_task(asyncio.wait_for(_deleted(node), 30))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        node.router.function_deleted(KEY, None)
        node.provider.go.set()
    assert first.result()
    assert second.result() == "arn:as-called"


async def _deleted(node: Node) -> str:
    with pytest.raises(DeletedError) as caught:
        await node.router.invoke(VERSION, EVENT, want_tail=False)
    return str(caught.value)


async def refused(node: Node, *, synchronous: bool = True) -> BusyError | None:
    try:
        await node.router.invoke(VERSION, EVENT, want_tail=False, synchronous=synchronous)
    except BusyError as error:
        return error
    except EnvironmentFailedError:
        return None
    raise AssertionError


async def test_more_requests_than_an_account_may_make_in_a_second() -> None:
    node = Node(concurrency=1, request_rate=2)
    assert [await refused(node) for _ in range(2)] == [None, None]
    error = await refused(node)
    assert error is not None
    assert error.reason is Throttle.ACCOUNT_RATE
    assert error.wait_s is not None
    assert 0 < error.wait_s <= 0.5
    assert await refused(node, synchronous=False) is None
    assert node.router.room(KEY) == 1  # what was refused does not run


async def test_more_environments_than_a_function_gets_in_ten_seconds() -> None:
    node = Node(scaling_rate=2)
    assert [await refused(node, synchronous=synchronous) for synchronous in (True, False)] == [None, None]
    error = await refused(node)
    assert error is not None
    assert (error.reason, str(error)) == (Throttle.SCALING_RATE, "FunctionInvocationRateLimitExceeded")
    assert error.wait_s is not None
    assert 4 < error.wait_s <= 5
    assert (node.provider.asked, node.router.in_flight) == (2, 0)


async def test_rates_that_are_no_limits_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    node = Node(concurrency=1, request_rate=1, scaling_rate=1, rates_bind=False)
    assert [await refused(node) for _ in range(4)] == [None] * 4
    told = [record.getMessage() for record in caplog.records if record.name == "lamella.limits"]
    assert told == [
        f"on AWS invocations of {KEY.arn()} would be throttled now: {reason}"
        for reason in ("CallerRateLimitExceeded", "FunctionInvocationRateLimitExceeded")
    ]


async def test_only_those_beyond_the_rate_are_refused() -> None:
    node = Node(scaling_rate=2)
    node.provider.go.clear()
    results = [asyncio.create_task(refused(node)) for _ in range(5)]
    await asyncio.sleep(0)
    await asyncio.wait(results[2:], timeout=10)
    assert [result.done() for result in results] == [False, False, True, True, True]
    node.provider.go.set()
    assert [await result for result in results[:2]] == [None, None]
    assert node.provider.asked == 2


async def test_an_image_that_is_not_here_any_more(node: Node) -> None:
    artifact, config = image_code(replace(VERSION.config, package_type="Image"), "localhost:5000/f:1", "a" * 64)
    version = replace(VERSION, artifact=artifact, config=config)
    with pytest.raises(ImageNotHereError, match="sha256:aaaa") as missing:
        await node.router.invoke(version, EVENT, want_tail=False)
    assert isinstance(api_error(missing.value), CodeArtifactUserFailedException)
    await node.images.fetch("", "a" * 64)
    with pytest.raises(EnvironmentFailedError):  # it gets as far as the sandbox
        await node.router.invoke(version, EVENT, want_tail=False)
    assert node.provider.rootfs == node.images.rootfs
    assert node.router.mounted_images() == {"a" * 64}
    assert node.router.mounted_digests() == frozenset()
    node.complaints[Architecture.X86_64] = "x86_64 functions do not run here"
    another = replace(version, version="2")
    with pytest.raises(RuntimeNotInstalledError, match="do not run here"):
        await node.router.invoke(another, EVENT, want_tail=False)
