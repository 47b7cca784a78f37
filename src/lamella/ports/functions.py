"""How the control API and the data plane of a node speak to each other; neither imports the other."""

from collections.abc import Mapping
from typing import Protocol

from lamella.domain.alias import Alias
from lamella.domain.function import FunctionKey, FunctionVersion


class FunctionObserver(Protocol):
    """Is told of changes that have been committed, so that caches and execution environments follow."""

    def function_settled(self, version: FunctionVersion) -> None:
        """A version became invocable, or an update of `$LATEST` took effect: new invocations use it from now on."""

    def function_tagged(self, key: FunctionKey, tags: Mapping[str, str]) -> None:
        """These are all tags of a function now, be it a new one or not."""

    def function_deleted(self, key: FunctionKey, version: str | None) -> None:
        """A version, or with `None` the whole function with its aliases and what was reserved for it, is gone."""

    def alias_changed(self, alias: Alias) -> None:
        """An alias is new, or means something else: new invocations use it as it is now."""

    def alias_deleted(self, key: FunctionKey, name: str) -> None:
        """An alias is gone."""

    def concurrency_changed(self, key: FunctionKey, reserved: int | None) -> None:
        """Other concurrent executions are reserved for a function than before; `None` if no more are."""

    def policy_changed(self, key: FunctionKey) -> None:
        """A resource policy of the function, or of one of its versions or aliases, is another one, or gone."""
