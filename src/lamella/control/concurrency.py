"""Concurrent executions that are reserved for a function: it has as many for itself, and gets no more.

Reservations count for all versions of a function together. Source of the texts: answers of AWS quoted in public issues
and recorded in LocalStack's tests, 2021 to 2025.
"""

from typing import Final

from lamella.awsapi import _types as shapes
from lamella.awsapi.context import Context
from lamella.awsapi.registry import operation
from lamella.control.access import named
from lamella.control.provisioned import provisioned_of, provisioned_unreserved
from lamella.control.resolution import NO_QUALIFIER, not_found
from lamella.control.services import services_of
from lamella.domain._api_errors import InvalidParameterValueException
from lamella.domain.function import LATEST, FunctionKey
from lamella.domain.quotas import UNRESERVED_CONCURRENCY
from lamella.ports.errors import ConflictError

_TOO_MUCH: Final = (
    "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its "
    f"minimum value of [{UNRESERVED_CONCURRENCY.limit}]."
)


@operation("PutFunctionConcurrency")
async def put_function_concurrency(ctx: Context, req: shapes.PutFunctionConcurrencyRequest) -> shapes.Concurrency:
    """Reserve concurrent executions for a function; 0 stops it. In force for every invocation that begins after."""
    services = services_of(ctx)
    # Source of the qualifier: LocalStack's `test_function_concurrency_exceptions`, recorded in 2023.
    key = await _function(ctx, req["FunctionName"], "PutFunctionConcurrency", missing=LATEST)
    executions = req["ReservedConcurrentExecutions"]
    provisioned = await provisioned_of(ctx, key)
    if executions < provisioned:
        # The spaces are AWS's own, as recorded in LocalStack's tests, 2025.
        raise InvalidParameterValueException(
            f" ReservedConcurrentExecutions  {executions} should not be lower than function's total provisioned "
            f"concurrency [{provisioned}]."
        )
    at_most = services.settings.concurrency - UNRESERVED_CONCURRENCY.limit
    at_most -= await provisioned_unreserved(ctx, but=(key, None))
    try:
        fits = await services.functions.reserve(key, executions, at_most=at_most)
    except ConflictError:
        raise not_found(key.arn(LATEST)) from None
    if not fits:
        raise InvalidParameterValueException(_TOO_MUCH)
    services.observer.concurrency_changed(key, executions)
    return {"ReservedConcurrentExecutions": executions}


@operation("GetFunctionConcurrency")
async def get_function_concurrency(
    ctx: Context, req: shapes.GetFunctionConcurrencyRequest
) -> shapes.GetFunctionConcurrencyResponse:
    """What is reserved for a function; nothing if nothing is."""
    key = await _function(ctx, req["FunctionName"], "GetFunctionConcurrency")
    reserved = await services_of(ctx).functions.reservation(key)
    return {} if reserved is None else {"ReservedConcurrentExecutions": reserved}


@operation("DeleteFunctionConcurrency")
async def delete_function_concurrency(ctx: Context, req: shapes.DeleteFunctionConcurrencyRequest) -> dict[str, object]:
    """End a function's reservation; that there is none is no error."""
    services = services_of(ctx)
    key = await _function(ctx, req["FunctionName"], "DeleteFunctionConcurrency")
    try:
        await services.functions.reserve(key, None, at_most=services.settings.concurrency)
    except ConflictError:
        raise not_found(key.arn()) from None
    services.observer.concurrency_changed(key, None)
    return {}


async def _function(ctx: Context, name: str, action: str, missing: str | None = None) -> FunctionKey:
    """The function of that name; `missing` is the qualifier by which AWS calls it if there is none.

    Raises:
        InvalidParameterValueException: It has a qualifier; AWS refuses `$LATEST` here as well.
        ResourceNotFoundException: There is none.
    """
    reference = await named(ctx, name, action=action)
    if reference.qualifier is not None:
        raise InvalidParameterValueException(NO_QUALIFIER)
    if await services_of(ctx).functions.get(reference.key) is None:
        raise not_found(reference.key.arn(missing))
    return reference.key
