"""Customer-managed runtimes: create, show, change, delete, restore, list.

Source: botocore's model `lambda-core`, 2026, which documents each operation. Texts that are not of the model are ours.
"""

import uuid
from dataclasses import replace
from typing import Final

from lamella.awsapi import _core_types as shapes
from lamella.awsapi.context import Context
from lamella.awsapi.registry import operation
from lamella.control import managed_wire as wire
from lamella.control.managed_access import forget_policy, own_runtime, readable_runtime
from lamella.control.managed_services import change_runtime, existing_runtime, managed_of
from lamella.control.services import services_of
from lamella.control.tags import check_tag_count
from lamella.control.wire import timestamp
from lamella.domain._api_errors import (
    InvalidParameterValueException,
    ResourceConflictException,
    ServiceQuotaExceededException,
)
from lamella.domain.managed_runtime import (
    RUNTIME_RECORD,
    ManagedRuntime,
    RuntimeAlias,
    RuntimeKey,
    RuntimeVersion,
)
from lamella.domain.quotas import RUNTIMES
from lamella.domain.release import Release
from lamella.lifecycle.managed_runtime import (
    RECOVERY_WINDOW_DAYS,
    alive,
    check_active,
    deleted,
    restored,
    with_restored_alias,
    with_restored_version,
)
from lamella.ports.records import Document, Records

PAGE: Final = 100
"""Items in one answer. Source: model, `MaxResults` of the listings."""


@operation("CreateRuntime")
async def create_runtime(ctx: Context, req: shapes.CreateRuntimeRequest) -> shapes.CreateRuntimeResponse:
    """A runtime without versions: functions cannot use it yet."""
    key, now = RuntimeKey(ctx.account, ctx.region, req["Name"]), services_of(ctx).clock.now()
    check_tag_count(req.get("Tags", {}))
    release = checked_release(ctx, req.get("ReleaseLifecycle"))
    records = ctx.services[Records].accounts
    page = await records.list(key.account, key.region, RUNTIME_RECORD, limit=RUNTIMES.limit)
    if len(page.items) >= RUNTIMES.limit and all(record.id != key.name for record in page.items):
        raise ServiceQuotaExceededException(f"An account has at most {RUNTIMES.limit} runtimes in a region.")
    runtime = ManagedRuntime(
        key=key,
        id=str(uuid.uuid4()),
        created=now,
        modified=now,
        description=req.get("Description"),
        license_info=req.get("LicenseInfo"),
        release=release,
        tags=req.get("Tags", {}),
    )

    def create(stored: Document | None) -> Document:
        before = None if stored is None else ManagedRuntime.of_document(key, stored)
        if before is not None and alive(before, now) is not None:
            until = "" if before.delete_at is None else f", and is pending deletion until {before.delete_at:%Y-%m-%d}"
            raise ResourceConflictException(f"Runtime already exists{until}: {key.arn}")
        return runtime.to_document()

    document = await records.change(key.account, key.region, RUNTIME_RECORD, key.name, create)
    assert document is not None  # `create` gives one
    await forget_policy(ctx, key)
    runtime = ManagedRuntime.of_document(key, document)
    managed_of(ctx).observer.runtime_changed(runtime)
    shown = wire.runtime_info(runtime, now.date())
    return wire.members_of(shapes.CreateRuntimeResponse, shown)


@operation("GetRuntime")
async def get_runtime(ctx: Context, req: shapes.GetRuntimeRequest) -> shapes.GetRuntimeResponse:
    """A runtime, without its versions and aliases."""
    runtime = await existing_runtime(ctx, await readable_runtime(ctx, req["RuntimeName"], "GetRuntime"))
    return {**wire.runtime_info(runtime, services_of(ctx).clock.now().date()), "Id": runtime.id}


@operation("ListRuntimes")
async def list_runtimes(ctx: Context, req: shapes.ListRuntimesRequest) -> shapes.ListRuntimesResponse:
    """The caller's own runtimes by name; those pending deletion too."""
    now = services_of(ctx).clock.now()
    try:
        page = await ctx.services[Records].accounts.list(
            ctx.account,
            ctx.region,
            RUNTIME_RECORD,
            limit=req.get("MaxResults", PAGE),
            marker=req.get("NextToken"),
        )
    except ValueError:
        raise InvalidParameterValueException("Invalid NextToken.") from None
    keys = [RuntimeKey(record.account, record.region, record.id) for record in page.items]
    found = [
        alive(ManagedRuntime.of_document(key, record.document), now)
        for key, record in zip(keys, page.items, strict=True)
    ]
    return {
        "Items": [wire.runtime_info(runtime, now.date()) for runtime in found if runtime is not None],
        "NextToken": page.next_marker,
    }


@operation("UpdateRuntime")
async def update_runtime(ctx: Context, req: shapes.UpdateRuntimeRequest) -> shapes.UpdateRuntimeResponse:
    """Another description, license or lifecycle. The lifecycle is taken away if it is not named, as the model says."""
    key, now = own_runtime(ctx, req["RuntimeName"], "UpdateRuntime"), services_of(ctx).clock.now()
    release = checked_release(ctx, req.get("ReleaseLifecycle"))

    def update(before: ManagedRuntime) -> ManagedRuntime:
        check_active(before)
        return replace(
            before,
            description=req.get("Description", before.description),
            license_info=req.get("LicenseInfo", before.license_info),
            release=release,
            modified=now,
        )

    shown = wire.runtime_info(await change_runtime(ctx, key, update), now.date())
    return wire.members_of(shapes.UpdateRuntimeResponse, shown)


@operation("DeleteRuntime")
async def delete_runtime(ctx: Context, req: shapes.DeleteRuntimeRequest) -> dict[str, object]:
    """Schedule the deletion of a runtime whose versions and aliases are deleted or scheduled already."""
    key, now = own_runtime(ctx, req["RuntimeName"], "DeleteRuntime"), services_of(ctx).clock.now()
    days = req.get("RecoveryWindowInDays", RECOVERY_WINDOW_DAYS)
    await change_runtime(ctx, key, lambda before: deleted(before, days, now))
    return {}


@operation("RestoreRuntime")
async def restore_runtime(ctx: Context, req: shapes.RestoreRuntimeRequest) -> shapes.RestoreRuntimeResponse:
    """Cancel the deletion of a runtime, of one of its versions or of one of its aliases."""
    key, now = own_runtime(ctx, req["RuntimeName"], "RestoreRuntime"), services_of(ctx).clock.now()
    version, alias = req.get("RuntimeVersion"), req.get("RuntimeAlias")
    if version is not None and alias is not None:
        raise InvalidParameterValueException("RuntimeVersion and RuntimeAlias cannot both be given.")
    if version is not None:
        runtime = await change_runtime(ctx, key, lambda before: with_restored_version(before, version, now))
        return _restored(key, key.version_arn(version), runtime.versions[version], version=version)
    if alias is not None:
        runtime = await change_runtime(ctx, key, lambda before: with_restored_alias(before, alias, now))
        return _restored(key, key.alias_arn(alias), runtime.aliases[alias], alias=alias)
    return _restored(key, key.arn, await change_runtime(ctx, key, lambda before: restored(before, now)))


def _restored(
    key: RuntimeKey,
    arn: str,
    part: ManagedRuntime | RuntimeVersion | RuntimeAlias,
    *,
    version: str | None = None,
    alias: str | None = None,
) -> shapes.RestoreRuntimeResponse:
    return {
        "RuntimeName": key.name,
        "RuntimeVersion": version,
        "RuntimeAlias": alias,
        "Arn": arn,
        "State": part.state.value,
        "LastModified": timestamp(part.modified),
    }


def checked_release(ctx: Context, members: shapes.RuntimeReleaseLifecycle | None) -> Release | None:
    """The lifecycle that a request sets; `None` takes it away.

    Raises:
        InvalidParameterValueException: It contradicts itself.
    """
    release = Release.of_members(members or {})
    if release is not None:
        release.check(services_of(ctx).clock.now().date())
    return release
