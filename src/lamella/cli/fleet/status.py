"""`lamella fleet status`."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from lamella.cli import output
from lamella.cli.fleet.reach import State, answering
from lamella.cli.options import Json, examples

_REFRESH_S = 0.5


def status(
    name: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Of the roll-out; else all are listed.", show_default=False)
    ] = None,
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Look on until nobody is at work on it any more.")] = False,
    state: State = None,
    json_: Json = False,
) -> None:
    """Say how far roll-outs are: waves, functions, shares, and what is seen of the new versions.

    Reads what is kept on this machine, and asks no server. With --watch and --json there is a line for each change.
    """
    from lamella.fleet.journal import read_record, rollouts, state_directory

    kept = state_directory(state)
    with answering():
        if name is None:
            _list(rollouts(kept), json_=json_)
            return
        directory = kept / Path(name).name
        if watch:
            _look_on(directory, json_=json_)
            return
        from lamella.cli.fleet.show import as_document, print_rollout

        record = read_record(directory)
        if json_:
            output.write_json(as_document(record))
        else:
            print_rollout(record)


def _list(directories: list[Path], *, json_: bool) -> None:
    from lamella.cli.fleet.show import as_document, headline
    from lamella.fleet.errors import JournalError
    from lamella.fleet.journal import read_record

    documents, rows = [], []
    for directory in directories:
        try:
            record = read_record(directory)
            state = headline(record.machine, at_work=record.at_work)
        except JournalError as error:
            output.say(f"warning: {error}")
            continue
        documents.append(as_document(record))
        layer = ":".join(record.plan.arn.split(":")[-2:])
        rows.append((record.plan.id, layer, str(len(record.plan.functions)), state))
    if json_:
        output.write_json({"rollouts": documents})
    elif rows:
        output.write_table(("ID", "LAYER", "FUNCTIONS", "IS"), rows)
    else:
        output.say("There are no roll-outs yet: 'lamella fleet plan' makes a plan for one.")


def _look_on(directory: Path, *, json_: bool) -> None:
    """Show it until it is finished or nobody is at work on it."""
    from rich.console import Console
    from rich.live import Live

    from lamella.cli.fleet.show import as_document, picture, print_rollout
    from lamella.fleet.journal import read_record

    if json_ or not sys.stdout.isatty():
        import json

        last = None
        while True:
            record = read_record(directory)
            document = as_document(record)
            if document != last:
                print(json.dumps(document) if json_ else f"{document['updated_at']}  {document['state']}", flush=True)
                last = document
            if not record.at_work:
                return
            time.sleep(_REFRESH_S)
    with Live(console=Console(), refresh_per_second=4, transient=True) as live:
        while True:
            record = read_record(directory)
            seen = {str(name): str(text) for name, text in record.watching.get("seen", {}).items()}
            live.update(picture(record.plan, record.machine, record.policy.steps, seen))
            if not record.at_work:
                break
            time.sleep(_REFRESH_S)
    print_rollout(record)


def register(fleet: typer.Typer) -> None:
    """Add the command."""
    epilog = examples(
        "lamella fleet status",
        "lamella fleet status 20261126-204533-1f3a --watch",
        "lamella fleet status 20261126-204533-1f3a --json",
    )
    fleet.command("status", epilog=epilog)(status)
