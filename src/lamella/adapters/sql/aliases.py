"""Aliases in a database."""

from typing import Any, Final

from sqlalchemy import Connection, RowMapping, delete, insert, or_, select, update

from lamella.adapters.sql.database import Database
from lamella.adapters.sql.documents import dump_alias, load_alias
from lamella.adapters.sql.functions import key_columns, of_function, version_number
from lamella.adapters.sql.paging import Listing, cut_page, read_marker
from lamella.adapters.sql.schema import aliases, function_records
from lamella.domain.alias import Alias
from lamella.domain.function import FunctionKey
from lamella.ports.errors import ConflictError
from lamella.ports.stores import Page

_NONE: Final = -1  # the number of no version


class SqlAliasStore:
    """Implements `lamella.ports.stores.AliasStore`. The schema sees to it that versions exist."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, alias: Alias) -> None:
        """See the port."""
        row = {**key_columns(alias.key), "alias": alias.name, **_columns(alias)}
        await self._database.write(lambda connection: connection.execute(insert(aliases), row))

    async def get(self, key: FunctionKey, name: str) -> Alias | None:
        """See the port."""
        statement = select(aliases).where(of_function(aliases, key), aliases.c.alias == name)
        row = await self._database.read(lambda connection: connection.execute(statement).mappings().one_or_none())
        return None if row is None else _load(row)

    async def replace(self, changed: Alias, *, expected_revision_id: str) -> None:
        """See the port."""
        statement = (
            update(aliases)
            .where(of_function(aliases, changed.key), aliases.c.alias == changed.name)
            .where(aliases.c.revision_id == expected_revision_id)
            .values(_columns(changed))
        )
        if not await self._database.write(lambda connection: connection.execute(statement).rowcount):
            raise ConflictError(f"gone or changed: {changed.arn}")

    async def list_aliases(
        self, key: FunctionKey, *, limit: int, marker: str | None = None, version: str | None = None
    ) -> Page[Alias]:
        """See the port."""
        listing: Listing = ("aliases", key.account, key.region, key.name, version)
        after = read_marker(marker, listing, str)
        statement = select(aliases).where(of_function(aliases, key)).order_by(aliases.c.alias).limit(limit + 1)
        if version is not None:
            number = _number(version)
            statement = statement.where(or_(aliases.c.number == number, aliases.c.additional_number == number))
        if after is not None:
            statement = statement.where(aliases.c.alias > after[0])
        rows = await self._database.read(lambda connection: connection.execute(statement).mappings().all())
        return cut_page(rows, listing, limit=limit, value=_load, position=lambda row: (row["alias"],))

    async def delete(self, key: FunctionKey, name: str) -> bool:
        """See the port."""
        statement = delete(aliases).where(of_function(aliases, key), aliases.c.alias == name)
        its_own = delete(function_records).where(
            of_function(function_records, key), function_records.c.qualifier == name
        )

        def work(connection: Connection) -> bool:
            deleted = connection.execute(statement).rowcount > 0
            if deleted:  # it may be the number of a version
                connection.execute(its_own)
            return deleted

        return await self._database.write(work)


def _number(version: str) -> int:
    number = version_number(version)
    return _NONE if number is None else number


def _columns(alias: Alias) -> dict[str, Any]:  # Any: parameters of a statement
    return {
        "number": _number(alias.version),
        "additional_number": None if alias.route is None else _number(alias.route.version),
        "revision_id": alias.revision_id,
        "document": dump_alias(alias),
    }


def _load(row: RowMapping) -> Alias:
    return load_alias(
        FunctionKey(row["account"], row["region"], row["name"]),
        row["alias"],
        (row["number"], row["additional_number"]),
        row["revision_id"],
        row["document"],
    )
