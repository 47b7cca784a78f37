"""`lamella layer prune`: delete layer versions that nothing keeps, through the public API, here and on AWS."""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final

import typer

from lamella.cli import output as out
from lamella.cli.aws import AWS, AnyEndpoint, Profile, refused, service_client
from lamella.cli.client import client as page_client
from lamella.cli.failure import CommandError, Status
from lamella.cli.layer.naming import parse_name
from lamella.cli.layer.share import policy_of
from lamella.cli.options import Json, Region, examples

_NONE: Final[Mapping[str, Any]] = {"default": None, "layers": {}, "held": {}}


def prune(
    name: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME...", help="Of layers; else all of the account's.", show_default=False),
    ] = None,
    *,
    keep_last: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Keep the newest N versions.", show_default=False)
    ] = None,
    keep_used: Annotated[
        bool | None, typer.Option("--keep-used/--no-keep-used", help="Keep what functions use.", show_default=False)
    ] = None,
    keep_days: Annotated[
        int | None,
        typer.Option(metavar="D", min=0, help="Keep what is not older than D days.", show_default=False),
    ] = None,
    keep_shared: Annotated[
        bool, typer.Option("--keep-shared/--no-keep-shared", help="Keep what other accounts may use.")
    ] = True,
    apply: Annotated[bool, typer.Option("--apply", help="Delete; without it only tell.")] = False,
    json_: Json = False,
    region: Region = None,
    profile: Profile = None,
    endpoint: AnyEndpoint = None,
) -> None:
    """Tell which layer versions would be deleted and why each of the others stays; with --apply delete them.

    Goes by the policies of 'layer retention', which options change for this run. Without a policy and without options
    a layer is left alone. On AWS, which keeps no policies, options say everything. What functions use is asked of all
    their published versions. Functions that have a deleted version keep it, but nobody can attach it again.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    said = {"keep_last": keep_last, "keep_used": keep_used, "keep_days": keep_days}
    kept = _NONE if endpoint == AWS else page_client(endpoint, region).page("GET", "retention")
    api = service_client(endpoint, region, profile=profile)
    try:
        rules = _rules(api, name, kept, {**said, "keep_shared": keep_shared})
        verdicts = _verdicts(api, rules, kept["held"]) if rules else {}
        failed = _delete(api, verdicts) if apply else {}
    except (BotoCoreError, ClientError) as error:
        raise refused(error) from error
    _tell(verdicts, failed, applied=apply, json_=json_)
    if failed:
        raise CommandError(f"{len(failed)} versions could not be deleted")


def _rules(api: Any, names: list[str] | None, kept: Mapping[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    """By layer, for those that have a rule. Any: Rule."""
    from lamella.layers.retention import Rule

    if names:
        layers = [_own(text) for text in names]
    else:
        pages = api.get_paginator("list_layers").paginate()
        layers = [one["LayerName"] for page in pages for one in page["Layers"]]
    spoken = any(said[option] is not None for option in ("keep_last", "keep_used", "keep_days"))
    rules, without = {}, []
    for layer in layers:
        policy = kept["layers"].get(layer) or kept["default"]
        if policy is None and not spoken:
            without.append(layer)
        else:
            rules[layer] = (Rule() if policy is None else Rule.of_document(policy)).changed(**said)
    if without and (names or not rules):
        some = ", ".join(without[:5]) + (", ..." if len(without) > 5 else "")
        raise CommandError(
            f"nothing says which versions to keep of {some}: give --keep-last or --keep-days, or a policy with "
            "'lamella layer retention set'",
            Status.USAGE,
        )
    return rules


def _own(text: str) -> str:
    named = parse_name(text)
    if named.version is not None or named.region is not None:
        raise CommandError(f"give the name of a layer of your own, not {text}", Status.USAGE)
    return named.layer


def _verdicts(api: Any, rules: Mapping[str, Any], held: Mapping[str, list[str]]) -> dict[str, list[Any]]:
    """By layer. Any: Verdict."""
    from lamella.layers.retention import Version, judge
    from lamella.layers.sharing import grants

    now, used = dt.datetime.now(dt.UTC), _uses(api)
    found = {}
    for layer, rule in rules.items():
        pages = api.get_paginator("list_layer_versions").paginate(LayerName=layer)
        listed = [one for page in pages for one in page["LayerVersions"]]
        if not listed:
            raise CommandError(f"there is no layer {layer}")
        bare = [
            Version(
                one["Version"],
                one["LayerVersionArn"],
                dt.datetime.fromisoformat(one["CreatedDate"]),
                tuple(used.get(one["LayerVersionArn"], ())),
                tuple(held.get(one["LayerVersionArn"], ())),
            )
            for one in listed
        ]
        # Each policy is a request of its own: only of those that would go is it asked.
        goes = {verdict.version.number for verdict in judge(bare, rule, now=now) if verdict.goes}
        full = []
        for version in bare:
            shared: tuple[str, ...] = ()
            if version.number in goes and rule.keep_shared:
                given = grants(policy_of(api, layer, version.number))
                shared = tuple(dict.fromkeys(str(grant.grantee) for grant in given))
            full.append(
                Version(version.number, version.arn, version.created_at, version.used_by, version.held_by, shared)
            )
        found[layer] = judge(full, rule, now=now)
    return found


def _uses(api: Any) -> dict[str, list[str]]:
    """Versions of functions by the layer version that they have, with the aliases of published ones."""
    found: dict[str, list[str]] = {}
    aliases: dict[str, dict[str, list[str]]] = {}
    for page in api.get_paginator("list_functions").paginate(FunctionVersion="ALL"):
        for function in page["Functions"]:
            name, version = function["FunctionName"], function["Version"]
            layers = function.get("Layers", ())
            if layers and version != "$LATEST" and name not in aliases:
                aliases[name] = _aliases(api, name)
            called = [f"{name}:{version}", *(f"{name}:{alias}" for alias in aliases.get(name, {}).get(version, ()))]
            for layer in layers:
                found.setdefault(layer["Arn"], []).append(called[0] if len(called) == 1 else _with(called))
    return found


def _with(called: list[str]) -> str:
    return f"{called[0]} (alias {', '.join(alias.rpartition(':')[2] for alias in called[1:])})"


def _aliases(api: Any, function: str) -> dict[str, list[str]]:
    """Names by version; with weights, both versions."""
    found: dict[str, list[str]] = {}
    for page in api.get_paginator("list_aliases").paginate(FunctionName=function):
        for alias in page["Aliases"]:
            weights = alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
            for version in {alias["FunctionVersion"], *weights}:
                found.setdefault(version, []).append(alias["Name"])
    return found


def _delete(api: Any, verdicts: Mapping[str, Iterable[Any]]) -> dict[str, str]:
    """Delete what may go, oldest first; returns what could not be, by ARN."""
    from botocore.exceptions import ClientError

    failed = {}
    for layer, judged in verdicts.items():
        for verdict in sorted(judged, key=lambda one: one.version.number):
            if not verdict.goes:
                continue
            try:
                api.delete_layer_version(LayerName=layer, VersionNumber=verdict.version.number)
            except ClientError as error:
                failed[verdict.version.arn] = str(refused(error))
            else:
                out.say(f"deleted {layer}:{verdict.version.number}")
    return failed


def _tell(verdicts: Mapping[str, list[Any]], failed: Mapping[str, str], *, applied: bool, json_: bool) -> None:
    rows = [(layer, verdict) for layer, judged in verdicts.items() for verdict in judged]
    count = sum(verdict.goes for _, verdict in rows)
    if json_:
        shown = [
            {
                "layer": layer,
                "version": verdict.version.number,
                "arn": verdict.version.arn,
                "created_at": verdict.version.created_at.isoformat(),
                "delete": verdict.goes,
                "deleted": applied and verdict.goes and verdict.version.arn not in failed,
                "kept_because": list(verdict.reasons),
                "used_by": list(verdict.version.used_by),
                "error": failed.get(verdict.version.arn, ""),
            }
            for layer, verdict in rows
        ]
        out.write_json({"applied": applied, "versions": shown})
        return
    word = "deleted" if applied else "would be deleted"
    out.write_table(
        ("version", "published", "", ""),
        [
            (
                f"{layer}:{verdict.version.number}",
                verdict.version.created_at.strftime("%Y-%m-%d"),
                "stays" if verdict.reasons else failed.get(verdict.version.arn) or word,
                "; ".join(verdict.reasons),
            )
            for layer, verdict in rows
        ],
    )
    say = "deleted" if applied else "would be deleted; --apply deletes them"
    out.say(f"{count - len(failed)} of {len(rows)} layer versions {say}" if rows else "there is nothing to look at")


def register(layer: typer.Typer) -> None:
    """Add the command."""
    layer.command(
        "prune",
        epilog=examples(
            "lamella layer prune",
            "lamella layer prune imaging --keep-last 3 --keep-days 30",
            "lamella layer prune imaging --keep-last 3 --apply",
            "lamella layer prune --keep-last 5 --endpoint aws --region eu-west-1",
            "lamella layer prune --json | jq '.versions[] | select(.delete).arn'",
        ),
    )(prune)
