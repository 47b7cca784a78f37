"""`lamella fleet …`: which functions use which layer versions, and rolling a new one out over them."""

import typer

from lamella.cli.fleet import apply, audit, plan, rollback, status

fleet = typer.Typer(
    no_args_is_help=True,
    help="Layer versions over a fleet of functions, of this server or of AWS: audit, plan, apply, status, rollback.",
)

for _part in (audit, plan, apply, status, rollback):
    _part.register(fleet)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(fleet, name="fleet")
