"""Which modules a layer offers to Python functions: the top-level ones, and those in namespace packages.

Source: Python's import system (docs.python.org, "importlib", "Binary distribution format" for RECORD).
"""

import keyword
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from lamella.layers.contents import EntryKind, LayerContents

_RECORD_MOST_BYTES: Final = 8 * 1024 * 1024
_NAMESPACE_DEPTH: Final = 4
_NAMESPACE_MOST: Final = 500

_NEVER: Final = frozenset(
    {"test", "tests", "testing", "conftest", "setup", "docs", "doc", "examples", "example", "benchmarks", "samples"}
)
"""What packages leave at the top by mistake, or what runs things when it is imported."""
_NOT_MODULES: Final = frozenset({"bin", "lib", "lib64", "share", "include", "scripts", "etc", "__pycache__"})
"""Directories that are namespace packages by the letter and not by intent."""
_SUFFIXES: Final = (".py", ".pyc", ".so")
_EXTENSION: Final = re.compile(r"(?P<name>\w+)\.(cpython-\w+|abi3)[\w-]*\.so")
_EXTENSIONS_MOST: Final = 300
_PACKAGE_DEPTH: Final = 20


@dataclass(frozen=True, slots=True)
class Module:
    """A module; the members are those of `Target`."""

    name: str
    place: str
    owner: str
    minor: bool


@dataclass(slots=True)
class _Node:
    """A file or directory of a tree."""

    place: str
    is_file: bool
    children: "dict[str, _Node]"


def modules_of(contents: LayerContents, search: Sequence[str]) -> Iterator[Module]:
    """The modules below the directories of a search path, each name once.

    Raises:
        LayerReadError: Some metadata cannot be read.
    """
    seen: set[str] = set()
    for directory in search:
        root = _tree(contents, directory, besides=[other for other in search if other != directory])
        owners = _owners(contents, directory, root)
        for name, node in root.children.items():
            module = _module_name(name, node)
            if not module or module in seen:
                continue
            owner = owners.get(name, owners.get(module, ""))
            found = list(_modules(module, node, owner))
            if found:
                seen.add(module)
            yield from found[:_NAMESPACE_MOST]


def _tree(contents: LayerContents, directory: str, *, besides: Sequence[str]) -> _Node:
    """What is below a directory, but for other directories of the search path."""
    root = _Node(directory, is_file=False, children={})
    depth = len(PurePosixPath(directory).parts)
    for entry in contents.below(directory):
        if any(entry.name.startswith(f"{other}/") for other in besides if other.startswith(f"{directory}/")):
            continue
        node = root
        parts = entry.name.split("/")
        for position, part in enumerate(parts[depth:], depth + 1):
            node = node.children.setdefault(part, _Node("/".join(parts[:position]), is_file=False, children={}))
        node.is_file = entry.kind is not EntryKind.DIRECTORY
    return root


def _owners(contents: LayerContents, directory: str, root: _Node) -> Mapping[str, str]:
    """The distribution that each name at the top belongs to, as far as RECORD files say."""
    owners: dict[str, str] = {}
    for name in root.children:
        record = f"{directory}/{name}/RECORD"
        if not name.endswith(".dist-info") or record not in contents.entries:
            continue
        distribution = name.removesuffix(".dist-info").rpartition("-")[0]
        for line in contents.read(record, _RECORD_MOST_BYTES).decode("utf-8", "replace").splitlines():
            owners.setdefault(line.partition(",")[0].partition("/")[0].strip('"'), distribution)
    return owners


def _module_name(name: str, node: _Node) -> str:
    """What a file or directory is imported as; empty if it cannot be."""
    if node.is_file:
        if not name.endswith(_SUFFIXES):
            return ""
        name = name.partition(".")[0]  # of an extension module the tag of the interpreter follows
    usable = name.isidentifier() and not keyword.iskeyword(name) and name not in _NEVER and not name.startswith("__")
    return name if usable else ""


def _is_package(node: _Node) -> bool:
    return any(name.partition(".")[0] == "__init__" and name.endswith(_SUFFIXES) for name in node.children)


def _modules(name: str, node: _Node, owner: str) -> Iterator[Module]:
    if node.is_file or _is_package(node):
        yield from _module(name, node, owner)
    elif name not in _NOT_MODULES:
        yield from _namespace(name, node, owner, 1)


def _module(name: str, node: _Node, owner: str) -> Iterator[Module]:
    """A module; behind a package its extension modules: many packages load them only when they are used."""
    yield Module(name, node.place, owner, minor=name.rpartition(".")[2].startswith("_"))
    extensions = dict(_extensions(name, node, _PACKAGE_DEPTH))
    for extension in sorted(extensions)[:_EXTENSIONS_MOST]:
        yield Module(extension, extensions[extension], owner, minor=True)


def _extensions(name: str, node: _Node, depth: int) -> Iterator[tuple[str, str]]:
    for below, child in node.children.items():
        if child.is_file:
            match = _EXTENSION.fullmatch(below)
            if match is not None and match["name"].isidentifier() and "test" not in match["name"]:
                yield f"{name}.{match['name']}".removesuffix(".__init__"), child.place
        elif depth and below.isidentifier() and below not in _NEVER:
            yield from _extensions(f"{name}.{below}", child, depth - 1)


def _namespace(name: str, node: _Node, owner: str, depth: int) -> Iterator[Module]:
    """What is in a namespace package; of one that distributions share, their packages and not what lies between them.

    `google` has hundreds of loose modules, which are for the packages beside them, as private ones are.
    """
    for below, child in node.children.items():
        module = _module_name(below, child)
        if not module or (owner and (child.is_file or module.startswith("_"))):
            continue
        if child.is_file or _is_package(child):
            yield from _module(f"{name}.{module}", child, owner)
        elif depth < _NAMESPACE_DEPTH:
            yield from _namespace(f"{name}.{module}", child, owner, depth + 1)
