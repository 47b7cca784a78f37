"""What callers may do with functions and layer versions of other accounts: what their policies say.

A function's own account may do everything with it. What its policy denies is denied to its own account for invocations
only, see `lamella.invoke.permissions`.
"""

from typing import Final

from lamella.awsapi.context import Context
from lamella.control.services import services_of
from lamella.domain.layer import LayerKey
from lamella.domain.names import FunctionReference, explicit_denial, foreign_account
from lamella.domain.policy import FUNCTION_POLICY, LAYER_POLICY, Access, Caller, Decision, Policy, decide
from lamella.ports.records import WHOLE, Records

CROSS_ACCOUNT: Final = frozenset(
    {
        "CreateAlias",
        "DeleteAlias",
        "DeleteFunction",
        "DeleteFunctionConcurrency",
        "GetAlias",
        "GetFunction",
        "GetFunctionConfiguration",
        "GetPolicy",
        "ListAliases",
        "ListTags",
        "ListVersionsByFunction",
        "PublishVersion",
        "PutFunctionConcurrency",
        "TagResource",
        "UntagResource",
        "UpdateAlias",
        "UpdateFunctionCode",
    }
)
"""Operations, besides Invoke, that a function's policy can open to another account.

Source: Lambda developer guide, "Granting function access to other accounts", "Cross-account APIs", 2020.
"""


async def named(ctx: Context, text: str, *, action: str, qualifier: str | None = None) -> FunctionReference:
    """The function a caller names: its own, or another account's whose policy lets it do this.

    Raises:
        AccessDeniedException: It does not, or no policy can allow it.
        ValidationException, ResourceNotFoundException, InvalidParameterValueException: See `FunctionReference.parse`.
    """
    reference = FunctionReference.parse(
        text,
        account=ctx.account,
        region=ctx.region,
        qualifier=qualifier,
        action=action,
        foreign=action in CROSS_ACCOUNT,
    )
    if reference.key.account != ctx.account:
        records = ctx.services[Records].functions
        places = {WHOLE, reference.qualifier or WHOLE}
        documents = [await records.get(reference.key, FUNCTION_POLICY, place) for place in places]
        policies = [Policy.parse(document) for document in documents if document is not None]
        check_decision(ctx, decide(policies, access_of(ctx, action, reference.arn)), action, reference.arn)
    return reference


async def check_layer_version(ctx: Context, key: LayerKey, number: int) -> None:
    """Let a caller read or attach a layer version: its own, or one whose policy lets it.

    Raises:
        AccessDeniedException: It does not; nor does one that does not exist.
    """
    if key.account == ctx.account:
        return
    action, arn = "GetLayerVersion", key.arn(number)
    stored = await ctx.services[Records].accounts.get(key.account, key.region, LAYER_POLICY, layer_record(key, number))
    decision = Decision.SILENT
    if stored is not None:
        decision = Policy.parse(stored["policy"]).decide(access_of(ctx, action, arn))
    check_decision(ctx, decision, action, arn)


def layer_record(key: LayerKey, number: int) -> str:
    """Name of the record that holds a layer version's policy."""
    return f"{key.name}:{number}"


def access_of(ctx: Context, action: str, arn: str) -> Access:
    """What the caller wants, for policies to decide."""
    organization = services_of(ctx).settings.organizations.get(ctx.account)
    return Access(Caller(ctx.account, organization), f"lambda:{action}", arn)


def check_decision(ctx: Context, decision: Decision, action: str, arn: str) -> None:
    """Refuse what policies do not allow.

    Raises:
        AccessDeniedException: They do not.
    """
    if decision is Decision.DENIED:
        raise explicit_denial(ctx.account, action, arn)
    if decision is Decision.SILENT:
        raise foreign_account(ctx.account, action, arn)
