"""Runtime packs on disk: a directory named by its digest, with `pack.json` and `rootfs/`."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from lamella.domain.function import Architecture
from lamella.ports.runtimes import RuntimePack
from lamella.rooted import find_in
from lamella.runtimes.errors import PackDamagedError
from lamella.runtimes.tree import tree_digest

MANIFEST: Final = "pack.json"
ROOTFS: Final = "rootfs"
_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Origin:
    """What a pack was built from; a pack whose origin has changed is built anew.

    Attributes:
        recipe: Digest of the program that builds packs and of the files it ships; `None` for a pack that was not built
            here, and so is what it is.
        interpreter: The host's interpreter a language pack was copied from.
        sources: Host files that were copied one by one: size in bytes and mtime in ns.
        place: The directory or image that a pack was taken from.
    """

    recipe: str | None
    interpreter: str | None = None
    sources: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    place: str | None = None

    def is_current(self, recipe: str) -> bool:
        """Whether building again would give the same: same recipe, and no host file has been updated since."""
        if self.recipe is None:
            return True
        if self.recipe != recipe:
            return False
        for name, (size_bytes, mtime_ns) in self.sources.items():
            try:
                status = Path(name).stat()
            except OSError:
                return False
            if (status.st_size, status.st_mtime_ns) != (size_bytes, mtime_ns):
                return False
        return True


@dataclass(frozen=True, slots=True)
class Manifest:
    """What `pack.json` says.

    Attributes:
        digest: SHA-256 over the tree without what is derived from it; of a pack from an image, the image's.
        remarks: What the host did not have, for `lamella runtime show`.
        derived: Files that were made from the rest of the tree, and the SHA-256 of each.
        image: Digest of the image whose root is the pack's; `None` if the pack has a tree of its own.
    """

    name: str
    architecture: Architecture
    digest: str
    version: str
    entrypoints: tuple[str, ...]
    env: Mapping[str, str]
    execution_env: str | None
    size_bytes: int
    origin: Origin
    remarks: tuple[str, ...] = ()
    derived: Mapping[str, str] = field(default_factory=dict)
    image: str | None = None

    def to_json(self) -> str:
        """The manifest as stored."""
        document = {
            "format": _FORMAT,
            "name": self.name,
            "architecture": self.architecture.value,
            "digest": self.digest,
            "version": self.version,
            "entrypoints": list(self.entrypoints),
            "env": dict(self.env),
            "execution_env": self.execution_env,
            "size_bytes": self.size_bytes,
            "remarks": list(self.remarks),
            "derived": dict(self.derived),
            "image": self.image,
            "origin": {
                "recipe": self.origin.recipe,
                "interpreter": self.origin.interpreter,
                "place": self.origin.place,
                "sources": {name: list(fact) for name, fact in sorted(self.origin.sources.items())},
            },
        }
        return json.dumps(document, indent=2) + "\n"

    @classmethod
    def parse(cls, text: str) -> "Manifest":
        """Read a manifest.

        Raises:
            PackDamagedError: It is not one, or one of another format.
        """
        try:
            document: dict[str, Any] = json.loads(text)  # Any: JSON, checked member by member below
            if document["format"] != _FORMAT:
                raise PackDamagedError(f"A runtime pack of format {document['format']}; this is {_FORMAT}")
            origin = document["origin"]
            return cls(
                name=document["name"],
                architecture=Architecture(document["architecture"]),
                digest=document["digest"],
                version=document["version"],
                entrypoints=tuple(document["entrypoints"]),
                env=document["env"],
                execution_env=document["execution_env"],
                size_bytes=document["size_bytes"],
                remarks=tuple(document["remarks"]),
                origin=Origin(
                    origin["recipe"],
                    origin["interpreter"],
                    {name: (size, mtime) for name, (size, mtime) in origin["sources"].items()},
                    origin.get("place"),
                ),
                # Packs of earlier versions have neither.
                derived=document.get("derived", {}),
                image=document.get("image"),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise PackDamagedError(f"Not the manifest of a runtime pack: {error!r}") from error

    def pack(self, directory: Path) -> RuntimePack:
        """The pack as the core sees it, given the directory that holds it."""
        return RuntimePack(
            name=self.name,
            architecture=self.architecture,
            rootfs=(directory / ROOTFS).resolve(),  # an operator, or a test, may keep the trees elsewhere
            digest=self.digest,
            version=self.version,
            entrypoints=self.entrypoints,
            env=dict(self.env),
            execution_env=self.execution_env,
        )


def read_manifest(directory: Path) -> Manifest:
    """The manifest of the pack in a directory.

    Raises:
        PackDamagedError: There is none that can be read.
    """
    try:
        return Manifest.parse((directory / MANIFEST).read_text())
    except OSError as error:
        raise PackDamagedError(f"No runtime pack at {directory}: {error}") from error


def verify(pack: RuntimePack) -> None:
    """Read the whole tree of a pack and compare it with what its manifest says.

    Raises:
        PackDamagedError: The tree is not the one that was built.
    """
    manifest = read_manifest(pack.rootfs.parent)
    found = tree_digest(pack.rootfs, manifest.derived)
    changed = [name for name, digest in manifest.derived.items() if derived_digest(pack.rootfs, name) != digest]
    if found != pack.digest or changed:
        what = f"digest {found}, expected {pack.digest}" if found != pack.digest else ", ".join(changed)
        raise PackDamagedError(
            f"Runtime {pack.name} at {pack.rootfs} was changed after it was built: {what}. "
            f"Build it again with: lamella runtime add {pack.name}"
        )


def derived_digest(root: Path, name: str) -> str | None:
    """SHA-256 of a file inside a tree, which anybody may have made, in hexadecimal; `None` if there is none."""
    found = find_in(root, name)
    return None if found is None or not found.is_file() else file_digest(found)


def file_digest(path: Path) -> str | None:
    """SHA-256 of a file in hexadecimal; `None` if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
