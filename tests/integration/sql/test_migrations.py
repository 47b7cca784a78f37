"""Databases of earlier versions become what this one would make, on every kind of database."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect, text
from tests.integration.sql.test_database import schema_of
from tests.support.postgres import PostgresCluster

from lamella.adapters.sql import database as module
from lamella.adapters.sql.database import Database, SchemaError
from lamella.adapters.sql.functions import SqlFunctionStore
from lamella.adapters.sql.schema import REVISIONS, metadata
from lamella.domain.function import FunctionKey


@dataclass(frozen=True, slots=True)
class Blank:
    """An empty database: its URL, and what tells its schema in a form that can be compared."""

    url: str
    schema: Callable[[], object]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def blanks(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Blank, Blank]]:
    """Two empty databases."""
    if request.param == "sqlite":
        first, second = (tmp_path / "first.db", tmp_path / "second.db")
        yield (
            Blank(f"sqlite:///{first}", partial(schema_of, first)),
            Blank(f"sqlite:///{second}", partial(schema_of, second)),
        )
        return
    cluster: PostgresCluster = request.getfixturevalue("postgres_cluster")
    with cluster.database() as one, cluster.database() as other:
        yield Blank(one.url, one.schema), Blank(other.url, other.schema)


def execute(url: str, statement: str) -> None:
    """As somebody else would."""
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()


def migrate_to(url: str, revision: str) -> None:
    """Make the schema of an earlier version, by its migrations."""
    empty = Database.open(url)

    def work(connection: Connection) -> None:
        metadata.drop_all(connection)
        connection.execute(text("DELETE FROM alembic_version"))
        module._upgrade(connection, revision)

    module._Task(empty._backend.writer, work, writes=True)()
    empty.close()


def test_every_migration_is_known() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(module.__file__).with_name("migrations")))
    scripts = ScriptDirectory.from_config(config)
    assert tuple(script.revision for script in reversed(list(scripts.walk_revisions()))) == REVISIONS


def test_migrations_lead_to_the_tables(blanks: tuple[Blank, Blank]) -> None:
    created, migrated = blanks
    Database.open(created.url).close()
    migrate_to(migrated.url, "head")
    assert migrated.schema() == created.schema()
    database = Database.open(migrated.url)
    with database._backend.readers.begin() as connection:
        found = compare_metadata(MigrationContext.configure(connection), metadata)
    database.close()
    assert found == []


@pytest.mark.parametrize("revision", REVISIONS[:-1])
def test_every_earlier_schema_is_brought_up_to_date_at_start(blanks: tuple[Blank, Blank], revision: str) -> None:
    created, old = blanks
    Database.open(created.url).close()
    migrate_to(old.url, revision)
    assert old.schema() != created.schema()
    Database.open(old.url).close()
    assert old.schema() == created.schema()


async def test_functions_of_the_first_schema_reserve_nothing(blanks: tuple[Blank, Blank]) -> None:
    """And keep what they had."""
    url = blanks[0].url
    migrate_to(url, "0001")
    columns = "(account, region, name, next_number, tags)"
    execute(url, f"INSERT INTO functions {columns} VALUES ('0', 'r', 'old', 3, '{{\"a\": \"1\"}}')")
    database = Database.open(url)
    store = SqlFunctionStore(database)
    key = FunctionKey("0", "r", "old")
    assert await store.reservations() == {}
    assert await store.tags(key) == {"a": "1"}
    assert await store.reserve(key, 5, at_most=5)
    database.close()


def test_a_newer_schema_is_refused_and_left_alone(blanks: tuple[Blank, Blank]) -> None:
    url, schema = blanks[0].url, blanks[0].schema
    Database.open(url).close()
    execute(url, "UPDATE alembic_version SET version_num = '9999'")
    before = schema()
    with pytest.raises(SchemaError, match=rf"newer Lamella \(schema 9999; this one knows up to {REVISIONS[-1]}\)"):
        Database.open(url)
    assert schema() == before


@pytest.mark.parametrize(
    "statement",
    ["CREATE TABLE theirs (a INTEGER)", "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"],
)
def test_the_tables_of_another_program_are_left_alone(blanks: tuple[Blank, Blank], statement: str) -> None:
    url, schema = blanks[0].url, blanks[0].schema
    execute(url, statement)
    before = schema()
    with pytest.raises(SchemaError, match="not a Lamella database"):
        Database.open(url)
    assert schema() == before


def test_a_migration_that_fails_changes_nothing(blanks: tuple[Blank, Blank], monkeypatch: pytest.MonkeyPatch) -> None:
    """The definition of tables is part of the transaction, on both."""
    url, schema = blanks[0].url, blanks[0].schema
    before = schema()

    def fail(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE half_made (a INTEGER)"))
        assert inspect(connection).has_table("half_made")
        raise RuntimeError("stop")

    monkeypatch.setattr(module, "_create", fail)
    with pytest.raises(RuntimeError, match="stop"):
        Database.open(url)
    assert schema() == before
