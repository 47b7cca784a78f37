"""Tags of functions, the only resources here that have any.

Source of the texts: answers of AWS recorded in LocalStack's tests, 2023 to 2025.
"""

import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from lamella.awsapi import _types as shapes
from lamella.awsapi.context import Context
from lamella.awsapi.registry import operation
from lamella.control.access import named
from lamella.control.resolution import not_found
from lamella.control.services import services_of
from lamella.domain._api_errors import InvalidParameterValueException, ResourceNotFoundException
from lamella.domain.function import FunctionKey
from lamella.domain.quotas import TAGS
from lamella.ports.errors import ConflictError


@operation("TagResource")
async def tag_resource(ctx: Context, req: shapes.TagResourceRequest) -> dict[str, object]:
    """Add tags, or give those that are there another value."""
    key, tags = await _tagged(ctx, req["Resource"], "TagResource")
    if not req["Tags"]:
        raise InvalidParameterValueException("An error occurred and the request cannot be processed.")
    check_network_tag(ctx, req["Tags"])
    await _set(ctx, key, {**tags, **req["Tags"]})
    return {}


@operation("UntagResource")
async def untag_resource(ctx: Context, req: shapes.UntagResourceRequest) -> dict[str, object]:
    """Take tags away; those that are not there are no error."""
    key, tags = await _tagged(ctx, req["Resource"], "UntagResource")
    await _set(ctx, key, {name: value for name, value in tags.items() if name not in req["TagKeys"]})
    return {}


@operation("ListTags")
async def list_tags(ctx: Context, req: shapes.ListTagsRequest) -> shapes.ListTagsResponse:
    """All tags of a function."""
    _, tags = await _tagged(ctx, req["Resource"], "ListTags")
    return {"Tags": dict(tags)}


def check_tag_count(tags: Mapping[str, str]) -> None:
    """Refuse more tags than a resource may have.

    Raises:
        InvalidParameterValueException: There are more.
    """
    if len(tags) > TAGS.limit:
        raise InvalidParameterValueException("Number of tags exceeds resource tag limit.")


def check_network_tag(ctx: Context, tags: Mapping[str, str]) -> None:
    """Refuse a tag that asks for a network which this node does not give.

    Raises:
        InvalidParameterValueException: It does. AWS has no such tag; the words are ours.
    """
    if (refusal := services_of(ctx).settings.networks.refusal(tags)) is not None:
        raise InvalidParameterValueException(refusal)


async def _tagged(ctx: Context, arn: str, action: str) -> tuple[FunctionKey, Mapping[str, str]]:
    if ":function:" not in arn:
        # Event source mappings, code signing configurations and capacity providers: there are none.
        raise ResourceNotFoundException("The resource you requested does not exist.")
    reference = await named(ctx, arn, action=action)
    if reference.qualifier is not None:
        raise InvalidParameterValueException(
            "Tags on function aliases and versions are not supported. Please specify a function ARN."
        )
    tags = await services_of(ctx).functions.tags(reference.key)
    if tags is None:
        raise not_found(reference.key.arn())
    return reference.key, tags


async def _set(ctx: Context, key: FunctionKey, tags: Mapping[str, str]) -> None:
    """Store tags, which gives `$LATEST` another revision."""
    check_tag_count(tags)
    services = services_of(ctx)
    functions = services.functions
    try:
        await functions.set_tags(key, tags)
    except ConflictError:
        raise not_found(key.arn()) from None
    services.observer.function_tagged(key, tags)
    latest = await functions.get(key)
    if latest is not None:
        with suppress(ConflictError):  # it was changed meanwhile, and has another revision already
            await functions.replace(
                replace(latest, revision_id=str(uuid.uuid4())), expected_revision_id=latest.revision_id
            )
