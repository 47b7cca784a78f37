"""Functions in a database."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, delete, func, insert, select, tuple_, update
from sqlalchemy.sql.schema import Table

from lamella.adapters.sql.database import Database
from lamella.adapters.sql.documents import dump_function_version, load_function_version
from lamella.adapters.sql.paging import Listing, cut_page, read_marker
from lamella.adapters.sql.schema import function_artifacts, function_records, function_versions, functions
from lamella.domain.function import (
    LATEST,
    NO_ARCHIVE,
    Architecture,
    FunctionKey,
    FunctionVersion,
    LastUpdateStatus,
    State,
)
from lamella.domain.image import IMAGE
from lamella.domain.image_code import images_of
from lamella.domain.runtimes import UPDATE_RUNTIME_ON, kept_runtime
from lamella.ports.errors import ConflictError
from lamella.ports.stores import Page

_VERSION: Final = (
    function_versions.c.account,
    function_versions.c.region,
    function_versions.c.name,
    function_versions.c.number,
    function_versions.c.revision_id,
    function_versions.c.document,
)
_ANY_NUMBER: Final = 10**18


class SqlFunctionStore:
    """Implements `lamella.ports.stores.FunctionStore`.

    The accounts of a database are kept apart by every statement's condition on the key.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, latest: FunctionVersion, tags: Mapping[str, str]) -> None:
        """See the port."""
        row = {**key_columns(latest.key), "next_number": 1, "tags": dict(tags)}

        def work(connection: Connection) -> None:
            connection.execute(insert(functions), row)
            _insert_version(connection, latest, 0)

        await self._database.write(work)

    async def get(self, key: FunctionKey, version: str = LATEST) -> FunctionVersion | None:
        """See the port."""
        number = version_number(version)
        if number is None:
            return None
        statement = select(*_VERSION).where(of_function(function_versions, key), function_versions.c.number == number)
        row = await self._database.read(lambda connection: connection.execute(statement).mappings().one_or_none())
        return None if row is None else _load(row)

    async def replace(self, changed: FunctionVersion, *, expected_revision_id: str) -> None:
        """See the port."""
        number = version_number(changed.version)
        where = and_(
            of_function(function_versions, changed.key),
            function_versions.c.number == number,
            function_versions.c.revision_id == expected_revision_id,
        )
        statement = update(function_versions).where(where).values(_version_columns(changed))

        def work(connection: Connection) -> None:
            if number is None or connection.execute(statement).rowcount == 0:
                raise ConflictError(f"gone or changed: {changed.key.arn(changed.version)}")
            of_version = and_(of_function(function_artifacts, changed.key), function_artifacts.c.number == number)
            connection.execute(delete(function_artifacts).where(of_version))
            _insert_artifacts(connection, changed, number)

        await self._database.write(work)

    async def publish(self, snapshot: FunctionVersion) -> FunctionVersion:
        """See the port."""
        statement = (
            update(functions)
            .where(of_function(functions, snapshot.key))
            .values(next_number=functions.c.next_number + 1)
            .returning(functions.c.next_number)
        )

        def work(connection: Connection) -> int:
            following = connection.execute(statement).scalar_one_or_none()
            if following is None:
                raise ConflictError(f"no such function: {snapshot.key.arn()}")
            number = int(following) - 1
            _insert_version(connection, snapshot, number)
            return number

        number = await self._database.write(work)
        row = dump_function_version(snapshot)
        return load_function_version(snapshot.key, number, snapshot.revision_id, row)

    async def list_functions(
        self, account: str, region: str, *, all_versions: bool, limit: int, marker: str | None = None
    ) -> Page[FunctionVersion]:
        """See the port."""
        listing: Listing = ("functions", account, region, all_versions)
        position = tuple_(function_versions.c.name, function_versions.c.number)
        after = read_marker(marker, listing, str, int)
        where = [function_versions.c.account == account, function_versions.c.region == region]
        if not all_versions:
            where.append(function_versions.c.number == 0)
        if after is not None:
            where.append(position > after)
        return await self._page(listing, where, limit)

    async def list_versions(self, key: FunctionKey, *, limit: int, marker: str | None = None) -> Page[FunctionVersion]:
        """See the port."""
        listing: Listing = ("versions", key.account, key.region, key.name)
        after = read_marker(marker, listing, str, int)
        where = [of_function(function_versions, key)]
        if after is not None:
            where.append(function_versions.c.number > after[1])
        return await self._page(listing, where, limit)

    async def delete(self, key: FunctionKey, version: str | None = None) -> bool:
        """See the port. `$LATEST` is not deleted on its own."""
        if version is None:
            whole = delete(functions).where(of_function(functions, key))  # the rest goes with it, by cascade
            return await self._database.write(lambda connection: connection.execute(whole).rowcount > 0)
        number = version_number(version)
        if not number:
            return False
        one = delete(function_versions).where(of_function(function_versions, key), function_versions.c.number == number)
        # Without a foreign key: a qualifier may be an alias as well.
        its_own = delete(function_records).where(
            of_function(function_records, key), function_records.c.qualifier == version
        )

        def work(connection: Connection) -> bool:
            connection.execute(its_own)
            return connection.execute(one).rowcount > 0

        return await self._database.write(work)

    async def tags(self, key: FunctionKey) -> Mapping[str, str] | None:
        """See the port."""
        statement = select(functions.c.tags).where(of_function(functions, key))
        row = await self._database.read(lambda connection: connection.execute(statement).mappings().one_or_none())
        return None if row is None else dict(row["tags"])

    async def set_tags(self, key: FunctionKey, tags: Mapping[str, str]) -> None:
        """See the port."""
        statement = update(functions).where(of_function(functions, key)).values(tags=dict(tags))
        if not await self._database.write(lambda connection: connection.execute(statement).rowcount):
            raise ConflictError(f"no such function: {key.arn()}")

    async def reserve(self, key: FunctionKey, executions: int | None, *, at_most: int) -> bool:
        """See the port."""
        others = select(func.coalesce(func.sum(functions.c.reserved_executions), 0)).where(
            functions.c.account == key.account, functions.c.region == key.region, functions.c.name != key.name
        )
        exists = select(func.count()).where(of_function(functions, key))
        statement = update(functions).where(of_function(functions, key)).values(reserved_executions=executions)

        def work(connection: Connection) -> bool:
            if not connection.execute(exists).scalar_one():
                raise ConflictError(f"no such function: {key.arn()}")
            if executions is not None and int(connection.execute(others).scalar_one()) + executions > at_most:
                return False
            connection.execute(statement)
            return True

        return await self._database.write(work)

    async def reservation(self, key: FunctionKey) -> int | None:
        """See the port."""
        statement = select(functions.c.reserved_executions).where(of_function(functions, key))
        return await self._database.read(lambda connection: connection.execute(statement).scalar_one_or_none())

    async def reservations(self) -> Mapping[FunctionKey, int]:
        """See the port."""
        columns = (functions.c.account, functions.c.region, functions.c.name, functions.c.reserved_executions)
        statement = select(*columns).where(functions.c.reserved_executions.is_not(None))
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return {FunctionKey(account, region, name): int(executions) for account, region, name, executions in rows}

    async def tagged(self, tag: str) -> Mapping[FunctionKey, str]:
        """See the port."""
        # Read as a whole, because databases differ in how they look into JSON. Asked once, at the start of a server.
        statement = select(functions.c.account, functions.c.region, functions.c.name, functions.c.tags)
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return {FunctionKey(account, region, name): tags[tag] for account, region, name, tags in rows if tag in tags}

    async def kept_runtimes(self) -> frozenset[str]:
        """See the port."""
        kept = function_versions.c.document["config", "other", UPDATE_RUNTIME_ON].as_string().is_not(None)
        statement = select(*_VERSION).where(kept)
        rows = await self._database.read(lambda connection: connection.execute(statement).mappings().all())
        digests = {kept_runtime(_load(row).config) for row in rows}
        return frozenset(digest for digest in digests if digest is not None)

    async def users_of(self, runtime: str, architecture: Architecture) -> Sequence[tuple[FunctionKey, str]]:
        """See the port."""
        has = function_versions.c.document["config", "runtime"].as_string() == runtime
        statement = select(*_VERSION).where(has).order_by(*_VERSION[:4])
        rows = await self._database.read(lambda connection: connection.execute(statement).mappings().all())
        versions = [_load(row) for row in rows]
        return [(one.key, one.version) for one in versions if one.config.architecture is architecture]

    async def unsettled(self) -> Sequence[FunctionVersion]:
        """See the port."""
        statement = select(*_VERSION).where(~function_versions.c.settled)
        rows = await self._database.read(lambda connection: connection.execute(statement).mappings().all())
        return [_load(row) for row in rows]

    async def usage(self, account: str, region: str) -> tuple[int, int]:
        """See the port."""
        count = select(func.count()).where(functions.c.account == account, functions.c.region == region)
        size = select(func.coalesce(func.sum(function_versions.c.size_bytes), 0)).where(
            function_versions.c.account == account, function_versions.c.region == region
        )
        return await self._database.read(
            lambda connection: (int(connection.execute(count).scalar_one()), int(connection.execute(size).scalar_one()))
        )

    async def digests(self) -> frozenset[str]:
        """See the port."""
        statement = select(function_artifacts.c.digest).distinct()
        return await self._database.read(lambda connection: frozenset(connection.execute(statement).scalars()))

    async def images(self) -> Mapping[str, str]:
        """See the port."""
        of_image = function_versions.c.document["config", "package_type"].as_string() == IMAGE
        statement = select(*_VERSION).where(of_image)
        rows = await self._database.read(lambda connection: connection.execute(statement).mappings().all())
        return {digest: uri for row in rows for digest, uri in images_of(_load(row)).items()}

    async def _page(self, listing: Listing, where: list[ColumnElement[bool]], limit: int) -> Page[FunctionVersion]:
        order = (function_versions.c.name, function_versions.c.number)
        statement = select(*_VERSION).where(*where).order_by(*order).limit(limit + 1)
        rows = await self._database.read(lambda connection: connection.execute(statement).mappings().all())
        return cut_page(rows, listing, limit=limit, value=_load, position=lambda row: (row["name"], row["number"]))


def key_columns(key: FunctionKey) -> dict[str, Any]:  # Any: parameters of a statement
    return {"account": key.account, "region": key.region, "name": key.name}


def of_function(table: Table, key: FunctionKey) -> ColumnElement[bool]:
    return and_(table.c.account == key.account, table.c.region == key.region, table.c.name == key.name)


def version_number(version: str) -> int | None:
    """`$LATEST` is 0; `None` for what is no version, such as an alias or `01`."""
    if version == LATEST:
        return 0
    if not version.isascii() or not version.isdigit() or version.startswith("0"):
        return None
    return min(int(version[:19]), _ANY_NUMBER)


def _version_columns(version: FunctionVersion) -> dict[str, Any]:  # Any: parameters of a statement
    pending = version.state is State.PENDING or version.update_status is LastUpdateStatus.IN_PROGRESS
    return {
        "revision_id": version.revision_id,
        "settled": not pending,
        "size_bytes": version.artifact.size_bytes,
        "document": dump_function_version(version),
    }


def _insert_version(connection: Connection, version: FunctionVersion, number: int) -> None:
    row = {**key_columns(version.key), "number": number, **_version_columns(version)}
    connection.execute(insert(function_versions), row)
    _insert_artifacts(connection, version, number)


def _insert_artifacts(connection: Connection, version: FunctionVersion, number: int) -> None:
    digests = {version.artifact.digest, *(layer.artifact.digest for layer in version.config.layers)} - {NO_ARCHIVE}
    rows = [{**key_columns(version.key), "number": number, "digest": digest} for digest in sorted(digests)]
    if rows:
        connection.execute(insert(function_artifacts), rows)


def _load(row: RowMapping) -> FunctionVersion:
    return load_function_version(
        FunctionKey(row["account"], row["region"], row["name"]), row["number"], row["revision_id"], row["document"]
    )
