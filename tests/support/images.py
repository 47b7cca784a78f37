"""Images made by tests: layers from a few files, put together and written as a layout, an archive, or to a registry."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zstandard

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def member(name: str, kind: bytes = tarfile.REGTYPE, **attributes: Any) -> tarfile.TarInfo:
    """A header; attributes are those of `TarInfo`."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    info.mtime = 1_700_000_000
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    return info


def archive(entries: Iterable[tuple[tarfile.TarInfo, bytes]], format_: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar archive of members with their contents."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format_) as tar:
        for info, content in entries:
            if info.isreg() and not info.size:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def files(content: Mapping[str, bytes | str], *, mode: int = 0o644) -> bytes:
    """A tar archive of files by path; those below a `bin`, and a `bootstrap`, are executable.

    A path that ends with a slash is a directory; a text that begins with `->` a link.
    """
    entries = []
    for name, value in content.items():
        if name.endswith("/"):
            entries.append((member(name.rstrip("/"), tarfile.DIRTYPE), b""))
        elif isinstance(value, str) and value.startswith("->"):
            entries.append((member(name, tarfile.SYMTYPE, linkname=value[2:]), b""))
        else:
            executable = "bin/" in name or name.endswith("bootstrap")
            data = value.encode() if isinstance(value, str) else value
            entries.append((member(name, mode=0o755 if executable else mode), data))
    return archive(entries)


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, 1, mtime=0)


def zstded(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=1).compress(data)


PACKINGS: Mapping[str, tuple[Callable[[bytes], bytes], str]] = {
    "none": (lambda data: data, OCI_LAYER),
    "gzip": (gzipped, f"{OCI_LAYER}+gzip"),
    "zstd": (zstded, f"{OCI_LAYER}+zstd"),
    "docker": (gzipped, DOCKER_LAYER),
}


@dataclass
class Made:
    """An image's parts.

    Attributes:
        manifest: Its text.
        blobs: By digest: configuration and packed layers.
    """

    manifest: bytes
    media_type: str
    blobs: dict[str, bytes]
    architecture: str
    diff_ids: list[str]
    config: bytes
    archives: list[bytes] = field(default_factory=list)

    @property
    def digest(self) -> str:
        return digest(self.manifest)


def image(
    *layers: bytes,
    architecture: str = "amd64",
    packing: str = "gzip",
    config: Mapping[str, Any] | None = None,
    docker: bool = False,
    **more: Any,
) -> Made:
    """Put an image together.

    Args:
        layers: Tar archives, the lowest first.
        architecture: As OCI names it.
        packing: One of `PACKINGS`.
        config: `Entrypoint`, `Cmd`, `Env`, `WorkingDir` and so on.
        docker: Whether with Docker's media types.
        more: In place of members of the configuration.
    """
    pack, layer_type = PACKINGS["docker" if docker else packing]
    diff_ids = [digest(layer) for layer in layers]
    packed = [pack(layer) for layer in layers]
    document = {
        "architecture": architecture,
        "os": "linux",
        "config": dict(config or {}),
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{one}" for one in diff_ids]},
        **more,
    }
    text = json.dumps(document).encode()
    media_type = DOCKER_MANIFEST if docker else OCI_MANIFEST
    manifest = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": descriptor(text, DOCKER_CONFIG if docker else OCI_CONFIG),
        "layers": [descriptor(one, layer_type) for one in packed],
    }
    blobs = {digest(one): one for one in (text, *packed)}
    return Made(json.dumps(manifest).encode(), media_type, blobs, architecture, diff_ids, text, list(layers))


def descriptor(data: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{digest(data)}", "size": len(data), **more}


def index(images: Sequence[Made], *, docker: bool = False) -> bytes:
    """An index of images for different platforms."""
    entries = [
        descriptor(one.manifest, one.media_type, platform={"os": "linux", "architecture": one.architecture})
        for one in images
    ]
    kind = DOCKER_LIST if docker else OCI_INDEX
    return json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": entries}).encode()


def write_layout(root: Path, tags: Mapping[str, Made | Sequence[Made]]) -> Path:
    """Write an OCI layout; a tag of several images gets an index of them. The tag "" is an entry without one."""
    blobs: dict[str, bytes] = {}
    entries = []
    for tag, made in tags.items():
        several = (made,) if isinstance(made, Made) else tuple(made)
        for one in several:
            blobs |= {**one.blobs, one.digest: one.manifest}
        document, kind = (made.manifest, made.media_type) if isinstance(made, Made) else (index(several), OCI_INDEX)
        blobs[digest(document)] = document
        named = {"annotations": {"org.opencontainers.image.ref.name": tag}} if tag else {}
        entries.append(descriptor(document, kind, **named))
    (root / "blobs/sha256").mkdir(parents=True, exist_ok=True)
    for name, data in blobs.items():
        (root / "blobs/sha256" / name).write_bytes(data)
    (root / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (root / "index.json").write_text(json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}))
    return root
