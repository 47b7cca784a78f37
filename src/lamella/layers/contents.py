"""What is in a layer: the files of a zip archive or a directory, looked at alike.

Names are those below `/opt`, with `/`, without a leading one. Archives are read leniently, for they are looked at and
not unpacked: what `PublishLayerVersion` would refuse is listed in `problems`, so that a check can say so.
"""

import io
import lzma
import os
import stat
import zipfile
import zlib
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, Final

from lamella.layers.errors import LayerReadError
from lamella.layers.zips import BoundedZip

_LINK_MOST_BYTES: Final = 4096
_NAME_MOST_BYTES: Final = 4095 - len("/opt/")  # PATH_MAX
_PART_MOST_BYTES: Final = 255  # NAME_MAX
_NAME_SHOWN: Final = 200

DAMAGE: Final = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, NotImplementedError)
"""What reading an open file of an archive raises where the archive is damaged."""


class EntryKind(Enum):
    """What an entry is."""

    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class ContentEntry:
    """A file, directory or symbolic link of a layer.

    Attributes:
        name: Below `/opt`, e.g. `python/lib/python3.12/site-packages/PIL/__init__.py`.
        mode: Permission bits, as they will be in the sandbox.
        size_bytes: Of a file; 0 for others.
        compressed_bytes: In the archive; `None` in a directory.
        crc32: Of a file in an archive; `None` in a directory, where it would have to be read.
        target: Of a link; empty for others.
    """

    name: str
    kind: EntryKind
    mode: int
    size_bytes: int = 0
    compressed_bytes: int | None = None
    crc32: int | None = None
    target: str = ""

    @property
    def executable(self) -> bool:
        """Whether the owner may execute it; the sandbox's user is not the owner, but zips set all three bits alike."""
        return bool(self.mode & 0o111)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something of an archive that Lambda refuses or that cannot be told apart: a duplicate name, a path outside."""

    name: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class LayerContents(ABC):
    """The files of a layer.

    Attributes:
        label: What the user called it: a path or an ARN.
        entries: By name, in the order of names; directories that are only implied are not among them.
        zipped_bytes: Of the archive; `None` for a directory.
        problems: What Lambda would refuse.
    """

    label: str
    entries: Mapping[str, ContentEntry]
    zipped_bytes: int | None = None
    problems: tuple[Problem, ...] = ()

    @property
    def unzipped_bytes(self) -> int:
        """What counts towards the limit of 250 MB."""
        return sum(entry.size_bytes for entry in self.entries.values())

    def files(self) -> Iterator[ContentEntry]:
        """Files alone."""
        return (entry for entry in self.entries.values() if entry.kind is EntryKind.FILE)

    def below(self, directory: str) -> Iterator[ContentEntry]:
        """All entries below a directory."""
        prefix, names = f"{directory}/", self._names
        for at in range(bisect_left(names, prefix), len(names)):
            if not names[at].startswith(prefix):
                return
            yield self.entries[names[at]]

    @cached_property
    def _names(self) -> Sequence[str]:
        """Names in their order, in which all below a directory stand together."""
        return sorted(self.entries)

    @abstractmethod
    def open(self, name: str) -> IO[bytes]:
        """A file's content, to be closed by the caller; seekable.

        Raises:
            LayerReadError: It is damaged.
            KeyError: There is no such file.
        """

    def read(self, name: str, limit: int = -1) -> bytes:
        """A file's content, or the first `limit` bytes of it; errors as `open`.

        Never more than the size that is stated, whatever a lying archive unpacks to.
        """
        stated = self.entries[name].size_bytes
        with self.open(name) as file:
            try:
                return file.read(stated if limit < 0 else min(limit, stated))
            except DAMAGE as error:
                raise LayerReadError(f"Cannot read {name} of {self.label}: {error}") from error

    def close(self) -> None:  # noqa: B027  (most have nothing open)
        """Release what is held open."""


@dataclass(frozen=True, kw_only=True)
class ZipContents(LayerContents):
    """The files of a zip archive."""

    archive: zipfile.ZipFile = field(repr=False)
    members: Mapping[str, zipfile.ZipInfo] = field(repr=False)

    def open(self, name: str) -> IO[bytes]:
        """As `LayerContents.open`. Seeking backwards decompresses it anew: read small files whole instead."""
        member = self.members[name]
        try:
            return self.archive.open(member)
        except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError) as error:
            raise LayerReadError(f"Cannot read {name} of {self.label}: {error}") from error

    def close(self) -> None:
        """Close the archive."""
        self.archive.close()


@dataclass(frozen=True, kw_only=True)
class DirectoryContents(LayerContents):
    """The files of a directory, as they would be zipped from inside it."""

    root: Path

    def open(self, name: str) -> IO[bytes]:
        """As `LayerContents.open`."""
        if name not in self.entries:
            raise KeyError(name)
        try:
            return (self.root / name).open("rb")
        except OSError as error:
            raise LayerReadError(f"Cannot read {self.root / name}: {error.strerror or error}") from error


@contextmanager
def open_contents(source: Path | BinaryIO, *, label: str = "") -> Iterator[LayerContents]:
    """The contents of a zip archive (a path, or an open file that can be sought in) or of a directory.

    Raises:
        LayerReadError: It is not there, or neither a directory nor a zip archive.
    """
    contents: LayerContents
    if isinstance(source, Path) and source.is_dir():
        contents = _of_directory(source, label or str(source))
    else:
        contents = _of_archive(source, label or str(source))
    try:
        yield contents
    finally:
        contents.close()


def _of_archive(source: Path | BinaryIO, label: str) -> ZipContents:
    try:
        archive = BoundedZip(source)
    except FileNotFoundError:
        raise LayerReadError(f"There is no {label}") from None
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
        raise LayerReadError(f"{label} is not a zip archive that can be read: {error}") from error
    entries: dict[str, ContentEntry] = {}
    members: dict[str, zipfile.ZipInfo] = {}
    problems: list[Problem] = []
    for info in archive.infolist():
        name = info.filename.rstrip("/")
        path = PurePosixPath(name)
        if not name or path.is_absolute() or ".." in path.parts or "\\" in name:
            problems.append(Problem(info.filename, "leads out of the layer, or is not a path with /"))
            continue
        raw = name.encode("utf-8", "surrogateescape")
        if len(raw) > _NAME_MOST_BYTES or max(map(len, raw.split(b"/"))) > _PART_MOST_BYTES:
            problems.append(Problem(info.filename[:_NAME_SHOWN], "has a name that is too long for a file"))
            continue
        if str(path) in entries and not info.is_dir():
            problems.append(Problem(info.filename, "is in the archive twice"))
        mode = info.external_attr >> 16
        kind = EntryKind.DIRECTORY if info.is_dir() else EntryKind.LINK if stat.S_ISLNK(mode) else EntryKind.FILE
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
            problems.append(Problem(info.filename, "is a device, a socket or a pipe"))
            continue
        # Without Unix modes a file is readable, and a directory can be entered: as Lamella extracts them.
        permissions = stat.S_IMODE(mode) & 0o777 if mode else 0o755 if kind is EntryKind.DIRECTORY else 0o644
        target = ""
        if kind is EntryKind.LINK:
            try:
                target = os.fsdecode(archive.open(info).read(_LINK_MOST_BYTES))
            except (*DAMAGE, RuntimeError) as error:
                problems.append(Problem(info.filename, f"is a link that cannot be read: {error}"))
        is_file = kind is EntryKind.FILE
        if is_file:
            members[str(path)] = info
        entries[str(path)] = ContentEntry(
            str(path),
            kind,
            permissions,
            info.file_size if is_file else 0,
            info.compress_size,
            info.CRC if is_file else None,
            target,
        )
    zipped_bytes = Path(source).stat().st_size if isinstance(source, Path) else _size(source)
    return ZipContents(
        label=label,
        entries=dict(sorted(entries.items())),
        zipped_bytes=zipped_bytes,
        problems=tuple(problems),
        archive=archive,
        members=members,
    )


def _size(file: BinaryIO) -> int:
    return file.seek(0, io.SEEK_END)


def _of_directory(root: Path, label: str) -> DirectoryContents:
    entries: dict[str, ContentEntry] = {}
    problems: list[Problem] = []
    for directory, subdirectories, names in os.walk(root):
        for name in [*subdirectories, *names]:
            path = Path(directory, name)
            relative = path.relative_to(root).as_posix()
            status = path.lstat()
            mode = stat.S_IMODE(status.st_mode) & 0o777
            if stat.S_ISLNK(status.st_mode):
                entries[relative] = ContentEntry(relative, EntryKind.LINK, mode, target=str(path.readlink()))
            elif stat.S_ISDIR(status.st_mode):
                entries[relative] = ContentEntry(relative, EntryKind.DIRECTORY, mode)
            elif stat.S_ISREG(status.st_mode):
                entries[relative] = ContentEntry(relative, EntryKind.FILE, mode, status.st_size)
            else:
                problems.append(Problem(relative, "is a device, a socket or a pipe"))
    return DirectoryContents(label=label, entries=dict(sorted(entries.items())), problems=tuple(problems), root=root)
