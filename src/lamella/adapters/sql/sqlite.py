"""SQLite as the database: one file in the data directory, which one server owns."""

import os
import sqlite3
from typing import Final

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import URL

from lamella.ports.errors import UnavailableError

BUSY_TIMEOUT_MS: Final = 10_000


class Sqlite:
    """Implements `lamella.adapters.sql.database.Backend`."""

    patience_s: Final[float | None] = None  # a disk answers or fails; what it has begun is not called off
    claims: Final = False

    def __init__(self, url: URL, *, connections: int) -> None:
        """Create the file if need be.

        Raises:
            UnavailableError: It cannot be had.
        """
        _create_private(url)
        self.name: Final = f"database {url.render_as_string()}"
        # Parameters are hidden, as an error's text must not hold what environments of functions hold.
        self.readers: Final = create_engine(url, pool_size=connections, hide_parameters=True)
        event.listen(self.readers, "connect", _configure)
        event.listen(self.readers, "begin", _begin)
        self.writer: Final = self.readers.execution_options(lamella_writes=True)

    def prepare_migration(self, connection: Connection) -> None:
        """Nothing to do: statements have no limit of time."""

    def claim(self, connection: Connection) -> None:
        """Nothing to do: the file lies in the directory whose it is."""

    def drop_connections(self) -> None:
        """Nothing to do: there is nobody at the other end."""

    def dispose(self) -> None:
        """Let go of the file."""
        self.readers.dispose()


def _create_private(url: URL) -> None:
    """Create the file for its owner alone: functions' environments hold secrets. SQLite copies the mode to the WAL."""
    if not url.database or url.database == ":memory:":
        raise UnavailableError("an SQLite database needs a file")
    try:
        os.close(os.open(url.database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise UnavailableError(f"database {url.database}: {error.strerror}") from error


def _configure(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where _begin says, not where the driver guesses
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # a commit is on the disk before it returns, in WAL mode too
    connection.execute("PRAGMA foreign_keys = ON")


def _begin(connection: Connection) -> None:
    # A transaction that reads before it writes must hold the write lock from its start: it cannot upgrade a snapshot.
    writes = connection.get_execution_options().get("lamella_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
