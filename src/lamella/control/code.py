"""Archives that callers upload: checked, stored and kept until a row refers to them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from lamella.awsapi.context import Context
from lamella.control.limits import limit_of, note, profile_of
from lamella.control.services import services_of
from lamella.domain._api_errors import CodeStorageExceededException, InvalidParameterValueException
from lamella.domain.errors import AccessDeniedException, RequestEntityTooLargeException
from lamella.domain.function import Artifact
from lamella.domain.quotas import UNZIPPED, ZIP_UPLOAD, unzipped_too_large
from lamella.ports.aws import AwsError, AwsUnavailableError, ObjectTooLargeError
from lamella.ports.stores import ArchiveError, ArchiveTooLargeError

_ELSEWHERE: Final = ("S3Bucket", "S3Key", "S3ObjectVersion", "S3ObjectStorageMode")


@asynccontextmanager
async def uploaded(
    ctx: Context, source: Mapping[str, object], *, account: str | None = None
) -> AsyncIterator[Artifact]:
    """Store the archive that a request brings or names. It stays while the context lasts, or a row refers to it.

    Args:
        ctx: Of the request.
        source: Members `ZipFile`, `S3Bucket`, `S3Key`, `ImageUri` ... of `FunctionCode`, UpdateFunctionCode or
            `LayerVersionContentInput`.
        account: Whose quota it counts against; the caller's if `None`.

    Raises:
        InvalidParameterValueException: None or too many sources, a source we do not support, or a bad archive.
        AccessDeniedException: S3 does not give the object to the account.
        RequestEntityTooLargeException: The archive is too large for a direct upload.
        CodeStorageExceededException: There is no room for it in the account's quota.
    """
    _check_source(source)
    async with (
        _archive(ctx, source) as (archive, size_bytes),
        stored(ctx, archive, size_bytes, account=account or ctx.account) as artifact,
    ):
        yield artifact


@asynccontextmanager
async def stored(ctx: Context, archive: bytes | Path, size_bytes: int, *, account: str) -> AsyncIterator[Artifact]:
    """Check and store an archive that is at hand. It stays while the context lasts, or a row refers to it.

    Args:
        ctx: Of the request.
        archive: The zip.
        size_bytes: Its size.
        account: Whose quota it counts against.

    Raises:
        InvalidParameterValueException: It is no zip, cannot be extracted safely, or its contents are too large.
        CodeStorageExceededException: There is no room for it in the account's quota.
    """
    services = services_of(ctx)
    await _check_storage(ctx, account, size_bytes)
    async with services.garbage.referencing():
        try:
            # The limit is the first size that is too large: "must be smaller than".
            artifact = await services.artifacts.add(archive, max_unzipped_bytes=limit_of(ctx, UNZIPPED) - 1)
        except ArchiveTooLargeError:
            raise unzipped_too_large(profile_of(ctx)) from None
        except ArchiveError as error:
            raise InvalidParameterValueException(str(error)) from error
        note(ctx, UNZIPPED, artifact.unzipped_bytes)
        try:
            yield artifact
        finally:
            services.artifacts.release(artifact.digest)


def _check_source(source: Mapping[str, object]) -> None:
    """One source, of a kind that we have.

    Source of the first two texts: answers of AWS quoted in public issues. The others are ours.
    """
    elsewhere = [member for member in _ELSEWHERE if member in source]
    if "ZipFile" in source and (elsewhere or "ImageUri" in source):
        raise InvalidParameterValueException(
            "Please do not provide other FunctionCode parameters when providing a ZipFile."
        )
    # An image is no source for a function without `PackageType: Image`. Source: boto/boto3 issue 2705, 2020.
    if "ImageUri" in source or ("ZipFile" not in source and not ("S3Bucket" in source and "S3Key" in source)):
        raise InvalidParameterValueException("Please provide a source for function code.")
    if source.get("S3ObjectStorageMode", "COPY") != "COPY":
        raise InvalidParameterValueException(
            "Lamella keeps a copy of each archive: S3ObjectStorageMode REFERENCE is not supported."
        )


@asynccontextmanager
async def _archive(ctx: Context, source: Mapping[str, object]) -> AsyncIterator[tuple[bytes | Path, int]]:
    """The archive and its size."""
    archive = source.get("ZipFile")
    if archive is None:
        async with _object(ctx, source) as path:
            yield path, path.stat().st_size
        return
    assert isinstance(archive, bytes)
    limit = limit_of(ctx, ZIP_UPLOAD)
    if len(archive) > limit:
        raise RequestEntityTooLargeException(f"Zipped size must be smaller than {limit} bytes")
    note(ctx, ZIP_UPLOAD, len(archive))
    yield archive, len(archive)


@asynccontextmanager
async def _object(ctx: Context, source: Mapping[str, object]) -> AsyncIterator[Path]:
    """The object of S3 that a request names.

    Source of the texts: answers of AWS quoted in public issues, 2018 to 2025, for refusals of S3. An archive that is by
    itself as large as its contents may be is not fetched to its end; the text for that is the one for its contents.
    """
    bucket, key, version = (source.get(member) for member in ("S3Bucket", "S3Key", "S3ObjectVersion"))
    async with AsyncExitStack() as stack:
        try:
            path = await stack.enter_async_context(
                services_of(ctx).aws.fetch(
                    str(bucket),
                    str(key),
                    None if version is None else str(version),
                    account=ctx.account,
                    region=ctx.region,
                    limit_bytes=limit_of(ctx, UNZIPPED) - 1,
                )
            )
        except ObjectTooLargeError:
            raise unzipped_too_large(profile_of(ctx)) from None
        except AwsUnavailableError as error:
            raise InvalidParameterValueException(f"The archive cannot be read from Amazon S3. {error}") from error
        except AwsError as error:
            told = f"S3 Error Code: {error.code}. S3 Error Message: {error.message}"
            if error.code == "AccessDenied":
                raise AccessDeniedException(
                    "Your access has been denied by S3, please make sure your request credentials have permission to "
                    f"GetObject for {bucket}/{key}. {told}"
                ) from error
            raise InvalidParameterValueException(f"Error occurred while GetObject. {told}") from error
        yield path


async def _check_storage(ctx: Context, account: str, more_bytes: int) -> None:
    services = services_of(ctx)
    _, functions_bytes = await services.functions.usage(account, ctx.region)
    layers_bytes = await services.layers.usage(account, ctx.region)
    if functions_bytes + layers_bytes + more_bytes > services.settings.code_storage_bytes:
        raise CodeStorageExceededException("Code storage limit exceeded.")
