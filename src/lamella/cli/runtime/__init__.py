"""`lamella runtime …`: one module for each group of commands."""

import typer

from lamella.cli.runtime import packs, verify

runtime = typer.Typer(no_args_is_help=True, help="Runtimes of the server: list them, add one, show one, verify one.")

for _part in (packs, verify):
    _part.register(runtime)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(runtime, name="runtime")
