"""Which program starts the runtime, and why it could not (rules EN-20 to EN-22, texts of section 4.4).

The host can see every tree that the sandbox will see, so it decides before anything is started. That gives the kernel's
own reasons as AWS words them, the same for every OCI runtime, and costs a few system calls.
"""

import errno
import itertools
import os
import stat
import struct
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from lamella.domain.function import Architecture

_ELF_MACHINES: Final = {Architecture.X86_64: 62, Architecture.ARM64: 183}
_MAX_LINKS: Final = 40  # as the kernel's own limit


class InvalidEntrypointError(Exception):
    """There is no program that could start the runtime; the text is that of `Runtime.InvalidEntrypoint`."""


class View:
    """The file system as a sandbox sees it, read from the trees it is made of. Links are followed inside it only."""

    def __init__(self, *, rootfs: Path, task: Path, layers: Sequence[Path]) -> None:
        self._rootfs = rootfs
        self._above_mounts = {
            PurePosixPath("/"),
            PurePosixPath("/var"),
            PurePosixPath("/var/task"),
            PurePosixPath("/opt"),
        }
        # The last layer wins (6.2); a path is looked up in the first tree that has it.
        self._mounts: list[tuple[PurePosixPath, list[Path]]] = [
            (PurePosixPath("/var/task"), [task]),
            (PurePosixPath("/opt"), list(reversed(layers))),
            (PurePosixPath("/"), [rootfs]),
        ]

    def find(self, path: str) -> Path | None:
        """The host's path of a file, with symbolic links resolved as the sandbox would; `None` if it does not exist."""
        todo = list(reversed(PurePosixPath(path).parts[1:]))
        here = PurePosixPath("/")
        links = 0
        found: Path | None = None
        while todo:
            part = todo.pop()
            if part == "..":
                here = here.parent
                continue
            here /= part
            found = self._lookup(here)
            if found is None:
                return None
            if found.is_symlink():
                links += 1
                if links > _MAX_LINKS:
                    return None
                target = PurePosixPath(found.readlink())
                here = PurePosixPath("/") if target.is_absolute() else here.parent
                todo += reversed([part for part in target.parts if part != "/"])
        return found or self._lookup(here)

    def files(self, path: str) -> tuple[str, ...]:
        """Names in a directory of `/opt` that are no directories themselves, sorted, links among them (EX-01)."""
        folder = PurePosixPath(path)
        parts = folder.relative_to("/opt").parts
        names = {
            entry.name
            for tree in self._mounts[1][1]
            if _is_plain_directory(tree.joinpath(*parts))
            for entry in tree.joinpath(*parts).iterdir()
        }
        found = {name: self._lookup(folder / name) for name in names}
        return tuple(sorted(name for name, entry in found.items() if entry is not None and not _is_directory(entry)))

    def _lookup(self, path: PurePosixPath) -> Path | None:
        """Where the kernel finds a path, none of whose parents is a link. No link is followed on the host either."""
        if path in self._above_mounts:
            return self._rootfs
        for mount, trees in self._mounts:
            if path.is_relative_to(mount):
                return _merged(trees, path.relative_to(mount).parts)
        return None


def _merged(trees: Sequence[Path], parts: Sequence[str]) -> Path | None:
    """Look up a path in directories that are merged as an overlay merges them, the first one on top.

    Directories of one name are merged; anything else on top hides whatever is below it.
    """
    folders = list(trees)
    for position, part in enumerate(parts):
        found = [folder / part for folder in folders if os.path.lexists(folder / part)]
        if not found:
            return None
        if position == len(parts) - 1:
            return found[0]
        folders = list(itertools.takewhile(_is_directory, found))
    return folders[0] if folders else None


def _is_plain_directory(path: Path) -> bool:
    """Whether it exists and is a directory, not a link to one, which could lead anywhere on the host."""
    return os.path.lexists(path) and _is_directory(path)


def _is_directory(path: Path) -> bool:
    return stat.S_ISDIR(path.lstat().st_mode)


def find_entrypoint(candidates: Sequence[str], view: View, architecture: Architecture) -> str:
    """The first candidate that exists, as the sandbox will see it.

    Raises:
        InvalidEntrypointError: None exists, or the first that does cannot be executed.
    """
    for candidate in candidates:
        found = view.find(candidate)
        if found is None or found.is_dir():
            continue
        if problem := launch_problem(candidate, view, architecture):
            raise InvalidEntrypointError(problem)
        return candidate
    raise InvalidEntrypointError(f"Couldn't find valid bootstrap(s): [{' '.join(candidates)}]")


def launch_problem(program: str, view: View, architecture: Architecture) -> str:
    """Why a program could not be started inside the sandbox, as AWS words it; empty if it can."""
    found = view.find(program)
    problem = errno.ENOENT if found is None else _exec_problem(found, view, architecture)
    return f"fork/exec {program}: {os.strerror(problem).lower()}" if problem else ""


def _exec_problem(program: Path, view: View, architecture: Architecture) -> int:
    """The error number that `execve` would give to an unprivileged user, or 0."""
    status = program.stat()
    if not stat.S_ISREG(status.st_mode) or not status.st_mode & stat.S_IXOTH:
        return errno.EACCES
    if not status.st_mode & stat.S_IROTH:
        # The kernel would run it, the dynamic loader or the interpreter could not read it.
        return errno.EACCES
    with program.open("rb") as file:
        head = file.read(4096)
    if head.startswith(b"#!"):
        line = head[2:].partition(b"\n")[0].strip(b" \t").replace(b"\t", b" ")
        interpreter = os.fsdecode(line.partition(b" ")[0])
        # A carriage return at the end of the line is part of the name, which is why CRLF scripts do not start.
        return 0 if interpreter and view.find(interpreter) else errno.ENOENT
    if not head.startswith(b"\x7fELF"):
        return errno.ENOEXEC
    if len(head) < 64 or head[4] != 2 or struct.unpack_from("<H", head, 18)[0] != _ELF_MACHINES[architecture]:
        return errno.ENOEXEC
    loader = _elf_interpreter(head)
    return errno.ENOENT if loader and view.find(loader) is None else 0


def _elf_interpreter(head: bytes) -> str:
    """Path of the dynamic loader named by a 64-bit little-endian ELF file, empty if it is static."""
    (table,) = struct.unpack_from("<Q", head, 32)
    size, count = struct.unpack_from("<HH", head, 54)
    for index in range(count):
        at = table + index * size
        if at + 56 > len(head):
            break
        (kind,) = struct.unpack_from("<I", head, at)
        if kind == 3:  # PT_INTERP
            offset, length = struct.unpack_from("<Q", head, at + 8)[0], struct.unpack_from("<Q", head, at + 32)[0]
            return os.fsdecode(head[offset : offset + length].rstrip(b"\0"))
    return ""
