"""From what a caller names to what is stored, or to AWS's refusal."""

from typing import Final

from lamella.awsapi.context import Context
from lamella.control.access import named
from lamella.control.services import aliases_of, services_of
from lamella.domain._api_errors import (
    InvalidParameterValueException,
    PreconditionFailedException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from lamella.domain.alias import Alias
from lamella.domain.function import LATEST, FunctionVersion, LastUpdateStatus, State
from lamella.domain.names import FunctionReference

CANNOT_NOW: Final = "The operation cannot be performed at this time."

NO_QUALIFIER: Final = (
    "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. "
    "Please specify either a function name or an unqualified function ARN."
)


def not_found(arn: str) -> ResourceNotFoundException:
    """There is no such function, version or alias; the ARN ends in the qualifier the caller gave."""
    return ResourceNotFoundException(f"Function not found: {arn}")


def unqualified(ctx: Context, text: str, action: str) -> FunctionReference:
    """A reference to a whole function of the caller's own.

    Raises:
        InvalidParameterValueException: The name has a qualifier. Source of the text: AWS's answer to operations on
            whole functions, quoted in public issues.
    """
    return _whole(FunctionReference.parse(text, account=ctx.account, region=ctx.region, action=action))


async def existing_latest(ctx: Context, text: str, action: str) -> FunctionVersion:
    """`$LATEST` of a function.

    Raises:
        AccessDeniedException: It is another account's, whose policy does not let the caller do this.
        InvalidParameterValueException: The name has a qualifier.
        ResourceNotFoundException: There is no such function.
    """
    reference = _whole(await named(ctx, text, action=action))
    latest = await services_of(ctx).functions.get(reference.key)
    if latest is None:
        raise not_found(reference.key.arn())
    return latest


async def existing_version(
    ctx: Context, text: str, qualifier: str | None, action: str
) -> tuple[FunctionReference, FunctionVersion]:
    """The version a name and a qualifier mean, with the reference itself; of an alias the one it is of.

    Raises:
        AccessDeniedException: It is another account's, whose policy does not let the caller do this.
        ResourceNotFoundException: There is no such function, version or alias.
    """
    reference = await named(ctx, text, action=action, qualifier=qualifier)
    number = reference.version
    if number is None:
        alias = await aliases_of(ctx).get(reference.key, reference.qualifier or "")
        number = alias.version if alias is not None else None
    version = None if number is None else await services_of(ctx).functions.get(reference.key, number)
    if version is None:
        raise not_found(reference.arn)
    return reference, version


def check_revision(current: FunctionVersion | Alias, expected: str | None) -> None:
    """Refuse a change that was made from an older state than the stored one.

    Raises:
        PreconditionFailedException: `expected` is not the revision. Source: recorded answer of AWS, 2022.
    """
    if expected and expected != current.revision_id:
        raise PreconditionFailedException(
            "The Revision Id provided does not match the latest Revision Id. "
            "Call the GetFunction/GetAlias API to retrieve the latest Revision Id"
        )


def check_settled(latest: FunctionVersion) -> None:
    """Refuse a change while another is under way. One that failed may be mended.

    Raises:
        ResourceConflictException: In AWS's words, as quoted in many public issues.
    """
    if latest.state not in {State.ACTIVE, State.FAILED}:
        raise ResourceConflictException(
            f"{CANNOT_NOW} The function is currently in the following state: {latest.state.value}"
        )
    if latest.update_status is LastUpdateStatus.IN_PROGRESS:
        raise ResourceConflictException(f"{CANNOT_NOW} An update is in progress for resource: {latest.key.arn()}")


def _whole(reference: FunctionReference) -> FunctionReference:
    if reference.qualifier not in {None, LATEST}:
        raise InvalidParameterValueException(NO_QUALIFIER)
    return reference
