"""What a packed layer holds: gzip, zstd or nothing around a tar archive, read as a stream with a bounded memory."""

import hashlib
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

import zstandard

from lamella.images.reference import INTERNAL, INVALID
from lamella.images.source import Stopped
from lamella.ports.images import ImageError

PIECE_BYTES: Final = 256 * 1024
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = (b"\x28\xb5\x2f\xfd", *(bytes((low, 0x2A, 0x4D, 0x18)) for low in range(0x50, 0x60)))
_WINDOW_MOST_BYTES: Final = 128 * 1024 * 1024
"""Of zstd, as its own program allows by default (`--long=27`)."""

_HEADER_MOST_BYTES: Final = 256 * 1024
"""Of one entry, with what GNU and pax put before it: their length is what the archive says, and they are read whole."""


class Packed:
    """A packed layer, with size and digest of all that has been read of it.

    Args:
        file: Where the layer begins.
        stopped: Ends the reading.
    """

    def __init__(self, file: BinaryIO, stopped: Stopped) -> None:
        self._file = file
        self._stopped = stopped
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    @property
    def digest(self) -> str:
        """Of what has been read so far."""
        return self._hash.hexdigest()

    def read(self, count: int = PIECE_BYTES) -> bytes:
        """Some bytes, none at the end."""
        if self._stopped():
            raise ImageError("The image is not fetched: the server stops. Try again.", INTERNAL)
        data = self._file.read(count)
        self._hash.update(data)
        self.size_bytes += len(data)
        return data


class Unpacked:
    """The archive inside, as much of a file as `tarfile` needs: read, and go on to somewhere ahead.

    Args:
        packed: The layer; its first bytes tell how it is packed, as media types are often wrong.
        most_bytes: It may have.
        shown: What to call it.
        too_large: The error for more.
    """

    def __init__(self, packed: Packed, *, most_bytes: int, shown: str, too_large: Callable[[], ImageError]) -> None:
        self._pieces = _pieces(packed, shown)
        self._left = b""
        self._at = 0  # in `_left`
        self._position = 0
        self._hash = hashlib.sha256()
        self._most_bytes = most_bytes
        self._in_header = False
        self._allowed = PIECE_BYTES
        self._shown = shown
        self._too_large = too_large

    @property
    def digest(self) -> str:
        """Of the whole archive; valid after `finish`."""
        return self._hash.hexdigest()

    def is_empty(self) -> bool:
        """Whether there is not even one byte."""
        return not self._left and not self._fill()

    def expect_header(self) -> None:
        """What is read from now on is the header of an entry, which has a reasonable length."""
        self._in_header, self._allowed = True, _HEADER_MOST_BYTES

    def expect_content(self) -> None:
        """What is read from now on is the content of a file, in pieces."""
        self._in_header, self._allowed = False, PIECE_BYTES

    def tell(self) -> int:
        """How much has been read."""
        return self._position

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go on; what is left out is read and thrown away.

        Raises:
            ImageError: That would be back: the archive is not well-formed.
        """
        if whence != 0 or offset < self._position:
            raise self._misshapen()
        while self._position < offset:
            if not self._read(min(offset - self._position, PIECE_BYTES)):
                break
        return self._position

    def read(self, count: int) -> bytes:
        """So many bytes, less at the end only.

        Raises:
            ImageError: The layer is damaged or too large, or a header wants to be longer than any needs to be.
        """
        if not 0 <= count <= self._allowed:
            raise self._misshapen()
        if self._in_header:
            self._allowed -= count
        return self._read(count)

    def _read(self, count: int) -> bytes:
        found = self._take(count)
        if len(found) < count:
            parts = [found]
            missing = count - len(found)
            while missing and self._fill():
                parts.append(self._take(missing))
                missing -= len(parts[-1])
            found = b"".join(parts)
        return found

    def finish(self) -> None:
        """Read what follows the archive's end: it belongs to the digest."""
        while self._fill():
            pass
        self._position += len(self._left) - self._at

    def _take(self, count: int) -> bytes:
        found = self._left[self._at : self._at + count]
        self._at += len(found)
        self._position += len(found)
        return found

    def _fill(self) -> bool:
        """Get the next piece; whether there was one."""
        piece = next(self._pieces, b"")
        if not piece:
            return False
        self._hash.update(piece)
        self._most_bytes -= len(piece)
        if self._most_bytes < 0:
            raise self._too_large()
        self._left, self._at = piece, 0
        return True

    def _misshapen(self) -> ImageError:
        return ImageError(f"{self._shown} is not a tar archive as images have them.", INVALID)


def _pieces(packed: Packed, shown: str) -> Iterator[bytes]:
    first = packed.read()
    if first.startswith(_GZIP):
        return _gunzip(packed, first, shown)
    if first.startswith(_ZSTD):
        return _unzstd(packed, first, shown)
    return _plain(packed, first)


def _plain(packed: Packed, piece: bytes) -> Iterator[bytes]:
    while piece:
        yield piece
        piece = packed.read()


def _gunzip(packed: Packed, piece: bytes, shown: str) -> Iterator[bytes]:
    """All members of a gzip file, one after the other."""
    try:
        inflater = zlib.decompressobj(wbits=31)
        while piece:
            if inflater.eof:
                if not piece.strip(b"\0"):  # padding, as tape drives want it
                    piece = packed.read()
                    continue
                inflater = zlib.decompressobj(wbits=31)
            yield from _nonempty(inflater.decompress(piece, PIECE_BYTES))
            piece = inflater.unconsumed_tail or inflater.unused_data or packed.read()
        while not inflater.eof:
            rest = inflater.decompress(b"", PIECE_BYTES)
            if not rest and not inflater.eof:
                raise ImageError(f"{shown} is damaged: its gzip data is cut off.", INVALID)
            yield from _nonempty(rest)
    except zlib.error as error:
        raise ImageError(f"{shown} is damaged: {error}.", INVALID) from None


def _nonempty(piece: bytes) -> Iterator[bytes]:
    if piece:
        yield piece


class _Rest:
    """A stream whose first piece has been read already, for zstandard."""

    def __init__(self, packed: Packed, first: bytes) -> None:
        self._packed = packed
        self._first = first

    def read(self, size: int = -1) -> bytes:
        first, self._first = self._first, b""
        return first or self._packed.read(size if size > 0 else PIECE_BYTES)


def _unzstd(packed: Packed, first: bytes, shown: str) -> Iterator[bytes]:
    """All frames, one after the other."""
    try:
        reader = zstandard.ZstdDecompressor(max_window_size=_WINDOW_MOST_BYTES).stream_reader(
            _Rest(packed, first),  # type: ignore[arg-type]  # all that is asked of it is `read`
            read_size=PIECE_BYTES,
            read_across_frames=True,
        )
        while piece := reader.read(PIECE_BYTES):
            yield piece
    except zstandard.ZstdError as error:
        raise ImageError(f"{shown} is damaged: {error}.", INVALID) from None
