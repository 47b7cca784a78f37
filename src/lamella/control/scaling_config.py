"""Scaling of functions on managed instances. Here no function has a capacity provider, and that is what is answered.

Source: answer of AWS to PutFunctionScalingConfig for a published version of such a function, observed on 2026-08-11 and
quoted in go-to-k/cdkd issue 1616. That GetFunctionScalingConfig answers alike, and that a function or version that is
not there is told first, is assumed.
"""

from typing import NoReturn

from lamella.awsapi import _types as shapes
from lamella.awsapi.context import Context
from lamella.awsapi.registry import operation
from lamella.control.resolution import not_found, unqualified
from lamella.control.services import services_of
from lamella.domain.errors import AccessDeniedException
from lamella.domain.function import LATEST


@operation("PutFunctionScalingConfig")
async def put_function_scaling_config(
    ctx: Context, req: shapes.PutFunctionScalingConfigRequest
) -> shapes.PutFunctionScalingConfigResponse:
    """How many execution environments a version has on managed instances."""
    await _refuse(ctx, req["FunctionName"], req["Qualifier"], "PutFunctionScalingConfig")


@operation("GetFunctionScalingConfig")
async def get_function_scaling_config(
    ctx: Context, req: shapes.GetFunctionScalingConfigRequest
) -> shapes.GetFunctionScalingConfigResponse:
    """What is configured."""
    await _refuse(ctx, req["FunctionName"], req["Qualifier"], "GetFunctionScalingConfig")


async def _refuse(ctx: Context, name: str, qualifier: str, action: str) -> NoReturn:
    """Say what is wrong with any function.

    Raises:
        ResourceNotFoundException: There is none, or not this version of it.
        AccessDeniedException: It has no capacity provider.
    """
    key = unqualified(ctx, name, action).key
    if await services_of(ctx).functions.get(key, qualifier if qualifier.isdigit() else LATEST) is None:
        raise not_found(key.arn(qualifier))
    raise AccessDeniedException("The function provided by the arn does not contain a capacity provider configuration")
