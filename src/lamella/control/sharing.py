"""Resource policies of layer versions: which other accounts may use them.

Source of the texts: answers of AWS recorded in LocalStack's tests, 2024 (TestLambdaLayer::test_layer_policy_exceptions
and test_layer_policy_lifecycle). A revision is the policy's own here.
"""

import uuid
from collections.abc import Callable
from typing import Any

from lamella.awsapi import _types as shapes
from lamella.awsapi.context import Context
from lamella.awsapi.registry import operation
from lamella.control.access import layer_record
from lamella.control.services import services_of
from lamella.domain._api_errors import PreconditionFailedException, ResourceNotFoundException
from lamella.domain.layer import LayerKey
from lamella.domain.names import foreign_account, parse_layer
from lamella.domain.policy import LAYER_POLICY, Document
from lamella.domain.statements import dump, layer_statement, no_policy, with_statement, without_statement
from lamella.ports.records import Records


@operation("AddLayerVersionPermission")
async def add_layer_version_permission(
    ctx: Context, req: shapes.AddLayerVersionPermissionRequest
) -> shapes.AddLayerVersionPermissionResponse:
    """Let an account, an organisation or everybody use a layer version."""
    key, number = await _own(ctx, req["LayerName"], req["VersionNumber"], "AddLayerVersionPermission")
    statement = layer_statement(key.arn(number), req)

    def add(before: Document | None) -> Document:
        after = with_statement(before and before["policy"], statement)
        _check_revision(before, req.get("RevisionId"))
        return after

    revision_id = await _change(ctx, key, number, add)
    return {"Statement": dump(statement), "RevisionId": revision_id}


@operation("RemoveLayerVersionPermission")
async def remove_layer_version_permission(
    ctx: Context, req: shapes.RemoveLayerVersionPermissionRequest
) -> dict[str, object]:
    """Take a statement away. Functions that have the layer version keep it."""
    key, number = await _own(ctx, req["LayerName"], req["VersionNumber"], "RemoveLayerVersionPermission")

    def remove(before: Document | None) -> Document | None:
        if before is None:
            raise no_policy()
        _check_revision(before, req.get("RevisionId"))
        return without_statement(before["policy"], req["StatementId"])

    await _change(ctx, key, number, remove)
    return {}


@operation("GetLayerVersionPolicy")
async def get_layer_version_policy(
    ctx: Context, req: shapes.GetLayerVersionPolicyRequest
) -> shapes.GetLayerVersionPolicyResponse:
    """The policy of a layer version."""
    key, number = await _own(ctx, req["LayerName"], req["VersionNumber"], "GetLayerVersionPolicy")
    stored = await ctx.services[Records].accounts.get(key.account, key.region, LAYER_POLICY, layer_record(key, number))
    if stored is None:
        raise no_policy()
    return {"Policy": dump(stored["policy"]), "RevisionId": stored["revision_id"]}


async def forget_policy(ctx: Context, key: LayerKey, number: int) -> None:
    """The layer version is gone; its number is never given again."""
    await ctx.services[Records].accounts.delete(key.account, key.region, LAYER_POLICY, layer_record(key, number))


async def _own(ctx: Context, text: str, number: int, action: str) -> tuple[LayerKey, int]:
    """The layer version of one's own that was named.

    Raises:
        AccessDeniedException: It is another account's, whatever its policy says.
        ResourceNotFoundException: It does not exist.
    """
    key = parse_layer(text, account=ctx.account, region=ctx.region)
    if key.account != ctx.account:
        raise foreign_account(ctx.account, action, key.arn(number))
    if key.region != ctx.region or await services_of(ctx).layers.get(key, number) is None:
        raise ResourceNotFoundException(f"Layer version {key.arn(number)} does not exist.")
    return key, number


async def _change(
    ctx: Context, key: LayerKey, number: int, change: Callable[[Document | None], Document | None]
) -> str:
    """Change a policy and give it another revision, which is returned."""
    revision_id = str(uuid.uuid4())

    def work(before: Document | None) -> dict[str, Any] | None:  # Any: JSON
        policy = change(before)
        return None if policy is None else {"policy": policy, "revision_id": revision_id}

    records = ctx.services[Records].accounts
    await records.change(key.account, key.region, LAYER_POLICY, layer_record(key, number), work)
    return revision_id


def _check_revision(stored: Document | None, expected: str | None) -> None:
    """Refuse a change that was made from an older state than the stored one.

    Raises:
        PreconditionFailedException: `expected` is not the revision; a policy that does not exist has none.
    """
    if expected and expected != (stored or {}).get("revision_id"):
        raise PreconditionFailedException(
            "The Revision Id provided does not match the latest Revision Id. "
            "Call the GetLayerPolicy API to retrieve the latest Revision Id"
        )
