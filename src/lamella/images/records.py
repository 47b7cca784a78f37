"""What is kept of layers and images on the disk, beside their files."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from lamella.domain.function import Architecture
from lamella.images.manifest import Configuration
from lamella.ports.images import StoredImage

_FORMAT: Final = 1
_URIS_MOST: Final = 10


@dataclass(frozen=True, slots=True)
class LayerRecord:
    """What is known of an unpacked layer.

    Attributes:
        size_bytes: Of its files.
        implied: Directories that its archive had no entry for.
        hides_all: Whether nothing of the layers below is seen.
    """

    size_bytes: int
    implied: tuple[bytes, ...] = ()
    hides_all: bool = False

    def to_json(self) -> str:
        """As stored."""
        implied = [path.hex() for path in self.implied]  # names need not be text
        return json.dumps(
            {"format": _FORMAT, "size_bytes": self.size_bytes, "implied": implied, "hides_all": self.hides_all}
        )

    @classmethod
    def from_json(cls, text: str) -> "LayerRecord":
        """Read what `to_json` wrote.

        Raises:
            ValueError, KeyError, TypeError: It did not.
        """
        document = _document(text)
        return cls(
            int(document["size_bytes"]),
            tuple(bytes.fromhex(path) for path in document["implied"]),
            bool(document["hides_all"]),
        )


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """An image and what this node has to do with it.

    Attributes:
        uris: What it was fetched as: the last of them first.
        fetched_s: When, in seconds since the epoch.
        kept: Whether it stays though nothing uses it, as an operator wanted it here.
    """

    image: StoredImage
    uris: tuple[str, ...]
    fetched_s: float
    kept: bool = False

    def seen_as(self, uri: str) -> "ImageRecord":
        """The same image, known by one more name."""
        return replace(self, uris=tuple(dict.fromkeys((uri, *self.uris)))[:_URIS_MOST])

    def to_json(self) -> str:
        """As stored."""
        image = self.image
        document = {
            "format": _FORMAT,
            "digest": image.digest,
            "architecture": image.architecture.value,
            "layers": image.layers,
            "size_bytes": image.size_bytes,
            "entrypoint": image.entrypoint,
            "command": image.command,
            "working_directory": image.working_directory,
            "env": dict(image.env),
            "user": image.user,
            "labels": dict(image.labels),
            "uris": self.uris,
            "fetched_s": self.fetched_s,
            "kept": self.kept,
        }
        return json.dumps(document, indent=1)

    @classmethod
    def from_json(cls, text: str) -> "ImageRecord":
        """Read what `to_json` wrote.

        Raises:
            ValueError, KeyError, TypeError: It did not.
        """
        document = _document(text)
        image = StoredImage(
            digest=document["digest"],
            architecture=Architecture(document["architecture"]),
            layers=tuple(document["layers"]),
            size_bytes=document["size_bytes"],
            entrypoint=tuple(document["entrypoint"]),
            command=tuple(document["command"]),
            working_directory=document["working_directory"],
            env=dict(document["env"]),
            user=document["user"],
            labels=dict(document["labels"]),
        )
        return cls(image, tuple(document["uris"]), document["fetched_s"], document["kept"])


def write_atomically(path: Path, text: str) -> None:
    """Replace a file as a whole, and have it on the disk."""
    staged = path.with_name(path.name + ".new")
    with staged.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    staged.replace(path)


def used_layers(images: Iterable[StoredImage]) -> frozenset[str]:
    """All layers that any of these images has."""
    return frozenset(layer for image in images for layer in image.layers)


def _document(text: str) -> Mapping[str, Any]:  # Any: JSON of ours
    document = json.loads(text)
    if document["format"] != _FORMAT:
        raise ValueError(f"format {document['format']}")
    return dict(document)


def stored_image(digest: str, configuration: Configuration, layers: Sequence[LayerRecord]) -> StoredImage:
    """An image that is here, as its configuration and its layers describe it."""
    return StoredImage(
        digest=digest,
        architecture=configuration.architecture,
        layers=configuration.diff_ids,
        size_bytes=sum(layer.size_bytes for layer in layers),
        entrypoint=configuration.entrypoint,
        command=configuration.command,
        working_directory=configuration.working_directory,
        env=configuration.env,
        user=configuration.user,
        labels=configuration.labels,
    )
