"""`lamella runtime verify`: plays the service against a runtime and says rule by rule what it did."""

import re
import zipfile
from pathlib import Path
from typing import Annotated, Final

import typer

from lamella.cli import verifying
from lamella.cli.client import Client, client
from lamella.cli.failure import CommandError, Status
from lamella.cli.options import Architecture, EndpointUrl, Json, examples
from lamella.cli.parcel import LAYER_ARN, Parcel

_FUNCTION: Final = re.compile(r"arn:[a-z0-9-]+:lambda:[a-z0-9-]+:[^:]*:function:[^:]+(:[^:]+)?")
_IMAGE: Final = re.compile(
    r"(oci|oci-archive|docker-archive):.+|(localhost|[a-z0-9-]+(\.[a-z0-9-]+)+|[a-z0-9-]+:[0-9]+)(:[0-9]+)?/.+"
)


def verify(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="RUNTIME",
            help="A bootstrap (file), a directory or zip archive with one, a layer's or function's ARN, a container "
            "image, or the name of a runtime of the server.",
            show_default=False,
        ),
    ],
    *,
    layer: Annotated[
        list[str] | None,
        typer.Option(
            "--layer",
            metavar="LAYER",
            help="What it needs beside itself: a directory, zip archive or layer version. May be repeated.",
            show_default=False,
        ),
    ] = None,
    runtime: Annotated[
        str, typer.Option("--runtime", metavar="RUNTIME", help="Runtime below a custom one.")
    ] = "provided.al2023",
    architecture: Architecture = None,
    function: Annotated[
        Path | None,
        typer.Option(
            "--function",
            metavar="PATH",
            help="Directory or zip archive of a function to play with; else the kit brings its own handler.",
            show_default=False,
        ),
    ] = None,
    handler: Annotated[
        str | None, typer.Option("--handler", metavar="NAME", help="Handler of that function.", show_default=False)
    ] = None,
    variable: Annotated[
        list[str] | None,
        typer.Option(
            "--variable", metavar="NAME=VALUE", help="Of its environment; may be repeated.", show_default=False
        ),
    ] = None,
    only: verifying.Only = "",
    skip: verifying.Skip = "",
    idle: Annotated[
        float,
        typer.Option("--idle", metavar="SECONDS", help="How long it is left waiting, and frozen.", min=0.1, max=900),
    ] = 2.0,
    all_: verifying.Everything = False,
    junit: verifying.Junit = None,
    json_: Json = False,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Verify a runtime: play against it what the Lambda service does, in sandboxes of the server.

    Status 1 if something failed. Advice does not count.
    """
    verifying.check_writable(junit)
    server = client(endpoint_url)
    request = Parcel([("name", subject), ("idle_s", f"{idle:g}")])
    # The bootstrap's own layer comes last: what it brings goes before what it needs.
    for one in layer or ():
        request.add_layer(one)
    _add_subject(request, subject, runtime, server)
    if function is not None:
        request.query.append(("code", request.pack(function)))
    request.query += [("variable", one) for one in variable or ()]
    options = {"handler": handler, "only": only, "skip": skip, "architecture": architecture}
    request.query += [(name, value) for name, value in options.items() if value]
    report = verifying.examine(server, "runtime", request.query, request.archive.getvalue())
    verifying.finish(report, json_=json_, junit_=junit, everything=all_)


def _add_subject(request: Parcel, subject: str, runtime: str, server: Client) -> None:
    path = Path(subject)
    if subject and path.exists():
        request.query.append(("pack", runtime))
        if path.is_dir() or zipfile.is_zipfile(path):
            request.query.append(("layer", request.pack(path)))
        elif path.is_file():
            request.query.append(("layer", request.pack_program(path, "bootstrap")))
        else:
            raise CommandError(f"{subject} is neither a file nor a directory", Status.USAGE)
    elif LAYER_ARN.fullmatch(subject):
        request.query += [("pack", runtime), ("layer", subject)]
    elif _FUNCTION.fullmatch(subject):
        request.query.append(("function", subject))
    elif _IMAGE.fullmatch(subject):
        request.query.append(("image", subject))
    else:
        there = sorted({pack["name"] for pack in server.runtimes()["runtimes"]})
        if subject not in there:
            raise CommandError(
                f"{subject!r} is no file, no ARN of a layer version or function, no image, and no runtime of the "
                f"server (it has: {', '.join(there) or 'none'})",
                Status.USAGE,
            )
        request.query.append(("pack", subject))


def register(runtime: typer.Typer) -> None:
    """Add the command."""
    runtime.command(
        "verify",
        epilog=examples(
            "lamella runtime verify ./bootstrap --layer python.zip",
            "lamella runtime verify python3.11",
            "lamella runtime verify layer/ --function echo/ --handler echo.handler",
            "lamella runtime verify arn:aws:lambda:us-east-1:000000000000:layer:php:3 --json",
            "lamella runtime verify build/runtime.zip --junit verify.xml",
        ),
    )(verify)
