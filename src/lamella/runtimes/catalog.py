"""The runtime packs of this node, and how they come to be."""

import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from lamella.domain.function import Architecture
from lamella.elf import LibraryFinder
from lamella.ports.runtimes import RuntimeCatalog, RuntimeNotInstalledError, RuntimePack
from lamella.runtimes.errors import PackBuildError, PackDamagedError
from lamella.runtimes.interpreters import find_interpreter
from lamella.runtimes.pack import MANIFEST, ROOTFS, Manifest, Origin, host_architecture, read_manifest
from lamella.runtimes.recipes import PROVIDED, Recipe, recipe_digest, recipe_for, remedy
from lamella.runtimes.tree import RootTree, tree_digest, tree_size_bytes

Progress = Callable[[str], None]

_CURRENT: Final = "current"
_CLIENTS: Final = "clients"  # AWS's runtime clients that came as files, for the next build


def _silent(message: str) -> None:
    del message


class PackCatalog(RuntimeCatalog):
    """Runtime packs below a directory: `<root>/<name>/<digest>/`, and a link `current` to the one in use.

    `find` and `packs` answer from memory. The others read and write files and start programs for up to some seconds:
    call them in a thread. The directory belongs to one process at a time.
    """

    def __init__(self, root: Path) -> None:
        """Read what is installed; nothing is built.

        Args:
            root: `<data>/runtimes`; made if it is not there.
        """
        self._root = root
        self._lock = threading.Lock()
        self._manifests: Mapping[str, tuple[Manifest, RuntimePack]] = {}
        self._superseded: Mapping[tuple[str, str], RuntimePack] = {}  # by name and digest
        root.mkdir(parents=True, exist_ok=True)
        self._load()

    def find(self, name: str, architecture: Architecture, digest: str | None = None) -> RuntimePack:
        """The pack that runs functions of this runtime and architecture: the newest, or the one of this digest.

        Raises:
            RuntimeNotInstalledError: There is none; never another version silently.
        """
        entry = self._manifests.get(name)
        if entry is None:
            installed = ", ".join(self._manifests) or "none"
            raise RuntimeNotInstalledError(
                f"Runtime {name} is not installed on this node. Installed: {installed}.{remedy(name)}"
            )
        pack = entry[1]
        if digest not in {None, pack.digest}:
            superseded = self._superseded.get((name, str(digest)))
            if superseded is None:
                raise RuntimeNotInstalledError(f"Version {digest} of runtime {name} is not installed on this node.")
            pack = superseded
        if pack.architecture is not architecture:
            raise RuntimeNotInstalledError(
                f"Runtime {name} is installed on this node for {pack.architecture} only, not for {architecture}."
            )
        return pack

    def packs(self) -> Sequence[RuntimePack]:
        """All packs that new environments use, by name."""
        return [pack for _, pack in self._manifests.values()]

    def manifest(self, name: str) -> Manifest:
        """What is known of an installed pack beyond what the core needs.

        Raises:
            RuntimeNotInstalledError: There is none of this name.
        """
        self.find(name, host_architecture())
        return self._manifests[name][0]

    def add(self, name: str, source: Path | None = None, *, progress: Progress = _silent) -> RuntimePack:
        """Build a pack, and let new environments use it from now on.

        Args:
            name: `python3.11`, `nodejs20.x`, `java17`, `provided.al2023` ...
            source: Interpreter to copy, or the root of its installation; found on this host if `None`.
            progress: Told what is being done, in words for the operator.

        Raises:
            PackBuildError: It cannot be built on this host; the catalogue is as before.
        """
        with self._lock:
            return self._add(name, source, progress)

    def ensure_defaults(self, *, progress: Progress = _silent) -> list[RuntimePack]:
        """Build the packs that every node has, and rebuild those whose interpreter, libraries or recipe has changed.

        The defaults: both `provided.*`, the Python version that runs Lamella, and python3.11 where the host has it.
        Takes milliseconds if nothing is to be done. A pack that cannot be built is reported to `progress` and does not
        keep the others from being used: a node without network still runs custom runtimes.

        Returns:
            The packs that were built.

        Raises:
            PackBuildError: There is no pack at all.
        """
        built: list[RuntimePack] = []
        with self._lock:
            self._clear_leftovers()
            names = [*self._manifests, *self._missing_defaults()]
            for name in names:
                entry = self._manifests.get(name)
                if entry is not None and entry[0].origin.is_current(recipe_digest(name)):
                    continue
                source = self._source_of(entry[0]) if entry is not None else None
                try:
                    built.append(self._add(name, source, progress))
                except PackBuildError as error:
                    if not self._manifests and name == names[-1]:
                        raise
                    outcome = "is not installed" if entry is None else "stays at its older build"
                    progress(f"Runtime {name} {outcome}: {error}")
        return built

    def prune(self, in_use: Collection[str]) -> list[str]:
        """Remove superseded packs.

        Args:
            in_use: Digests of packs that execution environments still use, or that functions keep.

        Returns:
            Digests of the packs that were removed.
        """
        removed: list[str] = []
        with self._lock:
            for name, (_, pack) in self._manifests.items():
                for directory in (self._root / name).iterdir():
                    if directory.is_symlink() or directory.name in in_use or directory.name == pack.digest:
                        continue
                    shutil.rmtree(directory)
                    removed.append(directory.name)
            if removed:
                self._load()
        return removed

    def _missing_defaults(self) -> list[str]:
        running = f"python{sys.version_info.major}.{sys.version_info.minor}"
        missing = [name for name in (*PROVIDED, running) if name not in self._manifests]
        if "python3.11" not in {running, *self._manifests} and find_interpreter("python3.11") is not None:
            missing.append("python3.11")
        return missing

    def _add(self, name: str, source: Path | None, progress: Progress) -> RuntimePack:
        recipe = recipe_for(name, source, self._root / _CLIENTS)
        progress(f"Building runtime {name}" + (f" from {recipe.interpreter}" if recipe.interpreter else ""))
        with self._staging() as staging:
            manifest = _build(staging, name, recipe)
            home = self._root / name
            home.mkdir(exist_ok=True)
            final = home / manifest.digest
            if final.exists() and tree_digest(final / ROOTFS) == manifest.digest:
                # The same tree from sources with other times: only the manifest is new.
                (staging / MANIFEST).replace(final / MANIFEST)
            else:
                if final.exists():
                    shutil.rmtree(final)  # damaged: building again is how it is mended
                staging.chmod(0o755)
                os.sync()  # a pack that survives a power cut only in part would fail in functions, long after
                staging.rename(final)
            link = home / f".{_CURRENT}"
            link.unlink(missing_ok=True)
            link.symlink_to(manifest.digest)
            link.replace(home / _CURRENT)
        self._load()
        progress(f"Runtime {name} is ready: {manifest.size_bytes / 1e6:.0f} MB, {manifest.version}")
        return self._manifests[name][1]

    @contextmanager
    def _staging(self) -> Iterator[Path]:
        staging = Path(tempfile.mkdtemp(prefix=".building-", dir=self._root))
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def _clear_leftovers(self) -> None:
        for path in (*self._root.glob(".building-*"), *self._root.glob(f"{_CLIENTS}/.fetching-*")):
            shutil.rmtree(path)

    def _load(self) -> None:
        found: dict[str, tuple[Manifest, RuntimePack]] = {}
        for link in sorted(self._root.glob(f"*/{_CURRENT}"), key=lambda path: path.parent.name):
            directory = link.parent / link.readlink()
            try:
                manifest = read_manifest(directory)
            except PackDamagedError:
                continue  # counts as not installed: ensure_defaults builds it anew, find says how to add it
            found[manifest.name] = (manifest, manifest.pack(directory))
        self._manifests = found
        self._superseded = self._load_superseded()

    def _load_superseded(self) -> dict[tuple[str, str], RuntimePack]:
        found: dict[tuple[str, str], RuntimePack] = {}
        for name, (_, newest) in self._manifests.items():
            for directory in (self._root / name).iterdir():
                if directory.is_symlink() or directory.name == newest.digest:
                    continue
                try:
                    pack = read_manifest(directory).pack(directory)
                except PackDamagedError:
                    continue  # the next pruning takes it
                found[name, pack.digest] = pack
        return found

    @staticmethod
    def _source_of(manifest: Manifest) -> Path | None:
        """The interpreter a pack came from, if it is still there; else the best one on the host takes its place."""
        recorded = manifest.origin.interpreter
        return Path(recorded) if recorded is not None and Path(recorded).exists() else None


def _build(staging: Path, name: str, recipe: Recipe) -> Manifest:
    """Build a pack's tree and manifest below `staging`."""
    rootfs = staging / ROOTFS
    rootfs.mkdir()
    tree = RootTree(rootfs, LibraryFinder())
    remarks = recipe.populate(tree)
    tree.harden()
    digest = tree_digest(rootfs)
    manifest = Manifest(
        name=name,
        architecture=host_architecture(),
        digest=digest,
        version=f"{recipe.family}:{recipe.release}.v{digest[:8]}",
        entrypoints=recipe.entrypoints,
        env={},
        execution_env=recipe.execution_env,
        size_bytes=tree_size_bytes(rootfs),
        origin=Origin(recipe_digest(name), str(recipe.interpreter) if recipe.interpreter else None, tree.sources),
        remarks=tuple(remarks),
    )
    with (staging / MANIFEST).open("w") as file:
        file.write(manifest.to_json())
        file.flush()
        os.fsync(file.fileno())
    return manifest
