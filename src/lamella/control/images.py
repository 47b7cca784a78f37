"""Functions whose code is a container image: what may be asked of them, and what is not theirs.

What a reference stands for is asked when a function is created or its code updated, and is the function's for good: a
tag that is moved later changes nothing. The image itself is fetched after that, see `lamella.control.transitions`.

Source of the texts, unless one is said to be ours: answers of AWS quoted in public issues, 2021 to 2026
(pulumi/pulumi-aws 5439, aws/aws-cdk 13037 and 24648, DataDog/terraform-aws-lambda-datadog 2, appleboy/lambda-action 28,
umihico/pythonista-chromeless 19, aws-samples/bedrock-access-gateway 127 and 206).
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from lamella.awsapi import _types as shapes
from lamella.awsapi.context import Context
from lamella.control.code import uploaded
from lamella.control.configuration import check_size
from lamella.control.limits import profile_of
from lamella.control.services import services_of
from lamella.domain._api_errors import InvalidParameterValueException
from lamella.domain.errors import AccessDeniedException, ApiError
from lamella.domain.function import Architecture, Artifact, FunctionConfig, FunctionVersion
from lamella.domain.image import IMAGE, IMAGE_URI, ImageReference
from lamella.domain.image_code import image_code
from lamella.domain.quotas import LimitProfile
from lamella.ports.images import ImageError, ResolvedImage

_ARCHIVES = ("ZipFile", "S3Bucket", "S3Key", "S3ObjectVersion")


def check_members(request: Mapping[str, Any], package_type: str) -> None:  # Any: a request of several shapes
    """Refuse what functions of this package type cannot have.

    Raises:
        InvalidParameterValueException: They are named. That an archive has no `ImageConfig`, and an image no
            SnapStart, is said in words of ours, as is what no process can be given.
    """
    overrides = request.get("ImageConfig") or {}
    words = [*overrides.get("EntryPoint", ()), *overrides.get("Command", ()), overrides.get("WorkingDirectory", "")]
    if any("\0" in word for word in words):
        raise InvalidParameterValueException("ImageConfig cannot have zero bytes in it.")
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

    An archive, or an image that is here, stays while the context lasts, or a row refers to it.

    Args:
        ctx: Of the request.
        config: Of the function, which has its package type for good.
        source: `FunctionCode`, or a request of UpdateFunctionCode.
        account: Whose quota an archive counts against; the caller's if `None`.

    Raises:
        InvalidParameterValueException: The source is not valid; see also `lamella.control.code.uploaded`.
        AccessDeniedException: The registry does not give the image.
    """
    if config.package_type != IMAGE:
        async with uploaded(ctx, source, account=account) as artifact:
            check_size(ctx, artifact, config.layers)
            yield artifact, config
        return
    if IMAGE_URI not in source or any(member in source for member in _ARCHIVES):
        # Ours: the words are those that AWS has for updates.
        raise InvalidParameterValueException("Please provide ImageUri when creating a function with packageType Image.")
    reference = ImageReference.parse(source[IMAGE_URI], region=ctx.region)
    services = services_of(ctx)
    try:
        found = await services.images.resolve(reference.uri)
    except ImageError as error:
        raise _refusal(error) from error
    digest = _chosen(ctx, reference, found, config.architecture)
    async with services.garbage.referencing():
        yield image_code(config, reference.uri, digest)


def _refusal(error: ImageError) -> ApiError:
    """Why a function cannot have an image; the error begins with what AWS would say, where that is known.

    A registry that cannot be asked is no `ServiceException`, which clients would try again and again.
    """
    if error.code == "ImageAccessDenied":
        return AccessDeniedException(str(error))
    return InvalidParameterValueException(str(error))


def _chosen(ctx: Context, reference: ImageReference, found: ResolvedImage, architecture: Architecture) -> str:
    """The digest of the image to run, of those that a reference offers.

    AWS takes no index, not even one with a single image in it, which is what Docker pushes since it adds attestations.
    Here it is taken where AWS's limits are not asked for, and by names that are not AWS's.

    An image for another architecture is taken, as on AWS: the function fails with "exec format error".

    Raises:
        InvalidParameterValueException: There is none, or AWS would not take it.
    """
    if any(platform.digest == found.digest for platform in found.platforms):
        return found.digest
    if reference.of_aws and profile_of(ctx) is LimitProfile.AWS:
        raise InvalidParameterValueException(
            f"The image manifest, config or layer media type for the source image {reference.uri} is not supported. It "
            "is an index of images for several platforms. Build it for one, with Docker by --platform linux/amd64 "
            "--provenance=false; or let the server take it: limits = relaxed."
        )
    for platform in found.platforms:
        if platform.architecture is architecture:
            if reference.of_aws:
                ctx.warnings.append(f"AWS would refuse {reference.uri}, an index of images for several platforms")
            return platform.digest
    offered = " and ".join(platform.architecture for platform in found.platforms) or "nothing that Lambda knows"
    raise InvalidParameterValueException(
        f"The image {reference.uri} is not for {architecture}, the architecture of the function, but for {offered}."
    )


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
    """Where the image is, by the name that the caller gave it and by its digest.

    Source of the members: answer of AWS to GetFunction, 2024, in a public repository of Terraform sources.
    """
    uri = version.config.other[IMAGE_URI]
    shown = shapes.FunctionCodeLocation(RepositoryType="ECR", ImageUri=uri)
    if version.artifact.code_sha256:  # else the function was stored before images were run
        reference = ImageReference.parse(uri, region=version.key.region)
        shown["ResolvedImageUri"] = reference.resolved(version.artifact.code_sha256)
    return shown
