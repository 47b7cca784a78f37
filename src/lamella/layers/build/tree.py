"""A directory that stands for `/opt`: filled by sources, cleaned, and turned into the entries of an archive."""

import base64
import csv
import filecmp
import hashlib
import io
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from lamella.layers.archive import Entry
from lamella.layers.errors import LayerBuildError

_RECORDS: Final = "*.dist-info/RECORD"
_SITES: Final = ("python", "python/lib/python3.*/site-packages")


def merge(part: Path, into: Path, source: str, owners: dict[str, str]) -> None:
    """Move what one source has collected to what others have.

    Args:
        part: Emptied by it.
        into: On the same file system.
        source: What to call it.
        owners: Which source each file is of; added to.

    Raises:
        LayerBuildError: Two sources have different files of one name.
    """
    for path in walk(part):
        name = path.relative_to(part).as_posix()
        target = into / name
        if target.is_symlink() or target.exists():
            if not _same(path, target):
                raise LayerBuildError(
                    f"{owners.get(name, 'Another source')} and {source} both bring {name}, and not the same"
                )
            continue
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise LayerBuildError(
                f"{source} brings {name}, and another source has a file in place of its directory"
            ) from None
        path.rename(target)
        owners[name] = source


def _same(one: Path, other: Path) -> bool:
    if one.is_symlink() or other.is_symlink():
        return one.is_symlink() and other.is_symlink() and one.readlink() == other.readlink()
    if other.is_dir():
        return False
    alike = is_executable(one) == is_executable(other)
    return alike and filecmp.cmp(one, other, shallow=False)


def walk(root: Path) -> Iterator[Path]:
    """All files and symbolic links below a directory; links to directories count as links.

    Raises:
        LayerBuildError: There is a device, a socket or a pipe.
    """
    for directory, subdirectories, names in os.walk(root):
        links = [name for name in subdirectories if Path(directory, name).is_symlink()]
        for name in [*links, *names]:
            path = Path(directory, name)
            mode = path.lstat().st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
                raise LayerBuildError(f"{path} is a device, a socket or a pipe: a layer cannot hold it")
            yield path


def is_executable(path: Path) -> bool:
    """Whether somebody may execute it: umask takes bits of others, and git keeps the owner's alone."""
    return bool(path.stat().st_mode & 0o111)


def entries_of(root: Path) -> dict[str, Entry]:
    """The files and links of a directory, by name.

    Raises:
        LayerBuildError: A link leads out of the layer, or a name is not UTF-8.
    """
    found: dict[str, Entry] = {}
    for path in walk(root):
        name = path.relative_to(root).as_posix()
        try:
            name.encode()
        except UnicodeEncodeError:
            raise LayerBuildError(
                f"The file name {os.fsencode(name)!r} is not UTF-8: a zip archive cannot hold it"
            ) from None
        if path.is_symlink():
            target = str(path.readlink())
            if not stays_inside(name, target):
                raise LayerBuildError(f"The link {name} leads to {target}, which is not in the layer")
            found[name] = Entry(target.encode(), link=True)
        else:
            found[name] = Entry(path, executable=is_executable(path))
    return found


def stays_inside(name: str, target: str) -> bool:
    """Whether a link is relative and leads to somewhere in the layer."""
    if not target or target.startswith("/"):
        return False
    depth = len(PurePosixPath(name).parent.parts)
    for part in target.split("/"):
        depth += -1 if part == ".." else 0 if part in ("", ".") else 1
        if depth < 0:
            return False
    return True


def rewrite_records(root: Path) -> None:
    """Make the lists of files that Python packages have of themselves say what is there, in a fixed order."""
    for site in _SITES:
        for record in root.glob(f"{site}/{_RECORDS}"):
            record.write_text(record_of(record, record.parent.parent), encoding="utf-8")


def record_of(record: Path, site: Path) -> str:
    """A package's list of files, as `importlib.metadata` reads it, without those that are not there."""
    own = f"{record.parent.name}/{record.name}"
    rows: dict[str, tuple[str, str]] = {own: ("", "")}
    for row in csv.reader(record.read_text(encoding="utf-8", errors="replace").splitlines()):
        name = row[0] if row else ""
        path = site / name
        if not name or name == own or ".." in PurePosixPath(name).parts or not path.is_file():
            continue
        digest, size = (row[1], row[2]) if len(row) >= 3 else ("", "")
        if size != str(path.stat().st_size) and digest:  # its debug symbols are gone
            data = path.read_bytes()
            encoded = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            digest, size = f"sha256={encoded}", str(len(data))
        rows[name] = (digest, size)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows((name, *rows[name]) for name in sorted(rows))
    return text.getvalue()


def sizes_by_owner(names: Mapping[str, int], owners: Mapping[str, str]) -> dict[str, int]:
    """How much each owner has of some files, of which the owners are named by file or by directory; bytes."""
    found: dict[str, int] = {}
    for name, size in names.items():
        owner = owners.get(name) or next(
            (owners[str(parent)] for parent in PurePosixPath(name).parents if str(parent) in owners), None
        )
        if owner is not None:
            found[owner] = found.get(owner, 0) + size
    return found


def recorded_files(record: str) -> list[str]:
    """The names in a package's list of files, relative to the module search directory."""
    return [row[0] for row in csv.reader(record.splitlines()) if row]
