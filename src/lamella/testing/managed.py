"""Contents of customer-managed runtimes that are nowhere."""

from collections.abc import Collection
from pathlib import Path

from lamella.domain.function import Architecture
from lamella.domain.managed_runtime import Content, RuntimeKey, RuntimeVersion
from lamella.ports.managed import ContentError, ResolvedContents
from lamella.ports.runtimes import RuntimeNotInstalledError, RuntimePack


class MemoryRuntimeContents:
    """Implements `lamella.ports.managed.RuntimeContents`.

    Attributes:
        offered: What each URI stands for; others are unknown.
        broken: By resolved URI, why it cannot be fetched.
        fetched: Resolved URIs of what was.
    """

    def __init__(self) -> None:
        self.offered: dict[str, ResolvedContents] = {}
        self.broken: dict[str, str] = {}
        self.fetched: list[str] = []

    def offer(self, uri: str, *architectures: Architecture) -> None:
        """Have something under this URI, for x86_64 if nothing is said; its digest depends on the URI."""
        digest = f"{sum(uri.encode()):064x}"
        contents = tuple(Content(architecture, digest) for architecture in architectures or (Architecture.X86_64,))
        self.offered[uri] = ResolvedContents(f"{uri.partition(':')[0]}@sha256:{digest}", contents)

    async def resolve(self, uri: str) -> ResolvedContents:
        """See the port."""
        found = self.offered.get(uri)
        if found is None:
            raise ContentError(f"there is no {uri}")
        return found

    async def fetch(self, version: RuntimeVersion) -> None:
        """See the port."""
        if version.resolved_uri in self.broken:
            raise ContentError(self.broken[version.resolved_uri])
        self.fetched.append(version.resolved_uri)

    async def add(self, tree: Path, digest: str) -> str:
        """See the port; whatever is in the tree."""
        del tree
        uri = f"upload:{digest}"
        self.offer(uri)
        return uri

    def pack(self, key: RuntimeKey, version: RuntimeVersion, architecture: Architecture) -> RuntimePack:
        """See the port."""
        content = version.content(architecture)
        if content is None:
            raise RuntimeNotInstalledError(f"not for {architecture}")
        return RuntimePack(
            name=key.name,
            architecture=architecture,
            rootfs=Path("/none"),
            digest=content.digest,
            version=f"{key.name}:{version.name}",
            entrypoints=("/var/runtime/bootstrap",),
            arn=key.version_arn(version.name),
        )

    async def prune(self, in_use: Collection[str]) -> list[str]:
        """See the port; nothing goes."""
        del in_use
        return []
