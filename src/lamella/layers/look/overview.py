"""What is where in a layer: its parts by purpose, its size by package, the machines its programs are for."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from lamella.layers.contents import ContentEntry, EntryKind, LayerContents
from lamella.layers.doctor.elf import MAGIC, ElfDamagedError, read_elf
from lamella.layers.look.modules import recorded
from lamella.layers.packages import Ecosystem, Package

_HEADER_BYTES: Final = 64
_DEPTH_MOST: Final = 4
# Where zips say that everything is executable, these still are no machine code.
_TEXTS: Final = frozenset(
    {
        ".py",
        ".pyc",
        ".pyi",
        ".pxd",
        ".pyx",
        ".js",
        ".mjs",
        ".cjs",
        ".ts",
        ".json",
        ".map",
        ".rb",
        ".sh",
        ".jar",
        ".class",
    }
    | {
        ".txt",
        ".md",
        ".rst",
        ".html",
        ".css",
        ".csv",
        ".xml",
        ".yml",
        ".yaml",
        ".toml",
        ".h",
        ".c",
        ".gz",
        ".png",
        ".svg",
    }
)
_PARTS: Final = (
    (re.compile(r"python/lib/python(3\.\d+)/site-packages"), "modules of Python {0}"),
    (re.compile(r"python"), "modules of Python, every version"),
    (re.compile(r"nodejs/node(\d+)/node_modules"), "packages of Node.js {0}"),
    (re.compile(r"nodejs/node_modules"), "packages of Node.js, every version"),
    (re.compile(r"java/lib"), "class path of Java"),
    (re.compile(r"ruby/gems/([\d.]+)"), "gems of Ruby {0}"),
    (re.compile(r"ruby/lib"), "files of Ruby"),
    (re.compile(r"bin"), "programs, on PATH"),
    (re.compile(r"lib"), "shared libraries, on LD_LIBRARY_PATH"),
    (re.compile(r"extensions"), "external extensions"),
)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a layer that some search path of Lambda's names, or that none does.

    Attributes:
        place: Directory or file.
        purpose: In words; empty if only the function's own code can make use of it.
    """

    place: str
    purpose: str
    size_bytes: int
    files: int


def parts_of(contents: LayerContents) -> list[Part]:
    """What is where, in the order of names; every file counts in one part, the innermost."""
    sizes: dict[str, tuple[int, int]] = {}
    purposes: dict[str, str] = {}
    for entry in contents.entries.values():
        if entry.kind is EntryKind.DIRECTORY:
            continue
        place, purpose = _part(entry.name)
        purposes[place] = purpose
        size_bytes, files = sizes.get(place, (0, 0))
        sizes[place] = (size_bytes + entry.size_bytes, files + 1)
    return [Part(place, purposes[place], *sizes[place]) for place in sorted(sizes)]


def _part(name: str) -> tuple[str, str]:
    """The part that a file belongs to, and what that is for."""
    if name == "bootstrap":
        return name, "custom runtime"
    parts = name.split("/")
    for depth in range(min(len(parts) - 1, _DEPTH_MOST), 0, -1):
        place = "/".join(parts[:depth])
        for pattern, words in _PARTS:
            match = pattern.fullmatch(place)
            if match is not None:
                return place, words.format(*match.groups())
    return parts[0], ""


def sizes_by_package(contents: LayerContents, packages: Iterable[Package]) -> dict[Package, int]:
    """Unzipped bytes of each package: what it records as its own, or what lies in its directory.

    A package of npm does not count those within its own `node_modules`; of Python, files that two packages record
    count for the first. Reads `RECORD` of each package of Python.
    """
    sizes: dict[Package, int] = {}
    taken: set[str] = set()
    directories: dict[str, Package] = {}
    for package in packages:
        sizes[package] = 0
        if package.ecosystem is Ecosystem.PYPI:
            own = set(recorded(contents, package)) - taken
            own = {name for name in own if name in contents.entries}
            own |= {entry.name for entry in contents.below(package.directory)}
            taken |= own
            sizes[package] = sum(contents.entries[name].size_bytes for name in own)
        else:
            # Of several in one jar, the first stands for all.
            directories.setdefault(package.directory, package)
    for entry in contents.files():
        if entry.name in directories:
            sizes[directories[entry.name]] += entry.size_bytes
            continue
        parent = entry.name.rpartition("/")[0] if directories else ""
        while parent and parent not in directories:
            parent = parent.rpartition("/")[0]
        if parent:
            sizes[directories[parent]] += entry.size_bytes
    return sizes


def machines_of(contents: LayerContents) -> Counter[str]:
    """How many files of machine code there are, by the architecture they are for, as Lambda names it.

    Reads the first bytes of what may be one.

    Raises:
        LayerReadError: The layer cannot be read any more.
    """
    found: Counter[str] = Counter()
    for entry in contents.files():
        if not _may_be_elf(entry):
            continue
        head = contents.read(entry.name, _HEADER_BYTES)
        if head.startswith(MAGIC):
            found[_machine(head)] += 1
    return found


def _machine(head: bytes) -> str:
    # An object file has no tables that would have to be there as well: its type is 1.
    try:
        return read_elf(head[:16] + b"\1\0" + head[18:]).machine if head[5:6] == b"\1" else read_elf(head).machine
    except ElfDamagedError:
        return "damaged"


def _may_be_elf(entry: ContentEntry) -> bool:
    suffix = PurePosixPath(entry.name).suffix.lower()
    if entry.kind is not EntryKind.FILE or entry.size_bytes < _HEADER_BYTES or suffix in _TEXTS:
        return False
    return entry.executable or ".so" in entry.name or suffix in {"", ".node", ".a", ".o"}


def odd_mode(entry: ContentEntry) -> bool:
    """Whether a mode is worth showing: it is none of those that files and directories mostly have."""
    usual: Mapping[EntryKind, frozenset[int]] = {
        EntryKind.FILE: frozenset({0o644, 0o755}),
        EntryKind.DIRECTORY: frozenset({0o755}),
        EntryKind.LINK: frozenset({0o777, 0o755, 0o644}),
    }
    return entry.mode not in usual[entry.kind]
