"""Files that are copied as they are, extensions, and the program of a custom runtime."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Final

from lamella.domain.function import Architecture
from lamella.layers.build.recipe import BootstrapTable, ExtensionTable, FilesTable
from lamella.layers.build.sources import Collected, Progress, Target
from lamella.layers.build.tree import is_executable, stays_inside, walk
from lamella.layers.errors import LayerBuildError

_LITTER: Final = frozenset({".git", ".hg", ".svn", "__pycache__", ".DS_Store", "Thumbs.db"})
"""What version control, Python and file managers leave in directories; nobody means it."""

_MACHINES: Final = {Architecture.X86_64: 62, Architecture.ARM64: 183}
"""`e_machine` of programs. Source: `elf.h`, EM_X86_64 and EM_AARCH64."""


@dataclass(frozen=True, slots=True)
class FilesSource:
    """Copies a file or directory."""

    table: FilesTable

    def collect(self, target: Target, into: Path, progress: Progress) -> Collected:
        """As `Source.collect`."""
        del progress
        source = for_target(self.table.source, target)
        below = safe_path(self.table.to) if self.table.to else PurePosixPath()
        if source.is_file():
            name = below if self.table.to and not self.table.to.endswith("/") else below / source.name
            _copy(source, into / name, executable=self.table.executable or is_executable(source))
            return Collected()
        if not source.is_dir():
            raise LayerBuildError(f"There is no file or directory {source}")
        for path in sorted(walk(source)):
            relative = path.relative_to(source)
            if _LITTER.intersection(relative.parts) or _excluded(relative.as_posix(), self.table.exclude):
                continue
            if path.is_symlink():
                _link(path, relative.as_posix(), into / below / relative)
            else:
                _copy(path, into / below / relative, executable=self.table.executable or is_executable(path))
        return Collected()


@dataclass(frozen=True, slots=True)
class ProgramSource:
    """Copies one program to where Lambda looks for it, and makes it executable.

    Attributes:
        to: Its name below `/opt`.
    """

    source: Path
    to: PurePosixPath

    @classmethod
    def extension(cls, table: ExtensionTable) -> "ProgramSource":
        """An external extension. Source: developer guide, "extensions-api" (every file in `/opt/extensions`)."""
        return cls(table.source, PurePosixPath("extensions") / (table.name or table.source.name))

    @classmethod
    def bootstrap(cls, table: BootstrapTable) -> "ProgramSource":
        """The program of a custom runtime. Source: developer guide, "runtimes-custom"."""
        return cls(table.source, PurePosixPath("bootstrap"))

    def collect(self, target: Target, into: Path, progress: Progress) -> Collected:
        """As `Source.collect`."""
        del progress
        source = for_target(self.source, target)
        if not source.is_file():
            raise LayerBuildError(
                f"There is no program {source} to be {self.to}"
                + ("; a directory with an extension's other files goes into [[files]]" if source.is_dir() else "")
            )
        check_program(source, target.architecture)
        _copy(source, into / self.to, executable=True)
        return Collected()


def for_target(source: Path, target: Target) -> Path:
    """A path with the architecture in place of `{architecture}`."""
    return Path(str(source).replace("{architecture}", target.architecture.value))


def check_program(path: Path, architecture: Architecture) -> None:
    """Refuse a program that will not start.

    Raises:
        LayerBuildError: It is for another machine, or its first line names no interpreter.
    """
    with path.open("rb") as file:
        head = file.read(256)
    if head.startswith(b"\x7fELF"):
        machine = int.from_bytes(head[18:20], "little")
        if machine != _MACHINES[architecture]:
            others = [name.value for name, number in _MACHINES.items() if number == machine]
            raise LayerBuildError(
                f"{path} is a program for {others[0] if others else f'machine {machine}'}, and the layer is for "
                f"{architecture}: write {{architecture}} in its path if there is one for each"
            )
    elif not head.startswith(b"#!"):
        raise LayerBuildError(
            f"{path} is neither a Linux program nor a script that begins with #!: it cannot be started"
        )
    elif head.partition(b"\n")[0].endswith(b"\r"):
        raise LayerBuildError(f"{path} has line ends of Windows, so its interpreter will not be found: dos2unix {path}")


def safe_path(text: str) -> PurePosixPath:
    """A path below `/opt`.

    Raises:
        LayerBuildError: It leads elsewhere.
    """
    path = PurePosixPath(text.removeprefix("/opt/"))
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise LayerBuildError(f"{text} is not a path below /opt")
    return path


def _excluded(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) or fnmatchcase(PurePosixPath(name).name, pattern) for pattern in patterns)


def _copy(source: Path, target: Path, *, executable: bool) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    except OSError as error:
        raise LayerBuildError(f"Cannot copy {source}: {error.strerror or error}") from error
    target.chmod(0o755 if executable else 0o644)


def _link(source: Path, name: str, target: Path) -> None:
    leads_to = str(source.readlink())
    if not stays_inside(name, leads_to):
        raise LayerBuildError(f"The link {source} leads to {leads_to}, out of what is copied")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(leads_to)
