"""What every store of aliases promises."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from lamella.adapters.sql.aliases import SqlAliasStore
from lamella.adapters.sql.database import Database
from lamella.adapters.sql.functions import SqlFunctionStore
from lamella.adapters.sql.records import SqlFunctionRecordStore
from lamella.domain.alias import Alias, Route
from lamella.domain.function import Artifact, FunctionConfig, FunctionKey, FunctionVersion, State
from lamella.ports.errors import ConflictError
from lamella.ports.records import WHOLE, FunctionRecordStore
from lamella.ports.stores import AliasStore, FunctionStore
from lamella.testing.records import MemoryFunctionRecordStore
from lamella.testing.stores import MemoryAliasStore, MemoryFunctionStore

KEY = FunctionKey("000000000000", "us-east-1", "f")
LATEST = FunctionVersion(
    key=KEY,
    version="$LATEST",
    artifact=Artifact("a" * 64, "a=", 1, 1),
    config=FunctionConfig(role="arn:aws:iam::0:role/r", runtime="python3.11", handler="m.h"),
    revision_id="1",
    modified_at=datetime(2026, 5, 17, tzinfo=UTC),
    state=State.ACTIVE,
)
OTHERS = [
    FunctionKey("000000000001", "us-east-1", "f"),
    FunctionKey("000000000000", "us-west-1", "f"),
    FunctionKey("000000000000", "us-east-1", "g"),
]
Stores = tuple[FunctionStore, AliasStore]


def alias(name: str = "live", version: str = "1", key: FunctionKey = KEY) -> Alias:
    return Alias(key, name, version, f"rev-{name}")


def names(aliases: object) -> list[str]:
    assert isinstance(aliases, list)
    return [one.name for one in aliases]


class AliasStoreContract:
    """Each test has the function `f` with `$LATEST` and the versions 1, 2 and 3."""

    def records(self, stores: Stores) -> FunctionRecordStore:
        raise NotImplementedError

    @pytest.fixture
    async def stores(self, empty: Stores) -> Stores:
        functions, _ = empty
        for key in [KEY, *OTHERS]:
            await functions.create(replace(LATEST, key=key), {})
            for _ in range(3):
                await functions.publish(replace(LATEST, key=key))
        return empty

    @pytest.mark.parametrize(
        "kept",
        [
            alias(),
            alias(version="$LATEST"),
            replace(alias(), description="ünïcode \U0001f389 and \ud800 a lone surrogate"),
            replace(alias(), route=Route("2", 0.1)),
            replace(alias(), route=Route("2", 0.0)),
            replace(alias(), route=Route("2", 1.0)),
            replace(alias(), route=Route("2", 0.000000000000001)),
            replace(alias("-"), version="3"),
        ],
    )
    async def test_what_was_created_is_there(self, stores: Stores, kept: Alias) -> None:
        await stores[1].create(kept)
        assert await stores[1].get(KEY, kept.name) == kept
        for other in OTHERS:
            assert await stores[1].get(other, kept.name) is None

    async def test_a_name_is_given_once(self, stores: Stores) -> None:
        await stores[1].create(alias())
        with pytest.raises(ConflictError):
            await stores[1].create(replace(alias(), version="2"))
        assert await stores[1].get(KEY, "live") == alias()
        await stores[1].create(alias("Live"))
        await stores[1].create(alias(key=OTHERS[0]))

    async def test_versions_have_to_exist(self, stores: Stores) -> None:
        for version in ["4", "0", "01", "9" * 30, "live", ""]:
            with pytest.raises(ConflictError):
                await stores[1].create(alias(version=version))
            with pytest.raises(ConflictError):
                await stores[1].create(replace(alias(), route=Route(version, 0.5)))
        with pytest.raises(ConflictError):
            await stores[1].create(alias(key=replace(KEY, name="none")))
        assert await stores[1].get(KEY, "live") is None

    async def test_a_change(self, stores: Stores) -> None:
        await stores[1].create(alias())
        await stores[1].create(alias(key=OTHERS[0]))
        changed = replace(alias(), version="2", revision_id="new", description="d", route=Route("3", 0.5))
        await stores[1].replace(changed, expected_revision_id="rev-live")
        assert await stores[1].get(KEY, "live") == changed
        assert await stores[1].get(OTHERS[0], "live") == alias(key=OTHERS[0])
        back = replace(changed, route=None)
        await stores[1].replace(back, expected_revision_id="new")
        assert await stores[1].get(KEY, "live") == back

    async def test_a_change_of_what_is_no_more(self, stores: Stores) -> None:
        await stores[1].create(alias())
        for changed, revision_id in [
            (replace(alias(), version="2"), "old"),
            (alias("other"), "rev-other"),
            (replace(alias(), version="4"), "rev-live"),
            (replace(alias(), route=Route("4", 0.5)), "rev-live"),
        ]:
            with pytest.raises(ConflictError):
                await stores[1].replace(changed, expected_revision_id=revision_id)
        assert await stores[1].get(KEY, "live") == alias()

    async def test_deletion(self, stores: Stores) -> None:
        await stores[1].create(alias())
        await stores[1].create(alias(key=OTHERS[0]))
        assert await stores[1].delete(KEY, "live")
        assert not await stores[1].delete(KEY, "live")
        assert await stores[1].get(KEY, "live") is None
        assert await stores[1].get(OTHERS[0], "live") is not None

    async def test_records_go_with_their_alias(self, stores: Stores) -> None:
        """Else an alias of the same name would have the policy of the one before."""
        records = self.records(stores)
        await stores[1].create(alias())
        for qualifier in ("live", "1", WHOLE):
            await records.put(KEY, "policy", {"of": qualifier}, qualifier)
        await records.put(OTHERS[0], "policy", {"of": "another"}, "live")
        assert not await stores[1].delete(KEY, "1")
        assert await stores[1].delete(KEY, "live")
        assert {(record.key, record.qualifier) for record in await records.every("policy")} == {
            (KEY, "1"),
            (KEY, WHOLE),
            (OTHERS[0], "live"),
        }

    async def test_a_version_with_an_alias_stays(self, stores: Stores) -> None:
        functions, aliases = stores
        await aliases.create(replace(alias(), route=Route("2", 0.0)))
        for version in ["1", "2"]:
            with pytest.raises(ConflictError):
                await functions.delete(KEY, version)
            assert await functions.get(KEY, version) is not None
        assert await functions.delete(KEY, "3")
        assert not await functions.delete(KEY, "3")
        assert await functions.delete(OTHERS[0], "1")
        await aliases.delete(KEY, "live")
        assert await functions.delete(KEY, "1")

    async def test_aliases_go_with_their_function(self, stores: Stores) -> None:
        functions, aliases = stores
        await aliases.create(replace(alias(), route=Route("2", 0.5)))
        await aliases.create(alias("dev", "$LATEST"))
        await aliases.create(alias(key=OTHERS[2]))
        assert await functions.delete(KEY)
        await functions.create(LATEST, {})
        assert (await aliases.list_aliases(KEY, limit=10)).items == []
        assert await aliases.get(OTHERS[2], "live") is not None

    async def test_listings(self, stores: Stores) -> None:
        aliases = stores[1]
        assert (await aliases.list_aliases(KEY, limit=10)).items == []
        for name in ["b", "B", "a-", "_", "a1", "a"]:
            await aliases.create(alias(name))
        for other in OTHERS:
            await aliases.create(alias("other", key=other))
        found: list[str] = []
        marker = None
        while True:
            page = await aliases.list_aliases(KEY, limit=2, marker=marker)
            found += names(page.items)
            marker = page.next_marker
            if marker is None:
                break
            await aliases.delete(KEY, found[-1])  # the marker stays good
        assert found == ["B", "_", "a", "a-", "a1", "b"]

    async def test_listings_of_a_version(self, stores: Stores) -> None:
        aliases = stores[1]
        await aliases.create(alias("one", "1"))
        await aliases.create(alias("two", "2"))
        await aliases.create(replace(alias("both", "1"), route=Route("2", 0.1)))
        await aliases.create(alias("latest", "$LATEST"))
        for version, expected in {
            "1": ["both", "one"],
            "2": ["both", "two"],
            "3": [],
            "$LATEST": ["latest"],
            "4": [],
            "01": [],
        }.items():
            assert names((await aliases.list_aliases(KEY, limit=10, version=version)).items) == expected
        first = await aliases.list_aliases(KEY, limit=1, version="1")
        assert first.next_marker is not None
        rest = await aliases.list_aliases(KEY, limit=1, version="1", marker=first.next_marker)
        assert names([*first.items, *rest.items]) == ["both", "one"]
        assert rest.next_marker is None

    @pytest.mark.parametrize("marker", ["", "x", "!", "eyJhIjoxfQ==", "W10=", "bnVsbA=="])
    async def test_markers_that_are_none(self, stores: Stores, marker: str) -> None:
        with pytest.raises(ValueError, match="marker"):
            await stores[1].list_aliases(KEY, limit=1, marker=marker)

    async def test_markers_of_other_listings(self, stores: Stores) -> None:
        functions, aliases = stores
        for name in ["a", "b"]:
            await aliases.create(alias(name))
        marker = (await aliases.list_aliases(KEY, limit=1)).next_marker
        with pytest.raises(ValueError, match="marker"):
            await aliases.list_aliases(OTHERS[0], limit=1, marker=marker)
        with pytest.raises(ValueError, match="marker"):
            await aliases.list_aliases(KEY, limit=1, marker=marker, version="1")
        versions = (await functions.list_versions(KEY, limit=1)).next_marker
        with pytest.raises(ValueError, match="marker"):
            await aliases.list_aliases(KEY, limit=1, marker=versions)


class TestMemory(AliasStoreContract):
    @pytest.fixture
    def empty(self) -> Stores:
        functions = MemoryFunctionStore()
        return functions, MemoryAliasStore(functions)

    def records(self, stores: Stores) -> FunctionRecordStore:
        assert isinstance(stores[0], MemoryFunctionStore)
        return MemoryFunctionRecordStore(stores[0])


class TestSql(AliasStoreContract):
    @pytest.fixture
    def empty(self, database: Database) -> Stores:
        return SqlFunctionStore(database), SqlAliasStore(database)

    def records(self, stores: Stores) -> FunctionRecordStore:
        assert isinstance(stores[0], SqlFunctionStore)
        return SqlFunctionRecordStore(stores[0]._database)
