"""`lamella layer explain`: what a function sees of its layers, on the terminal and as JSON."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from os.path import commonpath
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from lamella.cli import output as out
from lamella.cli.failure import CommandError, Status

if TYPE_CHECKING:
    from lamella.layers.look.explain import Explanation
    from lamella.layers.look.function import AttachedLayer, OpenedFunction
    from lamella.layers.look.shadows import Mix, Shadow

_LIMIT_BYTES: Final = 262_144_000


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user wants to know.

    Attributes:
        pattern: Of files, with or without `/opt/` in front; `None` for all.
        files: Whether files are listed.
        overrides: Whether files are listed that others take the place of.
    """

    function: str
    qualifier: str | None
    pattern: str | None
    files: bool
    overrides: bool


def run(
    asked: Asked,
    client: Any,  # botocore makes its clients at run time
    *,
    ships: Callable[[str], Mapping[str, Any] | None],
    refused: Callable[[Exception], CommandError],
    cache: Path,
    json_: bool,
) -> None:
    """Ask, and print.

    Args:
        asked: What for.
        client: For `lambda`.
        ships: What the server says that a runtime has.
        refused: Words for errors of botocore's.
        cache: Directory for archives.
        json_: Print JSON.

    Raises:
        CommandError: The function cannot be looked at.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    from lamella.layers.errors import LayerReadError
    from lamella.layers.look.explain import FunctionSetup, explain
    from lamella.layers.look.function import NoLayersError, open_function

    try:
        with open_function(client, asked.function, asked.qualifier, cache=cache) as function:
            known = shipped(ships(function.runtime))
            found = explain(function.view, FunctionSetup(function.runtime, function.environment, known))
            document = _document(function, found, asked)
    except NoLayersError as error:
        raise CommandError(str(error), Status.NEGATIVE) from error
    except LayerReadError as error:
        raise CommandError(out.printable(str(error))) from error
    except (BotoCoreError, ClientError) as error:
        raise refused(error) from error
    if json_:
        out.write_json(document)
        return
    for line in _lines(document, asked):
        print(line)


def shipped(contents: Mapping[str, Any] | None) -> dict[str, str] | None:
    """Packages of a runtime with their versions, of the server's answer; `None` if there is none."""
    from lamella.layers.look.modules import normalised

    if contents is None:
        return None
    return {
        normalised(str(one["name"])): str(one.get("version", ""))
        for one in contents["packages"]
        if isinstance(one, dict) and "name" in one
    }


def _document(function: "OpenedFunction", found: "Explanation", asked: Asked) -> dict[str, Any]:
    view, labels = function.view, [layer.label for layer in function.layers]
    sizes = dict(found.sizes)
    document: dict[str, Any] = {
        "function": {
            "arn": function.arn,
            "version": function.version,
            "runtime": function.runtime,
            "architecture": function.architecture,
        },
        "layers": [
            {
                "arn": layer.arn,
                "label": layer.label,
                "unzipped_bytes": None if layer.problem else sizes[layer.label],
                "files": None if layer.problem else sum(1 for _ in view.layers[number].contents.files()),
                "files_seen": sum(one == number for one in view.opt.files.values()),
                "newest_version": layer.newest,
                "problem": layer.problem or None,
            }
            for number, layer in enumerate(function.layers)
        ],
        "code": {"unzipped_bytes": sizes.get("function code"), "problem": function.code_problem or None},
        "total_bytes": found.total_bytes,
        "limit_bytes": _LIMIT_BYTES,
        "search_paths": [
            {
                "name": path.name,
                "set_by": path.set_by or None,
                "directories": [
                    {"path": one.path, "exists": one.exists, "filled_by": list(one.filled_by)}
                    for one in path.directories
                ],
            }
            for path in found.paths
        ],
        "bootstrap": None if found.bootstrap is None else {"path": found.bootstrap[0], "by": found.bootstrap[1]},
        "extensions": [{"name": one.name, "by": one.by, "executable": one.executable} for one in found.extensions],
        "mixes": [_mix(mix) for mix in found.mixes],
        "shadows": [_shadow(shadow) for shadow in found.shadows],
        "overrides": [
            {
                "path": f"/opt/{one.name}",
                "used": labels[one.winner],
                "hidden": labels[one.loser],
                "conflict": one.conflict.value,
                "same_content": one.same,
                "hidden_files": one.hidden_files,
            }
            for one in found.overrides
        ],
        "warnings": [*_about_layers(function.layers), *_about_code(function), *found.warnings],
    }
    if asked.files:
        document["files"] = [
            {"path": f"/opt/{name}", "layer": labels[number]}
            for name, number in view.opt.files.items()
            if asked.pattern is None or _matches(name, asked.pattern)
        ]
    return document


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(f"/opt/{name}", pattern) or fnmatchcase(name, pattern)


def _mix(mix: "Mix") -> dict[str, Any]:
    return {
        "directory": mix.directory,
        "name": mix.name,
        "versions_differ": mix.versions_differ,
        "mixed": mix.mixed,
        "replaced_files": mix.replaced,
        "parts": [
            {"by": source.by, "version": source.version or None, "files_seen": files} for source, files in mix.parts
        ],
    }


def _shadow(shadow: "Shadow") -> dict[str, Any]:
    return {
        "kind": shadow.kind,
        "name": shadow.name,
        "search_path": shadow.search_path,
        "used": {"path": shadow.used.path, "by": shadow.used.by, "version": shadow.used.version or None},
        "hidden": [{"path": one.path, "by": one.by, "version": one.version or None} for one in shadow.hidden],
    }


def _about_layers(layers: Iterable["AttachedLayer"]) -> Iterator[str]:
    for layer in layers:
        if layer.problem:
            yield f"{layer.label} cannot be looked at, and is left out of all of this: {layer.problem}"
        elif layer.newest is not None and layer.newest > layer.version:
            yield f"{layer.label} is superseded: the newest version is {layer.newest}"


def _about_code(function: "OpenedFunction") -> Iterator[str]:
    if function.code_problem:
        yield f"The function's code cannot be looked at: {function.code_problem}"


def _lines(document: dict[str, Any], asked: Asked) -> Iterator[str]:
    function = document["function"]
    yield f"{function['arn']}  {function['runtime']} on {function['architecture']}"
    yield ""
    yield "Layers, the last one on top"
    for number, layer in enumerate(document["layers"], 1):
        if layer["problem"]:
            yield f"  {number}. {layer['label']}  cannot be looked at"
            continue
        seen = f"{layer['files_seen']} of {layer['files']} files seen"
        yield f"  {number}. {layer['label']}  {out.size(layer['unzipped_bytes'])}, {seen}"
    if not document["layers"]:
        yield "  none"
    share = document["total_bytes"] * 100 / document["limit_bytes"]
    yield f"  code and layers: {out.size(document['total_bytes'])}, {share:.0f} % of the limit"
    yield from _search_lines(document)
    start = document["bootstrap"]
    yield ""
    yield f"Started by: {start['path']} of {start['by']}" if start else "Started by: nothing, there is no bootstrap"
    for extension in document["extensions"]:
        yield f"Extension:  /opt/extensions/{out.printable(extension['name'])} of {extension['by']}"
    yield from _shadow_lines(document["shadows"])
    yield from _override_lines(document["overrides"], all_=asked.overrides)
    if asked.files:
        yield ""
        yield f"Files of /opt ({len(document['files'])})"
        yield from (f"  {out.printable(one['path'])}  {one['layer']}" for one in document["files"])
    yield from _some("Warnings", [f"! {out.printable(warning)}" for warning in document["warnings"]])


def _search_lines(document: dict[str, Any]) -> Iterator[str]:
    for path in document["search_paths"]:
        yield ""
        yield f"{path['name']}, in this order" + (
            f" (set by the function's {path['set_by']})" if path["set_by"] else ""
        )
        for number, one in enumerate(path["directories"], 1):
            by = ", ".join(one["filled_by"]) if one["exists"] else "not there"
            yield f"  {number}. {out.printable(one['path'])}  {by}"


def _shadow_lines(shadows: list[dict[str, Any]]) -> Iterator[str]:
    lines = []
    for shadow in shadows:
        hidden = ", ".join(_source(one) for one in shadow["hidden"])
        lines.append(f"{out.printable(shadow['name'])}: {_source(shadow['used'])} hides {hidden}")
    yield from _some("The first on a search path hides the others", lines)


def _source(source: dict[str, Any]) -> str:
    version = f"{out.printable(source['version'])} of " if source["version"] else ""
    return f"{version}{source['by']} ({out.printable(source['path'])})"


def _override_lines(overrides: list[dict[str, Any]], *, all_: bool) -> Iterator[str]:
    if all_:
        lines = [f"{out.printable(one['path'])}  {one['used']} over {one['hidden']}{_kind(one)}" for one in overrides]
        yield from _some("Files of a later layer in the place of an earlier one's", lines)
        return
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for one in overrides:
        groups.setdefault((one["used"], one["hidden"], one["conflict"]), []).append(one)
    lines = []
    for (used, hidden, _), members in groups.items():
        if len(members) == 1:
            lines.append(f"{out.printable(members[0]['path'])}  {used} over {hidden}{_kind(members[0])}")
            continue
        place = out.printable(commonpath([str(PurePosixPath(one["path"]).parent) for one in members]))
        same = sum(one["same_content"] is True for one in members)
        kind = f", {same} of them the same" if same else ""
        lines.append(f"{place}  {len(members)} of {used} over {hidden}{kind}")
    title = "Files of a later layer in the place of an earlier one's; --overrides lists each"
    yield from _some(title, lines, count=len(overrides))


def _kind(override: dict[str, Any]) -> str:
    match override["conflict"], override["same_content"]:
        case "file-over-directory", _:
            return f", a file over a directory of {out.files(override['hidden_files'])}"
        case "directory-over-file", _:
            return f", a directory over {out.files(override['hidden_files'])}"
        case _, True:
            return ", the same content"
        case _:
            return ", another content"


def _some(title: str, lines: list[str], *, count: int | None = None) -> Iterator[str]:
    if not lines:
        return
    yield ""
    yield f"{title} ({len(lines) if count is None else count})"
    yield from (f"  {line}" for line in lines)
