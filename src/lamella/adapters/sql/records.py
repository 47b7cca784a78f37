"""Configuration documents in a database."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, delete, insert, select, tuple_, update
from sqlalchemy.sql.schema import Table

from lamella.adapters.sql.database import Database
from lamella.adapters.sql.paging import Listing, cut_page, read_marker
from lamella.adapters.sql.schema import account_records, function_records
from lamella.domain.function import FunctionKey
from lamella.ports.records import WHOLE, AccountRecord, Change, Document, FunctionRecord
from lamella.ports.stores import Page

_Columns = dict[str, Any]  # Any: parameters of a statement


class SqlFunctionRecordStore:
    """Implements `lamella.ports.records.FunctionRecordStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, key: FunctionKey, kind: str, qualifier: str = WHOLE) -> Document | None:
        """See the port."""
        place = _of_function(key, kind, qualifier)
        return await self._database.read(lambda connection: _read(connection, function_records, place))

    async def put(self, key: FunctionKey, kind: str, document: Document, qualifier: str = WHOLE) -> None:
        """See the port. That the function is gone is what the foreign key says."""
        await self.change(key, kind, lambda _: document, qualifier)

    async def change(self, key: FunctionKey, kind: str, change: Change, qualifier: str = WHOLE) -> Document | None:
        """See the port."""
        place = _of_function(key, kind, qualifier)
        return await self._database.write(lambda connection: _change(connection, function_records, place, change))

    async def delete(self, key: FunctionKey, kind: str, qualifier: str = WHOLE) -> bool:
        """See the port."""
        statement = delete(function_records).where(_at(function_records, _of_function(key, kind, qualifier)))
        return await self._database.write(lambda connection: connection.execute(statement).rowcount > 0)

    async def delete_qualifier(self, key: FunctionKey, qualifier: str) -> None:
        """See the port."""
        place = {"account": key.account, "region": key.region, "name": key.name, "qualifier": qualifier}
        statement = delete(function_records).where(_at(function_records, place))
        await self._database.write(lambda connection: connection.execute(statement))

    async def list_function(
        self, key: FunctionKey, kind: str, *, limit: int, marker: str | None = None, where: Mapping[str, str] = {}
    ) -> Page[FunctionRecord]:
        """See the port."""
        scope = {"account": key.account, "region": key.region, "name": key.name, "kind": kind}
        return await self._page(scope, where, limit, marker)

    async def list_account(
        self,
        account: str,
        region: str,
        kind: str,
        *,
        limit: int,
        marker: str | None = None,
        where: Mapping[str, str] = {},
    ) -> Page[FunctionRecord]:
        """See the port."""
        return await self._page({"account": account, "region": region, "kind": kind}, where, limit, marker)

    async def every(self, kind: str) -> Sequence[FunctionRecord]:
        """See the port."""
        statement = select(function_records).where(function_records.c.kind == kind)
        rows = await self._database.read(lambda connection: connection.execute(statement).mappings().all())
        return [_function_record(row) for row in rows]

    async def _page(
        self, scope: _Columns, where: Mapping[str, str], limit: int, marker: str | None
    ) -> Page[FunctionRecord]:
        table = function_records
        listing = _listing(table, scope, where)
        after = read_marker(marker, listing, str, str)
        order = (table.c.name, table.c.qualifier)
        statement = select(table).where(_at(table, scope), *_holds(table, where)).order_by(*order).limit(limit + 1)
        if after is not None:
            statement = statement.where(tuple_(*order) > after)
        rows = await self._database.read(lambda connection: connection.execute(statement).mappings().all())
        return cut_page(
            rows,
            listing,
            limit=limit,
            value=_function_record,
            position=lambda row: (row["name"], row["qualifier"]),
        )


class SqlAccountRecordStore:
    """Implements `lamella.ports.records.AccountRecordStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, account: str, region: str, kind: str, id_: str) -> Document | None:
        """See the port."""
        place = _of_account(account, region, kind, id_)
        return await self._database.read(lambda connection: _read(connection, account_records, place))

    async def put(self, account: str, region: str, kind: str, id_: str, document: Document) -> None:
        """See the port."""
        await self.change(account, region, kind, id_, lambda _: document)

    async def change(self, account: str, region: str, kind: str, id_: str, change: Change) -> Document | None:
        """See the port."""
        place = _of_account(account, region, kind, id_)
        return await self._database.write(lambda connection: _change(connection, account_records, place, change))

    async def delete(self, account: str, region: str, kind: str, id_: str) -> bool:
        """See the port."""
        statement = delete(account_records).where(_at(account_records, _of_account(account, region, kind, id_)))
        return await self._database.write(lambda connection: connection.execute(statement).rowcount > 0)

    async def list(
        self,
        account: str,
        region: str,
        kind: str,
        *,
        limit: int,
        marker: str | None = None,
        where: Mapping[str, str] = {},
    ) -> Page[AccountRecord]:
        """See the port."""
        table = account_records
        scope = {"account": account, "region": region, "kind": kind}
        listing = _listing(table, scope, where)
        after = read_marker(marker, listing, str)
        statement = select(table).where(_at(table, scope), *_holds(table, where)).order_by(table.c.id).limit(limit + 1)
        if after is not None:
            statement = statement.where(table.c.id > after[0])
        rows = await self._database.read(lambda connection: connection.execute(statement).mappings().all())
        return cut_page(rows, listing, limit=limit, value=_account_record, position=lambda row: (row["id"],))

    async def every(self, kind: str) -> Sequence[AccountRecord]:
        """See the port."""
        statement = select(account_records).where(account_records.c.kind == kind)
        rows = await self._database.read(lambda connection: connection.execute(statement).mappings().all())
        return [_account_record(row) for row in rows]


def _of_function(key: FunctionKey, kind: str, qualifier: str) -> _Columns:
    return {"account": key.account, "region": key.region, "name": key.name, "kind": kind, "qualifier": qualifier}


def _of_account(account: str, region: str, kind: str, id_: str) -> _Columns:
    return {"account": account, "region": region, "kind": kind, "id": id_}


def _at(table: Table, place: _Columns) -> ColumnElement[bool]:
    return and_(*(table.c[column] == value for column, value in place.items()))


def _holds(table: Table, where: Mapping[str, str]) -> list[ColumnElement[bool]]:
    return [table.c.document[member].as_string() == value for member, value in where.items()]


def _listing(table: Table, scope: _Columns, where: Mapping[str, str]) -> Listing:
    members = [text for item in sorted(where.items()) for text in item]
    return (table.name, *(f"{column}={value}" for column, value in scope.items()), *members)


def _read(connection: Connection, table: Table, place: _Columns) -> Document | None:
    found: Document | None = connection.execute(select(table.c.document).where(_at(table, place))).scalar_one_or_none()
    return found


def _change(connection: Connection, table: Table, place: _Columns, change: Change) -> Document | None:
    before = _read(connection, table, place)
    after = change(before)
    if after is None:
        connection.execute(delete(table).where(_at(table, place)))
    elif before is None:
        connection.execute(insert(table), {**place, "document": dict(after)})
    else:
        connection.execute(update(table).where(_at(table, place)).values(document=dict(after)))
    return after


def _function_record(row: RowMapping) -> FunctionRecord:
    key = FunctionKey(row["account"], row["region"], row["name"])
    return FunctionRecord(key, row["kind"], row["qualifier"], row["document"])


def _account_record(row: RowMapping) -> AccountRecord:
    return AccountRecord(row["account"], row["region"], row["kind"], row["id"], row["document"])
