"""Function URLs: one for `$LATEST`, and one for each alias.

Source of texts, statuses and of which members are there: answers of AWS recorded in LocalStack's tests, November 2023
and 2025. `InvokeMode` is in the answers of Create and Update only once somebody has chosen one.
"""

import asyncio
import os
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, cast

from lamella.awsapi import _types as shapes
from lamella.awsapi.context import Context
from lamella.awsapi.registry import operation
from lamella.control.services import services_of
from lamella.domain._api_errors import ResourceConflictException, ResourceNotFoundException
from lamella.domain.names import FunctionReference
from lamella.domain.quotas import LIST_PAGE
from lamella.domain.tenancy import check_fits
from lamella.domain.url import (
    ID_BYTES,
    URLS,
    AuthType,
    FunctionUrl,
    InvokeMode,
    UrlName,
    from_document,
    new_url_id,
    place_of,
    read_cors,
    show_cors,
    to_document,
    urls_of,
)
from lamella.ports.errors import ConflictError
from lamella.ports.records import Document, FunctionRecordStore, Records
from lamella.ports.stores import AliasStore
from lamella.ports.urls import UrlObserver


@dataclass(frozen=True, slots=True)
class UrlServices:
    """The group of `awsapi.context.Services` that these handlers need besides.

    Attributes:
        domain: What URLs are below.
        port: Of the listener that serves them.
        lock: Held over a change and telling of it: whoever is told hears of changes in their order.
    """

    observer: UrlObserver
    aliases: AliasStore
    domain: str
    port: int
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


@operation("CreateFunctionUrlConfig")
async def create_function_url_config(
    ctx: Context, req: shapes.CreateFunctionUrlConfigRequest
) -> shapes.CreateFunctionUrlConfigResponse:
    """Give a function, or an alias, a URL."""
    reference = _reference(ctx, req["FunctionName"], req.get("Qualifier"), "CreateFunctionUrlConfig")
    key, alias = reference.key, reference.qualifier
    if not await _exists(ctx, reference):
        raise _no_function()
    latest = await services_of(ctx).functions.get(key)
    if latest is not None:
        check_fits(latest.config, "A function URL")
    now = services_of(ctx).clock.now()
    cors, mode = req.get("Cors"), req.get("InvokeMode")
    url = FunctionUrl(
        id=new_url_id(os.urandom(ID_BYTES)),
        key=key,
        alias=alias,
        auth_type=AuthType(req["AuthType"]),
        cors=None if cors is None else read_cors(cors),
        invoke_mode=None if mode is None else InvokeMode(mode),
        created_at=now,
        modified_at=now,
    )

    def add(stored: Document | None) -> Document:
        urls = dict(stored or {})
        if place_of(alias) in urls:
            raise ResourceConflictException(
                f"Failed to create function url config for [functionArn = {url.arn}]. "
                "Error message:  FunctionUrlConfig exists for this Lambda function"
            )
        return urls | {place_of(alias): to_document(url)}

    urls = ctx.services[UrlServices]
    async with urls.lock:
        try:
            await _store(ctx).change(key, URLS, add)
        except ConflictError:
            raise _no_function() from None
        await _tell(ctx, url)
    shown = _show(ctx, url)
    del shown["LastModifiedTime"]
    return cast("shapes.CreateFunctionUrlConfigResponse", shown)


@operation("GetFunctionUrlConfig")
async def get_function_url_config(
    ctx: Context, req: shapes.GetFunctionUrlConfigRequest
) -> shapes.GetFunctionUrlConfigResponse:
    """The URL of a function, or of an alias."""
    reference = _reference(ctx, req["FunctionName"], req.get("Qualifier"), "GetFunctionUrlConfig")
    url = _find(await _store(ctx).get(reference.key, URLS), reference)
    return cast("shapes.GetFunctionUrlConfigResponse", _show(ctx, url, whole=True))


@operation("UpdateFunctionUrlConfig")
async def update_function_url_config(
    ctx: Context, req: shapes.UpdateFunctionUrlConfigRequest
) -> shapes.UpdateFunctionUrlConfigResponse:
    """Change what is given, and nothing else; CORS settings as a whole."""
    reference = _reference(ctx, req["FunctionName"], req.get("Qualifier"), "UpdateFunctionUrlConfig")
    changes: dict[str, Any] = {"modified_at": services_of(ctx).clock.now()}  # Any: of several members
    if "AuthType" in req:
        changes["auth_type"] = AuthType(req["AuthType"])
    if "Cors" in req:
        changes["cors"] = read_cors(req["Cors"])
    if "InvokeMode" in req:
        changes["invoke_mode"] = InvokeMode(req["InvokeMode"])

    def change(stored: Document | None) -> Document:
        changed = replace(_find(stored, reference), **changes)
        return {**(stored or {}), place_of(changed.alias): to_document(changed)}

    urls = ctx.services[UrlServices]
    async with urls.lock:
        try:
            document = await _store(ctx).change(reference.key, URLS, change)
        except ConflictError:
            raise _no_url() from None
        url = _find(document, reference)
        await _tell(ctx, url)
    return cast("shapes.UpdateFunctionUrlConfigResponse", _show(ctx, url))


@operation("DeleteFunctionUrlConfig")
async def delete_function_url_config(ctx: Context, req: shapes.DeleteFunctionUrlConfigRequest) -> dict[str, object]:
    """Take a URL away for good: another one will have another address."""
    reference = _reference(ctx, req["FunctionName"], req.get("Qualifier"), "DeleteFunctionUrlConfig")
    deleted: list[FunctionUrl] = []

    def remove(stored: Document | None) -> Document | None:
        deleted[:] = [_find(stored, reference)]
        rest = {place: url for place, url in (stored or {}).items() if place != place_of(reference.qualifier)}
        return rest or None

    urls = ctx.services[UrlServices]
    async with urls.lock:
        await _store(ctx).change(reference.key, URLS, remove)
        urls.observer.url_deleted(deleted[0])
    return {}


@operation("ListFunctionUrlConfigs")
async def list_function_url_configs(
    ctx: Context, req: shapes.ListFunctionUrlConfigsRequest
) -> shapes.ListFunctionUrlConfigsResponse:
    """The URLs of a function and of its aliases."""
    reference = _reference(ctx, req["FunctionName"], None, "ListFunctionUrlConfigs")
    if await services_of(ctx).functions.get(reference.key) is None:
        raise _no_function()
    document = await _store(ctx).get(reference.key, URLS)
    marker, limit = req.get("Marker", ""), req.get("MaxItems", LIST_PAGE.limit)
    # The marker is the alias that the page before ended with: there is nothing in it to get wrong.
    rest = [url for url in urls_of(reference.key, document or {}) if not marker or place_of(url.alias) > marker]
    page = [cast("shapes.FunctionUrlConfig", _show(ctx, url, whole=True)) for url in rest[:limit]]
    answer: shapes.ListFunctionUrlConfigsResponse = {"FunctionUrlConfigs": page}
    if len(rest) > limit:
        answer["NextMarker"] = place_of(rest[limit - 1].alias)
    return answer


def _reference(ctx: Context, name: str, qualifier: str | None, action: str) -> FunctionReference:
    """A function, or its alias: the patterns of the model leave no room for versions and `$LATEST`."""
    return FunctionReference.parse(name, account=ctx.account, region=ctx.region, qualifier=qualifier, action=action)


async def _exists(ctx: Context, reference: FunctionReference) -> bool:
    key, alias = reference.key, reference.qualifier
    if alias is not None and await ctx.services[UrlServices].aliases.get(key, alias) is None:
        return False
    return await services_of(ctx).functions.get(key) is not None


def _find(document: Document | None, reference: FunctionReference) -> FunctionUrl:
    """The URL that a reference means.

    Raises:
        ResourceNotFoundException: There is none.
    """
    key, alias = reference.key, reference.qualifier
    stored = (document or {}).get(place_of(alias))
    if stored is None:
        raise _no_url()
    return from_document(key, alias, stored)


async def _tell(ctx: Context, url: FunctionUrl) -> None:
    """Make a change known. If the function was deleted meanwhile, that may have been told of before this."""
    observer = ctx.services[UrlServices].observer
    observer.url_changed(url)
    document = await _store(ctx).get(url.key, URLS)
    if (document or {}).get(place_of(url.alias), {}).get("Id") != url.id:
        observer.url_deleted(url)


def _show(ctx: Context, url: FunctionUrl, *, whole: bool = False) -> dict[str, Any]:  # Any: members of a structure
    services = ctx.services[UrlServices]
    host = UrlName(url.id, url.key.region).host(services.domain)
    shown: dict[str, Any] = {
        "FunctionUrl": f"http://{host}:{services.port}/",
        "FunctionArn": url.arn,
        "AuthType": url.auth_type.value,
        "CreationTime": _moment(url.created_at),
        "LastModifiedTime": _moment(url.modified_at),
    }
    if url.cors is not None:
        shown["Cors"] = show_cors(url.cors)
    mode = url.invoke_mode or (InvokeMode.BUFFERED if whole else None)
    if mode is not None:
        shown["InvokeMode"] = mode.value
    return shown


def _store(ctx: Context) -> FunctionRecordStore:
    return ctx.services[Records].functions


def _moment(moment: datetime) -> str:
    """`2024-10-01T12:27:05.457348Z`, other than functions show it. Source: an answer of AWS in a public guide, 2024."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def _no_function() -> ResourceNotFoundException:
    return ResourceNotFoundException("Function does not exist")


def _no_url() -> ResourceNotFoundException:
    return ResourceNotFoundException("The resource you requested does not exist.")
