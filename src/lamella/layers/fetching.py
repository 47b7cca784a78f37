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
from dataclasses import dataclass
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
class LayerVersion:
    """What the API says of a layer version.

    Attributes:
        arn: With the version's number.
        created_at: As the API writes it, e.g. `2026-11-26T20:33:19.000+0000`.
        sha256: Of the archive, 32 bytes.
        location: Where the archive can be fetched for some minutes. It holds a signature: never print it.
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
    location: str

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
    return _version(client.get_layer_version_by_arn(Arn=arn))


def _version(answer: Mapping[str, Any]) -> LayerVersion:  # Any: an answer of the API
    content = answer.get("Content", {})
    arn = str(answer.get("LayerVersionArn", ""))
    try:
        sha256 = base64.b64decode(content["CodeSha256"], validate=True)
        size_bytes, location = int(content["CodeSize"]), str(content["Location"])
    except (KeyError, ValueError, binascii.Error) as error:
        raise LayerReadError(f"{arn}: the server does not say where its archive is, or how large: {error}") from error
    if len(sha256) != 32 or not 0 < size_bytes <= _MOST_BYTES:
        raise LayerReadError(f"{arn}: the server states a hash or a size ({size_bytes:,} bytes) that cannot be true")
    return LayerVersion(
        arn,
        int(answer["Version"]),
        str(answer.get("Description", "")),
        str(answer.get("CreatedDate", "")),
        tuple(answer.get("CompatibleRuntimes", ())),
        tuple(answer.get("CompatibleArchitectures", ())),
        str(answer.get("LicenseInfo", "")),
        size_bytes,
        sha256,
        location,
    )


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


@contextmanager
def open_described(
    client: Any,  # botocore makes its clients at run time
    version: LayerVersion,
    *,
    cache: Path | None,
    whole: bool = False,
    progress: DownloadProgress | None = None,
) -> Iterator[LayerContents]:
    """As `open_layer_version`, of a version that was asked for just now."""
    store = ArchiveCache(cache) if cache is not None else None
    locations = iter((version.location,))

    def locate() -> str:
        """The address at hand, and a new one when that has become too old."""
        return next(locations, None) or describe_layer_version(client, version.arn).location

    with (
        _pool(version.location) as pool,
        closing(_open(version, locate, pool, store, whole=whole, progress=progress)) as file,
        open_contents(file, label=version.arn) as contents,
    ):
        yield contents


def _open(
    version: LayerVersion,
    locate: Callable[[], str],
    pool: urllib3.PoolManager,
    store: ArchiveCache | None,
    *,
    whole: bool,
    progress: DownloadProgress | None,
) -> BinaryIO:
    kept = store.find(version.sha256, version.zipped_bytes) if store is not None else None
    if kept is not None:
        return kept
    source = HttpSource(locate, version.arn, pool)
    size_bytes = version.zipped_bytes
    tail = None if whole else source.open_tail(size_bytes)
    if tail is not None and len(tail) == size_bytes:
        if hashlib.sha256(tail).digest() != version.sha256:
            raise _other(version)
        return io.BytesIO(tail)
    if tail is not None:
        ranges = RangeFile(size_bytes, tail, lambda first, count: source.read_range(first, count, size_bytes))
        return io.BufferedReader(ranges)
    if store is not None:
        try:
            with store.adding(version.sha256) as kept:
                _download(source, version, kept, progress)
        except OSError:
            pass  # a home that cannot be written to is no reason not to look at a layer
        else:
            return kept
    file = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115  (the caller closes it)
    try:
        _download(source, version, file, progress)
    except BaseException:
        file.close()
        raise
    return file


def _download(source: HttpSource, version: LayerVersion, file: BinaryIO, progress: DownloadProgress | None) -> None:
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
            progress(file.tell(), version.zipped_bytes)

    source.download(version.zipped_bytes, begin)
    file.flush()
    if digest.digest() != version.sha256:
        raise _other(version)


def _other(version: LayerVersion) -> LayerReadError:
    return LayerReadError(f"{version.arn}: what arrived is not the archive that was published: its SHA-256 differs")


def _pool(url: str) -> AbstractContextManager[urllib3.PoolManager]:
    """Connections by the environment's rules for proxies and certificates, as AWS's tools follow them."""
    parts = urlsplit(url)
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme)
    authorities = os.environ.get("AWS_CA_BUNDLE") or None
    if proxy and not urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2]):
        return urllib3.ProxyManager(proxy if "://" in proxy else f"http://{proxy}", ca_certs=authorities)
    return urllib3.PoolManager(ca_certs=authorities)
