"""What every store of checkpoints promises."""

import pytest

from lamella.adapters.sql.checkpoints import SqlCheckpointStore
from lamella.adapters.sql.database import Database
from lamella.ports.checkpoints import ALL_SHARDS, CheckpointStore
from lamella.testing.records import MemoryCheckpointStore


class CheckpointStoreContract:
    async def test_gives_back_what_was_stored(self, store: CheckpointStore) -> None:
        documents = {ALL_SHARDS: {"began_s": 1.5}, "shardId-ünïcode": {"sequence": "49" * 28}}
        await store.save("m", documents)
        await store.save("other", {"shardId-1": {}})
        assert await store.load("m") == documents
        assert await store.load("none") == {}

    async def test_a_shard_has_one_document(self, store: CheckpointStore) -> None:
        await store.save("m", {"a": {"sequence": "1"}, "b": {"sequence": "1"}})
        await store.save("m", {"b": {"sequence": "2"}, "c": {"sequence": "3"}})
        assert await store.load("m") == {"a": {"sequence": "1"}, "b": {"sequence": "2"}, "c": {"sequence": "3"}}

    async def test_shards_are_forgotten_or_all_of_a_mapping(self, store: CheckpointStore) -> None:
        for mapping in ("m", "other"):
            await store.save(mapping, {"a": {}, "b": {}, "c": {}})
        await store.forget("m", {"a", "c", "none"})
        assert await store.load("m") == {"b": {}}
        await store.forget("m", [])
        assert await store.load("m") == {"b": {}}
        await store.forget("m")
        await store.forget("none")
        assert await store.load("m") == {}
        assert set(await store.load("other")) == {"a", "b", "c"}


class TestMemory(CheckpointStoreContract):
    @pytest.fixture
    def store(self) -> CheckpointStore:
        return MemoryCheckpointStore()


class TestSql(CheckpointStoreContract):
    @pytest.fixture
    def store(self, database: Database) -> CheckpointStore:
        return SqlCheckpointStore(database)
