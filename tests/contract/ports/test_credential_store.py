"""What every store of accounts and access keys promises."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from lamella.adapters.sql.credentials import SqlCredentialStore
from lamella.adapters.sql.database import Database
from lamella.ports.credentials import AccessKey, Account, CredentialStore
from lamella.ports.errors import ConflictError
from lamella.testing.records import MemoryCredentialStore

NOW = datetime(2026, 11, 20, 20, 1, 2, 123456, tzinfo=UTC)
ONE, OTHER = Account("000000000001", "ünïcode", NOW), Account("999999999999", "", NOW)
KEY = AccessKey("AKIA1", "s/e+c", ONE.id, NOW, description="of a person s")
TEMPORARY = AccessKey("ASIA1", "secret", ONE.id, NOW, session_token="token", expires_at=NOW + timedelta(hours=1))


class CredentialStoreContract:
    async def test_gives_back_what_was_stored(self, store: CredentialStore) -> None:
        await store.add_account(OTHER)
        await store.add_account(ONE)
        for key in (TEMPORARY, KEY):
            await store.add_key(key)
        assert list(await store.accounts()) == [ONE, OTHER]
        assert list(await store.keys()) == [KEY, TEMPORARY]

    async def test_a_time_of_another_zone_is_the_same_time(self, store: CredentialStore) -> None:
        there = NOW.astimezone(timezone(timedelta(hours=9)))
        await store.add_account(replace(ONE, created_at=there))
        assert (await store.accounts())[0].created_at == NOW

    async def test_an_account_or_key_is_there_once(self, store: CredentialStore) -> None:
        await store.add_account(ONE)
        await store.add_account(OTHER)
        await store.add_key(KEY)
        with pytest.raises(ConflictError):
            await store.add_account(replace(ONE, name="again"))
        with pytest.raises(ConflictError):
            await store.add_key(replace(KEY, account=OTHER.id))
        assert list(await store.accounts()) == [ONE, OTHER]
        assert list(await store.keys()) == [KEY]

    async def test_a_key_needs_an_account(self, store: CredentialStore) -> None:
        with pytest.raises(ConflictError):
            await store.add_key(KEY)
        assert list(await store.keys()) == []

    async def test_keys_go_with_their_account(self, store: CredentialStore) -> None:
        others = replace(KEY, id="AKIA2", account=OTHER.id)
        for account in (ONE, OTHER):
            await store.add_account(account)
        for key in (KEY, TEMPORARY, others):
            await store.add_key(key)
        assert await store.delete_account(ONE.id)
        assert not await store.delete_account(ONE.id)
        assert list(await store.keys()) == [others]

    async def test_a_key_is_deleted_once(self, store: CredentialStore) -> None:
        await store.add_account(ONE)
        await store.add_key(KEY)
        assert await store.delete_key(KEY.id)
        assert not await store.delete_key(KEY.id)
        assert list(await store.keys()) == []


class TestMemory(CredentialStoreContract):
    @pytest.fixture
    def store(self) -> CredentialStore:
        return MemoryCredentialStore()


class TestSql(CredentialStoreContract):
    @pytest.fixture
    def store(self, database: Database) -> CredentialStore:
        return SqlCredentialStore(database)


def test_secrets_are_not_shown() -> None:
    """A key in a log or a traceback gives nothing away."""
    assert "s/e+c" not in repr(KEY)
    assert "token'" not in repr(TEMPORARY)
