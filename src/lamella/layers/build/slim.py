"""What can be left out of a layer without anybody who imports from it noticing.

Nothing here guesses: a directory of tests goes only if nothing outside it imports it, type stubs stay where a package
reads its own, headers stay with packages that compile at run time, and licences always stay. What was in doubt and
therefore kept is told, with the reason.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any, Final

from lamella.layers.contents import LayerContents


class Trim(StrEnum):
    """What can be trimmed; `MEANINGS` says what each is."""

    BYTECODE = "bytecode"
    TESTS = "tests"
    DOCS = "docs"
    STUBS = "stubs"
    HEADERS = "headers"
    STATIC = "static"
    RUNTIME = "runtime"
    SYMBOLS = "symbols"


MEANINGS: Final[Mapping[Trim, str]] = {
    Trim.BYTECODE: "`.pyc` files whose source is there.",
    Trim.TESTS: "Directories of tests that nothing outside them imports, and `conftest.py`.",
    Trim.DOCS: "Manuals; directories of documentation without code that no code names; Markdown of Node packages.",
    Trim.STUBS: "`.pyi`, `py.typed` and `.d.ts`, for type checkers; not of packages that read their own when imported.",
    Trim.HEADERS: "Headers of C, C++ and Cython; not where a package compiles at run time, as Triton and Numba do.",
    Trim.STATIC: "Static libraries, and files of `pkg-config` and CMake.",
    Trim.RUNTIME: "boto3, botocore and what they depend on, which the Python runtimes have; not what another package "
    "in the layer requires, nor what the recipe names with its version.",
    Trim.SYMBOLS: "Debug symbols, with the `strip` of this machine. Not among the default ones: the bytes then depend "
    "on its version.",
}
"""For the reference page."""

DEFAULT_SLIM: Final = tuple(kind for kind in Trim if kind is not Trim.SYMBOLS)
"""What `slim = true` and `--slim` trim."""


@dataclass(frozen=True, slots=True)
class Removed:
    """What went.

    Attributes:
        size_bytes: Unzipped.
        places: The directories, packages or files where most of it was, biggest first; a few.
    """

    kind: Trim
    files: int
    size_bytes: int
    places: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Spared:
    """What looked as if it could go, and why it did not."""

    kind: Trim
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Trimming:
    """What to remove from a layer.

    Attributes:
        names: Files and links, with what they count as.
        strip: Programs and libraries whose debug symbols are to be removed.
    """

    names: Mapping[str, Trim] = field(default_factory=dict)
    spared: tuple[Spared, ...] = ()

    def removed(self, sizes: Mapping[str, int]) -> tuple[Removed, ...]:
        """What it comes to, by kind; `sizes` in bytes, by name."""
        report = []
        for kind in Trim:
            names = [name for name, counted in self.names.items() if counted is kind]
            if names:
                by_place: dict[str, int] = {}
                for name in names:
                    by_place[_place(name)] = by_place.get(_place(name), 0) + sizes.get(name, 0)
                places = sorted(by_place, key=lambda place: (-by_place[place], place))[:3]
                total = sum(sizes.get(name, 0) for name in names)
                report.append(Removed(kind, len(names), total, tuple(places)))
        return tuple(report)


_SITE: Final = re.compile(r"python/(lib/python3\.\d+/site-packages/)?")


def site_of(name: str) -> str:
    """The module search directory that a file is below, with `/` at its end; empty if it is in none."""
    match = _SITE.match(name)
    return match[0] if match else ""


def _place(name: str) -> str:
    """Where a file that went was, as a user thinks of it: the package, or the directory."""
    parts = PurePosixPath(name.removeprefix(site_of(name)).removeprefix("nodejs/node_modules/")).parts
    scoped = parts[0].startswith("@") or parts[0] in ("share", "usr", "lib")
    return "/".join(parts[:2]) if scoped else parts[0].removesuffix(".dist-info").removesuffix(".py")


Rule = Callable[["Looking"], None]
"""Looks at a layer and says what can go."""


@dataclass(slots=True)
class Looking:
    """A layer while it is looked at for what can go.

    Attributes:
        keep: Patterns of names (below `/opt`, or below the module search directory) and names of packages.
        names: All files and links that are there, in order.
        wanted: Packages that are not to be left to the runtime, because a version of them was asked for.
    """

    contents: LayerContents
    keep: Sequence[str]
    names: tuple[str, ...]
    wanted: Sequence[str] = ()
    gone: dict[str, Trim] = field(default_factory=dict)
    spared: list[Spared] = field(default_factory=list)
    texts: dict[str, bytes] = field(default_factory=dict)

    def read(self, name: str) -> bytes:
        """A file's content; kept, as several rules look at the same ones."""
        if name not in self.texts:
            self.texts[name] = self.contents.read(name)
        return self.texts[name]

    def remove(self, kind: Trim, names: Iterable[str], *, whole: bool = False) -> None:
        """Let files go, unless they are to be kept. Licences go with `whole` packages alone."""
        for name in names:
            if name not in self.gone and not self.is_kept(name) and (whole or not is_licence(name)):
                self.gone[name] = kind

    def spare(self, kind: Trim, name: str, reason: str) -> None:
        """Say why something stays."""
        self.spared.append(Spared(kind, name, reason))

    def is_kept(self, name: str) -> bool:
        """Whether the user wants it to stay."""
        short = name.removeprefix(site_of(name))
        top = PurePosixPath(short).parts[0]
        return any(
            fnmatchcase(name, pattern)
            or fnmatchcase(short, pattern)
            or pattern == top
            or short.startswith(f"{pattern}/")
            for pattern in self.keep
        )

    def left(self) -> Iterable[str]:
        """What has not gone so far."""
        return (name for name in self.names if name not in self.gone)


_LICENCE: Final = re.compile(r"(licen[cs]e|copying|copyright|notice|authors|patents)\b.*", re.IGNORECASE)


def is_licence(name: str) -> bool:
    """Whether a file has terms that go with every copy."""
    path = PurePosixPath(name)
    return bool(_LICENCE.fullmatch(path.name)) or "licenses" in path.parts


def plan_trimming(
    contents: LayerContents,
    kinds: Sequence[Trim],
    keep: Sequence[str],
    rules: Mapping[Trim, Sequence[Rule]],
    *,
    wanted: Sequence[str] = (),
) -> Trimming:
    """What can go of a layer.

    Args:
        contents: A layer before it is archived.
        kinds: What to look for.
        keep: See `Looking`.
        rules: For each kind, in the order in which they are applied; what went by one is not looked at by the next.
        wanted: See `Looking`.

    Raises:
        LayerReadError: A file cannot be read.
    """
    names = tuple(name for name, entry in contents.entries.items() if entry.kind.value != "directory")
    looking = Looking(contents, keep, names, wanted)
    for kind, several in rules.items():
        for rule in several if kind in kinds else ():
            rule(looking)
    return Trimming(looking.gone, tuple(looking.spared))


# ---------------------------------------------------------------------------------------- rules for any content

_MANUALS: Final = re.compile(r"(.*/)?(usr/)?share/(man|doc|info|gtk-doc)/.*")
_BUILD_FILES: Final = re.compile(r".*\.a|.*/(pkgconfig/[^/]+\.pc|cmake/.*)")


def manuals(looking: Looking) -> None:
    """Manual pages and documents of programs."""
    looking.remove(Trim.DOCS, [name for name in looking.left() if _MANUALS.fullmatch(name)])


def bytecode(looking: Looking) -> None:
    """Compiled modules whose source is beside them; a module without source is all there is of it."""
    present = set(looking.names)
    found = []
    for name in looking.left():
        if name.endswith((".pyc", ".pyo")):
            path = PurePosixPath(name)
            in_cache = path.parent.name == "__pycache__"
            directory = path.parent.parent if in_cache else path.parent
            if str(directory / f"{path.name.split('.')[0]}.py") in present:
                found.append(name)
    looking.remove(Trim.BYTECODE, found)


def static_libraries(looking: Looking) -> None:
    """What is only of use for building programs."""
    looking.remove(Trim.STATIC, [name for name in looking.left() if _BUILD_FILES.fullmatch(name)])


def to_document(removed: Sequence[Removed], spared: Sequence[Spared]) -> dict[str, Any]:  # Any: a JSON document
    """As JSON-ready values."""
    return {
        "removed": [
            {"kind": one.kind.value, "files": one.files, "size_bytes": one.size_bytes, "places": list(one.places)}
            for one in removed
        ],
        "spared": [{"kind": one.kind.value, "name": one.name, "reason": one.reason} for one in spared],
    }
