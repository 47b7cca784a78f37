"""Where accounts and their access keys are kept. What a method has returned from is durable."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Account:
    """Whoever functions and layers belong to.

    Attributes:
        id: Twelve digits.
        name: For people.
        created_at: Aware.
    """

    id: str
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class AccessKey:
    """What an account's clients sign with.

    Attributes:
        id: Access key id; unique.
        secret: Kept as it is, since a signature can be verified with nothing less.
        account: Whose it is.
        created_at: Aware.
        description: For people.
        session_token: What requests have to bring along; empty unless the key is temporary.
        expires_at: Aware; None for a key without end.
    """

    id: str
    secret: str = field(repr=False)
    account: str
    created_at: datetime
    description: str = ""
    session_token: str = field(default="", repr=False)
    expires_at: datetime | None = None


class CredentialStore(Protocol):
    """Accounts and access keys."""

    async def add_account(self, account: Account) -> None:
        """Add an account.

        Raises:
            ConflictError: There is one of this number.
        """

    async def accounts(self) -> Sequence[Account]:
        """All accounts, by number."""

    async def delete_account(self, account: str) -> bool:
        """Delete an account with its keys; nothing else that belongs to it. False if it is not there."""

    async def add_key(self, key: AccessKey) -> None:
        """Add a key.

        Raises:
            ConflictError: There is one of this id, or its account is not there.
        """

    async def keys(self) -> Sequence[AccessKey]:
        """All keys, of all accounts, by account and id; those that have expired as well."""

    async def delete_key(self, key: str) -> bool:
        """Delete a key; False if it is not there."""
