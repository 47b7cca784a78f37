"""The runtime packs of this node, and how they come to be."""

import os
import shutil
import sys
import threading
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final

from lamella.domain.function import Architecture
from lamella.elf import LibraryFinder
from lamella.ports.runtimes import RuntimeCatalog, RuntimeNotInstalledError, RuntimePack
from lamella.runtimes.errors import PackBuildError
from lamella.runtimes.interpreters import find_interpreter
from lamella.runtimes.pack import MANIFEST, ROOTFS, Manifest, Origin, host_architecture
from lamella.runtimes.recipes import PROVIDED, Recipe, recipe_digest, recipe_for, remedy
from lamella.runtimes.shelf import Key, Shelf
from lamella.runtimes.tree import RootTree, tree_digest, tree_size_bytes

Progress = Callable[[str], None]

_CLIENTS: Final = "clients"  # AWS's runtime clients that came as files, for the next build


def _silent(message: str) -> None:
    del message


class PackCatalog(RuntimeCatalog):
    """Runtime packs below a directory, one in use for each name and architecture; `Shelf` says how they lie there.

    `find` and `packs` answer from memory. The others read and write files and start programs for up to some seconds:
    call them in a thread. The directory belongs to one process at a time.
    """

    def __init__(self, root: Path) -> None:
        """Read what is installed; nothing is built.

        Args:
            root: `<data>/runtimes`; made if it is not there.
        """
        self._root = root
        self._shelf = Shelf(root)
        self._lock = threading.Lock()
        self._shelved = self._shelf.read()

    def find(self, name: str, architecture: Architecture, digest: str | None = None) -> RuntimePack:
        """The pack that runs functions of this runtime and architecture: the newest, or the one of this digest.

        Raises:
            RuntimeNotInstalledError: There is none; never another version silently.
        """
        shelved = self._shelved
        entry = shelved.current.get((name, architecture))
        if entry is not None and digest in {None, entry[1].digest}:
            return entry[1]
        superseded = shelved.superseded.get((name, str(digest)))
        if superseded is not None and superseded.architecture is architecture:
            return superseded
        if entry is not None:
            raise RuntimeNotInstalledError(f"Version {digest} of runtime {name} is not installed on this node.")
        others = [other for found, other in shelved.current if found == name]
        if others:
            raise RuntimeNotInstalledError(
                f"Runtime {name} is installed on this node for {others[0]} only, not for {architecture}."
            )
        installed = ", ".join(dict.fromkeys(found for found, _ in shelved.current)) or "none"
        raise RuntimeNotInstalledError(
            f"Runtime {name} is not installed on this node. Installed: {installed}.{remedy(name)}"
        )

    def packs(self) -> Sequence[RuntimePack]:
        """All packs that new environments use, by name, the host's architecture first."""
        return [pack for _, pack in self._shelved.current.values()]

    def manifest(self, name: str, architecture: Architecture | None = None) -> Manifest:
        """What is known of an installed pack beyond what the core needs.

        Args:
            name: Of the runtime.
            architecture: The host's if `None`.

        Raises:
            RuntimeNotInstalledError: There is none of this name.
        """
        key = (name, architecture or host_architecture())
        self.find(*key)
        return self._shelved.current[key][0]

    def add(
        self,
        name: str,
        source: Path | None = None,
        *,
        architecture: Architecture | None = None,
        progress: Progress = _silent,
    ) -> RuntimePack:
        """Build a pack, and let new environments use it from now on.

        Args:
            name: `python3.11`, `nodejs20.x`, `java17`, `provided.al2023` ...
            source: Interpreter to copy, or the root of its installation; found on this host if `None`.
            architecture: The host's if `None`.
            progress: Told what is being done, in words for the operator.

        Raises:
            PackBuildError: It cannot be built on this host; the catalogue is as before.
        """
        with self._lock:
            return self._add((name, architecture or host_architecture()), source, progress)

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
            keys = [*self._shelved.current, *self._missing_defaults()]
            for key in keys:
                entry = self._shelved.current.get(key)
                if entry is not None and entry[0].origin.is_current(recipe_digest(key[0])):
                    continue
                source = self._source_of(entry[0]) if entry is not None else None
                try:
                    built.append(self._add(key, source, progress))
                except PackBuildError as error:
                    if not self._shelved.current and key == keys[-1]:
                        raise
                    outcome = "is not installed" if entry is None else "stays at its older build"
                    progress(f"Runtime {key[0]} {outcome}: {error}")
        return built

    def prune(self, in_use: Collection[str]) -> list[str]:
        """Remove superseded packs.

        Args:
            in_use: Digests of packs that execution environments still use, or that functions keep.

        Returns:
            Digests of the packs that were removed.
        """
        with self._lock:
            removed = self._shelf.prune(in_use)
            if removed:
                self._shelved = self._shelf.read()
        return removed

    def _missing_defaults(self) -> list[Key]:
        running = f"python{sys.version_info.major}.{sys.version_info.minor}"
        wanted = [*PROVIDED, running]
        if running != "python3.11" and find_interpreter("python3.11") is not None:
            wanted.append("python3.11")
        keys = [(name, host_architecture()) for name in wanted]
        return [key for key in keys if key not in self._shelved.current]

    def _add(self, key: Key, source: Path | None, progress: Progress) -> RuntimePack:
        name, architecture = key
        recipe = recipe_for(name, source, self._root / _CLIENTS, architecture)
        progress(f"Building runtime {name}" + (f" from {recipe.interpreter}" if recipe.interpreter else ""))
        with self._shelf.staging() as staging:
            manifest = _build(staging, name, recipe, architecture)
            self._shelf.install(staging, manifest)
        self._shelved = self._shelf.read()
        progress(f"Runtime {name} is ready: {manifest.size_bytes / 1e6:.0f} MB, {manifest.version}")
        return self._shelved.current[key][1]

    def _clear_leftovers(self) -> None:
        self._shelf.clear_leftovers()
        for path in self._root.glob(f"{_CLIENTS}/.fetching-*"):
            shutil.rmtree(path)

    @staticmethod
    def _source_of(manifest: Manifest) -> Path | None:
        """The interpreter a pack came from, if it is still there; else the best one on the host takes its place."""
        recorded = manifest.origin.interpreter
        return Path(recorded) if recorded is not None and Path(recorded).exists() else None


def _build(staging: Path, name: str, recipe: Recipe, architecture: Architecture) -> Manifest:
    """Build a pack's tree and manifest below `staging`."""
    rootfs = staging / ROOTFS
    rootfs.mkdir()
    tree = RootTree(rootfs, LibraryFinder())
    remarks = recipe.populate(tree)
    tree.harden()
    digest = tree_digest(rootfs)
    manifest = Manifest(
        name=name,
        architecture=architecture,
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
