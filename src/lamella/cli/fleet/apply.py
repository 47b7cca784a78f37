"""`lamella fleet apply`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import typer

from lamella.cli import output
from lamella.cli.aws import AWS, AnyEndpoint, Profile, service_client
from lamella.cli.failure import CommandError, Status
from lamella.cli.fleet.plan import (
    DEFAULT_DRIFT,
    DEFAULT_WAVES,
    AdvisoriesFile,
    Aliases,
    Check,
    DriftOption,
    Excluded,
    Force,
    Functions,
    Origins,
    PublishOption,
    Waves,
    check_words,
    make,
)
from lamella.cli.fleet.reach import State, answering, lambda_client
from lamella.cli.invoke import read_payload
from lamella.cli.options import Json, Region, confirm, examples

if TYPE_CHECKING:
    from lamella.fleet.plan import Plan
    from lamella.fleet.policy import Policy
    from lamella.fleet.watching import Watcher

_DELAY_OF_AWS_S: Final = 180.0
"""Lambda sends metrics once a minute (developer guide, "monitoring-metrics"), and CloudWatch shows them a minute or two
later. AWS promises no figure; others allow for three minutes (marbot-io/monitoring-jump-start #63).
"""
_Reach: TypeAlias = tuple[str | None, str | None, str | None]
"""Endpoint, region and profile, as the options say."""


def apply(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PLAN.json | LAYER NEW_VERSION]",
            help="A plan that 'plan --out' has written, or what 'plan' takes.",
            show_default=False,
        ),
    ] = None,
    *,
    resume: Annotated[
        str | None, typer.Option(metavar="ID", help="Go on with a roll-out that was stopped.", show_default=False)
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it, and do not ask.")] = False,
    steps: Annotated[
        str, typer.Option(metavar="SHARES", help="What a new version gets of an alias's invocations.")
    ] = "10%,50%,100%",
    bake: Annotated[float, typer.Option(metavar="SECONDS", help="How long each step is watched.")] = 120.0,
    metrics_delay: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="How late metrics may come: so much longer each step is watched. Else 180 with AWS, 0 with Lamella.",
            show_default=False,
        ),
    ] = None,
    probe: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT|@FILE",
            help="An event that does no harm: each new version is invoked with it before it gets traffic.",
            show_default=False,
        ),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch/--no-watch", help="Look at CloudWatch's metrics of invocations.")
    ] = True,
    max_error_rate: Annotated[
        float, typer.Option(metavar="PERCENT", help="By so much more of the new version's invocations may fail.")
    ] = 1.0,
    max_duration_ratio: Annotated[
        float, typer.Option(metavar="FACTOR", help="So many times as long as the old one the new version may take.")
    ] = 2.0,
    min_invocations: Annotated[
        int, typer.Option(metavar="N", help="A new version must have been invoked so often in each step.")
    ] = 0,
    max_failures: Annotated[
        int, typer.Option(metavar="N", help="So many functions may fail before everything is rolled back.")
    ] = 0,
    on_conflict: Annotated[
        str,
        typer.Option(metavar="leave|rollback", help="What to do when somebody else has changed a function meanwhile."),
    ] = "leave",
    parallel: Annotated[int, typer.Option(metavar="N", help="Functions that are worked on at a time.")] = 8,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="Lambda may take so long for one update.")] = 300.0,
    origins: Origins = None,
    functions: Functions = None,
    excluded: Excluded = None,
    aliases: Aliases = None,
    wave: Waves = DEFAULT_WAVES,
    drift: DriftOption = DEFAULT_DRIFT,
    publish: PublishOption = None,
    check: Check = True,
    advisories: AdvisoriesFile = None,
    force: Force = False,
    state: State = None,
    json_: Json = False,
    endpoint: AnyEndpoint = None,
    region: Region = None,
    profile: Profile = None,
) -> None:
    """Roll a layer version out, in waves; roll everything back by itself if a function fails.

    For each function: the layer, on $LATEST; a published version; the probe; then its aliases, share by share, while
    metrics of the new version are compared with the old one's. Without --yes the plan is printed, and on a terminal
    you are asked. Ctrl-C stops at a sound place; --resume goes on, also after a crash. The exit status is 1 if any
    function failed.
    """
    from lamella.fleet.journal import Journal, read_record, rollouts, state_directory
    from lamella.fleet.policy import Policy
    from lamella.fleet.waves import parse_steps

    words = what or []
    if bool(words) == (resume is not None) or len(words) > 2:
        raise CommandError("name a plan, or LAYER and NEW_VERSION, or --resume ID", Status.USAGE)
    if on_conflict not in {"leave", "rollback"}:
        raise CommandError(f"--on-conflict {on_conflict!r}: write leave or rollback", Status.USAGE)
    planning = {"--from": origins, "--function": functions, "--exclude": excluded, "--alias": aliases,
                "--wave": wave != DEFAULT_WAVES, "--drift": drift != DEFAULT_DRIFT,
                "--publish and --latest-only": publish is not None,
                "--no-check": not check, "--advisories": advisories, "--force": force}  # fmt: skip
    if len(words) != 2 and (given := next((name for name, value in planning.items() if value), None)):
        raise CommandError(f"{given}: the plan is made already; say it to 'lamella fleet plan'", Status.USAGE)
    kept = state_directory(state)
    reach = (endpoint, region, profile)
    with answering():
        if resume is not None:
            raise typer.Exit(_resume(kept, resume, reach, json_=json_))
        policy = Policy(
            steps=parse_steps(steps),
            bake_s=bake,
            metrics_delay_s=(_DELAY_OF_AWS_S if endpoint == AWS else 0.0) if metrics_delay is None else metrics_delay,
            watch=watch,
            probe=None if probe is None else read_payload(probe).decode(),
            max_failures=max_failures,
            conflict_stops=on_conflict == "rollback",
            max_error_rate=max_error_rate / 100,
            max_duration_ratio=max_duration_ratio,
            min_invocations=min_invocations,
            parallel=max(1, parallel),
            settle_s=timeout,
        )
        if len(words) == 1:
            plan = _read(Path(words[0]))
            if (kept / plan.id).exists():
                raise typer.Exit(_resume(kept, plan.id, reach, json_=json_))
            client = _client_of(plan, reach, words[0])
        else:
            check_words(drift, wave)
            client = lambda_client(*reach)
            plan = make(
                client,
                *words,
                origins=origins or [],
                functions=functions or [],
                excluded=excluded or [],
                aliases=aliases or [],
                wave=wave,
                drift=drift,
                publish=publish,
                check=check,
                advisories=advisories,
                force=force,
            )
        for record in map(read_record, rollouts(kept)):  # a damaged one could be of this layer, so it is an error
            machine = record.machine
            if record.plan.layer == plan.layer and machine.began and not machine.finished:
                name = record.plan.id
                raise CommandError(
                    f"roll-out {name} of this layer is not finished: 'lamella fleet apply --resume {name}' goes on, "
                    f"'lamella fleet rollback {name}' takes it back",
                    Status.NEGATIVE,
                )
        watcher = _watcher(policy, *reach)
        if not _agreed(plan, yes=yes, quiet=json_):
            return
        Journal.create(kept, plan, policy)
        from lamella.cli.fleet.run import go

        raise typer.Exit(go(kept / plan.id, client, watcher, json_=json_))


def _read(path: Path) -> "Plan":
    from lamella.fleet.plan import read_plan

    if path.suffix != ".json" and not path.exists():
        raise CommandError(f"there is no plan {path}; with a layer, name the new version too", Status.USAGE)
    return read_plan(path)


def _client_of(plan: "Plan", reach: _Reach, what: str) -> Any:  # Any: a botocore client
    """A client for the region of a plan."""
    client = lambda_client(*reach)
    if plan.region != client.meta.region_name:
        raise CommandError(
            f"{what} is for {plan.region}, and this is {client.meta.region_name}: give --region {plan.region}",
            Status.USAGE,
        )
    return client


def _agreed(plan: "Plan", *, yes: bool, quiet: bool) -> bool:
    """Show the plan, and ask.

    Raises:
        CommandError: It must not be applied, or nobody can be asked.
    """
    import sys

    from lamella.cli.fleet.show import print_plan

    if not quiet:
        print_plan(plan)
    elif not yes:
        output.write_json(plan.to_document())
    if plan.refused:
        raise CommandError("the plan must not be applied: see above", Status.NEGATIVE)
    if not plan.functions:
        return False
    if yes:
        return True
    if not sys.stdin.isatty():
        raise CommandError("nothing was changed: this is what --yes would do", Status.USAGE)
    if not confirm("Roll it out?"):
        output.say("nothing was changed")
        return False
    return True


def _watcher(policy: "Policy", endpoint: str | None, region: str | None, profile: str | None) -> "Watcher":
    """Who looks at metrics; it has been seen that he can."""
    from lamella.fleet.cloudwatch import CloudWatchWatcher, NoWatcher

    if not policy.watch:
        return NoWatcher()
    watcher = CloudWatchWatcher(service_client(endpoint, region, service="cloudwatch", profile=profile))
    watcher.check()
    return watcher


def _resume(kept: Path, name: str, reach: _Reach, *, json_: bool) -> Status:
    from lamella.cli.fleet.run import go
    from lamella.fleet.journal import read_record
    from lamella.fleet.machine import Direction

    record = read_record(kept / Path(name).name)
    if record.machine.finished and record.machine.began:
        back = record.machine.direction is Direction.BACK
        raise CommandError(
            f"roll-out {name} is over, and was rolled back: make a new plan"
            if back
            else f"roll-out {name} is done; 'lamella fleet rollback {name}' takes it back",
            Status.NEGATIVE,
        )
    client = _client_of(record.plan, reach, f"roll-out {name}")
    return go(record.directory, client, _watcher(record.policy, *reach), json_=json_)


def register(fleet: typer.Typer) -> None:
    """Add the command."""
    epilog = examples(
        "lamella fleet apply plan.json",
        "lamella fleet apply image-processing 8 --probe @event.json --yes",
        "lamella fleet apply plan.json --steps 5%,25%,100% --bake 600 --min-invocations 50 --yes",
        "lamella fleet apply plan.json --no-watch --bake 0 --probe '{}' --yes",
        "lamella fleet apply --resume 20261126-204533-1f3a",
    )
    fleet.command("apply", epilog=epilog)(apply)
