"""`lamella layer check`: what is wrong with layers, before a function finds out."""

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lamella.cli import output as out
from lamella.cli.aws import AnyEndpoint, Profile, refused, service_client
from lamella.cli.failure import CommandError, Status
from lamella.cli.layer.reporting import LEVELS, write_findings
from lamella.cli.options import Json, Region, examples

if TYPE_CHECKING:
    from lamella.cli.layer.sources import OpenedLayer
    from lamella.layers.doctor import Advisories, Progress
    from lamella.layers.findings import Finding


def check(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE...",
            help="Zip archives, directories or layer versions (ARN, NAME:VERSION, NAME:CHANNEL, NAME), "
            "in the order of a function.",
            show_default=False,
        ),
    ] = None,
    *,
    runtime: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RUNTIME",
            help="Runtime the layers are for; may be repeated. Else those declared, or plain from the files.",
            show_default=False,
        ),
    ] = None,
    architecture: Annotated[
        list[str] | None,
        typer.Option(metavar="x86_64|arm64", help="Likewise; may be repeated.", show_default=False),
    ] = None,
    function: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Check with the layers, runtime, architecture and size of this function; what SOURCE names "
            "comes after its layers, or in place of an older version of the same layer.",
            show_default=False,
        ),
    ] = None,
    advisories: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Known vulnerabilities in OSV format: a file (JSON, one record a line, zip) or a directory.",
            show_default=False,
        ),
    ] = None,
    prove: Annotated[
        bool | None,
        typer.Option(
            "--prove/--no-prove",
            help="Try in real sandboxes of a server what the layers bring; else only if a server answers.",
            show_default=False,
        ),
    ] = None,
    fail_on: Annotated[
        str, typer.Option(metavar="error|warning|note", help="Least severity that makes the exit status 1.")
    ] = "error",
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="CODE", help="Leave out findings with this code; may be repeated.", show_default=False),
    ] = None,
    sarif: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the findings as SARIF as well, for code scanning.", show_default=False
        ),
    ] = None,
    json_: Json = False,
    endpoint: AnyEndpoint = None,
    region: Region = None,
    profile: Profile = None,
) -> None:
    """Check layers before they are published or attached: structure, size, architecture, libraries, packages, secrets.

    Works without a server. With one, what the layers bring is also tried in real sandboxes of the runtimes.
    The exit status is 0 if nothing as bad as '--fail-on' was found, else 1.
    """
    # Here and not above: no other command needs these.
    from lamella.layers.doctor import check_layers
    from lamella.layers.doctor.guess import guess_runtimes

    if not sources and not function:
        raise CommandError(
            "name a zip archive, a directory or a layer version, or a function with --function", Status.USAGE
        )
    _check_words(runtime or [], architecture or [], fail_on, ignore or [])
    known = _advisories(advisories)
    with ExitStack() as stack:

        def client() -> Any:
            return service_client(endpoint, region, profile=profile)

        of_function = _function(client(), function) if function else None
        named = [(source, _open(stack, source, client)) for source in sources or []]
        layers = []
        for arn in of_function["layers"] if of_function else []:
            newer = next((one for one in named if one[1].version and one[1].version.layer_arn == _layer(arn)), None)
            if newer is not None:
                named.remove(newer)
            layers.append(newer or (arn, _open(stack, arn, client)))
        layers += named
        names, opened = [name for name, _ in layers], [layer for _, layer in layers]
        contents = [layer.contents for layer in opened]
        guessed = False
        runtimes = runtime or (of_function or {}).get("runtimes") or _declared(opened, "runtimes")
        if not runtimes:
            runtimes = list(guess_runtimes(contents))
            guessed = bool(runtimes)
        architectures = architecture or (of_function or {}).get("architectures") or _declared(opened, "architectures")
        with _progress() as progress:
            findings = check_layers(
                contents,
                runtimes=runtimes,
                architectures=architectures,
                advisories=known,
                code_bytes=(of_function or {}).get("code_bytes", 0),
                progress=progress,
            )
        proof: dict[str, Any] = {}
        if prove is not False:
            from lamella.cli.layer.proof import prove_layers

            found, proof = prove_layers(
                names, opened, runtimes, architectures, endpoint=endpoint, region=region, required=prove is True
            )
            findings = sorted([*findings, *found], key=lambda finding: -finding.severity)
    findings = [finding for finding in findings if finding.code not in (ignore or [])]
    failed = any(LEVELS.index(finding.severity.name.lower()) <= LEVELS.index(fail_on) for finding in findings)
    if sarif is not None:
        _write_sarif(sarif, findings, names[0])
    if json_:
        out.write_json(
            {
                "ok": not failed,
                "runtimes": list(runtimes),
                "architectures": list(architectures),
                "findings": [finding.to_dict() for finding in findings],
                **proof,
            }
        )
    else:
        write_findings(findings)
        _summary(findings, runtimes, architectures, guessed=guessed)
    raise typer.Exit(Status.NEGATIVE if failed else Status.OK)


def _check_words(runtimes: Sequence[str], architectures: Sequence[str], fail_on: str, ignored: Sequence[str]) -> None:
    from lamella.layers.build.tables import nearest
    from lamella.layers.doctor.rules import RULES
    from lamella.layers.facts import FACTS

    for name in runtimes:
        if name not in FACTS:
            raise CommandError(
                f"--runtime {name!r} is not known; the nearest is {nearest(name, FACTS)!r}", Status.USAGE
            )
    for name in architectures:
        if name not in ("x86_64", "arm64"):
            raise CommandError(f"--architecture {name!r} is not known: x86_64 or arm64", Status.USAGE)
    if fail_on not in LEVELS:
        raise CommandError(f"--fail-on takes error, warning or note, not {fail_on!r}", Status.USAGE)
    for code in ignored:
        if code not in RULES:
            raise CommandError(f"there is no finding {code!r}; docs/reference/findings.md lists all", Status.USAGE)


def _advisories(path: Path | None) -> "Advisories | None":
    from lamella.layers.doctor.advisories import Advisories, AdvisoriesError

    if path is None:
        return None
    try:
        return Advisories.load(path)
    except AdvisoriesError as error:
        raise CommandError(str(error), Status.USAGE) from error


def _open(stack: ExitStack, name: str, client: Any) -> "OpenedLayer":
    from lamella.cli.layer.sources import open_any

    return stack.enter_context(open_any(name, client, whole=True))


def _layer(arn: str) -> str:
    """The ARN of the layer of a version."""
    return arn.rpartition(":")[0]


def _declared(opened: "Sequence[OpenedLayer]", what: str) -> list[str]:
    """Those that all layers that declare any have in common; of none in common, all."""
    declared = [getattr(layer, what) for layer in opened if getattr(layer, what)]
    if not declared:
        return []
    common = [name for name in declared[0] if all(name in names for names in declared)]
    return common or list(dict.fromkeys(name for names in declared for name in names))


def _function(client: Any, name: str) -> dict[str, Any]:  # Any: a botocore client; values for what is checked
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer = client.get_function(FunctionName=name)
    except (BotoCoreError, ClientError) as error:
        raise refused(error) from error
    configuration = answer["Configuration"]
    if configuration.get("PackageType") == "Image":
        raise CommandError(f"{name} is a container image, and those have no layers", Status.NEGATIVE)
    return {
        "layers": [layer["Arn"] for layer in configuration.get("Layers", [])],
        "runtimes": [configuration["Runtime"]] if configuration.get("Runtime") else [],
        "architectures": configuration.get("Architectures", ["x86_64"]),
        "code_bytes": _unzipped(answer.get("Code", {}).get("Location")),
    }


def _unzipped(location: str | None) -> int:
    """The unzipped size of a function's code; 0 if it cannot be fetched."""
    import tempfile
    import urllib.request

    from lamella.layers.contents import open_contents
    from lamella.layers.errors import LayerReadError

    if not location or not location.startswith(("http://", "https://")):
        return 0
    try:
        with tempfile.TemporaryFile() as file:
            with urllib.request.urlopen(location, timeout=60) as answer:  # noqa: S310  (its scheme was looked at)
                shutil.copyfileobj(answer, file)
            with open_contents(file, label="code") as contents:
                return contents.unzipped_bytes
    except (OSError, LayerReadError):
        out.say("warning: the function's code could not be fetched, so its size is not counted")
        return 0


@contextmanager
def _progress() -> "Iterator[Progress]":
    """A bar on a terminal; nothing elsewhere."""
    from lamella.layers.doctor.survey import silent

    if not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    with Progress(
        TextColumn("Checking"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _summary(
    findings: "Sequence[Finding]", runtimes: Sequence[str], architectures: Sequence[str], *, guessed: bool
) -> None:
    for_whom = ", ".join([*runtimes, *architectures]) or "any runtime and architecture"
    how = " (by its files; say otherwise with --runtime)" if guessed else ""
    if not runtimes:
        how = "; name them with --runtime and --architecture to check more"
    elif not architectures:
        how += "; name the --architecture to check more"
    count = f"{len(findings)} finding{'s' if len(findings) != 1 else ''}" if findings else "Nothing found"
    out.say(f"{count}. Checked for {for_whom}{how}.")


def _write_sarif(path: Path, findings: "Sequence[Finding]", source: str) -> None:
    import json
    from importlib.metadata import version

    from lamella.layers.doctor.sarif import to_sarif

    log = to_sarif(findings, version=version("lamella"), source=source)
    try:
        path.write_text(json.dumps(log, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror or error}", Status.USAGE) from error


def register(layer: typer.Typer) -> None:
    """Add the command."""
    epilog = examples(
        "lamella layer check layer.zip --runtime python3.12 --architecture x86_64",
        "lamella layer check arn:aws:lambda:us-east-1:000000000000:layer:imaging:2 imaging.zip",
        "lamella layer check new.zip --function photo --fail-on warning",
        "lamella layer check layer.zip --advisories all.zip --sarif layer.sarif --no-prove",
    )
    layer.command("check", epilog=epilog)(check)
