"""A root tree in the making: files copied from a system, or written, with owner and modes that a sandbox can trust."""

import hashlib
import os
import shutil
import stat
import subprocess
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from lamella.elf import ElfError, is_elf
from lamella.runtimes.errors import PackBuildError
from lamella.runtimes.system import System

# Where every library goes, whatever its directory on the host; Amazon Linux keeps them here too.
LIBRARIES: Final = "/usr/lib64"


# Without /proc the loader cannot tell where a program lies, so that libraries beside it are found only by this.
SEARCH_PATH: Final = "/var/lang/lib:/lib64:/usr/lib64"
"""`LD_LIBRARY_PATH` of programs that run inside a tree while it is built: what the sandbox's begins with."""


def _mode(status: os.stat_result) -> int:
    """Readable by all, writable by the owner alone, executable by all or by nobody; never setuid or setgid."""
    return 0o755 if stat.S_ISDIR(status.st_mode) or status.st_mode & 0o111 else 0o644


class RootTree:
    """Builds a root tree below a directory; paths are those inside the sandbox (`/usr/bin/env`)."""

    def __init__(self, root: Path, system: System) -> None:
        self.root = root
        self.system = system
        self.finder = system.finder
        self.sources: dict[str, tuple[int, int]] = {}
        """Each host file that was copied one by one, with size and mtime in ns: how a later start sees an update."""
        self.derived: set[str] = set()
        """Files that were made from the rest of the tree and speed up its use, such as an archive of classes: making
        them again need not give the same bytes, so the tree's digest is without them."""
        self._copies: dict[Path, Path] = {}

    def path(self, inside: str) -> Path:
        """Where a path inside the sandbox is on the host, links on the way resolved within the tree."""
        current = self.root
        for part in Path(inside).relative_to("/").parts:
            current /= part
            if current.is_symlink():
                target = str(current.readlink())
                within = target if target.startswith("/") else f"/{current.parent.relative_to(self.root)}/{target}"
                current = self.path(os.path.normpath(within))
        return current

    def mkdir(self, inside: str) -> Path:
        """Make a directory with its parents."""
        path = self.path(inside)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def write(self, inside: str, content: str | bytes, *, executable: bool = False) -> None:
        """Write a file."""
        path = self.mkdir(os.path.dirname(inside)) / os.path.basename(inside)  # noqa: PTH119, PTH120 - not a host path
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(0o755 if executable else 0o644)

    def symlink(self, inside: str, target: str) -> None:
        """Make a symbolic link, unless something is there already."""
        path = self.mkdir(os.path.dirname(inside)) / os.path.basename(inside)  # noqa: PTH119, PTH120 - not a host path
        if not path.exists() and not path.is_symlink():
            path.symlink_to(target)

    def copy(self, source: Path, inside: str) -> None:
        """Copy a file's content; a second name for the same host file becomes a hard link."""
        real = source.resolve()
        path = self.mkdir(os.path.dirname(inside)) / os.path.basename(inside)  # noqa: PTH119, PTH120 - not a host path
        if path.exists():
            return
        if real in self._copies:
            os.link(self._copies[real], path)
            return
        self.system.take(real, path)
        status = real.stat()
        path.chmod(_mode(status))
        self._copies[real] = path
        if self.system.is_host:
            self.sources[str(real)] = (status.st_size, status.st_mtime_ns)

    def copy_program(self, source: Path, inside: str) -> None:
        """Copy a program with its dynamic loader and all libraries it needs.

        Raises:
            PackBuildError: A library it needs is not on this host.
        """
        self.copy(source, inside)
        if is_elf(source.resolve()):
            self.add_libraries_of(source)

    def add_libraries_of(self, *files: Path) -> None:
        """Copy the dynamic loader and all libraries that ELF files need, but not the files themselves.

        Raises:
            PackBuildError: A library is not on this host; nothing was copied.
        """
        try:
            closure = self.finder.closure(files)
        except ElfError as error:
            raise PackBuildError(str(error)) from error
        for file in files:
            interpreter = self.finder.read(file).interpreter
            if interpreter is not None:
                self.copy(self.system.path(interpreter), interpreter)
        for name, path in closure.items():
            self.copy(path, f"{LIBRARIES}/{name}")

    def harden(self) -> None:
        """Give everything to root (if we are root) and take away write and special permission bits."""
        as_root = os.geteuid() == 0
        for path in (self.root, *_walk(self.root)):
            status = path.lstat()
            if as_root:
                os.lchown(path, 0, 0)
            if not stat.S_ISLNK(status.st_mode):
                path.chmod(_mode(status))


def chroot_program() -> str | None:
    """The program that enters a tree, wherever `PATH` leads; `None` if there is none, or it would not be allowed to."""
    return shutil.which("chroot", path="/usr/sbin:/usr/bin:/sbin:/bin") if os.geteuid() == 0 else None


def try_program(tree: RootTree, *command: str) -> str | None:
    """Run a program of a tree inside of it, if this process may change its root; what is wrong, or `None`."""
    chroot = chroot_program()
    if chroot is None:
        return None
    try:
        result = subprocess.run(
            [chroot, tree.root, *command],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd="/",
            env={"LD_LIBRARY_PATH": SEARCH_PATH},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    said = (result.stderr.strip() or result.stdout.strip()).splitlines()
    return None if result.returncode == 0 else "\n".join(said[:4]) or f"exit status {result.returncode}"


def _walk(root: Path) -> Iterator[Path]:
    """Everything below a directory, in an order that depends on names alone."""
    for entry in sorted(os.scandir(root), key=lambda entry: entry.name):
        path = Path(entry.path)
        yield path
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(path)


def tree_digest(root: Path, without: Collection[str] = ()) -> str:
    """SHA-256 over names, kinds, permission bits and contents of a tree; times and owners do not count.

    Args:
        root: The tree.
        without: Paths inside the sandbox that do not count either.
    """
    digest = hashlib.sha256()
    left_out = {root / inside.lstrip("/") for inside in without}
    for path in _walk(root):
        if path in left_out:
            continue
        status = path.lstat()
        name = os.fsencode(path.relative_to(root))
        if stat.S_ISLNK(status.st_mode):
            kind, content = b"link", os.fsencode(path.readlink())
        elif stat.S_ISDIR(status.st_mode):
            kind, content = b"dir", b""
        elif stat.S_ISREG(status.st_mode):
            with path.open("rb") as file:
                kind, content = b"file", hashlib.file_digest(file, "sha256").digest()
        else:
            kind, content = b"other", b"%d" % status.st_rdev
        mode = b"%o" % stat.S_IMODE(status.st_mode) if kind != b"link" else b""
        for part in (name, kind, mode, content):
            digest.update(b"%d:" % len(part))
            digest.update(part)
    return digest.hexdigest()


def tree_size_bytes(root: Path) -> int:
    """Sum of the sizes of all files, each hard-linked file once."""
    seen: dict[int, int] = {}
    for path in _walk(root):
        status = path.lstat()
        if stat.S_ISREG(status.st_mode):
            seen[status.st_ino] = status.st_size
    return sum(seen.values())
