"""What a command takes as a layer: a zip archive, a directory, or a layer version of a server or of AWS.

To be imported inside commands: what reads archives takes its time to load.
"""

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from lamella.cli.aws import refused
from lamella.cli.failure import CommandError, Status
from lamella.cli.output import printable
from lamella.layers.contents import LayerContents, open_contents
from lamella.layers.errors import LayerReadError

if TYPE_CHECKING:
    from lamella.layers.fetching import LayerVersion

HELP: Final = (
    "A zip archive, a directory, or a layer version: its ARN, NAME:VERSION, NAME:CHANNEL, or NAME for the newest."
)

_NAMED: Final = re.compile(r"(?P<name>[A-Za-z0-9_-]{1,140})(:(?P<version>[1-9][0-9]{0,17}))?")
_LAYER_ARN: Final = re.compile(r"arn:[a-z0-9-]+:lambda:[a-z0-9-]+:[^:]+:layer:[A-Za-z0-9_-]+(?P<version>:[0-9]+)?")
_CHANNEL: Final = re.compile(
    r"(?:arn:[a-z0-9-]+:lambda:[a-z0-9-]+:[0-9]{12}:layer:)?[A-Za-z0-9_-]{1,140}:[A-Za-z][A-Za-z0-9_-]{0,63}"
)
_OF_AWS: Final = re.compile(r"\.(amazonaws\.com(\.cn)?|api\.aws)$")


@dataclass(frozen=True, slots=True)
class OpenedLayer:
    """A layer that can be looked at.

    Attributes:
        runtimes: Declared ones; empty where none are known.
        architectures: Likewise.
        version: What the API says of it; `None` for an archive or a directory.
    """

    contents: LayerContents
    runtimes: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    version: "LayerVersion | None" = None


@contextmanager
def open_any(
    text: str, client_factory: Callable[[], Any], *, cache: Path | None = None, whole: bool = False
) -> Iterator[OpenedLayer]:
    """Open what the user named.

    Args:
        text: As `HELP` says. A file or directory of that name goes before a layer.
        client_factory: Makes a botocore client of `lambda`; called only if it is a layer version.
        cache: For archives that are downloaded; `None` for `cache_directory`.
        whole: Download a layer version as a whole: for commands that read most of it.

    Raises:
        CommandError: There is no such thing, or it cannot be read. Never with the status of an answer that is no.
    """
    # Not `Path.exists`, which fails for what is too long for a name; and an empty text is no name of this directory.
    is_file = bool(text) and os.path.exists(text)  # noqa: PTH110
    status = Status.USAGE if is_file else Status.API
    try:
        if is_file:
            with open_contents(Path(text)) as contents:
                yield OpenedLayer(contents)
            return
        if not any(pattern.fullmatch(text) for pattern in (_LAYER_ARN, _NAMED, _CHANNEL)):
            raise CommandError(
                f"there is no file or directory {text!r}, and it is no layer version: "
                "arn:aws:lambda:REGION:ACCOUNT:layer:NAME:VERSION, NAME:VERSION, NAME:CHANNEL, or NAME",
                Status.USAGE,
            )
        with _open_version(text, client_factory(), cache or cache_directory(os.environ), whole=whole) as opened:
            yield opened
    except LayerReadError as error:
        raise CommandError(printable(str(error)), status) from error


@contextmanager
def _open_version(text: str, client: Any, cache: Path, *, whole: bool) -> Iterator[OpenedLayer]:
    # Here and not above: a third of a second, which no archive at hand should wait for.
    from botocore.exceptions import BotoCoreError, ClientError

    from lamella.layers.fetching import describe_layer_version, open_described

    try:
        version = describe_layer_version(client, find_arn(client, text))
        progress = _Progress(version.name)
        with open_described(client, version, cache=cache, whole=whole, progress=progress) as contents:
            progress.end()
            yield OpenedLayer(contents, version.runtimes, version.architectures, version)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") == "ResourceNotFoundException":
            raise CommandError(f"there is no layer version {text}, or it has been deleted") from error
        raise refused(error) from error
    except BotoCoreError as error:
        raise refused(error) from error


def find_arn(client: Any, text: str) -> str:
    """The ARN of a layer version: of `NAME:VERSION`, of where `NAME:CHANNEL` points, or of the newest one of `NAME`.

    In the place of the name there may be the layer's ARN.

    Raises:
        CommandError: The layer has no versions, or none is named so; AWS is asked for a channel.
        ClientError, BotoCoreError: Of botocore's.
    """
    if _CHANNEL.fullmatch(text) and not _LAYER_ARN.fullmatch(text):
        return _channel_arn(client, text)
    match = _LAYER_ARN.fullmatch(text) or _NAMED.fullmatch(text)
    if match is None:
        raise CommandError(f"{text!r} is no layer version", Status.USAGE)
    if match["version"] is not None:
        if text.startswith("arn:"):
            return text
        answer = client.get_layer_version(LayerName=match["name"], VersionNumber=int(match["version"]))
        return str(answer["LayerVersionArn"])
    versions = client.list_layer_versions(LayerName=text).get("LayerVersions", [])  # the newest come first
    if not versions:
        raise CommandError(f"there is no layer {text!r}, or it has no versions; 'aws lambda list-layers' lists them")
    return str(max(versions, key=lambda version: int(version["Version"]))["LayerVersionArn"])


def _channel_arn(client: Any, text: str) -> str:
    """The layer version that a channel points to; channels are the server's own and not of Lambda's API."""
    from lamella.cli.client import client as server

    url, region = client.meta.endpoint_url, client.meta.region_name
    if _OF_AWS.search(str(urlsplit(url).hostname)):
        raise CommandError(f"{text!r} names a channel, and AWS has none: give a version", Status.USAGE)
    answer = server(url, region).page("GET", f"channels/{quote(text, safe='')}")
    return str(answer["layer_version_arn"])


def cache_directory(environ: Mapping[str, str]) -> Path:
    """Where archives are kept. Source: XDG base directory specification: a relative path is to be ignored."""
    base = Path(environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "lamella" / "layers"


class _Progress:
    """A line on the terminal that says how far a download is; nothing where there is no terminal."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._percent = -1

    def __call__(self, done: int, total: int) -> None:
        percent = done * 100 // max(total, 1)
        if percent != self._percent and sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[KDownloading {self._name}: {percent} % of {total / 1024 / 1024:.1f} MiB")
            sys.stderr.flush()
            self._percent = percent

    def end(self) -> None:
        """Clear the line."""
        if self._percent >= 0:
            sys.stderr.write("\r\x1b[K")
