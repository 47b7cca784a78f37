"""Whether a function that invokes itself through other services is stopped.

The setting is kept and shown. It has no effect: loops are not detected.
"""

from typing import Final

from lamella.awsapi import _types as shapes
from lamella.awsapi.context import Context
from lamella.awsapi.registry import operation
from lamella.control.resolution import existing_latest, not_found
from lamella.ports.errors import ConflictError
from lamella.ports.records import Records

KIND: Final = "recursion"


@operation("GetFunctionRecursionConfig")
async def get_function_recursion_config(
    ctx: Context, req: shapes.GetFunctionRecursionConfigRequest
) -> shapes.GetFunctionRecursionConfigResponse:
    """`Terminate`, unless somebody has said otherwise.

    Source of the default: API reference, PutFunctionRecursionConfig.
    """
    latest = await existing_latest(ctx, req["FunctionName"], "GetFunctionRecursionConfig")
    kept = await ctx.services[Records].functions.get(latest.key, KIND)
    return {"RecursiveLoop": "Terminate" if kept is None else kept["RecursiveLoop"]}


@operation("PutFunctionRecursionConfig")
async def put_function_recursion_config(
    ctx: Context, req: shapes.PutFunctionRecursionConfigRequest
) -> shapes.PutFunctionRecursionConfigResponse:
    """Keep the setting."""
    latest = await existing_latest(ctx, req["FunctionName"], "PutFunctionRecursionConfig")
    try:
        await ctx.services[Records].functions.put(latest.key, KIND, {"RecursiveLoop": req["RecursiveLoop"]})
    except ConflictError:
        raise not_found(latest.key.arn()) from None
    return {"RecursiveLoop": req["RecursiveLoop"]}
