"""`lamella layer build`. Works without a server."""

from pathlib import Path
from typing import Annotated

import typer

from lamella.cli import output as out
from lamella.cli.failure import CommandError, Status
from lamella.cli.options import Json, examples

_MIB = 1024 * 1024


def build(
    requirements: Annotated[
        list[str] | None,
        typer.Argument(metavar="REQUIREMENT...", help="As pip takes them: pillow, numpy==2.2.6.", show_default=False),
    ] = None,
    *,
    file: Annotated[
        list[Path] | None,
        typer.Option(
            "--requirements", "-r", metavar="FILE", help="Requirements file; may be repeated.", show_default=False
        ),
    ] = None,
    runtime: Annotated[str, typer.Option(metavar="RUNTIME", help="Runtime of the functions.")] = "python3.11",
    architecture: Annotated[str, typer.Option(metavar="x86_64|arm64", help="Of the functions.")] = "x86_64",
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Zip to write.")] = Path("layer.zip"),
    flat: Annotated[
        bool, typer.Option("--flat", help="Packages right under python/, for all versions of Python.")
    ] = False,
    json_: Json = False,
) -> None:
    """Build a layer of Python packages: wheels for the target's platform, whatever this machine is.

    The same versions always give the same bytes. Publish the zip with AWS's own client.
    """
    # Here and not above: no other command needs it.
    from lamella.layers.build.python import build_python_layer
    from lamella.layers.errors import LayerBuildError

    if not requirements and not file:
        raise CommandError("name at least one requirement, or a file of them with --requirements", Status.USAGE)
    try:
        report = build_python_layer(
            requirements or [],
            requirements_files=file or [],
            runtime=runtime,
            architecture=architecture,
            output=output,
            flat=flat,
            progress=out.say,
        )
    except LayerBuildError as error:
        raise CommandError(str(error), Status.NEGATIVE) from error
    for warning in report.warnings:
        out.say(f"warning: {warning}")
    if report.offline:
        out.say("warning: the package index could not be reached; only packages of earlier builds were looked at")
    if json_:
        out.write_json(report.to_dict())
        return
    out.write_table(("package", "version"), [(package.name, package.version) for package in report.packages])
    out.say(
        f"{report.output}: {report.files} files in {report.directory}, {report.zipped_bytes / _MIB:.1f} MiB, "
        f"{report.unzipped_bytes / _MIB:.1f} MiB unzipped, SHA-256 {report.sha256}"
    )
    out.say(
        f"Publish it: aws lambda publish-layer-version --layer-name NAME --zip-file fileb://{report.output} "
        f"--compatible-runtimes {report.runtime} --compatible-architectures {report.architecture}"
    )


def register(layer: typer.Typer) -> None:
    """Add the command."""
    epilog = examples(
        "lamella layer build pillow numpy",
        "lamella layer build -r requirements.txt --runtime python3.12 --architecture arm64 --output deps.zip",
        "aws lambda publish-layer-version --layer-name imaging --zip-file fileb://layer.zip "
        "--compatible-runtimes python3.11",
    )
    layer.command("build", epilog=epilog)(build)
