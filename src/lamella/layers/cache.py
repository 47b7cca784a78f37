"""Archives of layer versions that were downloaded, by the hash of their content."""

import hashlib
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

_NAME: Final = re.compile(r"[0-9a-f]{64}\.zip")
_PARTIAL_PREFIX: Final = "partial-"
_PARTIAL_MOST_S: Final = 86_400
MOST_BYTES: Final = 2 * 1024**3
MOST_AGE_S: Final = 30 * 86_400


class ArchiveCache:
    """A directory of archives, bounded in size and in the time since each was last used.

    Several processes may use it at once. What another one deletes stays readable to whoever has it open.

    Args:
        directory: Made if it is not there, for this user alone.
        most_bytes: Of all archives together; the one that was put in last may be larger by itself.
        most_age_s: Since an archive was last used.
        now: Seconds since 1970.
    """

    def __init__(
        self,
        directory: Path,
        *,
        most_bytes: int = MOST_BYTES,
        most_age_s: float = MOST_AGE_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory
        self._most_bytes = most_bytes
        self._most_age_s = most_age_s
        self._now = now

    def find(self, sha256: bytes, size_bytes: int) -> BinaryIO | None:
        """The archive with this hash, open; it counts as used now."""
        path = self._path(sha256)
        try:
            file = path.open("rb")
        except OSError:
            return None
        if os.fstat(file.fileno()).st_size != size_bytes:  # a full disk, or a meddler
            file.close()
            return None
        with suppress(OSError):
            os.utime(path, (self._now(), self._now()))
        return file

    @contextmanager
    def adding(self, sha256: bytes) -> Iterator[BinaryIO]:
        """A file to write an archive into; it is kept once the context ends well.

        Whoever adds it goes on reading it, and closes it in the end; if it is not kept, it is closed at once.

        Raises:
            OSError: The directory cannot be written to, or is full.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=self._directory, prefix=_PARTIAL_PREFIX)
        file = open(descriptor, "w+b")  # noqa: PTH123, SIM115  (of a descriptor; closed by the caller)
        try:
            yield file
            file.flush()
            os.utime(name, (self._now(), self._now()))
            Path(name).rename(self._path(sha256))
        except BaseException:
            with suppress(OSError):  # closing may want to write what is left
                file.close()
            with suppress(OSError):
                Path(name).unlink()
            raise
        self._clear(keep=self._path(sha256))

    def _path(self, sha256: bytes) -> Path:
        if len(sha256) != hashlib.sha256().digest_size:
            raise ValueError("that is no SHA-256 hash")
        return self._directory / f"{sha256.hex()}.zip"

    def _clear(self, keep: Path) -> None:
        """Delete what is too old or too much, the longest unused first, and what an interrupted download left."""
        now, found = self._now(), []
        for path in self._directory.iterdir():
            with suppress(OSError):  # another process may have been faster
                status = path.stat()
                if path.name.startswith(_PARTIAL_PREFIX) and now - status.st_mtime > _PARTIAL_MOST_S:
                    path.unlink()
                elif _NAME.fullmatch(path.name) and path != keep:
                    found.append((status.st_mtime, status.st_size, path))
        with suppress(OSError):
            left_bytes = self._most_bytes - keep.stat().st_size
            for used_at, size_bytes, path in sorted(found, reverse=True):
                left_bytes -= size_bytes
                if left_bytes < 0 or now - used_at > self._most_age_s:
                    path.unlink(missing_ok=True)
