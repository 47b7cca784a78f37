"""What names and qualifiers mean, from memory, and right immediately after a change."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from lamella.domain.alias import Alias, Route
from lamella.domain.function import Artifact, FunctionConfig, FunctionKey, FunctionVersion, LastUpdateStatus, State
from lamella.domain.image_code import image_code, updated_image
from lamella.invoke.targets import NotReadyError, Targets
from lamella.testing.stores import MemoryAliasStore, MemoryFunctionStore

KEY = FunctionKey("000000000000", "us-east-1", "f")
LATEST = FunctionVersion(
    key=KEY,
    version="$LATEST",
    artifact=Artifact("0" * 64, "", 1, 1),
    config=FunctionConfig(role="", runtime="provided.al2023", handler="h"),
    revision_id="1",
    modified_at=datetime(2026, 1, 1, tzinfo=UTC),
    state=State.ACTIVE,
)
LIVE = Alias(KEY, "live", "1", "r1")


class SlowFunctions(MemoryFunctionStore):
    """Answers `get` with what was there when it was asked, but only when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()

    async def get(self, key: FunctionKey, version: str = "$LATEST") -> FunctionVersion | None:
        found = await super().get(key, version)
        self.asked.set()
        await self.go.wait()
        return found


class SlowAliases(MemoryAliasStore):
    """The same for aliases."""

    def __init__(self, functions: MemoryFunctionStore) -> None:
        super().__init__(functions)
        self.asked = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()

    async def get(self, key: FunctionKey, name: str) -> Alias | None:
        found = await super().get(key, name)
        self.asked.set()
        await self.go.wait()
        return found


class Bench:
    """A function with two published versions, and the alias `live` of the first."""

    def __init__(self) -> None:
        self.functions = SlowFunctions()
        self.aliases = SlowAliases(self.functions)
        self.draw = 0.0
        self.targets = Targets(self.functions, self.aliases, draw=lambda: self.draw)

    async def fill(self) -> None:
        await self.functions.create(LATEST, {})
        await self.functions.publish(LATEST)
        await self.functions.publish(LATEST)
        await self.aliases.create(LIVE)
        self.functions.asked.clear()
        self.aliases.asked.clear()

    async def resolve(self, qualifier: str | None) -> str | None:
        version = await self.targets.resolve(KEY, qualifier)
        return None if version is None else version.version

    def known(self, qualifier: str | None) -> str | None:
        version = self.targets.known(KEY, qualifier)
        return None if version is None else version.version


@pytest.fixture
async def bench() -> Bench:
    made = Bench()
    await made.fill()
    return made


@pytest.mark.parametrize(
    ("qualifier", "version"), [(None, "$LATEST"), ("$LATEST", "$LATEST"), ("1", "1"), ("2", "2"), ("live", "1")]
)
async def test_what_is_asked_for_is_remembered(bench: Bench, qualifier: str | None, version: str) -> None:
    assert bench.known(qualifier) is None
    assert await bench.resolve(qualifier) == version
    bench.functions.asked.clear()
    bench.aliases.asked.clear()
    assert bench.known(qualifier) == version
    assert await bench.resolve(qualifier) == version
    assert not bench.functions.asked.is_set()
    assert not bench.aliases.asked.is_set()


@pytest.mark.parametrize("qualifier", ["3", "01", "dead", "$LATEST.PUBLISHED"])
async def test_what_there_is_not(bench: Bench, qualifier: str) -> None:
    assert await bench.resolve(qualifier) is None
    assert await bench.targets.resolve(replace(KEY, name="g"), qualifier) is None
    assert not bench.targets._known


async def test_weights(bench: Bench) -> None:
    bench.targets.alias_changed(replace(LIVE, route=Route("2", 0.25)))
    bench.draw = 0.2
    assert await bench.resolve("live") == "2"
    bench.draw = 0.25
    assert await bench.resolve("live") == "1"
    assert bench.known("live") == "1"
    bench.draw = 0.2
    assert bench.known("live") == "2"


async def test_an_alias_of_latest_follows_it(bench: Bench) -> None:
    await bench.aliases.create(Alias(KEY, "dev", "$LATEST", "r"))
    assert await bench.resolve("dev") == "$LATEST"
    changed = replace(LATEST, revision_id="2")
    bench.targets.function_settled(changed)
    assert bench.targets.known(KEY, "dev") is changed


async def test_a_change_counts_at_once(bench: Bench) -> None:
    assert await bench.resolve("live") == "1"
    bench.targets.alias_changed(replace(LIVE, version="2"))
    assert await bench.resolve("live") == "2"
    await bench.aliases.delete(KEY, "live")
    bench.targets.alias_deleted(KEY, "live")
    assert bench.known("live") is None
    assert await bench.resolve("live") is None


async def test_a_function_of_the_same_name_has_none_of_the_aliases(bench: Bench) -> None:
    assert await bench.resolve("live") == "1"
    await bench.functions.delete(KEY)
    bench.targets.function_deleted(KEY, None)
    await bench.functions.create(LATEST, {})
    assert await bench.resolve("live") is None
    assert await bench.resolve(None) == "$LATEST"


async def test_a_version_that_is_not_active_cannot_be_run(bench: Bench) -> None:
    pending = replace(LATEST, key=replace(KEY, name="g"), state=State.PENDING)
    await bench.functions.create(pending, {})
    with pytest.raises(NotReadyError) as refused:
        await bench.targets.resolve(pending.key, None)
    assert refused.value.state is State.PENDING
    assert await bench.resolve(None) == "$LATEST"
    await bench.functions.replace(replace(LATEST, state=State.FAILED), expected_revision_id="1")
    bench.targets.function_settled(replace(LATEST, state=State.FAILED))
    with pytest.raises(NotReadyError):
        await bench.resolve(None)


async def test_until_another_image_is_here_the_one_before_is_run(bench: Bench) -> None:
    artifact, config = image_code(replace(LATEST.config, package_type="Image"), "r/f:1", "a" * 64)
    before = replace(LATEST, key=replace(KEY, name="g"), artifact=artifact, config=config)
    artifact, config = image_code(before.config, "r/f:2", "b" * 64)
    changed = replace(before, artifact=artifact, config=updated_image(before, config))
    await bench.functions.create(replace(changed, update_status=LastUpdateStatus.IN_PROGRESS), {})
    found = await bench.targets.resolve(before.key, None)
    assert found is not None
    assert found.artifact.code_sha256 == "a" * 64


async def test_what_is_settled_during_a_look_up_is_newer_than_what_was_found(bench: Bench) -> None:
    bench.functions.go.clear()
    changed = replace(LATEST, revision_id="2")
    async with asyncio.TaskGroup() as group:
        lookup = group.create_task(bench.targets.resolve(KEY, None))
        await bench.functions.asked.wait()
        bench.targets.function_settled(changed)
        bench.functions.go.set()
    assert lookup.result() is changed


async def test_a_function_that_is_deleted_during_a_look_up_is_not_remembered(bench: Bench) -> None:
    bench.functions.go.clear()
    async with asyncio.TaskGroup() as group:
        lookup = group.create_task(bench.resolve(None))
        await bench.functions.asked.wait()
        await bench.functions.delete(KEY)
        bench.targets.function_deleted(KEY, None)
        bench.functions.go.set()
    assert lookup.result() is None
    assert bench.known(None) is None


async def test_an_alias_that_changes_during_a_look_up_is_looked_up_again(bench: Bench) -> None:
    bench.aliases.go.clear()
    async with asyncio.TaskGroup() as group:
        lookup = group.create_task(bench.resolve("live"))
        await bench.aliases.asked.wait()
        await bench.aliases.delete(KEY, "live")
        bench.targets.alias_deleted(KEY, "live")
        bench.aliases.go.set()
    assert lookup.result() is None
    assert bench.known("live") is None
