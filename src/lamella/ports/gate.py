"""What keeps watch where layers are published."""

from collections.abc import Sequence
from typing import Protocol

from lamella.domain.function import Artifact
from lamella.domain.layer import LayerKey, LayerVersion


class LayerRefusedError(Exception):
    """A layer is not let in; the text says why, fit for its publisher."""


class LayerGate(Protocol):
    """Is asked before a layer version comes into being, and told afterwards."""

    async def admit(
        self, key: LayerKey, artifact: Artifact, *, runtimes: Sequence[str], architectures: Sequence[str]
    ) -> None:
        """Let a version in, that is about to be stored, or not. Its artifact is protected meanwhile.

        Raises:
            LayerRefusedError: It may not be published; nothing is left of the question.
        """

    def published(self, version: LayerVersion) -> None:
        """A version that was let in is there now. Does not wait."""


class OpenGate:
    """Lets everything in."""

    async def admit(
        self, key: LayerKey, artifact: Artifact, *, runtimes: Sequence[str], architectures: Sequence[str]
    ) -> None:
        """Nothing is looked at."""

    def published(self, version: LayerVersion) -> None:
        """Nobody wants to know."""
