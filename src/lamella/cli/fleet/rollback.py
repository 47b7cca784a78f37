"""`lamella fleet rollback`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from lamella.cli import output
from lamella.cli.aws import AnyEndpoint, Profile
from lamella.cli.failure import CommandError, Status
from lamella.cli.fleet.reach import RolloutId, State, answering, lambda_client
from lamella.cli.options import Json, Region, confirm, examples


def rollback(
    name: RolloutId,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it, and do not ask.")] = False,
    state: State = None,
    json_: Json = False,
    endpoint: AnyEndpoint = None,
    region: Region = None,
    profile: Profile = None,
) -> None:
    """Put everything back that a roll-out has changed, whether it is finished, was stopped or has crashed.

    Aliases get the versions and weights that they had, and $LATEST the layers that it had. What somebody else has
    changed meanwhile is kept, and said. Published versions stay: an invocation may just be on its way to one.
    """
    from lamella.cli.fleet.run import go
    from lamella.cli.fleet.show import print_rollout
    from lamella.fleet.cloudwatch import NoWatcher
    from lamella.fleet.function_machine import Phase
    from lamella.fleet.journal import read_record, state_directory
    from lamella.fleet.machine import Direction

    with answering():
        record = read_record(state_directory(state) / Path(name).name)
        machine = record.machine
        stuck = any(one.phase is Phase.STUCK for one in machine.functions.values())
        if not machine.began:
            raise CommandError(f"roll-out {name} has not begun: there is nothing to take back", Status.NEGATIVE)
        if machine.direction is Direction.BACK and machine.finished and not stuck:
            raise CommandError(f"roll-out {name} has been rolled back", Status.NEGATIVE)
        client = lambda_client(endpoint, region, profile)
        if record.plan.region != client.meta.region_name:
            raise CommandError(
                f"the roll-out is in {record.plan.region}: give --region {record.plan.region}", Status.USAGE
            )
        if not yes:
            print_rollout(record)
            if not sys.stdin.isatty():
                raise CommandError("nothing was changed: --yes takes this back", Status.USAGE)
            if not confirm("Take it back?"):
                output.say("nothing was changed")
                return
        status = go(record.directory, client, NoWatcher(), rollback="the user wants it", json_=json_)
        raise typer.Exit(status)


def register(fleet: typer.Typer) -> None:
    """Add the command."""
    epilog = examples(
        "lamella fleet rollback 20261126-204533-1f3a", "lamella fleet rollback 20261126-204533-1f3a --yes"
    )
    fleet.command("rollback", epilog=epilog)(rollback)
