"""Layers in a database."""

from dataclasses import replace
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, delete, exists, func, insert, select, update
from sqlalchemy.sql.schema import Table

from lamella.adapters.sql.database import Database
from lamella.adapters.sql.documents import dump_layer_version, load_layer_version
from lamella.adapters.sql.paging import Listing, cut_page, read_marker
from lamella.adapters.sql.schema import layer_labels, layer_versions, layers
from lamella.domain.layer import LayerKey, LayerVersion
from lamella.ports.errors import ConflictError
from lamella.ports.stores import Page

_VERSION: Final = (
    layer_versions.c.account,
    layer_versions.c.region,
    layer_versions.c.name,
    layer_versions.c.number,
    layer_versions.c.document,
)


class SqlLayerStore:
    """Implements `lamella.ports.stores.LayerStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def publish(self, draft: LayerVersion) -> LayerVersion:
        """See the port."""
        document = dump_layer_version(draft)

        def work(connection: Connection) -> int:
            number = _next_number(connection, draft.key)
            _insert(connection, replace(draft, version=number), document)
            return number

        number = await self._database.write(work)
        return load_layer_version(draft.key, number, document)

    async def add(self, version: LayerVersion) -> None:
        """See the port."""
        document = dump_layer_version(version)
        same = exists().where(_is(layer_versions, version.key), layer_versions.c.number == version.version)

        def work(connection: Connection) -> None:
            if connection.execute(select(same)).scalar_one():
                raise ConflictError(f"layer version exists: {version.arn}")
            _keep_number(connection, version.key, version.version)
            _insert(connection, version, document)

        await self._database.write(work)

    async def get(self, key: LayerKey, version: int) -> LayerVersion | None:
        """See the port."""
        if not 0 < version < 2**63:
            return None
        statement = select(*_VERSION).where(_is(layer_versions, key), layer_versions.c.number == version)
        row = await self._database.read(lambda connection: connection.execute(statement).mappings().one_or_none())
        return None if row is None else _load(row)

    async def list_versions(
        self,
        key: LayerKey,
        *,
        limit: int,
        marker: str | None = None,
        runtime: str | None = None,
        architecture: str | None = None,
    ) -> Page[LayerVersion]:
        """See the port."""
        listing: Listing = ("layer versions", key.account, key.region, key.name, runtime, architecture)
        after = read_marker(marker, listing, int)
        statement = (
            select(*_VERSION)
            .where(_is(layer_versions, key), *_declared(runtime, architecture))
            .order_by(layer_versions.c.number.desc())
            .limit(limit + 1)
        )
        if after is not None:
            statement = statement.where(layer_versions.c.number < after[0])
        rows = await self._database.read(lambda connection: connection.execute(statement).mappings().all())
        return cut_page(rows, listing, limit=limit, value=_load, position=lambda row: (row["number"],))

    async def list_layers(
        self,
        account: str,
        region: str,
        *,
        limit: int,
        marker: str | None = None,
        runtime: str | None = None,
        architecture: str | None = None,
    ) -> Page[LayerVersion]:
        """See the port."""
        listing: Listing = ("layers", account, region, runtime, architecture)
        after = read_marker(marker, listing, str)
        here = and_(layer_versions.c.account == account, layer_versions.c.region == region)
        newest = (
            select(layer_versions.c.name, func.max(layer_versions.c.number).label("number"))
            .where(here, *_declared(runtime, architecture))
            .group_by(layer_versions.c.name)
        )
        if after is not None:
            newest = newest.where(layer_versions.c.name > after[0])
        first = newest.order_by(layer_versions.c.name).limit(limit + 1).subquery()
        same = and_(layer_versions.c.name == first.c.name, layer_versions.c.number == first.c.number)
        statement = select(*_VERSION).join(first, same).where(here).order_by(layer_versions.c.name)
        rows = await self._database.read(lambda connection: connection.execute(statement).mappings().all())
        return cut_page(rows, listing, limit=limit, value=_load, position=lambda row: (row["name"],))

    async def delete(self, key: LayerKey, version: int) -> bool:
        """See the port."""
        if not 0 < version < 2**63:
            return False
        statement = delete(layer_versions).where(_is(layer_versions, key), layer_versions.c.number == version)
        return await self._database.write(lambda connection: connection.execute(statement).rowcount > 0)

    async def usage(self, account: str, region: str) -> int:
        """See the port."""
        statement = select(func.coalesce(func.sum(layer_versions.c.size_bytes), 0)).where(
            layer_versions.c.account == account, layer_versions.c.region == region
        )
        return await self._database.read(lambda connection: int(connection.execute(statement).scalar_one()))

    async def digests(self) -> frozenset[str]:
        """See the port."""
        statement = select(layer_versions.c.digest).distinct()
        return await self._database.read(lambda connection: frozenset(connection.execute(statement).scalars()))


def _next_number(connection: Connection, key: LayerKey) -> int:
    """Allot a number; the first publisher of a layer makes its counter."""
    allot = (
        update(layers)
        .where(_is(layers, key))
        .values(next_number=layers.c.next_number + 1)
        .returning(layers.c.next_number)
    )
    following = connection.execute(allot).scalar_one_or_none()
    if following is None:
        connection.execute(
            insert(layers), {"account": key.account, "region": key.region, "name": key.name, "next_number": 2}
        )
        return 1
    return int(following) - 1


def _keep_number(connection: Connection, key: LayerKey, number: int) -> None:
    """Let no later version get a number up to this one."""
    following = connection.execute(select(layers.c.next_number).where(_is(layers, key))).scalar_one_or_none()
    if following is None:
        row = {"account": key.account, "region": key.region, "name": key.name, "next_number": number + 1}
        connection.execute(insert(layers), row)
    elif following <= number:
        connection.execute(update(layers).where(_is(layers, key)).values(next_number=number + 1))


def _insert(connection: Connection, version: LayerVersion, document: dict[str, Any]) -> None:
    key = {"account": version.key.account, "region": version.key.region, "name": version.key.name}
    row = {
        **key,
        "number": version.version,
        "digest": version.artifact.digest,
        "size_bytes": version.artifact.size_bytes,
        "document": document,
    }
    connection.execute(insert(layer_versions), row)
    labels = {*(("runtime", label) for label in version.runtimes)}
    labels |= {*(("architecture", label) for label in version.architectures)}
    if labels:
        rows = [{**key, "number": version.version, "kind": kind, "label": label} for kind, label in sorted(labels)]
        connection.execute(insert(layer_labels), rows)


def _is(table: Table, key: LayerKey) -> ColumnElement[bool]:
    return and_(table.c.account == key.account, table.c.region == key.region, table.c.name == key.name)


def _declared(runtime: str | None, architecture: str | None) -> list[ColumnElement[bool]]:
    wanted = [("runtime", runtime), ("architecture", architecture)]
    return [
        exists().where(
            layer_labels.c.account == layer_versions.c.account,
            layer_labels.c.region == layer_versions.c.region,
            layer_labels.c.name == layer_versions.c.name,
            layer_labels.c.number == layer_versions.c.number,
            layer_labels.c.kind == kind,
            layer_labels.c.label == label,
        )
        for kind, label in wanted
        if label is not None
    ]


def _load(row: RowMapping) -> LayerVersion:
    return load_layer_version(LayerKey(row["account"], row["region"], row["name"]), row["number"], row["document"])
