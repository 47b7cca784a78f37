"""`lamella layer …`: one module for each group of commands."""

import typer

from lamella.cli.layer import build, check, look, mirror, prune, retention, share

layer = typer.Typer(
    no_args_is_help=True, help="Layers: build, check, look into, compare, share, mirror and clear them away."
)


@layer.callback()
def _only_a_group() -> None:
    """Without a callback Typer makes a group of one command into that command."""


for _part in (build, check, look, share, mirror, retention, prune):
    _part.register(layer)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(layer, name="layer")
