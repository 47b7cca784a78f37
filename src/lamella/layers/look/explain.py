"""What becomes of a function's layers: who brings what, what hides what, and what will not work."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lamella.domain.quotas import UNZIPPED
from lamella.layers.facts import FACTS, Language
from lamella.layers.look.merge import Conflict, Override
from lamella.layers.look.modules import normalised
from lamella.layers.look.paths import OPT, TASK, SearchPath, search_paths
from lamella.layers.look.shadows import Mix, Shadow, find_mixes, find_shadows
from lamella.layers.look.view import CODE, RUNTIME, View, is_below
from lamella.layers.packages import Ecosystem

EXTENSIONS_MOST: Final = 10


@dataclass(frozen=True, slots=True)
class FunctionSetup:
    """What of a function's configuration decides what it sees.

    Attributes:
        environment: Its own variables.
        ships: Packages that the runtime brings, by normalised name, with versions where they are known; `None` for
            what is known of AWS's runtime.
    """

    runtime: str
    environment: Mapping[str, str]
    ships: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class SearchedDirectory:
    """A directory on a search path.

    Attributes:
        filled_by: Who put something there, the one on top first; `runtime` for what is neither code nor layer.
        exists: Not always, if only a layer could make it.
    """

    path: str
    exists: bool
    filled_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExplainedPath:
    """A search path; attributes as of `SearchPath`."""

    name: str
    set_by: str
    directories: tuple[SearchedDirectory, ...]


@dataclass(frozen=True, slots=True)
class Extension:
    """An external extension, started before the runtime.

    Attributes:
        executable: Whether it can be started at all: without, the function does not start.
    """

    name: str
    by: str
    executable: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """All of it; see `explain`.

    Attributes:
        bootstrap: Path of the program that starts the runtime, and who brings it; `None` if there is none.
        sizes: Unzipped bytes by label, the function's code first if it is known.
        warnings: What is likely to go wrong, in words.
    """

    paths: tuple[ExplainedPath, ...]
    overrides: tuple[Override, ...]
    shadows: tuple[Shadow, ...]
    mixes: tuple[Mix, ...]
    bootstrap: tuple[str, str] | None
    extensions: tuple[Extension, ...]
    sizes: tuple[tuple[str, int], ...]
    warnings: tuple[str, ...]

    @property
    def total_bytes(self) -> int:
        """Of code and layers, unzipped."""
        return sum(size for _, size in self.sizes)


def explain(view: View, setup: FunctionSetup) -> Explanation:
    """Say what a function sees of its layers.

    Raises:
        LayerReadError: A file that has to be read is damaged.
    """
    ships = _ships(setup)
    searched = search_paths(setup.runtime, setup.environment)
    shadows = tuple(shadow for path in searched for shadow in find_shadows(view, path, setup.runtime, ships))
    mixes = tuple(find_mixes(view, setup.runtime))
    brought = [*([view.code] if view.code is not None else []), *view.layers]
    sizes = tuple((one.label, one.contents.unzipped_bytes) for one in brought)
    paths = tuple(
        ExplainedPath(path.name, path.set_by, tuple(_searched(view, directory) for directory in path.directories))
        for path in searched
    )
    bootstrap, extensions = _bootstrap(view, setup.runtime), _extensions(view)
    return Explanation(
        paths,
        view.opt.overrides,
        shadows,
        mixes,
        bootstrap,
        extensions,
        sizes,
        (
            *_about_mixes(mixes),
            *_about_packages(view, mixes, setup.runtime),
            *_about_overrides(view, mixes),
            *_about_shadows(shadows),
            *_about_start(setup.runtime, bootstrap, extensions, view),
            *_about_sizes(sizes),
            *_about_unused(view, searched),
        ),
    )


def _ships(setup: FunctionSetup) -> Mapping[str, str]:
    if setup.ships is not None:
        return setup.ships
    facts = FACTS.get(setup.runtime)
    return dict.fromkeys(facts.ships, "") if facts is not None else {}


def _searched(view: View, directory: str) -> SearchedDirectory:
    if not is_below(directory, OPT) and not is_below(directory, TASK):
        return SearchedDirectory(directory, True, (RUNTIME,))
    if directory == TASK:
        return SearchedDirectory(directory, True, (CODE,))
    items = view.directory(directory)
    return SearchedDirectory(directory, items is not None, view.filled_by(directory))


def _bootstrap(view: View, runtime: str) -> tuple[str, str] | None:
    """Rule EN-20: of managed runtimes their own; else the function's goes before one of a layer."""
    facts = FACTS.get(runtime)
    if facts is not None and facts.language is not Language.NATIVE:
        return "/var/runtime/bootstrap", RUNTIME
    for path in (f"{TASK}/bootstrap", f"{OPT}/bootstrap"):
        by = view.filled_by(path)
        if by:
            return path, by[0]
    return None


def _extensions(view: View) -> tuple[Extension, ...]:
    found = []
    for name, item in sorted((view.directory(f"{OPT}/extensions") or {}).items()):
        brought = view.brought(item.by[0])
        entry = brought.contents.entries.get(f"extensions/{name}") if brought is not None else None
        if not item.is_directory and entry is not None:
            found.append(Extension(name, item.by[0], entry.executable))
    return tuple(found)


def _about_mixes(mixes: Sequence[Mix]) -> list[str]:
    found = []
    for mix in mixes:
        if not mix.versions_differ:
            continue
        if not mix.mixed:
            (used, _), *others = mix.parts
            hidden = " and ".join(f"{source.version or 'another'} of {source.by}" for source, _ in others)
            found.append(f"{mix.name} {used.version} of {used.by} takes the whole place of {hidden}".replace("  ", " "))
            continue
        what = " and ".join(f"{source.version or 'another version'} of {source.by}" for source, _ in mix.parts)
        seen = ", ".join(f"{files} files of {source.by}" for source, files in mix.parts)
        found.append(
            f"{mix.name} is mixed in {mix.directory}: {what} lie over each other, and the function sees {seen}. "
            f"Such a mixture seldom works; keep {mix.name} in one layer only"
        )
    return found


def _about_packages(view: View, mixes: Sequence[Mix], runtime: str) -> list[str]:
    """Packages of which two layers have different versions, in places that do not mix."""
    facts = FACTS.get(runtime)
    ecosystem = _ECOSYSTEMS.get(facts.language) if facts is not None else None
    mixed = {normalised(mix.name) for mix in mixes if mix.versions_differ}
    versions: dict[str, dict[str, str]] = {}
    for layer in view.layers:
        for package in layer.packages:
            if package.ecosystem is ecosystem and package.directory.count("node_modules/") < 2:
                versions.setdefault(package.name, {})[layer.label] = package.version
    found = []
    for name, by_layer in sorted(versions.items()):
        if len(set(by_layer.values())) > 1 and normalised(name) not in mixed:
            listed = " and ".join(f"{version} of {label}" for label, version in by_layer.items())
            found.append(f"{name} is there in several versions: {listed}. Which one is used is told by what hides what")
    return found


_ECOSYSTEMS: Final = {
    Language.PYTHON: Ecosystem.PYPI,
    Language.NODE: Ecosystem.NPM,
    Language.JAVA: Ecosystem.MAVEN,
    Language.RUBY: Ecosystem.GEM,
}


def _about_overrides(view: View, mixes: Sequence[Mix]) -> list[str]:
    found = []
    for override in view.opt.overrides:
        winner, loser = view.layers[override.winner].label, view.layers[override.loser].label
        place = f"{OPT}/{override.name}"
        if override.conflict is Conflict.FILE_OVER_DIRECTORY:
            found.append(
                f"{place} is a file of {winner}: the directory of {loser} is hidden, "
                f"{override.hidden_files} files of it"
            )
        elif override.conflict is Conflict.DIRECTORY_OVER_FILE:
            found.append(f"{place} is a directory of {winner}: {override.hidden_files} files of {loser} are hidden")
    mixed = tuple(f"{mix.directory}/" for mix in mixes)
    plain = sum(
        override.conflict is Conflict.FILE and not override.same and not f"{OPT}/{override.name}".startswith(mixed)
        for override in view.opt.overrides
    )
    if plain:
        found.append(f"{plain} files of earlier layers are replaced by others of later layers; --overrides lists them")
    return found


def _about_shadows(shadows: Sequence[Shadow]) -> list[str]:
    found = []
    for shadow in shadows:
        if shadow.used.by == RUNTIME:
            brought = ", ".join(source.by for source in shadow.hidden)
            found.append(
                f"{shadow.kind} {shadow.name} of {brought} is not used: "
                f"the runtime's own comes first on {shadow.search_path}"
            )
    return found


def _about_start(
    runtime: str, bootstrap: tuple[str, str] | None, extensions: Sequence[Extension], view: View
) -> list[str]:
    found = []
    facts = FACTS.get(runtime)
    if bootstrap is None and (view.code is not None or facts is None or facts.language is not Language.NATIVE):
        found.append("There is no bootstrap, in the function's code or in a layer: the function cannot start")
    found += [
        f"{OPT}/extensions/{extension.name} of {extension.by} is not executable: the function cannot start"
        for extension in extensions
        if not extension.executable
    ]
    if len(extensions) > EXTENSIONS_MOST:
        found.append(f"There are {len(extensions)} extensions; Lambda starts {EXTENSIONS_MOST} at most")
    return found


def _about_sizes(sizes: Sequence[tuple[str, int]]) -> list[str]:
    total = sum(size for _, size in sizes)
    if total <= UNZIPPED.limit:
        return []
    return [f"Code and layers have {total:,} bytes unzipped, more than Lambda's limit of {UNZIPPED.limit:,}"]


def _about_unused(view: View, searched: Sequence[SearchPath]) -> list[str]:
    """Directories for another version of the language than the function's."""
    wanted = {directory for path in searched for directory in path.directories}
    found = []
    for base, pattern in ((f"{OPT}/python/lib", "{}/site-packages"), (f"{OPT}/nodejs", "{}/node_modules")):
        for name, item in sorted((view.directory(base) or {}).items()):
            place = f"{base}/{pattern.format(name)}"
            versioned = name.startswith(("python3.", "node")) and name != "node_modules"
            if versioned and place not in wanted and view.directory(place):
                found.append(f"{place} of {', '.join(item.by)} is on no search path of this function")
    return found
