"""`lamella logs`."""

import datetime as dt
import json
import re
import sys
import time
from typing import Annotated, Final

import typer

from lamella.cli import output
from lamella.cli.client import client
from lamella.cli.failure import CommandError, Status
from lamella.cli.options import EndpointUrl, Json, Region, examples

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def logs(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the function.", show_default=False)],
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more, until Ctrl-C.")] = False,
    since: Annotated[
        str | None, typer.Option(metavar="AGE", help="Not older than this: 30s, 10m, 2h, 1d, 1w.", show_default=False)
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Only the newest N lines of those that are there.")
    ] = None,
    json_: Json = False,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Print what a function has written, oldest first.

    With --json each line is an object with timestamp (ms), stream and message.
    """
    since_ms = 0 if since is None else int((time.time() - parse_age_s(since)) * 1000)
    found = False
    try:
        for line in client(endpoint_url, region).logs(name, since_ms=since_ms, limit=limit, follow=follow):
            found = True
            text = line.decode(errors="replace")
            output.write_untrusted(text if json_ else render(text), sys.stdout)
            sys.stdout.flush()
    except KeyboardInterrupt:
        if not follow:
            raise
        # Following ends with Ctrl-C and no other way: that is not a failure.
    if not found:
        output.say(f"{name} has written nothing{' in that time' if since else ''}; is that the function's name?")


def parse_age_s(text: str) -> int:
    """`10m` -> 600.

    Raises:
        CommandError: It has another form.
    """
    match = re.fullmatch(r"([0-9]{1,9})([smhdw])", text)
    if match is None:
        raise CommandError(f"--since {text}: give a number and a unit, such as 30s, 10m, 2h, 1d or 1w", Status.USAGE)
    return int(match[1]) * _UNITS_S[match[2]]


def render(line: str) -> str:
    """A line of the answer as people read it.

    Raises:
        CommandError: The server answered in another form.
    """
    try:
        event = json.loads(line)
        when = dt.datetime.fromtimestamp(event["timestamp"] / 1000, dt.UTC)
        message = event["message"]
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise CommandError("the server's answer is not a log; is another server listening there?") from error
    return f"{when:%Y-%m-%dT%H:%M:%S}.{when.microsecond // 1000:03d}Z {message}\n"


def register(app: typer.Typer) -> None:
    """Add the command."""
    epilog = examples(
        "lamella logs hello", "lamella logs hello --follow --since 10m", "lamella logs hello --limit 100 --json"
    )
    app.command("logs", epilog=epilog)(logs)
