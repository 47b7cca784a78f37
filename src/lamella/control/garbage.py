"""Taking away archives and container images that nothing refers to any more.

What is referred to is read from two stores, one after the other, and the archives are deleted after that. A handler
that commits a new reference in between would be left with a reference to nothing: so handlers and collection exclude
each other. `ArtifactStore.release` cannot see to that alone, as it may come after the reading and before the deleting.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

from lamella.ports.images import ImageStore
from lamella.ports.stores import ArtifactStore, FunctionStore, LayerStore

ImageUser: TypeAlias = Callable[[], Collection[str]]
"""Tells digests of the images that it uses; asked when nobody makes references."""


class Garbage:
    """Collects what is dead, while nobody makes references."""

    def __init__(
        self, functions: FunctionStore, layers: LayerStore, artifacts: ArtifactStore, images: ImageStore
    ) -> None:
        self._functions: Final = functions
        self._images: Final = images
        self._image_users: Final[list[ImageUser]] = []
        self._layers: Final = layers
        self._artifacts: Final = artifacts
        self._referencing = 0
        self._changed: Final = asyncio.Condition()

    @asynccontextmanager
    async def referencing(self) -> AsyncIterator[None]:
        """Whoever looks up an artifact and then commits a reference to it does both inside of this."""
        async with self._changed:
            self._referencing += 1
        try:
            yield
        finally:
            async with self._changed:
                self._referencing -= 1
                self._changed.notify_all()

    async def collect(self, *, in_use: Callable[[], frozenset[str]] = frozenset) -> int:
        """Delete every artifact that no function, no layer and nothing in `in_use` refers to.

        Args:
            in_use: Tells which digests execution environments have mounted, of functions that may be deleted by now;
                asked when nobody makes references.

        Returns:
            How many were deleted.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._referencing == 0)
            live = in_use() | await self._functions.digests() | await self._layers.digests()
            return await self._artifacts.collect(live)

    def keep_images(self, user: ImageUser) -> None:
        """Have somebody asked from now on for digests of the images that he uses, besides functions."""
        self._image_users.append(user)

    async def images_in_use(self) -> frozenset[str]:
        """Digests of all images that function versions have, or somebody else uses."""
        return frozenset(await self._functions.images()).union(*(user() for user in self._image_users))

    async def collect_images(self, *, everything: bool = False) -> list[str]:
        """Take away every image that nobody uses; returns the digests of those that went.

        Args:
            everything: As for `ImageStore.prune`.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._referencing == 0)
            return await self._images.prune(await self.images_in_use(), everything=everything)
