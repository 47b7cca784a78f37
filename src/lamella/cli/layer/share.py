"""`lamella layer share|unshare|who`: permissions of layer versions, through the public API, here and on AWS."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from lamella.cli import output as out
from lamella.cli.aws import AnyEndpoint, Profile, refused, service_client
from lamella.cli.failure import CommandError, Status
from lamella.cli.layer.naming import LayerName, parse_name
from lamella.cli.options import Json, Region, confirm, examples

NameVersion = Annotated[
    str, typer.Argument(metavar="NAME:VERSION", help="Or the layer version's ARN.", show_default=False)
]
Account = Annotated[
    list[str] | None,
    typer.Option("--account", metavar="NUMBER", help="An account; may be repeated.", show_default=False),
]
Organization = Annotated[
    list[str] | None,
    typer.Option("--organization", metavar="o-ID", help="All of an organization; may be repeated.", show_default=False),
]
AllVersions = Annotated[
    bool, typer.Option("--all-versions", help="All versions that there are now; name the layer without a version.")
]


def share(
    name: NameVersion,
    *,
    account: Account = None,
    organization: Organization = None,
    public: Annotated[bool, typer.Option("--public", help="Everybody; asks before.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    all_versions: AllVersions = False,
    json_: Json = False,
    region: Region = None,
    profile: Profile = None,
    endpoint: AnyEndpoint = None,
) -> None:
    """Let other accounts, an organization or everybody use a layer version.

    A permission is one for a single version: the next version needs its own. Sharing twice changes nothing.
    """
    grantees = _grantees(account, organization, public=public)
    named = parse_name(name)
    client = service_client(endpoint, region or named.region, profile=profile)
    with _api_errors():
        versions = _versions(client, named, all_versions=all_versions)
        if public and not yes:
            _confirm(f"Let everybody who has an account use {named.layer} ({_count(versions)})?")
        from lamella.layers.sharing import grants

        done = []
        for version in versions:
            known = {grant.grantee for grant in grants(policy_of(client, named.layer, version))}
            for grantee in grantees:
                if grantee not in known:
                    _add(client, named.layer, version, grantee.request())
                done.append({"version": version, "grantee": str(grantee), "new": grantee not in known})
    if json_:
        out.write_json({"layer": named.layer, "shared": done})
        return
    for one in done:
        how = "may use" if one["new"] else "could use already:"
        out.say(f"{one['grantee']} {how} {named.layer}:{one['version']}")


def unshare(
    name: NameVersion,
    *,
    account: Account = None,
    organization: Organization = None,
    public: Annotated[bool, typer.Option("--public", help="Everybody.")] = False,
    all_versions: AllVersions = False,
    json_: Json = False,
    region: Region = None,
    profile: Profile = None,
    endpoint: AnyEndpoint = None,
) -> None:
    """Take permissions away, whoever gave them and whatever their statements are called.

    Functions that have the layer version keep it; nobody can attach it any more.
    """
    grantees = set(_grantees(account, organization, public=public))
    named = parse_name(name)
    client = service_client(endpoint, region or named.region, profile=profile)
    done = []
    with _api_errors():
        from lamella.layers.sharing import grants

        for version in _versions(client, named, all_versions=all_versions):
            found = grants(policy_of(client, named.layer, version))
            for sid in dict.fromkeys(grant.statement_id for grant in found if grant.grantee in grantees):
                others = [str(g.grantee) for g in found if g.statement_id == sid and g.grantee not in grantees]
                if others:
                    raise CommandError(
                        f"statement {sid} of {named.layer}:{version} is for {', '.join(others)} as well; remove it "
                        "with 'aws lambda remove-layer-version-permission' if that is meant",
                        Status.NEGATIVE,
                    )
                client.remove_layer_version_permission(LayerName=named.layer, VersionNumber=version, StatementId=sid)
                done.append({"version": version, "statement_id": sid})
    if json_:
        out.write_json({"layer": named.layer, "removed": done})
        return
    for one in done:
        out.say(f"removed statement {one['statement_id']} of {named.layer}:{one['version']}")
    if not done:
        out.say(f"{named} was shared with none of them")


def who(
    name: Annotated[
        str, typer.Argument(metavar="NAME[:VERSION]", help="A layer, or one version of it.", show_default=False)
    ],
    *,
    json_: Json = False,
    region: Region = None,
    profile: Profile = None,
    endpoint: AnyEndpoint = None,
) -> None:
    """Show who may use a layer, version by version, newest first."""
    from lamella.layers.sharing import grants

    named = parse_name(name)
    client = service_client(endpoint, region or named.region, profile=profile)
    with _api_errors():
        versions = _versions(client, named, all_versions=named.version is None)
        found = [(version, grants(policy_of(client, named.layer, version))) for version in versions]
    if json_:
        shown = [
            {
                "version": version,
                "grants": [
                    {"kind": one.grantee.kind, "id": one.grantee.id, "statement_id": one.statement_id} for one in given
                ],
            }
            for version, given in found
        ]
        out.write_json({"layer": named.layer, "versions": shown})
        return
    rows = [(str(version), str(one.grantee), one.statement_id) for version, given in found for one in given]
    shared = {version for version, given in found if given}
    rows += [(str(version), "nobody else", "") for version, given in found if not given]
    rows.sort(key=lambda row: -int(row[0]))
    out.write_table(("version", "who", "statement"), rows)
    out.say(f"{len(shared)} of {_count(versions)} of {named.layer} shared")


def _grantees(account: list[str] | None, organization: list[str] | None, *, public: bool) -> list[Any]:
    # Here and not above: no other command needs it.  # Any: Grantee
    from lamella.layers.sharing import PUBLIC, Grantee, SharingError

    try:
        found = [*map(Grantee.account, account or []), *map(Grantee.organization, organization or [])]
    except SharingError as error:
        raise CommandError(str(error), Status.USAGE) from error
    found += [PUBLIC] if public else []
    if not found:
        raise CommandError("say with whom: --account, --organization or --public", Status.USAGE)
    return found


def _versions(client: Any, named: LayerName, *, all_versions: bool) -> list[int]:
    """Newest first."""
    if named.version is not None:
        if all_versions:
            raise CommandError("name the layer without a version, or leave out --all-versions", Status.USAGE)
        return [named.version]
    if not all_versions:
        raise CommandError(f"say which version, {named.layer}:VERSION, or --all-versions", Status.USAGE)
    pages = client.get_paginator("list_layer_versions").paginate(LayerName=named.layer)
    versions = [one["Version"] for page in pages for one in page["LayerVersions"]]
    if not versions:
        raise CommandError(f"there is no layer {named.layer}")
    return sorted(versions, reverse=True)


def policy_of(client: Any, layer: str, version: int) -> Any:
    """The policy's document; `None` if there is none, which AWS words like a version that is not there."""
    try:
        answer = client.get_layer_version_policy(LayerName=layer, VersionNumber=version)
    except client.exceptions.ResourceNotFoundException as error:
        if "olicy" not in error.response["Error"]["Message"]:
            raise
        return None
    return json.loads(answer["Policy"])


def _add(client: Any, layer: str, version: int, request: dict[str, str]) -> None:
    try:
        client.add_layer_version_permission(LayerName=layer, VersionNumber=version, **request)
    except client.exceptions.ResourceConflictException:
        return  # somebody was quicker


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise CommandError("sharing with everybody wants --yes where nobody can be asked", Status.USAGE)
    if not confirm(question):
        raise CommandError("nothing was shared", Status.NEGATIVE)


def _count(versions: list[int]) -> str:
    return "1 version" if len(versions) == 1 else f"{len(versions)} versions"


@contextmanager
def _api_errors() -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise refused(error) from error


def register(layer: typer.Typer) -> None:
    """Add the commands."""
    layer.command(
        "share",
        epilog=examples(
            "lamella layer share imaging:3 --account 111122223333",
            "lamella layer share imaging:3 --organization o-a1b2c3d4e5",
            "lamella layer share imaging --all-versions --public --yes --endpoint aws --region eu-west-1",
        ),
    )(share)
    layer.command(
        "unshare",
        epilog=examples(
            "lamella layer unshare imaging:3 --account 111122223333",
            "lamella layer unshare imaging --all-versions --public",
        ),
    )(unshare)
    layer.command(
        "who",
        epilog=examples("lamella layer who imaging", "lamella layer who imaging:3 --json | jq '.versions[].grants'"),
    )(who)
