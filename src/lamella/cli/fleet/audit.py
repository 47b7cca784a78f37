"""`lamella fleet audit`."""

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lamella.cli import output
from lamella.cli.aws import AnyEndpoint, Profile
from lamella.cli.failure import CommandError, Status
from lamella.cli.fleet.reach import Reading, answering, lambda_client
from lamella.cli.options import Json, Region, examples

if TYPE_CHECKING:
    from lamella.fleet.audit import AuditedLayer, AuditedVersion

_MOST_USES = 4


def audit(
    layers: Annotated[
        list[str] | None,
        typer.Argument(metavar="[LAYER]...", help="Names or ARNs of layers; else all.", show_default=False),
    ] = None,
    *,
    fail_on: Annotated[
        str,
        typer.Option(
            metavar="FAULTS",
            help="End with status 1 if there is any of these: stale, deleted, hidden, vulnerable, unused.",
            show_default=False,
        ),
    ] = "",
    advisories: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|DIR",
            help="Known vulnerabilities in the Open Source Vulnerability format; layers in use are looked into.",
            show_default=False,
        ),
    ] = None,
    json_: Json = False,
    endpoint: AnyEndpoint = None,
    region: Region = None,
    profile: Profile = None,
) -> None:
    """Say which functions, versions and aliases use which layer versions, and what is wrong with that.

    A version is stale if something that is invoked uses it though there is a newer one. Nothing is changed.
    """
    from lamella.fleet.audit import Fault, faults, parse_faults
    from lamella.fleet.audit import audit as look_at
    from lamella.fleet.reading import read_fleet

    try:
        bad = set(parse_faults(fail_on))
    except ValueError as error:
        raise CommandError(
            f"--fail-on: {error}; write stale, deleted, hidden, vulnerable or unused", Status.USAGE
        ) from error
    if Fault.VULNERABLE in bad and advisories is None:
        raise CommandError("--fail-on vulnerable needs --advisories: without them nothing is known to be", Status.USAGE)
    reading = Reading()
    with answering():
        client = lambda_client(endpoint, region, profile)
        try:
            fleet = read_fleet(client, layers or [], reading)
            found = look_at(fleet, now=datetime.now(UTC))
            if advisories is not None:
                vulnerable = _vulnerabilities(client, found, advisories, reading)
                found = look_at(fleet, now=datetime.now(UTC), vulnerabilities=vulnerable)
        finally:
            reading.end()
    known = {text for layer in found for text in (layer.name, layer.arn)}
    if unknown := [text for text in layers or [] if text not in known]:
        raise CommandError(
            f"there is no layer {', '.join(unknown)}, and no function uses one; without a name all are listed",
            Status.API,
        )
    if json_:
        output.write_json({"layers": [layer.to_dict() for layer in found]})
    else:
        _print(found)
    if bad & faults(found):
        raise typer.Exit(Status.NEGATIVE)


def _print(layers: Sequence["AuditedLayer"]) -> None:
    if not layers:
        output.say("There is no layer, and no function uses one.")
        return
    for layer in layers:
        newest = f"version {layer.newest} is the newest" if layer.newest else "the newest version is not known"
        print(f"{layer.name}: {newest}")
        output.write_table(
            ("VERSION", "AGE", "FAULTS", "USED BY"),
            [(str(one.number), _age(one), ", ".join(one.faults), _uses(one)) for one in layer.versions],
        )
        if layer.behind:
            names = ", ".join(layer.behind[:6]) + (" ..." if len(layer.behind) > 6 else "")
            print(f"  {len(layer.behind)} of {len(layer.users)} functions are behind: {names}\n")
    behind = [layer.name for layer in layers if layer.behind]
    if behind:
        name = behind[0] if len(behind) == 1 else "LAYER"
        output.say(f"'lamella fleet plan {name} latest' shows what it would take to bring them up to date.")


def _age(version: "AuditedVersion") -> str:
    return "?" if version.age_days is None else f"{version.age_days} d"


def _uses(version: "AuditedVersion") -> str:
    live = [str(use) for use in version.uses if use.live]
    rest = len(version.uses) - len(live)
    more = f", {len(live) - _MOST_USES} more" if len(live) > _MOST_USES else ""
    versions = f"{rest} version{'' if rest == 1 else 's'} that no alias invokes"
    idle = f"{', and ' if live else ''}{versions}" if rest else ""
    vulnerable = f" [{'; '.join(version.vulnerabilities[:3])}]" if version.vulnerabilities else ""
    return (", ".join(live[:_MOST_USES]) + more + idle or "-") + vulnerable


def _vulnerabilities(
    client: Any,  # Any: as `service_client`
    layers: Sequence["AuditedLayer"],
    path: Path,
    reading: Reading,
) -> Mapping[str, Sequence[str]]:
    """Known ones of the layer versions that something uses, by ARN."""
    from lamella.cli.layer.sources import cache_directory
    from lamella.fleet.vulnerable import known_vulnerabilities, load_advisories
    from lamella.layers.fetching import open_layer_version

    cache = cache_directory(os.environ)
    gone = {"deleted", "hidden"}
    used = [one.arn for layer in layers for one in layer.versions if one.uses and not gone & set(one.faults)]
    return known_vulnerabilities(
        used, lambda arn: open_layer_version(client, arn, cache=cache), load_advisories(path), reading
    )


def register(fleet: typer.Typer) -> None:
    """Add the command."""
    epilog = examples(
        "lamella fleet audit",
        "lamella fleet audit image-processing --fail-on stale,deleted",
        "lamella fleet audit --advisories osv-pypi.zip --fail-on vulnerable",
        "lamella fleet audit --endpoint aws --profile production --region eu-central-1 --json",
    )
    fleet.command("audit", epilog=epilog)(audit)
