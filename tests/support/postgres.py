"""A PostgreSQL of the tests' own: its own directory and user, on a socket that nobody else reaches."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

import psycopg
from psycopg import sql

_SETTINGS: Final = {"listen_addresses": "", "shared_buffers": "16MB", "max_connections": "40"}
# Tests kill the server that uses it, and not the machine: what was committed need not be on the disk.
_QUICK: Final = {"fsync": "off", "full_page_writes": "off", "autovacuum": "off"}

PASSWORD: Final = "correct-horse"
"""Nobody asks for it; tests look whether it is told to anybody."""


def programs() -> Path | None:
    """Directory of the newest `initdb` of this machine. Debian keeps them out of the search path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


def missing_for_postgres() -> str:
    """Why there can be no PostgreSQL here; empty if there can."""
    return "" if programs() else "needs PostgreSQL (initdb)"


class PostgresCluster:
    """Use as a context manager: entering makes and starts it, leaving stops it and deletes what it kept.

    It sorts names by the rules of English where it can, as databases in the wild do, so that a test notices a listing
    that relies on the database for its order.

    Args:
        durable: Whether a commit waits for the disk.
    """

    def __init__(self, *, durable: bool = False) -> None:
        found = programs()
        assert found is not None
        self._programs: Final = found
        self._settings: Final = _SETTINGS if durable else {**_SETTINGS, **_QUICK}
        # Not below pytest's own directory, which only its owner may enter. A socket's path has 107 characters.
        self.directory: Final = Path(tempfile.mkdtemp(prefix="lamella-pg-"))
        self._process: subprocess.Popen[str] | None = None
        self._user: str | None = None
        if os.geteuid() == 0:  # which PostgreSQL refuses to run as
            self._user = next(name for name in ("postgres", "nobody") if _exists(name))
            entry = pwd.getpwnam(self._user)
            os.chown(self.directory, entry.pw_uid, entry.pw_gid)

    def __enter__(self) -> Self:
        try:
            self._initialise()
            self.start()
        except BaseException:
            self._discard()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._discard()

    def start(self) -> None:
        """Start it, and wait until it lets clients in."""
        settings = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        command = [self._programs / "postgres", "-D", self.directory / "data", "-k", self.directory, *settings]
        with self.log.open("ab") as log:
            # SIGQUIT if this process dies: it ends at once, and there is nothing to save.
            self._process = subprocess.Popen([*self._setpriv("--pdeathsig", "QUIT"), *command], stdout=log, stderr=log)
        deadline_s = time.monotonic() + 60
        while True:
            try:
                return self.admin().close()
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline_s:
                    raise AssertionError(f"PostgreSQL does not start:\n{self.log.read_text()}") from None
                time.sleep(0.02)  # it has no other way to say that it is ready

    def stop(self) -> None:
        """Stop it without regard to its clients."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(60)
            self._process = None

    @property
    def log(self) -> Path:
        """What it has written to stderr."""
        return self.directory / "log"

    def admin(self, database: str = "postgres") -> "psycopg.Connection[Any]":  # Any: rows of any kind
        """A connection of the superuser, each of whose statements is a transaction."""
        return psycopg.connect(host=str(self.directory), user="admin", dbname=database, autocommit=True)

    @contextmanager
    def database(self) -> Iterator["PostgresDatabase"]:
        """A new, empty database, deleted at the end."""
        name = f"d{uuid.uuid4().hex}"
        with self.admin() as admin:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield PostgresDatabase(self, name)
        finally:
            with self.admin() as admin:
                admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def schema(self, database: str) -> str:
        """All that PostgreSQL knows of the tables and indexes of a database, as its own tool writes it."""
        command = [self._programs / "pg_dump", "--schema-only", "-h", self.directory, "-U", "admin", database]
        dump = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        # Comments, and a word by which a dump is known from any other.
        return "\n".join(line for line in dump.splitlines() if line and not line.startswith(("--", "\\")))

    def _initialise(self) -> None:
        program = self._programs / "initdb"
        options = ["--no-sync", "--auth=trust", "--username=admin", "--encoding=UTF8", "--locale=C.UTF-8"]
        if "--icu-locale" in subprocess.run([program, "--help"], capture_output=True, text=True, check=True).stdout:
            options += ["--locale-provider=icu", "--icu-locale=en"]
        command = [*self._setpriv(), program, "-D", self.directory / "data", *options]
        subprocess.run(command, check=True, capture_output=True, text=True, cwd=self.directory)

    def _setpriv(self, *options: str) -> list[str]:
        who = [] if self._user is None else ["--reuid", self._user, "--regid", self._user, "--clear-groups"]
        if self._user == "nobody":
            who[3] = "nogroup"
        return ["setpriv", *who, *options] if who or options else []

    def _discard(self) -> None:
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


class PostgresDatabase:
    """One database of a cluster."""

    def __init__(self, cluster: PostgresCluster, name: str) -> None:
        self.cluster: Final = cluster
        self.name: Final = name

    @property
    def url(self) -> str:
        """For `lamella.adapters.sql.database.Database.open` and the setting `database`. It has a password, for show."""
        return f"postgresql://admin:{PASSWORD}@/{self.name}?host={self.cluster.directory}"

    def admin(self) -> "psycopg.Connection[Any]":  # Any: rows of any kind
        """A connection of the superuser, each of whose statements is a transaction."""
        return self.cluster.admin(self.name)

    def schema(self) -> str:
        """See `PostgresCluster.schema`."""
        return self.cluster.schema(self.name)

    def cut(self) -> None:
        """End all connections to it."""
        with self.cluster.admin() as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s", [self.name]
            )

    def shut(self) -> None:
        """End all connections to it, and let nobody in until `open`."""
        self._allow_connections("false")
        self.cut()

    def open(self) -> None:
        """Let clients in again."""
        self._allow_connections("true")

    def _allow_connections(self, whether: str) -> None:
        statement = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        with self.cluster.admin() as admin:
            admin.execute(statement.format(sql.Identifier(self.name), sql.SQL(whether)))


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True
