"""What every layer store promises."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from lamella.adapters.sql.database import Database
from lamella.adapters.sql.layers import SqlLayerStore
from lamella.domain.function import Artifact
from lamella.domain.layer import LayerKey, LayerVersion
from lamella.ports.errors import ConflictError
from lamella.ports.stores import LayerStore, Page
from lamella.testing.stores import MemoryLayerStore

ACCOUNT, REGION = "000000000000", "us-east-1"


def key(name: str = "l", account: str = ACCOUNT, region: str = REGION) -> LayerKey:
    return LayerKey(account, region, name)


def draft(
    of: LayerKey | None = None,
    *,
    digest: str = "a",
    size_bytes: int = 10,
    runtimes: tuple[str, ...] = (),
    architectures: tuple[str, ...] = (),
) -> LayerVersion:
    return LayerVersion(
        key=of or key(),
        version=0,
        artifact=Artifact(digest * 64, f"{digest}=", size_bytes, size_bytes * 2),
        created_at=datetime(2026, 5, 17, 8, 30, 1, 123456, tzinfo=UTC),
        runtimes=runtimes,
        architectures=architectures,
    )


def numbers(page: Page[LayerVersion]) -> list[int]:
    return [item.version for item in page.items]


def names(page: Page[LayerVersion]) -> list[tuple[str, int]]:
    return [(item.key.name, item.version) for item in page.items]


class LayerStoreContract:
    async def test_gives_back_what_was_stored(self, store: LayerStore) -> None:
        full = LayerVersion(
            key=key("full"),
            version=99,
            artifact=Artifact("f" * 64, "Zg==", 5_000_000_000, 6_000_000_000),
            created_at=datetime(2026, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
            description="ünïcode",
            runtimes=("python3.12", "python3.11"),
            architectures=("x86_64", "arm64"),
            license_info="MIT",
        )
        assert await store.publish(full) == replace(full, version=1)
        assert await store.get(key("full"), 1) == replace(full, version=1)
        assert await store.publish(draft()) == replace(draft(), version=1)

    @pytest.mark.parametrize("version", [2, 0, -1, 2**63, 10**40])
    async def test_has_no_version_that_was_not_published(self, store: LayerStore, version: int) -> None:
        await store.publish(draft())
        assert await store.get(key(), version) is None
        assert await store.get(key("other"), 1) is None
        assert not await store.delete(key(), version)

    async def test_numbers_are_never_given_twice(self, store: LayerStore) -> None:
        assert [(await store.publish(draft())).version for _ in range(3)] == [1, 2, 3]
        assert await store.delete(key(), 3)
        assert not await store.delete(key(), 3)
        assert (await store.publish(draft())).version == 4
        for version in (1, 2, 4):
            assert await store.delete(key(), version)
        assert (await store.publish(draft())).version == 5
        assert numbers(await store.list_versions(key(), limit=9)) == [5]

    async def test_a_version_can_bring_its_number_along(self, store: LayerStore) -> None:
        mirrored = replace(draft(runtimes=("python3.11",), architectures=("arm64",)), version=40)
        await store.add(mirrored)
        assert await store.get(key(), 40) == mirrored
        assert numbers(await store.list_versions(key(), limit=9, runtime="python3.11", architecture="arm64")) == [40]
        assert (await store.publish(draft())).version == 41
        with pytest.raises(ConflictError):
            await store.add(replace(draft(digest="b"), version=40))
        assert await store.get(key(), 40) == mirrored
        await store.add(replace(draft(), version=7))
        assert (await store.publish(draft())).version == 42
        assert numbers(await store.list_versions(key(), limit=9)) == [42, 41, 40, 7]
        assert await store.delete(key(), 40)
        await store.add(mirrored)
        assert (await store.publish(draft())).version == 43
        assert await store.usage(ACCOUNT, REGION) == 50

    async def test_declaring_a_runtime_twice_is_harmless(self, store: LayerStore) -> None:
        published = await store.publish(draft(runtimes=("python3.11", "python3.11")))
        assert published.runtimes == ("python3.11", "python3.11")
        assert numbers(await store.list_versions(key(), limit=9, runtime="python3.11")) == [1]

    async def test_lists_versions_newest_first_by_number(self, store: LayerStore) -> None:
        assert await store.list_versions(key(), limit=9) == Page([])
        for _ in range(12):
            await store.publish(draft())
        await store.publish(draft(key("other")))
        found: list[int] = []
        marker = None
        while marker is not None or not found:
            page = await store.list_versions(key(), limit=5, marker=marker)
            found += numbers(page)
            marker = page.next_marker
        assert found == list(range(12, 0, -1))

    async def test_filters_versions_by_what_they_declare(self, store: LayerStore) -> None:
        await store.publish(draft(runtimes=("python3.11",), architectures=("x86_64",)))
        await store.publish(draft(runtimes=("python3.11", "python3.12"), architectures=("arm64",)))
        await store.publish(draft())
        assert numbers(await store.list_versions(key(), limit=9, runtime="python3.11")) == [2, 1]
        assert numbers(await store.list_versions(key(), limit=9, architecture="arm64")) == [2]
        both = await store.list_versions(key(), limit=9, runtime="python3.11", architecture="x86_64")
        assert numbers(both) == [1]
        assert numbers(await store.list_versions(key(), limit=9, runtime="arm64")) == []
        first = await store.list_versions(key(), limit=1, runtime="python3.11")
        second = await store.list_versions(key(), limit=1, runtime="python3.11", marker=first.next_marker)
        assert (numbers(first), numbers(second), second.next_marker) == ([2], [1], None)

    @pytest.mark.parametrize("limit", [1, 2, 50])
    async def test_lists_the_newest_version_of_each_layer(self, store: LayerStore, limit: int) -> None:
        for name in ("b", "a", "B", "gone"):
            for _ in range(10):
                await store.publish(draft(key(name)))
        await store.delete(key("a"), 10)
        for version in range(1, 11):
            await store.delete(key("gone"), version)
        found: list[tuple[str, int]] = []
        marker = None
        while marker is not None or not found:
            page = await store.list_layers(ACCOUNT, REGION, limit=limit, marker=marker)
            found += names(page)
            marker = page.next_marker
        assert found == [("B", 10), ("a", 9), ("b", 10)]

    async def test_lists_the_newest_matching_version_of_each_layer(self, store: LayerStore) -> None:
        await store.publish(draft(key("a"), runtimes=("python3.11",), architectures=("x86_64",)))
        await store.publish(draft(key("a"), runtimes=("python3.12",), architectures=("x86_64",)))
        await store.publish(draft(key("b"), runtimes=("python3.12",)))
        await store.publish(draft(key("c")))
        assert names(await store.list_layers(ACCOUNT, REGION, limit=9, runtime="python3.11")) == [("a", 1)]
        assert names(await store.list_layers(ACCOUNT, REGION, limit=9, architecture="x86_64")) == [("a", 2)]
        found = await store.list_layers(ACCOUNT, REGION, limit=9, runtime="python3.12")
        assert names(found) == [("a", 2), ("b", 1)]

    async def test_keeps_accounts_and_regions_apart(self, store: LayerStore) -> None:
        other, abroad = key(account="111111111111"), key(region="eu-west-1")
        for of in (key(), other, abroad, other):
            await store.publish(draft(of))
        assert names(await store.list_layers(ACCOUNT, REGION, limit=9)) == [("l", 1)]
        assert await store.usage("111111111111", REGION) == 20
        assert await store.delete(other, 1)
        assert await store.get(key(), 1) is not None
        assert await store.get(abroad, 1) is not None

    async def test_refuses_a_marker_of_another_listing(self, store: LayerStore) -> None:
        for name in ("a", "a", "b"):
            await store.publish(draft(key(name)))
        of_layers = (await store.list_layers(ACCOUNT, REGION, limit=1)).next_marker
        of_versions = (await store.list_versions(key("a"), limit=1)).next_marker
        assert of_layers
        assert of_versions
        with pytest.raises(ValueError):
            await store.list_layers(ACCOUNT, REGION, limit=1, marker=of_versions)
        with pytest.raises(ValueError):
            await store.list_layers(ACCOUNT, REGION, limit=1, marker=of_layers, runtime="python3.11")
        with pytest.raises(ValueError):
            await store.list_versions(key("a"), limit=1, marker=of_layers)
        with pytest.raises(ValueError):
            await store.list_versions(key("b"), limit=1, marker=of_versions)

    async def test_counts_bytes_of_all_versions(self, store: LayerStore) -> None:
        assert await store.usage(ACCOUNT, REGION) == 0
        await store.publish(draft(size_bytes=700))
        await store.publish(draft(key("m"), size_bytes=7))
        assert await store.usage(ACCOUNT, REGION) == 707
        await store.delete(key(), 1)
        assert await store.usage(ACCOUNT, REGION) == 7

    async def test_names_every_artifact_in_use(self, store: LayerStore) -> None:
        await store.publish(draft(digest="a"))
        await store.publish(draft(digest="b"))
        await store.publish(draft(key("m"), digest="b"))
        assert await store.digests() == {"a" * 64, "b" * 64}
        await store.delete(key(), 1)
        await store.delete(key(), 2)
        assert await store.digests() == {"b" * 64}


class TestMemory(LayerStoreContract):
    @pytest.fixture
    def store(self) -> LayerStore:
        return MemoryLayerStore()


class TestSql(LayerStoreContract):
    @pytest.fixture
    def store(self, database: Database) -> LayerStore:
        return SqlLayerStore(database)
