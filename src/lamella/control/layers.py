"""Layers and their versions.

Source of the texts: answers of AWS recorded in LocalStack's tests, 2023 and 2024.
"""

from lamella.awsapi import _types as shapes
from lamella.awsapi.context import Context
from lamella.awsapi.registry import operation
from lamella.control import wire
from lamella.control.access import check_layer_version
from lamella.control.code import uploaded
from lamella.control.services import services_of
from lamella.control.sharing import forget_policy
from lamella.domain._api_errors import InvalidParameterValueException, ResourceNotFoundException
from lamella.domain.layer import LayerKey, LayerVersion
from lamella.domain.names import foreign_account, parse_layer, parse_layer_version
from lamella.domain.quotas import LIST_PAGE
from lamella.ports.gate import LayerRefusedError


@operation("PublishLayerVersion")
async def publish_layer_version(
    ctx: Context, req: shapes.PublishLayerVersionRequest
) -> shapes.PublishLayerVersionResponse:
    """A new version of a layer, which comes into being with its first. Whether it is sound is for the gate to say."""
    services = services_of(ctx)
    key = _own_layer(ctx, req["LayerName"], "PublishLayerVersion")
    if key.region != ctx.region:
        raise _missing()
    runtimes, architectures = tuple(req.get("CompatibleRuntimes", ())), tuple(req.get("CompatibleArchitectures", ()))
    async with uploaded(ctx, req["Content"]) as artifact:
        try:
            await services.gate.admit(key, artifact, runtimes=runtimes, architectures=architectures)
        except LayerRefusedError as error:
            raise InvalidParameterValueException(str(error)) from error
        version = await services.layers.publish(
            LayerVersion(
                key=key,
                version=0,
                artifact=artifact,
                created_at=services.clock.now(),
                description=req.get("Description", ""),
                runtimes=runtimes,
                architectures=architectures,
                license_info=req.get("LicenseInfo", ""),
            )
        )
    services.gate.published(version)
    shown = _shown(ctx, version)
    return shapes.PublishLayerVersionResponse(**shown)


@operation("GetLayerVersion")
async def get_layer_version(ctx: Context, req: shapes.GetLayerVersionRequest) -> shapes.GetLayerVersionResponse:
    """A version and where its archive can be downloaded."""
    _check_number(req["VersionNumber"])
    key = parse_layer(req["LayerName"], account=ctx.account, region=ctx.region)
    return await _get(ctx, key, req["VersionNumber"])


@operation("GetLayerVersionByArn")
async def get_layer_version_by_arn(
    ctx: Context, req: shapes.GetLayerVersionByArnRequest
) -> shapes.GetLayerVersionResponse:
    """The same, by the ARN that a function's configuration shows."""
    if ":awslayer:" in req["Arn"]:
        raise _missing()  # AWS's own, which only AWS has
    key, number = parse_layer_version(req["Arn"])
    return await _get(ctx, key, number)


@operation("ListLayerVersions")
async def list_layer_versions(ctx: Context, req: shapes.ListLayerVersionsRequest) -> shapes.ListLayerVersionsResponse:
    """Versions of a layer, newest first; none if there is no such layer."""
    key = _own_layer(ctx, req["LayerName"], "ListLayerVersions")
    if key.region != ctx.region:
        return {"LayerVersions": []}  # each region has its own layers
    try:
        page = await services_of(ctx).layers.list_versions(
            key,
            limit=req.get("MaxItems", LIST_PAGE.limit),
            marker=req.get("Marker"),
            runtime=req.get("CompatibleRuntime"),
            architecture=req.get("CompatibleArchitecture"),
        )
    except ValueError:
        raise InvalidParameterValueException("Invalid Marker.") from None
    return {
        "LayerVersions": [wire.listed_layer_version(version) for version in page.items],
        "NextMarker": page.next_marker,
    }


@operation("ListLayers")
async def list_layers(ctx: Context, req: shapes.ListLayersRequest) -> shapes.ListLayersResponse:
    """Layers by name, each with its newest version that matches."""
    try:
        page = await services_of(ctx).layers.list_layers(
            ctx.account,
            ctx.region,
            limit=req.get("MaxItems", LIST_PAGE.limit),
            marker=req.get("Marker"),
            runtime=req.get("CompatibleRuntime"),
            architecture=req.get("CompatibleArchitecture"),
        )
    except ValueError:
        raise InvalidParameterValueException("Invalid Marker.") from None
    return {
        "Layers": [
            {
                "LayerName": version.key.name,
                "LayerArn": version.key.arn(),
                "LatestMatchingVersion": wire.listed_layer_version(version),
            }
            for version in page.items
        ],
        "NextMarker": page.next_marker,
    }


@operation("DeleteLayerVersion")
async def delete_layer_version(ctx: Context, req: shapes.DeleteLayerVersionRequest) -> dict[str, object]:
    """Nobody can attach the version from now on; functions that have it keep it. No error if it is not there."""
    _check_number(req["VersionNumber"])
    key = _own_layer(ctx, req["LayerName"], "DeleteLayerVersion", req["VersionNumber"])
    if key.region == ctx.region and await services_of(ctx).layers.delete(key, req["VersionNumber"]):
        await forget_policy(ctx, key, req["VersionNumber"])
    return {}


async def _get(ctx: Context, key: LayerKey, number: int) -> shapes.GetLayerVersionResponse:
    await check_layer_version(ctx, key, number)
    version = await services_of(ctx).layers.get(key, number)
    if version is None or key.region != ctx.region:
        raise _missing()
    return _shown(ctx, version)


def _shown(ctx: Context, version: LayerVersion) -> shapes.GetLayerVersionResponse:
    services = services_of(ctx)
    filename = f"{version.key.name}-{version.version}.zip"
    now = services.clock.now()
    return wire.layer_version(version, services.locations.url(ctx.base_url, version.artifact.digest, filename, now=now))


def _missing() -> ResourceNotFoundException:
    return ResourceNotFoundException("The resource you requested does not exist.")


def _check_number(number: int) -> None:
    if number < 1:
        raise InvalidParameterValueException("Layer Version Cannot be less than 1")


def _own_layer(ctx: Context, text: str, action: str, number: int | None = None) -> LayerKey:
    """A layer of the caller's own: these operations on another account's are granted by no policy."""
    key = parse_layer(text, account=ctx.account, region=ctx.region)
    if key.account != ctx.account:
        raise foreign_account(ctx.account, action, key.arn(number))
    return key
