"""What there is to try of layers in a runtime: modules, packages, jars, programs.

What a function would never name is left out: tests that were installed along, packages of types, packages for other
platforms, which their own package managers put there. What is only reached through something else is tried, but what
comes of it counts less (`Target.minor`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any, Final

from lamella.domain.function import Architecture
from lamella.layers.contents import ContentEntry, EntryKind, LayerContents
from lamella.layers.facts import Language, RuntimeFacts
from lamella.layers.proving import node, python
from lamella.layers.proving.elf import LOADERS, interpreter_of, is_elf

TARGETS_MOST: Final = 2000
"""Of one kind in one runtime; a layer of 250 MB has some hundreds."""

_HEAD_BYTES: Final = 4096


class Kind(StrEnum):
    """How a target is tried."""

    PYTHON = "python"
    """Imported."""
    NODE = "node"
    """Required, or else imported."""
    JAVA = "java"
    """The classes of a jar are loaded, and its JDBC drivers made."""
    PROGRAM = "program"
    """The dynamic loader resolves what the file is linked with; nothing of it runs."""
    SCRIPT = "script"
    """It can be executed, and its interpreter is there; nothing of it runs."""


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to try.

    Attributes:
        name: What is tried, as the language calls it: `PIL`, `@scope/name`, `/opt/java/lib/x.jar`, `/opt/bin/git`.
        place: Name of the file or directory within its layer.
        layer: Label of the layer.
        owner: The distribution that brought it, if one is known.
        minor: Whether functions are not expected to use it by itself.
        loader: Of a program, the dynamic loader that it names.
    """

    kind: Kind
    name: str
    place: str
    layer: str = ""
    owner: str = ""
    minor: bool = False
    loader: str = ""

    def to_dict(self) -> dict[str, Any]:  # Any: a JSON document
        """As JSON-ready values."""
        return asdict(self)

    @classmethod
    def of_dict(cls, document: Mapping[str, Any]) -> "Target":  # Any: a JSON document
        """The opposite of `to_dict`."""
        return cls(**{**document, "kind": Kind(document["kind"])})


def plan_proof(layers: Sequence[LayerContents], facts: RuntimeFacts, architecture: Architecture) -> list[Target]:
    """All there is to try of layers in a runtime, in the order in which a search finds it.

    Args:
        layers: In the order in which a function has them: a later one hides what an earlier one has of the same name.
        facts: Of the runtime.
        architecture: Of the sandbox.

    Raises:
        LayerReadError: A layer is damaged.
    """
    found: dict[tuple[Kind, str], Target] = {}
    for contents in reversed(layers):
        for target in _targets(contents, facts, architecture):
            # A name that no terminal should see is none that a function uses.
            if target.name.isprintable() and target.loader.isprintable():
                found.setdefault((target.kind, target.name), target)
    plan: list[Target] = []
    for kind in Kind:
        plan += [target for target in found.values() if target.kind is kind][:TARGETS_MOST]
    return plan


def _targets(contents: LayerContents, facts: RuntimeFacts, architecture: Architecture) -> Iterator[Target]:
    match facts.language:
        case Language.PYTHON:
            for module in python.modules_of(contents, [_inside(path) for path in facts.search]):
                yield Target(Kind.PYTHON, module.name, module.place, contents.label, module.owner, module.minor)
        case Language.NODE:
            for package in node.packages_of(contents, [_inside(path) for path in facts.search], architecture):
                yield Target(Kind.NODE, package.name, package.place, contents.label, package.owner, package.minor)
        case Language.JAVA:
            for path in facts.search:
                for name, entry in children(contents, _inside(path)).items():
                    if name.endswith(".jar") and entry.kind is EntryKind.FILE:
                        yield Target(Kind.JAVA, f"/opt/{entry.name}", entry.name, contents.label)
        case Language.RUBY | Language.DOTNET | Language.NATIVE:
            pass
    yield from _programs(contents, architecture)


def children(contents: LayerContents, directory: str) -> dict[str, ContentEntry]:
    """What is directly in a directory, by name; directories that are only implied are made up."""
    depth = len(PurePosixPath(directory).parts)
    found: dict[str, ContentEntry] = {}
    for entry in contents.below(directory):
        parts = entry.name.split("/")
        name = parts[depth]
        if len(parts) == depth + 1:
            found[name] = entry
        elif name not in found:
            found[name] = ContentEntry("/".join(parts[: depth + 1]), EntryKind.DIRECTORY, 0o755)
    return found


def _inside(path: str) -> str:
    return path.removeprefix("/opt/")


def _programs(contents: LayerContents, architecture: Architecture) -> Iterator[Target]:
    """Programs, extensions, the bootstrap, and the libraries that `LD_LIBRARY_PATH` finds."""
    for directory, libraries in (("bin", False), ("extensions", False), ("lib", True)):
        for name, entry in children(contents, directory).items():
            if entry.kind is EntryKind.FILE and (not libraries or ".so" in name):
                yield from _program(contents, entry, architecture, library=libraries)
    bootstrap = contents.entries.get("bootstrap")
    if bootstrap is not None and bootstrap.kind is EntryKind.FILE:
        yield from _program(contents, bootstrap, architecture, library=False)


def _program(
    contents: LayerContents, entry: ContentEntry, architecture: Architecture, *, library: bool
) -> Iterator[Target]:
    head = contents.read(entry.name, _HEAD_BYTES)
    path = f"/opt/{entry.name}"
    if is_elf(head):
        loader = LOADERS[architecture] if library else interpreter_of(head)
        if loader:  # without one it is linked statically, and there is nothing to be resolved
            yield Target(Kind.PROGRAM, path, entry.name, contents.label, loader=loader)
    elif not library and (head.startswith(b"#!") or not entry.name.startswith("bin/")):
        yield Target(Kind.SCRIPT, path, entry.name, contents.label)
