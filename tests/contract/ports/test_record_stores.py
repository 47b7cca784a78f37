"""What every store of configuration documents promises."""

from datetime import UTC, datetime
from typing import Any, TypeAlias

import pytest

from lamella.adapters.sql.database import Database
from lamella.adapters.sql.functions import SqlFunctionStore
from lamella.adapters.sql.records import SqlAccountRecordStore, SqlFunctionRecordStore
from lamella.domain.function import Artifact, FunctionConfig, FunctionKey, FunctionVersion, State
from lamella.ports.errors import ConflictError
from lamella.ports.records import AccountRecord, AccountRecordStore, Document, FunctionRecord, FunctionRecordStore
from lamella.ports.stores import FunctionStore
from lamella.testing.records import MemoryAccountRecordStore, MemoryFunctionRecordStore
from lamella.testing.stores import MemoryFunctionStore

ACCOUNT, REGION = "000000000000", "us-east-1"
KEY = FunctionKey(ACCOUNT, REGION, "f")
OTHERS = [FunctionKey("111111111111", REGION, "f"), FunctionKey(ACCOUNT, "eu-west-1", "f")]
FULL: dict[str, Any] = {
    "text": "ünïcode \U0001f389, \ud800 a lone surrogate, and '; DROP TABLE functions; --",
    "number": 2**53,
    "ratio": 0.1,
    "none": None,
    "flags": [True, False, {"nested": []}],
    "": {},
}


class Refusal(Exception):
    """What a change refuses with."""


def refuse(_: Document | None) -> Document | None:
    raise Refusal


def add_one(before: Document | None) -> Document | None:
    return {"count": 1 if before is None else before["count"] + 1}


def at_once_less(before: Document | None) -> Document | None:
    assert before is not None
    return {"count": before["count"] - 1} if before["count"] > 1 else None


async def add_function(functions: FunctionStore, key: FunctionKey = KEY) -> None:
    latest = FunctionVersion(
        key=key,
        version="$LATEST",
        artifact=Artifact("a" * 64, "a=", 1, 1),
        config=FunctionConfig(role="r", runtime="python3.11", handler="m.h"),
        revision_id="1",
        modified_at=datetime(2026, 5, 17, tzinfo=UTC),
        state=State.ACTIVE,
    )
    await functions.create(latest, {})


Stores: TypeAlias = tuple[FunctionStore, FunctionRecordStore]


class FunctionRecordStoreContract:
    async def test_gives_back_what_was_stored(self, stores: Stores) -> None:
        functions, records = stores
        await add_function(functions)
        assert await records.get(KEY, "k") is None
        await records.put(KEY, "k", FULL)
        assert await records.get(KEY, "k") == FULL
        await records.put(KEY, "k", {})
        assert await records.get(KEY, "k") == {}

    async def test_is_not_changed_through_values_it_gave_or_was_given(self, stores: Stores) -> None:
        functions, records = stores
        await add_function(functions)
        given: dict[str, Any] = {"list": [1]}
        await records.put(KEY, "k", given)
        given["list"].append(2)
        found = await records.get(KEY, "k")
        assert found == {"list": [1]}
        found["list"].append(2)
        assert await records.get(KEY, "k") == {"list": [1]}

    async def test_keeps_functions_kinds_and_qualifiers_apart(self, stores: Stores) -> None:
        functions, records = stores
        for key in (KEY, *OTHERS):
            await add_function(functions, key)
        await records.put(KEY, "k", {"is": "it"}, "1")
        for key, kind, qualifier in [
            (KEY, "k", ""),
            (KEY, "k", "2"),
            (KEY, "l", "1"),
            *((k, "k", "1") for k in OTHERS),
        ]:
            assert await records.get(key, kind, qualifier) is None
            assert not await records.delete(key, kind, qualifier)
        assert await records.delete(KEY, "k", "1")
        assert await records.get(KEY, "k", "1") is None

    async def test_stores_nothing_for_a_function_that_is_gone(self, stores: Stores) -> None:
        functions, records = stores
        with pytest.raises(ConflictError):
            await records.put(KEY, "k", {})
        with pytest.raises(ConflictError):
            await records.change(KEY, "k", add_one)
        assert await records.change(KEY, "k", lambda _: None) is None
        await add_function(functions)
        assert await records.get(KEY, "k") is None

    async def test_changes_from_what_is_stored(self, stores: Stores) -> None:
        functions, records = stores
        await add_function(functions)
        assert await records.change(KEY, "k", add_one) == {"count": 1}
        assert await records.change(KEY, "k", add_one) == {"count": 2}
        assert await records.change(KEY, "k", at_once_less) == {"count": 1}
        assert await records.change(KEY, "k", at_once_less) is None
        assert await records.get(KEY, "k") is None

    async def test_a_change_that_refuses_changes_nothing(self, stores: Stores) -> None:
        functions, records = stores
        await add_function(functions)
        await records.put(KEY, "k", {"count": 1})
        with pytest.raises(Refusal):
            await records.change(KEY, "k", refuse)
        assert await records.get(KEY, "k") == {"count": 1}

    async def test_goes_with_the_function(self, stores: Stores) -> None:
        functions, records = stores
        for key in (KEY, OTHERS[0]):
            await add_function(functions, key)
            await records.put(key, "k", {})
            await records.put(key, "k", {}, "alias")
        await functions.delete(KEY)
        await add_function(functions)
        assert await records.get(KEY, "k") is None
        assert await records.get(KEY, "k", "alias") is None
        assert await records.get(OTHERS[0], "k", "alias") == {}

    async def test_goes_with_the_version(self, stores: Stores) -> None:
        functions, records = stores
        await add_function(functions)
        latest = await functions.get(KEY)
        assert latest is not None
        for _ in range(2):
            await functions.publish(latest)
        for qualifier in ("", "$LATEST", "1", "2"):
            await records.put(KEY, "k", {}, qualifier)
        await functions.delete(KEY, "1")
        left = await records.list_function(KEY, "k", limit=9)
        assert [record.qualifier for record in left.items] == ["", "$LATEST", "2"]

    async def test_deletes_what_belongs_to_a_qualifier(self, stores: Stores) -> None:
        functions, records = stores
        for key in (KEY, OTHERS[0]):
            await add_function(functions, key)
            for kind, qualifier in (("k", "alias"), ("l", "alias"), ("k", "alia")):
                await records.put(key, kind, {}, qualifier)
        await records.delete_qualifier(KEY, "alias")
        assert await records.get(KEY, "k", "alias") is None
        assert await records.get(KEY, "l", "alias") is None
        assert await records.get(KEY, "k", "alia") == {}
        assert await records.get(OTHERS[0], "l", "alias") == {}

    @pytest.mark.parametrize("limit", [1, 2, 50])
    async def test_lists_a_functions_documents_by_qualifier(self, stores: Stores, limit: int) -> None:
        functions, records = stores
        await add_function(functions)
        await add_function(functions, OTHERS[0])
        for qualifier in ("b", "a-1", "a", "B", ""):
            await records.put(KEY, "k", {"q": qualifier}, qualifier)
            await records.put(KEY, "l", {}, qualifier + "x")
        await records.put(OTHERS[0], "k", {}, "c")
        found: list[FunctionRecord] = []
        marker = None
        while marker is not None or not found:
            page = await records.list_function(KEY, "k", limit=limit, marker=marker)
            assert 0 < len(page.items) <= limit
            found += page.items
            marker = page.next_marker
        assert found == [FunctionRecord(KEY, "k", name, {"q": name}) for name in ("", "B", "a", "a-1", "b")]

    @pytest.mark.parametrize("limit", [1, 2, 50])
    async def test_lists_what_documents_hold_across_functions(self, stores: Stores, limit: int) -> None:
        functions, records = stores
        for name in ("b", "a", "c"):
            key = FunctionKey(ACCOUNT, REGION, name)
            await add_function(functions, key)
            await records.put(key, "k", {"uses": "x" if name < "c" else "y", "n": name})
            await records.put(key, "k", {"uses": None, "n": name}, "1")
        for key in OTHERS:
            await add_function(functions, key)
            await records.put(key, "k", {"uses": "x"})
        found: list[str] = []
        marker = None
        while marker is not None or not found:
            page = await records.list_account(ACCOUNT, REGION, "k", limit=limit, marker=marker, where={"uses": "x"})
            found += [record.key.name for record in page.items]
            marker = page.next_marker
        assert found == ["a", "b"]
        both = await records.list_account(ACCOUNT, REGION, "k", limit=9, where={"uses": "x", "n": "b"})
        assert [record.key.name for record in both.items] == ["b"]
        assert (await records.list_account(ACCOUNT, REGION, "k", limit=9, where={"it's": '"x"'})).items == []

    async def test_refuses_the_marker_of_another_listing(self, stores: Stores) -> None:
        functions, records = stores
        await add_function(functions)
        for qualifier in ("1", "2"):
            await records.put(KEY, "k", {"a": "b"}, qualifier)
        marker = (await records.list_function(KEY, "k", limit=1)).next_marker
        assert marker is not None
        with pytest.raises(ValueError, match="not a marker"):
            await records.list_function(KEY, "l", limit=1, marker=marker)
        with pytest.raises(ValueError, match="not a marker"):
            await records.list_function(KEY, "k", limit=1, marker=marker, where={"a": "b"})
        with pytest.raises(ValueError, match="not a marker"):
            await records.list_account(ACCOUNT, REGION, "k", limit=1, marker=marker)
        with pytest.raises(ValueError, match="not a marker"):
            await records.list_function(OTHERS[0], "k", limit=1, marker="rubbish")

    async def test_gives_every_document_of_a_kind(self, stores: Stores) -> None:
        functions, records = stores
        assert await records.every("k") == []
        for key in (KEY, *OTHERS):
            await add_function(functions, key)
            await records.put(key, "k", {"account": key.account}, "q")
            await records.put(key, "l", {})
        found = {record.key: record for record in await records.every("k")}
        expected = [FunctionRecord(key, "k", "q", {"account": key.account}) for key in (KEY, *OTHERS)]
        assert found == {record.key: record for record in expected}


class TestMemoryFunctionRecords(FunctionRecordStoreContract):
    @pytest.fixture
    def stores(self) -> Stores:
        functions = MemoryFunctionStore()
        return functions, MemoryFunctionRecordStore(functions)


class TestSqlFunctionRecords(FunctionRecordStoreContract):
    @pytest.fixture
    def stores(self, database: Database) -> Stores:
        return SqlFunctionStore(database), SqlFunctionRecordStore(database)


class AccountRecordStoreContract:
    async def test_gives_back_what_was_stored(self, records: AccountRecordStore) -> None:
        assert await records.get(ACCOUNT, REGION, "k", "1") is None
        await records.put(ACCOUNT, REGION, "k", "1", FULL)
        assert await records.get(ACCOUNT, REGION, "k", "1") == FULL
        await records.put(ACCOUNT, REGION, "k", "1", {})
        assert await records.get(ACCOUNT, REGION, "k", "1") == {}

    async def test_keeps_accounts_regions_and_kinds_apart(self, records: AccountRecordStore) -> None:
        await records.put(ACCOUNT, REGION, "k", "1", {})
        for place in [("1" * 12, REGION, "k"), (ACCOUNT, "", "k"), (ACCOUNT, REGION, "l")]:
            assert await records.get(*place, "1") is None
            assert (await records.list(*place, limit=9)).items == []
            assert not await records.delete(*place, "1")
        assert await records.delete(ACCOUNT, REGION, "k", "1")
        assert await records.get(ACCOUNT, REGION, "k", "1") is None

    async def test_changes_from_what_is_stored(self, records: AccountRecordStore) -> None:
        assert await records.change(ACCOUNT, "", "k", "1", add_one) == {"count": 1}
        assert await records.change(ACCOUNT, "", "k", "1", add_one) == {"count": 2}
        with pytest.raises(Refusal):
            await records.change(ACCOUNT, "", "k", "1", refuse)
        assert await records.change(ACCOUNT, "", "k", "1", at_once_less) == {"count": 1}
        assert await records.change(ACCOUNT, "", "k", "1", at_once_less) is None
        assert await records.get(ACCOUNT, "", "k", "1") is None

    @pytest.mark.parametrize("limit", [1, 2, 50])
    async def test_lists_documents_by_id(self, records: AccountRecordStore, limit: int) -> None:
        for id_ in ("b", "a-1", "a", "B"):
            await records.put(ACCOUNT, REGION, "k", id_, {"uses": "x" if id_ < "b" else "y", "id": id_})
        for where, ids in [({}, ["B", "a", "a-1", "b"]), ({"uses": "x"}, ["B", "a", "a-1"])]:
            found: list[AccountRecord] = []
            marker = None
            while marker is not None or not found:
                page = await records.list(ACCOUNT, REGION, "k", limit=limit, marker=marker, where=where)
                assert 0 < len(page.items) <= limit
                found += page.items
                marker = page.next_marker
            assert [record.id for record in found] == ids
            assert found[0].document == {"uses": "x", "id": "B"}

    async def test_refuses_the_marker_of_another_listing(self, records: AccountRecordStore) -> None:
        for id_ in ("1", "2"):
            await records.put(ACCOUNT, REGION, "k", id_, {"a": "b"})
        marker = (await records.list(ACCOUNT, REGION, "k", limit=1)).next_marker
        assert marker is not None
        for place in [("1" * 12, REGION, "k"), (ACCOUNT, "", "k"), (ACCOUNT, REGION, "l")]:
            with pytest.raises(ValueError, match="not a marker"):
                await records.list(*place, limit=1, marker=marker)
        with pytest.raises(ValueError, match="not a marker"):
            await records.list(ACCOUNT, REGION, "k", limit=1, marker=marker, where={"a": "b"})

    async def test_gives_every_document_of_a_kind(self, records: AccountRecordStore) -> None:
        for account, region in [(ACCOUNT, REGION), (ACCOUNT, ""), ("1" * 12, REGION)]:
            await records.put(account, region, "k", "1", {})
            await records.put(account, region, "l", "1", {})
        places = {(record.account, record.region, record.kind, record.id) for record in await records.every("k")}
        assert places == {(ACCOUNT, REGION, "k", "1"), (ACCOUNT, "", "k", "1"), ("1" * 12, REGION, "k", "1")}


class TestMemoryAccountRecords(AccountRecordStoreContract):
    @pytest.fixture
    def records(self) -> AccountRecordStore:
        return MemoryAccountRecordStore()


class TestSqlAccountRecords(AccountRecordStoreContract):
    @pytest.fixture
    def records(self, database: Database) -> AccountRecordStore:
        return SqlAccountRecordStore(database)
