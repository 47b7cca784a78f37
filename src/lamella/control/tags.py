"""Tags of functions, code signing configurations and event source mappings.

Source of the texts: answers of AWS recorded in LocalStack's tests, 2023 to 2025.
"""

import re
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from lamella.awsapi import _types as shapes
from lamella.awsapi.context import Context
from lamella.awsapi.registry import operation
from lamella.control.access import named
from lamella.control.resolution import not_found
from lamella.control.services import services_of
from lamella.domain._api_errors import InvalidParameterValueException, ResourceNotFoundException
from lamella.domain.function import FunctionKey
from lamella.domain.names import foreign_account
from lamella.domain.quotas import TAGS
from lamella.ports.errors import ConflictError
from lamella.ports.records import Document, Records

TAGS_MEMBER: Final = "Tags"
"""Member of the documents of code signing configurations and event source mappings that holds their tags."""

_RECORD: Final = re.compile(
    r"arn:aws:lambda:(?P<region>[^:]+):(?P<account>\d{12}):"
    r"(?P<kind>code-signing-config|event-source-mapping):(?P<id>[^:]+)"
)


@dataclass(frozen=True, slots=True)
class _Record:
    """A resource that is a document of the account; its kind is also the word in its ARN."""

    kind: str
    id: str


_Change: TypeAlias = Callable[[Mapping[str, str]], Mapping[str, str]]


@operation("TagResource")
async def tag_resource(ctx: Context, req: shapes.TagResourceRequest) -> dict[str, object]:
    """Add tags, or give those that are there another value."""
    if not req["Tags"]:
        raise InvalidParameterValueException("An error occurred and the request cannot be processed.")
    resource = await _parse(ctx, req["Resource"], "TagResource")
    if isinstance(resource, FunctionKey):
        check_network_tag(ctx, req["Tags"])
    await _change(ctx, resource, lambda tags: {**tags, **req["Tags"]})
    return {}


@operation("UntagResource")
async def untag_resource(ctx: Context, req: shapes.UntagResourceRequest) -> dict[str, object]:
    """Take tags away; those that are not there are no error."""
    resource = await _parse(ctx, req["Resource"], "UntagResource")
    await _change(
        ctx, resource, lambda tags: {name: value for name, value in tags.items() if name not in req["TagKeys"]}
    )
    return {}


@operation("ListTags")
async def list_tags(ctx: Context, req: shapes.ListTagsRequest) -> shapes.ListTagsResponse:
    """All tags of a resource."""
    resource = await _parse(ctx, req["Resource"], "ListTags")
    if isinstance(resource, FunctionKey):
        return {"Tags": dict(await _of_function(ctx, resource))}
    records = ctx.services[Records].accounts
    return {"Tags": dict(_of_document(await records.get(ctx.account, ctx.region, resource.kind, resource.id)))}


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


async def _parse(ctx: Context, arn: str, action: str) -> FunctionKey | _Record:
    """What an ARN names; whether it is there is not looked at.

    Raises:
        ResourceNotFoundException: Nothing that has tags here, or something of another region.
        InvalidParameterValueException: A version or an alias.
        AccessDeniedException: It belongs to another account.
    """
    record = _RECORD.fullmatch(arn)
    if record is not None:
        if record["account"] != ctx.account:
            raise foreign_account(ctx.account, action, arn)
        if record["region"] != ctx.region:
            raise _missing()
        return _Record(record["kind"], record["id"].lower())
    if ":function:" not in arn:
        raise _missing()  # capacity providers and network connectors: there are none
    reference = await named(ctx, arn, action=action)
    if reference.qualifier is not None:
        raise InvalidParameterValueException(
            "Tags on function aliases and versions are not supported. Please specify a function ARN."
        )
    return reference.key


def _missing() -> ResourceNotFoundException:
    return ResourceNotFoundException("The resource you requested does not exist.")


async def _of_function(ctx: Context, key: FunctionKey) -> Mapping[str, str]:
    tags = await services_of(ctx).functions.tags(key)
    if tags is None:
        raise not_found(key.arn())
    return tags


def _of_document(document: Document | None) -> Mapping[str, str]:
    if document is None:
        raise _missing()
    tags: Mapping[str, str] = document.get(TAGS_MEMBER, {})
    return tags


async def _change(ctx: Context, resource: FunctionKey | _Record, change: _Change) -> None:
    if isinstance(resource, FunctionKey):
        await _set(ctx, resource, change(await _of_function(ctx, resource)))
        return

    def changed(document: Document | None) -> Document:
        tags = change(_of_document(document))
        check_tag_count(tags)
        return {**(document or {}), TAGS_MEMBER: dict(tags)}

    records = ctx.services[Records].accounts
    await records.change(ctx.account, ctx.region, resource.kind, resource.id, changed)


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
