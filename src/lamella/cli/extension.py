"""`lamella extension verify`: plays the service against an extension and says rule by rule what it did."""

import zipfile
from pathlib import Path
from typing import Annotated

import typer

from lamella.cli import verifying
from lamella.cli.client import client
from lamella.cli.failure import CommandError, Status
from lamella.cli.options import EndpointUrl, Json, examples
from lamella.cli.parcel import LAYER_ARN, Parcel

extension = typer.Typer(no_args_is_help=True, help="Extensions: verify one.")


def verify(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="The extension (file), or a layer that has it in its folder extensions: a directory, a zip archive "
            "or a layer version (ARN).",
            show_default=False,
        ),
    ],
    *,
    name: Annotated[
        str,
        typer.Option("--extension", metavar="NAME", help="Which one, if the layer has several.", show_default=False),
    ] = "",
    layer: Annotated[
        list[str] | None,
        typer.Option(
            "--layer",
            metavar="LAYER",
            help="What it needs beside: a directory, zip archive or layer version (ARN). May be repeated.",
            show_default=False,
        ),
    ] = None,
    runtime: Annotated[
        list[str] | None,
        typer.Option(
            "--runtime",
            metavar="RUNTIME",
            help="A runtime that it is for; may be repeated, and it is played in the first. Else those that the layer "
            "version declares, or whichever can start it.",
            show_default=False,
        ),
    ] = None,
    variable: Annotated[
        list[str] | None,
        typer.Option("--variable", metavar="NAME=VALUE", help="Of the function; may be repeated.", show_default=False),
    ] = None,
    collector: Annotated[
        str,
        typer.Option(
            "--collector",
            metavar="VARIABLE",
            help="Variable that tells it where to send what it collects; it is set to a collector that looks whether "
            "all has come. TELEMETRY_ENDPOINT, if the program mentions that.",
            show_default=False,
        ),
    ] = "",
    telemetry: Annotated[
        bool | None,
        typer.Option(
            "--telemetry/--no-telemetry",
            help="Whether it is there to take telemetry. Else by its name and what its program mentions.",
            show_default=False,
        ),
    ] = None,
    only: verifying.Only = "",
    skip: verifying.Skip = "",
    idle: Annotated[
        float,
        typer.Option(
            "--idle",
            metavar="SECONDS",
            help="How long it is left waiting for an event.",
            min=0.1,
            max=900,
        ),
    ] = 3.0,
    all_: verifying.Everything = False,
    junit: verifying.Junit = None,
    json_: Json = False,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Verify an extension: play against it what the Lambda service does, in sandboxes of the server.

    Status 1 if something failed. Advice does not count.
    """
    verifying.check_writable(junit)
    server = client(endpoint_url)
    parcel = Parcel([("idle_s", f"{idle:g}")])
    # The extension's own layer comes last: what it brings goes before what it needs.
    for one in layer or ():
        parcel.add_layer(one)
    _add_source(parcel, source)
    parcel.query += [("runtime", one) for one in runtime or ()]
    parcel.query += [("variable", one) for one in variable or ()]
    chosen = (("extension", name), ("collector", collector), ("only", only), ("skip", skip))
    parcel.query += [(key, value) for key, value in chosen if value]
    if telemetry is not None:
        parcel.query.append(("telemetry", "yes" if telemetry else "no"))
    report = verifying.examine(server, "extension", parcel.query, parcel.archive.getvalue())
    verifying.finish(report, json_=json_, junit_=junit, everything=all_)


def _add_source(parcel: Parcel, source: str) -> None:
    path = Path(source)
    if LAYER_ARN.fullmatch(source):
        parcel.query.append(("layer", source))
    elif not source or not path.exists():
        raise CommandError(
            f"there is no file or directory {source!r}, and it is no ARN of a layer version "
            "(arn:aws:lambda:REGION:ACCOUNT:layer:NAME:VERSION)",
            Status.USAGE,
        )
    elif path.is_dir() or zipfile.is_zipfile(path):
        parcel.query.append(("layer", parcel.pack(path)))
    else:
        parcel.query.append(("layer", parcel.pack_program(path, f"extensions/{path.name}")))


def register(app: typer.Typer) -> None:
    """Add the commands."""
    extension.command(
        "verify",
        epilog=examples(
            "lamella extension verify ./my-extension",
            "lamella extension verify layer/ --collector TELEMETRY_ENDPOINT",
            "lamella extension verify extension.zip --runtime python3.12 --junit verify.xml",
            "lamella extension verify arn:aws:lambda:us-east-1:000000000000:layer:telemetry:3 --json",
        ),
    )(verify)
    app.add_typer(extension, name="extension")
