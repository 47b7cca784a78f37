"""Where the parts of an image come from: a registry, or files; all of them look alike from here."""

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol

from lamella.images.manifest import Descriptor
from lamella.images.reference import INVALID
from lamella.ports.images import ImageError

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
