"""What extracting an archive would create, decided and checked as a whole before anything is written.

Nothing in a plan can lead outside of its tree: names are relative, without `..`; every parent is a directory of the
plan itself, never a link; and only directories, files and links are created.

Symbolic links are kept as they are, wherever they point, as on AWS: within a sandbox, `/opt/lib/x` and `../task/y` are
legitimate targets, and a link can show a function nothing it could not open by name. So no link is ever followed when
extracting, and whoever reads a tree from outside a sandbox must not follow any either.
"""

import re
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from lamella.adapters.filesystem.ziplayout import MAX_ENTRIES, Method, RawEntry, refusal, shown
from lamella.ports.stores import ArchiveTooLargeError

MAX_COMPONENT_BYTES: Final = 255  # NAME_MAX
MAX_PATH_BYTES: Final = 4095 - len("/var/task/")  # PATH_MAX, where the tree will be mounted
MAX_LINK_BYTES: Final = 4095

_UNIX: Final = 3
_DARWIN: Final = 19
_DRIVE: Final = re.compile(r"[A-Za-z]:[/\\]")
_EPOCH_1980_S: Final = 315_532_800


@dataclass(frozen=True, slots=True)
class PlannedEntry:
    """A file or a link to create.

    Attributes:
        path: Relative to the tree, UTF-8; bytes, so that the locale has no say.
        mode: Permissions only.
        modified_s: Seconds since 1970; the archive's local time taken as UTC.
    """

    path: bytes
    mode: int
    modified_s: int
    method: Method
    crc: int
    compressed_bytes: int
    size_bytes: int
    data_offset: int


@dataclass(frozen=True, slots=True)
class PlannedDirectory:
    """A directory to create; `modified_s` is `None` if it is only implied by what it holds."""

    path: bytes
    mode: int = 0o755
    modified_s: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """All there is to create.

    Attributes:
        directories: Parents before their children; the tree's root is not among them.
        unzipped_bytes: Sum of the declared sizes, which extraction enforces.
    """

    directories: list[PlannedDirectory]
    files: list[PlannedEntry]
    links: list[PlannedEntry]
    unzipped_bytes: int


def make_plan(entries: list[RawEntry], *, max_unzipped_bytes: int) -> Plan:
    """Decide what to create.

    Raises:
        ArchiveTooLargeError: The entries declare more than `max_unzipped_bytes` in all.
        ArchiveError: An entry that cannot be extracted safely, or two that contradict each other.
    """
    unzipped_bytes = sum(entry.size_bytes for entry in entries)
    if unzipped_bytes > max_unzipped_bytes:
        raise too_large(max_unzipped_bytes)
    directories: dict[bytes, PlannedDirectory] = {}
    others: dict[bytes, PlannedEntry] = {}
    files: list[PlannedEntry] = []
    links: list[PlannedEntry] = []
    for entry in entries:
        path = _path(entry)
        kind = _kind(entry)
        if not path:
            if kind != stat.S_IFDIR:
                raise refusal(f"{shown(entry.name)} is not a file name")
            continue  # "./", the tree itself
        parent = path.rpartition(b"/")[0]
        if parent and parent not in directories:
            _imply(parent, directories)
        if kind == stat.S_IFDIR:
            directories[path] = PlannedDirectory(path, _mode(entry, 0o755) | 0o755, _modified_s(entry.dos_time))
        elif path in others:
            raise refusal(f"{shown(entry.name)} occurs more than once")
        else:
            planned = PlannedEntry(
                path=path,
                mode=_mode(entry, 0o644),
                modified_s=_modified_s(entry.dos_time),
                method=entry.method,
                crc=entry.crc,
                compressed_bytes=entry.compressed_bytes,
                size_bytes=entry.size_bytes,
                data_offset=entry.data_offset,
            )
            others[path] = planned
            (links if kind == stat.S_IFLNK else files).append(planned)
        if len(directories) + len(others) > MAX_ENTRIES:
            raise refusal(f"the archive holds more than {MAX_ENTRIES} files and directories")
    if clash := directories.keys() & others.keys():
        raise refusal(f"{shown(min(clash).decode())} is a directory, and something else as well")
    return Plan([directories[path] for path in sorted(directories)], files, links, unzipped_bytes)


def too_large(max_unzipped_bytes: int) -> ArchiveTooLargeError:
    """AWS's error for too much content."""
    return ArchiveTooLargeError(f"Unzipped size must be smaller than {max_unzipped_bytes} bytes")


def _imply(path: bytes, directories: dict[bytes, PlannedDirectory]) -> None:
    while path and path not in directories:
        directories[path] = PlannedDirectory(path)
        if len(directories) > MAX_ENTRIES:
            raise refusal(f"the archive holds more than {MAX_ENTRIES} files and directories")
        path = path.rpartition(b"/")[0]


def _path(entry: RawEntry) -> bytes:
    """The normal form of an entry's name; empty if it means the tree itself."""
    name = entry.name
    if not name:
        raise refusal("an entry has no name")
    if "\0" in name:
        raise refusal(f"the name {shown(name)} holds a NUL")
    if name[0] in "/\\" or _DRIVE.match(name):
        raise refusal(f"{shown(name)} is an absolute path")
    # A backslash is a plain character on Unix. It is taken for a separator only where that may do harm.
    if ".." in re.split(r"[/\\]", name):
        raise refusal(f"{shown(name)} leads out of the archive")
    if "\\" in name and entry.system not in (_UNIX, _DARWIN):
        raise refusal(f"{shown(name)} has backslashes; the separator in a zip archive is /")
    components = [part for part in name.encode().split(b"/") if part not in (b"", b".")]
    path = b"/".join(components)
    if len(path) > MAX_PATH_BYTES or any(len(part) > MAX_COMPONENT_BYTES for part in components):
        raise refusal(f"the name {shown(name)} is too long")
    return path


def _kind(entry: RawEntry) -> int:
    """`S_IFREG`, `S_IFDIR` or `S_IFLNK`."""
    kind = stat.S_IFMT(entry.attributes >> 16) if entry.system in (_UNIX, _DARWIN) else 0
    slash = entry.name.endswith("/")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
        raise refusal(f"{shown(entry.name)} is neither a file nor a directory nor a symbolic link")
    if kind == stat.S_IFLNK:
        if slash:
            raise refusal(f"{shown(entry.name)} is both a directory and a symbolic link")
        if not 0 < entry.size_bytes <= MAX_LINK_BYTES:
            raise refusal(f"the symbolic link {shown(entry.name)} has a target of {entry.size_bytes} bytes")
        return stat.S_IFLNK
    if slash or kind == stat.S_IFDIR:
        if entry.size_bytes:
            raise refusal(f"the directory {shown(entry.name)} has content")
        return stat.S_IFDIR
    return stat.S_IFREG


def _mode(entry: RawEntry, default: int) -> int:
    """Permissions, without set-uid, set-gid and sticky bits. Those of other systems than Unix mean nothing, as on AWS.

    Source: aws-lambda-go's build-lambda-zip exists because a zip made on Windows must say it was made on Unix for the
    executable bit to count.
    """
    mode = entry.attributes >> 16
    if entry.system not in (_UNIX, _DARWIN) or mode == 0:
        return default
    return mode & 0o777


def _modified_s(dos_time: int) -> int:
    date, time = dos_time >> 16, dos_time & 0xFFFF
    try:
        moment = datetime(
            (date >> 9) + 1980,
            date >> 5 & 15,
            date & 31,
            time >> 11,
            time >> 5 & 63,
            (time & 31) * 2,
            tzinfo=UTC,
        )
    except ValueError:  # many tools write zeros
        return _EPOCH_1980_S
    return int(moment.timestamp())
