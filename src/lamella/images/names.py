"""Names that images were given on this node, so that functions can use them without any registry."""

import json
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from lamella.domain.function import Architecture
from lamella.images.records import write_atomically
from lamella.images.reference import INVALID, Reference
from lamella.ports.images import ImageError, Platform, ResolvedImage

_FORMAT: Final = 1


class ImageNames:
    """What each name stands for, in a file. Blocking, but for `find`.

    Args:
        path: Of the file; what is not as this class writes it counts as absent.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._names: Mapping[str, ResolvedImage] = {}
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if document["format"] == _FORMAT:
                self._names = {name: _resolved(name, one) for name, one in document["names"].items()}
        except (OSError, ValueError, KeyError, TypeError):
            pass

    def find(self, reference: Reference) -> ResolvedImage | None:
        """What a name stands for; `None` if it was not given here. By digest, one of its images too."""
        if not reference.digest:
            return self._names.get(str(_tagged(reference)))
        for found in self._names.values():
            at = Reference.parse(found.uri)
            if at.place == reference.place:
                if found.digest == reference.digest:
                    return found
                one = [platform for platform in found.platforms if platform.digest == reference.digest]
                if one:
                    return ResolvedImage(found.uri, reference.digest, tuple(one))
        return None

    def names_of(self, digest: str) -> list[str]:
        """Names that stand for an image, alone or among others."""
        return sorted(
            name
            for name, found in self._names.items()
            if digest == found.digest or any(platform.digest == digest for platform in found.platforms)
        )

    def give(self, reference: Reference, found: ResolvedImage) -> None:
        """Let a name stand for something from now on."""
        name = str(_tagged(reference))
        with self._lock:
            self._write({**self._names, name: replace(found, uri=name)})

    def forget(self, digests: set[str]) -> None:
        """Take images away from all names, and names that stand for nothing any more."""
        with self._lock:
            kept = {}
            for name, found in self._names.items():
                platforms = tuple(one for one in found.platforms if one.digest not in digests)
                if platforms:
                    kept[name] = replace(found, platforms=platforms)
            if kept != self._names:
                self._write(kept)

    def _write(self, names: Mapping[str, ResolvedImage]) -> None:
        document = {
            name: {
                "digest": found.digest,
                "platforms": [[one.architecture.value, one.digest] for one in found.platforms],
            }
            for name, found in names.items()
        }
        write_atomically(self._path, json.dumps({"format": _FORMAT, "names": document}, indent=1))
        self._names = names


def parse_name(text: str) -> Reference:
    """A name that can be given: of a registry's form, with a tag or without.

    Raises:
        ImageError: It is none.
    """
    reference = Reference.parse(text)
    if reference.transport != "registry" or reference.digest:
        raise ImageError(
            f"{text!r} is no name for an image: write registry/repository:tag, as functions will name it.", INVALID
        )
    return reference


def _tagged(reference: Reference) -> Reference:
    return reference if reference.tag else replace(reference, tag="latest")


def _resolved(name: str, document: Mapping[str, list[list[str]]]) -> ResolvedImage:
    platforms = tuple(Platform(Architecture(architecture), digest) for architecture, digest in document["platforms"])
    return ResolvedImage(name, str(document["digest"]), platforms)
