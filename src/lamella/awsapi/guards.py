"""What the body of a request has to pass before the last of it is handed on."""

import hashlib
from typing import Final, Protocol

from lamella.awsapi.service_error import ServiceError


class Guard(Protocol):
    """Takes a body piece by piece, and gives back what may be handed on.

    Something of the body is kept back until all of it is known to be good: whoever it is handed on to has no complete
    request before, and does nothing.
    """

    def feed(self, piece: bytes) -> bytes:
        """Take the next piece; returns what may be handed on, empty if that is nothing yet.

        Raises:
            ServiceError: The body is not what was signed.
        """

    def finish(self) -> bytes:
        """The body is complete; returns what was kept back. Raises as `feed`."""


class HashGuard:
    """Lets a body through that has the hash which was signed.

    Args:
        sha256: In hexadecimal, lower case.
    """

    def __init__(self, sha256: str) -> None:
        self._expected: Final = sha256
        self._hash: Final = hashlib.sha256()
        self._last = b""

    def feed(self, piece: bytes) -> bytes:
        """See `Guard`."""
        self._hash.update(piece)
        ready, self._last = self._last, piece
        return ready

    def finish(self) -> bytes:
        """See `Guard`. Source of the wording: an answer of S3 in 10up/snapshots pull request 25 (2023)."""
        found = self._hash.hexdigest()
        if found != self._expected:
            raise ServiceError(
                400,
                "XAmzContentSHA256Mismatch",
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
                ClientComputedContentSHA256=self._expected,
                S3ComputedContentSHA256=found,
            )
        return self._last
