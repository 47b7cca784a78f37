"""Databases for the suites of stores that are kept in one.

A suite runs on every kind of database if its store is made from the fixture `database`:

    class TestSql(ThingStoreContract):
        @pytest.fixture
        def store(self, database: Database) -> ThingStore:
            return SqlThingStore(database)
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection
from tests.support.postgres import PostgresCluster

from lamella.adapters.sql.database import Database
from lamella.adapters.sql.schema import metadata, owner


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest) -> Database:
    """An empty database of each kind."""
    found = request.getfixturevalue(f"{request.param}_database")
    assert isinstance(found, Database)
    return found


@pytest.fixture
def sqlite_database(tmp_path: Path) -> Iterator[Database]:
    """An SQLite file of one test's own."""
    opened = Database.open(tmp_path / "lamella.db")
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def _shared_postgres_database(postgres_cluster: PostgresCluster) -> Iterator[Database]:
    with postgres_cluster.database() as made:
        opened = Database.open(made.url)
        yield opened
        opened.close()


@pytest.fixture
async def postgres_database(_shared_postgres_database: Database) -> Database:
    """One database for all tests, since to make one takes a while; each begins with empty tables."""

    def empty(connection: Connection) -> None:
        for table in reversed(metadata.sorted_tables):
            if table is not owner:
                connection.execute(table.delete())

    await _shared_postgres_database.write(empty)
    return _shared_postgres_database
