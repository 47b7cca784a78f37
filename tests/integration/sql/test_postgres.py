"""PostgreSQL as the database: who may write to it, and what its failures become."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from tests.integration.sql.test_database import FUNCTION, LAYER, PUBLISHER
from tests.support.postgres import PASSWORD, PostgresDatabase

from lamella.adapters.sql import postgres as module
from lamella.adapters.sql.database import Database, _Task
from lamella.adapters.sql.functions import SqlFunctionStore
from lamella.adapters.sql.layers import SqlLayerStore
from lamella.adapters.sql.postgres import OwnedError
from lamella.ports.errors import UnavailableError

pytestmark = pytest.mark.postgres

HOME = "0123abcd"


@pytest.fixture
def database(postgres: PostgresDatabase) -> Iterator[Database]:
    opened = Database.open(postgres.url, directory=HOME)
    yield opened
    opened.close()


def scalar(statement: str) -> Callable[[Connection], object]:
    return lambda connection: connection.execute(text(statement)).scalar_one()


def short(monkeypatch: pytest.MonkeyPatch, **limits: str) -> None:
    """Sessions that begin from now on have these limits in place of those of operation."""
    monkeypatch.setattr(module, "_SESSION", {**module._SESSION, **limits})


@contextmanager
def stopped(database: PostgresDatabase) -> Iterator[None]:
    """Those of PostgreSQL's processes that serve this database's clients stand still."""
    with database.cluster.admin() as admin:
        statement = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'"
        rows = admin.execute(statement, [database.name]).fetchall()
    assert rows
    try:
        for (pid,) in rows:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for (pid,) in rows:
            os.kill(pid, signal.SIGCONT)


class TestOneServer:
    def test_a_second_one_is_refused_until_the_first_is_gone(
        self, postgres: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = Database.open(postgres.url, directory=HOME)
        short(monkeypatch, lock_timeout="50ms")
        with pytest.raises(OwnedError, match="belongs to a server that is running") as refusal:
            Database.open(postgres.url, directory=HOME)
        assert PASSWORD not in str(refusal.value)
        first.close()
        short(monkeypatch, lock_timeout="10s")
        Database.open(postgres.url, directory=HOME).close()

    async def test_one_that_was_killed_leaves_no_lock_and_loses_nothing(self, postgres: PostgresDatabase) -> None:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
        command = [sys.executable, "-c", PUBLISHER, postgres.url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:  # noqa: ASYNC220 - nothing else runs
            assert process.stdout
            seen = [int(process.stdout.readline()) for _ in range(20)]
            process.kill()
            seen += [int(line) for line in process.stdout.read().split()]
        assert process.returncode == -signal.SIGKILL
        database = Database.open(postgres.url)
        page = await SqlLayerStore(database).list_versions(LAYER.key, limit=10_000)
        database.close()
        stored = sorted(item.version for item in page.items)
        assert seen == list(range(1, len(seen) + 1))
        assert stored in (seen, [*seen, len(seen) + 1])  # the last one may be in without having been answered

    async def test_each_schema_of_a_database_has_one_of_its_own(
        self, database: Database, postgres: PostgresDatabase
    ) -> None:
        with postgres.admin() as admin:
            admin.execute("CREATE SCHEMA apart")
        other = Database.open(f"{postgres.url}&options=-csearch_path%3Dapart", directory="another")
        await SqlLayerStore(other).publish(LAYER)
        assert await SqlLayerStore(database).get(LAYER.key, 1) is None
        other.close()

    async def test_writes_no_more_after_another_one_has_written(
        self, database: Database, postgres: PostgresDatabase
    ) -> None:
        """What it remembers of functions may be out of date."""
        await SqlLayerStore(database).publish(LAYER)
        postgres.cut()
        Database.open(postgres.url, directory=HOME).close()
        for _ in range(2):
            with pytest.raises(OwnedError, match="written by another server"):
                await SqlLayerStore(database).publish(LAYER)
        assert await SqlLayerStore(database).get(LAYER.key, 2) is None

    def test_the_database_of_another_directory_is_refused_and_left_alone(self, postgres: PostgresDatabase) -> None:
        """Archives are in the directory: what the database does not name, a server deletes there."""
        Database.open(postgres.url, directory=HOME).close()
        with postgres.admin() as admin:
            before = admin.execute("SELECT * FROM owner").fetchall()
        with pytest.raises(OwnedError, match=f"another data directory .instance {HOME}, this one is other."):
            Database.open(postgres.url, directory="other", known=True)
        with postgres.admin() as admin:
            assert admin.execute("SELECT * FROM owner").fetchall() == before

    def test_an_empty_database_is_refused_by_a_directory_that_has_another(self, postgres: PostgresDatabase) -> None:
        before = postgres.schema()
        with pytest.raises(OwnedError, match="is empty, but the data directory holds the archives"):
            Database.open(postgres.url, directory=HOME, known=True)
        assert postgres.schema() == before


class TestConnections:
    async def test_one_that_was_lost_while_idle_is_not_noticed(
        self, database: Database, postgres: PostgresDatabase
    ) -> None:
        store = SqlLayerStore(database)
        await store.publish(LAYER)
        for version in (2, 3):
            postgres.cut()
            assert (await store.publish(LAYER)).version == version
            postgres.cut()
            assert await store.get(LAYER.key, version) is not None

    async def test_a_transaction_that_was_lost_is_done_again(
        self, database: Database, postgres: PostgresDatabase
    ) -> None:
        turns = []

        def work(connection: Connection) -> None:
            turns.append(1)
            connection.execute(text("INSERT INTO layers VALUES ('a', 'r', 'n', 1)"))
            if len(turns) == 1:
                postgres.cut()
            connection.execute(text("INSERT INTO layers VALUES ('a', 'r', 'm', 1)"))

        await database.write(work)
        assert len(turns) == 2
        assert await database.read(scalar("SELECT count(*) FROM layers")) == 2

    async def test_a_transaction_that_is_lost_again_is_given_up(
        self, database: Database, postgres: PostgresDatabase
    ) -> None:
        def work(connection: Connection) -> None:
            postgres.cut()
            connection.execute(text("SELECT 1"))

        for run in (database.read, database.write):
            with pytest.raises(UnavailableError, match="terminating connection"):
                await run(work)
        assert await database.write(scalar("SELECT 1")) == 1

    async def test_a_commit_that_was_lost_is_not_done_again(
        self, database: Database, postgres: PostgresDatabase
    ) -> None:
        """It may have taken place; then a second one would be one too many."""
        with postgres.admin() as admin:
            admin.execute(
                "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS "
                "$$BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END$$"
            )
            admin.execute(
                "CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON layers DEFERRABLE INITIALLY DEFERRED "
                "FOR EACH ROW EXECUTE FUNCTION die()"
            )
        turns = []

        def work(connection: Connection) -> None:
            turns.append(1)
            connection.execute(text("INSERT INTO layers VALUES ('a', 'r', 'n', 1)"))

        with pytest.raises(UnavailableError, match="committed is not known"):
            await database.write(work)
        assert len(turns) == 1

    async def test_a_database_that_is_away_is_unavailable_until_it_is_back(
        self, database: Database, postgres: PostgresDatabase
    ) -> None:
        store = SqlFunctionStore(database)
        await store.create(FUNCTION, {})
        postgres.shut()
        for _ in range(2):
            with pytest.raises(UnavailableError, match="not currently accepting connections"):
                await store.get(FUNCTION.key)
            with pytest.raises(UnavailableError, match="not currently accepting connections"):
                await store.set_tags(FUNCTION.key, {"a": "1"})
        postgres.open()
        await store.set_tags(FUNCTION.key, {"a": "2"})
        assert await store.tags(FUNCTION.key) == {"a": "2"}

    async def test_a_slow_statement_is_ended_by_the_database(
        self, postgres: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        short(monkeypatch, statement_timeout="50ms")
        database = Database.open(postgres.url)
        for run in (database.read, database.write):
            with pytest.raises(UnavailableError, match="statement timeout"):
                await run(scalar("SELECT pg_sleep(60)"))
            assert await run(scalar("SELECT 1")) == 1
        database.close()

    async def test_a_database_that_hangs_costs_its_callers_their_patience(
        self, database: Database, postgres: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its connection is up and silent, as with a disk that does not answer: no limit of its own ends that."""
        short(monkeypatch, lock_timeout="50ms")
        store = SqlLayerStore(database)
        await store.publish(LAYER)
        assert await store.get(LAYER.key, 1) is not None
        with stopped(postgres):
            monkeypatch.setattr(database._backend, "patience_s", 0.2)
            with pytest.raises(UnavailableError, match=r"does not answer$"):
                await database.write(scalar("SELECT 1"))
            # The threads are free again. A new connection reads; it may not write, as the old one still has the lock.
            monkeypatch.setattr(database._backend, "patience_s", 30)
            assert await store.get(LAYER.key, 1) is not None
            with pytest.raises(OwnedError, match="a connection that was lost a moment ago"):
                await store.publish(LAYER)
        short(monkeypatch, lock_timeout="10s")
        assert (await store.publish(LAYER)).version == 2

    async def test_nothing_is_written_later_of_what_was_waiting_behind_it(
        self, database: Database, postgres: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = SqlLayerStore(database)
        await store.publish(LAYER)
        with stopped(postgres):
            monkeypatch.setattr(database._backend, "patience_s", 0.2)
            results = await asyncio.gather(*(store.publish(LAYER) for _ in range(5)), return_exceptions=True)
        assert [type(result) for result in results] == [UnavailableError] * 5
        monkeypatch.setattr(database._backend, "patience_s", 30)
        assert (await store.publish(LAYER)).version == 2

    async def test_the_loop_goes_on_meanwhile(
        self, database: Database, postgres: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await database.write(scalar("SELECT 1"))
        with stopped(postgres):
            monkeypatch.setattr(database._backend, "patience_s", 0.2)
            waiting = asyncio.ensure_future(database.write(scalar("SELECT 1")))
            turns = 0
            while not waiting.done():
                await asyncio.sleep(0)
                turns += 1
        assert turns > 100
        assert isinstance(waiting.exception(), UnavailableError)

    def test_a_server_that_stops_does_not_wait_for_it_for_ever(
        self, postgres: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        short(monkeypatch, lock_timeout="50ms")
        database = Database.open(postgres.url)
        with stopped(postgres):
            monkeypatch.setattr(database._backend, "patience_s", 0.1)
            begun = database._write_pool.submit(_Task(database._backend.writer, scalar("SELECT 1"), writes=True))
            database.close()
        assert isinstance(begun.exception(), UnavailableError)


async def test_a_reader_sees_one_state_and_cannot_write(database: Database) -> None:
    store = SqlLayerStore(database)
    await store.publish(LAYER)
    count = scalar("SELECT count(*) FROM layer_versions")
    loop = asyncio.get_running_loop()

    def work(connection: Connection) -> tuple[object, object]:
        before = count(connection)
        asyncio.run_coroutine_threadsafe(store.publish(LAYER), loop).result()
        return before, count(connection)

    assert await database.read(work) == (1, 1)
    assert await database.read(count) == 2
    with pytest.raises(UnavailableError, match="read-only transaction"):
        await database.read(lambda connection: connection.execute(text("DELETE FROM layers")).rowcount)


async def test_numbers_are_unique_among_concurrent_publishers(database: Database) -> None:
    store = SqlLayerStore(database)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(store.publish(LAYER)) for _ in range(60)]
    assert sorted(task.result().version for task in tasks) == list(range(1, 61))


async def test_a_commit_is_on_the_disk_though_the_database_is_set_up_for_speed(postgres: PostgresDatabase) -> None:
    with postgres.admin() as admin:
        admin.execute(f"ALTER DATABASE {postgres.name} SET synchronous_commit = off")
    database = Database.open(postgres.url)
    assert await database.write(scalar("SHOW synchronous_commit")) == "on"
    assert await database.write(scalar("SHOW statement_timeout")) == "20s"
    database.close()


def test_without_the_driver_it_says_what_to_install(postgres: PostgresDatabase) -> None:
    program = (
        "import sys; sys.modules['psycopg'] = None; from lamella.adapters.sql.database import Database; "
        "Database.open(sys.argv[1])"
    )
    done = subprocess.run([sys.executable, "-c", program, postgres.url], capture_output=True, text=True, check=False)
    assert done.stderr.rstrip().endswith("install 'lamella[postgres]'")
    assert PASSWORD not in done.stderr


@pytest.mark.parametrize(
    "rest",
    ["@localhost:1/x", "@/x?host=/nonexistent", "@localhost:port/x", f"@localhost:1/x?password={PASSWORD}"],
)
def test_an_error_names_the_database_and_not_the_password(rest: str) -> None:
    with pytest.raises(UnavailableError) as caught:
        Database.open(f"postgresql://somebody:{PASSWORD}{rest}")
    assert PASSWORD not in str(caught.value)
    assert "database" in str(caught.value)
