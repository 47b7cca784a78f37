"""PostgreSQL as the database: which server may write, and what becomes of connections that are lost.

One connection writes, and its session holds an advisory lock for as long as it lives. So all writes are in one order,
no transaction can fail to be serialised, and a server that has lost its connection, and with it the lock, cannot write
before it has taken the lock anew. If another server was there in between, what this one remembers is out of date, and
it writes no more: each server raises the epoch of the table `owner` when it starts.

Nothing here imports the driver: SQLAlchemy does that where there is a URL that asks for it.
"""

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from itertools import chain
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, insert, select, text, update
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import IsolationLevel
from sqlalchemy.pool import ConnectionPoolEntry

from lamella.adapters.sql.schema import owner
from lamella.ports.errors import UnavailableError

if TYPE_CHECKING:
    import psycopg

DRIVER: Final = "postgresql+psycopg"
STATEMENT_TIMEOUT_S: Final = 20
LOCK_TIMEOUT_S: Final = 10
PATIENCE_S: Final = 30.0
"""How long a caller waits at most, for those before it as well. AWS's clients give up after 60 s."""

_LOCK: Final = int.from_bytes(b"lmla")
_LOCK_TAKEN: Final = "55P03"
"""`lock_not_available`. Source: PostgreSQL 15, appendix A."""

# What the other end did not acknowledge for this long is lost; the operating system's own limits are hours.
_CONNECTING: Final[Mapping[str, str | int]] = {
    "application_name": "lamella",
    "client_encoding": "utf8",
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 20_000,
    # Of several hosts the one that may be written to; a standby would show what was true a moment ago.
    "target_session_attrs": "read-write",
}
# The same for the server's end, so that it gives the lock back if this machine has vanished.
_SESSION: Final[Mapping[str, str]] = {
    "statement_timeout": f"{STATEMENT_TIMEOUT_S}s",
    "lock_timeout": f"{LOCK_TIMEOUT_S}s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "2",
}
# A database may be set up to answer before a commit is on the disk; other settings than that are the operator's choice.
_DURABLE: Final = (
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)
_SOCKET: Final = "lamella_socket"


class OwnedError(UnavailableError):
    """The database is another server's, or another data directory's; nothing in it was changed."""


class Postgres:
    """Implements `lamella.adapters.sql.database.Backend`.

    Args:
        url: Its options win over those that this module sets.
        directory: Identifies the data directory that the database belongs to.
        known: Whether that directory has been used with a database before, so that a new one would be a mistake.
        readers: How many connections read.
    """

    patience_s: Final[float | None] = PATIENCE_S
    claims: Final = True

    def __init__(self, url: URL, *, directory: str, known: bool, readers: int) -> None:
        """Connect to nothing yet.

        Raises:
            UnavailableError: The driver is not installed.
        """
        self.name: Final = _name(url)
        self._directory: Final = directory
        self._known: Final = known
        self._epoch: int | None = None
        self._sockets: Final[set[socket.socket]] = set()
        self._sockets_lock: Final = Lock()
        # Who reads sees one state in all statements of a transaction. Who writes is alone, and sees the newest.
        self.readers: Final = self._engine(url, connections=readers, isolation_level="REPEATABLE READ")
        self.writer: Final = self._engine(url, connections=1, isolation_level="READ COMMITTED")
        event.listen(self.readers, "connect", self._reader_connected)
        event.listen(self.writer, "connect", self._writer_connected)

    def prepare_migration(self, connection: Connection) -> None:
        """Let the statements of this transaction take as long as they take."""
        connection.execute(text("SET LOCAL statement_timeout = 0"))

    def claim(self, connection: Connection) -> None:
        """Make the database this directory's, if it is nobody's, and remember that this server has come.

        Raises:
            OwnedError: It is another directory's, or it is new, and the directory's own is another one.
        """
        row = connection.execute(select(owner.c.directory, owner.c.epoch)).one_or_none()
        if row is None:
            if self._known:
                raise OwnedError(
                    f"{self.name} is empty, but the data directory holds the archives of another database; "
                    "restore that, or use another data directory"
                )
            connection.execute(insert(owner), {"id": 1, "directory": self._directory, "epoch": 1})
            self._epoch = 1
            return
        if row.directory != self._directory:
            raise OwnedError(
                f"{self.name} belongs to another data directory (instance {row.directory}, this one is "
                f"{self._directory}), which has the archives that it names; use that directory, or another database"
            )
        self._epoch = row.epoch + 1
        connection.execute(update(owner).values(epoch=self._epoch))

    def drop_connections(self) -> None:
        """Cut every connection, so that whoever waits for an answer gets an error at once. Any thread may call it."""
        with self._sockets_lock:
            for one in self._sockets:
                with suppress(OSError):  # it is cut already
                    one.shutdown(socket.SHUT_RDWR)

    def dispose(self) -> None:
        """Close all connections, and with that give the lock back."""
        self.writer.dispose()
        self.readers.dispose()

    def _engine(self, url: URL, *, connections: int, isolation_level: IsolationLevel) -> Engine:
        options = {name: value for name, value in _CONNECTING.items() if name not in url.query}
        try:
            engine = create_engine(
                url.set(drivername=DRIVER),
                connect_args=options,
                isolation_level=isolation_level,
                pool_size=connections,
                max_overflow=0,
                hide_parameters=True,  # an error's text must not hold what environments of functions hold
                use_native_hstore=False,  # a look-up at each first connection
            )
        except ModuleNotFoundError as error:
            raise UnavailableError(
                "PostgreSQL needs the package psycopg, which is not installed: install 'lamella[postgres]'"
            ) from error
        event.listen(engine, "close", self._closed)
        return engine

    def _reader_connected(self, connection: "psycopg.Connection[Any]", record: ConnectionPoolEntry) -> None:
        self._connected(connection, record)
        connection.read_only = True

    def _writer_connected(self, connection: "psycopg.Connection[Any]", record: ConnectionPoolEntry) -> None:
        self._connected(connection, record)
        try:
            connection.autocommit = True
            connection.execute(_DURABLE)
            self._take_lock(connection)
            connection.autocommit = False
        except BaseException:
            connection.close()  # the pool does not, of what it never had
            self._closed(connection, record)
            raise

    def _take_lock(self, connection: "psycopg.Connection[Any]") -> None:
        """Become the only writer; waits a moment, as the server may not have seen yet that its last client is gone.

        Raises:
            OwnedError: Another server has the lock, or has had it since.
        """
        try:
            # One for each schema, as a database may have several.
            connection.execute("SELECT pg_advisory_lock(%s, hashtext(coalesce(current_schema(), '')))", [_LOCK])
        except Exception as error:
            if getattr(error, "sqlstate", None) != _LOCK_TAKEN:
                raise
            raise OwnedError(
                f"{self.name} belongs to a server that is running, or to a connection that was lost a moment ago; "
                "stop that server, or use another database"
            ) from error
        if self._epoch is None:
            return
        row = connection.execute("SELECT epoch FROM owner").fetchone()
        if row is None or row[0] != self._epoch:
            raise OwnedError(
                f"{self.name} was written by another server while this one had no connection to it; start this one anew"
            )

    def _connected(self, connection: "psycopg.Connection[Any]", record: ConnectionPoolEntry) -> None:
        # A descriptor of our own, which cannot become somebody else's while another thread shuts it down.
        handle = socket.socket(fileno=os.dup(connection.fileno()))
        with self._sockets_lock:
            self._sockets.add(handle)
        record.info[_SOCKET] = handle
        try:
            connection.autocommit = True
            calls = ", ".join(["set_config(%s, %s, false)"] * len(_SESSION))
            connection.execute(f"SELECT {calls}", list(chain(*_SESSION.items())))
            connection.autocommit = False
        except BaseException:
            connection.close()
            self._closed(connection, record)
            raise

    def _closed(self, _connection: object, record: ConnectionPoolEntry) -> None:
        handle = record.info.pop(_SOCKET, None)
        if handle is not None:
            with self._sockets_lock:
                self._sockets.discard(handle)
            handle.close()


def _name(url: URL) -> str:
    """For people: no password, nor the options, which may hold one."""
    hosts = url.query.get("host", ())
    host = url.host or ",".join([hosts] if isinstance(hosts, str) else hosts) or "localhost"
    port = f":{url.port}" if url.port else ""
    return f"PostgreSQL database {url.database or url.username or ''} at {host}{port}"
