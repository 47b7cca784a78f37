"""Versions and aliases of customer-managed runtimes.

An alias that is moved is in force when the answer is sent: what is invoked afterwards runs with the version that it
points to, and environments of the one before end when they are no longer busy.

Source: botocore's model `lambda-core`, 2026, which documents each operation. Texts that are not of the model are ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from lamella.awsapi import _core_types as shapes
from lamella.awsapi.context import Context
from lamella.awsapi.registry import operation
from lamella.control import managed_wire as wire
from lamella.control.managed_access import own_runtime, readable_runtime
from lamella.control.managed_runtimes import PAGE, checked_release
from lamella.control.managed_services import change_runtime, existing_runtime, managed_of
from lamella.control.services import services_of
from lamella.domain._api_errors import InvalidParameterValueException
from lamella.domain.managed_runtime import ManagedRuntime, ResourceState, RuntimeAlias, RuntimeVersion
from lamella.domain.quotas import RELEASE_NOTES
from lamella.lifecycle.managed_runtime import (
    RECOVERY_WINDOW_DAYS,
    alias_of,
    check_new_version,
    version_of,
    with_alias,
    with_changed_alias,
    with_notes,
    with_version,
    without_alias,
    without_version,
)
from lamella.ports.managed import ContentError

_Part = TypeVar("_Part")

_MOST_URI: Final = 2048


@operation("CreateRuntimeVersion")
async def create_runtime_version(
    ctx: Context, req: shapes.CreateRuntimeVersionRequest
) -> shapes.CreateRuntimeVersionResponse:
    """A version of what an image holds at this moment; fetched after the answer, unless it is only to be checked."""
    key, now = own_runtime(ctx, req["RuntimeName"], "CreateRuntimeVersion"), services_of(ctx).clock.now()
    _check_notes(req.get("ReleaseNotes"))
    name, uri = req["Name"], req["ImageUri"]
    check_new_version(await existing_runtime(ctx, key), name)  # before anybody is asked about an image
    if len(uri) > _MOST_URI or not uri.isprintable() or " " in uri:
        raise InvalidParameterValueException("ImageUri is not the URI of a container image.")
    try:
        resolved = await managed_of(ctx).contents.resolve(uri)
    except ContentError as error:
        raise InvalidParameterValueException(str(error)) from error
    version = RuntimeVersion(
        name=name,
        image_uri=uri,
        resolved_uri=resolved.uri,
        contents=resolved.contents,
        state=ResourceState.CREATING,
        created=now,
        modified=now,
        release_notes=req.get("ReleaseNotes"),
    )

    def add(before: ManagedRuntime) -> ManagedRuntime:
        check_new_version(before, name)
        return with_version(before, version)

    if req.get("DryRun"):
        runtime = add(await existing_runtime(ctx, key))
    else:
        runtime = await change_runtime(ctx, key, add)
        managed_of(ctx).fetches.begin(key, name)
    return _created(runtime, version)


@operation("GetRuntimeVersion")
async def get_runtime_version(ctx: Context, req: shapes.GetRuntimeVersionRequest) -> shapes.GetRuntimeVersionResponse:
    """A version with its platforms."""
    part = f"version/{req['Name']}"
    runtime = await existing_runtime(ctx, await readable_runtime(ctx, req["RuntimeName"], "GetRuntimeVersion", part))
    return wire.version_details(runtime, version_of(runtime, req["Name"]))


@operation("ListRuntimeVersions")
async def list_runtime_versions(
    ctx: Context, req: shapes.ListRuntimeVersionsRequest
) -> shapes.ListRuntimeVersionsResponse:
    """The versions of a runtime, the oldest first; those pending deletion too."""
    runtime = await existing_runtime(ctx, await readable_runtime(ctx, req["RuntimeName"], "ListRuntimeVersions"))
    versions, token = _page(runtime.versions, req.get("MaxResults", PAGE), req.get("NextToken"))
    return {"Items": [wire.version_info(runtime, version) for version in versions], "NextToken": token}


@operation("UpdateRuntimeVersion")
async def update_runtime_version(
    ctx: Context, req: shapes.UpdateRuntimeVersionRequest
) -> shapes.UpdateRuntimeVersionResponse:
    """Other release notes for an active version, of which nothing else can change."""
    key, now = own_runtime(ctx, req["RuntimeName"], "UpdateRuntimeVersion"), services_of(ctx).clock.now()
    _check_notes(req["ReleaseNotes"])
    runtime = await change_runtime(ctx, key, lambda before: with_notes(before, req["Name"], req["ReleaseNotes"], now))
    return _created(runtime, runtime.versions[req["Name"]])


@operation("DeleteRuntimeVersion")
async def delete_runtime_version(ctx: Context, req: shapes.DeleteRuntimeVersionRequest) -> dict[str, object]:
    """Schedule the deletion of a version that no alias points to; functions that keep it fail from now on."""
    key, now = own_runtime(ctx, req["RuntimeName"], "DeleteRuntimeVersion"), services_of(ctx).clock.now()
    days = req.get("RecoveryWindowInDays", RECOVERY_WINDOW_DAYS)
    await change_runtime(ctx, key, lambda before: without_version(before, req["Name"], days, now))
    return {}


@operation("CreateRuntimeAlias")
async def create_runtime_alias(
    ctx: Context, req: shapes.CreateRuntimeAliasRequest
) -> shapes.CreateRuntimeAliasResponse:
    """A name for a version, which functions can use from now on."""
    key, now = own_runtime(ctx, req["RuntimeName"], "CreateRuntimeAlias"), services_of(ctx).clock.now()
    alias = RuntimeAlias(
        name=req["Name"],
        version=req["RuntimeVersion"],
        state=ResourceState.ACTIVE,
        created=now,
        modified=now,
        description=req.get("Description"),
        release=checked_release(ctx, req.get("ReleaseLifecycle")),
    )
    runtime = await change_runtime(ctx, key, lambda before: with_alias(before, alias))
    shown = wire.alias_info(runtime, alias, now.date())
    return wire.members_of(shapes.CreateRuntimeAliasResponse, shown)


@operation("GetRuntimeAlias")
async def get_runtime_alias(ctx: Context, req: shapes.GetRuntimeAliasRequest) -> shapes.GetRuntimeAliasResponse:
    """An alias, with the lifecycle that holds for it."""
    part = f"alias/{req['Name']}"
    runtime = await existing_runtime(ctx, await readable_runtime(ctx, req["RuntimeName"], "GetRuntimeAlias", part))
    today = services_of(ctx).clock.now().date()
    return shapes.GetRuntimeAliasResponse(**wire.alias_info(runtime, alias_of(runtime, req["Name"]), today))


@operation("ListRuntimeAliases")
async def list_runtime_aliases(
    ctx: Context, req: shapes.ListRuntimeAliasesRequest
) -> shapes.ListRuntimeAliasesResponse:
    """The aliases of a runtime, the oldest first; those pending deletion too."""
    runtime = await existing_runtime(ctx, await readable_runtime(ctx, req["RuntimeName"], "ListRuntimeAliases"))
    aliases, token = _page(runtime.aliases, req.get("MaxResults", PAGE), req.get("NextToken"))
    today = services_of(ctx).clock.now().date()
    return {"Items": [wire.alias_info(runtime, alias, today) for alias in aliases], "NextToken": token}


@operation("UpdateRuntimeAlias")
async def update_runtime_alias(
    ctx: Context, req: shapes.UpdateRuntimeAliasRequest
) -> shapes.UpdateRuntimeAliasResponse:
    """Point an alias to a version: the roll-out, and backwards the roll-back.

    A lifecycle of the alias's own is taken away if it is not named, as the model says.
    """
    key, now = own_runtime(ctx, req["RuntimeName"], "UpdateRuntimeAlias"), services_of(ctx).clock.now()
    release = checked_release(ctx, req.get("ReleaseLifecycle"))

    def move(before: ManagedRuntime) -> ManagedRuntime:
        alias = alias_of(before, req["Name"])
        description = req.get("Description", alias.description)
        changed = replace(alias, version=req["RuntimeVersion"], description=description, release=release, modified=now)
        return with_changed_alias(before, changed)

    runtime = await change_runtime(ctx, key, move)
    shown = {"RuntimeName": key.name, **wire.alias_info(runtime, runtime.aliases[req["Name"]], now.date())}
    return wire.members_of(shapes.UpdateRuntimeAliasResponse, shown)


@operation("DeleteRuntimeAlias")
async def delete_runtime_alias(ctx: Context, req: shapes.DeleteRuntimeAliasRequest) -> dict[str, object]:
    """Schedule the deletion of an alias; functions that use it fail from now on, until it is restored."""
    key, now = own_runtime(ctx, req["RuntimeName"], "DeleteRuntimeAlias"), services_of(ctx).clock.now()
    days = req.get("RecoveryWindowInDays", RECOVERY_WINDOW_DAYS)
    await change_runtime(ctx, key, lambda before: without_alias(before, req["Name"], days, now))
    return {}


def _created(runtime: ManagedRuntime, version: RuntimeVersion) -> shapes.CreateRuntimeVersionResponse:
    """What Create and Update answer: all but when it will be gone."""
    shown = wire.version_details(runtime, version)
    return wire.members_of(shapes.CreateRuntimeVersionResponse, shown)


def _check_notes(notes: str | None) -> None:
    if notes is not None and len(notes) > RELEASE_NOTES.limit:
        raise InvalidParameterValueException(f"ReleaseNotes have at most {RELEASE_NOTES.limit} characters.")


def _page(parts: Mapping[str, _Part], limit: int, token: str | None) -> tuple[Sequence[_Part], str | None]:
    """Some of them, and the token for the next: the name of the last one shown.

    Raises:
        InvalidParameterValueException: There is none of that name any more.
    """
    names = list(parts)
    start = 0
    if token is not None:
        if token not in parts:
            raise InvalidParameterValueException("Invalid NextToken.")
        start = names.index(token) + 1
    shown = names[start : start + limit]
    return [parts[name] for name in shown], shown[-1] if start + limit < len(names) else None
