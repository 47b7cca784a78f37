"""The `lamella` command: puts the nouns together, and is the boundary where errors become one line and a status."""

import inspect
import os
import sys
from typing import Annotated

import typer

from lamella.cli import (
    account,
    channel,
    doctor,
    events,
    extension,
    fleet,
    image,
    init,
    invoke,
    key,
    layer,
    logs,
    output,
    runtime,
    serve,
    trace,
)
from lamella.cli.failure import CommandError, Status
from lamella.config.settings import SettingsError

app = typer.Typer(
    name="lamella",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # `main` answers for exceptions
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # here: it takes longer to load than all of the above

        print(f"lamella {version('lamella')}")
        raise typer.Exit


@app.callback()
def lamella(
    *,
    version: Annotated[  # noqa: ARG001  (its callback prints)
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; so does LAMELLA_DEBUG=1.")] = False,
) -> None:
    """AWS Lambda on your own Linux machines.

    Start with 'lamella doctor', then 'lamella serve'. AWS's own clients work with AWS_ENDPOINT_URL=http://127.0.0.1:4566.
    """
    if debug:
        os.environ["LAMELLA_DEBUG"] = "1"


for _noun in (
    serve,
    doctor,
    init,
    invoke,
    events,
    logs,
    trace,
    layer,
    channel,
    fleet,
    runtime,
    extension,
    image,
    account,
    key,
):
    _noun.register(app)


def _unwrap(group: typer.Typer) -> None:
    """Let the terminal break the lines of helps: Typer keeps the source's in all paragraphs but the first."""
    for command in group.registered_commands:
        text = inspect.getdoc(command.callback) or ""
        command.help = command.help or "\n\n".join(part.replace("\n", " ") for part in text.split("\n\n"))
    for inner in group.registered_groups:
        if inner.typer_instance is not None:
            _unwrap(inner.typer_instance)


_unwrap(app)


def main() -> None:
    """Run the command line and exit."""
    try:
        app(prog_name="lamella")
    except (CommandError, SettingsError) as error:
        if os.environ.get("LAMELLA_DEBUG"):
            raise
        output.say(f"lamella: {error}")
        sys.exit(error.status if isinstance(error, CommandError) else Status.USAGE)
    except Exception as error:  # the boundary: whatever is left is a fault of ours
        if os.environ.get("LAMELLA_DEBUG"):
            raise
        output.say(
            f"lamella: unexpected {type(error).__name__}: {error}; run it again with LAMELLA_DEBUG=1 for details"
        )
        sys.exit(Status.BUG)
