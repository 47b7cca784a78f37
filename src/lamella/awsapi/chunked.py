"""Bodies in S3's own chunks (`aws-chunked`), which have a signature each, or a checksum behind them, or both.

A chunk is held until its signature has been verified, and then let through as it came: whoever it is handed on to finds
the framing and the signatures of the client. What ends the body is held until all is known to be good.

Source: S3's API reference, "Signature Calculations for the Authorization Header: Transferring Payload in Multiple
Chunks" and "... with trailing headers". Errors are worded as versity/versitygw words them, whose authors compare them
with S3's. The bound on chunks is MinIO's ("chunk size can not exceed 16MB").
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from enum import Enum, auto
from typing import Final

from lamella.awsapi.service_error import ServiceError
from lamella.domain.signature import ChunkSigner

CHUNK_BYTES_MAX: Final = 16 * 1024**2
"""The most that is held of a body at a time."""

_CHUNK_BYTES_MIN: Final = 8192
_LINE_BYTES_MAX: Final = 256
_END_BYTES_MAX: Final = 8192
_SIGNED_HEAD: Final = re.compile(rb"([0-9a-fA-F]{1,16});chunk-signature=([0-9a-f]{64})")
_PLAIN_HEAD: Final = re.compile(rb"([0-9a-fA-F]{1,16})")
_TRAILER_LINE: Final = re.compile(rb"([A-Za-z0-9-]+):([\x20-\x7e]*)")
_TRAILER_SIGNATURE: Final = b"x-amz-trailer-signature"


class _At(Enum):
    HEAD = auto()  # a line with the size of a chunk
    DATA = auto()
    DATA_END = auto()  # the line end behind the data
    END = auto()  # behind the chunk of size 0


class ChunkedGuard:
    """Lets chunks through that are well-formed, as many bytes as announced, and signed if they have to be.

    Implements `lamella.awsapi.guards.Guard`.

    Args:
        decoded_bytes: What the chunks hold in sum.
        signer: Makes the signatures that chunks must have; None if they have none.
        trailers: Names, in lower case, of what stands behind the last chunk.
    """

    def __init__(self, decoded_bytes: int, signer: ChunkSigner | None, trailers: Sequence[str] = ()) -> None:
        self._signer: Final = signer
        self._trailers: Final = frozenset(trailers)
        self._head: Final = _PLAIN_HEAD if signer is None else _SIGNED_HEAD
        self._at = _At.HEAD
        self._left_bytes = 0  # of the chunk's data
        self._missing_bytes = decoded_bytes
        self._size = _CHUNK_BYTES_MIN  # of the chunk before
        self._number = 0
        self._signature = ""
        self._hash = hashlib.sha256()
        self._held = bytearray()  # taken apart, and not yet let through
        self._rest = bytearray()  # not yet taken apart: a line that has not ended

    def feed(self, piece: bytes) -> bytes:
        """See `Guard`."""
        data = bytes(self._rest) + piece if self._rest else piece
        self._rest.clear()
        ready: list[bytes] = []
        start = 0
        while start < len(data):
            match self._at:
                case _At.HEAD:
                    end = data.find(b"\r\n", start, start + _LINE_BYTES_MAX)
                    if end < 0:
                        if len(data) - start >= _LINE_BYTES_MAX:
                            raise _incomplete()
                        break
                    self._begin(data[start:end])
                    self._held += data[start : end + 2]
                    start = end + 2
                case _At.DATA:
                    end = min(len(data), start + self._left_bytes)
                    taken = data[start:end]
                    if self._signer is not None:
                        self._hash.update(taken)
                    self._held += taken
                    self._left_bytes -= end - start
                    start = end
                    if not self._left_bytes:
                        self._at = _At.DATA_END
                    elif self._signer is None:
                        ready.append(self._let_go())
                case _At.DATA_END:
                    if len(data) - start < 2:
                        break
                    if data[start : start + 2] != b"\r\n":
                        raise _incomplete()
                    self._held += b"\r\n"
                    start += 2
                    self._verify()
                    ready.append(self._let_go())
                    self._at = _At.HEAD
                case _At.END:
                    self._held += data[start:]
                    start = len(data)
                    if len(self._held) > _END_BYTES_MAX:
                        raise _malformed_trailer()
        self._rest += data[start:]
        return b"".join(ready)

    def finish(self) -> bytes:
        """See `Guard`."""
        if self._at is not _At.END:
            raise _incomplete()
        self._check_end(bytes(self._held).partition(b"\r\n")[2])
        return self._let_go()

    def _begin(self, line: bytes) -> None:
        """Read the line in front of a chunk."""
        found = self._head.fullmatch(line)
        if found is None:
            raise _incomplete()
        size = int(found[1], 16)
        if self._signer is not None:
            self._signature = found[2].decode()
        if size and self._size < _CHUNK_BYTES_MIN:
            raise ServiceError(
                403,
                "InvalidChunkSizeError",
                "Only the last chunk is allowed to have a size less than 8192 bytes",
                Chunk=str(self._number),
                BadChunkSize=str(self._size),
            )
        if size > CHUNK_BYTES_MAX:
            raise ServiceError(400, "InvalidRequest", f"A chunk has {CHUNK_BYTES_MAX} bytes at most, not {size}.")
        if size > self._missing_bytes or (not size and self._missing_bytes):
            raise _wrong_length()
        self._number += 1
        self._size = self._left_bytes = size
        self._missing_bytes -= size
        self._hash = hashlib.sha256()
        self._at = _At.DATA
        if not size:
            self._verify()
            self._at = _At.END

    def _verify(self) -> None:
        """Compare the signature of the chunk with what it should be."""
        if self._signer is not None:
            _compare(self._signer.chunk(self._hash.hexdigest()), self._signature)

    def _check_end(self, end: bytes) -> None:
        """Read what stands behind the last chunk's line: trailers, and their signature if chunks have one.

        Lines end with a line feed, with or without a carriage return before, and an empty line may stand before the
        signature: the form of the documentation's example, which minio-go follows.
        """
        if end != b"\r\n" and not end.endswith(b"\n\r\n"):
            raise _incomplete()
        signed, names, signature = b"", [], ""
        for line in filter(None, (line.removesuffix(b"\r") for line in end.split(b"\n"))):
            found = _TRAILER_LINE.fullmatch(line)
            if found is None or signature:
                raise _malformed_trailer()
            name = found[1].lower()
            if self._signer is not None and name == _TRAILER_SIGNATURE:
                signature = found[2].strip().decode()
            else:
                signed += b"%b:%b\n" % (name, found[2].strip())
                names.append(name.decode())
        if len(names) != len(self._trailers) or self._trailers != set(names):
            raise _malformed_trailer()
        if self._signer is not None and names:
            _compare(self._signer.trailer(signed), signature)
        elif signature:
            raise _malformed_trailer()

    def _let_go(self) -> bytes:
        ready = bytes(self._held)
        self._held.clear()
        return ready


def _compare(expected: str, given: str) -> None:
    if not hmac.compare_digest(expected.encode(), given.encode()):
        raise ServiceError(
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. Check your key and signing "
            "method.",
            SignatureProvided=given,
        )


def _incomplete() -> ServiceError:
    return ServiceError(400, "IncompleteBody", "The request body terminated unexpectedly")


def _wrong_length() -> ServiceError:
    return ServiceError(
        400, "IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header"
    )


def _malformed_trailer() -> ServiceError:
    return ServiceError(
        400,
        "MalformedTrailerError",
        "The request contained trailing data that was not well-formed or did not conform to our published schema.",
    )
