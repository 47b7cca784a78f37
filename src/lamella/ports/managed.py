"""Customer-managed runtimes: where their contents come from, and who has to know when one changes."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lamella.domain.function import Architecture
from lamella.domain.managed_runtime import Content, ManagedRuntime, RuntimeKey, RuntimeVersion
from lamella.ports.runtimes import RuntimeNotInstalledError, RuntimePack


@dataclass(frozen=True, slots=True)
class ResolvedContents:
    """What a URI stands for at this moment.

    Attributes:
        uri: The same by digest.
        contents: At least one.
    """

    uri: str
    contents: tuple[Content, ...]


class ContentError(Exception):
    """The contents of a version cannot be had; the text is fit for who named them, and says what to do."""


class RuntimeContents(Protocol):
    """What versions of customer-managed runtimes are made of.

    A URI names a container image as `lamella.ports.images` knows them, or, which AWS does not have, an installed
    runtime (`pack:python3.11`) or what was sent to this server (`upload:sha256:<digest>`).
    """

    async def resolve(self, uri: str) -> ResolvedContents:
        """Find out what a URI stands for; images are not fetched yet.

        Raises:
            ContentError: Nothing that could be a runtime, or it cannot be reached.
        """

    async def fetch(self, version: RuntimeVersion) -> None:
        """Have what a version is made of here; at once if it is already.

        Raises:
            ContentError: It cannot be had, or has no program to begin with.
        """

    async def add(self, tree: Path, digest: str) -> str:
        """Keep what was sent: a tree with a `bootstrap` at its top; gives its URI.

        Args:
            tree: Safe to use, and never changed; may be gone afterwards.
            digest: SHA-256 of what it came from.

        Raises:
            ContentError: It has no bootstrap that could be executed.
        """

    def pack(self, key: RuntimeKey, version: RuntimeVersion, architecture: Architecture) -> RuntimePack:
        """The pack that runs functions. Answers within a millisecond.

        Raises:
            RuntimeNotInstalledError: It is not here any more, or not for this architecture.
        """

    async def prune(self, in_use: Collection[str]) -> list[str]:
        """Take away what nothing uses, but for images, which are the image store's.

        Args:
            in_use: Digests of contents that versions or execution environments have.

        Returns:
            Digests of what went.
        """


class RuntimeDeletedError(RuntimeNotInstalledError):
    """The runtime that a function uses is deleted, or pending deletion; it is back when it is restored.

    Attributes:
        of_alias: Whether it is the alias; else it is the version that the function keeps.
    """

    def __init__(self, text: str, *, of_alias: bool) -> None:
        super().__init__(text)
        self.of_alias = of_alias


class RuntimeObserver(Protocol):
    """Is told of changes that have been committed, so that execution environments follow."""

    def runtime_changed(self, runtime: ManagedRuntime) -> None:
        """A runtime, or something that belongs to it, is new or another: invocations that begin now see it."""
