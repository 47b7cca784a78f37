"""What a name and a qualifier mean now: the version that an invocation runs.

Kept in memory, function by function, as it is asked for; whoever changes something says so before its change is
answered, so an invocation that begins after the answer sees it.
"""

import random
from collections.abc import Callable
from typing import Final

from lamella.domain.alias import Alias
from lamella.domain.function import LATEST, FunctionKey, FunctionVersion, State
from lamella.domain.image_code import as_invoked
from lamella.ports.stores import AliasStore, FunctionStore


class NotReadyError(Exception):
    """The version cannot be invoked yet, or no more.

    Attributes:
        state: What it is instead of active.
    """

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.state = state


class _Function:
    """What is known of one function."""

    __slots__ = ("aliases", "versions")

    def __init__(self) -> None:
        # What is invoked now: for $LATEST the last settled state, while an update is in progress.
        self.versions: Final[dict[str, FunctionVersion]] = {}
        self.aliases: Final[dict[str, Alias]] = {}


class Targets:
    """The versions and aliases of functions, as invocations see them.

    Args:
        draw: A random number from 0.0 up to but not including 1.0, for aliases that have two versions.
    """

    def __init__(
        self, functions: FunctionStore, aliases: AliasStore, *, draw: Callable[[], float] = random.random
    ) -> None:
        self._store: Final = functions
        self._alias_store: Final = aliases
        self._draw: Final = draw
        self._known: Final[dict[FunctionKey, _Function]] = {}
        self._changes = 0  # of what a reader of the store may not have seen

    def known(self, key: FunctionKey, qualifier: str | None) -> FunctionVersion | None:
        """The version to run, if that can be said from memory. On the path of every invocation."""
        function = self._known.get(key)
        if function is None:
            return None
        version = function.versions.get(qualifier or LATEST)
        if version is None and qualifier is not None:
            alias = function.aliases.get(qualifier)
            if alias is not None:
                version = function.versions.get(alias.version if alias.route is None else alias.choose(self._draw()))
        return version

    async def resolve(self, key: FunctionKey, qualifier: str | None) -> FunctionVersion | None:
        """The version to run, or `None` if there is no such function, version or alias.

        The qualifier is `$LATEST`, a version's number or an alias; `None` is `$LATEST`.

        Raises:
            NotReadyError: It is not active.
        """
        known = self.known(key, qualifier)
        if known is not None:
            return known
        name = qualifier or LATEST
        if name == LATEST or name.isdigit():
            return await self._version(key, name)
        alias = await self._alias(key, name)
        return None if alias is None else await self._version(key, alias.choose(self._draw()))

    async def weights(self, key: FunctionKey, qualifier: str) -> list[tuple[FunctionVersion, float]]:
        """The versions of a version's number or of an alias, with the share of invocations each gets.

        Empty if there is none.

        Raises:
            NotReadyError: One is not active.
        """
        alias = None if qualifier.isdigit() else await self._alias(key, qualifier)
        if alias is None:
            version = await self._version(key, qualifier) if qualifier.isdigit() else None
            return [] if version is None else [(version, 1.0)]
        route = alias.route
        numbers = (
            [(alias.version, 1.0)]
            if route is None
            else [(alias.version, 1 - route.weight), (route.version, route.weight)]
        )
        found = [(await self._version(key, number), weight) for number, weight in numbers]
        return [(version, weight) for version, weight in found if version is not None]

    def settled(self, key: FunctionKey, version: str) -> FunctionVersion | None:
        """The version of this number as it is invoked now, if that is known without asking the store."""
        function = self._known.get(key)
        return None if function is None else function.versions.get(version)

    def function_settled(self, version: FunctionVersion) -> None:
        """New invocations use this state of the version; none, if it is not active."""
        if version.state is State.ACTIVE:
            self._of(version.key).versions[version.version] = version
        elif version.key in self._known:
            self._known[version.key].versions.pop(version.version, None)

    def function_deleted(self, key: FunctionKey, version: str | None) -> None:
        """The version, or with `None` the whole function with its aliases, is gone."""
        self._changes += 1
        if version is None:
            self._known.pop(key, None)
        elif key in self._known:
            self._known[key].versions.pop(version, None)

    def alias_changed(self, alias: Alias) -> None:
        """The alias is new, or has changed."""
        self._changes += 1
        self._of(alias.key).aliases[alias.name] = alias

    def alias_deleted(self, key: FunctionKey, name: str) -> None:
        """The alias is gone."""
        self._changes += 1
        if key in self._known:
            self._known[key].aliases.pop(name, None)

    async def _version(self, key: FunctionKey, number: str) -> FunctionVersion | None:
        while (known := self.settled(key, number)) is None:
            changes = self._changes
            found = await self._store.get(key, number)
            if found is None:
                return None
            if found.state is not State.ACTIVE:
                raise NotReadyError(found.state)
            if changes != self._changes:
                continue  # what was read may be what has been deleted since, which must not be remembered
            # Whoever settled it meanwhile knows better.
            return self._of(key).versions.setdefault(number, as_invoked(found))
        return known

    async def _alias(self, key: FunctionKey, name: str) -> Alias | None:
        while (known := self._known[key].aliases.get(name) if key in self._known else None) is None:
            changes = self._changes
            found = await self._alias_store.get(key, name)
            if found is None:
                return None
            if changes != self._changes:
                continue  # as for versions
            return self._of(key).aliases.setdefault(name, found)
        return known

    def _of(self, key: FunctionKey) -> _Function:
        function = self._known.get(key)
        if function is None:
            function = self._known[key] = _Function()
        return function
