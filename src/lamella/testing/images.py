"""An image store in memory, and the stand-in for overlayfs that its kin in files is tested with."""

import shutil
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from lamella.ports.images import ImageError, ImageStore, Overlays, Platform, ResolvedImage, StoredImage


class MemoryImageStore(ImageStore):
    """Implements the port; what registries have is put in with `publish`.

    Attributes:
        registry: By URI: what it stands for now. Take an entry away, or put an error in its place, to have it refused.
        fetched: Digests in the order in which they were fetched.
    """

    def __init__(self) -> None:
        self.registry: dict[str, ResolvedImage | ImageError] = {}
        self.fetched: list[str] = []
        self._there: dict[str, tuple[StoredImage, Path]] = {}
        self._here: set[str] = set()

    def publish(self, uri: str, *images: tuple[StoredImage, Path], index: str = "") -> ResolvedImage:
        """Have a URI stand for an image, or for several of different architectures; each with its root.

        Args:
            uri: As functions name it.
            images: With the directory that is its root.
            index: Digest of the index that names them; if empty there is none, and one image.
        """
        platforms = tuple(Platform(image.architecture, image.digest) for image, _ in images)
        self._there |= {image.digest: (image, root) for image, root in images}
        resolved = ResolvedImage(uri, index or platforms[0].digest, platforms)
        self.registry[uri] = resolved
        return resolved

    async def resolve(self, uri: str) -> ResolvedImage:
        """See the port."""
        match self.registry.get(uri):
            case None:
                raise ImageError(f"Source image {uri} does not exist. Provide a valid source image.", "ImageDeleted")
            case ImageError() as error:
                raise error
            case ResolvedImage() as resolved:
                return replace(resolved, uri=uri)

    async def fetch(self, uri: str, digest: str) -> StoredImage:
        """See the port."""
        found = self.find(digest)
        if found is not None:
            return found
        answer = self.registry.get(uri)
        if isinstance(answer, ImageError):
            raise answer
        if digest not in self._there:
            raise ImageError(f"Source image {uri} does not exist. Provide a valid source image.", "ImageDeleted")
        self._here.add(digest)
        self.fetched.append(digest)
        return self._there[digest][0]

    def find(self, digest: str) -> StoredImage | None:
        """See the port."""
        return self._there[digest][0] if digest in self._here else None

    def root(self, digest: str) -> Path:
        """See the port."""
        if digest not in self._here:
            raise ImageError(f"The image sha256:{digest} is not on this node any more: fetch it again.", "ImageDeleted")
        return self._there[digest][1]

    def images(self) -> Sequence[StoredImage]:
        """See the port."""
        return [self._there[digest][0] for digest in sorted(self._here)]

    async def prune(self, in_use: Collection[str], *, everything: bool = False) -> list[str]:  # noqa: ARG002
        """See the port; there is no time, so nothing was fetched just now."""
        gone = sorted(self._here - set(in_use))
        self._here.difference_update(gone)
        return gone


class CopyingOverlays(Overlays):
    """Merges by copying, for trees without whiteouts: takes no privileges."""

    def mount(self, lower: Sequence[Path], target: Path) -> None:
        """See the port."""
        for tree in reversed(lower):
            shutil.copytree(tree, target, symlinks=True, dirs_exist_ok=True)

    def mount_writable(self, lower: Sequence[Path], target: Path, upper: Path, work: Path) -> None:  # noqa: ARG002
        """See the port; what is changed is lost."""
        self.mount([upper, *lower], target)

    def unmount(self, target: Path) -> None:
        """See the port."""
        for entry in target.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
