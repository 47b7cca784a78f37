"""Which runtime a caller names, and what it may do with another account's; the policies that say so.

Everything but reading is for the runtime's own account. Reading is decided by the runtime's policy, action by action;
and whoever may read an alias (`lambda:GetRuntimeAlias`) may let functions use it: which action AWS asks for there could
not be looked up. What is taken back later does not stop functions that use it, as with layers.
"""

import uuid
from typing import Any, Final

from lamella.awsapi.context import Context
from lamella.control.access import access_of, check_decision
from lamella.control.managed_services import existing_runtime, missing
from lamella.domain._api_errors import PreconditionFailedException, ResourceNotFoundException
from lamella.domain.managed_runtime import RUNTIME_POLICY, RuntimeKey
from lamella.domain.names import foreign_account
from lamella.domain.policy import Decision, Document, Policy, PolicyError, read
from lamella.domain.statements import check_policy, dump, no_policy, unusable
from lamella.ports.records import Records

USE: Final = "GetRuntimeAlias"
"""The action that lets functions of other accounts use an alias."""


def own_runtime(ctx: Context, identifier: str, action: str) -> RuntimeKey:
    """A runtime of the caller's own, by name or ARN.

    Raises:
        AccessDeniedException: It is another account's.
        ResourceNotFoundException: It is in another region.
    """
    key = _named(ctx, identifier)
    if key.account != ctx.account:
        raise foreign_account(ctx.account, action, key.arn)
    return key


async def readable_runtime(ctx: Context, identifier: str, action: str, part: str = "") -> RuntimeKey:
    """A runtime that the caller may read, or of which it may read a part (`version/…`, `alias/…`).

    Raises:
        AccessDeniedException: It is another account's, whose policy does not let the caller do this.
        ResourceNotFoundException: It is in another region.
    """
    key = _named(ctx, identifier)
    await check_reading(ctx, key, action, part)
    return key


async def check_reading(ctx: Context, key: RuntimeKey, action: str, part: str = "") -> None:
    """Let a caller do something with a runtime: its own, or one whose policy lets it.

    A policy may name the runtime or the part.

    Raises:
        AccessDeniedException: It does not; nor does one that does not exist.
    """
    if key.account == ctx.account:
        return
    stored = await ctx.services[Records].accounts.get(key.account, key.region, RUNTIME_POLICY, key.name)
    arns = [key.arn, f"{key.arn}/{part}"] if part else [key.arn]
    decisions = set()
    if stored is not None:
        policy = Policy.parse(stored["policy"])
        decisions = {policy.decide(access_of(ctx, action, arn)) for arn in arns}
    decision = next((each for each in (Decision.DENIED, Decision.ALLOWED) if each in decisions), Decision.SILENT)
    check_decision(ctx, decision, action, arns[-1])


async def forget_policy(ctx: Context, key: RuntimeKey) -> None:
    """A runtime of this name is new: what was said of one before is not said of it."""
    await ctx.services[Records].accounts.delete(key.account, key.region, RUNTIME_POLICY, key.name)


async def put_policy(ctx: Context, arn: str, text: str, expected: str | None) -> tuple[Document, str]:
    """A whole policy in place of the one that may be there; gives it and its revision.

    Raises:
        InvalidParameterValueException, PolicyLengthExceededException: It is none, or too long.
        PreconditionFailedException: `expected` is not the revision.
        ResourceNotFoundException: There is no such runtime.
    """
    key = await _existing(ctx, arn, "PutResourcePolicy")
    try:
        document = read(text)
    except PolicyError as error:
        raise unusable(error) from None
    check_policy(document)
    revision_id = str(uuid.uuid4())

    def put(before: Document | None) -> dict[str, Any]:  # Any: JSON
        _check_revision(before, expected)
        return {"policy": document, "revision_id": revision_id}

    await ctx.services[Records].accounts.change(key.account, key.region, RUNTIME_POLICY, key.name, put)
    return document, revision_id


async def get_policy(ctx: Context, arn: str) -> tuple[Document, str]:
    """The policy of a runtime, and its revision.

    Raises:
        ResourceNotFoundException: There is no such runtime, or it has none.
    """
    key = await _existing(ctx, arn, "GetResourcePolicy")
    stored = await ctx.services[Records].accounts.get(key.account, key.region, RUNTIME_POLICY, key.name)
    if stored is None:
        raise no_policy()
    return stored["policy"], stored["revision_id"]


async def delete_policy(ctx: Context, arn: str, expected: str | None) -> None:
    """Take the policy of a runtime away.

    Raises:
        PreconditionFailedException: `expected` is not the revision.
        ResourceNotFoundException: There is no such runtime, or it has none.
    """
    key = await _existing(ctx, arn, "DeleteResourcePolicy")

    def take(before: Document | None) -> None:
        if before is None:
            raise no_policy()
        _check_revision(before, expected)

    await ctx.services[Records].accounts.change(key.account, key.region, RUNTIME_POLICY, key.name, take)


def show(policy: Document) -> str:
    """As the API shows it."""
    return dump(policy)


async def _existing(ctx: Context, arn: str, action: str) -> RuntimeKey:
    key = RuntimeKey.of_arn(arn)
    if key is None:
        raise ResourceNotFoundException("The resource you requested does not exist.")
    if key.account != ctx.account:
        raise foreign_account(ctx.account, action, key.arn)
    if key.region != ctx.region:
        raise missing(key)
    await existing_runtime(ctx, key)
    return key


def _named(ctx: Context, identifier: str) -> RuntimeKey:
    key = RuntimeKey.of_arn(identifier) or RuntimeKey(ctx.account, ctx.region, identifier)
    if key.region != ctx.region:
        raise missing(key)
    return key


def _check_revision(stored: Document | None, expected: str | None) -> None:
    if expected and expected != (stored or {}).get("revision_id"):
        raise PreconditionFailedException(
            "The Revision Id provided does not match the latest Revision Id. "
            "Call the GetResourcePolicy API to retrieve the latest Revision Id"
        )
