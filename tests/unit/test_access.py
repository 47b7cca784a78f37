"""Access keys: made, found, expired, deleted; and whose request it is."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta

import pytest

from lamella.access import OPERATOR, Access, Caller, Keyring
from lamella.cli.endpoint import Key
from lamella.domain.errors import (
    ExpiredTokenException,
    InvalidSignatureException,
    MissingAuthenticationTokenException,
    UnrecognizedClientException,
)
from lamella.httpserver.message import Request
from lamella.ports.credentials import AccessKey
from lamella.ports.errors import ConflictError
from lamella.testing.clock import FakeClock
from lamella.testing.records import MemoryCredentialStore

NOW = datetime(2026, 11, 20, 20, 1, 2, tzinfo=UTC)
ACCOUNT, OTHER = "111122223333", "444455556666"
PATH = "/2015-03-31/functions/f/invocations"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
def store() -> MemoryCredentialStore:
    return MemoryCredentialStore()


@pytest.fixture
async def keyring(store: MemoryCredentialStore, clock: FakeClock) -> Keyring:
    keyring = Keyring(store, clock, "of the operator")
    await keyring.load(ACCOUNT)
    return keyring


@pytest.fixture
def access(keyring: Keyring, clock: FakeClock) -> Access:
    return Access(keyring, clock, required=True)


def signed(key: AccessKey, body: bytes = b"{}", *, token: str | None = None, at: datetime = NOW) -> Request:
    client = Key(key.id, key.secret, key.session_token if token is None else token)
    headers = client.headers("POST", f"http://localhost:4566{PATH}", {}, body, region="eu-west-1", now=at)
    return Request("POST", PATH.encode(), PATH, "", list(headers.items()), body)


class TestKeyring:
    async def test_the_servers_own_account_is_always_there(
        self, keyring: Keyring, store: MemoryCredentialStore
    ) -> None:
        assert [account.id for account in await keyring.accounts()] == [ACCOUNT]
        await Keyring(store, FakeClock(NOW), "").load(ACCOUNT)
        assert [account.id for account in await store.accounts()] == [ACCOUNT]

    async def test_keys_look_as_those_of_aws(self, keyring: Keyring) -> None:
        key = await keyring.create_key(ACCOUNT, "for a test", None)
        temporary = await keyring.create_key(ACCOUNT, "", 60)
        assert (key.id[:4], temporary.id[:4], len(key.id), len(key.secret)) == ("AKIA", "ASIA", 20, 40)
        assert not key.session_token
        assert temporary.session_token
        assert {key.id, key.secret}.isdisjoint({temporary.id, temporary.secret})

    async def test_what_was_stored_is_there_after_a_restart(
        self, keyring: Keyring, store: MemoryCredentialStore, clock: FakeClock
    ) -> None:
        key, short = await keyring.create_key(ACCOUNT, "", None), await keyring.create_key(ACCOUNT, "", 60)
        clock.advance(60)
        again = Keyring(store, clock, "")
        await again.load(ACCOUNT)
        assert again.find(key.id) == key
        assert again.find(short.id) is None
        assert list(await store.keys()) == [key]

    async def test_keys_that_have_expired_do_not_pile_up(
        self, keyring: Keyring, store: MemoryCredentialStore, clock: FakeClock
    ) -> None:
        for _ in range(3):
            await keyring.create_key(ACCOUNT, "", 60)
            clock.advance(61)
        assert len(await store.keys()) == 1
        assert not keyring.usable()

    async def test_a_key_needs_an_account(self, keyring: Keyring) -> None:
        with pytest.raises(ConflictError):
            await keyring.create_key(OTHER, "", None)
        assert not keyring.usable()

    async def test_a_deleted_account_takes_its_keys_along(self, keyring: Keyring) -> None:
        other = await keyring.create_account(OTHER, "other")
        kept, gone = await keyring.create_key(ACCOUNT, "", None), await keyring.create_key(other.id, "", None)
        assert await keyring.delete_account(OTHER)
        assert keyring.usable() == [kept]
        assert keyring.find(gone.id) is None
        assert not await keyring.delete_account(OTHER)

    async def test_an_account_without_a_number_gets_one(self, keyring: Keyring) -> None:
        made = await keyring.create_account(None, "")
        assert len(made.id) == 12
        assert made.id.isdigit()
        with pytest.raises(ConflictError):
            await keyring.create_account(made.id, "")


class TestAccess:
    async def test_the_account_is_the_keys(self, keyring: Keyring, access: Access) -> None:
        key = await keyring.create_key(ACCOUNT, "", None)
        assert await access.caller(signed(key)) == Caller(ACCOUNT, "eu-west-1", key.id)

    async def test_a_large_body_is_hashed_beside_the_event_loop(self, keyring: Keyring, access: Access) -> None:
        key = await keyring.create_key(ACCOUNT, "", None)
        request = signed(key, b"x" * 1_000_000)
        threads_before = threading.active_count()
        assert (await access.caller(request)).account == ACCOUNT
        assert threading.active_count() > threads_before
        request.body = b"y" + request.body[1:]
        with pytest.raises(InvalidSignatureException):
            await access.caller(request)

    async def test_the_operator_has_no_account(self, access: Access) -> None:
        caller = await access.caller(signed(AccessKey(OPERATOR, "of the operator", "", NOW)))
        assert caller.is_operator
        with pytest.raises(InvalidSignatureException):
            await access.caller(signed(AccessKey(OPERATOR, "guessed", "", NOW)))

    async def test_nobody(self, access: Access) -> None:
        with pytest.raises(MissingAuthenticationTokenException):
            await access.caller(Request("GET", PATH.encode(), PATH, "", [("host", "localhost")]))

    async def test_a_key_that_is_not_known(self, keyring: Keyring, access: Access) -> None:
        key = await keyring.create_key(ACCOUNT, "", None)
        await keyring.delete_key(key.id)
        for unknown in (key, AccessKey(ACCOUNT, "x", "", NOW)):
            with pytest.raises(UnrecognizedClientException):
                await access.caller(signed(unknown))

    @pytest.mark.parametrize("token", ["", "another"])
    async def test_a_temporary_key_needs_its_token(self, keyring: Keyring, access: Access, token: str) -> None:
        key = await keyring.create_key(ACCOUNT, "", 60)
        assert (await access.caller(signed(key))).account == ACCOUNT
        with pytest.raises(UnrecognizedClientException, match="The security token included in the request is invalid"):
            await access.caller(signed(key, token=token))

    async def test_a_key_without_a_token_takes_none(self, keyring: Keyring, access: Access) -> None:
        key = await keyring.create_key(ACCOUNT, "", None)
        with pytest.raises(UnrecognizedClientException):
            await access.caller(signed(key, token="lamella"))

    async def test_a_temporary_key_expires(self, keyring: Keyring, access: Access, clock: FakeClock) -> None:
        key = await keyring.create_key(ACCOUNT, "", 60)
        clock.advance(60)
        with pytest.raises(ExpiredTokenException, match="The security token included in the request is expired"):
            await access.caller(signed(key))

    async def test_an_old_request_cannot_be_sent_again(
        self, keyring: Keyring, access: Access, clock: FakeClock
    ) -> None:
        request = signed(await keyring.create_key(ACCOUNT, "", None))
        clock.advance(300)
        assert (await access.caller(request)).account == ACCOUNT
        clock.advance(1)
        with pytest.raises(InvalidSignatureException, match="Signature expired"):
            await access.caller(request)

    async def test_the_head_tells_what_is_wrong_but_for_the_signature(self, keyring: Keyring, access: Access) -> None:
        key = await keyring.create_key(ACCOUNT, "", None)
        request = signed(key)
        request.body = b"not what was signed"
        assert access.precheck(request) is None
        await keyring.delete_key(key.id)
        assert isinstance(access.precheck(request), UnrecognizedClientException)
        old = signed(AccessKey(OPERATOR, "", "", NOW), at=NOW - timedelta(hours=1))
        assert isinstance(access.precheck(old), InvalidSignatureException)


async def test_changes_at_once_leave_memory_and_store_alike(keyring: Keyring, store: MemoryCredentialStore) -> None:
    key = await keyring.create_key(ACCOUNT, "", None)
    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(keyring.create_key(ACCOUNT, "", None))
        group.create_task(keyring.delete_key(key.id))
    assert len(keyring.usable()) == 5
    assert list(keyring.usable()) == list(await store.keys())


class TestLentKeys:
    """What STS gives to who signed with a key of an account."""

    async def test_they_act_for_the_account_and_are_not_listed(self, keyring: Keyring, access: Access) -> None:
        key = await keyring.create_key(ACCOUNT, "", None)
        lent = keyring.lend(key, NOW + timedelta(hours=1), key_id="ASIAFROMMOTO")
        assert (lent.id, lent.account) == ("ASIAFROMMOTO", ACCOUNT)
        assert lent.secret != key.secret
        assert await access.caller(signed(lent)) == Caller(ACCOUNT, "eu-west-1", lent.id)
        for token in ("", "other"):
            with pytest.raises(UnrecognizedClientException):
                await access.caller(signed(lent, token=token))
        assert keyring.usable() == [key]

    async def test_they_take_no_name_that_is_taken(self, keyring: Keyring) -> None:
        key = await keyring.create_key(ACCOUNT, "", None)
        for name in (key.id, OPERATOR):
            lent = keyring.lend(key, NOW + timedelta(hours=1), key_id=name)
            assert lent.id not in (key.id, OPERATOR)
        again = keyring.lend(key, NOW + timedelta(hours=1), key_id=lent.id)
        assert again.id != lent.id
        assert keyring.find(lent.id) == lent
        assert keyring.find(key.id) == key

    async def test_they_end_with_their_time(self, keyring: Keyring, access: Access, clock: FakeClock) -> None:
        key = await keyring.create_key(ACCOUNT, "", None)
        lent = keyring.lend(key, NOW + timedelta(seconds=60))
        clock.advance(60)
        with pytest.raises(ExpiredTokenException):
            await access.caller(signed(lent))
        keyring.lend(key, NOW + timedelta(hours=1))
        assert keyring.find(lent.id) is None  # and take no room

    async def test_they_end_with_the_key_at_their_root(self, keyring: Keyring) -> None:
        key, other = [await keyring.create_key(ACCOUNT, "", None) for _ in range(2)]
        first = keyring.lend(key, NOW + timedelta(hours=1))
        second = keyring.lend(first, NOW + timedelta(hours=1))
        kept = keyring.lend(other, NOW + timedelta(hours=1))
        await keyring.delete_key(key.id)
        assert [keyring.find(lent.id) for lent in (first, second, kept)] == [None, None, kept]

    async def test_they_end_with_the_account(self, keyring: Keyring) -> None:
        await keyring.create_account(OTHER, "other")
        lent = keyring.lend(await keyring.create_key(OTHER, "", None), NOW + timedelta(hours=1))
        kept = keyring.lend(await keyring.create_key(ACCOUNT, "", None), NOW + timedelta(hours=1))
        await keyring.delete_account(OTHER)
        assert [keyring.find(lent.id), keyring.find(kept.id)] == [None, kept]

    async def test_an_account_has_a_bounded_number_of_them(self, keyring: Keyring) -> None:
        """And takes nobody else's place."""
        await keyring.create_account(OTHER, "other")
        others = keyring.lend(await keyring.create_key(OTHER, "", None), NOW + timedelta(hours=1))
        key = await keyring.create_key(ACCOUNT, "", None)
        lent = [keyring.lend(key, NOW + timedelta(hours=1)).id for _ in range(1001)]
        assert keyring.find(lent[0]) is None
        assert all(keyring.find(name) for name in (*lent[1:], others.id))
