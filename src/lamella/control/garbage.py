"""Taking away archives that nothing refers to any more.

What is referred to is read from two stores, one after the other, and the archives are deleted after that. A handler
that commits a new reference in between would be left with a reference to nothing: so handlers and collection exclude
each other. `ArtifactStore.release` cannot see to that alone, as it may come after the reading and before the deleting.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from lamella.ports.stores import ArtifactStore, FunctionStore, LayerStore


class Garbage:
    """Collects what is dead, while nobody makes references."""

    def __init__(self, functions: FunctionStore, layers: LayerStore, artifacts: ArtifactStore) -> None:
        self._functions: Final = functions
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
