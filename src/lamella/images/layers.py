"""Unpacked layers in a directory, by the digest of their archives.

Layout::

    <digest>/layer.json    what is known of it
    <digest>/tree/         its files, with the marks of overlayfs for what it takes away

A layer is made in `staging`, brought to the disk and renamed, so it is whole or not there. Layers are shared by all
images that have them: the digest is of the unpacked archive, whatever a registry packed it with.
"""

import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from lamella.durable import sync_directory, sync_filesystem
from lamella.images.layertree import LayerTree, Room
from lamella.images.manifest import IMAGE_MOST_BYTES, Descriptor, too_large
from lamella.images.records import LayerRecord, write_atomically
from lamella.images.reference import INVALID
from lamella.images.source import Stopped, damaged
from lamella.images.unpacking import Packed, Unpacked
from lamella.ports.images import ImageError

_ARCHIVE_MOST_BYTES: Final = IMAGE_MOST_BYTES + 4 * 1024**3
"""Of one unpacked archive: its headers and padding are no files, but cost time."""


class LayerShelf:
    """The layers below a directory. Blocking: for threads."""

    def __init__(self, root: Path, staging: Path) -> None:
        self._root = root
        self._staging = staging
        self._hiding: dict[str, bool] = {}

    def tree(self, diff_id: str) -> Path:
        """Where its files are."""
        return self._root / diff_id / "tree"

    def find(self, diff_id: str) -> LayerRecord | None:
        """What is known of a layer; `None` if it is not here, or was damaged."""
        try:
            record = LayerRecord.from_json((self._root / diff_id / "layer.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        self._hiding[diff_id] = record.hides_all
        return record

    def hides_all(self, diff_id: str) -> bool:
        """Whether nothing of the layers below is seen. Answers from memory, for layers that were asked for before."""
        if diff_id not in self._hiding:
            self.find(diff_id)
        return self._hiding.get(diff_id, False)

    def all(self) -> list[str]:
        """Digests of all layers."""
        return sorted(path.name for path in self._root.iterdir())

    def add(
        self, diff_id: str, part: Descriptor, file: BinaryIO, room: Room, *, shown: str, stopped: Stopped
    ) -> LayerRecord:
        """Unpack a layer.

        Args:
            diff_id: SHA-256 that its unpacked archive has to have.
            part: As the manifest describes the packed layer.
            file: The packed layer.
            room: For its files.
            shown: The image, for errors.
            stopped: Ends it.

        Raises:
            ImageError: It is damaged, hostile, too large, or another one than the image says.
            OSError: The disk is full, or fails.
        """
        label = f"The layer sha256:{part.digest} of {shown}"
        packed = Packed(file, stopped)
        archive = Unpacked(packed, most_bytes=_ARCHIVE_MOST_BYTES, shown=label, too_large=lambda: too_large(shown))
        work = self._staging / uuid.uuid4().hex
        tree = work / "layer/tree"
        tree.mkdir(parents=True)
        try:
            tree.chmod(0o755)  # whatever the umask; of no weight if the archive says something else
            descriptor = os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                filled = LayerTree(descriptor, room, shown=label, too_large=too_large(shown))
                filled.fill(archive)
                while packed.read():
                    pass
                if packed.digest != part.digest or packed.size_bytes != part.size_bytes:
                    raise damaged(label)
                if archive.digest != diff_id:
                    raise ImageError(f"{label} is not the one that the image's configuration names.", INVALID)
                record = LayerRecord(filled.size_bytes, tuple(sorted(filled.implied)), filled.hides_all)
                write_atomically(work / "layer/layer.json", record.to_json())
                sync_filesystem(descriptor)
            finally:
                os.close(descriptor)
            self._take_in(work / "layer", diff_id)
            self._hiding[diff_id] = record.hides_all
        finally:
            remove(work)
        return record

    def discard(self, diff_id: str) -> None:
        """Take a layer away; it is not there from the first moment on."""
        work = self._staging / uuid.uuid4().hex
        (self._root / diff_id).rename(work)
        remove(work)

    def _take_in(self, made: Path, diff_id: str) -> None:
        final = self._root / diff_id
        try:
            made.rename(final)
        except OSError:
            if not final.exists():
                raise
            # Damaged, or else it would have been found.
            final.rename(made.with_name("litter"))
            made.rename(final)
        sync_directory(self._root)


def remove(path: Path, on_error: Callable[..., object] | None = None) -> None:
    """Delete a tree, whatever modes its directories have."""
    shutil.rmtree(path, ignore_errors=on_error is None, onerror=on_error)
