"""Images in tar archives: OCI layouts that were packed (`oci-archive`), and what `docker save` writes.

Archives are read where they are: an index of their members is made once, and a layer is the part of the file where it
stands. Source: OCI image specification 1.1, image-layout; Docker's image specification 1.2, "Combined Image JSON +
Filesystem Changeset Format".
"""

import io
import posixpath
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

from lamella.images.files import checked, open_plain, read_small
from lamella.images.layout import choose
from lamella.images.manifest import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    Descriptor,
    manifest_text,
    read_configuration,
    read_list,
    sha256,
)
from lamella.images.reference import DELETED, INVALID, Reference
from lamella.images.source import Stopped
from lamella.ports.images import ImageError

_MEMBERS_MOST: Final = 10_000
_LINKS_MOST: Final = 8
_PIECE_BYTES: Final = 256 * 1024
_PACKED: Final = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ")


class Part(io.RawIOBase):
    """A part of a file, as a file."""

    def __init__(self, file: BinaryIO, begin: int, size_bytes: int) -> None:
        self._file = file
        self._left = size_bytes
        self._at = begin

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any, /) -> int:  # Any: `Buffer`, of the standard library from 3.12 on
        """The next bytes of the part."""
        view = memoryview(buffer).cast("B")[: self._left]
        self._file.seek(self._at)
        data = self._file.read(len(view))
        view[: len(data)] = data
        self._at += len(data)
        self._left -= len(data)
        return len(data)


class ArchiveMembers:
    """The members of an archive on the disk, by name.

    Raises:
        ImageError: It cannot be read, or is no archive.
    """

    def __init__(self, reference: Reference) -> None:
        self.shown = reference.place
        self._path = reference.path
        self._files: dict[str, tuple[int, int]] = {}
        self._links: dict[str, str] = {}
        with open_plain(self._path, shown=self.shown) as file:
            if file.read(6).startswith(_PACKED):
                raise ImageError(f"{self.shown} is packed: unpack it first, with gunzip or its kin.", INVALID)
            file.seek(0)
            try:
                with tarfile.open(fileobj=file, mode="r:") as members:
                    self._index(members)
            except (tarfile.TarError, ValueError, OverflowError, RecursionError, EOFError):
                raise ImageError(f"{self.shown} is not a tar archive.", INVALID) from None

    def size_bytes(self, name: str) -> int:
        """Of a member.

        Raises:
            ImageError: There is none.
        """
        return self._find(name)[1]

    def open(self, name: str) -> BinaryIO:
        """A member, to be read once from its begin; it holds the archive open.

        Raises:
            ImageError: There is none, or the archive is gone.
        """
        begin, size_bytes = self._find(name)
        file = open_plain(self._path, shown=self.shown)
        return _Closing(Part(file, begin, size_bytes), file)

    def read(self, name: str) -> bytes:
        """A small member, whole.

        Raises:
            ImageError: There is none, or it is larger than any document may be.
        """
        with self.open(name) as member:
            return read_small(member, shown=f"{self.shown}: {_shown(name)}")

    def __contains__(self, name: str) -> bool:
        return name in self._files or name in self._links

    def _index(self, members: tarfile.TarFile) -> None:
        for number, member in enumerate(members):
            if number > _MEMBERS_MOST:
                raise ImageError(
                    f"{self.shown} has more than {_MEMBERS_MOST:,} files: it is no archive of images.", INVALID
                )
            name = posixpath.normpath(member.name).lstrip("/")
            if member.isreg() and not member.issparse():
                self._files[name] = (member.offset_data, member.size)
            elif member.issym():  # a layer that another image of the archive has as well
                self._links[name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname))
            elif member.islnk():
                self._links[name] = posixpath.normpath(member.linkname).lstrip("/")

    def _find(self, name: str) -> tuple[int, int]:
        here = posixpath.normpath(name)
        for _ in range(_LINKS_MOST):
            if here in self._files:
                return self._files[here]
            here = self._links.get(here, "")
        raise ImageError(f"{self.shown} has no file {_shown(name)}: it is no archive of images, or cut off.", INVALID)


class _Closing(io.BufferedReader):
    """A part that closes the file it is of."""

    def __init__(self, part: Part, file: BinaryIO) -> None:
        super().__init__(part, _PIECE_BYTES)
        self._file = file

    def close(self) -> None:
        """Both."""
        super().close()
        self._file.close()


def open_archive(path: Path, tag: str = "") -> "OciArchive | DockerArchive":
    """An archive of either kind.

    Args:
        path: Of the file.
        tag: Of the image in it that is meant; may be empty if there is one.

    Raises:
        ImageError: It is none, or has no such image.
    """
    reference = Reference("oci-archive", "", str(path), tag)
    members = ArchiveMembers(reference)
    # What `docker save` writes today is both; the layout has the manifests as they were built.
    return OciArchive(reference, members) if "index.json" in members else DockerArchive(reference, members)


class OciArchive:
    """Implements `ImageSource` for an OCI layout in an archive."""

    def __init__(self, reference: Reference, members: ArchiveMembers | None = None) -> None:
        self._reference = reference
        self._members = members or ArchiveMembers(reference)

    def document(self, digest: str) -> tuple[bytes, str]:
        """See the protocol."""
        if digest:
            return self.blob(Descriptor("", digest, 0)), ""
        data = self._members.read("index.json")
        chosen = choose(data, self._reference)
        return (data, OCI_INDEX) if chosen is None else (self.blob(chosen), chosen.media_type)

    def blob(self, part: Descriptor) -> bytes:
        """See the protocol."""
        name = f"blobs/sha256/{part.digest}"
        return checked(self._members.read(name), part, shown=f"{self._reference.place}: {name}")

    def layer(self, part: Descriptor, spool: Path, stopped: Stopped) -> BinaryIO:  # noqa: ARG002  # nothing is fetched
        """See the protocol."""
        return self._members.open(f"blobs/sha256/{part.digest}")

    def close(self) -> None:
        """Nothing is held."""


class DockerArchive:
    """Implements `ImageSource` for what `docker save` has written.

    Such archives have no manifests: one is put together, the same each time, in which each layer goes by the digest of
    its unpacked archive.
    """

    def __init__(self, reference: Reference, members: ArchiveMembers | None = None) -> None:
        self._reference = reference
        self._members = members or ArchiveMembers(reference)
        self._manifests: dict[str, bytes] = {}
        self._blobs: dict[str, str] = {}  # names of members
        self._tags: list[str] = []
        self._chosen = ""
        for entry in read_list(self._members.read("manifest.json"), f"{reference.place}: manifest.json"):
            self._add(entry)
        if not reference.tag and len(self._manifests) == 1:
            self._chosen = next(iter(self._manifests))
        if not self._chosen and not reference.digest:
            raise self._unclear()

    def document(self, digest: str) -> tuple[bytes, str]:
        """See the protocol."""
        found = self._manifests.get(digest or self._chosen)
        if found is None:
            raise ImageError(f"{self._reference.place} has no image sha256:{digest}.", DELETED)
        return found, OCI_MANIFEST

    def blob(self, part: Descriptor) -> bytes:
        """See the protocol."""
        shown = f"{self._reference.place}: the part sha256:{part.digest}"
        return checked(self._members.read(self._blobs[part.digest]), part, shown=shown)

    def layer(self, part: Descriptor, spool: Path, stopped: Stopped) -> BinaryIO:  # noqa: ARG002  # nothing is fetched
        """See the protocol."""
        return self._members.open(self._blobs[part.digest])

    def close(self) -> None:
        """Nothing is held."""

    def _add(self, entry: Mapping[str, Any]) -> None:
        shown = f"{self._reference.place}: manifest.json"
        name, layers, tags = entry.get("Config"), _texts(entry.get("Layers")), _texts(entry.get("RepoTags") or [])
        if not isinstance(name, str) or layers is None or tags is None:
            raise ImageError(f"{shown} is not as 'docker save' writes it.", INVALID)
        text = self._members.read(name)
        configuration = read_configuration(text, self._reference.place)
        if len(configuration.diff_ids) != len(layers):
            raise ImageError(f"{shown} and the configuration {_shown(name)} have other layers.", INVALID)
        config = Descriptor(OCI_CONFIG, sha256(text), len(text))
        parts = [
            Descriptor(OCI_LAYER, diff_id, self._members.size_bytes(layer))
            for diff_id, layer in zip(configuration.diff_ids, layers, strict=True)
        ]
        manifest = manifest_text(config, parts)
        digest = sha256(manifest)
        self._manifests[digest] = manifest
        self._blobs |= {config.digest: name, **dict(zip(configuration.diff_ids, layers, strict=True))}
        self._tags += tags
        if self._reference.tag and any(tag.endswith(f":{self._reference.tag}") for tag in tags):
            self._chosen = digest

    def _unclear(self) -> ImageError:
        tags = ", ".join(sorted(self._tags)) or "none"
        wanted = f"no tag {self._reference.tag!r}" if self._reference.tag else f"{len(self._manifests)} images"
        return ImageError(f"{self._reference.place} has {wanted}; its tags: {tags[:1000]}.", DELETED)


def _texts(value: object) -> list[str] | None:
    return value if isinstance(value, list) and all(isinstance(one, str) for one in value) else None


def _shown(name: str) -> str:
    return ascii(name[:200])
