"""The customer-managed runtimes as invocations see them, kept in memory, and the pack that each function runs with.

Whoever changes a runtime says so before the change is answered. So which version an alias points to is never asked of
the store when an environment is made, and an invocation that begins after the answer to UpdateRuntimeAlias sees it.
"""

from typing import Final

from lamella.domain.function import FunctionConfig
from lamella.domain.managed_runtime import (
    ManagedRuntime,
    ResourceState,
    RuntimeChoice,
    RuntimeKey,
    RuntimeVersion,
    version_of_arn,
)
from lamella.invoke.deployment import Deployment
from lamella.ports.managed import RuntimeContents, RuntimeDeletedError
from lamella.ports.runtimes import RuntimeNotInstalledError, RuntimePack


class ManagedRuntimes:
    """Which version of its runtime a function runs with.

    Args:
        contents: What versions are made of; `None` for a node without customer-managed runtimes.
    """

    def __init__(self, contents: RuntimeContents | None = None) -> None:
        self._contents: Final = contents
        self._known: Final[dict[RuntimeKey, ManagedRuntime]] = {}

    def learn(self, runtime: ManagedRuntime) -> bool:
        """This is what a runtime is now; false if something newer is known of it."""
        before = self._known.get(runtime.key)
        if before is not None and (before.created, before.generation) >= (runtime.created, runtime.generation):
            return False  # the same one, or one of this name that is gone
        self._known[runtime.key] = runtime
        return True

    def pack(self, config: FunctionConfig) -> RuntimePack | None:
        """What a function runs with if it began now; `None` if it uses no customer-managed runtime.

        Raises:
            RuntimeDeletedError: Its alias, or the version that it keeps, is deleted or pending deletion.
            RuntimeNotInstalledError: The version is not here any more.
        """
        choice = RuntimeChoice.of(config)
        if choice is None:
            return None
        version = self._version(choice)
        if self._contents is None:
            raise RuntimeNotInstalledError("This node has no customer-managed runtimes.")
        return self._contents.pack(choice.key, version, config.architecture)

    def outdated(self, deployment: Deployment, runtime: ManagedRuntime) -> bool:
        """Whether environments run with something of this runtime that the function would not get now."""
        choice = RuntimeChoice.of(deployment.version.config)
        if choice is None or choice.key != runtime.key:
            return False
        try:
            version = self._version(choice)
        except RuntimeDeletedError:
            return True
        return deployment.pack.arn != choice.key.version_arn(version.name)

    def digests(self) -> frozenset[str]:
        """Of all contents that some version has, images among them: what must not be taken away."""
        return frozenset(
            content.digest
            for runtime in self._known.values()
            for version in runtime.versions.values()
            for content in version.contents
        )

    def _version(self, choice: RuntimeChoice) -> RuntimeVersion:
        """The version that a function has now.

        What is pending deletion has gone for functions already, so no clock is needed to know when it has gone for all.
        """
        runtime = self._known.get(choice.key)
        alias = None if runtime is None else runtime.aliases.get(choice.alias)
        if runtime is None or alias is None or alias.state is not ResourceState.ACTIVE:
            arn = choice.key.alias_arn(choice.alias)
            raise RuntimeDeletedError(f"The runtime alias is deleted or pending deletion: {arn}", of_alias=True)
        name = alias.version
        if choice.kept is not None:
            named = version_of_arn(choice.kept)
            name = named[1] if named is not None and named[0] == choice.key else ""
        version = runtime.versions.get(name)
        if version is None or version.state is not ResourceState.ACTIVE:
            arn = choice.kept or choice.key.version_arn(name)
            raise RuntimeDeletedError(f"The runtime version is deleted or pending deletion: {arn}", of_alias=False)
        return version
