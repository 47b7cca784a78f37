"""`lamella serve`: the only command that is the server, and not a client of it."""

import typer

from lamella.cli.options import examples, with_settings
from lamella.config.settings import SETTINGS, Settings


def serve(settings: Settings) -> None:
    """Serve Lambda's API on this machine until Ctrl-C or SIGTERM.

    Each option is also a key of the settings file and a LAMELLA_* environment variable; see docs/reference/settings.md.
    """
    # Here and not above: the server's modules take longer to load than any other command takes to run.
    from lamella.app.main import serve as run

    raise typer.Exit(run(settings))


def register(app: typer.Typer) -> None:
    """Add the command."""
    epilog = examples(
        "lamella serve",
        "lamella serve --listen 127.0.0.1:0 --data ./state --log-format json",
        "LAMELLA_REGION=eu-central-1 lamella serve",
    )
    app.command("serve", epilog=epilog)(with_settings(serve, SETTINGS))
