from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from lamella.domain.function import Architecture, FunctionConfig
from lamella.domain.managed_runtime import (
    Content,
    ManagedRuntime,
    ResourceState,
    RuntimeAlias,
    RuntimeKey,
    RuntimeVersion,
)
from lamella.invoke.managed import ManagedRuntimes
from lamella.ports.managed import RuntimeDeletedError
from lamella.ports.runtimes import RuntimeNotInstalledError
from lamella.testing.managed import MemoryRuntimeContents

NOW = datetime(2026, 11, 20, tzinfo=UTC)
KEY = RuntimeKey("123456789012", "eu-central-1", "php")
ACTIVE, PENDING = ResourceState.ACTIVE, ResourceState.PENDING_DELETION


def runtime(points_to: str = "v1", generation: int = 1, created: datetime = NOW) -> ManagedRuntime:
    versions = {
        name: RuntimeVersion(name, "i", "i@1", (Content(Architecture.X86_64, digit * 64),), ACTIVE, NOW, NOW)
        for name, digit in (("v1", "1"), ("v2", "2"))
    }
    aliases = {"prod": RuntimeAlias("prod", points_to, ACTIVE, NOW, NOW)}
    return ManagedRuntime(KEY, "i", created, NOW, generation=generation, versions=versions, aliases=aliases)


def config(kept: str = "", **changes: object) -> FunctionConfig:
    other: dict[str, object] = {"RuntimeConfig": {"RuntimeArn": KEY.arn, "RuntimeAlias": "prod"}}
    if kept:
        other |= {"UpdateRuntimeOn": "Manual", "RuntimeVersionArn": KEY.version_arn(kept)}
    return replace(FunctionConfig(role="r", runtime="custom", handler="h", other=other), **changes)


@pytest.fixture
def known() -> ManagedRuntimes:
    managed = ManagedRuntimes(MemoryRuntimeContents())
    managed.learn(runtime())
    return managed


def arn_of(managed: ManagedRuntimes, function: FunctionConfig) -> str:
    pack = managed.pack(function)
    assert pack is not None
    return pack.arn


def test_a_function_follows_its_alias(known: ManagedRuntimes) -> None:
    assert arn_of(known, config()) == KEY.version_arn("v1")
    assert known.learn(runtime("v2", 2))
    assert arn_of(known, config()) == KEY.version_arn("v2")


def test_what_is_older_is_not_learnt(known: ManagedRuntimes) -> None:
    known.learn(runtime("v2", 5))
    assert not known.learn(runtime("v1", 4))
    assert not known.learn(runtime("v1", 5))
    assert arn_of(known, config()) == KEY.version_arn("v2")


def test_a_new_runtime_of_an_old_name_is_learnt(known: ManagedRuntimes) -> None:
    known.learn(runtime("v2", 9))
    assert known.learn(runtime("v1", 1, NOW + timedelta(days=1)))
    assert arn_of(known, config()) == KEY.version_arn("v1")


def test_a_function_that_keeps_a_version(known: ManagedRuntimes) -> None:
    assert arn_of(known, config("v2")) == KEY.version_arn("v2")
    with pytest.raises(RuntimeDeletedError) as caught:
        known.pack(config("v3"))
    assert not caught.value.of_alias


def test_an_alias_that_is_pending_deletion(known: ManagedRuntimes) -> None:
    deleted = runtime(generation=2)
    known.learn(replace(deleted, aliases={"prod": replace(deleted.aliases["prod"], state=PENDING)}))
    for function in (config(), config("v2")):
        with pytest.raises(RuntimeDeletedError) as caught:
            known.pack(function)
        assert caught.value.of_alias


def test_a_version_that_is_pending_deletion(known: ManagedRuntimes) -> None:
    deleted = runtime(generation=2)
    known.learn(replace(deleted, versions={**deleted.versions, "v2": replace(deleted.versions["v2"], state=PENDING)}))
    assert arn_of(known, config())
    with pytest.raises(RuntimeDeletedError) as caught:
        known.pack(config("v2"))
    assert not caught.value.of_alias


def test_a_runtime_that_nobody_knows() -> None:
    with pytest.raises(RuntimeDeletedError):
        ManagedRuntimes(MemoryRuntimeContents()).pack(config())


def test_another_architecture(known: ManagedRuntimes) -> None:
    with pytest.raises(RuntimeNotInstalledError):
        known.pack(config(architecture=Architecture.ARM64))


def test_other_functions_are_not_its_business(known: ManagedRuntimes) -> None:
    assert known.pack(config(runtime="python3.11")) is None


def test_digests_are_those_of_all_versions(known: ManagedRuntimes) -> None:
    assert known.digests() == {"1" * 64, "2" * 64}
