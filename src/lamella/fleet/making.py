"""Makes a plan: reads the fleet, decides, looks into layers."""

import secrets
from collections.abc import Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from lamella.fleet.errors import FleetError, MissingError
from lamella.fleet.inspection import Inspection
from lamella.fleet.layers import LATEST_WORD, LayerText, split, version_of
from lamella.fleet.model import FunctionView, LayerVersionView
from lamella.fleet.plan import Plan, PlannedFunction, Skipped
from lamella.fleet.planning import Request, blocked, decide, uses, warned
from lamella.fleet.reading import (
    Progress,
    code_of,
    read_details,
    read_functions,
    read_provisioned,
    silent,
    with_aliases,
)
from lamella.fleet.waves import split_waves


@dataclass(frozen=True, slots=True)
class Wanted:
    """The new layer version.

    Attributes:
        layer: ARN without a version.
        region: Of the layer.
    """

    layer: str
    version: LayerVersionView
    region: str


def find_layer(client: Any, layer: str, version: str) -> Wanted:  # Any: a botocore client
    """The layer version that the user means.

    Args:
        client: Of botocore.
        layer: Name or ARN, maybe with a version that is not looked at.
        version: A number, `latest`, or the ARN of a version of that layer.

    Raises:
        FleetError: There is none.
    """
    text = LayerText.parse(layer)
    if version.startswith("arn:"):
        new = LayerText.parse(version)
        if new.version is None or text.name != new.name or (text.account and text.layer != new.layer):
            raise FleetError(f"{version} is not a version of layer {layer}")
        text, version = new, str(new.version)
    if version != LATEST_WORD and not version.isdigit():
        raise FleetError(f"{version!r} is no version: write a number, '{LATEST_WORD}', or the ARN of a layer version")
    if version == LATEST_WORD:
        text = LayerText.parse(_newest(client, text))
        version = str(text.version)
    try:
        found = (
            client.get_layer_version_by_arn(Arn=f"{text.layer}:{version}")
            if text.account
            else client.get_layer_version(LayerName=text.layer, VersionNumber=int(version))
        )
    except ClientError as error:
        if code_of(error) not in {"ResourceNotFoundException", "AccessDeniedException"}:
            raise
        message = error.response.get("Error", {}).get("Message", "")
        raise MissingError(
            f"there is no version {version} of layer {text.layer} for this account: {message}"
        ) from error
    arn = str(found["LayerVersionArn"])
    return Wanted(split(arn)[0], LayerVersionView.of(found), str(LayerText.parse(arn).region))


def _newest(client: Any, text: LayerText) -> str:  # Any: a botocore client
    """ARN of the newest version."""
    try:
        found = client.list_layer_versions(LayerName=text.layer, MaxItems=1)["LayerVersions"]
    except ClientError as error:
        if code_of(error) != "AccessDeniedException":
            raise
        raise FleetError(f"versions of {text.layer} are listed for its owner alone: say which version") from error
    if not found:
        raise MissingError(
            f"there is no layer {text.layer} with any version; 'lamella fleet audit' lists what there is"
        )
    return str(found[0]["LayerVersionArn"])


def make_plan(
    client: Any,  # Any: a botocore client
    wanted: Wanted,
    request: Request,
    *,
    waves: str,
    inspection: Inspection | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> Plan:
    """Find out what a new layer version would touch. Changes nothing.

    Args:
        client: Of botocore, for Lambda.
        wanted: The new layer version.
        request: What the user wants.
        waves: Sizes of waves (`fleet.waves`).
        inspection: Looks into layers; `None` for not looking.
        force: Plan functions too for which there are reasons against it.
        progress: Told how far it is.

    Raises:
        FleetError: The layer is in another region, or sizes of waves cannot be read.
    """
    region = str(client.meta.region_name)
    if wanted.region != region:
        raise FleetError(f"the layer is in {wanted.region}, and functions in {region} cannot have it: give --region")
    functions = {name: one for name, one in read_functions(client, progress).items() if request.wants(name)}
    having = [name for name, one in functions.items() if _has(one, request.layer)]
    functions = with_aliases(client, functions, having, progress)
    concerned = [name for name in having if uses(functions[name], request.layer)]
    details = read_details(client, concerned, progress)
    decisions = [decide(functions[name], details[name], request) for name in concerned if name in details]
    skipped = [one for decision in decisions for one in decision.skipped]
    planned = [one.planned for one in decisions if one.planned is not None]
    moving = [one.name for one in planned if one.aliases]
    provisioned = read_provisioned(client, moving, progress)
    planned = [_with_provisioned(one, provisioned.get(one.name, frozenset())) for one in planned]
    planned, against = _examined(planned, wanted, inspection, force=force, progress=progress)
    return Plan(
        id=f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}",
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        region=region,
        layer=wanted.layer,
        version=wanted.version.number,
        waves=split_waves([one.name for one in planned], waves),
        functions={one.name: one for one in planned},
        skipped=[*skipped, *against],
        refused=[text for decision in decisions for text in decision.refused],
        findings=inspection.findings() if inspection is not None else [],
        notes=[] if inspection is not None else ["the layers were not looked into"],
    )


def _has(function: FunctionView, layer: str) -> bool:
    """Whether any of its versions has it, so that its aliases matter."""
    return any(version_of(version.layers, layer) is not None for version in function.all_versions())


def _with_provisioned(planned: PlannedFunction, qualifiers: Collection[str]) -> PlannedFunction:
    """Source: developer guide, "configuring-alias-routing": invocations spill over while an alias has two versions."""
    names = [alias.name for alias in planned.aliases if alias.name in qualifiers]
    if not names:
        return planned
    text = f"{', '.join(names)} has provisioned concurrency, which the new version gets by and by: expect cold starts"
    return warned(planned, [text])


def _examined(
    planned: Sequence[PlannedFunction],
    wanted: Wanted,
    inspection: Inspection | None,
    *,
    force: bool,
    progress: Progress,
) -> tuple[list[PlannedFunction], list[Skipped]]:
    """The functions with what there is to say about them, and those that must not get the layer."""
    kept: list[PlannedFunction] = []
    against: list[Skipped] = []
    with inspection if inspection is not None else nullcontext():
        for number, one in enumerate(planned):
            problems, warnings = _mismatches(one, wanted.version), []
            if inspection is not None:
                verdict = inspection.inspect(one, wanted.layer)
                problems, warnings = problems + verdict.problems, verdict.warnings
            if problems and not force:
                against.append(blocked(one, problems))
            else:
                kept.append(warned(one, [*problems, *warnings]))
            progress("looking into layers", number + 1, len(planned))
    return kept, against


def _mismatches(planned: PlannedFunction, version: LayerVersionView) -> list[str]:
    """Lambda attaches a layer whatever its publisher has declared, so nobody else would say it."""
    found = []
    for what, actual, declared in (
        ("runtime", planned.runtime, version.runtimes),
        ("architecture", planned.architecture, version.architectures),
    ):
        if declared and actual and actual not in declared:
            found.append(f"its {what} is {actual}, and version {version.number} is for {', '.join(declared)}")
    return found
