"""Which shared libraries a program needs, found as the dynamic loader would find them.

`ldd` is not used: it runs the program it is asked about. Runtime packs and layers are both made of what is found here.
"""

import platform
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection
from elftools.elf.segments import InterpSegment

_ELF_MAGIC: Final = b"\x7fELF"
_NUMBER: Final = re.compile(r"\d+(\.\d+)*")
# Files with packed relocations ask for the C library that first understood them, by a name of its own.
_RELR_NAME: Final = "GLIBC_ABI_DT_RELR"
_RELR: Final = "GLIBC_2.36"
_CACHE_LINE: Final = re.compile(r"^\t(?P<name>\S+) \((?P<flags>[^)]*)\) => (?P<path>/\S+)$", re.MULTILINE)
# How `ldconfig -p` marks the libraries of a machine.
_CACHE_FLAG: Final = {"x86_64": "x86-64", "aarch64": "AArch64"}


class ElfError(Exception):
    """A file is not ELF or is damaged, or a library it needs is not to be found; the text says which."""


@dataclass(frozen=True, slots=True)
class ElfFile:
    """What the dynamic loader reads of a program or library.

    Attributes:
        machine: As the ELF header names it, e.g. `EM_X86_64`.
        interpreter: The dynamic loader a program asks for; `None` for libraries and static programs.
        needed: Names of the libraries it needs, in its order.
        search: Directories it brings itself (RUNPATH, else RPATH), `$ORIGIN` resolved.
        stated_search: The same as it is written in the file.
    """

    path: Path
    machine: str
    interpreter: str | None
    needed: tuple[str, ...]
    search: tuple[Path, ...]
    stated_search: str = ""


def is_elf(path: Path) -> bool:
    """Whether a file is a program or library in ELF format."""
    with path.open("rb") as file:
        return file.read(len(_ELF_MAGIC)) == _ELF_MAGIC


def read_elf(path: Path) -> ElfFile:
    """Read the dynamic section of an ELF file.

    Raises:
        ElfError: The file is not ELF, or is damaged.
    """
    real = path.resolve()
    interpreter: str | None = None
    needed: list[str] = []
    rpath = runpath = ""
    try:
        with real.open("rb") as file:
            elf = ELFFile(file)
            machine = str(elf["e_machine"])
            for segment in elf.iter_segments():
                if isinstance(segment, InterpSegment):
                    interpreter = segment.get_interp_name()
                elif isinstance(segment, DynamicSegment):
                    tag: Any  # pyelftools gives tags their attributes by name, unseen by its type hints
                    for tag in segment.iter_tags():
                        if tag.entry.d_tag == "DT_NEEDED":
                            needed.append(tag.needed)
                        elif tag.entry.d_tag == "DT_RPATH":
                            rpath = tag.rpath
                        elif tag.entry.d_tag == "DT_RUNPATH":
                            runpath = tag.runpath
    except (ELFError, ValueError) as error:
        raise ElfError(f"Cannot read {path} as an ELF file: {error}") from error
    search = tuple(
        Path(entry.replace("${ORIGIN}", "$ORIGIN").replace("$ORIGIN", str(real.parent)))
        for entry in (runpath or rpath).split(":")
        if entry
    )
    return ElfFile(real, machine, interpreter, tuple(needed), search, runpath or rpath)


def needed_versions(path: Path) -> frozenset[str]:
    """Versions of symbols that a file wants of its libraries, e.g. `GLIBC_2.34`, `GLIBCXX_3.4.30`.

    Raises:
        ElfError: The file is not ELF, or is damaged.
    """
    names: set[str] = set()
    try:
        with path.open("rb") as file:
            for section in ELFFile(file).iter_sections():
                if isinstance(section, GNUVerNeedSection):
                    names.update(auxiliary.name for _, wanted in section.iter_versions() for auxiliary in wanted)
    except (ELFError, ValueError) as error:
        raise ElfError(f"Cannot read {path} as an ELF file: {error}") from error
    return frozenset(names)


def newest(versions: Iterable[str], family: str) -> tuple[int, ...]:
    """The greatest number among versions of one family; empty if there is none.

    Args:
        versions: As of `needed_versions`.
        family: `GLIBC`, `GLIBCXX`, `CXXABI`.
    """
    numbers = [_RELR if version == _RELR_NAME else version for version in versions]
    numbers = [number.removeprefix(f"{family}_") for number in numbers if number.startswith(f"{family}_")]
    return max((tuple(map(int, number.split("."))) for number in numbers if _NUMBER.fullmatch(number)), default=())


def parse_loader_cache(text: str, machine: str) -> dict[str, Path]:
    """Library names and their paths out of what `ldconfig -p` prints, for one machine as `uname -m` names it."""
    flag = _CACHE_FLAG[machine]
    cache: dict[str, Path] = {}
    for match in _CACHE_LINE.finditer(text):
        flags = [part.strip() for part in match["flags"].split(",")]
        # Variants for certain processors only are not what a pack should hold: it may be moved to another machine.
        if flag in flags and not any(part.startswith("hwcap") for part in flags):
            cache.setdefault(match["name"], Path(match["path"]))
    return cache


def _loader_cache() -> dict[str, Path]:
    ldconfig = shutil.which("ldconfig", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if ldconfig is None:
        return {}
    result = subprocess.run([ldconfig, "-p"], capture_output=True, text=True, check=False)
    return parse_loader_cache(result.stdout, platform.machine())


def _default_directories() -> list[Path]:
    triplet = f"{platform.machine()}-linux-gnu"
    names = (f"/lib/{triplet}", f"/usr/lib/{triplet}", "/lib64", "/usr/lib64", "/lib", "/usr/lib")
    return [Path(name) for name in names]


class LibraryFinder:
    """Finds the libraries of ELF files on this host."""

    def __init__(
        self,
        cache: Mapping[str, Path] | None = None,
        directories: Sequence[Path] | None = None,
        *,
        first: Sequence[Path] = (),
        root: Path = Path("/"),
    ) -> None:
        """Make a finder.

        Args:
            cache: Library names and paths as in the loader's cache; read from the host if `None`.
            directories: Where to look after the cache; the loader's usual ones if `None`.
            first: Where to look before the cache.
            root: What absolute search directories of files count from: that of another system's tree.
        """
        self._cache = _loader_cache() if cache is None else dict(cache)
        self._directories = _default_directories() if directories is None else list(directories)
        self._first = list(first)
        self._root = root
        self._known: dict[Path, ElfFile] = {}

    def read(self, path: Path) -> ElfFile:
        """`read_elf`, once for each path: the C library is asked for by everything.

        Raises:
            ElfError: The file is not ELF, or is damaged.
        """
        if path not in self._known:
            self._known[path] = read_elf(path)
        return self._known[path]

    def find(self, name: str, asked_by: ElfFile, inherited: Sequence[Path] = ()) -> Path | None:
        """The library of this name, as the loader would choose it for the file that asks.

        Args:
            name: As in its dynamic section.
            asked_by: The file that needs it.
            inherited: Search directories of the files that led to `asked_by`; the loader honours RPATH so.
        """
        if "/" in name:
            path = self._within(Path(name))
            return path if path.exists() else None
        candidates = [self._within(directory) / name for directory in (*asked_by.search, *inherited)]
        candidates.extend(directory / name for directory in self._first)
        if name in self._cache:
            candidates.append(self._cache[name])
        candidates.extend(directory / name for directory in self._directories)
        for candidate in candidates:
            if candidate.exists() and is_elf(candidate) and self.read(candidate).machine == asked_by.machine:
                return candidate
        return None

    def find_by_name(self, name: str) -> Path | None:
        """A library that is opened by name at run time, so that no file's dynamic section tells of it."""
        first = (directory / name for directory in self._first)
        for candidate in (*first, self._cache.get(name), *(directory / name for directory in self._directories)):
            if candidate is not None and candidate.exists():
                return candidate
        return None

    def _within(self, directory: Path) -> Path:
        """A search directory below the root, where it is the root of another system."""
        if directory.is_relative_to(self._root) or not directory.is_absolute():
            return directory
        return self._root / directory.relative_to("/")

    def closure(self, files: Iterable[Path]) -> dict[str, Path]:
        """All libraries that the files need, directly or through others: name as asked for → path on this host.

        Raises:
            ElfError: A library is not on this host; the text names it and the file that asks for it.
        """
        found: dict[str, Path] = {}
        todo: list[tuple[ElfFile, tuple[Path, ...]]] = [(self.read(file), ()) for file in files]
        while todo:
            elf, inherited = todo.pop()
            for name in elf.needed:
                if name in found:
                    continue
                path = self.find(name, elf, inherited)
                if path is None:
                    raise ElfError(f"{elf.path} needs the library {name}, which is not on this host")
                found[name] = path
                todo.append((self.read(path), (*elf.search, *inherited)))
        return found
