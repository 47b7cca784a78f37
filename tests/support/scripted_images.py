"""A store of images that has what a test says, as soon as it says so."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lamella.domain.function import Architecture
from lamella.ports.images import ImageError, Platform, ResolvedImage, StoredImage


@dataclass
class ScriptedImages:
    """Implements `lamella.ports.images.ImageStore`.

    Attributes:
        offered: What references stand for: the digest of an image, or by architecture those of an index.
        failures: What is wrong with an image that is to be fetched, by digest.
        here: Images by digest.
        fetched: Digests, each time one was asked for that was not here.
        asked: Set once something is to be fetched.
        held: While it is cleared, nothing arrives.
        index_digest: Of every index.
        refusal: Why nothing is resolved.
    """

    offered: dict[str, str | dict[Architecture, str]] = field(default_factory=dict)
    failures: dict[str, ImageError] = field(default_factory=dict)
    here: dict[str, StoredImage] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)
    held: asyncio.Event = field(default_factory=asyncio.Event)
    index_digest: str = "f" * 64
    refusal: ImageError | None = None
    rootfs: Path = Path("/none")
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.held.set()

    async def resolve(self, uri: str) -> ResolvedImage:
        if self.refusal is not None:
            raise self.refusal
        found = self.offered.get(uri)
        if found is None:
            raise ImageError(f"The registry has no {uri}.", "ImageDeleted")
        if isinstance(found, str):
            return ResolvedImage(uri, found, (Platform(Architecture.X86_64, found),))
        return ResolvedImage(uri, self.index_digest, tuple(Platform(*pair) for pair in found.items()))

    async def fetch(self, uri: str, digest: str) -> StoredImage:
        if digest not in self.here:
            self.fetched.append(digest)
            self.asked.set()
            await self.held.wait()
            if digest in self.failures:
                raise self.failures[digest]
            self.here[digest] = StoredImage(digest, Architecture.X86_64, (), 1)
        return self.here[digest]

    def find(self, digest: str) -> StoredImage | None:
        return self.here.get(digest)

    def root(self, digest: str) -> Path:
        if digest not in self.here:
            raise ImageError(f"sha256:{digest} is not here.", "ImageDeleted")
        return self.rootfs

    def images(self) -> Sequence[StoredImage]:
        return sorted(self.here.values(), key=lambda image: image.digest)

    async def prune(self, in_use: Collection[str], *, everything: bool = False) -> list[str]:
        dead = sorted(set(self.here) - set(in_use))
        for digest in dead:
            del self.here[digest]
        return dead
