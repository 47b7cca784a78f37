"""The runtime packs of this node, and how they come to be."""

import os
import shutil
import sys
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from lamella.domain.function import Architecture
from lamella.ports.images import ImageError, StoredImage
from lamella.ports.runtimes import RuntimeCatalog, RuntimeNotInstalledError, RuntimePack
from lamella.runtimes import debian_root
from lamella.runtimes.errors import InterpreterMissingError, PackBuildError
from lamella.runtimes.fetched import can_be_fetched, fetch_interpreter, kept_interpreter
from lamella.runtimes.foreign import Emulations
from lamella.runtimes.interpreters import find_interpreter
from lamella.runtimes.pack import MANIFEST, ROOTFS, Manifest, Origin, file_digest
from lamella.runtimes.recipes import (
    PROVIDED,
    Recipe,
    recipe_digest,
    recipe_for,
    recipe_of_debian,
    remedy,
)
from lamella.runtimes.shelf import Key, Shelf
from lamella.runtimes.system import System, host_architecture
from lamella.runtimes.taken import is_pack_directory, take_directory, take_image
from lamella.runtimes.tree import RootTree, tree_digest, tree_size_bytes

Progress = Callable[[str], None]

_CLIENTS: Final = "clients"  # AWS's runtime clients that came as files, for the next build
_INTERPRETERS: Final = "interpreters"  # those that were fetched, for the same
_IMAGE_DELETED: Final = "ImageDeleted"  # see `ImageError.code`


def _silent(message: str) -> None:
    del message


def _no_images(digest: str) -> Path:
    raise ImageError(f"There are no images here, and so no {digest}.", _IMAGE_DELETED)


class PackCatalog(RuntimeCatalog):
    """Runtime packs below a directory, one in use for each name and architecture; `Shelf` says how they lie there.

    `find` and `packs` answer from memory. The others read and write files and start programs for up to some seconds:
    call them in a thread. The directory belongs to one process at a time.
    """

    def __init__(
        self,
        root: Path,
        image_root: Callable[[str], Path] = _no_images,
        emulations: Emulations | None = None,
    ) -> None:
        """Read what is installed; nothing is built.

        Args:
            root: `<data>/runtimes`; made if it is not there.
            image_root: `ImageStore.root`, for packs whose root is an image's.
            emulations: Says what this host runs; it is tried if `None`.
        """
        self._root = root
        self._image_root = image_root
        self._emulations = emulations or Emulations()
        self._shelf = Shelf(root)
        self._lock = threading.Lock()
        self._shelved = self._shelf.read()

    def find(self, name: str, architecture: Architecture, digest: str | None = None) -> RuntimePack:
        """The pack that runs functions of this runtime and architecture: the newest, or the one of this digest.

        Raises:
            RuntimeNotInstalledError: There is none, or this host cannot run it; never another version silently.
        """
        shelved = self._shelved
        if (name, architecture) in shelved.current:
            self._check_runs(name, architecture, RuntimeNotInstalledError)
        entry = shelved.current.get((name, architecture))
        if entry is not None and digest in {None, entry[0].digest}:
            return self._with_root(*entry)
        superseded = shelved.superseded.get((name, str(digest)))
        if superseded is not None and superseded[0].architecture is architecture:
            return self._with_root(*superseded)
        if entry is not None:
            raise RuntimeNotInstalledError(f"Version {digest} of runtime {name} is not installed on this node.")
        others = [other for found, other in shelved.current if found == name]
        if others:
            raise RuntimeNotInstalledError(
                f"Runtime {name} is installed on this node for {others[0]} only, not for {architecture}."
                f"{remedy(name, architecture)}"
            )
        installed = ", ".join(dict.fromkeys(found for found, _ in shelved.current)) or "none"
        raise RuntimeNotInstalledError(
            f"Runtime {name} is not installed on this node. Installed: {installed}.{remedy(name, architecture)}"
        )

    def packs(self) -> Sequence[RuntimePack]:
        """All packs that new environments use, by name, the host's architecture first.

        One whose image is gone is not among them; `find` says so.
        """
        found: list[RuntimePack] = []
        for entry in self._shelved.current.values():
            with suppress(RuntimeNotInstalledError):
                found.append(self._with_root(*entry))
        return found

    def manifest(self, name: str, architecture: Architecture | None = None) -> Manifest:
        """What is known of an installed pack beyond what the core needs.

        Args:
            name: Of the runtime.
            architecture: The host's if `None`.

        Raises:
            RuntimeNotInstalledError: There is none of this name.
        """
        key = (name, architecture or host_architecture())
        if key not in self._shelved.current:
            self.find(*key)  # says why
        return self._shelved.current[key][0]

    def manifests(self) -> Sequence[Manifest]:
        """Those of all packs that new environments use, as `packs` has them."""
        return [manifest for manifest, _ in self._shelved.current.values()]

    def images(self) -> frozenset[str]:
        """Digests of the images that packs are made of, superseded ones too: what `ImageStore.prune` has to keep."""
        entries = (*self._shelved.current.values(), *self._shelved.superseded.values())
        return frozenset(manifest.image for manifest, _ in entries if manifest.image is not None)

    def add(
        self,
        name: str,
        source: Path | None = None,
        *,
        architecture: Architecture | None = None,
        progress: Progress = _silent,
    ) -> RuntimePack:
        """Build a pack, or take one as it is, and let new environments use it from now on.

        Args:
            name: `python3.11`, `nodejs20.x`, `java17`, `provided.al2023` ...
            source: Interpreter to copy, or the root of its installation; or a directory that is a pack. With `None`
                an interpreter is looked for on this host, and fetched if there is none.
            architecture: The host's if `None`, or what a directory's manifest says.
            progress: Told what is being done, in words for the operator.

        Raises:
            PackBuildError: It cannot be built on this host; the catalogue is as before.
        """
        with self._lock:
            if source is not None and is_pack_directory(source):
                progress(f"Taking runtime {name} from {source}")
                return self._install(lambda staging: take_directory(source, name, architecture, staging), progress)
            key = (name, architecture or host_architecture())
            try:
                return self._add(key, source, progress)
            except InterpreterMissingError as error:
                return self._add_from_elsewhere(key, error, progress)

    def add_image(
        self, name: str, image: StoredImage, root: Path, place: str, *, progress: Progress = _silent
    ) -> RuntimePack:
        """Let a runtime be an image's root: one of AWS's base images, or built like one.

        Args:
            name: As functions are to name it.
            image: It stays in the image store as long as `images` names it.
            root: Its root, which the image store gives out on the event loop.
            place: Where it came from, for people.
            progress: See `add`.

        Raises:
            PackBuildError: There is no runtime in the image; the catalogue is as before.
        """
        with self._lock:
            return self._install(lambda _: take_image(image, root, name, place), progress)

    def remove(self, name: str, architecture: Architecture | None = None) -> Manifest:
        """Take away a runtime, superseded packs of it too. One that every node has is not made again by itself.

        Nobody may use it any more: sandboxes that run on it lose their files.

        Args:
            name: Of the runtime.
            architecture: The host's if `None`.

        Returns:
            What is known of it.

        Raises:
            RuntimeNotInstalledError: There is none of this name.
        """
        with self._lock:
            manifest = self.manifest(name, architecture)
            self._shelf.remove(name, manifest.architecture)
            self._shelved = self._shelf.read()
            if not any(found == name for found, _ in self._shelved.current):
                shutil.rmtree(self._root / _INTERPRETERS / name, ignore_errors=True)
        return manifest

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
            for foreign in sorted({architecture for _, architecture in keys} - {host_architecture()}):
                progress(self._emulations.of(foreign).complaint)
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
                    progress(f"Runtime {_shown(key)} {outcome}: {error}")
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
        keys = [(name, host_architecture()) for name in wanted if not self._shelf.was_removed(name)]
        return [key for key in keys if key not in self._shelved.current]

    def _check_runs(self, name: str, architecture: Architecture, error: type[RuntimeNotInstalledError]) -> None:
        emulation = self._emulations.of(architecture)
        if not emulation.ok:
            raise error(f"Runtime {name} for {architecture} cannot run on this host: {emulation.complaint}")

    def _add(self, key: Key, source: Path | None, progress: Progress) -> RuntimePack:
        name, architecture = key
        self._check_runs(name, architecture, PackBuildError)
        return self._build(key, recipe_for(name, source, self._root / _CLIENTS, architecture), progress)

    def _add_from_elsewhere(self, key: Key, missing: InterpreterMissingError, progress: Progress) -> RuntimePack:
        """Add a runtime whose interpreter this host does not have.

        Raises:
            PackBuildError: It cannot be had; says as well where it was looked for on this host.
        """
        name, architecture = key
        if not can_be_fetched(name):
            raise missing
        directory = self._root / _INTERPRETERS
        source = kept_interpreter(directory, name)
        if source is None:
            progress(f"This host has no {name}; fetching one")
            try:
                source = fetch_interpreter(directory, name)
            except PackBuildError as error:
                if name not in debian_root.LANGUAGES:
                    raise PackBuildError(f"{missing}\n{error}") from error
                progress("uv cannot fetch it; making it of Debian's packages")
                return self._build(key, recipe_of_debian(name, None, self._root / _CLIENTS, architecture), progress)
        return self._add(key, source, progress)

    def _build(self, key: Key, recipe: Recipe, progress: Progress) -> RuntimePack:
        name, architecture = key
        progress(f"Building runtime {_shown(key)}" + (f" from {recipe.interpreter}" if recipe.interpreter else ""))
        if architecture is not host_architecture():
            progress(self._emulations.of(architecture).detail)
        with self._shelf.staging() as scratch:
            system = recipe.unpack(scratch, progress) if recipe.unpack else System.host()
            return self._install(lambda staging: _tree_of(staging, name, recipe, system), progress)

    def _install(self, make: Callable[[Path], Manifest], progress: Progress) -> RuntimePack:
        try:
            with self._shelf.staging() as staging:
                manifest = make(staging)
                with (staging / MANIFEST).open("w") as file:
                    file.write(manifest.to_json())
                    file.flush()
                    os.fsync(file.fileno())
                self._check_runs(manifest.name, manifest.architecture, PackBuildError)
                self._shelf.install(staging, manifest)
        except OSError as error:
            raise PackBuildError(f"The runtime cannot be put together below {self._root}: {error}") from error
        self._shelved = self._shelf.read()
        key = (manifest.name, manifest.architecture)
        progress(f"Runtime {_shown(key)} is ready: {manifest.size_bytes / 1e6:.0f} MB, {manifest.version}")
        return self._with_root(*self._shelved.current[key])

    def _with_root(self, manifest: Manifest, pack: RuntimePack) -> RuntimePack:
        """The pack, with the root of its image if it has one.

        Raises:
            RuntimeNotInstalledError: The image is not there any more.
        """
        if manifest.image is None:
            return pack
        try:
            return replace(pack, rootfs=self._image_root(manifest.image))
        except ImageError as error:
            place = manifest.origin.place
            gone = f"its image {place} is not on this node any more. Add it again with: lamella runtime add"
            reason = f"{gone} {manifest.name} --image {place}" if error.code == _IMAGE_DELETED else str(error)
            raise RuntimeNotInstalledError(f"Runtime {manifest.name} cannot be used: {reason}") from error

    def _clear_leftovers(self) -> None:
        self._shelf.clear_leftovers()
        for path in (*self._root.glob(f"{_CLIENTS}/.fetching-*"), *self._root.glob(f"{_INTERPRETERS}/.fetching-*")):
            shutil.rmtree(path)

    @staticmethod
    def _source_of(manifest: Manifest) -> Path | None:
        """The interpreter a pack came from, if it is still there; else the best one on the host takes its place."""
        recorded = manifest.origin.interpreter
        return Path(recorded) if recorded is not None and Path(recorded).exists() else None


def _shown(key: Key) -> str:
    """A runtime in words; its architecture only if that is not the host's."""
    name, architecture = key
    return name if architecture is host_architecture() else f"{name} for {architecture}"


def _tree_of(staging: Path, name: str, recipe: Recipe, system: System) -> Manifest:
    """Build a pack's tree below `staging`, and say what it is."""
    rootfs = staging / ROOTFS
    rootfs.mkdir()
    tree = RootTree(rootfs, system)
    remarks = recipe.populate(tree)
    tree.harden()
    digest = tree_digest(rootfs, tree.derived)
    return Manifest(
        name=name,
        architecture=system.architecture,
        digest=digest,
        version=f"{recipe.family}:{recipe.release}.v{digest[:8]}",
        entrypoints=recipe.entrypoints,
        env={},
        execution_env=recipe.execution_env,
        size_bytes=tree_size_bytes(rootfs),
        origin=Origin(recipe_digest(name), str(recipe.interpreter) if recipe.interpreter else None, tree.sources),
        remarks=tuple(remarks),
        derived={inside: file_digest(tree.path(inside)) or "" for inside in sorted(tree.derived)},
    )
