"""The data directory: everything a node keeps, owned by one server at a time."""

import fcntl
import hashlib
import hmac
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

SQLITE_FILE: Final = "lamella.db"
"""Name of the database, if it is a file in the directory."""

_FORMAT: Final = "1"


class DirectoryError(Exception):
    """The data directory cannot be used; the text says why and what to do."""


class DataDirectory:
    """Use as a context manager: entering takes the directory, leaving gives it back.

    Attributes:
        root: The directory.
        secret: 32 random bytes, made once; what is used or handed out is derived from it.
        operator_key: What the operator's requests are signed with. Whoever may read its file, `operator-key`, is the
            operator; another one is made if it is deleted.
        instance: Eight hex digits that tell this directory's sandboxes from those of another one on the same host.
        database: What kind of database goes with its archives; empty as long as it has not been used.
    """

    def __init__(self, root: Path) -> None:
        self.root: Final = root
        self.secret = b""
        self.operator_key = ""
        self.instance = ""
        self.database = ""
        self._lock = -1

    def __enter__(self) -> Self:
        """Take the directory, and make it if it is not there.

        Raises:
            DirectoryError: Another server owns it, it cannot be written, or a newer version has written it.
        """
        try:
            # Functions' code and environment variables are in here.
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DirectoryError(f"cannot use the data directory {self.root}: {error.strerror}") from error
        try:
            self._take()
            self._check_format()
            self.secret = bytes.fromhex(self._once("secret", lambda: secrets.token_hex(32)))
            self.operator_key = self._once("operator-key", lambda: secrets.token_hex(32))
            self.instance = self._once("instance", lambda: secrets.token_hex(4))
            self.database = self._database()
        except BaseException:
            os.close(self._lock)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the directory back."""
        os.close(self._lock)

    def check_database(self, kind: str) -> None:
        """Make sure that the archives in here are those that a database of this kind names.

        With another database nothing would refer to them, and they would be deleted.

        Raises:
            DirectoryError: They are another's.
        """
        if self.database not in ("", kind):
            raise DirectoryError(
                f"the data directory {self.root} has been used with a database of another kind ({self.database}, not "
                f"{kind}); go on with that one, or choose another directory with --data"
            )

    def keep_database(self, kind: str) -> None:
        """Remember that a database of this kind goes with the archives; to be called once it is there."""
        self.database = self._once("database", lambda: kind)

    def derive(self, purpose: str) -> bytes:
        """32 bytes of this installation for one purpose; who knows them learns nothing about the others."""
        return hmac.new(self.secret, purpose.encode(), hashlib.sha256).digest()

    def _take(self) -> None:
        # The kernel releases the lock however the process ends, so a killed server leaves no stale one.
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._lock, 32, 0).decode(errors="replace").strip()
            raise DirectoryError(
                f"the data directory {self.root} belongs to a server that is running"
                f"{f' (process {owner})' if owner else ''}; stop it, or choose another directory with --data"
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def _check_format(self) -> None:
        found = self._once("format", lambda: _FORMAT)
        if found != _FORMAT:
            raise DirectoryError(
                f"the data directory {self.root} has format {found}, this version reads format {_FORMAT}; "
                "use the version that wrote it"
            )

    def _database(self) -> str:
        with suppress(FileNotFoundError):
            return (self.root / "database").read_text(encoding="ascii").strip()
        # Directories of earlier versions say nothing of it.
        return "sqlite" if (self.root / SQLITE_FILE).exists() else ""

    def _once(self, name: str, make: Callable[[], str]) -> str:
        """A small file's text; made, and on disk, before anything depends on it."""
        path = self.root / name
        with suppress(FileNotFoundError):
            return path.read_text(encoding="ascii").strip()
        staged = path.with_suffix(".new")
        file = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(file, f"{make()}\n".encode())
            os.fsync(file)
        finally:
            os.close(file)
        staged.replace(path)
        folder = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return path.read_text(encoding="ascii").strip()
