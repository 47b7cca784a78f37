"""Resource policies of functions, versions and aliases.

The revision of a policy is that of what it belongs to: a change of either gives both another one. Source of that and of
the texts: answers of AWS recorded in LocalStack's tests, 2022 to 2024 (TestLambdaPermissions). Of the operations on
whole documents, which came in 2026, no answers are recorded: their texts are ours where no other operation has one.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from lamella.awsapi import _types as shapes
from lamella.awsapi.context import Context
from lamella.awsapi.registry import operation
from lamella.control import managed_access
from lamella.control.access import named
from lamella.control.resolution import check_revision, not_found
from lamella.control.services import aliases_of, services_of
from lamella.domain._api_errors import InvalidParameterValueException, ResourceNotFoundException
from lamella.domain.alias import Alias
from lamella.domain.function import LATEST, FunctionKey, FunctionVersion
from lamella.domain.names import FunctionReference
from lamella.domain.policy import FUNCTION_POLICY, Document, PolicyError, read
from lamella.domain.statements import (
    check_policy,
    dump,
    function_statement,
    no_policy,
    unusable,
    with_statement,
    without_statement,
)
from lamella.ports.errors import ConflictError
from lamella.ports.records import WHOLE, Records

_Change = Callable[[Document | None], Document | None]

_RUNTIME: Final = ":runtime/"
_MISSING: Final = "The resource you requested does not exist."


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a policy is kept.

    Attributes:
        owner: What gives the policy its revision: an alias or a version, `$LATEST` for a function as a whole.
    """

    key: FunctionKey
    qualifier: str
    owner: FunctionVersion | Alias


@operation("AddPermission")
async def add_permission(ctx: Context, req: shapes.AddPermissionRequest) -> shapes.AddPermissionResponse:
    """Let a service, an account, an organisation or everybody use a function, a version or an alias."""
    reference = await named(ctx, req["FunctionName"], action="AddPermission", qualifier=req.get("Qualifier"))
    place = await _changeable(ctx, reference)
    check_revision(place.owner, req.get("RevisionId"))
    statement = function_statement(reference.arn, req)
    await _change(ctx, place, lambda before: with_statement(before, statement), req.get("RevisionId"))
    return {"Statement": dump(statement)}


@operation("RemovePermission")
async def remove_permission(ctx: Context, req: shapes.RemovePermissionRequest) -> dict[str, object]:
    """Take a statement away; the policy goes with its last one."""
    reference = await named(ctx, req["FunctionName"], action="RemovePermission", qualifier=req.get("Qualifier"))
    if await services_of(ctx).functions.get(reference.key) is None:
        raise ResourceNotFoundException(f"No policy found for: {reference.key.arn()}")
    place = await _place(ctx, reference)
    await _change(ctx, place, lambda before: without_statement(before, req["StatementId"]), req.get("RevisionId"))
    return {}


@operation("GetPolicy")
async def get_policy(ctx: Context, req: shapes.GetPolicyRequest) -> shapes.GetPolicyResponse:
    """The policy of a function, a version or an alias."""
    place = await _place(ctx, await named(ctx, req["FunctionName"], action="GetPolicy", qualifier=req.get("Qualifier")))
    return {"Policy": dump(await _existing(ctx, place)), "RevisionId": place.owner.revision_id}


@operation("PutResourcePolicy")
async def put_resource_policy(ctx: Context, req: shapes.PutResourcePolicyRequest) -> shapes.PutResourcePolicyResponse:
    """A whole policy in place of the one that may be there, with denials, several principals and conditions."""
    if _RUNTIME in req["ResourceArn"]:
        policy, revision = await managed_access.put_policy(
            ctx, req["ResourceArn"], req["Policy"], req.get("RevisionId")
        )
        return {"Policy": managed_access.show(policy), "RevisionId": revision}
    place = await _changeable(ctx, await _by_arn(ctx, req["ResourceArn"], "PutResourcePolicy"))
    check_revision(place.owner, req.get("RevisionId"))
    try:
        document = read(req["Policy"])
    except PolicyError as error:
        raise unusable(error) from None
    check_policy(document)
    revision_id = await _change(ctx, place, lambda _: document, req.get("RevisionId"))
    return {"Policy": dump(document), "RevisionId": revision_id}


@operation("GetResourcePolicy")
async def get_resource_policy(ctx: Context, req: shapes.GetResourcePolicyRequest) -> shapes.GetResourcePolicyResponse:
    """The policy of a function, a version, an alias or a runtime; also one that was made statement by statement."""
    if _RUNTIME in req["ResourceArn"]:
        policy, revision = await managed_access.get_policy(ctx, req["ResourceArn"])
        return {"Policy": managed_access.show(policy), "RevisionId": revision}
    place = await _place(ctx, await _by_arn(ctx, req["ResourceArn"], "GetResourcePolicy"))
    return {"Policy": dump(await _existing(ctx, place)), "RevisionId": place.owner.revision_id}


@operation("DeleteResourcePolicy")
async def delete_resource_policy(ctx: Context, req: shapes.DeleteResourcePolicyRequest) -> dict[str, object]:
    """Take the whole policy away."""
    if _RUNTIME in req["ResourceArn"]:
        await managed_access.delete_policy(ctx, req["ResourceArn"], req.get("RevisionId"))
        return {}
    place = await _place(ctx, await _by_arn(ctx, req["ResourceArn"], "DeleteResourcePolicy"))

    def nothing(before: Document | None) -> None:
        if before is None:
            raise no_policy()

    await _change(ctx, place, nothing, req.get("RevisionId"))
    return {}


async def _by_arn(ctx: Context, arn: str, action: str) -> FunctionReference:
    if ":function:" not in arn:
        raise ResourceNotFoundException(_MISSING)
    return await named(ctx, arn, action=action)


async def _place(ctx: Context, reference: FunctionReference) -> _Place:
    """Where the policy of what was named is kept.

    Raises:
        ResourceNotFoundException: There is no such function, version or alias.
    """
    functions = services_of(ctx).functions
    latest = await functions.get(reference.key)
    if latest is None:
        raise not_found(reference.key.arn())
    if reference.qualifier in {None, LATEST}:
        return _Place(reference.key, WHOLE, latest)
    if reference.version is None:
        name = reference.qualifier or ""
        alias = await aliases_of(ctx).get(reference.key, name)
        if alias is None:
            raise ResourceNotFoundException(f"Cannot find alias arn: {reference.arn}")
        return _Place(reference.key, name, alias)
    version = await functions.get(reference.key, reference.version)
    if version is None:
        raise not_found(reference.arn)
    return _Place(reference.key, version.version, version)


async def _changeable(ctx: Context, reference: FunctionReference) -> _Place:
    """Where a policy can be added.

    Raises:
        InvalidParameterValueException: It is `$LATEST`, which has none of its own.
    """
    if reference.qualifier == LATEST:
        raise InvalidParameterValueException("We currently do not support adding policies for $LATEST.")
    return await _place(ctx, reference)


async def _existing(ctx: Context, place: _Place) -> Document:
    document = await ctx.services[Records].functions.get(place.key, FUNCTION_POLICY, place.qualifier)
    if document is None:
        raise ResourceNotFoundException(_MISSING)
    return document


async def _change(ctx: Context, place: _Place, change: _Change, expected: str | None) -> str:
    """Change a policy, in force for every invocation that begins afterwards; returns its revision.

    Raises:
        PreconditionFailedException: `expected` is not the revision.
    """
    services, records = services_of(ctx), ctx.services[Records].functions
    change(await records.get(place.key, FUNCTION_POLICY, place.qualifier))  # what is wrong is told before any change
    # First, since of two who expect the same revision only one may go on.
    revision_id = await _renew(ctx, place, expected)
    try:
        await records.change(place.key, FUNCTION_POLICY, change, place.qualifier)
    except ConflictError:
        raise not_found(place.key.arn()) from None
    finally:
        services.observer.policy_changed(place.key)
    return revision_id


async def _renew(ctx: Context, place: _Place, expected: str | None) -> str:
    """Give what a policy belongs to another revision."""
    revision_id = str(uuid.uuid4())
    while True:
        try:
            if isinstance(place.owner, Alias):
                await _renew_alias(ctx, place.owner, expected, revision_id)
            else:
                await _renew_version(ctx, place.owner, expected, revision_id)
        except ConflictError:
            continue  # it was changed meanwhile
        return revision_id


async def _renew_version(ctx: Context, version: FunctionVersion, expected: str | None, revision_id: str) -> None:
    functions = services_of(ctx).functions
    current = await functions.get(version.key, version.version)
    if current is None:
        raise not_found(version.key.arn())
    check_revision(current, expected)
    await functions.replace(replace(current, revision_id=revision_id), expected_revision_id=current.revision_id)


async def _renew_alias(ctx: Context, alias: Alias, expected: str | None, revision_id: str) -> None:
    current = await aliases_of(ctx).get(alias.key, alias.name)
    if current is None:
        raise ResourceNotFoundException(f"Cannot find alias arn: {alias.arn}")
    check_revision(current, expected)
    changed = replace(current, revision_id=revision_id)
    await aliases_of(ctx).replace(changed, expected_revision_id=current.revision_id)
    services_of(ctx).observer.alias_changed(changed)
