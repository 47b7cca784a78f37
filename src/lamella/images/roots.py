"""Image roots: an image's layers merged, with what sandboxes are mounted on."""

import os
import threading
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from lamella.durable import sync_directory
from lamella.images.layers import LayerShelf, remove
from lamella.images.points import add_points, copy_attributes, described_below
from lamella.images.records import LayerRecord
from lamella.images.reference import INVALID
from lamella.images.users import add_user
from lamella.ports.images import ImageError, Overlays

_IMPLIED_MOST: Final = 20_000


class Roots:
    """Merges what the shelf has.

    Args:
        images: Where each image has its directory, with its uppermost tree `points` in it.
        mounts: Where roots are mounted.
        staging: For what is being made; on the same file system.
        shelf: Has the layers.
        overlays: Merges directories.
    """

    def __init__(self, images: Path, mounts: Path, staging: Path, shelf: LayerShelf, overlays: Overlays) -> None:
        self._images = images
        self._mounts = mounts
        self._staging = staging
        self._shelf = shelf
        self._overlays = overlays
        self._mounted: set[str] = set()
        self._mounting = threading.Lock()

    def make(self, digest: str, diff_ids: Sequence[str], layers: Sequence[LayerRecord], shown: str) -> None:
        """Make the uppermost tree of an image whose layers are all here. Blocking: for threads.

        Raises:
            ImageError: Its layers leave no place for what sandboxes need.
            OSError: The file system, or the kernel, does not take it.
        """
        if sum(len(layer.implied) for layer in layers) > _IMPLIED_MOST:  # each is looked for in every layer
            raise ImageError(f"The layers of {shown} have too many directories without an entry of their own.", INVALID)
        work = self._staging / uuid.uuid4().hex
        upper, scratch, target = work / "image/points", work / "work", work / "root"
        for path in (upper, scratch, target):
            path.mkdir(parents=True)
        try:
            upper.chmod(0o755)  # it is the root's own mode
            self._overlays.mount_writable(self._lower(diff_ids, self._empty()), target, upper, scratch)
            try:
                self._furnish(target, diff_ids, layers, shown)
            finally:
                self._overlays.unmount(target)
            final = self._images / digest
            self.take_away(digest)  # of what was there before, if it was wanted just when that went
            if final.exists():  # what is left of an image that was damaged
                final.rename(work / "litter")
            (work / "image").rename(final)
            sync_directory(self._images)
        finally:
            remove(work)

    def root(self, digest: str, diff_ids: Sequence[str]) -> Path:
        """Where an image is merged, now if it is not yet.

        Raises:
            OSError: Something of it is not there.
        """
        target = self._mounts / digest
        if digest in self._mounted:
            return target
        with self._mounting:
            if digest not in self._mounted:
                target.mkdir(mode=0o755, exist_ok=True)
                self._overlays.mount(self._lower(diff_ids, self._images / digest / "points"), target)
                self._mounted.add(digest)
        return target

    def take_away(self, digest: str) -> None:
        """Unmount an image's root, if it is mounted."""
        with self._mounting:
            if digest in self._mounted:
                self._mounted.discard(digest)
                with suppress(OSError):
                    self._overlays.unmount(self._mounts / digest)
            with suppress(OSError):
                (self._mounts / digest).rmdir()

    def close(self) -> None:
        """Unmount all."""
        for digest in sorted(self._mounted):
            self.take_away(digest)

    def _lower(self, diff_ids: Sequence[str], top: Path) -> list[Path]:
        """Trees to merge, the uppermost first, each once, as overlayfs wants it."""
        trees = [self._shelf.tree(diff_id) for diff_id in diff_ids]
        hiding = [number for number, diff_id in enumerate(diff_ids) if self._shelf.hides_all(diff_id)]
        trees = trees[hiding[-1] :] if hiding else trees  # of roots alone, overlayfs does not heed the mark
        # Two at least, if nothing is written on top; and the same directory twice it refuses.
        return list(dict.fromkeys((top, *(reversed(trees) if trees else (self._empty(),)))))

    def _empty(self) -> Path:
        path = self._mounts / "empty"
        path.mkdir(mode=0o755, exist_ok=True)
        return path

    def _furnish(self, target: Path, diff_ids: Sequence[str], layers: Sequence[LayerRecord], shown: str) -> None:
        trees = [self._shelf.tree(diff_id) for diff_id in diff_ids]
        attributes = described_below(trees, [layer.implied for layer in layers])
        root = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            copy_attributes(root, attributes)
            add_points(root, shown)
            add_user(root)
        finally:
            os.close(root)
