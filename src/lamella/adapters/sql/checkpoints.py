"""Checkpoints of event source mappings in a database."""

from collections.abc import Collection, Mapping

from sqlalchemy import Connection, delete, insert, select, update

from lamella.adapters.sql.database import Database
from lamella.adapters.sql.schema import checkpoints
from lamella.ports.records import Document


class SqlCheckpointStore:
    """Implements `lamella.ports.checkpoints.CheckpointStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, mapping: str) -> Mapping[str, Document]:
        """See the port."""
        statement = select(checkpoints.c.shard, checkpoints.c.document).where(checkpoints.c.mapping == mapping)
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return {row.shard: row.document for row in rows}

    async def save(self, mapping: str, documents: Mapping[str, Document]) -> None:
        """See the port."""

        def work(connection: Connection) -> None:
            for shard, document in documents.items():
                place = (checkpoints.c.mapping == mapping, checkpoints.c.shard == shard)
                changed = connection.execute(update(checkpoints).where(*place).values(document=document))
                if not changed.rowcount:
                    row = {"mapping": mapping, "shard": shard, "document": document}
                    connection.execute(insert(checkpoints).values(**row))

        await self._database.write(work)

    async def forget(self, mapping: str, shards: Collection[str] | None = None) -> None:
        """See the port."""
        statement = delete(checkpoints).where(checkpoints.c.mapping == mapping)
        if shards is not None:
            statement = statement.where(checkpoints.c.shard.in_(list(shards)))
        await self._database.write(lambda connection: connection.execute(statement))
