"""Programs and shared libraries of this machine, with all libraries they need."""

import glob
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from lamella.elf import LibraryFinder, is_elf
from lamella.layers.build import dpkg
from lamella.layers.build.carry import carry, carry_libraries, check_directory, place
from lamella.layers.build.sources import Collected, Progress, Target
from lamella.layers.errors import LayerBuildError

_GLIBC_LOADERS: Final = ("ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1")
_SHELLS: Final = frozenset({"/bin/sh", "/bin/bash", "/usr/bin/sh", "/usr/bin/bash"})
"""Interpreters that every runtime has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeSource:
    """Programs for `bin/` and libraries for `lib/`.

    Attributes:
        programs: Names, found on PATH, or paths; each goes to `bin/` by its name.
        libraries: Names as programs ask for them (`libpq.so.5`), or paths; they go to `lib/` with all they need.
        extra: Patterns of absolute paths (`/usr/lib/x86_64-linux-gnu/gconv/*`) that programs open at run time, which
            no file tells of: plugins and data. They go to `lib/<directory>` with their whole path, plugins with all
            libraries they need.
        search: Directories in which libraries are looked for first: those of another architecture, say.
        directory: Of the programs' libraries, below `lib/`.
    """

    programs: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    search: tuple[Path, ...] = ()
    directory: str = "native"

    def collect(self, target: Target, into: Path, progress: Progress) -> Collected:
        """As `Source.collect`.

        Raises:
            LayerBuildError: Something is not there, is for another architecture, or cannot run on the target.
        """
        check_directory(self.directory)
        private = f"lib/{self.directory}"
        finder = LibraryFinder(first=self.search)
        warnings: list[str] = []
        files: dict[str, Path] = {}
        sources: dict[str, Path] = {}
        for program in self.programs:
            path = _program(program)
            name = f"bin/{Path(program).name}"
            sources[name] = path
            if is_elf(path):
                _check_loader(path, finder)
                files[name] = path
            else:
                warnings += _script(path, name, into)
        for path in _matching(self.extra):
            name = f"{private}{path}"
            if is_elf(path):
                files[name] = path
            else:
                sources[name] = path
                place(path, into / name, executable=bool(path.stat().st_mode & 0o111))
        progress(f"Collecting the libraries of {', '.join(map(str, (*self.programs, *self.libraries)))}")
        carried = carry(files, private, target, into, finder)
        warnings += carried.warnings(target, f"Programs ({', '.join(self.programs)}) want version")
        sources |= carried.files
        sources |= carry_libraries(self._libraries(finder), target, into, finder)
        return Collected(dpkg.packages_of(sources), tuple(warnings))

    def _libraries(self, finder: LibraryFinder) -> dict[str, Path]:
        named: dict[str, Path] = {}
        for library in self.libraries:
            path = Path(library) if "/" in library else finder.find_by_name(library)
            if path is None or not path.is_file():
                raise LayerBuildError(f"There is no library {library} on this machine: install it, or give its path")
            named[path.name] = path
        return named


def _program(program: str) -> Path:
    found = shutil.which(program)
    if found is None:
        where = "at this path, or it may not be executed" if "/" in program else "on PATH"
        raise LayerBuildError(
            f"There is no program {program} {where}: install it, give its path, or let a Debian package bring it "
            "(that need not be installed)"
        )
    return Path(found).resolve()


def _check_loader(path: Path, finder: LibraryFinder) -> None:
    interpreter = finder.read(path).interpreter
    if interpreter is not None and PurePosixPath(interpreter).name not in _GLIBC_LOADERS:
        raise LayerBuildError(
            f"{path} was built for another C library (its loader is {interpreter}); Lambda has glibc. Take one that is "
            "linked statically, or built for glibc"
        )


def _script(path: Path, name: str, into: Path) -> list[str]:
    """Put a script into the layer; returns what to warn of."""
    copied = place(path, into / name, executable=True)
    with copied.open("rb") as file:
        first = file.readline(256)
    if not first.startswith(b"#!"):
        return [f"{path} is neither an ELF file nor a script that names its interpreter in its first line"]
    interpreter = first[2:].decode("utf-8", "replace").strip()
    if interpreter.partition(" ")[0] in _SHELLS:
        return []
    return [
        f"{name} is a script for {interpreter}, which the runtime, or this layer, must have; the layer has it alone"
    ]


def _matching(patterns: tuple[str, ...]) -> list[Path]:
    found: set[Path] = set()
    for pattern in patterns:
        if not pattern.startswith("/"):
            raise LayerBuildError(f"Extra files are named by absolute paths or patterns, and {pattern!r} is not")
        matches = [Path(match) for match in glob.glob(pattern, recursive=True)]  # noqa: PTH207 - an absolute pattern
        if not matches:
            raise LayerBuildError(f"No file of this machine matches {pattern}")
        found.update(match for match in matches if match.is_file())
    return sorted(found)
