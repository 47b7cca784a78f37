"""Which program starts the runtime, and why it could not (rules EN-20 to EN-22 and EN-25, texts of section 4.4).

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
from lamella.domain.image import Launch

_ELF_MACHINES: Final = {Architecture.X86_64: 62, Architecture.ARM64: 183}
_MAX_LINKS: Final = 40  # as the kernel's own limit
_MAX_INTERPRETERS: Final = 4  # as the kernel's own limit: a script's interpreter may be a script


class InvalidEntrypointError(Exception):
    """There is no program that could start the runtime; the text is that of `Runtime.InvalidEntrypoint`."""


class InvalidWorkingDirectoryError(Exception):
    """The runtime cannot start where it should; the text is that of `Runtime.InvalidWorkingDir`."""


class View:
    """The file system as a sandbox sees it, read from the trees it is made of. Links are followed inside it only."""

    def __init__(self, *, rootfs: Path, task: Path | None = None, layers: Sequence[Path] = ()) -> None:
        """Without a tree for `/var/task` the root has all there is, as that of a container image."""
        self._rootfs = rootfs
        self._above_mounts = {PurePosixPath("/")}
        # The last layer wins (6.2); a path is looked up in the first tree that has it.
        self._mounts: list[tuple[PurePosixPath, list[Path]]] = [(PurePosixPath("/"), [rootfs])]
        if task is not None:
            self._above_mounts |= {PurePosixPath("/var"), PurePosixPath("/var/task"), PurePosixPath("/opt")}
            self._mounts = [
                (PurePosixPath("/var/task"), [task]),
                (PurePosixPath("/opt"), list(reversed(layers))),
                *self._mounts,
            ]

    def find(self, path: str) -> Path | None:
        """The host's path of a file, with symbolic links resolved as the sandbox would; `None` if it does not exist."""
        resolved = self._resolve(path)
        return None if resolved is None else self._lookup(resolved)

    def reachable(self, path: str) -> bool:
        """Whether an unprivileged user can get to a file that exists: may search every directory on the way."""
        resolved = self._resolve(path)
        if resolved is None:
            return False
        folders = [self._lookup(folder) for folder in resolved.parents]
        return all(folder is not None and folder.lstat().st_mode & stat.S_IXOTH for folder in folders)

    def files(self, path: str) -> tuple[str, ...]:
        """Names in a directory that are no directories themselves, sorted, links among them (EX-01)."""
        folder = self._resolve(path)
        if folder is None:
            return ()
        mount, trees = next((mount, trees) for mount, trees in self._mounts if folder.is_relative_to(mount))
        parts = folder.relative_to(mount).parts
        names = {
            entry.name
            for tree in trees
            if _is_plain_directory(tree.joinpath(*parts))
            for entry in tree.joinpath(*parts).iterdir()
        }
        found = {name: self._lookup(folder / name) for name in names}
        return tuple(sorted(name for name, entry in found.items() if entry is not None and not _is_directory(entry)))

    def _resolve(self, path: str) -> PurePosixPath | None:
        """The path without links; `None` if there is no such file."""
        todo = list(reversed(PurePosixPath(path).parts[1:]))
        here = PurePosixPath("/")
        links = 0
        while todo:
            part = todo.pop()
            if part == "..":
                here = here.parent
                continue
            here /= part
            found = self._lookup(here)
            if found is None:
                return None
            if found.is_symlink() and here not in self._above_mounts:  # the tree of a root may be reached by a link
                links += 1
                if links > _MAX_LINKS:
                    return None
                target = PurePosixPath(found.readlink())
                here = PurePosixPath("/") if target.is_absolute() else here.parent
                todo += reversed([part for part in target.parts if part != "/"])
        return here

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


def check_command(launch: Launch, search_path: str, view: View, architecture: Architecture) -> None:
    """Make sure that the first program of a container image can be started.

    A name without a slash is searched for in `search_path`; another that is not absolute begins at the working
    directory. Source: AWS's emulator for its steps and their order; answers of AWS quoted in public issues, 2021 to
    2025 (aws-samples/aws-lambda-elixir-runtime 13 for what is not found, silverton-io/buz 489 for a path).

    Raises:
        InvalidEntrypointError: There is none, or it cannot be executed.
        InvalidWorkingDirectoryError: The working directory is not there.
    """
    if not launch.argv:
        raise InvalidEntrypointError("Couldn't find valid bootstrap(s): []")
    directory = launch.working_directory
    if not directory.startswith("/"):
        raise InvalidWorkingDirectoryError(
            f"the working directory '{directory}' is invalid, it needs to be an absolute path"
        )
    start = view.find(directory)
    if start is None:
        raise InvalidWorkingDirectoryError(f"the working directory doesn't exist: {directory}")
    program = launch.argv[0]
    problem = 0 if start.is_dir() else errno.ENOTDIR
    if not problem and not (start.stat().st_mode & stat.S_IXOTH and view.reachable(directory)):
        problem = errno.EACCES
    if problem:
        raise InvalidEntrypointError(f"fork/exec {program}: {os.strerror(problem).lower()}")
    found = program
    if "/" in program:
        found = str(PurePosixPath(directory, program))
    else:
        places = (str(PurePosixPath(directory, place, program)) for place in search_path.split(":") if place)
        runnable = next((place for place in places if _is_program(view.find(place))), None)
        if runnable is None:
            raise InvalidEntrypointError(f'exec: "{program}": executable file not found in $PATH')
        found = runnable
    if text := launch_problem(found, view, architecture, called=program):
        raise InvalidEntrypointError(text)


def launch_problem(program: str, view: View, architecture: Architecture, *, called: str = "") -> str:
    """Why a program could not be started inside the sandbox, as AWS words it; empty if it can.

    Args:
        program: Its absolute path.
        view: Of the sandbox.
        architecture: Of the function.
        called: How it is named, if not by its path.
    """
    found = view.find(program)
    if found is None:
        problem = errno.ENOENT
    else:
        problem = _exec_problem(found, view, architecture) if view.reachable(program) else errno.EACCES
    return f"fork/exec {called or program}: {os.strerror(problem).lower()}" if problem else ""


def _is_program(path: Path | None) -> bool:
    """Whether a search ends here, as that of the C library does: at a file that somebody may execute."""
    return path is not None and path.is_file() and bool(path.stat().st_mode & stat.S_IXOTH)


def _exec_problem(program: Path, view: View, architecture: Architecture, nested: int = 0) -> int:
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
        found = view.find(interpreter) if interpreter else None
        if found is None:
            return errno.ENOENT
        if nested == _MAX_INTERPRETERS:
            return errno.ELOOP
        return _exec_problem(found, view, architecture, nested + 1)
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
