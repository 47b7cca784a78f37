"""Which packages a layer offers to Node functions: those at the top of its `node_modules`, and modules of its own.

Source: nodejs.org, "Modules: Packages"; docs.npmjs.com, "package.json" (`os`, `cpu`, `libc`).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from lamella.domain.function import Architecture
from lamella.layers.contents import EntryKind, LayerContents

_MANIFEST_MOST_BYTES: Final = 1024 * 1024
_CPUS: Final = {Architecture.X86_64: "x64", Architecture.ARM64: "arm64"}
_ENTRIES: Final = ("index.js", "index.cjs", "index.mjs", "index.json", "index.node")
_OWN_SUFFIXES: Final = (".js", ".cjs", ".mjs")
_NEEDS: Final = ("dependencies", "optionalDependencies", "peerDependencies")


@dataclass(frozen=True, slots=True)
class NodePackage:
    """A package, or a module of the layer's own; the members are those of `Target`."""

    name: str
    place: str
    owner: str
    minor: bool


def packages_of(contents: LayerContents, search: Sequence[str], architecture: Architecture) -> Iterator[NodePackage]:
    """Packages below the directories of a search path, each name once, and scripts that lie beside `node_modules`.

    Raises:
        LayerReadError: A manifest cannot be read.
    """
    manifests: dict[str, tuple[str, Mapping[str, Any]]] = {}  # Any: JSON
    for directory in search:
        for name, place in _installed(contents, directory):
            if name not in manifests:
                manifests[name] = (place, _manifest(contents, f"{place}/package.json"))
    needed = {other for _, manifest in manifests.values() for member in _NEEDS for other in _names(manifest, member)}
    for name, (place, manifest) in manifests.items():
        if _is_for(manifest, architecture) and _can_be_required(contents, name, place, manifest):
            yield NodePackage(name, place, name, minor=name in needed)
    for parent in sorted({str(PurePosixPath(directory).parent) for directory in search}):
        for entry in contents.files():
            path = PurePosixPath(entry.name)
            if str(path.parent) == parent and path.suffix in _OWN_SUFFIXES and not path.stem.endswith(".config"):
                yield NodePackage(f"/opt/{entry.name}", entry.name, "", minor=True)


def _installed(contents: LayerContents, directory: str) -> Iterator[tuple[str, str]]:
    """Name and directory of each package that lies directly in a `node_modules`."""
    depth = len(PurePosixPath(directory).parts)
    for entry in contents.below(directory):
        parts = entry.name.split("/")[depth:]
        scoped = parts[0].startswith("@")
        if entry.kind is EntryKind.FILE and parts[-1] == "package.json" and len(parts) == (3 if scoped else 2):
            yield "/".join(parts[:-1]), f"{directory}/{'/'.join(parts[:-1])}"


def _manifest(contents: LayerContents, name: str) -> Mapping[str, Any]:  # Any: JSON
    try:
        document = json.loads(contents.read(name, _MANIFEST_MOST_BYTES))
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _names(manifest: Mapping[str, Any], member: str) -> Sequence[str]:  # Any: JSON
    value = manifest.get(member)
    return list(value) if isinstance(value, dict) else []


def _is_for(manifest: Mapping[str, Any], architecture: Architecture) -> bool:  # Any: JSON
    """Whether npm would install it on the platform; optional packages for others come along in some layers."""
    here = {"os": "linux", "cpu": _CPUS[architecture], "libc": "glibc"}
    return all(_allows(manifest.get(member), value) for member, value in here.items())


def _allows(wanted: object, value: str) -> bool:
    words = [wanted] if isinstance(wanted, str) else wanted
    if not isinstance(words, list) or not words:
        return True
    if f"!{value}" in words:
        return False
    return value in words or all(str(word).startswith("!") for word in words)


def _can_be_required(
    contents: LayerContents,
    name: str,
    place: str,
    manifest: Mapping[str, Any],  # Any: JSON
) -> bool:
    """Whether a package is meant to be required: not one of types, of programs, or of parts only."""
    if name.startswith("@types/"):
        return False
    exports = manifest.get("exports")
    if isinstance(exports, dict) and exports and all(str(key).startswith(".") for key in exports):
        return "." in exports
    if exports:
        return True
    main = manifest.get("main")
    if isinstance(main, str) and main and not main.endswith(".d.ts"):
        return True
    return any(f"{place}/{entry}" in contents.entries for entry in _ENTRIES)
