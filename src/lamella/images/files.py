"""Files that somebody else has made and may change: opened so that no link or device can stand in for them."""

import os
import stat
from pathlib import Path
from typing import BinaryIO, Final

from lamella.images.manifest import DOCUMENT_MOST_BYTES, Descriptor, sha256
from lamella.images.reference import DELETED, DENIED, INVALID
from lamella.images.source import damaged
from lamella.ports.images import ImageError

_PLAIN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # the last but one, for a fifo would wait


def open_plain(path: Path, *, shown: str) -> BinaryIO:
    """A regular file, and nothing else.

    Raises:
        ImageError: There is none, or it cannot be read.
    """
    try:
        descriptor = os.open(path, _PLAIN)
    except (FileNotFoundError, NotADirectoryError):
        raise ImageError(f"{shown} is not there.", DELETED) from None
    except OSError as error:
        raise ImageError(f"{shown} cannot be read: {error.strerror}.", DENIED) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ImageError(f"{shown} is not a file.", INVALID)
    return os.fdopen(descriptor, "rb")


def read_small(file: BinaryIO, *, shown: str) -> bytes:
    """All of a document.

    Raises:
        ImageError: It is larger than any may be.
    """
    data = file.read(DOCUMENT_MOST_BYTES + 1)
    if len(data) > DOCUMENT_MOST_BYTES:
        raise ImageError(f"{shown} is larger than 4 MiB.", INVALID)
    return data


def checked(data: bytes, part: Descriptor, *, shown: str) -> bytes:
    """The same bytes.

    Raises:
        ImageError: They are not those of the digest.
    """
    if sha256(data) != part.digest:
        raise damaged(shown)
    return data
