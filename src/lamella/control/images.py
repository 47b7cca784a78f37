"""Functions whose code is a container image: what may be asked of them, and what is not theirs.

Images are not run yet: the state machine says so once such a function is created (`lifecycle.function.outcome`), and
no registry is asked. Source of the texts, unless one is said to be ours: answers of AWS quoted in public issues, 2021
to 2025 (pulumi/pulumi-aws 5439, aws/aws-cdk 13037, DataDog/terraform-aws-lambda-datadog 2, appleboy/lambda-action 28,
umihico/pythonista-chromeless 19).
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from lamella.awsapi import _types as shapes
from lamella.awsapi.context import Context
from lamella.control.code import uploaded
from lamella.control.configuration import check_size
from lamella.domain._api_errors import InvalidParameterValueException
from lamella.domain.function import NO_ARCHIVE, Artifact, FunctionConfig, FunctionVersion
from lamella.domain.image import IMAGE, IMAGE_URI, Image

_ARCHIVES = ("ZipFile", "S3Bucket", "S3Key", "S3ObjectVersion")


def check_members(request: Mapping[str, Any], package_type: str) -> None:  # Any: a request of several shapes
    """Refuse what functions of this package type cannot have.

    Raises:
        InvalidParameterValueException: They are named. That an archive has no `ImageConfig`, and an image no
            SnapStart, is said in words of ours.
    """
    if package_type != IMAGE:
        if request.get("ImageConfig"):
            raise InvalidParameterValueException(
                "Please don't provide ImageConfig when the intended function PackageType is Zip."
            )
        return
    if "Handler" in request or "Runtime" in request:
        raise InvalidParameterValueException(
            "Please don't provide Handler or Runtime or Layer when the intended function PackageType is Image."
        )
    if request.get("Layers"):
        raise InvalidParameterValueException(
            "Lambda layers are not supported for functions created with container images."
        )
    if request.get("SnapStart", {}).get("ApplyOn", "None") != "None":
        raise InvalidParameterValueException("SnapStart is not supported for functions created with container images.")


@asynccontextmanager
async def deployed(
    ctx: Context, config: FunctionConfig, source: Mapping[str, Any], *, account: str | None = None
) -> AsyncIterator[tuple[Artifact, FunctionConfig]]:
    """The code that a request brings or names, and the configuration with what is said about it there.

    An archive stays while the context lasts, or a row refers to it.

    Args:
        ctx: Of the request.
        config: Of the function, which has its package type for good.
        source: `FunctionCode`, or a request of UpdateFunctionCode.
        account: Whose quota an archive counts against; the caller's if `None`.

    Raises:
        InvalidParameterValueException: The source is not valid; see also `lamella.control.code.uploaded`.
    """
    if config.package_type != IMAGE:
        async with uploaded(ctx, source, account=account) as artifact:
            check_size(ctx, artifact, config.layers)
            yield artifact, config
        return
    if IMAGE_URI not in source or any(member in source for member in _ARCHIVES):
        # Ours: the words are those that AWS has for updates.
        raise InvalidParameterValueException("Please provide ImageUri when creating a function with packageType Image.")
    image = Image.parse(source[IMAGE_URI], region=ctx.region)
    yield Artifact(NO_ARCHIVE, image.digest, 0, 0), replace(config, other={**config.other, IMAGE_URI: image.uri})


def check_update(request: shapes.UpdateFunctionCodeRequest, package_type: str) -> None:
    """Refuse code of another kind than the function has.

    Raises:
        InvalidParameterValueException: It is.
    """
    if package_type != IMAGE and IMAGE_URI in request:
        raise InvalidParameterValueException(
            "Please don't provide ImageUri when updating a function with packageType Zip."
        )
    if package_type == IMAGE and (IMAGE_URI not in request or any(member in request for member in _ARCHIVES)):
        raise InvalidParameterValueException("Please provide ImageUri when updating a function with packageType Image.")


def location(version: FunctionVersion) -> shapes.FunctionCodeLocation:
    """Where the image is. What a tag stands for is not told, as no registry has been asked.

    Source of the members: answer of AWS to GetFunction, 2024, in a public repository of Terraform sources.
    """
    image = Image.parse(version.config.other[IMAGE_URI], region=version.key.region)
    shown = shapes.FunctionCodeLocation(RepositoryType="ECR", ImageUri=image.uri)
    if image.resolved_uri is not None:
        shown["ResolvedImageUri"] = image.resolved_uri
    return shown
