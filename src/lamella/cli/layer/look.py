"""`lamella layer show`, `tree`, `diff` and `explain`."""

import os
import shutil
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from lamella.cli import output as out
from lamella.cli.aws import AnyEndpoint, Profile, service_client
from lamella.cli.failure import CommandError, Status
from lamella.cli.layer import explaining
from lamella.cli.options import Json, Region, examples

if TYPE_CHECKING:
    from lamella.cli.layer.sources import OpenedLayer
    from lamella.layers.look.diff import LayerDiff
    from lamella.layers.look.tree import Node
    from lamella.layers.packages import Package

_LIMIT_BYTES: Final = 262_144_000
_BAR: Final = 24
_MOST_OF_IT: Final = 0.9
_DEEPEST: Final = 200
"""Levels of a tree in JSON: more than that, and those who read it fail."""
# As of `sources.HELP`; that module takes its time to load.
_SOURCE_HELP: Final = (
    "A zip archive, a directory, or a layer version: its ARN, NAME:VERSION, NAME:CHANNEL, or NAME for the newest."
)

Source = Annotated[str, typer.Argument(metavar="LAYER", help=_SOURCE_HELP, show_default=False)]


def _client(endpoint: str | None, region: str | None, profile: str | None) -> Callable[[], Any]:
    """Makes a client once it is needed, and one only."""
    made: list[Any] = []

    def make() -> Any:
        if not made:
            made.append(service_client(endpoint, region, profile=profile))
        return made[0]

    return make


def show(
    layer: Source,
    *,
    top: Annotated[int, typer.Option(min=1, metavar="N", help="The N largest packages and directories.")] = 10,
    json_: Json = False,
    endpoint: AnyEndpoint = None,
    region: Region = None,
    profile: Profile = None,
) -> None:
    """Show what a layer has: packages with versions and licences, what is where, what takes the room."""
    from lamella.cli.layer.sources import open_any
    from lamella.layers.look.overview import machines_of, parts_of, sizes_by_package
    from lamella.layers.look.tree import tree_of
    from lamella.layers.packages import packages_of

    with open_any(layer, _client(endpoint, region, profile)) as opened:
        contents = opened.contents
        packages = packages_of(contents)
        sizes = sizes_by_package(contents, packages)
        machines = machines_of(contents)
        parts = parts_of(contents)
        directories = largest_directories(tree_of(contents), top)
        document = {
            "label": contents.label,
            "version": _version(opened),
            "zipped_bytes": contents.zipped_bytes,
            "unzipped_bytes": contents.unzipped_bytes,
            "files": sum(1 for _ in contents.files()),
            "machines": dict(machines),
            "parts": [
                {"place": part.place, "purpose": part.purpose, "bytes": part.size_bytes, "files": part.files}
                for part in parts
            ],
            "packages": [_package(package, sizes[package]) for package in packages],
            "largest_directories": [{"name": name, "bytes": size} for name, size in directories],
            "problems": [{"name": problem.name, "detail": problem.detail} for problem in contents.problems],
        }
    if json_:
        out.write_json(document)
        return
    _show(document, top)


def _version(opened: "OpenedLayer") -> dict[str, Any] | None:
    version = opened.version
    if version is None:
        return None
    return {
        "arn": version.arn,
        "name": version.name,
        "version": version.version,
        "created_at": version.created_at,
        "description": version.description,
        "licence": version.licence,
        "runtimes": list(version.runtimes),
        "architectures": list(version.architectures),
        "sha256": version.sha256.hex(),
    }


def _package(package: "Package", size_bytes: int) -> dict[str, Any]:
    return {
        "ecosystem": package.ecosystem.value,
        "name": package.name,
        "version": package.version,
        "licence": package.licence,
        "purl": package.purl,
        "directory": package.directory,
        "bytes": size_bytes,
    }


def _show(document: dict[str, Any], top: int) -> None:
    version, zipped, unzipped = document["version"], document["zipped_bytes"], document["unzipped_bytes"]
    facts: list[tuple[str, str]] = [("layer", document["label"])]
    if version is not None:
        facts = [
            ("layer", f"{version['name']}, version {version['version']}"),
            ("ARN", version["arn"]),
            ("created", version["created_at"]),
            ("description", version["description"]),
            ("runtimes", ", ".join(version["runtimes"])),
            ("architectures", ", ".join(version["architectures"])),
            ("licence", version["licence"]),
        ]
    share = f"{unzipped * 100 / _LIMIT_BYTES:.0f} % of what a function may have"
    facts += [
        ("zipped", "" if zipped is None else out.size(zipped)),
        ("unzipped", f"{out.size(unzipped)}, {out.files(document['files'])}; {share}"),
        (
            "machine code",
            ", ".join(f"{name} ({out.files(count)})" for name, count in document["machines"].items()) or "none",
        ),
    ]
    for name, value in facts:
        if value:
            print(f"{name + ':':15}{out.printable(value)}")
    print("\nWhat is where")
    _bars([(part["place"], part["bytes"], part["purpose"]) for part in document["parts"]], unzipped)
    if document["packages"]:
        print(f"\nPackages ({len(document['packages'])})")
        columns = ("package", "version", "licence", "size", "from")
        out.write_table(columns, [_package_row(package) for package in document["packages"]])
        largest = sorted(document["packages"], key=lambda package: -package["bytes"])[:top]
        print("Largest packages")
        _bars([(f"{package['name']} {package['version']}", package["bytes"], "") for package in largest], unzipped)
    if document["largest_directories"]:
        print("\nLargest directories")
        _bars([(one["name"], one["bytes"], "") for one in document["largest_directories"]], unzipped)
    for problem in document["problems"]:
        out.say(f"warning: {out.printable(problem['name'])} {out.printable(problem['detail'])}")


def _package_row(package: dict[str, Any]) -> list[str]:
    texts = (package["name"], package["version"], package["licence"])
    return [*(out.printable(text) for text in texts), out.size(package["bytes"]), package["ecosystem"]]


def _bars(rows: Iterable[tuple[str, int, str]], total: int) -> None:
    cells = [(out.printable(name), size_bytes, note) for name, size_bytes, note in rows]
    width = min(max((len(name) for name, _, _ in cells), default=0), 60)
    longest = max((len(note) for _, _, note in cells), default=0)
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else 200
    most = bar_width(columns - width - longest)
    for name, size_bytes, note in cells:
        bar = "#" * round(most * size_bytes / total) if total else ""
        print(f"  {name:{width}}  {out.size(size_bytes):>10}  {bar:{most}}  {note}".rstrip())


def bar_width(left: int) -> int:
    """How long a bar may be where so many columns are left for it, a size and what is between them."""
    return max(4, min(_BAR, left - 18))


def largest_directories(tree: "Node", top: int) -> list[tuple[str, int]]:
    """The largest directories; of one that has little but another, the inner one alone."""
    nodes = [
        node
        for node in tree.walk()
        if node.name and node.is_directory and node.size_bytes
        if all(
            child.size_bytes < _MOST_OF_IT * node.size_bytes for child in node.children.values() if child.is_directory
        )
    ]
    largest = sorted(nodes, key=lambda node: (-node.size_bytes, node.name))[:top]
    return [(node.name, node.size_bytes) for node in largest]


def tree(
    layer: Source,
    path: Annotated[
        str,
        typer.Argument(metavar="[PATH]", help="Only what is below it, e.g. python or /opt/python.", show_default=False),
    ] = "",
    *,
    depth: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Levels. [default: 3]", show_default=False)
    ] = None,
    sizes: Annotated[bool, typer.Option("--sizes", help="The largest first.")] = False,
    all_: Annotated[bool, typer.Option("--all", help="All levels, and every mode.")] = False,
    json_: Json = False,
    endpoint: AnyEndpoint = None,
    region: Region = None,
    profile: Profile = None,
) -> None:
    """Print a layer as a tree, with sizes; modes where they are unusual, and where links lead."""
    from lamella.cli.layer.sources import open_any
    from lamella.cli.layer.trees import tree_document, tree_lines
    from lamella.layers.look.tree import tree_of

    levels = depth if depth is not None else None if all_ else 3
    with open_any(layer, _client(endpoint, region, profile)) as opened:
        below = path.strip("/")
        below = below.removeprefix("opt/") if path.startswith("/opt/") else "" if path.rstrip("/") == "/opt" else below
        node = tree_of(opened.contents).find(below)
        if node is None:
            raise CommandError(f"there is nothing at {path!r} in {opened.contents.label}", Status.NEGATIVE)
        if json_:
            out.write_json(tree_document(node, min(levels or _DEEPEST, _DEEPEST), by_size=sizes))
            return
        for line in tree_lines(node, levels, by_size=sizes, all_modes=all_):
            print(line)


def diff(
    old: Annotated[
        str,
        typer.Argument(metavar="LAYER", help=f"{_SOURCE_HELP} NAME:7..8 stands for two versions.", show_default=False),
    ],
    new: Annotated[
        str | None, typer.Argument(metavar="[LAYER]", help="What to compare it with.", show_default=False)
    ] = None,
    *,
    files: Annotated[bool, typer.Option("--files", help="Every file, not the first of each kind.")] = False,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Compare what 'layer check' finds; takes all of both layers.")
    ] = True,
    runtime: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RUNTIME", help="Check for it; else for those declared. May be repeated.", show_default=False
        ),
    ] = None,
    json_: Json = False,
    endpoint: AnyEndpoint = None,
    region: Region = None,
    profile: Profile = None,
) -> None:
    """Compare two layers: packages, files, modes, symbols of shared libraries, findings.

    Ends with 0 if a function would see the same files, with 1 if not, as diff does.
    """
    from contextlib import ExitStack

    from lamella.cli.layer.comparing import diff_document, diff_lines, two_sources
    from lamella.cli.layer.sources import open_any

    first, second = two_sources(old, new)
    make = _client(endpoint, region, profile)
    with ExitStack() as opened:
        one, other = (opened.enter_context(open_any(text, make, whole=check)) for text in (first, second))
        runtimes = runtime or [*dict.fromkeys((*one.runtimes, *other.runtimes))]
        architectures = [*dict.fromkeys((*one.architectures, *other.architectures))]
        found = _compare(one, other, runtimes, architectures, check=check)
    if json_:
        out.write_json(diff_document(one.contents.label, other.contents.label, found))
    else:
        for line in diff_lines(one.contents.label, other.contents.label, found, all_files=files):
            print(line)
    if not found.equal:
        raise typer.Exit(Status.NEGATIVE)


def _compare(
    one: "OpenedLayer", other: "OpenedLayer", runtimes: list[str], architectures: list[str], *, check: bool
) -> "LayerDiff":
    from lamella.layers.doctor import check_layers
    from lamella.layers.errors import LayerReadError
    from lamella.layers.look.diff import diff_layers
    from lamella.layers.packages import packages_of

    try:
        return diff_layers(
            one.contents,
            other.contents,
            packages=(packages_of(one.contents), packages_of(other.contents)),
            check=(lambda contents: check_layers([contents], runtimes=runtimes, architectures=architectures))
            if check
            else None,
        )
    except LayerReadError as error:
        raise CommandError(out.printable(str(error)), Status.USAGE) from error


def explain(
    function: Annotated[str, typer.Argument(metavar="FUNCTION", help="Name or ARN.", show_default=False)],
    *,
    qualifier: Annotated[
        str | None, typer.Option(metavar="VERSION|ALIAS", help="Else $LATEST.", show_default=False)
    ] = None,
    files: Annotated[bool, typer.Option("--files", help="Every file of /opt, and the layer it comes from.")] = False,
    path: Annotated[
        str | None,
        typer.Option(
            metavar="PATTERN", help="Only files such as '/opt/lib/*.so*'; implies --files.", show_default=False
        ),
    ] = None,
    overrides: Annotated[
        bool, typer.Option("--overrides", help="Every file that another layer's file takes the place of.")
    ] = False,
    json_: Json = False,
    endpoint: AnyEndpoint = None,
    region: Region = None,
    profile: Profile = None,
) -> None:
    """Explain what a function sees of its layers: who brings what, what hides what, what is searched in which order."""
    from lamella.cli.aws import AWS, refused
    from lamella.cli.client import client as host_client
    from lamella.cli.layer.sources import cache_directory

    asked = explaining.Asked(function, qualifier, path, files=files or path is not None, overrides=overrides)
    explaining.run(
        asked,
        service_client(endpoint, region, profile=profile),
        ships=(lambda _: None) if endpoint == AWS else host_client(endpoint, region).runtime_contents,
        refused=refused,
        cache=cache_directory(os.environ),
        json_=json_,
    )


def register(layer: typer.Typer) -> None:
    """Add the commands."""
    layer.command("show", epilog=examples("lamella layer show layer.zip", "lamella layer show imaging:7 --top 20"))(
        show
    )
    layer.command(
        "tree",
        epilog=examples(
            "lamella layer tree imaging --sizes --depth 4", "lamella layer tree layer.zip /opt/python/PIL --all"
        ),
    )(tree)
    layer.command(
        "diff",
        epilog=examples("lamella layer diff imaging:7..8", "lamella layer diff imaging layer.zip --no-check --json"),
    )(diff)
    layer.command(
        "explain",
        epilog=examples(
            "lamella layer explain thumbnails --qualifier live",
            "lamella layer explain thumbnails --path '/opt/lib/*.so*'",
            "lamella layer explain thumbnails --endpoint aws --region eu-central-1",
        ),
    )(explain)
