"""OCI image layouts: a directory with `index.json` and the parts by digest.

Source: OCI image specification 1.1, image-layout.
"""

from pathlib import Path
from typing import BinaryIO

from lamella.images.files import checked, open_plain, read_small
from lamella.images.manifest import OCI_INDEX, Descriptor, Index, read_document
from lamella.images.reference import DELETED, INVALID, Reference
from lamella.images.source import Stopped
from lamella.ports.images import ImageError


class Layout:
    """Implements `ImageSource` for a directory."""

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        self._root = reference.path

    def document(self, digest: str) -> tuple[bytes, str]:
        """See the protocol."""
        if digest:
            return self.blob(Descriptor("", digest, 0)), ""
        data = self._read("index.json", f"{self._reference.place}: index.json")
        chosen = choose(data, self._reference)
        return (data, OCI_INDEX) if chosen is None else (self.blob(chosen), chosen.media_type)

    def blob(self, part: Descriptor) -> bytes:
        """See the protocol."""
        shown = self._shown(part)
        return checked(self._read(f"blobs/sha256/{part.digest}", shown), part, shown=shown)

    def layer(self, part: Descriptor, spool: Path, stopped: Stopped) -> BinaryIO:  # noqa: ARG002  # nothing is fetched
        """See the protocol."""
        return open_plain(self._root / "blobs/sha256" / part.digest, shown=self._shown(part))

    def close(self) -> None:
        """Nothing is held."""

    def _read(self, name: str, shown: str) -> bytes:
        with open_plain(self._root / name, shown=shown) as file:
            return read_small(file, shown=shown)

    def _shown(self, part: Descriptor) -> str:
        return f"{self._reference.place}: the part sha256:{part.digest}"


def choose(index: bytes, reference: Reference) -> Descriptor | None:
    """Which entry of a layout's index a reference names; `None` for all of them, one image for several platforms.

    Raises:
        ImageError: None of them, or it is not clear which.
    """
    shown = reference.place
    found = read_document(index, OCI_INDEX, shown)
    if not isinstance(found, Index):
        raise ImageError(f"{shown}: index.json is no index of images.", INVALID)
    entries, names = found.manifests, [one.name for one in found.manifests if one.name]
    if reference.digest:
        entries = tuple(one for one in entries if one.digest == reference.digest)
        return entries[0] if entries else Descriptor("", reference.digest, 0)
    if reference.tag:
        # The newest: tools that write a tag again may leave the older entry before it.
        tagged = [one for one in entries if one.name in (reference.tag, f"{reference.repository}:{reference.tag}")]
        tagged = tagged or [one for one in entries if one.name.endswith(f":{reference.tag}")]
        if not tagged:
            there = ", ".join(sorted(names)) or "none"
            raise ImageError(f"{shown} has no tag {reference.tag!r}; its tags: {there}.", DELETED)
        return tagged[-1]
    if len(entries) == 1:
        return entries[0]
    if entries and not names and all(one.platform[1] for one in entries):
        return None
    raise ImageError(f"{shown} has {len(entries)} images: say which by a tag ({', '.join(sorted(names))}).", DELETED)
