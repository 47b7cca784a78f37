"""`lamella runtime …`: one module for each group of commands."""

import typer

from lamella.cli.runtime import managed, packs

runtime = typer.Typer(
    no_args_is_help=True, help="Runtimes of the server, and customer-managed runtimes that are published to it."
)

for _part in (packs, managed):
    _part.register(runtime)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(runtime, name="runtime")
