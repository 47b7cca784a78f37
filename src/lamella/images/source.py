"""Where the parts of an image come from: a registry, or files; all of them look alike from here."""

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol

from lamella.images.manifest import Descriptor, Index, check_kinds, read_configuration, read_document
from lamella.images.reference import INVALID
from lamella.ports.images import ImageError, Platform, ResolvedImage

Stopped = Callable[[], bool]
"""Whether whoever waited has gone, or the server stops: asked between pieces."""


class ImageSource(Protocol):
    """One image's place, by a reference of one transport. Blocking: for threads."""

    def document(self, digest: str) -> tuple[bytes, str]:
        """A manifest or index, with its media type.

        Args:
            digest: Its SHA-256; empty for what the reference names.

        Raises:
            ImageError: It cannot be had, or is not what the digest says.
        """

    def blob(self, part: Descriptor) -> bytes:
        """A small part, whole, compared with its digest.

        Raises:
            ImageError: As `document`.
        """

    def layer(self, part: Descriptor, spool: Path, stopped: Stopped) -> BinaryIO:
        """A layer, as it is packed, compared with size and digest or to be compared as it is unpacked.

        Args:
            part: The layer.
            spool: A file that what is fetched may be put into. If it is there, a part has been fetched before.
            stopped: Gives up with `ImageError` once it is true.

        Raises:
            ImageError: As `document`; what has arrived stays in `spool` if another try may go on from there.
        """

    def close(self) -> None:
        """Let go of connections and files."""


def damaged(what: str) -> ImageError:
    """For bytes that are not those of their digest."""
    return ImageError(f"{what} is damaged: its bytes are not those of its digest. Push or write it again.", INVALID)


def resolved_from(source: ImageSource, digest: str, uri: str) -> ResolvedImage:
    """What a source has.

    Args:
        source: The place.
        digest: SHA-256 of a manifest or index; empty for what the source's reference names.
        uri: As the caller named it.

    Raises:
        ImageError: There is none, or it is not an image that could run.
    """
    data, media_type = source.document(digest)
    document = read_document(data, media_type, uri)
    if isinstance(document, Index):
        return ResolvedImage(uri, document.digest, document.platforms())
    check_kinds(document, uri)
    configuration = read_configuration(source.blob(document.config), uri)
    return ResolvedImage(uri, document.digest, (Platform(configuration.architecture, document.digest),))
