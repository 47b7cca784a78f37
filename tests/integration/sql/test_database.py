"""The database on a real disk: schema, durability, and several writers at once."""

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, select, text

from lamella.adapters.sql import database as module
from lamella.adapters.sql.database import Database, SchemaError
from lamella.adapters.sql.functions import SqlFunctionStore
from lamella.adapters.sql.layers import SqlLayerStore
from lamella.adapters.sql.schema import REVISIONS, functions
from lamella.domain.function import Artifact, FunctionConfig, FunctionKey, FunctionVersion
from lamella.domain.layer import LayerKey, LayerVersion
from lamella.invoke.eager import drive
from lamella.ports.errors import ConflictError, UnavailableError

LAYER = LayerVersion(
    LayerKey("000000000000", "us-east-1", "l"), 0, Artifact("a" * 64, "a=", 1, 2), datetime(2026, 5, 17, tzinfo=UTC)
)
FUNCTION = FunctionVersion(
    FunctionKey("000000000000", "us-east-1", "f"),
    "$LATEST",
    Artifact("a" * 64, "a=", 1, 2),
    FunctionConfig(role="r", runtime="python3.11", handler="m.h"),
    "rev",
    datetime(2026, 5, 17, tzinfo=UTC),
)

# Publishes layer versions for ever, and prints the number of each once it is accepted.
PUBLISHER = """
import asyncio, sys
from lamella.adapters.sql.database import Database
from lamella.adapters.sql.layers import SqlLayerStore
from tests.integration.sql.test_database import LAYER

async def main():
    store = SqlLayerStore(Database.open(sys.argv[1]))
    while True:
        print((await store.publish(LAYER)).version, flush=True)

asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lamella.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    opened = Database.open(path)
    yield opened
    opened.close()


def schema_of(path: Path) -> set[tuple[str, str, str]]:
    """All that SQLite knows of tables and indexes, but for white space."""
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    connection.close()
    return {(kind, name, "".join(sql.split())) for kind, name, sql in rows}


async def test_an_older_database_is_brought_up_to_date_at_start(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a revision before the first: what is done for every one that comes after it."""
    Database.open(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0000'")
    connection.close()
    upgraded: list[str] = []

    def upgrade(connection: Connection) -> None:
        upgraded.append(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())

    monkeypatch.setattr(module, "REVISIONS", ("0000", *REVISIONS))
    monkeypatch.setattr(module, "_upgrade", upgrade)
    Database.open(path).close()
    assert upgraded == ["0000"]


def test_opening_imports_neither_alembic_nor_other_dialects(path: Path) -> None:
    program = (
        "import sys; from lamella.adapters.sql.database import Database; "
        "Database.open(sys.argv[1]).close(); Database.open(sys.argv[1]).close(); "
        "print({'alembic', 'psycopg', 'sqlalchemy.orm', 'sqlalchemy.dialects.postgresql'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_refuses_a_newer_schema_and_leaves_it_alone(path: Path) -> None:
    Database.open(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(SchemaError, match=rf"newer Lamella \(schema 9999; this one knows up to {REVISIONS[-1]}\)"):
        Database.open(path)
    assert path.read_bytes() == before


def test_refuses_what_is_no_database(path: Path) -> None:
    path.write_bytes(b"something else entirely\n" * 500)
    with pytest.raises(UnavailableError, match="not a database"):
        Database.open(path)
    assert path.read_bytes() == b"something else entirely\n" * 500


@pytest.mark.parametrize("where", ["missing/lamella.db", "."])
def test_says_what_is_wrong_with_its_path(tmp_path: Path, where: str) -> None:
    with pytest.raises(UnavailableError, match=r"No such file|Is a directory"):
        Database.open(tmp_path / where)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_refuses_to_forget(url: str) -> None:
    with pytest.raises(UnavailableError, match="needs a file"):
        Database.open(url)


async def test_is_durable_and_private(database: Database, path: Path) -> None:
    def settings(connection: Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys")
        return [connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in names]

    full = 2
    assert await database.read(settings) == ["wal", full, 1]
    assert await database.write(settings) == ["wal", full, 1]
    await SqlLayerStore(database).publish(LAYER)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {"lamella.db": 0o600, "lamella.db-wal": 0o600, "lamella.db-shm": 0o600}


async def test_takes_a_url(path: Path) -> None:
    first = Database.open(f"sqlite:///{path}")
    await SqlLayerStore(first).publish(LAYER)
    first.close()
    second = Database.open(path)
    assert await SqlLayerStore(second).get(LAYER.key, 1) is not None
    second.close()


async def test_answers_who_runs_without_a_task(database: Database) -> None:
    """As invocations do."""
    answers: asyncio.Queue[BaseException | None] = asyncio.Queue()
    found: list[int] = []

    async def ask() -> None:
        found.append(await database.read(lambda connection: connection.execute(text("SELECT 1")).scalar_one()))

    drive(ask(), answers.put_nowait)
    assert await answers.get() is None
    assert found == [1]


async def test_a_failed_transaction_leaves_nothing(database: Database) -> None:
    row = {"account": "a", "region": "r", "name": "n", "next_number": 1, "tags": {}}

    def work(connection: Connection) -> None:
        connection.execute(insert(functions), row)
        raise KeyError("stop")

    with pytest.raises(KeyError):
        await database.write(work)
    assert await database.read(lambda connection: connection.execute(select(functions)).all()) == []
    await database.write(lambda connection: connection.execute(insert(functions), row).rowcount)
    with pytest.raises(ConflictError):
        await database.write(lambda connection: connection.execute(insert(functions), row).rowcount)


async def test_a_reader_sees_one_state(database: Database) -> None:
    """A listing is not torn by what is committed while it is read."""
    store = SqlLayerStore(database)
    await store.publish(LAYER)
    statement = text("SELECT count(*) FROM layer_versions")
    loop = asyncio.get_running_loop()

    def work(connection: Connection) -> tuple[int, int]:
        before = connection.execute(statement).scalar_one()
        asyncio.run_coroutine_threadsafe(store.publish(LAYER), loop).result()
        return before, connection.execute(statement).scalar_one()

    assert await database.read(work) == (1, 1)
    assert await database.read(lambda connection: connection.execute(statement).scalar_one()) == 2


async def test_numbers_are_unique_among_concurrent_publishers(database: Database, path: Path) -> None:
    """Of one process and of two: the database keeps them apart, not only the writer's thread."""
    other = Database.open(path)
    stores = [SqlLayerStore(database), SqlLayerStore(other)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(stores[turn % 2].publish(LAYER)) for turn in range(60)]
    assert sorted(task.result().version for task in tasks) == list(range(1, 61))
    other.close()


async def test_one_of_several_creators_and_replacers_wins(database: Database) -> None:
    store = SqlFunctionStore(database)

    async def wins(attempt: int) -> bool:
        try:
            await store.create(FUNCTION, {"attempt": str(attempt)})
        except ConflictError:
            return False
        return True

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(wins(attempt)) for attempt in range(10)]
    assert sum(task.result() for task in tasks) == 1
    winner = next(attempt for attempt, task in enumerate(tasks) if task.result())
    assert await store.tags(FUNCTION.key) == {"attempt": str(winner)}


async def test_finishes_what_was_begun_when_it_is_closed(path: Path) -> None:
    database = Database.open(path)
    writing = [asyncio.ensure_future(SqlLayerStore(database).publish(LAYER)) for _ in range(5)]
    await asyncio.sleep(0)  # all five are with the writer's thread
    database.close()
    assert [(await one).version for one in writing] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("accepted", [1, 20])
async def test_a_kill_loses_nothing_that_was_accepted(path: Path, accepted: int) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-c", PUBLISHER, path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:  # noqa: ASYNC220 - nothing else runs
        assert process.stdout
        seen = [int(process.stdout.readline()) for _ in range(accepted)]
        process.kill()
        seen += [int(line) for line in process.stdout.read().split()]
    assert process.returncode == -signal.SIGKILL
    database = Database.open(path)
    page = await SqlLayerStore(database).list_versions(LAYER.key, limit=10_000)
    stored = sorted(item.version for item in page.items)
    assert seen == list(range(1, len(seen) + 1))
    assert stored in (seen, [*seen, len(seen) + 1])  # the last one may be in without having been answered
    assert (await SqlLayerStore(database).publish(LAYER)).version == len(stored) + 1
    database.close()
