"""Records of failures as files of one directory, for the operator alone: they hold what functions were given."""

import contextlib
import os
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_MAX_FILES: Final = 200
_MAX_BYTES: Final = 128 * 1024 * 1024
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,160}")
_SUFFIX: Final = ".json"


class FileTraceStore:
    """Implements `lamella.ports.traces.TraceStore`.

    Args:
        root: Made with the first document, mode 0700.
        max_files: The oldest go first, but never the newest.
        max_bytes: Of all files.
    """

    def __init__(self, root: Path, *, max_files: int = _MAX_FILES, max_bytes: int = _MAX_BYTES) -> None:
        self._root = root
        self._max_files = max_files
        self._max_bytes = max_bytes
        self._lock = threading.Lock()

    def save(self, name: str, document: bytes) -> None:
        """Write a file beside its place, and move it there: a reader sees all of it or none.

        Raises:
            OSError: It could not be kept; nothing of it is left.
        """
        assert _NAME.fullmatch(name), name
        with self._lock:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._write(name, document)
            self._prune()

    def names(self) -> Sequence[str]:
        """Names of what is kept, oldest first."""
        try:
            files = os.listdir(self._root)  # noqa: PTH208  # names are wanted, not paths
        except FileNotFoundError:
            return ()
        return sorted(file.removesuffix(_SUFFIX) for file in files if file.endswith(_SUFFIX) and file[0] != ".")

    def read(self, name: str) -> bytes | None:
        """A document; `None` if it is not, or no longer, kept."""
        if not _NAME.fullmatch(name) or name.startswith("."):
            return None
        try:
            return (self._root / (name + _SUFFIX)).read_bytes()
        except FileNotFoundError:
            return None

    def _write(self, name: str, document: bytes) -> None:
        # Always the same name, so that what a crash has left is written over.
        unfinished = self._root / ".unfinished"
        try:
            file = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(file, "wb") as stream:
                stream.write(document)
            unfinished.replace(self._root / (name + _SUFFIX))
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise

    def _prune(self) -> None:
        kept_bytes = kept = 0
        for name in reversed(self.names()):
            path = self._root / (name + _SUFFIX)
            with contextlib.suppress(FileNotFoundError):  # somebody tidied up by hand
                kept_bytes += path.stat().st_size
                kept += 1
                if kept > 1 and (kept > self._max_files or kept_bytes > self._max_bytes):
                    path.unlink()
