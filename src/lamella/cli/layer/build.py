"""`lamella layer build`. Works without a server."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lamella.cli import output as out
from lamella.cli.failure import CommandError, Status
from lamella.cli.layer.progress import printable, telling
from lamella.cli.options import Json, examples

if TYPE_CHECKING:
    from lamella.layers.build import ArchiveReport, Recipe

_DEFAULT_RUNTIME = "python3.11"
_TARGET, _SOURCES, _RESULT = "What for", "What of, instead of a recipe", "What comes of it"


def _several(flags: tuple[str, ...], metavar: str, text: str, panel: str) -> Any:  # Any: as `typer.Option`
    return typer.Option(
        *flags, metavar=metavar, help=f"{text}; may be repeated.", show_default=False, rich_help_panel=panel
    )


def _one(flags: tuple[str, ...], metavar: str, text: str, panel: str) -> Any:  # Any: as `typer.Option`
    return typer.Option(*flags, metavar=metavar, help=text, show_default=False, rich_help_panel=panel)


def build(
    requirements: Annotated[
        list[str] | None,
        typer.Argument(metavar="[REQUIREMENT]...", help="Python packages: pillow, numpy==2.2.6.", show_default=False),
    ] = None,
    *,
    recipe: Annotated[
        Path | None,
        _one(("--recipe", "-f"), "FILE", "Recipe; else layer.toml, if nothing to build of is named.", _SOURCES),
    ] = None,
    file: Annotated[
        list[Path] | None, _several(("--requirements", "-r"), "FILE", "Requirements file", _SOURCES)
    ] = None,
    uv_lock: Annotated[Path | None, _one(("--uv-lock",), "FILE", "What a uv.lock pins.", _SOURCES)] = None,
    poetry_lock: Annotated[Path | None, _one(("--poetry-lock",), "FILE", "What a poetry.lock pins.", _SOURCES)] = None,
    pyproject: Annotated[Path | None, _one(("--pyproject",), "FILE", "Its dependencies.", _SOURCES)] = None,
    package: Annotated[
        list[Path] | None, _several(("--package",), "DIRECTORY", "Local Python package", _SOURCES)
    ] = None,
    node: Annotated[Path | None, _one(("--node",), "FILE", "package.json with its lock.", _SOURCES)] = None,
    npm: Annotated[list[str] | None, _several(("--npm",), "NAME@VERSION", "Node package", _SOURCES)] = None,
    maven: Annotated[
        list[str] | None, _several(("--maven",), "GROUP:ARTIFACT:VERSION", "Java package", _SOURCES)
    ] = None,
    program: Annotated[list[str] | None, _several(("--program",), "NAME", "Program of this machine", _SOURCES)] = None,
    debian: Annotated[list[str] | None, _several(("--debian",), "NAME", "Package of Debian", _SOURCES)] = None,
    files: Annotated[
        list[str] | None, _several(("--files",), "FROM[=TO]", "File or directory, as it is", _SOURCES)
    ] = None,
    extension: Annotated[list[Path] | None, _several(("--extension",), "FILE", "External extension", _SOURCES)] = None,
    bootstrap: Annotated[Path | None, _one(("--bootstrap",), "FILE", "Program of a custom runtime.", _SOURCES)] = None,
    runtime: Annotated[
        list[str] | None,
        _several(
            ("--runtime",), "RUNTIME", f"Runtime of the functions, {_DEFAULT_RUNTIME} for Python packages", _TARGET
        ),
    ] = None,
    architecture: Annotated[
        list[str] | None, _several(("--architecture",), "x86_64|arm64", "Of the functions, else x86_64", _TARGET)
    ] = None,
    separate_runtimes: Annotated[
        bool | None,
        typer.Option(
            "--separate-runtimes/--one-for-all",
            help="One zip for each runtime.",
            rich_help_panel=_TARGET,
            show_default=False,
        ),
    ] = None,
    name: Annotated[str | None, _one(("--name",), "NAME", "Name of the layer, else layer.", _RESULT)] = None,
    output: Annotated[
        str | None,
        _one(("--output", "-o"), "FILE", "Zip to write; {name}, {architecture}, {runtime} are replaced.", _RESULT),
    ] = None,
    sbom: Annotated[
        str | None, _one(("--sbom",), "FILE", "CycloneDX document to write; replaced likewise.", _RESULT)
    ] = None,
    flat: Annotated[
        bool,
        typer.Option(
            "--flat", help="Packages right under python/, for all versions of Python.", rich_help_panel=_RESULT
        ),
    ] = False,
    slim: Annotated[
        bool | None,
        typer.Option(
            "--slim/--no-slim",
            help="Trim tests, docs, stubs, headers and what the runtime has.",
            rich_help_panel=_RESULT,
            show_default=False,
        ),
    ] = None,
    keep: Annotated[list[str] | None, _several(("--keep",), "PATTERN", "Never trim these", _RESULT)] = None,
    max_unzipped: Annotated[str | None, _one(("--max-unzipped",), "SIZE", "More is an error: 100MiB.", _RESULT)] = None,
    max_zipped: Annotated[str | None, _one(("--max-zipped",), "SIZE", "More is an error.", _RESULT)] = None,
    json_: Json = False,
) -> None:
    """Build a layer: packages for the target's platform, whatever this machine is, files, programs, extensions.

    From a recipe (layer.toml) or from flags. What is pinned gives the same bytes each time.
    Publish the zip with AWS's own client.
    """
    # Here and not above: no other command needs it.
    from lamella.layers.build import build_layers
    from lamella.layers.build import recipe as recipes
    from lamella.layers.errors import LayerBuildError, RecipeError

    python = recipes.PythonTable(
        requirements=tuple(requirements or ()),
        requirements_files=tuple(file or ()),
        uv_lock=uv_lock,
        poetry_lock=poetry_lock,
        pyproject=pyproject,
        packages=tuple(one.absolute() for one in package or ()),
        flat=flat,
    )
    tables: dict[str, Any] = {  # Any: tables of several types
        "python": python if replace(python, flat=False) != recipes.PythonTable() else None,
        "node": recipes.NodeTable(package=_absolute(node), packages=tuple(npm or ())) if node or npm else None,
        "java": recipes.JavaTable(coordinates=tuple(maven)) if maven else None,
        "native": recipes.NativeTable(programs=tuple(program)) if program else None,
        "debian": recipes.DebianTable(packages=tuple(debian)) if debian else None,
        "files": tuple(_files(text) for text in files or ()),
        "extensions": tuple(recipes.ExtensionTable(source=one.absolute()) for one in extension or ()),
        "bootstrap": recipes.BootstrapTable(source=bootstrap.absolute()) if bootstrap else None,
    }
    result = {"name": name, "output": output, "sbom": sbom, "separate_runtimes": separate_runtimes, "slim": slim,
              "keep": keep, "max_unzipped": max_unzipped, "max_zipped": max_zipped,
              "runtimes": runtime, "architectures": architecture}  # fmt: skip
    try:
        wanted = _recipe(recipe, tables, {key: value for key, value in result.items() if value is not None}, flat=flat)
        with telling() as progress:
            reports = build_layers(wanted, progress=progress)
    except RecipeError as error:
        raise CommandError(printable(str(error)), Status.USAGE) from error
    except LayerBuildError as error:
        raise CommandError(printable(str(error)), Status.NEGATIVE) from error
    if json_:
        out.write_json({"archives": [report.to_dict() for report in reports]})
    for warning in dict.fromkeys(warning for report in reports for warning in report.warnings):
        out.say(printable(f"warning: {warning}"))
    if not json_:
        for report in reports:
            _print(report)


def _absolute(path: Path | None) -> Path | None:
    return None if path is None else path.absolute()


def _files(text: str) -> Any:  # Any: a table of a recipe, whose module is loaded when it is needed
    from lamella.layers.build.recipe import FilesTable

    source, _, to = text.partition("=")
    return FilesTable(source=Path(source).absolute(), to=to)


def _recipe(path: Path | None, tables: dict[str, Any], flags: dict[str, object], *, flat: bool) -> "Recipe":
    """The recipe of the file, if nothing to build of is named by flags; what else is named wins over what it says."""
    from lamella.layers.build import recipe as recipes
    from lamella.layers.errors import RecipeError

    named = any(tables.values())
    if named and path is not None:
        raise RecipeError("what the layer is made of comes from --recipe or from flags, not from both")
    values = recipes.from_flags(flags)
    if named:
        default = (_DEFAULT_RUNTIME,) if tables["python"] is not None else ()
        return recipes.Recipe(**{"runtimes": default, **values, **tables})
    if path is None and not Path(recipes.RECIPE).exists():
        raise RecipeError(
            "nothing to build a layer of: name a package, a file of them with --requirements, or write a recipe, "
            f"{recipes.RECIPE} (docs/how-to/build-layers.md)"
        )
    recipe = recipes.read_recipe(path or Path(recipes.RECIPE))
    if flat and recipe.python is not None:
        values["python"] = replace(recipe.python, flat=True)
    for key in ("output", "sbom"):  # of a flag, it starts here and not at the recipe
        if key in values:
            values[key] = str(Path(values[key]).absolute())
    if "keep" in values:
        values["keep"] = (*recipe.keep, *values["keep"])
    return replace(recipe, **values)


def _print(report: "ArchiveReport") -> None:
    """The answer about one archive, the command that publishes it last."""
    from lamella.layers.build.report import mib

    print(
        printable(
            f"{report.output}: {report.files} files, {mib(report.zipped_bytes)}, {mib(report.unzipped_bytes)} unzipped"
            f", for {' '.join(report.runtimes) or 'any runtime'} on {report.architecture}"
        )
    )
    print(f"SHA-256 {report.sha256}")
    if report.packages:
        rows = [
            (one.name, one.version, _short(one.licence), mib(one.size_bytes) if one.size_bytes else "")
            for one in report.packages
        ]
        _table(("package", "version", "licence", "unzipped"), rows)
    if report.removed:
        trimmed = [
            (one.kind.value, str(one.files), mib(one.size_bytes), ", ".join(one.places)) for one in report.removed
        ]
        _table(("trimmed", "files", "unzipped", "most of it"), trimmed)
    for spared in report.spared:
        print(printable(f"not trimmed ({spared.kind}): {spared.name}: {spared.reason}"))
    if report.sbom is not None:
        print(printable(f"Bill of materials: {report.sbom}"))
    print(printable("Publish it: " + " && ".join(report.publish_commands())))


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    out.write_table(columns, [[printable(cell) for cell in row] for row in rows])


def _short(licence: str) -> str:
    return licence if len(licence) <= 40 else f"{licence[:39]}…"


def register(layer: typer.Typer) -> None:
    """Add the command."""
    epilog = examples(
        "lamella layer build pillow numpy",
        "lamella layer build -r requirements.txt --runtime python3.12 --architecture arm64 --output deps.zip",
        "lamella layer build --uv-lock uv.lock --runtime python3.12 --runtime python3.13 --slim --sbom deps.cdx.json",
        "lamella layer build --recipe layer.toml --json",
        "aws lambda publish-layer-version --layer-name imaging --zip-file fileb://layer.zip "
        "--compatible-runtimes python3.11",
    )
    layer.command("build", epilog=epilog)(build)
