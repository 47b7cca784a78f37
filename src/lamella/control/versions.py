"""Published versions of functions."""

from lamella.awsapi import _types as shapes
from lamella.awsapi.context import Context
from lamella.awsapi.registry import operation
from lamella.control import wire
from lamella.control.access import named
from lamella.control.configuration import check_supported
from lamella.control.managed_configuration import with_current_version
from lamella.control.publishing import publish
from lamella.control.resolution import check_revision, check_settled, existing_latest, not_found
from lamella.control.services import services_of
from lamella.domain._api_errors import InvalidParameterValueException
from lamella.domain.quotas import LIST_PAGE


@operation("PublishVersion")
async def publish_version(ctx: Context, req: shapes.PublishVersionRequest) -> shapes.FunctionConfiguration:
    """A version of what `$LATEST` is now."""
    check_supported(req)
    services = services_of(ctx)
    async with services.garbage.referencing():
        latest = await existing_latest(ctx, req["FunctionName"], "PublishVersion")
        check_revision(latest, req.get("RevisionId"))
        _check_code(latest.artifact.code_sha256, req.get("CodeSha256"))
        check_settled(latest)
        published = await publish(ctx, latest, req.get("Description"))
    shown = await with_current_version(ctx, published)
    return wire.function_configuration(shown, qualifier=published.version)


@operation("ListVersionsByFunction")
async def list_versions_by_function(
    ctx: Context, req: shapes.ListVersionsByFunctionRequest
) -> shapes.ListVersionsByFunctionResponse:
    """`$LATEST`, then the published versions in ascending order; at most 50 in one answer."""
    reference = await named(ctx, req["FunctionName"], action="ListVersionsByFunction")
    try:
        page = await services_of(ctx).functions.list_versions(
            reference.key, limit=min(req.get("MaxItems", LIST_PAGE.limit), LIST_PAGE.limit), marker=req.get("Marker")
        )
    except ValueError:
        raise InvalidParameterValueException("Invalid Marker.") from None
    if not page.items and "Marker" not in req:
        raise not_found(reference.key.arn())
    return {
        "Versions": [wire.listed_function(version, qualified=True) for version in page.items],
        "NextMarker": page.next_marker,
    }


def _check_code(current: str, expected: str | None) -> None:
    """Refuse to publish other code than the caller believes to publish. Source: recorded answer of AWS, 2023."""
    if expected and expected != current:
        raise InvalidParameterValueException(
            f"CodeSHA256 ({expected}) is different from current CodeSHA256 in $LATEST ({current}). "
            "Please try again with the CodeSHA256 in $LATEST."
        )
