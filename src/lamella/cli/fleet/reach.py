"""How the commands reach the API, and what they say when they cannot."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from lamella.cli import output
from lamella.cli.aws import refused, service_client
from lamella.cli.failure import CommandError, Status

State = Annotated[
    Path | None,
    typer.Option(
        "--state",
        metavar="DIR",
        help="Where roll-outs are kept; else $XDG_STATE_HOME/lamella/rollouts or ~/.local/state/lamella/rollouts.",
        show_default=False,
    ),
]
RolloutId = Annotated[str, typer.Argument(metavar="ID", help="Of the roll-out.", show_default=False)]


@contextmanager
def answering() -> Iterator[None]:
    """Says in one line what went wrong.

    Raises:
        CommandError: In place of what the fleet's own modules, or botocore, raise.
    """
    # Here and not above: botocore takes half a second to load.
    from botocore.exceptions import BotoCoreError, ClientError

    from lamella.fleet.errors import FleetError, MissingError, UnreachableError

    try:
        yield
    except (UnreachableError, MissingError) as error:
        raise CommandError(str(error), Status.API) from error
    except FleetError as error:
        raise CommandError(str(error), Status.USAGE) from error
    except (ClientError, BotoCoreError) as error:
        raise refused(error) from error


def lambda_client(endpoint: str | None, region: str | None, profile: str | None) -> Any:  # Any: as `service_client`
    """A client for Lambda."""
    return service_client(endpoint, region, profile=profile)


def tell(text: str) -> None:
    """Print a line of prose in which there may be what a function or another account wrote."""
    output.write_untrusted(f"{text}\n", sys.stderr)


class Reading:
    """A line on the terminal that says how far reading is; nothing where there is no terminal."""

    def __init__(self) -> None:
        self._shown = False

    def __call__(self, what: str, done: int, total: int) -> None:
        """Take what is being done, how much of it is done and of how much."""
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{what}: {done}" + (f" of {total}" if total else ""))
            sys.stderr.flush()
            self._shown = True

    def end(self) -> None:
        """Clear the line."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._shown = False
