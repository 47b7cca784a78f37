"""`layer.toml`: what a layer is made of, for what, and what it may weigh."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from lamella.domain.function import Architecture
from lamella.layers.build.slim import DEFAULT_SLIM, Trim
from lamella.layers.build.tables import (
    PATH,
    PATHS,
    SIZE,
    SWITCH,
    TEXT,
    TEXTS,
    Kind,
    Place,
    chosen,
    key,
    limited,
    nearest,
    read_table,
    rows_of,
)
from lamella.layers.errors import LayerBuildError, RecipeError
from lamella.layers.facts import FACTS, Language

RECIPE: Final = "layer.toml"
_PLACEHOLDERS: Final = frozenset({"name", "architecture", "runtime"})


def _slim(value: object, _: Path) -> tuple[Trim, ...]:
    if isinstance(value, bool):
        return DEFAULT_SLIM if value else ()
    if not isinstance(value, list):
        raise ValueError  # noqa: TRY004  (its text is made by the caller)
    known = [kind.value for kind in Trim]
    for word in value:
        if word not in known:
            raise ValueError(f"{word!r} is nothing that can be trimmed; the nearest is {nearest(str(word), known)!r}")
    return tuple(Trim(word) for word in value)


_NAME: Final = limited("a layer's name: letters, digits, - and _, 140 at most", "[a-zA-Z0-9_-]{1,140}")
_RUNTIMES: Final = chosen("a list of runtimes such as python3.12, each once", FACTS)
_ARCHITECTURES: Final = chosen("a list of x86_64 and arm64, each once", [one.value for one in Architecture])
_SLIM: Final = Kind("true, false, or a list of what to trim", _slim)


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonTable:
    """Packages for the Python runtimes: wheels for the target, whatever this machine is."""

    requirements: tuple[str, ...] = key(TEXTS, 'As pip takes them: `["pillow==12.2.0", "numpy"]`.', ())
    requirements_files: tuple[Path, ...] = key(
        PATHS, "Files in pip's format. If a line has a `--hash`, everything must have one.", ()
    )
    pyproject: Path | None = key(PATH, "`pyproject.toml` whose dependencies are resolved, without a lock.", None)
    uv_lock: Path | None = key(PATH, "`uv.lock`, with the `pyproject.toml` beside it: exactly what is locked.", None)
    poetry_lock: Path | None = key(
        PATH, "`poetry.lock`, with the `pyproject.toml` beside it: exactly what is locked. Poetry is not needed.", None
    )
    extras: tuple[str, ...] = key(TEXTS, "Extras of the project that `pyproject` or a lock belongs to.", ())
    groups: tuple[str, ...] = key(TEXTS, "Dependency groups of it, beside its own dependencies.", ())
    packages: tuple[Path, ...] = key(
        PATHS, "Directories of local packages, each with a `pyproject.toml`: pure Python, built to wheels.", ()
    )
    flat: bool = key(
        SWITCH,
        "Put them right under `python/`, for all versions of Python at once, rather than into "
        "`python/lib/python3.X/site-packages/`.",
        default=False,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTable:
    """Packages for the Node runtimes, in `nodejs/node_modules`."""

    package: Path | None = key(
        PATH, "`package.json`, or its directory; the `package-lock.json` beside it is what is installed.", None
    )
    packages: tuple[str, ...] = key(TEXTS, 'As npm takes them: `["lodash@4.17.21"]`. Resolved anew each time.', ())
    local: tuple[Path, ...] = key(PATHS, "Directories of local modules.", ())
    scripts: tuple[str, ...] = key(
        TEXTS, "Packages whose install scripts may run, which makes sense only for this machine's architecture.", ()
    )
    by_version: bool = key(
        SWITCH, "Put them into `nodejs/nodeNN/node_modules`, for that version of Node alone.", default=False
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class JavaTable:
    """Jars for the Java runtimes, in `java/lib`."""

    coordinates: tuple[str, ...] = key(TEXTS, '`["group:artifact:version"]`, with all they depend on.', ())
    pom: Path | None = key(PATH, "`pom.xml` whose dependencies for run time are taken.", None)
    gradle: Path | None = key(PATH, "`gradle.lockfile`, of which the runtime class path is taken.", None)
    jars: tuple[Path, ...] = key(PATHS, "Jars of your own, as they are.", ())
    exclude: tuple[str, ...] = key(TEXTS, '`["group:artifact"]` or `["group:*"]`: what is left out.', ())
    repositories: tuple[str, ...] = key(TEXTS, "Addresses of repositories that are asked before Maven Central.", ())


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeTable:
    """Programs and libraries of this machine, with all shared libraries that they need, in `bin` and `lib`."""

    programs: tuple[str, ...] = key(TEXTS, "Names in `PATH`, or paths.", ())
    libraries: tuple[str, ...] = key(TEXTS, 'Names such as `"libpq.so.5"`, or paths.', ())
    extra: tuple[str, ...] = key(TEXTS, "Patterns of absolute paths that are opened at run time, such as plugins.", ())
    search: tuple[Path, ...] = key(PATHS, "Directories in which libraries are looked for first.", ())
    directory: str = key(TEXT, "Below `lib/`, where the libraries go that programs have for themselves.", "native")


@dataclass(frozen=True, slots=True, kw_only=True)
class DebianTable:
    """Programs and libraries of Debian's packages, for either architecture, whatever this machine is."""

    packages: tuple[str, ...] = key(TEXTS, '`["git"]`, or with a version: `["git=1:2.39.5-0+deb12u2"]`.')
    programs: tuple[str, ...] = key(TEXTS, "Which of their programs are in `bin/`; else all of these packages.", ())
    libraries: tuple[str, ...] = key(TEXTS, 'Libraries wanted for themselves: `["libpq.so.5"]`.', ())
    whole: tuple[str, ...] = key(TEXTS, "Further packages of which everything is taken, not just libraries.", ())
    leave_out: tuple[str, ...] = key(TEXTS, 'Patterns of paths: `["usr/lib/git-core/git-http-*"]`.', ())
    sources_list: Path | None = key(
        PATH, "File of package sources, instead of this machine's; one of snapshot.debian.org pins all versions.", None
    )
    directory: str = key(TEXT, "Where the packages go, below `/opt`.", "debian")


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesTable:
    """A file or directory that is copied as it is; there may be several."""

    source: Path = field(
        metadata={
            "name": "from",
            "kind": PATH,
            "meaning": "File or directory; `{architecture}` in it stands for the architecture.",
        }
    )
    to: str = key(TEXT, "Where it goes, below `/opt`; else the top, under its own name if it is a file.", "")
    executable: bool = key(
        SWITCH, "Whether all of its files may be executed; else those that may be here.", default=False
    )
    exclude: tuple[str, ...] = key(TEXTS, 'Patterns of names to leave out: `["*.bak", "drafts/*"]`.', ())


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtensionTable:
    """An external extension: a program in `extensions/`; there may be several."""

    source: Path = field(
        metadata={
            "name": "from",
            "kind": PATH,
            "meaning": "The program; `{architecture}` in it stands for the architecture.",
        }
    )
    name: str = key(limited("a file name", r"[^/\s.][^/\s]*"), "The extension's name; else that of the file.", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapTable:
    """The program of a custom runtime, `/opt/bootstrap`."""

    source: Path = field(
        metadata={
            "name": "from",
            "kind": PATH,
            "meaning": "The program; `{architecture}` in it stands for the architecture.",
        }
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A layer to be built.

    Attributes:
        directory: From which relative paths start; programs that are run (uv, npm) are run there.
    """

    name: str = key(_NAME, "Name of the layer.", "layer")
    description: str = key(limited("a text of 256 characters at most", "[^\n]{1,256}"), "For publishing.", "")
    licence: str = key(
        limited("a text of 512 characters at most", "[^\n]{1,512}"), "For publishing: an SPDX expression.", ""
    )
    runtimes: tuple[str, ...] = key(_RUNTIMES, "Runtimes of the functions. Empty: any.", ())
    architectures: tuple[str, ...] = key(
        _ARCHITECTURES, "Instruction sets of the functions; each has an archive of its own.", ("x86_64",)
    )
    separate_runtimes: bool = key(
        SWITCH, "One archive for each runtime, rather than one that serves all of them.", default=False
    )
    output: str = key(
        TEXT,
        "The archive, relative to the recipe; `{name}`, `{architecture}` and `{runtime}` are replaced. Default: "
        "`{name}.zip`, `{name}-{architecture}.zip` or `{name}-{runtime}-{architecture}.zip`, whatever tells all apart.",
        "",
    )
    sbom: str = key(TEXT, "Where to write a CycloneDX document, as `output`. Default: nowhere.", "")
    max_unzipped: int | None = key(SIZE, "The most it may have unzipped; more is an error.", None)
    max_zipped: int | None = key(SIZE, "The most an archive may have; more is an error.", None)
    slim: tuple[Trim, ...] = key(_SLIM, "What to trim; `true` is all of the default ones.", ())
    keep: tuple[str, ...] = key(
        TEXTS, 'Patterns of names, and names of packages, that are never trimmed: `["*/doc/*", "boto3"]`.', ()
    )
    python: PythonTable | None = None
    node: NodeTable | None = None
    java: JavaTable | None = None
    native: NativeTable | None = None
    debian: DebianTable | None = None
    files: tuple[FilesTable, ...] = ()
    extensions: tuple[ExtensionTable, ...] = ()
    bootstrap: BootstrapTable | None = None
    directory: Path = Path()


TABLES: Final[Mapping[str, type]] = {
    "python": PythonTable,
    "node": NodeTable,
    "java": JavaTable,
    "native": NativeTable,
    "debian": DebianTable,
    "bootstrap": BootstrapTable,
}
"""Tables of which a recipe has one each at most."""

ARRAYS: Final[Mapping[str, type]] = {"files": FilesTable, "extensions": ExtensionTable}
"""Tables of which it may have several."""


def read_recipe(path: Path) -> Recipe:
    """A recipe from its file.

    Raises:
        RecipeError: The file cannot be read, or says what it must not.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RecipeError(f"There is no recipe {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"Cannot read {path}: {error}") from error
    return parse_recipe(text, path)


def parse_recipe(text: str, path: Path) -> Recipe:
    """A recipe from its text; errors as `read_recipe`."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path} is not TOML: {error}") from None
    except RecursionError:
        raise RecipeError(f"{path} is nested too deeply") from None
    place = Place(path, text)
    nested = {name: document.pop(name) for name in (*TABLES, *ARRAYS) if name in document}
    top = read_top(document, place)
    values: dict[str, Any] = {}  # Any: tables of several types
    for name, inner in nested.items():
        if name in TABLES:
            values[name] = read_table(TABLES[name], inner, place.at(name))
            continue
        if not isinstance(inner, list):
            raise place.error(name, f"must be an array of tables: write [[{name}]]")
        values[name] = tuple(
            read_table(ARRAYS[name], item, place.at(name, number)) for number, item in enumerate(inner)
        )
    recipe = Recipe(**top, **values, directory=path.parent)
    for name in ("output", "sbom"):
        for placeholder in unknown_placeholders(getattr(recipe, name)):
            raise place.error(
                name, f"{placeholder} cannot be replaced; the nearest is {{{nearest(placeholder, _PLACEHOLDERS)}}}"
            )
    return recipe


def read_top(document: Mapping[str, object], place: Place) -> dict[str, Any]:  # Any: values of several types
    """The keys above all tables."""
    known = [*(name for name in Recipe.__dataclass_fields__ if name != "directory")]
    for name in document:
        if name not in known:
            raise place.error(name, f"there is no such key; the nearest is {nearest(name, known)!r}")
    recipe = read_table(Recipe, dict(document), place)
    return {name: getattr(recipe, name) for name in document}


def unknown_placeholders(pattern: str) -> list[str]:
    """What stands in braces in a pattern of names and cannot be replaced."""
    inner = [part.partition("}")[0] for part in pattern.split("{")[1:]]
    return [f"{{{name}}}" for name in inner if name not in _PLACEHOLDERS]


def check(recipe: Recipe) -> None:
    """Refuse what cannot be built, whether it was read from a file or put together from flags.

    Raises:
        RecipeError: It has nothing in it.
        LayerBuildError: It has something for runtimes that it is not for.
    """
    if not any((recipe.python, recipe.node, recipe.java, recipe.native, recipe.debian, recipe.bootstrap)) and not (
        recipe.files or recipe.extensions
    ):
        raise RecipeError(
            "Nothing to build a layer from: name at least one package, or write a [python], [node], [java], "
            "[native], [debian], [[files]], [[extensions]] or [bootstrap] table"
        )
    languages = {FACTS[name].language for name in recipe.runtimes}
    for name, language, example in (
        ("python", Language.PYTHON, "python3.12"),
        ("node", Language.NODE, "nodejs22.x"),
        ("java", Language.JAVA, "java21"),
    ):
        if getattr(recipe, name) is not None and language not in languages:
            named = ", ".join(recipe.runtimes) or "none"
            raise LayerBuildError(
                f"There are packages for {name.capitalize()}, and no such runtime among those named ({named}): "
                f"add one such as {example}"
            )
    if recipe.separate_runtimes and not recipe.runtimes:
        raise RecipeError("separate_runtimes needs runtimes")


def from_flags(flags: Mapping[str, object]) -> dict[str, Any]:  # Any: values of several types
    """Values of keys above all tables, from flags of the same names; checked as those of a recipe are.

    Raises:
        RecipeError: One is unfit.
    """
    found: dict[str, Any] = {}  # Any: as above
    for name, kind, _, _ in rows_of(Recipe):
        if name in flags:
            try:
                found[name] = kind.read(flags[name], Path())
            except ValueError as error:
                flag = f"--{name.removesuffix('s') if isinstance(flags[name], list) else name}".replace("_", "-")
                raise RecipeError(f"{flag} {str(error) or f'must be {kind.expects}'}") from None
    for name in ("output", "sbom"):
        for placeholder in unknown_placeholders(found.get(name, "")):
            raise RecipeError(
                f"--{name}: {placeholder} cannot be replaced: use {{name}}, {{architecture}} or {{runtime}}"
            )
    return found
