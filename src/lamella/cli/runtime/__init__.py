"""`lamella runtime …`: one module for each group of commands."""

import typer

from lamella.cli.runtime import managed, packs, verify

runtime = typer.Typer(
    no_args_is_help=True,
    help="Runtimes of the server, customer-managed runtimes that are published to it, and a verdict on yours.",
)

for _part in (packs, managed, verify):
    _part.register(runtime)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(runtime, name="runtime")
