"""Functions: create, show, change, delete, list."""

import uuid
from dataclasses import replace

from lamella.awsapi import _types as shapes
from lamella.awsapi.context import Context
from lamella.awsapi.registry import operation
from lamella.control import wire
from lamella.control.access import named
from lamella.control.configuration import (
    SOURCE_KEY,
    architecture_of,
    check_size,
    check_supported,
    configured,
    runnable,
    with_source_key,
)
from lamella.control.following import intend, record, with_channels
from lamella.control.images import check_members, check_update, deployed, location
from lamella.control.managed_configuration import with_current_version
from lamella.control.publishing import publish
from lamella.control.resolution import (
    check_revision,
    check_settled,
    existing_latest,
    existing_version,
    not_found,
    unqualified,
)
from lamella.control.runtime_management import as_it_runs
from lamella.control.services import aliases_of, services_of
from lamella.control.signing import attach, check_deployment, check_signable
from lamella.control.tags import check_network_tag, check_tag_count
from lamella.control.updating import store_update
from lamella.domain._api_errors import InvalidParameterValueException, ResourceConflictException
from lamella.domain.function import LATEST, Architecture, FunctionConfig, FunctionKey, FunctionVersion
from lamella.domain.image import IMAGE, ZIP
from lamella.domain.image_code import updated_image
from lamella.domain.quotas import FUNCTION_NAME, LIST_FUNCTIONS_PAGE, LIST_PAGE
from lamella.domain.tenancy import TENANCY
from lamella.lifecycle.function import created
from lamella.ports.errors import ConflictError


@operation("CreateFunction")
async def create_function(ctx: Context, req: shapes.CreateFunctionRequest) -> shapes.FunctionConfiguration:
    """A new function, with a first published version if that is asked for."""
    services = services_of(ctx)
    _check_name(req["FunctionName"])
    key = unqualified(ctx, req["FunctionName"], "CreateFunction").key
    check_tag_count(req.get("Tags", {}))
    check_network_tag(ctx, req.get("Tags", {}))
    package_type = req.get("PackageType", ZIP)
    check_members(req, package_type)
    blank = FunctionConfig(
        role=req["Role"],
        runtime=None,
        handler=None,
        architecture=architecture_of(req.get("Architectures"), Architecture.X86_64),
        package_type=package_type,
        other={TENANCY: dict(req["TenancyConfig"])} if "TenancyConfig" in req else {},
    )
    async with services.garbage.referencing():
        config = await runnable(
            ctx, await configured(ctx, key, with_source_key(blank, req["Code"]), req), creating=True
        )
        exists = ResourceConflictException(f"Function already exist: {key.name}")
        if await services.functions.get(key) is not None:
            raise exists
        signing = req.get("CodeSigningConfigArn")
        if signing:
            check_signable(package_type)
            await check_deployment(ctx, key, signing)
        async with deployed(ctx, config, req["Code"]) as (artifact, config):
            latest = created(
                FunctionVersion(
                    key=key,
                    version=LATEST,
                    artifact=artifact,
                    config=config,
                    revision_id=str(uuid.uuid4()),
                    modified_at=services.clock.now(),
                )
            )
            try:
                await services.functions.create(latest, req.get("Tags", {}))
            except ConflictError:
                raise exists from None
            if signing:
                await attach(ctx, key, signing)
            services.observer.function_tagged(key, req.get("Tags", {}))
            shown = await publish(ctx, latest) if req.get("Publish") else latest
    services.transitions.begin(latest)
    return wire.new_function(shown)


@operation("GetFunction")
async def get_function(ctx: Context, req: shapes.GetFunctionRequest) -> shapes.GetFunctionResponse:
    """Configuration, tags, reserved concurrency, and where the code can be downloaded."""
    services = services_of(ctx)
    reference, version = await existing_version(ctx, req["FunctionName"], req.get("Qualifier"), "GetFunction")
    version = await with_current_version(ctx, version)
    code = location(version) if version.config.package_type == IMAGE else _download(ctx, version)
    if SOURCE_KEY in version.config.other:
        code["SourceKMSKeyArn"] = version.config.other[SOURCE_KEY]
    shown = shapes.GetFunctionResponse(
        Configuration=wire.function_configuration(as_it_runs(ctx, version), qualifier=reference.qualifier), Code=code
    )
    tags = await services.functions.tags(version.key)
    if tags:
        shown["Tags"] = dict(tags)
    reserved = await services.functions.reservation(version.key)
    # Under a qualifier AWS leaves it out. Source: terraform-provider-aws, `resourceFunctionRead`, 2026.
    if reserved is not None and reference.qualifier is None:
        shown["Concurrency"] = {"ReservedConcurrentExecutions": reserved}
    return shown


@operation("GetFunctionConfiguration")
async def get_function_configuration(
    ctx: Context, req: shapes.GetFunctionConfigurationRequest
) -> shapes.FunctionConfiguration:
    """Configuration of `$LATEST` or a published version."""
    reference, version = await existing_version(
        ctx, req["FunctionName"], req.get("Qualifier"), "GetFunctionConfiguration"
    )
    version = as_it_runs(ctx, await with_current_version(ctx, version))
    return wire.function_configuration(version, qualifier=reference.qualifier)


@operation("UpdateFunctionCode")
async def update_function_code(ctx: Context, req: shapes.UpdateFunctionCodeRequest) -> shapes.FunctionConfiguration:
    """Other code, and another architecture if one is named, for `$LATEST`."""
    check_supported(req)
    services = services_of(ctx)
    latest = await existing_latest(ctx, req["FunctionName"], "UpdateFunctionCode")
    check_revision(latest, req.get("RevisionId"))
    check_settled(latest)
    check_update(req, latest.config.package_type)
    architecture = architecture_of(req.get("Architectures"), latest.config.architecture)
    config = await runnable(
        ctx, with_source_key(replace(latest.config, architecture=architecture), req), creating=False
    )
    await check_deployment(ctx, latest.key)
    async with deployed(ctx, config, req, account=latest.key.account) as (artifact, config):
        if latest.config.package_type == IMAGE:
            config = updated_image(latest, config)
        changed = replace(latest, artifact=artifact, config=config)
        if req.get("DryRun"):
            return wire.function_configuration(changed)
        followed = await with_channels(ctx, latest, config, artifact, names_layers=False)
        await intend(ctx, latest.key, followed)
        updating = await store_update(ctx, latest, replace(changed, config=followed.config))
        await record(ctx, latest.key, followed)
        shown = await publish(ctx, updating) if req.get("Publish") else updating
    services.transitions.begin(updating)
    return wire.function_configuration(shown, qualifier=shown.version if req.get("Publish") else None)


@operation("UpdateFunctionConfiguration")
async def update_function_configuration(
    ctx: Context, req: shapes.UpdateFunctionConfigurationRequest
) -> shapes.FunctionConfiguration:
    """Another configuration for `$LATEST`. What is not named stays, lists and maps that are named are replaced."""
    services = services_of(ctx)
    latest = await existing_latest(ctx, req["FunctionName"], "UpdateFunctionConfiguration")
    check_revision(latest, req.get("RevisionId"))
    check_settled(latest)
    check_members(req, latest.config.package_type)
    async with services.garbage.referencing():
        config = await runnable(ctx, await configured(ctx, latest.key, latest.config, req), creating=False)
        if req.get("Layers"):
            await check_deployment(ctx, latest.key)
        check_size(ctx, latest.artifact, config.layers)
        followed = await with_channels(ctx, latest, config, latest.artifact, names_layers="Layers" in req)
        await intend(ctx, latest.key, followed)
        updating = await store_update(ctx, latest, replace(latest, config=followed.config))
        await record(ctx, latest.key, followed)
    services.transitions.begin(updating)
    return wire.function_configuration(updating)


@operation("DeleteFunction")
async def delete_function(ctx: Context, req: shapes.DeleteFunctionRequest) -> shapes.DeleteFunctionResponse:
    """One published version that no alias refers to, or the whole function. A version that is not there is no error."""
    services = services_of(ctx)
    reference = await named(ctx, req["FunctionName"], action="DeleteFunction", qualifier=req.get("Qualifier"))
    qualifier = reference.qualifier
    if qualifier == LATEST:
        raise InvalidParameterValueException("$LATEST version cannot be deleted without deleting the function.")
    if qualifier is not None and reference.version is None:
        raise InvalidParameterValueException("Deletion of aliases is not currently supported.")
    if await services.functions.get(reference.key) is None:
        raise not_found(reference.key.arn())
    if await _delete(ctx, reference.key, qualifier):
        services.observer.function_deleted(reference.key, qualifier)
    return {"StatusCode": 204}


@operation("ListFunctions")
async def list_functions(ctx: Context, req: shapes.ListFunctionsRequest) -> shapes.ListFunctionsResponse:
    """Functions by name, at most 50 in one answer, whatever `MaxItems` says."""
    if req.get("MasterRegion", "ALL") not in {"ALL", ctx.region}:
        return {"Functions": []}  # replicas of functions of another region, which only Lambda@Edge makes
    every_version = req.get("FunctionVersion") == "ALL"
    try:
        page = await services_of(ctx).functions.list_functions(
            ctx.account,
            ctx.region,
            all_versions=every_version,
            limit=min(req.get("MaxItems", LIST_FUNCTIONS_PAGE.limit), LIST_FUNCTIONS_PAGE.limit),
            marker=req.get("Marker"),
        )
    except ValueError:
        raise InvalidParameterValueException("Invalid Marker.") from None
    return {
        "Functions": [wire.listed_function(version, qualified=every_version) for version in page.items],
        "NextMarker": page.next_marker,
    }


def _download(ctx: Context, version: FunctionVersion) -> shapes.FunctionCodeLocation:
    """Where the archive can be downloaded for a while."""
    services = services_of(ctx)
    filename = f"{version.key.name}-{version.version.removeprefix('$')}.zip"
    url = services.locations.url(ctx.base_url, version.artifact.digest, filename, now=services.clock.now())
    return {"RepositoryType": "S3", "Location": url}


async def _delete(ctx: Context, key: FunctionKey, version: str | None) -> bool:
    """Delete it; false if it is not there.

    Raises:
        ResourceConflictException: Aliases refer to the version. Source of the text: answers of AWS quoted in public
            issues, 2020 to 2022 (karl-cardenas-coding/go-lambda-cleanup issue 45).
    """
    while True:
        try:
            return await services_of(ctx).functions.delete(key, version)
        except ConflictError:
            aliases = await aliases_of(ctx).list_aliases(key, version=version, limit=LIST_PAGE.limit)
        if aliases.items:  # they may have gone meanwhile
            names = ", ".join(alias.name for alias in aliases.items)
            raise ResourceConflictException(
                f"Unable to delete version because the following aliases reference it: [{names}]"
            )


def _check_name(given: str) -> None:
    """A plain name has a limit of its own, with an error of its own.

    Source: answers of AWS recorded in LocalStack's tests, 2024.
    """
    if ":" not in given and len(given) > FUNCTION_NAME.limit:
        raise InvalidParameterValueException(
            f"1 validation error detected: Value '{given}' at 'functionName' failed to satisfy constraint: "
            f"Member must have length less than or equal to {FUNCTION_NAME.limit}"
        )
