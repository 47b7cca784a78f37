"""`lamella fleet plan`, and the options that say what a roll-out is to touch."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from lamella.cli import output
from lamella.cli.aws import AnyEndpoint, Profile
from lamella.cli.failure import CommandError, Status
from lamella.cli.fleet.reach import Reading, answering, lambda_client
from lamella.cli.options import Json, Region, examples

if TYPE_CHECKING:
    from lamella.fleet.plan import Plan

DEFAULT_WAVES: Final = "1,10%,50%,100%"
DEFAULT_DRIFT: Final = "skip"

Origins = Annotated[
    list[int] | None,
    typer.Option("--from", metavar="VERSION", help="Replace this version alone; may be repeated.", show_default=False),
]
Functions = Annotated[
    list[str] | None,
    typer.Option(
        "--function", metavar="PATTERN", help="Only such functions: shop-*; may be repeated.", show_default=False
    ),
]
Excluded = Annotated[
    list[str] | None,
    typer.Option("--exclude", metavar="PATTERN", help="No such functions; may be repeated.", show_default=False),
]
Aliases = Annotated[
    list[str] | None,
    typer.Option("--alias", metavar="PATTERN", help="Move such aliases alone; may be repeated.", show_default=False),
]
Waves = Annotated[
    str, typer.Option("--wave", metavar="SIZES", help="How many functions have had their turn after each wave.")
]
DriftOption = Annotated[
    str,
    typer.Option(
        "--drift",
        metavar="skip|include|refuse",
        help="What to do with aliases where publishing $LATEST would ship more than the layer.",
    ),
]
PublishOption = Annotated[
    bool | None,
    typer.Option(
        "--publish/--latest-only",
        help="Publish a version of every function, or of none; else of those with an alias to move.",
        show_default=False,
    ),
]
Check = Annotated[bool, typer.Option("--check/--no-check", help="Look into the layers as 'lamella layer check' does.")]
AdvisoriesFile = Annotated[
    Path | None,
    typer.Option(
        "--advisories",
        metavar="FILE|DIR",
        help="Known vulnerabilities in the Open Source Vulnerability format, for the check.",
        show_default=False,
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Include functions for which the check finds errors.")]


def plan(
    layer: Annotated[str, typer.Argument(metavar="LAYER", help="Name or ARN of the layer.", show_default=False)],
    version: Annotated[
        str,
        typer.Argument(
            metavar="NEW_VERSION", help="Number, 'latest', or ARN of the layer version.", show_default=False
        ),
    ],
    *,
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
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Keep the plan, for 'apply'.", show_default=False)
    ] = None,
    json_: Json = False,
    endpoint: AnyEndpoint = None,
    region: Region = None,
    profile: Profile = None,
) -> None:
    """Say exactly what a new version of a layer would touch. Nothing is changed.

    For each function: its layers before and after, what would be published, which aliases would move, what there is to
    be said against it, and which functions are left as they are, and why. The exit status is 1 if the plan must not be
    applied.
    """
    from lamella.fleet.plan import write_plan

    with answering():
        check_words(drift, wave)
        client = lambda_client(endpoint, region, profile)
        made = make(
            client,
            layer,
            version,
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
        if out is not None:
            write_plan(made, out)
    if json_:
        output.write_json(made.to_document())
    else:
        from lamella.cli.fleet.show import print_plan

        print_plan(made)
    if out is not None and made.functions and not made.refused:
        output.say(f"{out} is written; 'lamella fleet apply {out}' carries it out.")
    if made.refused:
        raise typer.Exit(Status.NEGATIVE)


def check_words(drift: str, wave: str) -> None:
    """See that what the options say can be understood, before anybody is asked.

    Raises:
        CommandError, FleetError: It cannot.
    """
    from lamella.fleet.planning import Drift
    from lamella.fleet.waves import split_waves

    if drift not in set(Drift):
        raise CommandError(f"--drift {drift!r}: write skip, include or refuse", Status.USAGE)
    split_waves((), wave)


def make(
    client: Any,  # Any: as `service_client`
    layer: str,
    version: str,
    *,
    origins: list[int],
    functions: list[str],
    excluded: list[str],
    aliases: list[str],
    wave: str,
    drift: str,
    publish: bool | None,
    check: bool,
    advisories: Path | None,
    force: bool,
) -> "Plan":
    """Make the plan that the options ask for; `check_words` has taken them.

    Raises:
        FleetError: There is no such layer version.
    """
    from lamella.cli.layer.sources import cache_directory
    from lamella.fleet.inspection import Inspection, read_code_size
    from lamella.fleet.making import find_layer, make_plan
    from lamella.fleet.planning import Drift, Publishing, Request
    from lamella.fleet.vulnerable import load_advisories
    from lamella.layers.fetching import open_layer_version

    publishing = {None: Publishing.MOVED, True: Publishing.ALWAYS, False: Publishing.NEVER}[publish]
    wanted = find_layer(client, layer, version)
    request = Request(
        wanted.layer,
        wanted.version.number,
        origins=frozenset(origins),
        functions=functions,
        excluded=excluded,
        aliases=aliases,
        drift=Drift(drift),
        publishing=publishing,
    )
    cache = cache_directory(os.environ)
    reading = Reading()
    with ExitStack() as stack:
        stack.callback(reading.end)
        inspection = None
        if check:
            inspection = Inspection(
                lambda arn: open_layer_version(client, arn, cache=cache, whole=True),  # the check reads all of it
                lambda name: read_code_size(client, name),
                None if advisories is None else load_advisories(advisories),
            )
        return make_plan(client, wanted, request, waves=wave, inspection=inspection, force=force, progress=reading)


def register(fleet: typer.Typer) -> None:
    """Add the command."""
    epilog = examples(
        "lamella fleet plan image-processing latest",
        "lamella fleet plan image-processing 8 --function 'shop-*' --alias live --out plan.json",
        "lamella fleet plan image-processing 8 --from 6 --from 7 --wave 1,5,20%,100% --drift refuse",
        "lamella fleet plan image-processing latest --endpoint aws --profile production --region eu-central-1",
    )
    fleet.command("plan", epilog=epilog)(plan)
