"""One database: opened and migrated at start; written by one thread, read by a few others."""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError

from lamella.adapters.sql.schema import REVISIONS, metadata
from lamella.ports.errors import ConflictError, UnavailableError

T = TypeVar("T")

READERS: Final = 2
"""Threads that read. They are there so that a read does not wait for the disk behind a commit."""

BUSY_TIMEOUT_MS: Final = 10_000
_HERE: Final = Path(__file__).parent


class SchemaError(UnavailableError):
    """The database is not one this program can use; nothing in it was changed."""


class Database:
    """A database that holds this program's schema; get one from `open`, end it with `close`."""

    def __init__(self, engine: Engine) -> None:
        self._readers = engine
        self._writer = engine.execution_options(lamella_writes=True)
        self._read_pool = ThreadPoolExecutor(READERS, "sql-read")
        self._write_pool = ThreadPoolExecutor(1, "sql-write")

    @classmethod
    def open(cls, url_or_path: str | Path) -> "Database":
        """Open a database and bring its schema up to date; blocks.

        Args:
            url_or_path: An SQLAlchemy URL, or the path of an SQLite file, which is created if need be.

        Raises:
            SchemaError: Written by a newer program, or not by this program at all.
            UnavailableError: The database does not answer, or is no database.
        """
        url = _url(url_or_path)
        if url.get_backend_name() == "sqlite":
            _create_private(url)
        engine = create_engine(url, pool_size=READERS + 1)
        if url.get_backend_name() == "sqlite":
            event.listen(engine, "connect", _configure_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
        try:
            _migrate(engine)
        except DBAPIError as error:
            engine.dispose()
            raise UnavailableError(f"database {url.render_as_string()}: {error.orig}") from error
        except BaseException:
            engine.dispose()
            raise
        return cls(engine)

    def close(self) -> None:
        """Wait for what is being written, then let go of the database. Nothing may be asked of it afterwards."""
        self._write_pool.shutdown()
        self._read_pool.shutdown()
        self._readers.dispose()

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run a reading function in a thread, on one consistent state.

        Raises:
            UnavailableError: The database does not answer.
        """
        return await asyncio.get_running_loop().run_in_executor(self._read_pool, _run, self._readers, work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run a function in the writer's thread, in one transaction, which is durable when this returns.

        If the caller is cancelled meanwhile, the transaction has happened as a whole or not at all.

        Raises:
            ConflictError: A constraint of the schema does not hold; nothing was written.
            UnavailableError: The database does not answer; nothing was written.
        """
        return await asyncio.get_running_loop().run_in_executor(self._write_pool, _run, self._writer, work)


def _run(engine: Engine, work: Callable[[Connection], T]) -> T:
    try:
        with engine.begin() as connection:
            return work(connection)
    except IntegrityError as error:
        raise ConflictError(str(error.orig)) from error
    except DBAPIError as error:
        raise UnavailableError(f"database: {error.orig}") from error


def _url(url_or_path: str | Path) -> URL:
    if isinstance(url_or_path, str) and "://" in url_or_path:
        return make_url(url_or_path)
    return URL.create("sqlite", database=str(url_or_path))


def _create_private(url: URL) -> None:
    """Create the file for its owner alone: functions' environments hold secrets. SQLite copies the mode to the WAL."""
    if not url.database or url.database == ":memory:":
        raise UnavailableError("an SQLite database needs a file")
    try:
        os.close(os.open(url.database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise UnavailableError(f"database {url.database}: {error.strerror}") from error


def _configure_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where _begin_sqlite says, not where the driver guesses
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # a commit is on the disk before it returns, in WAL mode too
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads before it writes must hold the write lock from its start: it cannot upgrade a snapshot.
    writes = connection.get_execution_options().get("lamella_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _migrate(engine: Engine) -> None:
    with engine.connect() as connection:
        revision = _revision(connection)
    if revision == REVISIONS[-1]:
        return
    # Two programs that start at once are kept apart by the write lock; the second finds the work done.
    with engine.execution_options(lamella_writes=True).begin() as connection:
        revision = _revision(connection)
        if revision is None:
            _create(connection)
        elif revision != REVISIONS[-1]:
            _upgrade(connection)


def _revision(connection: Connection) -> str | None:
    """The revision of the schema; `None` if the database is empty."""
    where = connection.engine.url.render_as_string()
    tables = inspect(connection).get_table_names()
    if not tables:
        return None
    found: list[Any] = []  # Any: of a table that may not be ours
    if "alembic_version" in tables:
        found = list(connection.execute(text("SELECT version_num FROM alembic_version")).scalars())
    if len(found) != 1:
        raise SchemaError(f"{where} is not a Lamella database; nothing in it was changed")
    if found[0] not in REVISIONS:
        raise SchemaError(
            f"{where} was written by a newer Lamella (schema {found[0]}; this one knows up to {REVISIONS[-1]}); "
            "run that version, or use another data directory. Nothing in it was changed"
        )
    return str(found[0])


def _create(connection: Connection) -> None:
    """Make the newest schema at once: importing Alembic would cost a first start 0.3 s and every such node 11 MiB."""
    metadata.create_all(connection)
    connection.execute(
        text(
            "CREATE TABLE alembic_version "
            "(version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
        )
    )
    connection.execute(text("INSERT INTO alembic_version VALUES (:revision)"), {"revision": REVISIONS[-1]})


def _upgrade(connection: Connection, revision: str = "head") -> None:
    # Imported here because it is needed once after an update, and costs 0.3 s and 11 MiB.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_HERE / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
