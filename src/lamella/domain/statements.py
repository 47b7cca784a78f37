"""Documents of resource policies, statement by statement, as AWS writes them.

Source: statements and refusals recorded in LocalStack's `test_lambda_api.snapshot.json` against AWS (TestLambdaLayer,
TestLambdaPermissions, 2022 to 2024), the examples of Lambda's developer guide ("Control access to Lambda function
URLs", "Granting layer access to other accounts"), and texts quoted in public issues.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from lamella.domain._api_errors import (
    InvalidParameterValueException,
    PolicyLengthExceededException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from lamella.domain.policy import IDENTITY, Document, Policy, PolicyError
from lamella.domain.quotas import POLICY

_ACCOUNT: Final = re.compile(r"[0-9]{12}")
_SERVICE: Final = re.compile(r"[a-z0-9.-]+\.(?:amazonaws\.com(?:\.cn)?|amazon\.com)")
_URL_ACTION: Final = "lambda:InvokeFunctionUrl"

Principal = str | dict[str, str]


def account_principal(principal: str) -> Principal:
    """`*`, an account's number, or the ARN of an account, user or role, as a statement has it.

    Raises:
        InvalidParameterValueException: It is none of these.
    """
    if principal == "*":
        return principal
    if _ACCOUNT.fullmatch(principal):
        return {"AWS": f"arn:aws:iam::{principal}:root"}
    if IDENTITY.fullmatch(principal):
        return {"AWS": principal}
    raise InvalidParameterValueException(
        "The provided principal was invalid. Please check the principal and try again."
    )


def function_statement(resource: str, request: Mapping[str, Any]) -> dict[str, Any]:  # Any: members of AddPermission
    """The statement that AddPermission adds.

    Args:
        resource: ARN of the function, version or alias.
        request: Members of AddPermission; the model's constraints hold.

    Raises:
        InvalidParameterValueException: The principal is none, or a condition does not go with the action.
    """
    principal, action = request["Principal"], request["Action"]
    if "FunctionUrlAuthType" in request and action != _URL_ACTION:
        raise InvalidParameterValueException(f"FunctionUrlAuthType is only supported for {_URL_ACTION} action")
    equal = {
        "AWS:SourceAccount": request.get("SourceAccount"),
        "lambda:FunctionUrlAuthType": request.get("FunctionUrlAuthType"),
        "aws:PrincipalOrgID": request.get("PrincipalOrgID"),
        "lambda:EventSourceToken": request.get("EventSourceToken"),
    }
    conditions = {
        "StringEquals": {key: value for key, value in equal.items() if value},
        "Bool": {"lambda:InvokedViaFunctionUrl": "true"} if request.get("InvokedViaFunctionUrl") else {},
        "ArnLike": {"AWS:SourceArn": request["SourceArn"]} if request.get("SourceArn") else {},
    }
    given: Principal = {"Service": principal} if _SERVICE.fullmatch(principal) else account_principal(principal)
    return _statement(request["StatementId"], given, action, resource, conditions)


def layer_statement(resource: str, request: Mapping[str, Any]) -> dict[str, Any]:  # Any: as above
    """The statement that AddLayerVersionPermission adds.

    Raises:
        InvalidParameterValueException: An organisation goes with another principal than `*`. The text is ours.
    """
    organization = request.get("OrganizationId")
    if organization and request["Principal"] != "*":
        raise InvalidParameterValueException("OrganizationId can be used with the principal * only.")
    conditions = {"StringEquals": {"aws:PrincipalOrgID": organization} if organization else {}}
    principal = account_principal(request["Principal"])
    return _statement(request["StatementId"], principal, request["Action"], resource, conditions)


def _statement(
    sid: str, principal: Principal, action: str, resource: str, conditions: Mapping[str, Mapping[str, str]]
) -> dict[str, Any]:
    statement: dict[str, Any] = {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": principal,
        "Action": action,
        "Resource": resource,
    }
    condition = {operator: dict(keys) for operator, keys in conditions.items() if keys}
    return {**statement, "Condition": condition} if condition else statement


def with_statement(document: Document | None, statement: Mapping[str, Any]) -> dict[str, Any]:
    """A policy with one statement more; the first makes the policy.

    Raises:
        ResourceConflictException: There is a statement of this name.
        InvalidParameterValueException, PolicyLengthExceededException: See `check_policy`.
    """
    before = _statements(document)
    sid = statement["Sid"]
    if any(known.get("Sid") == sid for known in before):
        raise ResourceConflictException(
            f"The statement id ({sid}) provided already exists. "
            "Please provide a new statement id, or remove the existing statement."
        )
    start = {"Version": "2012-10-17", "Id": "default"} if document is None else document
    after = {**start, "Statement": [*before, dict(statement)]}
    check_policy(after)
    return after


def without_statement(document: Document | None, sid: str) -> dict[str, Any] | None:
    """A policy with one statement less; `None` when none is left.

    Raises:
        ResourceNotFoundException: There is no policy, or no such statement in it.
    """
    if document is None:
        raise no_policy()
    before = _statements(document)
    after = [statement for statement in before if statement.get("Sid") != sid]
    if len(after) == len(before):
        raise ResourceNotFoundException(f"Statement {sid} is not found in resource policy.")
    return {**document, "Statement": after} if after else None


def no_policy() -> ResourceNotFoundException:
    """There is nothing to take away, or to show of a layer version."""
    return ResourceNotFoundException("No policy is associated with the given resource.")


def check_policy(document: Document) -> None:
    """Refuse what cannot be kept.

    Raises:
        InvalidParameterValueException: It is no policy, or cannot be evaluated here. The text is ours.
        PolicyLengthExceededException: It is too long, in AWS's words (adobe/helix-deploy issue 24, 2020).
    """
    try:
        Policy.parse(document)
        size = len(dump(document).encode())
    except UnicodeEncodeError:
        raise unusable(PolicyError("it has halves of characters")) from None
    except PolicyError as error:
        raise unusable(error) from None
    if size > POLICY.limit:
        raise PolicyLengthExceededException(
            f"The final policy size ({size}) is bigger than the limit ({POLICY.limit})."
        )


def unusable(error: PolicyError) -> InvalidParameterValueException:
    """What whoever sent a policy is told of it."""
    return InvalidParameterValueException(f"The policy cannot be used: {error}.")


def dump(document: Document) -> str:
    """JSON as AWS writes it: without spaces."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def _statements(document: Document | None) -> list[Mapping[str, Any]]:
    statements = [] if document is None else document["Statement"]
    return [statements] if isinstance(statements, Mapping) else list(statements)
