"""Zip archives and their trees in a directory, by digest.

Layout::

    zip/ab/<digest>.zip    as uploaded; an artifact is there if and only if its zip is
    tree/ab/<digest>/      extracted
    staging/               what is being made or unmade; emptied at start

Both parts are made in `staging`, brought to the disk, and renamed into place, the tree first. So whatever moment the
power goes, an artifact is whole or not there, and a tree without a zip is only litter that `collect` takes away.
"""

import asyncio
import base64
import hashlib
import mmap
import os
import re
import shutil
import threading
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from lamella.adapters.filesystem.extract import extract
from lamella.adapters.filesystem.ziplayout import Archive, read_layout
from lamella.adapters.filesystem.zipplan import Plan, make_plan, too_large
from lamella.domain.function import Artifact
from lamella.durable import sync_directory, sync_filesystem
from lamella.ports.errors import UnavailableError

T = TypeVar("T")

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class FilesystemArtifactStore:
    """Implements `lamella.ports.stores.ArtifactStore`; end it with `close`.

    Args:
        root: Created if need be, open to its owner alone. Must be one file system, and used by one process at a time.

    Raises:
        UnavailableError: The directory cannot be used.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._staging = root / "staging"
        # Two threads: one artifact is checked while another is extracted, which by itself uses all processors.
        self._pool = ThreadPoolExecutor(2, "artifacts")
        self._extracting = threading.Lock()
        self._guard = threading.Lock()  # over the members below; held for moments only
        self._protected: dict[str, int] = {}
        self._touched: set[str] = set()
        self._known: dict[str, Artifact] = {}  # added by this process, and not discarded since
        self._collecting = asyncio.Lock()
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name in ("zip", "tree", "staging"):
                (root / name).mkdir(mode=0o700, exist_ok=True)
            for leftover in self._staging.iterdir():
                _remove(leftover)
            sync_directory(root)
        except OSError as error:
            raise UnavailableError(f"artifact store {root}: {error.strerror}") from error

    def close(self) -> None:
        """Wait for what is being done. Nothing may be asked of the store afterwards."""
        self._pool.shutdown()

    async def add(self, archive: bytes | Path, *, max_unzipped_bytes: int) -> Artifact:
        """See the port.

        If the caller is cancelled, the work goes on in its thread, and leaves a whole artifact that nothing protects.

        Raises:
            UnavailableError: The disk is full, or fails.
        """
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._pool, self._add, archive, max_unzipped_bytes)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            future.add_done_callback(self._abandon)
            raise

    def release(self, digest: str) -> None:
        """See the port."""
        with self._guard:
            count = self._protected[digest] - 1
            if count:
                self._protected[digest] = count
            else:
                del self._protected[digest]

    def tree(self, digest: str) -> Path:
        """See the port. Nobody outside of a sandbox may follow symbolic links in it."""
        return self._root / "tree" / _checked(digest)[:2] / digest

    def archive(self, digest: str) -> Path:
        """See the port."""
        return self._root / "zip" / _checked(digest)[:2] / f"{digest}.zip"

    async def collect(self, live: frozenset[str] | Callable[[], Awaitable[frozenset[str]]]) -> int:
        """See the port.

        Args:
            live: The digests in use; or, where artifacts may be added at the same time, a function that finds them
                out. It is called after the candidates were listed, so that a row committed meanwhile is seen: an
                artifact that was added and released after `live` was read would otherwise be taken for dead.
        """
        async with self._collecting:
            candidates = await self._run(self._candidates)
            alive = live if isinstance(live, frozenset) else await live()
            return await self._run(lambda: sum(self._discard(digest) for digest in candidates - alive))

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def _add(self, source: bytes | Path, max_unzipped_bytes: int) -> Artifact:
        archive = _mapped(source) if isinstance(source, Path) else source
        hashed = hashlib.sha256(archive).digest()
        digest = hashed.hex()
        self._protect(digest)
        try:
            known = self._known.get(digest) or self._make(archive, source, digest, hashed, max_unzipped_bytes)
        except OSError as error:
            self.release(digest)
            raise UnavailableError(f"artifact store {self._root}: {error.strerror}") from error
        except BaseException:
            self.release(digest)
            raise
        if known.unzipped_bytes > max_unzipped_bytes:  # an earlier caller allowed more than this one
            self.release(digest)
            raise too_large(max_unzipped_bytes)
        return known

    def _make(
        self, archive: Archive, source: bytes | Path, digest: str, hashed: bytes, max_unzipped_bytes: int
    ) -> Artifact:
        plan = make_plan(read_layout(archive), max_unzipped_bytes=max_unzipped_bytes)
        with self._extracting:
            if not self._has(digest):
                self._store(archive, source, digest, plan)
        artifact = Artifact(digest, base64.b64encode(hashed).decode(), len(archive), plan.unzipped_bytes)
        return self._known.setdefault(digest, artifact)

    def _abandon(self, future: asyncio.Future[Artifact]) -> None:
        if not future.cancelled() and future.exception() is None:
            self.release(future.result().digest)

    def _protect(self, digest: str) -> None:
        with self._guard:
            self._protected[digest] = self._protected.get(digest, 0) + 1
            self._touched.add(digest)

    def _has(self, digest: str) -> bool:
        return self.archive(digest).exists() and self.tree(digest).exists()

    def _store(self, archive: Archive, source: bytes | Path, digest: str, plan: Plan) -> None:
        work = self._staging / uuid.uuid4().hex
        work.mkdir()
        try:
            staged_tree, staged_zip = work / "tree", work / "zip"
            staged_tree.mkdir()
            if isinstance(source, Path):
                _take(source, staged_zip)
            else:
                staged_zip.write_bytes(source)
            descriptor = os.open(staged_tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                extract(archive, plan, descriptor, threads=min(4, os.cpu_count() or 1))
                # One call for thousands of files, which the kernel writes in the order that suits the disk.
                sync_filesystem(descriptor)
            finally:
                os.close(descriptor)
            tree, kept = self.tree(digest), self.archive(digest)
            _make_parent(tree)
            _make_parent(kept)
            if tree.exists():  # without its zip: a crash came between the two renames below
                tree.rename(work / "litter")
            staged_tree.rename(tree)
            sync_directory(tree.parent)
            staged_zip.rename(kept)
            sync_directory(kept.parent)
        finally:
            _remove(work)

    def _candidates(self) -> frozenset[str]:
        with self._guard:
            self._touched = set(self._protected)
        paths = [*self._root.glob("zip/*/*"), *self._root.glob("tree/*/*")]
        return frozenset(path.name.removesuffix(".zip") for path in paths)

    def _discard(self, digest: str) -> bool:
        """Delete an artifact unless it has been protected since the candidates were listed."""
        work = self._staging / uuid.uuid4().hex
        work.mkdir()
        try:
            with self._guard:
                if digest in self._touched:
                    return False
                self._known.pop(digest, None)
                for path in (self.archive(digest), self.tree(digest)):  # the zip first: without it, nothing is there
                    if path.exists():
                        path.rename(work / path.name)
        finally:
            _remove(work)
        return True


def _checked(digest: str) -> str:
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"not a digest: {digest!r}")
    return digest


def _mapped(path: Path) -> Archive:
    """A file's content without reading it; nothing where there is nothing, which cannot be mapped."""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) if path.stat().st_size else b""


def _take(source: Path, target: Path) -> None:
    """Move a file, or copy it if it is on another file system."""
    try:
        source.rename(target)
    except OSError:
        shutil.copyfile(source, target)


def _make_parent(path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o700)
    except FileExistsError:
        return
    sync_directory(path.parent.parent)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
