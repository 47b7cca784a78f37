"""Writes a project: all of its files or none, and never over others."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from lamella.scaffold.project import File, ProjectError


def write_project(files: Mapping[str, File], directory: Path) -> None:
    """Write files into a directory, which is made if it is not there.

    Args:
        files: By their paths below it.
        directory: Its parent has to be there.

    Raises:
        ProjectError: Something is in the way; nothing has been written.
        OSError: The disk is full, or permission is lacking; nothing has been left.
    """
    if not directory.parent.is_dir():
        raise ProjectError(f"there is no directory {directory.parent} to make {directory.name} in")
    if os.path.lexists(directory):
        _write_into(files, directory)
        return
    # Beside its place and then moved there: who interrupts this finds no half of a project.
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}-", dir=directory.parent) as scratch:
        whole = Path(scratch, "project")
        whole.mkdir()
        _write_all(files, whole)
        whole.rename(directory)


def _write_into(files: Mapping[str, File], directory: Path) -> None:
    """Into a directory that is there, among whatever else it holds."""
    if not directory.is_dir():
        raise ProjectError(f"{directory} is there and is no directory; choose another name")
    in_the_way = sorted({str(_obstacle(directory, path)) for path in files if _obstacle(directory, path)})
    if in_the_way:
        shown = ", ".join(in_the_way[:5]) + (f" and {len(in_the_way) - 5} more" if len(in_the_way) > 5 else "")
        raise ProjectError(
            f"nothing was written to {directory}, which has {shown} already; choose another directory, or move "
            "them away"
        )
    written: list[Path] = []
    try:
        _write_all(files, directory, written)
    except BaseException:  # whatever it was, Ctrl-C too: what was written goes, and the caller hears of it
        for path in reversed(written):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
        raise


def _obstacle(directory: Path, path: str) -> PurePosixPath | None:
    """What keeps a file from being written: one of that name, or something else where a directory is wanted.

    A link is in the way as well: it might lead out of the directory.
    """
    parts = PurePosixPath(path)
    for parent in reversed(parts.parents[:-1]):
        found = directory / parent
        if found.is_symlink() or (found.exists() and not found.is_dir()):
            return parent
    return parts if os.path.lexists(directory / parts) else None


def _write_all(files: Mapping[str, File], directory: Path, written: list[Path] | None = None) -> None:
    made = [] if written is None else written
    for path, file in files.items():
        target = directory / path
        for parent in reversed(target.relative_to(directory).parents[:-1]):
            if not (directory / parent).exists():
                (directory / parent).mkdir()
                made.append(directory / parent)
        with target.open("xb") as opened:  # x: fails if it has come into being meanwhile
            made.append(target)
            opened.write(file.content)
        if file.executable:
            target.chmod(target.stat().st_mode | 0o111)
