"""Who is calling: accounts, their access keys, and whose signature a request has.

Access keys are looked up for every request, so they are held in memory; the store behind them is read once, when the
server starts, and written before a change is seen. One key is in no store: the operator's, which is a file of the data
directory. It opens the pages below `/_lamella/` and no account. Others are lent: keys that STS has given to who signed
with one of an account. They end with the server, as what STS knows of them does.
"""

import asyncio
import base64
import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from lamella.awsapi.sigv4 import (
    SERVICE,
    SKEW_S,
    Claim,
    check_claim,
    is_signed_by,
    mismatch,
    read_claim,
    unknown_client,
)
from lamella.domain.errors import ApiError, ExpiredTokenException
from lamella.httpserver.message import Request
from lamella.ports.clock import Clock
from lamella.ports.credentials import AccessKey, Account, CredentialStore

OPERATOR: Final = "lamella-operator"
"""Access key id of the operator."""

_INLINE_BYTES: Final = 256 * 1024
"""A larger body, some tenths of a millisecond of work, is hashed in a thread: the event loop has others to serve."""

_LENT_MOST: Final = 1000
"""Lent keys of an account; one more, and the oldest ends."""

_DIGITS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose signature a request has.

    Attributes:
        account: Twelve digits; empty for the operator.
        region: What the request was signed for.
        access_key: Id of the access key.
    """

    account: str
    region: str
    access_key: str

    @property
    def is_operator(self) -> bool:
        """Whether it is who runs the server."""
        return not self.account


@dataclass(frozen=True, slots=True)
class _Lent:
    key: AccessKey
    root: str  # the key of the store that it was asked for with, if need be over others


class Keyring:
    """The accounts and access keys of this server.

    Args:
        store: Where they are kept.
        clock: Says when temporary keys have expired.
        operator_secret: Of the operator's key.
    """

    def __init__(self, store: CredentialStore, clock: Clock, operator_secret: str) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._operator: Final = AccessKey(OPERATOR, operator_secret, "", clock.now())
        self._keys: dict[str, AccessKey] = {}
        self._lent: dict[str, _Lent] = {}  # in the order they were made
        # One change at a time, so that memory and store see the same order.
        self._changing: Final = asyncio.Lock()

    async def load(self, default_account: str) -> None:
        """Read the store; call before the first request.

        Args:
            default_account: Is made if it is not there: it is whom keys are for if nothing is said.
        """
        if all(account.id != default_account for account in await self._store.accounts()):
            await self._store.add_account(Account(default_account, "default", self._clock.now()))
        for key in await self._store.keys():
            if self.has_expired(key):
                await self._store.delete_key(key.id)
            else:
                self._keys[key.id] = key

    def find(self, access_key: str) -> AccessKey | None:
        """The key of an id, also if it has expired."""
        if access_key == OPERATOR:
            return self._operator
        lent = self._lent.get(access_key)
        return self._keys.get(access_key) if lent is None else lent.key

    def usable(self) -> Sequence[AccessKey]:
        """All keys that can be used, but the operator's, by account and id."""
        usable = (key for key in self._keys.values() if not self.has_expired(key))
        return sorted(usable, key=lambda key: (key.account, key.id))

    async def accounts(self) -> Sequence[Account]:
        """All accounts, by number."""
        return await self._store.accounts()

    async def create_account(self, account: str | None, name: str) -> Account:
        """Add an account; without a number it gets a random one.

        Raises:
            ConflictError: There is one of this number.
        """
        made = Account(account or f"{1 + secrets.randbelow(10**12 - 1):012}", name, self._clock.now())
        async with self._changing:
            await self._store.add_account(made)
        return made

    async def delete_account(self, account: str) -> bool:
        """Delete an account and its keys; its functions and layers stay. False if it is not there."""
        async with self._changing:
            for key in [key for key in self._keys.values() if key.account == account]:
                del self._keys[key.id]  # first: what cannot be written must not go on opening doors
            self._end_lent(lambda lent: lent.key.account == account)
            return await self._store.delete_account(account)

    async def create_key(self, account: str, description: str, duration_s: int | None) -> AccessKey:
        """Add a key, which is valid at once.

        Args:
            account: Whose.
            description: For people.
            duration_s: For a temporary key with a session token: how long it is valid.

        Raises:
            ConflictError: There is no such account.
        """
        now = self._clock.now()
        key = AccessKey(
            id=_new_id("AKIA" if duration_s is None else "ASIA"),
            secret=_new_secret(),
            account=account,
            created_at=now,
            description=description,
            session_token="" if duration_s is None else _new_token(),
            expires_at=None if duration_s is None else now + timedelta(seconds=duration_s),
        )
        async with self._changing:
            # Temporary keys would pile up otherwise; a key is made seldom.
            for old in [old for old in self._keys.values() if self.has_expired(old)]:
                await self._store.delete_key(old.id)
                del self._keys[old.id]
            await self._store.add_key(key)
            self._keys[key.id] = key
        return key

    async def delete_key(self, key: str) -> bool:
        """Delete a key, which opens nothing from now on; False if it is not there."""
        async with self._changing:
            self._keys.pop(key, None)
            self._end_lent(lambda lent: lent.root == key)
            return await self._store.delete_key(key)

    def lend(self, parent: AccessKey, expires_at: datetime, *, key_id: str | None = None) -> AccessKey:
        """Make a temporary key for the account of another one; it ends with that, or with the server.

        Args:
            parent: What the request for it was signed with.
            expires_at: Aware.
            key_id: What it is called, unless another key is called so.
        """
        if key_id is None or self.find(key_id) is not None:
            key_id = _new_id("ASIA")
        asked_with = self._lent.get(parent.id)
        key = AccessKey(
            key_id,
            _new_secret(),
            parent.account,
            self._clock.now(),
            session_token=_new_token(),
            expires_at=expires_at,
        )
        self._end_lent(lambda lent: self.has_expired(lent.key))
        others = [lent.key.id for lent in self._lent.values() if lent.key.account == key.account]
        if len(others) >= _LENT_MOST:
            del self._lent[others[0]]
        self._lent[key_id] = _Lent(key, parent.id if asked_with is None else asked_with.root)
        return key

    def _end_lent(self, ends: Callable[[_Lent], bool]) -> None:
        self._lent = {name: lent for name, lent in self._lent.items() if not ends(lent)}

    def has_expired(self, key: AccessKey) -> bool:
        """Whether a temporary key's time is over."""
        return key.expires_at is not None and key.expires_at <= self._clock.now()


class Access:
    """Verifies the signatures of requests.

    Args:
        keyring: Whose signatures count.
        clock: What signatures' times are held against.
        required: Whether Lambda's API, and the operator's pages, are for signed requests only.
    """

    def __init__(self, keyring: Keyring, clock: Clock, *, required: bool) -> None:
        self.keyring: Final = keyring
        self.clock: Final = clock
        self.required: Final = required

    def precheck(self, request: Request) -> ApiError | None:
        """What is wrong with a request's signature as far as its head tells, the signature itself aside."""
        try:
            self.claimed(request)
        except ApiError as error:
            return error
        return None

    async def caller(self, request: Request, *, payload_sha256: str | None = None) -> Caller:
        """Who signed a request for Lambda, whose body is complete. Arguments and errors as of `verified`."""
        claim, key = await self.verified(request, payload_sha256=payload_sha256)
        return Caller(key.account, claim.credential.region, key.id)

    async def verified(
        self, request: Request, *, service: str = SERVICE, skew_s: int = SKEW_S, payload_sha256: str | None = None
    ) -> tuple[Claim, AccessKey]:
        """The signature of a request, whose body is complete, and the key that it was made with.

        Args:
            request: The request.
            service: That it is for.
            skew_s: How far a clock may be off.
            payload_sha256: Of a body that was read in pieces, in hexadecimal digits; that of `request.body` if `None`.

        Raises:
            MissingAuthenticationTokenException: It is not signed.
            IncompleteSignatureException: The signature is malformed.
            UnrecognizedClientException: The access key is unknown, or the session token is not its.
            ExpiredTokenException: The key was a temporary one.
            InvalidSignatureException: The signature is not that of the key, or too old, or leaves out too much.
        """
        claim, key = self.claimed(request, service=service, skew_s=skew_s)
        body = request.body
        if payload_sha256 is None:
            payload_sha256 = _sha256(body) if len(body) <= _INLINE_BYTES else await asyncio.to_thread(_sha256, body)
        if not is_signed_by(
            claim,
            key.secret,
            method=request.method,
            path=request.path,
            query=request.query,
            headers=request.headers,
            payload_sha256=payload_sha256,
        ):
            raise mismatch()
        return claim, key

    def claimed(self, request: Request, *, service: str = SERVICE, skew_s: int = SKEW_S) -> tuple[Claim, AccessKey]:
        """As `verified`, but the signature itself is not looked at, so that the body need not have come."""
        claim = read_claim(request.headers, request.query)
        check_claim(claim, request.headers, self.clock.now(), service=service, skew_s=skew_s)
        key = self.keyring.find(claim.credential.access_key)
        if key is None or not has_token(key, claim.session_token):
            raise unknown_client()
        if self.keyring.has_expired(key):
            raise ExpiredTokenException("The security token included in the request is expired")
        return claim, key


def has_token(key: AccessKey, session_token: str) -> bool:
    """Whether it is the key's session token; none, if the key has none."""
    return secrets.compare_digest(key.session_token.encode(), session_token.encode())


def _new_id(kind: str) -> str:
    return kind + "".join(secrets.choice(_DIGITS) for _ in range(16))


def _new_secret() -> str:
    return base64.b64encode(secrets.token_bytes(30)).decode()


def _new_token() -> str:
    return base64.b64encode(secrets.token_bytes(72)).decode()


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
