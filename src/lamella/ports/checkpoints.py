"""How far event source mappings have got with the shards of streams. What a method has returned from is durable."""

from collections.abc import Collection, Mapping
from typing import Final, Protocol

from lamella.ports.records import Document

ALL_SHARDS: Final = ""
"""Stands for a shard where a document is about the stream as a whole."""


class CheckpointStore(Protocol):
    """One document for each mapping and shard. Whether there is such a mapping is not looked at."""

    async def load(self, mapping: str) -> Mapping[str, Document]:
        """The documents of a mapping, by shard."""

    async def save(self, mapping: str, documents: Mapping[str, Document]) -> None:
        """Store documents of a mapping, all of them or none, in place of those of the same shards."""

    async def forget(self, mapping: str, shards: Collection[str] | None = None) -> None:
        """Delete the documents of these shards; with `None` all of the mapping."""
