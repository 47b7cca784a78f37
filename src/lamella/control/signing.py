"""Code signing configurations: whose signatures a function's code must bear.

Signatures cannot be verified here: they are made and revoked by AWS Signer. So nothing is taken for signed by an
allowed publisher. `Enforce` refuses every deployment, as AWS refuses one without such a signature; `Warn` lets each
through, as AWS does.

Source of the texts, where no other is named: answers of AWS that LocalStack recorded, as its provider repeats them.
"""

import secrets
from collections.abc import Mapping
from typing import Any, Final

from lamella.awsapi import _types as shapes
from lamella.awsapi.context import Context
from lamella.awsapi.registry import operation
from lamella.control.resolution import existing_latest, not_found
from lamella.control.services import services_of
from lamella.control.tags import TAGS_MEMBER, check_tag_count
from lamella.control.wire import timestamp
from lamella.domain._api_errors import (
    CodeSigningConfigNotFoundException,
    CodeVerificationFailedException,
    InvalidParameterValueException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from lamella.domain.function import FunctionKey, FunctionVersion
from lamella.domain.image import IMAGE
from lamella.domain.quotas import LIST_CONFIGURATIONS_PAGE
from lamella.ports.errors import ConflictError
from lamella.ports.records import Document, Records

KIND: Final = "code-signing-config"
"""Kind of an account's configurations, and of the document that says which one a function has."""

_ARN: Final = "CodeSigningConfigArn"
_ID_DIGITS: Final = 17


@operation("CreateCodeSigningConfig")
async def create_code_signing_config(
    ctx: Context, req: shapes.CreateCodeSigningConfigRequest
) -> shapes.CreateCodeSigningConfigResponse:
    """A new configuration. That its signing profiles exist is not checked."""
    check_tag_count(req.get("Tags", {}))
    id_ = f"csc-{secrets.token_hex(_ID_DIGITS)[:_ID_DIGITS]}"
    document: dict[str, Any] = {  # Any: JSON
        "CodeSigningConfigId": id_,
        _ARN: f"arn:aws:lambda:{ctx.region}:{ctx.account}:{KIND}:{id_}",
        "AllowedPublishers": req["AllowedPublishers"],
        "CodeSigningPolicies": _policies(req.get("CodeSigningPolicies", {})),
        "LastModified": timestamp(services_of(ctx).clock.now()),
        TAGS_MEMBER: dict(req.get("Tags", {})),
    }
    if "Description" in req:
        document["Description"] = req["Description"]
    await ctx.services[Records].accounts.put(ctx.account, ctx.region, KIND, id_, document)
    return {"CodeSigningConfig": _shown(document)}


@operation("GetCodeSigningConfig")
async def get_code_signing_config(
    ctx: Context, req: shapes.GetCodeSigningConfigRequest
) -> shapes.GetCodeSigningConfigResponse:
    """One configuration."""
    return {"CodeSigningConfig": _shown(await _existing(ctx, req[_ARN]))}


@operation("UpdateCodeSigningConfig")
async def update_code_signing_config(
    ctx: Context, req: shapes.UpdateCodeSigningConfigRequest
) -> shapes.UpdateCodeSigningConfigResponse:
    """Replace what is named; in force for the next deployment of each function that has the configuration."""
    arn = req[_ARN]
    changes: dict[str, Any] = {}  # Any: JSON
    if "Description" in req:
        changes["Description"] = req["Description"]
    if "AllowedPublishers" in req:
        changes["AllowedPublishers"] = req["AllowedPublishers"]
    if "CodeSigningPolicies" in req:
        changes["CodeSigningPolicies"] = _policies(req["CodeSigningPolicies"])
    changes["LastModified"] = timestamp(services_of(ctx).clock.now())

    def change(before: Document | None) -> Document:
        if before is None:
            raise _missing(arn)
        return {**before, **changes}

    await _existing(ctx, arn)
    after = await ctx.services[Records].accounts.change(ctx.account, ctx.region, KIND, _id(arn), change)
    assert after is not None
    return {"CodeSigningConfig": _shown(after)}


@operation("DeleteCodeSigningConfig")
async def delete_code_signing_config(
    ctx: Context, req: shapes.DeleteCodeSigningConfigRequest
) -> shapes.DeleteCodeSigningConfigResponse:
    """Delete a configuration; not while functions have it. The text of that refusal is ours."""
    arn = req[_ARN]
    await _existing(ctx, arn)
    records = ctx.services[Records]
    if (await records.functions.list_account(ctx.account, ctx.region, KIND, limit=1, where={_ARN: arn})).items:
        raise ResourceConflictException(f"The Lambda code signing configuration {arn} is in use by functions.")
    await records.accounts.delete(ctx.account, ctx.region, KIND, _id(arn))
    return {}


@operation("ListCodeSigningConfigs")
async def list_code_signing_configs(
    ctx: Context, req: shapes.ListCodeSigningConfigsRequest
) -> shapes.ListCodeSigningConfigsResponse:
    """Configurations of the account in the region."""
    limit = req.get("MaxItems", LIST_CONFIGURATIONS_PAGE.limit)
    records = ctx.services[Records].accounts
    try:
        page = await records.list(ctx.account, ctx.region, KIND, limit=limit, marker=req.get("Marker"))
    except ValueError:
        raise InvalidParameterValueException("Invalid Marker.") from None
    return {"CodeSigningConfigs": [_shown(record.document) for record in page.items], "NextMarker": page.next_marker}


@operation("ListFunctionsByCodeSigningConfig")
async def list_functions_by_code_signing_config(
    ctx: Context, req: shapes.ListFunctionsByCodeSigningConfigRequest
) -> shapes.ListFunctionsByCodeSigningConfigResponse:
    """ARNs of the functions that have a configuration, by name."""
    arn = req[_ARN]
    await _existing(ctx, arn)
    limit = req.get("MaxItems", LIST_CONFIGURATIONS_PAGE.limit)
    records = ctx.services[Records].functions
    try:
        page = await records.list_account(
            ctx.account, ctx.region, KIND, limit=limit, marker=req.get("Marker"), where={_ARN: arn}
        )
    except ValueError:
        raise InvalidParameterValueException("Invalid Marker.") from None
    return {"FunctionArns": [record.key.arn() for record in page.items], "NextMarker": page.next_marker}


@operation("GetFunctionCodeSigningConfig")
async def get_function_code_signing_config(
    ctx: Context, req: shapes.GetFunctionCodeSigningConfigRequest
) -> Mapping[str, object]:
    """Which configuration a function has; an empty answer if it has none."""
    latest = await _signable(ctx, req["FunctionName"], "GetFunctionCodeSigningConfig")
    arn = await _of_function(ctx, latest.key)
    return {} if arn is None else {_ARN: arn, "FunctionName": latest.key.name}


@operation("PutFunctionCodeSigningConfig")
async def put_function_code_signing_config(
    ctx: Context, req: shapes.PutFunctionCodeSigningConfigRequest
) -> shapes.PutFunctionCodeSigningConfigResponse:
    """Give a function a configuration; in force for its next deployment."""
    await check_attachable(ctx, req[_ARN])
    latest = await _signable(ctx, req["FunctionName"], "PutFunctionCodeSigningConfig")
    await attach(ctx, latest.key, req[_ARN])
    return {_ARN: req[_ARN], "FunctionName": latest.key.name}


@operation("DeleteFunctionCodeSigningConfig")
async def delete_function_code_signing_config(
    ctx: Context, req: shapes.DeleteFunctionCodeSigningConfigRequest
) -> dict[str, object]:
    """Take a function's configuration away; that there is none is no error."""
    latest = await _signable(ctx, req["FunctionName"], "DeleteFunctionCodeSigningConfig")
    await ctx.services[Records].functions.delete(latest.key, KIND)
    return {}


def check_signable(package_type: str) -> None:
    """Refuse code signing for images.

    Raises:
        InvalidParameterValueException: The function is one. AWS says it even to those who only ask what there is.
            Source: aws/aws-sam-cli issue 2786, 2021; aws-controllers-k8s/community issue 1117, 2022.
    """
    if package_type == IMAGE:
        raise InvalidParameterValueException(
            "Code signing is not supported for functions created with container images."
        )


async def check_attachable(ctx: Context, arn: str) -> None:
    """Make sure that a function can have this configuration.

    Raises:
        CodeSigningConfigNotFoundException: There is none in the account and region.
    """
    await _attached(ctx, arn)


async def attach(ctx: Context, key: FunctionKey, arn: str) -> None:
    """Store which configuration a function has.

    Raises:
        ResourceNotFoundException: The function is gone.
    """
    try:
        await ctx.services[Records].functions.put(key, KIND, {_ARN: arn})
    except ConflictError:
        raise not_found(key.arn()) from None


async def check_deployment(ctx: Context, key: FunctionKey, arn: str | None = None) -> None:
    """Refuse code or layers that no allowed publisher has signed, which are all.

    Args:
        ctx: Of the request.
        key: The function that gets them.
        arn: The configuration of a function that is being created; otherwise it is looked up.

    Raises:
        CodeVerificationFailedException: The function's configuration says `Enforce`. Source of the text: AWS's answer
            quoted in aws/aws-cdk issue 29474, 2024.
        CodeSigningConfigNotFoundException: The configuration has been deleted.
    """
    arn = arn or await _of_function(ctx, key)
    if arn is None:
        return
    policies = (await _attached(ctx, arn))["CodeSigningPolicies"]
    if policies["UntrustedArtifactOnDeployment"] == "Enforce":
        raise CodeVerificationFailedException(
            "Lambda cannot deploy the function. The function or layer might be signed using a signature that the "
            f"client is not configured to accept. Check the provided signature for {key.name}."
        )


async def _signable(ctx: Context, name: str, action: str) -> FunctionVersion:
    """A function that can have a configuration.

    Raises:
        InvalidParameterValueException: It is an image.
    """
    latest = await existing_latest(ctx, name, action)
    check_signable(latest.config.package_type)
    return latest


async def _of_function(ctx: Context, key: FunctionKey) -> str | None:
    document = await ctx.services[Records].functions.get(key, KIND)
    return None if document is None else str(document[_ARN])


async def _attached(ctx: Context, arn: str) -> Document:
    document = await _find(ctx, arn)
    if document is None:
        raise CodeSigningConfigNotFoundException(
            "The code signing configuration cannot be found. "
            f"Check that the provided configuration is not deleted: {arn}."
        )
    return document


async def _existing(ctx: Context, arn: str) -> Document:
    document = await _find(ctx, arn)
    if document is None:
        raise _missing(arn)
    return document


async def _find(ctx: Context, arn: str) -> Document | None:
    """The configuration of this very ARN: one of another account or region is not there."""
    document = await ctx.services[Records].accounts.get(ctx.account, ctx.region, KIND, _id(arn))
    return document if document is not None and document[_ARN] == arn else None


def _missing(arn: str) -> ResourceNotFoundException:
    return ResourceNotFoundException(f"The Lambda code signing configuration {arn} can not be found.")


def _id(arn: str) -> str:
    return arn.rpartition(":")[2]


def _policies(given: Mapping[str, Any]) -> dict[str, str]:  # Any: as the model's shape
    """`Warn` unless something else is said. Source: API reference, CodeSigningPolicies."""
    return {"UntrustedArtifactOnDeployment": given.get("UntrustedArtifactOnDeployment", "Warn")}


def _shown(document: Document) -> shapes.CodeSigningConfig:
    shown = shapes.CodeSigningConfig(
        CodeSigningConfigId=document["CodeSigningConfigId"],
        CodeSigningConfigArn=document[_ARN],
        AllowedPublishers=document["AllowedPublishers"],
        CodeSigningPolicies=document["CodeSigningPolicies"],
        LastModified=document["LastModified"],
    )
    if "Description" in document:
        shown["Description"] = document["Description"]
    return shown
