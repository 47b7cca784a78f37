"""Accounts and access keys in a database."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.sql.base import Executable

from lamella.adapters.sql.database import Database
from lamella.adapters.sql.schema import access_keys, accounts
from lamella.ports.credentials import AccessKey, Account


class SqlCredentialStore:
    """Implements `lamella.ports.credentials.CredentialStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_account(self, account: Account) -> None:
        """See the port."""
        row = {"id": account.id, "name": account.name, "created_at": _text(account.created_at)}
        await self._database.write(lambda connection: connection.execute(insert(accounts), row))

    async def accounts(self) -> Sequence[Account]:
        """See the port."""
        rows = await self._rows(select(accounts).order_by(accounts.c.id))
        return [Account(row["id"], row["name"], _time(row["created_at"])) for row in rows]

    async def delete_account(self, account: str) -> bool:
        """See the port."""
        return await self._delete(delete(accounts).where(accounts.c.id == account))

    async def add_key(self, key: AccessKey) -> None:
        """See the port."""
        row = {
            "id": key.id,
            "secret": key.secret,
            "account": key.account,
            "created_at": _text(key.created_at),
            "description": key.description,
            "session_token": key.session_token,
            "expires_at": None if key.expires_at is None else _text(key.expires_at),
        }
        await self._database.write(lambda connection: connection.execute(insert(access_keys), row))

    async def keys(self) -> Sequence[AccessKey]:
        """See the port."""
        rows = await self._rows(select(access_keys).order_by(access_keys.c.account, access_keys.c.id))
        return [
            AccessKey(
                row["id"],
                row["secret"],
                row["account"],
                _time(row["created_at"]),
                row["description"],
                row["session_token"],
                None if row["expires_at"] is None else _time(row["expires_at"]),
            )
            for row in rows
        ]

    async def delete_key(self, key: str) -> bool:
        """See the port."""
        return await self._delete(delete(access_keys).where(access_keys.c.id == key))

    async def _rows(self, statement: Executable) -> Sequence[Any]:  # Any: columns of several types
        return await self._database.read(lambda connection: connection.execute(statement).mappings().all())

    async def _delete(self, statement: Executable) -> bool:
        def work(connection: Connection) -> bool:
            return connection.execute(statement).rowcount > 0

        return await self._database.write(work)


def _text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat()


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
