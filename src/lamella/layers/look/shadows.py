"""What hides what: along a search path, from the runtime's own, and where two versions of a package were mixed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Final

from lamella.layers.facts import FACTS, Language, RuntimeFacts
from lamella.layers.look.merge import Conflict
from lamella.layers.look.modules import module_of, normalised, owner_of
from lamella.layers.look.paths import TASK, SearchPath
from lamella.layers.look.view import CODE, RUNTIME, Brought, Item, View
from lamella.layers.packages import Ecosystem

# Of Python, what tools leave in every tree; of Node.js likewise. Nobody is surprised that one hides the other.
_DULL: Final = frozenset({"__pycache__", ".bin", ".package-lock.json", "distutils-precedence"})


@dataclass(frozen=True, slots=True)
class Source:
    """One of several places that have something.

    Attributes:
        path: Directory on the search path, or file.
        by: Who brought it.
        version: As far as it is known.
    """

    path: str
    by: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class Shadow:
    """Something that is in several places of a search path: the first is used.

    Attributes:
        kind: `module`, `package`, `jar`, `program`, `library`.
        search_path: Its name.
        used: The place that is used.
        hidden: The others, in order.
    """

    kind: str
    name: str
    search_path: str
    used: Source
    hidden: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Mix:
    """A directory of one package into which several layers put their files.

    Attributes:
        directory: Absolute.
        parts: Layers, the one on top first, with the version each has of it and the number of its files that are seen.
        replaced: How many files a later layer replaced with another content.
        versions_differ: Whether they are known to be different versions, or have files that differ.
    """

    directory: str
    name: str
    parts: tuple[tuple[Source, int], ...]
    replaced: int
    versions_differ: bool

    @property
    def mixed(self) -> bool:
        """Whether files of different versions are seen at once; else the one on top hides all of the others."""
        return self.versions_differ and any(files for _, files in self.parts[1:])


def find_shadows(view: View, path: SearchPath, runtime: str, ships: Mapping[str, str]) -> Iterator[Shadow]:
    """What is in several directories of a search path.

    Args:
        view: What is where.
        path: The search path.
        runtime: Its name.
        ships: Packages that the runtime brings, by normalised name, with versions where they are known; `*`
            stands for anything.
    """
    places: dict[str, list[Source]] = {}
    for directory in path.directories:
        items = view.directory(directory)
        for name, item in _things(path.name, directory, items or {}, view):
            places.setdefault(name, []).append(
                Source(item.path, item.by[0], _version(view, path.name, directory, name, item))
            )
    facts = FACTS.get(runtime)
    for name, sources in sorted(places.items()):
        own = _of_runtime(path, name, facts, ships)
        if own is None:
            found = sources
        elif path.name in {"PATH", "LD_LIBRARY_PATH"}:
            # The runtime's own directories come first, unless the function has its own idea of the path.
            found = sources if path.set_by else [own, *sources]
        else:
            found = [*sources, own]
        if len(found) > 1:
            yield Shadow(_KINDS[path.name], name, path.name, found[0], tuple(found[1:]))


_KINDS: Final = {
    "sys.path": "module",
    "NODE_PATH": "package",
    "class path": "jar",
    "GEM_PATH": "gem",
    "RUBYLIB": "file",
    "PATH": "program",
    "LD_LIBRARY_PATH": "library",
}


def _things(path: str, directory: str, items: Mapping[str, Item], view: View) -> Iterator[tuple[str, Item]]:
    """What a directory has that is looked for by name, under that name."""
    seen: set[str] = set()
    for name, item in items.items():
        if name in _DULL or name.startswith("."):
            continue
        match path:
            case "sys.path":
                module = module_of(name, is_directory=item.is_directory)
                if module is not None and module not in seen and not (item.is_directory and _is_namespace(view, item)):
                    seen.add(module)
                    yield module, item
            case "NODE_PATH":
                if item.is_directory and name.startswith("@"):
                    inner = view.directory(item.path) or {}
                    yield from ((f"{name}/{part}", below) for part, below in inner.items() if below.is_directory)
                elif item.is_directory and directory != TASK and PurePosixPath(directory).name == "node_modules":
                    yield name, item
            case "class path":
                if name.endswith(".jar"):
                    yield _jar_name(view, item) or name, item
            case "PATH":
                if not item.is_directory and directory != TASK:
                    yield name, item
            case "LD_LIBRARY_PATH":
                if ".so" in name and not item.is_directory:
                    yield name, item
            case _:
                pass


def _is_namespace(view: View, item: Item) -> bool:
    """Whether a directory is part of a namespace package, whose parts all along the search path are taken together."""
    return not any(part.startswith("__init__.") for part in view.directory(item.path) or {})


def _jar_name(view: View, item: Item) -> str:
    """The artifact that a jar is, so that other versions of it are known to be the same."""
    brought = view.brought(item.by[0])
    name = _below_root(item.path)
    names = [package.name for package in brought.packages if package.directory == name] if brought else []
    return names[0] if len(names) == 1 else ""


def _version(view: View, path: str, directory: str, name: str, item: Item) -> str:
    label = item.by[0]
    brought = view.brought(label)
    if brought is None:
        return ""
    match path:
        case "sys.path":
            package = owner_of(brought.contents, brought.packages, _below_root(directory), name)
            return package.version if package is not None else ""
        case "NODE_PATH":
            return view.version_at(item.path, label, Ecosystem.NPM)
        case "class path":
            return view.version_at(item.path, label, Ecosystem.MAVEN)
        case _:
            return ""


def _below_root(path: str) -> str:
    parts = PurePosixPath(path).parts
    return "/".join(parts[3:] if parts[:3] == ("/", "var", "task") else parts[2:]) or "."


def _of_runtime(path: SearchPath, name: str, facts: RuntimeFacts | None, ships: Mapping[str, str]) -> Source | None:
    if facts is None:
        return None
    match path.name:
        case "sys.path":
            key = normalised(name)
            return Source("/var/runtime", RUNTIME, ships[key]) if key in ships else None
        case "NODE_PATH":
            known = name in ships or any("*" in pattern and fnmatchcase(name, pattern) for pattern in ships)
            return Source("/var/runtime/node_modules", RUNTIME, ships.get(name, "")) if known else None
        case "PATH":
            return Source("/var/lang/bin or /usr/bin", RUNTIME) if name in facts.programs else None
        case "LD_LIBRARY_PATH":
            return Source("/lib64 or /var/lang/lib", RUNTIME) if name in facts.libraries else None
        case _:
            return None


def find_mixes(view: View, runtime: str) -> Iterator[Mix]:
    """Packages that several layers have in the same directory, so that the function sees files of both."""
    facts = FACTS.get(runtime)
    for site in facts.search if facts is not None else ():
        items = view.directory(site) or {}
        for name, item in _package_directories(facts.language if facts else None, items, view):
            if len(item.by) < 2:
                continue
            mix = _mix(view, site, name, item)
            if mix is not None:
                yield mix


def _package_directories(
    language: Language | None, items: Mapping[str, Item], view: View
) -> Iterator[tuple[str, Item]]:
    for name, item in items.items():
        if not item.is_directory or name in _DULL:
            continue
        if language is Language.PYTHON and module_of(name, is_directory=True):
            yield name, item
        elif language is Language.NODE and name.startswith("@"):
            inner = view.directory(item.path) or {}
            yield from ((f"{name}/{part}", below) for part, below in inner.items() if below.is_directory)
        elif language is Language.NODE:
            yield name, item


def _mix(view: View, site: str, name: str, item: Item) -> Mix | None:
    directory = _below_root(item.path)
    heads = {f"{directory}/__init__.py", f"{directory}/package.json"}
    sharing = [layer for layer in view.layers if layer.label in item.by and heads & layer.contents.entries.keys()]
    if len(sharing) < 2:
        return None  # a namespace, whose parts are meant to be merged
    seen = view.opt.count_below(directory)
    replaced = sum(
        override.conflict is not Conflict.FILE or not override.same for override in view.opt.overrides_below(directory)
    )
    parts = [
        (Source(item.path, layer.label, _package_version(layer, site, item.path, name)), seen[number])
        for number, layer in enumerate(view.layers)
        if layer in sharing
    ][::-1]
    versions = {source.version for source, _ in parts if source.version}
    return Mix(item.path, name, tuple(parts), replaced, len(versions) > 1 or replaced > 0)


def _package_version(layer: Brought, site: str, path: str, name: str) -> str:
    for package in layer.packages:
        if package.ecosystem is Ecosystem.NPM and package.directory == _below_root(path):
            return package.version
    package_of = owner_of(layer.contents, layer.packages, _below_root(site), name)
    return package_of.version if package_of is not None else ""


def code_shadows(shadows: Sequence[Shadow]) -> list[Shadow]:
    """Those where the function's own code hides what a layer brings."""
    return [one for one in shadows if one.used.by == CODE and any(by.by not in {CODE, RUNTIME} for by in one.hidden)]
