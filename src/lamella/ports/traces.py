"""What the flight recorder needs of whatever keeps the records of failures."""

from collections.abc import Sequence
from typing import Protocol


class TraceStore(Protocol):
    """Documents by name, oldest names first in the order of the alphabet. Blocking: to be called in a worker thread."""

    def save(self, name: str, document: bytes) -> None:
        """Keep a document whole or not at all, and let go of the oldest ones that there is no room for.

        Raises:
            OSError: It could not be kept.
        """

    def names(self) -> Sequence[str]:
        """Names of what is kept, oldest first."""

    def read(self, name: str) -> bytes | None:
        """A document; `None` if it is not, or no longer, kept."""
