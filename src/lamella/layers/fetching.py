"""Layer versions of a server or of AWS, by Lambda's public API: what is known of them, and their contents.

The address that `GetLayerVersionByArn` gives is read by ranges where its server has them, as S3 and Lamella do: of an
archive of 50 MB, looking at packages takes some hundred KB. What is downloaded as a whole is checked against
`CodeSha256` and kept. Source: model, shapes `GetLayerVersionResponse` and `LayerVersionContentOutput`.
"""

import base64
import binascii
import hashlib
import io
import os
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias, cast
from urllib.parse import urlsplit

import urllib3

from lamella.layers.cache import ArchiveCache
from lamella.layers.contents import LayerContents, open_contents
from lamella.layers.errors import LayerReadError
from lamella.layers.remote import HttpSource, RangeFile

DownloadProgress: TypeAlias = Callable[[int, int], None]
"""Told how many bytes have arrived, and how many there are, while an archive is downloaded as a whole."""

_MOST_BYTES: Final = 2 * 1024**3


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive that can be fetched.

    Attributes:
        label: What to call it.
        sha256: Of the archive, 32 bytes.
        location: Where it can be fetched for some minutes. It holds a signature: never print it.
    """

    label: str
    zipped_bytes: int
    sha256: bytes
    location: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class LayerVersion:
    """What the API says of a layer version.

    Attributes:
        arn: With the version's number.
        created_at: As the API writes it, e.g. `2026-11-26T20:33:19.000+0000`.
        zipped_bytes, sha256, location: As of `Archive`.
    """

    arn: str
    version: int
    description: str
    created_at: str
    runtimes: tuple[str, ...]
    architectures: tuple[str, ...]
    licence: str
    zipped_bytes: int
    sha256: bytes
    location: str = field(repr=False)

    @property
    def archive(self) -> Archive:
        """Its content."""
        return Archive(self.arn, self.zipped_bytes, self.sha256, self.location)

    @property
    def layer_arn(self) -> str:
        """The ARN of the layer."""
        return self.arn.rpartition(":")[0]

    @property
    def name(self) -> str:
        """The name of the layer."""
        return self.layer_arn.rpartition(":")[2]


def describe_layer_version(client: Any, arn: str) -> LayerVersion:  # Any: botocore makes its clients at run time
    """Ask for a layer version.

    Raises:
        LayerReadError: The answer makes no sense.
        ClientError, BotoCoreError: Of botocore's: it is not there, may not be read, or the server was not reached.
    """
    answer = client.get_layer_version_by_arn(Arn=arn)
    content, arn = answer.get("Content", {}), str(answer.get("LayerVersionArn", arn))
    archive = archive_of(arn, content.get("Location"), content.get("CodeSize"), content.get("CodeSha256"))
    return LayerVersion(
        arn,
        int(answer.get("Version", 0)),
        str(answer.get("Description", "")),
        str(answer.get("CreatedDate", "")),
        tuple(answer.get("CompatibleRuntimes", ())),
        tuple(answer.get("CompatibleArchitectures", ())),
        str(answer.get("LicenseInfo", "")),
        archive.zipped_bytes,
        archive.sha256,
        archive.location,
    )


def archive_of(label: str, location: object, size_bytes: object, sha256: object) -> Archive:
    """An archive as the API describes it, of a layer version or of a function's code.

    Raises:
        LayerReadError: What it says cannot be true.
    """
    try:
        digest = base64.b64decode(str(sha256), validate=True)
    except binascii.Error:
        digest = b""
    if len(digest) != 32 or not isinstance(size_bytes, int) or not 0 < size_bytes <= _MOST_BYTES:
        raise LayerReadError(f"{label}: the server states a hash or a size that cannot be true")
    if not isinstance(location, str):
        raise LayerReadError(f"{label}: the server does not say where the archive is")
    return Archive(label, size_bytes, digest, location)


@contextmanager
def open_layer_version(
    client: Any,  # botocore makes its clients at run time
    arn: str,
    *,
    cache: Path | None,
    whole: bool = False,
    progress: DownloadProgress | None = None,
) -> Iterator[LayerContents]:
    """The contents of a layer version of a server or of AWS.

    Args:
        client: Of botocore, for the service `lambda`.
        arn: With the version's number.
        cache: Directory for archives that are downloaded as a whole; `None` keeps none.
        whole: Download it: right for whoever is going to read most of it.
        progress: Told about a download.

    Raises:
        LayerReadError: It cannot be fetched, or is not what the API says it is.
        ClientError, BotoCoreError: As `describe_layer_version`.
    """
    version = describe_layer_version(client, arn)
    with open_described(client, version, cache=cache, whole=whole, progress=progress) as contents:
        yield contents


def open_described(
    client: Any,  # botocore makes its clients at run time
    version: LayerVersion,
    *,
    cache: Path | None,
    whole: bool = False,
    progress: DownloadProgress | None = None,
) -> AbstractContextManager[LayerContents]:
    """As `open_layer_version`, of a version that was asked for just now."""

    def renew() -> str:
        return describe_layer_version(client, version.arn).archive.location

    return open_archive(version.archive, renew, cache=cache, whole=whole, progress=progress)


@contextmanager
def open_function_code(
    client: Any,  # botocore makes its clients at run time
    function: Mapping[str, Any],
    *,
    cache: Path | None,
) -> Iterator[LayerContents]:
    """The code of a function, as it is at `/var/task`.

    Args:
        client: Of botocore, for the service `lambda`.
        function: What `GetFunction` answered a moment ago.
        cache: Directory for archives that are downloaded as a whole.

    Raises:
        LayerReadError: It cannot be fetched, is not what the API says it is, or the function is a container image.
        ClientError, BotoCoreError: As `describe_layer_version`.
    """
    setup = function["Configuration"]
    version = {"Qualifier": setup["Version"]} if setup.get("Version") else {}

    def renew() -> str:
        return str(client.get_function(FunctionName=setup["FunctionName"], **version)["Code"]["Location"])

    location = function.get("Code", {}).get("Location")
    archive = archive_of("function code", location, setup.get("CodeSize"), setup.get("CodeSha256"))
    with open_archive(archive, renew, cache=cache) as contents:
        yield contents


@contextmanager
def open_archive(
    archive: Archive,
    renew: Callable[[], str],
    *,
    cache: Path | None,
    whole: bool = False,
    progress: DownloadProgress | None = None,
) -> Iterator[LayerContents]:
    """The contents of an archive; arguments and errors as of `open_layer_version`.

    Args:
        archive: What and where it is.
        renew: Gives another address when that of the archive has become too old.
        cache: Directory for what is downloaded.
        whole: Download it.
        progress: Told about a download.
    """
    store = ArchiveCache(cache) if cache is not None else None
    locations = iter((archive.location,))

    def locate() -> str:
        return next(locations, None) or renew()

    with (
        _pool(archive.location) as pool,
        closing(_open(archive, locate, pool, store, whole=whole, progress=progress)) as file,
        open_contents(file, label=archive.label) as contents,
    ):
        yield contents


def _open(
    archive: Archive,
    locate: Callable[[], str],
    pool: urllib3.PoolManager,
    store: ArchiveCache | None,
    *,
    whole: bool,
    progress: DownloadProgress | None,
) -> BinaryIO:
    kept = store.find(archive.sha256, archive.zipped_bytes) if store is not None else None
    if kept is not None:
        return kept
    source = HttpSource(locate, archive.label, pool)
    size_bytes = archive.zipped_bytes
    tail = None if whole else source.open_tail(size_bytes)
    if tail is not None and len(tail) == size_bytes:
        if hashlib.sha256(tail).digest() != archive.sha256:
            raise _other(archive)
        return io.BytesIO(tail)
    if tail is not None:
        ranges = RangeFile(size_bytes, tail, lambda first, count: source.read_range(first, count, size_bytes))
        return io.BufferedReader(ranges)
    if store is not None:
        try:
            with store.adding(archive.sha256) as kept:
                _download(source, archive, kept, progress)
        except OSError:
            pass  # a home that cannot be written to is no reason not to look at a layer
        else:
            return kept
    file = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115  (the caller closes it)
    try:
        _download(source, archive, file, progress)
    except BaseException:
        file.close()
        raise
    return file


def _download(source: HttpSource, archive: Archive, file: BinaryIO, progress: DownloadProgress | None) -> None:
    digest = hashlib.sha256()

    def begin() -> Callable[[bytes], None]:
        nonlocal digest
        digest = hashlib.sha256()
        file.seek(0)
        file.truncate()
        return write

    def write(chunk: bytes) -> None:
        digest.update(chunk)
        file.write(chunk)
        if progress is not None:
            progress(file.tell(), archive.zipped_bytes)

    source.download(archive.zipped_bytes, begin)
    file.flush()
    if digest.digest() != archive.sha256:
        raise _other(archive)


def _other(archive: Archive) -> LayerReadError:
    return LayerReadError(f"{archive.label}: what arrived is not the archive that was published: its SHA-256 differs")


def _pool(url: str) -> AbstractContextManager[urllib3.PoolManager]:
    """Connections by the environment's rules for proxies and certificates, as AWS's tools follow them."""
    parts = urlsplit(url)
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme)
    authorities = os.environ.get("AWS_CA_BUNDLE") or None
    if proxy and not urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2]):
        return urllib3.ProxyManager(proxy if "://" in proxy else f"http://{proxy}", ca_certs=authorities)
    return urllib3.PoolManager(ca_certs=authorities)
