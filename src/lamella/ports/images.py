"""Container images: what a reference stands for, and the read-only root that sandboxes are made from."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from lamella.domain.function import Architecture


@dataclass(frozen=True, slots=True)
class Platform:
    """One of the images that a reference offers.

    Attributes:
        architecture: Under Lambda's name for it.
        digest: SHA-256 of its manifest, 64 hex digits.
    """

    architecture: Architecture
    digest: str


@dataclass(frozen=True, slots=True)
class ResolvedImage:
    """What a reference stands for at this moment.

    Attributes:
        uri: As the caller named it.
        digest: SHA-256 of what the reference names, an image's manifest or an index of several; 64 hex digits.
        platforms: The images that it offers for architectures Lambda knows, in the order of the index.
    """

    uri: str
    digest: str
    platforms: tuple[Platform, ...]


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image that is whole on this node; immutable.

    Attributes:
        digest: SHA-256 of its manifest, 64 hex digits.
        layers: SHA-256 of the unpacked archive of each layer (OCI's DiffID), the lowest first.
        size_bytes: Of its unpacked layers together; AWS's limit of 10 GB is on this.
        entrypoint, command: As OCI's `Entrypoint` and `Cmd`: together the program that is started.
        working_directory: Where it is started; empty if the image does not say.
        env: Variables of the image, below those of the function.
        user: As the image names it; Lambda does not heed it.
        labels: For whoever builds on an image, a runtime pack for one.
    """

    digest: str
    architecture: Architecture
    layers: tuple[str, ...]
    size_bytes: int
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    working_directory: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


class ImageError(Exception):
    """An image cannot be had; the text is fit for who named it, and says what to do.

    Attributes:
        code: The model's `StateReasonCode`: `ImageAccessDenied`, `ImageDeleted` or `InvalidImage`; `InternalError` if
            it is this node that cannot, for want of room as a rule.
    """

    def __init__(self, text: str, code: str) -> None:
        super().__init__(text)
        self.code = code


class ImageStore(Protocol):
    """The images of this node.

    A reference is `<registry>/<repository>[:tag][@sha256:digest]`, and where the operator allows it
    `oci:<directory>[:tag]`, `oci-archive:<file>[:tag]` or `docker-archive:<file>[:tag]` on the server's machine.
    """

    async def resolve(self, uri: str) -> ResolvedImage:
        """Ask the registry what a reference stands for; nothing is fetched but manifests.

        Raises:
            ImageError: It cannot be reached, it refuses, or there is no such image.
        """

    async def fetch(self, uri: str, digest: str) -> StoredImage:
        """Have an image here, from where the reference points; at once if it is here already.

        Args:
            uri: Where to get it from; its tag is not heeded.
            digest: Of its manifest, as `resolve` told it.

        Raises:
            ImageError: It cannot be had, or is not an image that could run. Layers that were fetched by then stay until
                the next `prune`, so that another try need not begin anew.
        """

    def find(self, digest: str) -> StoredImage | None:
        """The image of this digest, if it is here. Answers from memory."""

    def root(self, digest: str) -> Path:
        """Its layers merged, read-only, with mount points for sandboxes; the same path while the server runs.

        Mounted when it is first asked for: about a millisecond, so it may be called on the event loop.

        Raises:
            ImageError: It is not here any more, or was damaged.
        """

    def images(self) -> Sequence[StoredImage]:
        """All that are here, by digest."""

    async def prune(self, in_use: Collection[str], *, everything: bool = False) -> list[str]:
        """Take away images and layers that nothing uses.

        Args:
            in_use: Digests of images that functions, runtimes or environments have.
            everything: Take also those that an operator fetched for later, and those fetched in the last minutes,
                which somebody may be about to use.

        Returns:
            Digests of the images that went.
        """


class Overlays(Protocol):
    """How directories are merged into one."""

    def mount(self, lower: Sequence[Path], target: Path) -> None:
        """Show directories merged and read-only, in the mount namespace of the caller.

        Args:
            lower: The uppermost first; at least two.
            target: An empty directory.

        Raises:
            OSError: It cannot be done.
        """

    def mount_writable(self, lower: Sequence[Path], target: Path, upper: Path, work: Path) -> None:
        """The same, but what is changed goes to `upper`; `work` is an empty directory beside it."""

    def unmount(self, target: Path) -> None:
        """Take it away; who still has a file open keeps that."""
