"""Runtime packs on disk: `<root>/<name>/<digest>/`, and for each architecture a link to the one in use."""

import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lamella.domain.function import Architecture
from lamella.ports.runtimes import RuntimePack
from lamella.runtimes.errors import PackBuildError, PackDamagedError
from lamella.runtimes.pack import MANIFEST, ROOTFS, Manifest, derived_digest, read_manifest
from lamella.runtimes.system import host_architecture
from lamella.runtimes.tree import tree_digest

_CURRENT: Final = "current"
_REMOVED: Final = "removed"
_STAGING: Final = ".building-"

Key = tuple[str, Architecture]
"""A runtime's name and architecture: what functions name, and what one pack at a time stands for."""


@dataclass(frozen=True, slots=True)
class Shelved:
    """The packs of a shelf at one moment.

    Attributes:
        current: Those that new environments use, with their manifests; by name, the host's architecture first.
        superseded: Those of earlier builds that are still there, by name and digest.
    """

    current: Mapping[Key, tuple[Manifest, RuntimePack]] = field(default_factory=dict)
    superseded: Mapping[tuple[str, str], tuple[Manifest, RuntimePack]] = field(default_factory=dict)


class Shelf:
    """The directory that holds packs. It belongs to one process at a time; every method blocks."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True)

    def read(self) -> Shelved:
        """All packs. One whose manifest cannot be read counts as absent: it is built anew, or pruned."""
        current: dict[Key, tuple[Manifest, RuntimePack]] = {}
        superseded: dict[tuple[str, str], tuple[Manifest, RuntimePack]] = {}
        for home in sorted(path for path in self._root.iterdir() if path.is_dir() and not path.name.startswith(".")):
            in_use = self._in_use(home)
            for directory in _packs_of(home):
                try:
                    manifest = read_manifest(directory)
                except PackDamagedError:
                    continue
                pack = manifest.pack(directory)
                if directory.name == in_use.get(manifest.architecture):
                    current[manifest.name, manifest.architecture] = (manifest, pack)
                else:
                    superseded[manifest.name, manifest.digest] = (manifest, pack)
        order = sorted(current, key=lambda key: (key[0], key[1] is not host_architecture()))
        return Shelved({key: current[key] for key in order}, superseded)

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """A directory for a pack in the making: gone at the end unless it was installed."""
        staging = Path(tempfile.mkdtemp(prefix=_STAGING, dir=self._root))
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def install(self, staging: Path, manifest: Manifest) -> None:
        """Put a finished pack in its place, and let it be the current one of its name and architecture.

        Raises:
            PackBuildError: The same tree stands for another architecture already.
        """
        home = self._root / manifest.name
        home.mkdir(exist_ok=True)
        final = home / manifest.digest
        if self._has(final, manifest):
            # The same tree from sources with other times: only the manifest is new.
            (staging / MANIFEST).replace(final / MANIFEST)
        else:
            if final.exists():
                shutil.rmtree(final)  # damaged: building again is how it is mended
            staging.chmod(0o755)
            os.sync()  # a pack that survives a power cut only in part would fail in functions, long after
            staging.rename(final)
        name = _link_name(manifest.architecture)
        link = home / f".{name}"
        link.unlink(missing_ok=True)
        link.symlink_to(manifest.digest)
        link.replace(home / name)
        (home / _REMOVED).unlink(missing_ok=True)

    def remove(self, name: str, architecture: Architecture) -> None:
        """Take away all packs of a name and architecture, and remember that they are not wanted."""
        home = self._root / name
        doomed: list[Path] = []
        for directory in _packs_of(home):
            with suppress(PackDamagedError):
                if read_manifest(directory).architecture is not architecture:
                    continue
            doomed.append(directory)
        (home / _link_name(architecture)).unlink(missing_ok=True)
        (home / _REMOVED).touch()
        for directory in doomed:
            shutil.rmtree(directory)

    def was_removed(self, name: str) -> bool:
        """Whether packs of this name were taken away, and none was installed since."""
        return (self._root / name / _REMOVED).exists()

    def prune(self, in_use: Collection[str]) -> list[str]:
        """Remove packs that are no longer current; `in_use` has the digests of those that stay all the same."""
        removed: list[str] = []
        for home in {self._root / name for name, _ in self.read().current}:
            kept = {*in_use, *self._in_use(home).values()}
            for directory in _packs_of(home):
                if directory.name not in kept:
                    shutil.rmtree(directory)
                    removed.append(directory.name)
        return removed

    def clear_leftovers(self) -> None:
        """Take away what a build left that died."""
        for path in self._root.glob(f"{_STAGING}*"):
            shutil.rmtree(path)

    @staticmethod
    def _in_use(home: Path) -> dict[Architecture, str]:
        """The digest that each architecture's link names."""
        links = {architecture: home / _link_name(architecture) for architecture in Architecture}
        return {architecture: str(link.readlink()) for architecture, link in links.items() if link.is_symlink()}

    @staticmethod
    def _has(final: Path, manifest: Manifest) -> bool:
        """Whether a pack is there already and undamaged.

        Raises:
            PackBuildError: It is there for another architecture.
        """
        try:
            there = read_manifest(final)
        except PackDamagedError:
            return False
        if there.image != manifest.image:
            return False
        if manifest.image is None:
            if tree_digest(final / ROOTFS, there.derived) != manifest.digest:
                return False
            if any(derived_digest(final / ROOTFS, name) != digest for name, digest in there.derived.items()):
                return False
        if there.architecture is not manifest.architecture:
            raise PackBuildError(
                f"This {manifest.name} is installed for {there.architecture} already, and the same files cannot be for "
                f"{manifest.architecture} as well"
            )
        return True


def _link_name(architecture: Architecture) -> str:
    """The host's own has the plain name, which data directories had before there was another."""
    return _CURRENT if architecture is host_architecture() else f"{_CURRENT}-{architecture.value}"


def _packs_of(home: Path) -> list[Path]:
    return sorted(
        path for path in home.iterdir() if path.is_dir() and not path.is_symlink() and not path.name.startswith(".")
    )
