"""The account's limits and what it uses of them."""

from lamella.awsapi import _types as shapes
from lamella.awsapi.context import Context
from lamella.awsapi.registry import operation
from lamella.control.limits import limit_of
from lamella.control.provisioned import provisioned_unreserved
from lamella.control.services import services_of
from lamella.domain.quotas import UNZIPPED, ZIP_UPLOAD


@operation("GetAccountSettings")
async def get_account_settings(
    ctx: Context,
    req: shapes.GetAccountSettingsRequest,  # noqa: ARG001 - it has no members
) -> shapes.GetAccountSettingsResponse:
    """Limits and use of the caller's account in the region."""
    services = services_of(ctx)
    functions, functions_bytes = await services.functions.usage(ctx.account, ctx.region)
    reserved = sum(
        executions
        for key, executions in (await services.functions.reservations()).items()
        if (key.account, key.region) == (ctx.account, ctx.region)
    )
    reserved += await provisioned_unreserved(ctx)
    layers_bytes = await services.layers.usage(ctx.account, ctx.region)
    return {
        "AccountLimit": {
            "TotalCodeSize": services.settings.code_storage_bytes,
            "CodeSizeUnzipped": limit_of(ctx, UNZIPPED),
            "CodeSizeZipped": limit_of(ctx, ZIP_UPLOAD),
            "ConcurrentExecutions": services.settings.concurrency,
            "UnreservedConcurrentExecutions": services.settings.concurrency - reserved,
        },
        "AccountUsage": {"TotalCodeSize": functions_bytes + layers_bytes, "FunctionCount": functions},
    }
