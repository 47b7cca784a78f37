"""Aliases of functions.

Source of what is answered, texts included, unless said otherwise: answers of AWS recorded in LocalStack's
`test_lambda_api.snapshot.json`, `TestLambdaAlias`, 2023.
"""

import uuid
from collections.abc import Mapping
from dataclasses import replace

from lamella.awsapi import _types as shapes
from lamella.awsapi.context import Context
from lamella.awsapi.registry import operation
from lamella.control import wire
from lamella.control.resolution import check_revision, not_found, unqualified
from lamella.control.services import aliases_of, services_of
from lamella.domain._api_errors import (
    InvalidParameterValueException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from lamella.domain.alias import Alias, routed
from lamella.domain.quotas import LIST_PAGE
from lamella.ports.errors import ConflictError


@operation("CreateAlias")
async def create_alias(ctx: Context, req: shapes.CreateAliasRequest) -> shapes.AliasConfiguration:
    """A name for a version, or for two that share its invocations."""
    alias = Alias(
        key=unqualified(ctx, req["FunctionName"], "CreateAlias").key,
        name=req["Name"],
        version=req["FunctionVersion"],
        revision_id=str(uuid.uuid4()),
        description=req.get("Description", ""),
        route=routed(req["FunctionVersion"], _weights(req.get("RoutingConfig", {}))),
    )
    await _check_versions(ctx, alias)
    try:
        await aliases_of(ctx).create(alias)
    except ConflictError:
        await _check_versions(ctx, alias)  # one may have been deleted meanwhile
        raise ResourceConflictException(f"Alias already exists: {alias.arn}") from None
    services_of(ctx).observer.alias_changed(alias)
    return wire.alias_configuration(alias)


@operation("GetAlias")
async def get_alias(ctx: Context, req: shapes.GetAliasRequest) -> shapes.AliasConfiguration:
    """One alias."""
    key = unqualified(ctx, req["FunctionName"], "GetAlias").key
    alias = await aliases_of(ctx).get(key, req["Name"])
    if alias is None:
        raise ResourceNotFoundException(f"Cannot find alias arn: {key.arn(req['Name'])}")
    return wire.alias_configuration(alias)


@operation("ListAliases")
async def list_aliases(ctx: Context, req: shapes.ListAliasesRequest) -> shapes.ListAliasesResponse:
    """Aliases of a function by name, at most 50 in one answer; of a version, those that invoke it."""
    key = unqualified(ctx, req["FunctionName"], "ListAliases").key
    try:
        page = await aliases_of(ctx).list_aliases(
            key,
            limit=min(req.get("MaxItems", LIST_PAGE.limit), LIST_PAGE.limit),
            marker=req.get("Marker"),
            version=req.get("FunctionVersion"),
        )
    except ValueError:
        raise InvalidParameterValueException("Invalid Marker.") from None
    if not page.items and await services_of(ctx).functions.get(key) is None:
        raise not_found(key.arn())
    return {"Aliases": [wire.alias_configuration(alias) for alias in page.items], "NextMarker": page.next_marker}


@operation("UpdateAlias")
async def update_alias(ctx: Context, req: shapes.UpdateAliasRequest) -> shapes.AliasConfiguration:
    """Another version, description or routing for an alias. What is not named stays; the revision is another always."""
    key = unqualified(ctx, req["FunctionName"], "UpdateAlias").key
    while True:
        alias = await aliases_of(ctx).get(key, req["Name"])
        if alias is None:
            # Source: localstack/localstack pull request 11878, 2024.
            raise ResourceNotFoundException(f"Alias not found: {key.arn(req['Name'])}")
        check_revision(alias, req.get("RevisionId"))
        changed = _changed(alias, req)
        await _check_versions(ctx, changed)
        try:
            await aliases_of(ctx).replace(changed, expected_revision_id=alias.revision_id)
        except ConflictError:
            continue  # somebody else was quicker: what is not named here stays as he left it
        services_of(ctx).observer.alias_changed(changed)
        return wire.alias_configuration(changed)


@operation("DeleteAlias")
async def delete_alias(ctx: Context, req: shapes.DeleteAliasRequest) -> dict[str, object]:
    """Delete an alias; that there is none is no error.

    Source: localstack/localstack pull request 11878, 2024.
    """
    key = unqualified(ctx, req["FunctionName"], "DeleteAlias").key
    if await aliases_of(ctx).delete(key, req["Name"]):
        services_of(ctx).observer.alias_deleted(key, req["Name"])
    elif await services_of(ctx).functions.get(key) is None:
        raise not_found(key.arn())
    return {}


def _changed(alias: Alias, req: shapes.UpdateAliasRequest) -> Alias:
    if "RoutingConfig" in req:
        weights = _weights(req["RoutingConfig"])
    else:
        weights = {} if alias.route is None else {alias.route.version: alias.route.weight}
    version = req.get("FunctionVersion", alias.version)
    return replace(
        alias,
        version=version,
        revision_id=str(uuid.uuid4()),
        description=req.get("Description", alias.description),
        route=routed(version, weights),
    )


def _weights(config: shapes.AliasRoutingConfiguration) -> Mapping[str, float]:
    return config.get("AdditionalVersionWeights", {})


async def _check_versions(ctx: Context, alias: Alias) -> None:
    """Refuse an alias of what is not there.

    Raises:
        ResourceNotFoundException: Names the version; also if there is no such function.
    """
    for version in [alias.version] if alias.route is None else [alias.version, alias.route.version]:
        if await services_of(ctx).functions.get(alias.key, version) is None:
            raise not_found(alias.key.arn(version))
