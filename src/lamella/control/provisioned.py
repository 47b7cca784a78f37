"""Provisioned concurrency: environments that a published version or an alias has initialised ahead of invocations.

Source of texts, statuses and members: answers of AWS that LocalStack's handlers give (their tests are validated against
AWS), 2023 to 2025.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any, Final, cast

from lamella.awsapi import _types as shapes
from lamella.awsapi.context import Context
from lamella.awsapi.registry import operation
from lamella.control.resolution import not_found, unqualified
from lamella.control.services import services_of
from lamella.control.wire import timestamp
from lamella.domain._api_errors import (
    InvalidParameterValueException,
    ProvisionedConcurrencyConfigNotFoundException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from lamella.domain.function import LATEST, FunctionKey
from lamella.domain.names import FunctionReference
from lamella.domain.quotas import LIST_PAGE, UNRESERVED_CONCURRENCY
from lamella.domain.tenancy import check_fits
from lamella.ports.errors import ConflictError
from lamella.ports.provisioning import Provisioner
from lamella.ports.records import Document, FunctionRecordStore, Records
from lamella.ports.stores import AliasStore

PROVISIONED: Final = "provisioned"
"""Kind of the documents: one for each version's number or alias."""

_ALL: Final = 1_000_000
_NOT_HERE: Final = "The function resource provided must be an alias or a published version."
_FOUND_NONE: Final = "No Provisioned Concurrency Config found for this function"


@dataclass(frozen=True, slots=True)
class ProvisioningServices:
    """The group of `awsapi.context.Services` that these handlers need besides.

    Attributes:
        lock: Held over a check of what is left and the change that takes it.
    """

    provisioner: Provisioner
    aliases: AliasStore
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


@operation("PutProvisionedConcurrencyConfig")
async def put_provisioned_concurrency_config(
    ctx: Context, req: shapes.PutProvisionedConcurrencyConfigRequest
) -> shapes.PutProvisionedConcurrencyConfigResponse:
    """Keep environments initialised for a published version or an alias."""
    reference = _reference(
        ctx,
        req["FunctionName"],
        req["Qualifier"],
        "PutProvisionedConcurrencyConfig",
        "Provisioned Concurrency Configs cannot be applied to unpublished function versions.",
    )
    key, qualifier = reference.key, reference.qualifier or ""
    executions = req["ProvisionedConcurrentExecutions"]
    await _check_exists(ctx, reference)
    services = ctx.services[ProvisioningServices]
    modified_at = timestamp(services_of(ctx).clock.now())
    document = {"Requested": executions, "LastModified": modified_at}
    latest = await services_of(ctx).functions.get(key)
    if latest is not None:
        check_fits(latest.config, "Provisioned Concurrency")
    async with services.lock:
        await _check_pointers(ctx, key, qualifier)
        await _check_left(ctx, key, qualifier, executions)
        try:
            await _store(ctx).put(key, PROVISIONED, document, qualifier)
        except ConflictError:
            raise not_found(reference.arn) from None
        services.provisioner.provision(key, qualifier, executions)
    return {
        "RequestedProvisionedConcurrentExecutions": executions,
        "AllocatedProvisionedConcurrentExecutions": 0,
        "AvailableProvisionedConcurrentExecutions": 0,
        "Status": "IN_PROGRESS",
        "LastModified": modified_at,
    }


@operation("GetProvisionedConcurrencyConfig")
async def get_provisioned_concurrency_config(
    ctx: Context, req: shapes.GetProvisionedConcurrencyConfigRequest
) -> shapes.GetProvisionedConcurrencyConfigResponse:
    """How far the environments of a version or an alias have got."""
    reference = _reference(ctx, req["FunctionName"], req["Qualifier"], "GetProvisionedConcurrencyConfig", _NOT_HERE)
    await _check_exists(ctx, reference)
    qualifier = reference.qualifier or ""
    document = await _store(ctx).get(reference.key, PROVISIONED, qualifier)
    if document is None:
        raise ProvisionedConcurrencyConfigNotFoundException(_FOUND_NONE)
    shown = _show(ctx, reference.key, qualifier, document)
    return cast("shapes.GetProvisionedConcurrencyConfigResponse", shown)


@operation("DeleteProvisionedConcurrencyConfig")
async def delete_provisioned_concurrency_config(
    ctx: Context, req: shapes.DeleteProvisionedConcurrencyConfigRequest
) -> dict[str, object]:
    """Keep no environments any more; that there are none is no error."""
    reference = _reference(ctx, req["FunctionName"], req["Qualifier"], "DeleteProvisionedConcurrencyConfig", _NOT_HERE)
    await _check_exists(ctx, reference)
    services, qualifier = ctx.services[ProvisioningServices], reference.qualifier or ""
    async with services.lock:
        await _store(ctx).delete(reference.key, PROVISIONED, qualifier)
        services.provisioner.provision(reference.key, qualifier, None)
    return {}


@operation("ListProvisionedConcurrencyConfigs")
async def list_provisioned_concurrency_configs(
    ctx: Context, req: shapes.ListProvisionedConcurrencyConfigsRequest
) -> shapes.ListProvisionedConcurrencyConfigsResponse:
    """All of a function."""
    key = unqualified(ctx, req["FunctionName"], "ListProvisionedConcurrencyConfigs").key
    if await services_of(ctx).functions.get(key) is None:
        raise not_found(key.arn())
    try:
        page = await _store(ctx).list_function(
            key, PROVISIONED, limit=req.get("MaxItems", LIST_PAGE.limit), marker=req.get("Marker")
        )
    except ValueError:
        raise InvalidParameterValueException("Invalid Marker.") from None
    items = [
        cast(
            "shapes.ProvisionedConcurrencyConfigListItem",
            {"FunctionArn": key.arn(record.qualifier), **_show(ctx, key, record.qualifier, record.document)},
        )
        for record in page.items
    ]
    return {"ProvisionedConcurrencyConfigs": items, "NextMarker": page.next_marker}


async def load_provisions(records: FunctionRecordStore, provisioner: Provisioner) -> None:
    """Ask again for what was asked for before the server started."""
    for record in await records.every(PROVISIONED):
        provisioner.provision(record.key, record.qualifier, record.document["Requested"])


async def provisioned_of(ctx: Context, key: FunctionKey) -> int:
    """How many environments are to be kept for a function, all its qualifiers together."""
    page = await _store(ctx).list_function(key, PROVISIONED, limit=_ALL)
    return sum(record.document["Requested"] for record in page.items)


async def provisioned_unreserved(ctx: Context, *, but: tuple[FunctionKey, str | None] | None = None) -> int:
    """How many of an account's unreserved executions are provisioned: those of functions without a reservation.

    Those of one place are left out, or with `None` as its qualifier those of one function.
    """
    page = await _store(ctx).list_account(ctx.account, ctx.region, PROVISIONED, limit=_ALL)
    reservations = await services_of(ctx).functions.reservations()
    return sum(
        record.document["Requested"]
        for record in page.items
        if record.key not in reservations and but not in ((record.key, record.qualifier), (record.key, None))
    )


def _reference(ctx: Context, name: str, qualifier: str, action: str, unpublished: str) -> FunctionReference:
    """A published version or an alias.

    Raises:
        InvalidParameterValueException: It is `$LATEST`.
    """
    reference = FunctionReference.parse(
        name, account=ctx.account, region=ctx.region, qualifier=qualifier or None, action=action
    )
    if reference.qualifier in (None, LATEST):
        raise InvalidParameterValueException(unpublished)
    return reference


async def _check_exists(ctx: Context, reference: FunctionReference) -> None:
    key, qualifier = reference.key, reference.qualifier or ""
    if qualifier.isdigit():
        if await services_of(ctx).functions.get(key, qualifier) is None:
            raise not_found(reference.arn)
    elif await ctx.services[ProvisioningServices].aliases.get(key, qualifier) is None:
        raise ResourceNotFoundException(f"Cannot find alias arn: {reference.arn}")


async def _check_pointers(ctx: Context, key: FunctionKey, qualifier: str) -> None:
    """A version has provisioned concurrency of its own, or by an alias.

    Raises:
        ResourceConflictException: It would have both.
    """
    store, aliases = _store(ctx), ctx.services[ProvisioningServices].aliases
    if not qualifier.isdigit():
        alias = await aliases.get(key, qualifier)
        if alias is not None and await store.get(key, PROVISIONED, alias.version) is not None:
            raise ResourceConflictException(
                "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version"
            )
        return
    for record in (await store.list_function(key, PROVISIONED, limit=_ALL)).items:
        alias = None if record.qualifier.isdigit() else await aliases.get(key, record.qualifier)
        if alias is not None and alias.version == qualifier:
            raise ResourceConflictException("Version is pointed by a Provisioned Concurrency alias")


async def _check_left(ctx: Context, key: FunctionKey, qualifier: str, executions: int) -> None:
    """Refuse more than the function has reserved, or the account has left.

    Raises:
        InvalidParameterValueException: It is more.
    """
    services = services_of(ctx)
    limit = services.settings.concurrency
    reserved = await services.functions.reservation(key)
    if reserved is not None:
        page = await _store(ctx).list_function(key, PROVISIONED, limit=_ALL)
        others = sum(record.document["Requested"] for record in page.items if record.qualifier != qualifier)
        if others + executions > reserved:
            raise InvalidParameterValueException(
                "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for "
                "function"
            )
        return
    if executions > limit:
        raise InvalidParameterValueException(
            f"Specified ConcurrentExecutions for function is greater than account's unreserved concurrency [{limit}]."
        )
    reservations = (await services.functions.reservations()).items()
    taken = sum(count for other, count in reservations if (other.account, other.region) == (ctx.account, ctx.region))
    taken += await provisioned_unreserved(ctx, but=(key, qualifier))
    if limit - taken - executions < UNRESERVED_CONCURRENCY.limit:
        raise InvalidParameterValueException(
            "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its "
            f"minimum value of [{UNRESERVED_CONCURRENCY.limit}]."
        )


def _show(ctx: Context, key: FunctionKey, qualifier: str, document: Document) -> dict[str, Any]:  # Any: members
    """Members that Get and List have in common."""
    requested = document["Requested"]
    found = ctx.services[ProvisioningServices].provisioner.provisioned(key, qualifier)
    ready = found.allocated >= requested
    shown = {
        "RequestedProvisionedConcurrentExecutions": requested,
        "AllocatedProvisionedConcurrentExecutions": found.allocated,
        "AvailableProvisionedConcurrentExecutions": found.available,
        "Status": "READY" if ready else "FAILED" if found.failure else "IN_PROGRESS",
        "LastModified": document["LastModified"],
    }
    if found.failure and not ready:
        shown["StatusReason"] = found.failure
    return shown


def _store(ctx: Context) -> FunctionRecordStore:
    return ctx.services[Records].functions
