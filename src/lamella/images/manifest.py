"""Manifests, indexes and configurations of images, read from JSON that anybody may have written.

Source: OCI image specification 1.1 (image-manifest, image-index, config, media-types); Docker's image manifest,
version 2, schema 2.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from lamella.domain.function import Architecture
from lamella.images.reference import DIGEST, INVALID
from lamella.ports.images import ImageError, Platform

OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
OCI_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
OCI_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"

MANIFESTS: Final = (OCI_MANIFEST, DOCKER_MANIFEST)
INDEXES: Final = (OCI_INDEX, DOCKER_LIST)
_CONFIGS: Final = (OCI_CONFIG, "application/vnd.docker.container.image.v1+json")
_LAYERS: Final = tuple(
    base + packing
    for base in (OCI_LAYER, "application/vnd.oci.image.layer.nondistributable.v1.tar")
    for packing in ("", "+gzip", "+zstd")
) + tuple(
    f"application/vnd.docker.image.rootfs.{kind}diff.tar{packing}"
    for kind in ("", "foreign.")
    for packing in ("", ".gzip", ".zstd")
)

DOCUMENT_MOST_BYTES: Final = 4 * 1024 * 1024
"""Of a manifest, index or configuration; registries take no larger ones either (distribution specification, 4 MiB)."""

IMAGE_MOST_BYTES: Final = 10 * 1024**3
"""Of an image's files in all its layers. Source: Lambda developer guide, "Lambda quotas": 10 GB uncompressed."""

_LAYERS_MOST: Final = 127
"""As in Docker: what one overlay takes on every kernel is not much more."""

_ARCHITECTURES: Final = {"amd64": Architecture.X86_64, "arm64": Architecture.ARM64}


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A part of an image.

    Attributes:
        digest: SHA-256 of its bytes, 64 hex digits.
        size_bytes: As the manifest says.
        platform: Operating system and architecture, under their OCI names; empty if the descriptor does not say.
        name: The tag that it has in a layout; empty if none.
    """

    media_type: str
    digest: str
    size_bytes: int
    platform: tuple[str, str] = ("", "")
    name: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """Of one image.

    Attributes:
        digest: SHA-256 of its text.
        layers: The lowest first.
    """

    digest: str
    config: Descriptor
    layers: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True)
class Index:
    """Of several images for different platforms, or of all that a layout has."""

    digest: str
    manifests: tuple[Descriptor, ...]

    def platforms(self) -> tuple[Platform, ...]:
        """Those that Lambda knows."""
        return tuple(
            Platform(_ARCHITECTURES[architecture], one.digest)
            for one in self.manifests
            for system, architecture in (one.platform,)
            if system == "linux" and architecture in _ARCHITECTURES and one.media_type in MANIFESTS
        )


@dataclass(frozen=True, slots=True)
class Configuration:
    """What an image says about how it is run.

    Attributes:
        diff_ids: SHA-256 of the unpacked archive of each layer.
    """

    architecture: Architecture
    diff_ids: tuple[str, ...]
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    working_directory: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


class _MisshapenError(Exception):
    """Something is not of the kind that it has to be; the text says what."""


def sha256(data: bytes) -> str:
    """64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def read_document(data: bytes, media_type: str, shown: str) -> Manifest | Index:
    """A manifest or an index, whichever it is.

    Args:
        data: Its text, which has been compared with its digest if one was known.
        media_type: As the registry or descriptor says; what the document says itself comes first.
        shown: The image, for errors.

    Raises:
        ImageError: It is neither, or not well-formed.
    """
    try:
        document = _parsed(data)
        kind = _text(document, "mediaType") or media_type.partition(";")[0].strip()
        if not document.get("mediaType") and kind not in (*MANIFESTS, *INDEXES):
            # OCI's may leave their type out, and layouts and web servers may know none.
            kind = OCI_INDEX if "manifests" in document else OCI_MANIFEST if "layers" in document else kind
        if kind in INDEXES:
            return Index(sha256(data), _descriptors(document, "manifests"))
        if kind in MANIFESTS:
            manifest = Manifest(
                sha256(data), _descriptor(_mapping(document, "config"), "config"), _descriptors(document, "layers")
            )
            return _checked(manifest)
    except _MisshapenError as error:
        raise ImageError(f"The manifest of {shown} is not valid: {error}.", INVALID) from None
    raise unsupported(shown, kind)


def unsupported(shown: str, media_type: str) -> ImageError:
    """For an image of a kind that AWS does not take either. The first sentence is AWS's, with the source image named.

    Source: answers of AWS quoted in public issues, 2025 (aws-samples/bedrock-access-gateway 206, aws/aws-lambda-roadmap
    82).
    """
    return ImageError(
        f"The image manifest, config or layer media type for the source image {shown} is not supported. "
        f"It is {media_type[:120]!r}: push the image in Docker's format (schema 2) or in OCI's.",
        INVALID,
    )


def read_configuration(data: bytes, shown: str) -> Configuration:
    """What a configuration says.

    Raises:
        ImageError: It is not well-formed, or of an image that is not for Linux on a processor that Lambda knows.
    """
    try:
        document = _parsed(data)
        system, architecture = _text(document, "os") or "linux", _text(document, "architecture")
        if system != "linux" or architecture not in _ARCHITECTURES:
            raise ImageError(
                f"The image {shown} is for {system[:40]!r} on {architecture[:40]!r}: Lambda runs linux "
                "on amd64 or arm64.",
                INVALID,
            )
        run = _mapping(document, "config", {})
        return Configuration(
            architecture=_ARCHITECTURES[architecture],
            diff_ids=tuple(_digest(one) for one in _texts(_mapping(document, "rootfs"), "diff_ids")),
            entrypoint=_texts(run, "Entrypoint"),
            command=_texts(run, "Cmd"),
            working_directory=_text(run, "WorkingDir"),
            env=_variables(_texts(run, "Env")),
            user=_text(run, "User"),
            labels={name: _text(labels, name) for labels in (_mapping(run, "Labels", {}),) for name in labels},
        )
    except _MisshapenError as error:
        raise ImageError(f"The configuration of {shown} is not valid: {error}.", INVALID) from None


def check_kinds(manifest: Manifest, shown: str) -> None:
    """Make sure that it is an image, and not one of the other things that registries keep.

    Raises:
        ImageError: It is not, or its layers are larger than an image may be even before they are unpacked.
    """
    if manifest.config.media_type not in _CONFIGS:
        raise unsupported(shown, manifest.config.media_type)
    for layer in manifest.layers:
        if layer.media_type not in _LAYERS:
            raise unsupported(shown, layer.media_type)
    if sum(layer.size_bytes for layer in manifest.layers) > IMAGE_MOST_BYTES:
        raise too_large(shown)


def too_large(shown: str) -> ImageError:
    """For an image beyond 10 GB."""
    return ImageError(f"The image {shown} is larger than 10 GB, the most that Lambda takes.", INVALID)


def manifest_text(config: Descriptor, layers: Iterable[Descriptor]) -> bytes:
    """A manifest for an image that comes without one, the same for the same parts."""
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": _written(config),
        "layers": [_written(layer) for layer in layers],
    }
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()


def _written(one: Descriptor) -> dict[str, object]:
    return {"mediaType": one.media_type, "digest": f"sha256:{one.digest}", "size": one.size_bytes}


def _checked(manifest: Manifest) -> Manifest:
    if len(manifest.layers) > _LAYERS_MOST:
        raise _MisshapenError(f"it has {len(manifest.layers)} layers, and at most {_LAYERS_MOST} are possible")
    if manifest.config.size_bytes > DOCUMENT_MOST_BYTES:
        raise _MisshapenError("its configuration is larger than 4 MiB")
    return manifest


def read_object(data: bytes, shown: str) -> Mapping[str, Any]:  # Any: JSON
    """A JSON object.

    Raises:
        ImageError: It is none.
    """
    try:
        return _parsed(data)
    except _MisshapenError as error:
        raise ImageError(f"{shown} is not valid: {error}.", INVALID) from None


def read_list(data: bytes, shown: str) -> list[Mapping[str, Any]]:  # Any: JSON
    """A JSON list of objects.

    Raises:
        ImageError: It is none.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, list) or not all(isinstance(one, dict) for one in document):
        raise ImageError(f"{shown} is not a list.", INVALID)
    return document


def _parsed(data: bytes) -> Mapping[str, Any]:  # Any: JSON
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise _MisshapenError("it is not JSON") from None
    if not isinstance(document, dict):
        raise _MisshapenError("it is not an object")
    return document


def _mapping(document: Mapping[str, Any], name: str, default: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    value = document.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, dict):
        raise _MisshapenError(f"{name} is not an object")
    return value


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or "\0" in value:
        raise _MisshapenError(f"{name[:80]!r} is not a text")
    return value


def _texts(document: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = document.get(name)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(one, str) and "\0" not in one for one in value):
        raise _MisshapenError(f"{name} is not a list of texts")
    return tuple(value)


def _variables(lines: Iterable[str]) -> dict[str, str]:
    pairs = [line.partition("=") for line in lines]
    if not all(name for name, _, _ in pairs):
        raise _MisshapenError("Env has a variable without a name")
    return {name: value for name, _, value in pairs}


def _digest(text: object) -> str:
    match = DIGEST.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise _MisshapenError(f"{str(text)[:80]!r} is not the digest of a SHA-256")
    return match[1]


def _descriptors(document: Mapping[str, Any], name: str) -> tuple[Descriptor, ...]:
    value = document.get(name)
    if not isinstance(value, list):
        raise _MisshapenError(f"{name} is not a list")
    return tuple(_descriptor(one, name) for one in value)


def _descriptor(value: object, name: str) -> Descriptor:
    if not isinstance(value, dict):
        raise _MisshapenError(f"{name} has something that is not an object")
    size_bytes = value.get("size")
    if not isinstance(size_bytes, int) or isinstance(size_bytes, bool) or size_bytes < 0:
        raise _MisshapenError(f"{name} has something without a size")
    platform = _mapping(value, "platform", {})
    return Descriptor(
        _text(value, "mediaType"),
        _digest(value.get("digest")),
        size_bytes,
        (_text(platform, "os"), _text(platform, "architecture")),
        _text(_mapping(value, "annotations", {}), "org.opencontainers.image.ref.name"),
    )
