"""The images of a node, in a directory.

Layout::

    layers/<diff id>/     each unpacked once, for all images that have it (`layers.LayerShelf`)
    images/<digest>/      `image.json`, and `points/`: the uppermost tree, with what sandboxes are mounted on
    blobs/<digest>        packed layers that are being fetched; those of a try that failed are gone on with
    roots/<digest>/       where an image's trees are merged, while a server runs
    names.json            what names that were given here stand for (`names.ImageNames`)
    staging/              what is being made or unmade; emptied at start

An image is there if and only if its `image.json` is, which comes last.
"""

import asyncio
import errno
import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

from lamella.durable import sync_directory
from lamella.images.alone import Alone
from lamella.images.archives import open_archive
from lamella.images.layers import LayerShelf, remove
from lamella.images.layertree import Room
from lamella.images.manifest import (
    IMAGE_MOST_BYTES,
    Configuration,
    Index,
    Manifest,
    check_kinds,
    read_configuration,
    read_document,
    sha256,
    too_large,
)
from lamella.images.names import ImageNames, parse_name
from lamella.images.records import ImageRecord, LayerRecord, stored_image, used_layers, write_atomically
from lamella.images.reference import DELETED, INTERNAL, INVALID, Reference
from lamella.images.roots import Roots
from lamella.images.source import ImageSource, Stopped, damaged, resolved_from
from lamella.ports.errors import UnavailableError
from lamella.ports.images import ImageError, ImageStore, Overlays, ResolvedImage, StoredImage

T = TypeVar("T")

_log = logging.getLogger(__name__)

_RECENT_S: Final = 600.0
"""How long after it was fetched an image is spared: whoever wanted it may not have said so in the database yet."""


_FREE_LEAST_BYTES: Final = 512 * 1024 * 1024
"""Of the disk: who may create a function could fill all of it with images, and the database's file could not grow."""

_BLOB_KEPT_S: Final = 86_400.0
"""How long a layer that was fetched in part waits for another try."""

_FILE_SYSTEM: Final = "Its file system has to hold devices and extended attributes, as ext4, xfs and btrfs do."
_ADVICE: Final = {
    errno.ENOSPC: "Make room; 'lamella image prune' removes what nothing uses.",
    errno.EDQUOT: "Make room; 'lamella image prune' removes what nothing uses.",
    errno.EPERM: _FILE_SYSTEM,
    errno.ENOTSUP: _FILE_SYSTEM,
    errno.EINVAL: _FILE_SYSTEM,  # of mounting what cannot be the upper part of an overlay
}

Progress = Callable[[int, int, int], None]
"""Told how many layers are done, of how many, and the size in bytes of the next one, packed."""


def silent(done: int, layers: int, size_bytes: int) -> None:
    """Tell nobody."""
    del done, layers, size_bytes


class FilesystemImageStore(ImageStore):
    """Implements `lamella.ports.images.ImageStore`; end it with `close`.

    Args:
        root: Created if need be, open to its owner alone. One file system, which knows whiteouts and extended
            attributes, used by one process at a time.
        sources: Opens the place that a reference names, or raises `ImageError` if it may not be asked.
        overlays: Merges directories.

    Raises:
        UnavailableError: The directory cannot be used.
    """

    def __init__(self, root: Path, sources: Callable[[Reference, Stopped], ImageSource], overlays: Overlays) -> None:
        self._root = root
        self._sources = sources
        self._images = root / "images"
        self._asking = ThreadPoolExecutor(4, "images")
        self._fetching = ThreadPoolExecutor(3, "fetch images")  # apart: a large one must not keep others from asking
        self._tidying = ThreadPoolExecutor(1, "tidy images")  # nobody can refer to images meanwhile: it waits for none
        self._sweeping = ThreadPoolExecutor(1, "sweep images")
        self._guard = threading.Lock()  # over the members below; held for moments only
        self._records: dict[str, ImageRecord] = {}
        self._wanted: dict[str, int] = {}  # layers that somebody who fetches an image counts on
        self._alone = Alone()
        self._stopping = threading.Event()
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name in ("layers", "images", "blobs", "roots", "staging"):
                (root / name).mkdir(mode=0o700, exist_ok=True)
            for leftover in (root / "staging").iterdir():
                remove(leftover)
            self._shelf = LayerShelf(root / "layers", root / "staging")
            self._roots = Roots(self._images, root / "roots", root / "staging", self._shelf, overlays)
            self._names = ImageNames(root / "names.json")
            self._records = self._read_records()
        except OSError as error:
            raise UnavailableError(f"image store {root}: {error.strerror}") from error

    def close(self) -> None:
        """Break off what is being fetched, and unmount the roots. Nothing may be asked of the store afterwards."""
        self._stopping.set()
        self._fetching.shutdown()
        self._asking.shutdown()
        self._tidying.shutdown()
        self._sweeping.shutdown()
        self._roots.close()

    async def resolve(self, uri: str) -> ResolvedImage:
        """See the port."""
        return await self._run(self._asking, lambda: self._resolve(uri))

    async def fetch(self, uri: str, digest: str, progress: Progress = silent) -> StoredImage:
        """See the port. If the caller is cancelled, the work goes on in its thread.

        Args:
            uri: See the port.
            digest: See the port.
            progress: Told how far it is; called in that thread.
        """
        found = self.find(digest)
        if found is None:
            found = await self._run(self._fetching, lambda: self._fetch(uri, digest, progress))
        return found

    async def load(self, archive: Path, name: str, tag: str = "", progress: Progress = silent) -> ResolvedImage:
        """Take images from an archive, and let a name stand for them: for their index, if it has one.

        Args:
            archive: A file as `docker save`, or whoever writes OCI archives, has written it.
            name: As functions will name them.
            tag: Of the image in the archive; may be empty if it has one.
            progress: As for `fetch`.

        Raises:
            ImageError: The archive or an image in it is not valid; the name stands for what it did before.
        """
        reference = parse_name(name)
        return await self._run(self._fetching, lambda: self._load(archive, reference, tag, progress))

    def find(self, digest: str) -> StoredImage | None:
        """See the port."""
        record = self._records.get(digest)
        return None if record is None else record.image

    def root(self, digest: str) -> Path:
        """See the port."""
        record = self._records.get(digest)
        if record is None:
            raise ImageError(f"The image sha256:{digest} is not on this node any more: fetch it again.", DELETED)
        try:
            return self._roots.root(digest, record.image.layers)
        except OSError as error:
            raise ImageError(
                f"The image sha256:{digest} is damaged ({error.strerror}): remove it, and fetch it again.", INTERNAL
            ) from error

    def images(self) -> Sequence[StoredImage]:
        """See the port."""
        return [record.image for record in self.records()]

    def records(self) -> Sequence[ImageRecord]:
        """All that are here, by digest, with where they came from."""
        with self._guard:
            return [self._records[digest] for digest in sorted(self._records)]

    def names_of(self, digest: str) -> Sequence[str]:
        """Names that were given to an image here."""
        return self._names.names_of(digest)

    async def keep(self, digest: str, uri: str) -> None:
        """Have an image stay though nothing uses it, and remember that it was wanted by this name."""
        await self._run(self._asking, lambda: self._keep(digest, uri))

    async def prune(self, in_use: Collection[str], *, everything: bool = False) -> list[str]:
        """See the port."""
        return await self._run(self._tidying, lambda: self._prune(frozenset(in_use), everything=everything))

    async def remove(self, digests: Collection[str]) -> None:
        """See the port."""
        await self._run(self._tidying, lambda: self._let_go(frozenset(digests)))

    async def sweep(self, *, everything: bool = False) -> None:
        """See the port."""
        await self._run(self._sweeping, lambda: self._sweep(older_than_s=0.0 if everything else _BLOB_KEPT_S))

    async def _run(self, pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        future = asyncio.get_running_loop().run_in_executor(pool, work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            future.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody is left to be told
            raise
        except OSError as error:
            reason, advice = error.strerror or str(error), _ADVICE.get(error.errno or 0, "See the server's log.")
            _log.warning("the image store %s fails: %s", self._root, error)
            raise ImageError(f"The server's image store fails: {reason}. {advice}", INTERNAL) from error

    def _resolve(self, uri: str) -> ResolvedImage:
        reference = Reference.parse(uri)
        named = self._names.find(reference)
        if named is not None:
            return replace(named, uri=uri)
        source = self._sources(reference, self._stopping.is_set)
        try:
            return resolved_from(source, reference.digest, uri)
        finally:
            source.close()

    def _fetch(self, uri: str, digest: str, progress: Progress) -> StoredImage:
        reference = Reference.parse(uri).at(digest)
        source = self._sources(reference, self._stopping.is_set)
        try:
            return self._fetch_from(source, digest, uri, progress)
        finally:
            source.close()

    def _load(self, archive: Path, reference: Reference, tag: str, progress: Progress) -> ResolvedImage:
        try:
            source = open_archive(archive, tag)
            found = resolved_from(source, "", str(reference))
            for platform in found.platforms:
                self._fetch_from(source, platform.digest, str(reference), progress)
        except ImageError as error:  # where it lies for the moment says nothing to whoever has sent it
            text = str(error).replace(f"oci-archive:{archive}", "The archive")
            raise ImageError(text, error.code) from error
        if not found.platforms:
            raise ImageError("The archive has no image for linux on amd64 or arm64.", INVALID)
        self._names.give(reference, found)
        return found

    def _fetch_from(self, source: ImageSource, digest: str, uri: str, progress: Progress) -> StoredImage:
        with self._alone.with_(f"image {digest}"):
            return self.find(digest) or self._fetch_image(source, digest, uri, progress)

    def _fetch_image(self, source: ImageSource, digest: str, uri: str, progress: Progress) -> StoredImage:
        data, media_type = source.document(digest)
        if sha256(data) != digest:
            raise damaged(f"The manifest of {uri}")
        manifest = read_document(data, media_type, uri)
        if isinstance(manifest, Index):
            raise ImageError(f"sha256:{digest} of {uri} is an index of images, not an image.", INVALID)
        check_kinds(manifest, uri)
        configuration = read_configuration(source.blob(manifest.config), uri)
        if len(configuration.diff_ids) != len(manifest.layers):
            raise ImageError(
                f"The image {uri} has {len(manifest.layers)} layers, and its configuration names "
                f"{len(configuration.diff_ids)}.",
                INVALID,
            )
        with self._counting_on(configuration.diff_ids):
            layers = self._fetch_layers(source, manifest, configuration, uri, progress)
            self._roots.make(digest, configuration.diff_ids, layers, uri)
            image = stored_image(digest, configuration, layers)
            self._write(ImageRecord(image, (uri,), time.time()))
        _log.info("image %s is here: sha256:%s, %d bytes in %d layers", uri, digest, image.size_bytes, len(layers))
        return image

    def _fetch_layers(
        self, source: ImageSource, manifest: Manifest, configuration: Configuration, uri: str, progress: Progress
    ) -> list[LayerRecord]:
        room, records = Room(IMAGE_MOST_BYTES), list[LayerRecord]()
        for diff_id, part in zip(configuration.diff_ids, manifest.layers, strict=True):
            progress(len(records), len(manifest.layers), part.size_bytes)
            with self._alone.with_(f"layer {diff_id}"):
                record = self._shelf.find(diff_id)
                if record is None:
                    spool = self._root / "blobs" / part.digest
                    with (
                        self._alone.with_(f"blob {part.digest}"),
                        source.layer(part, spool, self._stopped) as file,
                    ):
                        spool.unlink(missing_ok=True)  # what is wrong with it now is no better at the next try
                        record = self._shelf.add(diff_id, part, file, room, shown=uri, stopped=self._stopped)
                elif not room.take(record.size_bytes):
                    raise too_large(uri)
            records.append(record)
        return records

    def _stopped(self) -> bool:
        """Asked between the pieces of what is fetched.

        Raises:
            OSError: There is hardly room left, which the server needs for everything else, and others as well.
        """
        room = os.statvfs(self._root)
        if room.f_bavail * room.f_frsize < _FREE_LEAST_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._stopping.is_set()

    def _write(self, record: ImageRecord) -> None:
        directory = self._images / record.image.digest
        write_atomically(directory / "image.json", record.to_json())
        sync_directory(directory)
        with self._guard:
            self._records[record.image.digest] = record

    def _keep(self, digest: str, uri: str) -> None:
        with self._alone.with_(f"image {digest}"):
            record = self._records.get(digest)
            if record is not None:
                self._write(replace(record.seen_as(uri), kept=True))

    def _prune(self, in_use: frozenset[str], *, everything: bool) -> list[str]:
        now_s = time.time()
        unused = {
            record.image.digest
            for record in self.records()
            if record.image.digest not in in_use
            and (everything or not (self._is_wanted(record) or now_s - record.fetched_s < _RECENT_S))
        }
        self._let_go(unused)
        return sorted(unused)

    def _is_wanted(self, record: ImageRecord) -> bool:
        return record.kept or bool(self._names.names_of(record.image.digest))

    def _let_go(self, digests: Collection[str]) -> None:
        with self._guard:
            for digest in digests & self._records.keys():
                del self._records[digest]
                (self._images / digest / "image.json").unlink(missing_ok=True)
        self._names.forget(set(digests))

    def _sweep(self, *, older_than_s: float) -> None:
        """Delete files of images that are not here any more, and of layers that no image has and nobody counts on.

        What somebody is at work on is left to the next sweep: a download may take hours.
        """
        for directory in self._images.iterdir():
            with self._alone.if_free(f"image {directory.name}") as free:
                if free and directory.name not in self._records:
                    self._roots.take_away(directory.name)
                    remove(directory)
        for diff_id in self._shelf.all():
            with self._alone.if_free(f"layer {diff_id}") as free:
                if free and diff_id not in self._used_layers():
                    with suppress(FileNotFoundError):
                        self._shelf.discard(diff_id)
        for path in (self._root / "blobs").iterdir():
            with self._alone.if_free(f"blob {path.name}") as free, suppress(FileNotFoundError):
                if free and time.time() - path.stat().st_mtime >= older_than_s:
                    path.unlink()

    def _used_layers(self) -> frozenset[str]:
        """Layers that an image has, or somebody counts on who fetches one."""
        with self._guard:
            return used_layers(record.image for record in self._records.values()) | self._wanted.keys()

    def _read_records(self) -> dict[str, ImageRecord]:
        """Of all images that are whole; what is left of others is taken away."""
        found = {}
        for directory in self._images.iterdir():
            try:
                record = ImageRecord.from_json((directory / "image.json").read_text(encoding="utf-8"))
            except (OSError, ValueError, KeyError, TypeError):
                remove(directory)
                continue
            if all(self._shelf.find(diff_id) is not None for diff_id in record.image.layers):
                found[record.image.digest] = record
        return found

    @contextmanager
    def _counting_on(self, diff_ids: Sequence[str]) -> Iterator[None]:
        """Keep layers from being pruned before the image that has them is there."""
        with self._guard:
            for diff_id in diff_ids:
                self._wanted[diff_id] = self._wanted.get(diff_id, 0) + 1
        try:
            yield
        finally:
            with self._guard:
                for diff_id in diff_ids:
                    self._wanted[diff_id] -= 1
                    if not self._wanted[diff_id]:
                        del self._wanted[diff_id]
