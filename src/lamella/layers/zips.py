"""Zip archives of strangers, opened with `zipfile` where it is safe to.

`zipfile` reads the whole central directory into memory before anybody has asked for anything, and unpacks what is not
deflated without a bound: 4 KiB of bzip2 are 5 GB. Both are looked at beforehand here.
Source: PKWARE APPNOTE 6.3.10, sections 4.3.14 to 4.3.16; CPython's `zipfile.ZipExtFile._read1`.
"""

import io
import os
import struct
import zipfile
from pathlib import Path
from typing import IO, Any, BinaryIO, Final

DIRECTORY_MOST_BYTES: Final = 48 * 1024**2
"""Of a central directory: some 400,000 files, twice what a server takes; ten times as much in memory."""

_END: Final = struct.Struct("<IHHHHIIH")
_LOCATOR64: Final = struct.Struct("<IIQI")
_END64_SIZE_AT: Final = 40
_COMMENT_MOST_BYTES: Final = 0xFFFF
_METHODS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})


class BoundedZip(zipfile.ZipFile):
    """A zip archive whose list of files is not too long, and of which nothing is read that cannot be bounded."""

    def __init__(self, source: Path | BinaryIO) -> None:
        """Open it.

        Raises:
            zipfile.BadZipFile: It is none, or has too many files.
            OSError: It cannot be read.
        """
        if isinstance(source, Path):
            with source.open("rb") as file:
                _check_directory(file)
        else:
            _check_directory(source)
        super().__init__(source)

    def open(self, name: str | zipfile.ZipInfo, *args: Any, **kwargs: Any) -> IO[bytes]:  # Any: as of `zipfile`
        """As `zipfile`'s.

        Raises:
            NotImplementedError: It is compressed in a way that Lambda does not know either.
        """
        info = name if isinstance(name, zipfile.ZipInfo) else self.getinfo(name)
        if info.compress_type not in _METHODS:
            raise NotImplementedError(
                f"it is compressed by method {info.compress_type}, and Lambda knows deflate alone"
            )
        return super().open(info, *args, **kwargs)


def _check_directory(file: BinaryIO) -> None:
    """Raises BadZipFile: the central directory is too large, or says so."""
    length = file.seek(0, os.SEEK_END)
    start = max(0, length - _END.size - _COMMENT_MOST_BYTES)
    file.seek(start)
    tail = file.read(length - start)
    file.seek(0)
    at = len(tail) - _END.size  # as `zipfile` does: first where it is without a comment, then the last one
    if not (at >= 0 and tail.startswith(b"PK\5\6", at) and tail.endswith(b"\0\0")):
        at = tail.rfind(b"PK\5\6")
    if at < 0 or at + _END.size > len(tail):
        return  # none; `zipfile` says so
    size_bytes = _END.unpack_from(tail, at)[5]
    locator = at - _LOCATOR64.size
    if locator >= 0 and tail[locator : locator + 4] == b"PK\6\7":
        # The record of large archives stands right before its locator, which is where `zipfile` looks for it.
        record = locator - 56
        if record >= 0:
            (size_bytes,) = struct.unpack_from("<Q", tail, record + _END64_SIZE_AT)
    if size_bytes > min(DIRECTORY_MOST_BYTES, length):
        raise zipfile.BadZipFile(f"its list of files has {size_bytes:,} bytes, which no layer has")


def of_bytes(data: bytes) -> BoundedZip:
    """An archive within an archive, such as a jar; errors as of `BoundedZip`."""
    return BoundedZip(io.BytesIO(data))
