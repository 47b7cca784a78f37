"""The pools of a node by function version, and by tenant where a function isolates those."""

from collections.abc import Callable, Iterator
from typing import Final

from lamella.domain.function import FunctionKey, FunctionVersion
from lamella.invoke.pool import Pool

Place = tuple[FunctionKey, str]
"""A function version."""


class Pools:
    """Makes a pool for whoever has none.

    Args:
        make: Makes the pool of a version; may raise `RuntimeNotInstalledError`.
    """

    def __init__(self, make: Callable[[FunctionVersion], Pool]) -> None:
        self._make: Final = make
        self._shared: Final[dict[Place, Pool]] = {}
        self._tenants: Final[dict[tuple[FunctionKey, str, str], Pool]] = {}

    def __iter__(self) -> Iterator[Pool]:
        """All of them."""
        yield from self._shared.values()
        yield from self._tenants.values()

    def of(self, version: FunctionVersion, tenant_id: str = "") -> Pool:
        """The pool of a version, or of a tenant of it."""
        if tenant_id:
            tenant = (version.key, version.version, tenant_id)
            pool = self._tenants.get(tenant)
            if pool is None:
                pool = self._tenants[tenant] = self._make(version)
            return pool
        place = (version.key, version.version)
        pool = self._shared.get(place)
        if pool is None:
            pool = self._shared[place] = self._make(version)
        return pool

    def shared(self, place: Place) -> Pool | None:
        """The pool of a version that is nobody's, if there is one."""
        return self._shared.get(place)

    def places(self) -> set[Place]:
        """Versions that have pools."""
        return {*self._shared, *((key, number) for key, number, _ in self._tenants)}

    def take(self, place: Place) -> list[Pool]:
        """Take all pools of a version out."""
        taken = [self._shared.pop(place)] if place in self._shared else []
        return taken + [self._tenants.pop(tenant) for tenant in list(self._tenants) if tenant[:2] == place]

    def take_unused(self) -> list[Pool]:
        """Take those out that hold nothing."""
        places = [place for place, pool in self._shared.items() if not pool.in_use]
        tenants = [tenant for tenant, pool in self._tenants.items() if not pool.in_use]
        return [*(self._shared.pop(place) for place in places), *(self._tenants.pop(tenant) for tenant in tenants)]
