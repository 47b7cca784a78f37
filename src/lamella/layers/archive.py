"""Zip archives whose bytes depend on names, contents, x bits and links alone."""

import hashlib
import os
import stat
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_EARLIEST: Final = (1980, 1, 1, 0, 0, 0)
"""The zip format knows no earlier time."""

_LEVEL: Final = 6
_UNIX: Final = 3


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or symbolic link to be archived.

    Attributes:
        content: Where it is, or the content itself; of a link, where it leads to.
        executable: Whether anybody may execute it; of a link it says nothing.
        link: Whether it is a symbolic link.
    """

    content: Path | bytes
    executable: bool = False
    link: bool = False

    @property
    def mode(self) -> int:
        """Kind and permissions, as `stat` has them: everybody may read, and nobody but the owner may write."""
        if self.link:
            return stat.S_IFLNK | 0o777
        return stat.S_IFREG | (0o755 if self.executable else 0o644)

    def read(self) -> bytes:
        """The content."""
        return self.content if isinstance(self.content, bytes) else self.content.read_bytes()


@dataclass(frozen=True, slots=True)
class ArchiveFacts:
    """What was written.

    Attributes:
        sha256: Of the zip; 64 hex digits.
        content_sha256: Of names, modes and contents: the same wherever it was built, while the bytes of a zip also
            depend on the compression library (zlib and its faster replacements do not compress alike).
        files: Links among them.
    """

    sha256: str
    content_sha256: str
    files: int
    zipped_bytes: int
    unzipped_bytes: int


def entry_time(source_date_epoch: str | None) -> tuple[int, int, int, int, int, int]:
    """The time that all entries bear: that of `SOURCE_DATE_EPOCH` if it is set, else 1980-01-01.

    Raises:
        ValueError: It is not a number of seconds.

    Source: reproducible-builds.org, "SOURCE_DATE_EPOCH".
    """
    if not source_date_epoch:
        return _EARLIEST
    moment = time.gmtime(int(source_date_epoch))
    return max(_EARLIEST, (moment[0], moment[1], moment[2], moment[3], moment[4], moment[5]))


def write_archive(
    path: Path, entries: Mapping[str, Entry], *, date_time: tuple[int, int, int, int, int, int]
) -> ArchiveFacts:
    """Write a zip archive, replacing what was there once it is complete.

    Args:
        path: Its directory must exist.
        entries: Names in the archive, with `/`, and what they hold.
        date_time: Of all entries.
    """
    content = hashlib.sha256()
    unzipped_bytes = 0
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
            for name in sorted(entries, key=os.fsencode):
                entry = entries[name]
                data = entry.read()
                info = zipfile.ZipInfo(name, date_time)
                info.create_system = _UNIX
                info.external_attr = entry.mode << 16
                # As Info-ZIP does with `-y`: there is nothing to compress in the few bytes of a link.
                info.compress_type = zipfile.ZIP_STORED if entry.link else zipfile.ZIP_DEFLATED
                archive.writestr(info, data, compresslevel=_LEVEL)
                unzipped_bytes += 0 if entry.link else len(data)
                mode = entry.mode if entry.link else stat.S_IMODE(entry.mode)
                content.update(f"{name}\0{mode:o}\0{len(data)}\0".encode("utf-8", "surrogateescape") + data)
        with temporary.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        zipped_bytes = temporary.stat().st_size
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return ArchiveFacts(sha256, content.hexdigest(), len(entries), zipped_bytes, unzipped_bytes)
