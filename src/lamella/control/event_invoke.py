"""What is configured for the asynchronous invocations of a function, a version or an alias.

Source of the texts and of the order of checks: answers of AWS recorded in LocalStack's tests,
`test_lambda_eventinvokeconfig_exceptions`, 2023, and `test_lambda_destinations`, 2024.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from lamella.awsapi import _types as shapes
from lamella.awsapi.context import Context
from lamella.awsapi.registry import operation
from lamella.control.reachable import check_destination
from lamella.control.resolution import unqualified
from lamella.control.services import aliases_of, services_of
from lamella.domain._api_errors import InvalidParameterValueException, ResourceNotFoundException
from lamella.domain.errors import ApiError
from lamella.domain.function import LATEST, FunctionKey
from lamella.domain.names import FunctionReference
from lamella.domain.quotas import LIST_PAGE
from lamella.ports.errors import ConflictError
from lamella.ports.queue import EventConfigObserver
from lamella.ports.records import Document, FunctionRecord, Records

KIND: Final = "event-invoke-config"
"""Of the records; their members are those of the model, with `LastModified` in seconds since the epoch."""

_SETTINGS: Final = ("MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig")
_SERVICES: Final[Mapping[str, frozenset[str]]] = {
    "OnSuccess": frozenset({"sqs", "sns", "lambda", "events"}),
    "OnFailure": frozenset({"sqs", "sns", "lambda", "events", "s3"}),
}


@dataclass(frozen=True, slots=True)
class EventInvokeServices:
    """The group of services that these operations need beside records."""

    observer: EventConfigObserver


@operation("PutFunctionEventInvokeConfig")
async def put_function_event_invoke_config(
    ctx: Context, req: shapes.PutFunctionEventInvokeConfigRequest
) -> shapes.FunctionEventInvokeConfig:
    """Retries, maximum age and destinations, in place of all that was configured before."""
    given = _given(req)
    key, qualifier = await _existing(ctx, req, "PutFunctionEventInvokeConfig")
    await _check_destinations(ctx, key, given)
    return await _store(ctx, key, qualifier, given, keep=False)


@operation("UpdateFunctionEventInvokeConfig")
async def update_function_event_invoke_config(
    ctx: Context, req: shapes.UpdateFunctionEventInvokeConfigRequest
) -> shapes.FunctionEventInvokeConfig:
    """Some of the settings; what is not named stays."""
    given = _given(req)
    key, qualifier = await _existing(ctx, req, "UpdateFunctionEventInvokeConfig")
    if await ctx.services[Records].functions.get(key, KIND, qualifier) is None:
        raise _nothing_configured(key, qualifier)
    await _check_destinations(ctx, key, given)
    return await _store(ctx, key, qualifier, given, keep=True)


@operation("GetFunctionEventInvokeConfig")
async def get_function_event_invoke_config(
    ctx: Context, req: shapes.GetFunctionEventInvokeConfigRequest
) -> shapes.FunctionEventInvokeConfig:
    """What is configured for `$LATEST`, a version or an alias."""
    key, qualifier = _place(ctx, req, "GetFunctionEventInvokeConfig")
    document = await ctx.services[Records].functions.get(key, KIND, qualifier)
    if document is None:
        raise _nothing_configured(key, qualifier)
    return _shown(key, qualifier, document)


@operation("DeleteFunctionEventInvokeConfig")
async def delete_function_event_invoke_config(
    ctx: Context, req: shapes.DeleteFunctionEventInvokeConfigRequest
) -> dict[str, object]:
    """AWS's defaults are in force again: two retries, six hours, no destinations."""
    key, qualifier = _place(ctx, req, "DeleteFunctionEventInvokeConfig")
    if not await ctx.services[Records].functions.delete(key, KIND, qualifier):
        raise _nothing_configured(key, qualifier)
    ctx.services[EventInvokeServices].observer.event_config_changed(key, qualifier, None)
    return {}


@operation("ListFunctionEventInvokeConfigs")
async def list_function_event_invoke_configs(
    ctx: Context, req: shapes.ListFunctionEventInvokeConfigsRequest
) -> shapes.ListFunctionEventInvokeConfigsResponse:
    """What is configured for a function, its versions and aliases, by qualifier."""
    key = unqualified(ctx, req["FunctionName"], "ListFunctionEventInvokeConfigs").key
    if await services_of(ctx).functions.get(key) is None:
        raise _no_function()
    try:
        page = await ctx.services[Records].functions.list_function(
            key, KIND, limit=req.get("MaxItems", LIST_PAGE.limit), marker=req.get("Marker")
        )
    except ValueError:
        raise InvalidParameterValueException("Invalid Marker.") from None
    return {
        "FunctionEventInvokeConfigs": [_shown(key, record.qualifier, record.document) for record in page.items],
        "NextMarker": page.next_marker,
    }


def configurations(records: Sequence[FunctionRecord]) -> dict[tuple[FunctionKey, str], Document]:
    """All that is configured, by function and qualifier: what the data plane begins with."""
    return {(record.key, record.qualifier): record.document for record in records}


_Request = (
    shapes.PutFunctionEventInvokeConfigRequest
    | shapes.UpdateFunctionEventInvokeConfigRequest
    | shapes.GetFunctionEventInvokeConfigRequest
    | shapes.DeleteFunctionEventInvokeConfigRequest
)


def _given(
    req: shapes.PutFunctionEventInvokeConfigRequest | shapes.UpdateFunctionEventInvokeConfigRequest,
) -> dict[str, Any]:  # Any: JSON
    """The settings that a request names.

    Raises:
        InvalidParameterValueException: None.
    """
    given: dict[str, Any] = {name: req[name] for name in _SETTINGS if name in req}
    if not given:
        raise InvalidParameterValueException("You must specify at least one of error handling or destination setting.")
    if "DestinationConfig" in given:
        given["DestinationConfig"] = _destinations(given["DestinationConfig"])
    return given


def _destinations(config: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Both members, each with its destination if there is one: an empty ARN is none."""
    return {
        name: {"Destination": arn} if (arn := config.get(name, {}).get("Destination", "")) else {}
        for name in ("OnSuccess", "OnFailure")
    }


def _place(ctx: Context, req: _Request, action: str) -> tuple[FunctionKey, str]:
    reference = FunctionReference.parse(
        req["FunctionName"], account=ctx.account, region=ctx.region, qualifier=req.get("Qualifier"), action=action
    )
    return reference.key, reference.qualifier or LATEST


async def _existing(ctx: Context, req: _Request, action: str) -> tuple[FunctionKey, str]:
    """A function and a version or alias of it that are there.

    Raises:
        ResourceNotFoundException: One of them is not.
    """
    key, qualifier = _place(ctx, req, action)
    if not await _exists(ctx, key, qualifier):
        raise _no_function()
    return key, qualifier


async def _exists(ctx: Context, key: FunctionKey, qualifier: str) -> bool:
    if qualifier == LATEST or qualifier.isdigit():
        return await services_of(ctx).functions.get(key, qualifier) is not None
    return await aliases_of(ctx).get(key, qualifier) is not None


async def _check_destinations(ctx: Context, key: FunctionKey, given: Mapping[str, Any]) -> None:  # Any: JSON
    """Refuse destinations that no record can be sent to.

    Raises:
        InvalidParameterValueException: In AWS's words.
    """
    arns = {name: one.get("Destination", "") for name, one in given.get("DestinationConfig", {}).items()}
    for name, arn in arns.items():
        service = "".join(arn.split(":")[2:3])
        if service == "lambda":
            await _check_function(ctx, key, arn)
        elif arn and service not in _SERVICES[name]:
            success, failure = (
                f"{kind}(destination={arns[kind]})" if arns.get(kind) else "null" for kind in ("OnSuccess", "OnFailure")
            )
            raise InvalidParameterValueException(
                f"The provided destination config DestinationConfig(onSuccess={success}, onFailure={failure}) is "
                "invalid."
            )
        elif arn:
            await check_destination(ctx, key, arn)


async def _check_function(ctx: Context, key: FunctionKey, arn: str) -> None:
    invalid = InvalidParameterValueException(f"The destination ARN {arn} is invalid.")
    try:
        reference = FunctionReference.parse(arn, account=key.account, region=key.region)
    except ApiError:
        raise invalid from None  # of another account or region, which nothing is sent to
    if reference.key == key:
        raise InvalidParameterValueException("You can't specify the function as a destination for itself.")
    if not await _exists(ctx, reference.key, reference.qualifier or LATEST):
        raise invalid


async def _store(
    ctx: Context, key: FunctionKey, qualifier: str, given: Mapping[str, Any], *, keep: bool
) -> shapes.FunctionEventInvokeConfig:
    modified_s = services_of(ctx).clock.now().timestamp()

    def change(before: Document | None) -> Document:
        kept = before or {} if keep else {}
        return {"DestinationConfig": _destinations({}), **kept, **given, "LastModified": modified_s}

    try:
        document = await ctx.services[Records].functions.change(key, KIND, change, qualifier)
    except ConflictError:
        raise _no_function() from None
    assert document is not None
    ctx.services[EventInvokeServices].observer.event_config_changed(key, qualifier, document)
    return _shown(key, qualifier, document)


def _shown(key: FunctionKey, qualifier: str, document: Document) -> shapes.FunctionEventInvokeConfig:
    shown = shapes.FunctionEventInvokeConfig(
        LastModified=datetime.fromtimestamp(document["LastModified"], UTC),
        FunctionArn=key.arn(qualifier),
        DestinationConfig=document["DestinationConfig"],
    )
    if "MaximumRetryAttempts" in document:
        shown["MaximumRetryAttempts"] = document["MaximumRetryAttempts"]
    if "MaximumEventAgeInSeconds" in document:
        shown["MaximumEventAgeInSeconds"] = document["MaximumEventAgeInSeconds"]
    return shown


def _no_function() -> ResourceNotFoundException:
    return ResourceNotFoundException("The function doesn't exist.")


def _nothing_configured(key: FunctionKey, qualifier: str) -> ResourceNotFoundException:
    return ResourceNotFoundException(f"The function {key.arn(qualifier)} doesn't have an EventInvokeConfig")
