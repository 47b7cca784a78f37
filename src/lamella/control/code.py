"""Archives that callers upload: checked, stored and kept until a row refers to them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from lamella.awsapi.context import Context
from lamella.control.limits import limit_of, note, profile_of
from lamella.control.services import services_of
from lamella.domain._api_errors import CodeStorageExceededException, InvalidParameterValueException
from lamella.domain.errors import RequestEntityTooLargeException
from lamella.domain.function import Artifact
from lamella.domain.quotas import UNZIPPED, ZIP_UPLOAD, unzipped_too_large
from lamella.ports.stores import ArchiveError, ArchiveTooLargeError

_ELSEWHERE: Final = ("S3Bucket", "S3Key", "S3ObjectVersion", "S3ObjectStorageMode")


@asynccontextmanager
async def uploaded(
    ctx: Context, source: Mapping[str, object], *, account: str | None = None
) -> AsyncIterator[Artifact]:
    """Store the archive that a request brings. It stays for as long as the context lasts, or a row refers to it.

    Args:
        ctx: Of the request.
        source: Members `ZipFile`, `S3Bucket`, `S3Key`, `ImageUri` ... of `FunctionCode`, UpdateFunctionCode or
            `LayerVersionContentInput`.
        account: Whose quota it counts against; the caller's if `None`.

    Raises:
        InvalidParameterValueException: None or too many sources, a source we do not support, or a bad archive.
        RequestEntityTooLargeException: The archive is too large for a direct upload.
        CodeStorageExceededException: There is no room for it in the account's quota.
    """
    archive = _archive(ctx, source)
    services = services_of(ctx)
    await _check_storage(ctx, account or ctx.account, len(archive))
    async with services.garbage.referencing():
        try:
            # The limit is the first size that is too large: "must be smaller than".
            artifact = await services.artifacts.add(archive, max_unzipped_bytes=limit_of(ctx, UNZIPPED) - 1)
        except ArchiveTooLargeError:
            raise unzipped_too_large(profile_of(ctx)) from None
        except ArchiveError as error:
            raise InvalidParameterValueException(str(error)) from error
        note(ctx, ZIP_UPLOAD, artifact.size_bytes)
        note(ctx, UNZIPPED, artifact.unzipped_bytes)
        try:
            yield artifact
        finally:
            services.artifacts.release(artifact.digest)


def _archive(ctx: Context, source: Mapping[str, object]) -> bytes:
    """The uploaded bytes.

    Source of the first two texts: answers of AWS quoted in public issues. The others are ours.
    """
    archive = source.get("ZipFile")
    elsewhere = [member for member in _ELSEWHERE if member in source]
    if archive is not None and (elsewhere or "ImageUri" in source):
        raise InvalidParameterValueException(
            "Please do not provide other FunctionCode parameters when providing a ZipFile."
        )
    if archive is None and not elsewhere and "ImageUri" not in source:
        raise InvalidParameterValueException("Please provide a source for function code.")
    if "ImageUri" in source:
        raise InvalidParameterValueException(
            "Lamella does not run container images yet: provide a .zip file archive as ZipFile."
        )
    if elsewhere:
        raise InvalidParameterValueException(
            "Lamella does not read archives from Amazon S3 yet: "
            f"provide the archive as ZipFile, up to {limit_of(ctx, ZIP_UPLOAD)} bytes."
        )
    assert isinstance(archive, bytes)
    limit = limit_of(ctx, ZIP_UPLOAD)
    if len(archive) > limit:
        raise RequestEntityTooLargeException(f"Zipped size must be smaller than {limit} bytes")
    return archive


async def _check_storage(ctx: Context, account: str, more_bytes: int) -> None:
    services = services_of(ctx)
    _, functions_bytes = await services.functions.usage(account, ctx.region)
    layers_bytes = await services.layers.usage(account, ctx.region)
    if functions_bytes + layers_bytes + more_bytes > services.settings.code_storage_bytes:
        raise CodeStorageExceededException("Code storage limit exceeded.")
