"""One database: opened and migrated at start; written by one thread, read by a few others."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Timer
from typing import Any, Final, Generic, Protocol, TypeVar

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError

from lamella.adapters.sql.postgres import Postgres
from lamella.adapters.sql.schema import REVISIONS, metadata
from lamella.adapters.sql.sqlite import Sqlite
from lamella.ports.errors import ConflictError, UnavailableError

T = TypeVar("T")

READERS: Final = 2
"""Threads that read. They are there so that a read does not wait for the disk behind a commit."""

_HERE: Final = Path(__file__).parent


class SchemaError(UnavailableError):
    """The database is not one this program can use; nothing in it was changed."""


class Backend(Protocol):
    """What one kind of database does in its own way.

    Attributes:
        name: What people are told; without secrets.
        readers: For transactions that read, each on one state of the database.
        writer: For transactions that write; not more than one at a time.
        patience_s: How long a caller waits for an answer; `None` is for ever.
        claims: Whether `claim` has to be called at each start.
    """

    @property
    def name(self) -> str: ...
    @property
    def readers(self) -> Engine: ...
    @property
    def writer(self) -> Engine: ...
    @property
    def patience_s(self) -> float | None: ...
    @property
    def claims(self) -> bool: ...

    def prepare_migration(self, connection: Connection) -> None:
        """Make ready for a transaction that may take long."""

    def claim(self, connection: Connection) -> None:
        """Take the database for this server, within the transaction that has migrated it.

        Raises:
            UnavailableError: It is somebody else's.
        """

    def drop_connections(self) -> None:
        """Have those who wait for an answer fail at once."""

    def dispose(self) -> None:
        """Let go of the database."""


class Database:
    """A database that holds this program's schema; get one from `open`, end it with `close`."""

    def __init__(self, backend: Backend) -> None:
        self._backend: Final = backend
        self._read_pool: Final = ThreadPoolExecutor(READERS, "sql-read")
        self._write_pool: Final = ThreadPoolExecutor(1, "sql-write")

    @classmethod
    def open(cls, url_or_path: str | Path, *, directory: str = "", known: bool = False) -> "Database":
        """Open a database and bring its schema up to date; blocks.

        Args:
            url_or_path: A URL of PostgreSQL or SQLite, or the path of an SQLite file, which is created if need be.
            directory: Identifies the data directory with the archives that the database names.
            known: Whether that directory has been used before, so that a database without an owner is not its own.

        Raises:
            SchemaError: Written by a newer program, or not by this program at all.
            UnavailableError: The database does not answer, is no database, or is another server's or directory's.
        """
        url = _url(url_or_path)
        backend: Backend
        if url.get_backend_name() == "sqlite":
            backend = Sqlite(url, connections=READERS + 1)
        else:
            backend = Postgres(url, directory=directory, known=known, readers=READERS)
        try:
            _migrate(backend)
        except DBAPIError as error:
            backend.dispose()
            raise UnavailableError(f"{backend.name}: {_text(error)}") from error
        except BaseException:
            backend.dispose()
            raise
        return cls(backend)

    def close(self) -> None:
        """Wait for what is being written, then let go of the database. Nothing may be asked of it afterwards."""
        timer = None
        if self._backend.patience_s is not None:
            timer = Timer(self._backend.patience_s, self._backend.drop_connections)
            timer.start()
        self._write_pool.shutdown()
        self._read_pool.shutdown()
        if timer is not None:
            timer.cancel()
        self._backend.dispose()

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run a reading function in a thread, on one consistent state.

        It is run a second time if the connection was lost meanwhile, as it is when a database was started anew.

        Raises:
            UnavailableError: The database does not answer.
        """
        return await self._run(self._read_pool, _Task(self._backend.readers, work, writes=False))

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run a function in the writer's thread, in one transaction, which is durable when this returns.

        If the caller is cancelled meanwhile, the transaction has happened as a whole or not at all. The function is run
        a second time if the connection was lost before it had returned, which left nothing of the first.

        Raises:
            ConflictError: A constraint of the schema does not hold; nothing was written.
            UnavailableError: The database does not answer. Nothing was written, and nothing will be, unless the text
                says that this is not known: the connection was lost in the moment of the commit.
        """
        return await self._run(self._write_pool, _Task(self._backend.writer, work, writes=True))

    async def _run(self, pool: ThreadPoolExecutor, task: "_Task[T]") -> T:
        future = pool.submit(task)
        answer = asyncio.wrap_future(future)
        try:
            # Not `asyncio.timeout`, which takes a task: invocations run without one.
            await asyncio.wait([answer], timeout=self._backend.patience_s)
        except BaseException:
            answer.cancel()
            raise
        if answer.done():
            return answer.result()
        # What waited for its turn is called off. What has not come back loses its connection, so that the thread serves
        # others: the database's own limits have had their time, so it is not one slow statement.
        unknown = task.give_up()
        if not future.cancel() and not future.done():
            self._backend.drop_connections()
        answer.cancel()
        raise UnavailableError(f"{self._backend.name} does not answer{_UNKNOWN if unknown else ''}")


_UNKNOWN: Final = ", and whether it has committed is not known"


class _Task(Generic[T]):
    """One transaction, in a thread, and a second attempt if the connection was lost in the first."""

    def __init__(self, engine: Engine, work: Callable[[Connection], T], *, writes: bool) -> None:
        self._engine = engine
        self._work = work
        self._writes = writes
        self._committing = False
        self._given_up = False

    def __call__(self) -> T:
        """Do it.

        Raises:
            ConflictError, UnavailableError: See `Database.write`.
        """
        try:
            return self._attempt()
        except _LostError:
            if self._given_up:
                raise
            return self._attempt()

    def give_up(self) -> bool:
        """Nobody waits any more. Called by another thread; returns whether it may be committed nevertheless."""
        self._given_up = True
        return self._committing and self._writes

    def _attempt(self) -> T:
        self._committing = False
        try:
            with self._engine.begin() as connection:
                result = self._work(connection)
                # In this order, and `give_up` in the opposite one: so not both of them can overlook the other.
                self._committing = True
                if self._given_up:
                    raise _LostError("nobody waits for it")
        except IntegrityError as error:
            raise ConflictError(str(error.orig)) from error
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise UnavailableError(f"database: {_text(error)}") from error
            if self._committing and self._writes:
                raise UnavailableError(f"database: {_text(error)}{_UNKNOWN}") from error
            raise _LostError(f"database: {_text(error)}") from error
        return result


class _LostError(UnavailableError):
    """The connection was lost, and nothing was committed."""


def _text(error: DBAPIError) -> str:
    """What the driver says, in one line."""
    return " ".join(str(error.orig).split())


def _url(url_or_path: str | Path) -> URL:
    """Read a URL.

    Raises:
        UnavailableError: It is none; the text does not repeat it, as it may hold a password.
    """
    if not isinstance(url_or_path, str) or "://" not in url_or_path:
        return URL.create("sqlite", database=str(url_or_path))
    scheme, _, rest = url_or_path.partition("://")
    if scheme in {"postgres", "postgresql"}:
        scheme = "postgresql+psycopg"
    try:
        return make_url(f"{scheme}://{rest}")
    except (ArgumentError, ValueError):
        raise UnavailableError("the URL of the database cannot be read; a port has to be a number") from None


def _migrate(backend: Backend) -> None:
    if not backend.claims:
        with backend.readers.connect() as connection:
            if _revision(connection, backend.name) == REVISIONS[-1]:
                return
    # Two programs that start at once are kept apart by the write lock; the second finds the work done.
    with backend.writer.begin() as connection:
        backend.prepare_migration(connection)
        revision = _revision(connection, backend.name)
        if revision is None:
            _create(connection)
        elif revision != REVISIONS[-1]:
            _upgrade(connection)
        backend.claim(connection)


def _revision(connection: Connection, where: str) -> str | None:
    """The revision of the schema; `None` if the database is empty."""
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
