"""What versions of customer-managed runtimes are made of: container images, installed packs, and what was sent here.

Images are the image store's. The others become roots of their own below a directory, `<root>/<digest>/rootfs`, whose
files are hard links: nothing is copied, and neither a newer pack nor a removed archive changes a version.

An archive or folder that was sent is what people publish as a layer with a runtime in it: with a `bootstrap` at its
top. Its files are laid into the root of `provided.al2023` at `/var/runtime`, where no function can replace the
bootstrap, and are seen at `/opt` as well, below the function's layers, since such a bootstrap often names itself so.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from lamella.domain.function import Architecture
from lamella.domain.managed_runtime import Content, RuntimeKey, RuntimeVersion
from lamella.ports.images import ImageError, ImageStore, StoredImage
from lamella.ports.managed import ContentError, ResolvedContents
from lamella.ports.runtimes import RuntimeCatalog, RuntimeNotInstalledError, RuntimePack
from lamella.runtimes.system import System
from lamella.runtimes.tree import RootTree

PACK: Final = "pack:"
UPLOAD: Final = "upload:sha256:"
BOOTSTRAP: Final = "/var/runtime/bootstrap"
BASE: Final = "provided.al2023"

_MANIFEST: Final = "runtime.json"
_ROOTFS: Final = "rootfs"
_MAKING: Final = ".making-"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_UNUSED_FOR_S: Final = 3600.0
"""How long what was sent may wait for its version."""


class ManagedContents:
    """Implements `lamella.ports.managed.RuntimeContents`.

    Args:
        root: `<data>/managed-runtimes`; made if it is not there. On the file system of the packs and the artifacts.
        packs: The installed packs.
        images: Where images come from; `None` if this server has no image store.
    """

    def __init__(self, root: Path, packs: RuntimeCatalog, images: ImageStore | None) -> None:
        self._root: Final = root
        self._packs: Final = packs
        self._images: Final = images
        self._known: Final[dict[str, RuntimePack]] = {}
        root.mkdir(parents=True, exist_ok=True)
        for leftover in root.glob(f"{_MAKING}*"):
            shutil.rmtree(leftover)

    async def resolve(self, uri: str) -> ResolvedContents:
        """See the port."""
        if uri.startswith(PACK):
            return self._resolve_pack(uri.removeprefix(PACK))
        if uri.startswith(UPLOAD):
            pack = self._find(uri.removeprefix(UPLOAD))
            if pack is None:
                raise ContentError(f"This server has nothing that was sent as {uri[:100]}. Send it again.")
            return ResolvedContents(uri, (Content(pack.architecture, pack.digest),))
        if self._images is None:
            raise ContentError(f"{uri[:200]} cannot be had: this server has no store of container images.")
        try:
            image = await self._images.resolve(uri)
        except ImageError as error:
            raise ContentError(str(error)) from error
        contents = tuple(Content(platform.architecture, platform.digest) for platform in image.platforms)
        if not contents:
            raise ContentError(f"{uri[:200]} has no image for linux/amd64 or linux/arm64.")
        return ResolvedContents(_by_digest(uri, image.digest), contents)

    async def fetch(self, version: RuntimeVersion) -> None:
        """See the port."""
        if version.resolved_uri.startswith(UPLOAD):
            if self._find(version.contents[0].digest) is None:
                raise ContentError("What was sent for this version is gone. Send it again.")
        elif version.resolved_uri.startswith(PACK):
            name = version.resolved_uri.removeprefix(PACK).partition("@")[0]
            for content in version.contents:
                await asyncio.to_thread(self._take_pack, name, content)
        else:
            for content in version.contents:
                await self._fetch_image(version.image_uri, content)

    def pack(self, key: RuntimeKey, version: RuntimeVersion, architecture: Architecture) -> RuntimePack:
        """See the port."""
        content = version.content(architecture)
        if content is None:
            raise RuntimeNotInstalledError(f"{key.version_arn(version.name)} is not for {architecture}.")
        kept = version.resolved_uri.startswith((PACK, UPLOAD))
        found = self._find(content.digest) if kept else self._of_image(content)
        if found is None:
            raise RuntimeNotInstalledError(
                f"What {key.version_arn(version.name)} is made of is not on this node any more; create another version."
            )
        return RuntimePack(
            name=key.name,
            architecture=architecture,
            rootfs=found.rootfs,
            digest=found.digest,
            version=f"{key.name}:{version.name}",
            entrypoints=found.entrypoints,
            env=found.env,
            execution_env=found.execution_env,
            command=found.command,
            working_directory=found.working_directory,
            layers=found.layers,
            arn=key.version_arn(version.name),
        )

    async def prune(self, in_use: Collection[str]) -> list[str]:
        """See the port."""
        return await asyncio.to_thread(self._prune, frozenset(in_use))

    async def add(self, tree: Path, digest: str) -> str:
        """See the port."""
        return await asyncio.to_thread(self._add, tree, digest)

    def _add(self, tree: Path, digest: str) -> str:
        _check_bootstrap(tree / "bootstrap")
        base = self._base()
        made = hashlib.sha256(f"{BASE} {base.digest} {digest}".encode()).hexdigest()
        if self._find(made) is not None:
            os.utime(self._root / made)  # it waits for its version from now on
        else:
            with self._staging() as staging:
                rootfs = staging / _ROOTFS
                _link_tree(base.rootfs, rootfs)
                _link_tree(tree, rootfs / "var" / "runtime")
                self._keep(staging, made, base, has_layer=True, entrypoints=(BOOTSTRAP,), execution_env=None)
        return f"{UPLOAD}{made}"

    def _resolve_pack(self, name: str) -> ResolvedContents:
        name, _, pinned = name.partition("@sha256:")
        found = [pack for pack in self._packs.packs() if pack.name == name]
        if pinned:
            found = [pack for pack in found if pack.digest == pinned]
        if not found:
            there = ", ".join(sorted({pack.name for pack in self._packs.packs()})) or "none"
            raise ContentError(
                f"{name[:100]!r} is neither a folder or file nor a runtime of this server, which has: {there}."
            )
        if self._images is not None and any(self._images.find(pack.digest) is not None for pack in found):
            # Its root is a mount, which has no files to make links of, and the image is what AWS would be given.
            raise ContentError(
                f"The runtime {name} of this server is a container image. Publish that image itself: "
                f"'lamella runtime show {name}' tells where it is from."
            )
        contents = tuple(Content(pack.architecture, pack.digest) for pack in found)
        return ResolvedContents(f"{PACK}{name}@sha256:{contents[0].digest}", contents)

    def _take_pack(self, name: str, content: Content) -> None:
        if self._find(content.digest) is not None:
            return
        try:
            pack = self._packs.find(name, content.architecture, content.digest)
        except RuntimeNotInstalledError as error:
            raise ContentError(str(error)) from error
        with self._staging() as staging:
            _link_tree(pack.rootfs, staging / _ROOTFS)
            self._keep(
                staging,
                pack.digest,
                pack,
                has_layer=False,
                entrypoints=pack.entrypoints,
                execution_env=pack.execution_env,
            )

    async def _fetch_image(self, uri: str, content: Content) -> None:
        if self._images is None:
            raise ContentError("This server has no store of container images.")
        try:
            image = await self._images.fetch(uri, content.digest)
            root = self._images.root(content.digest)
        except ImageError as error:
            raise ContentError(str(error)) from error
        _image_command(image, root)

    def _of_image(self, content: Content) -> RuntimePack | None:
        image = None if self._images is None else self._images.find(content.digest)
        if image is None or self._images is None:
            return None
        try:
            root = self._images.root(content.digest)
            command = _image_command(image, root)
        except (ImageError, ContentError) as error:
            raise RuntimeNotInstalledError(str(error)) from error
        return RuntimePack(
            name="",
            architecture=content.architecture,
            rootfs=root,
            digest=content.digest,
            version="",
            entrypoints=(BOOTSTRAP,) if command is None else (),
            env=dict(image.env),
            command=command,
            working_directory=image.working_directory or "/var/task",
            layers=_own_layers(root),
        )

    def _base(self) -> RuntimePack:
        packs = [pack for pack in self._packs.packs() if pack.name == BASE]
        if not packs:
            raise ContentError(f"This server does not have the runtime {BASE}, which the others are laid into.")
        return packs[0]

    def _keep(
        self,
        staging: Path,
        digest: str,
        base: RuntimePack,
        *,
        has_layer: bool,
        entrypoints: tuple[str, ...],
        execution_env: str | None,
    ) -> None:
        """Put what was made in its place; somebody else may have been quicker."""
        document = {
            "architecture": base.architecture.value,
            "entrypoints": list(entrypoints),
            "env": dict(base.env),
            "execution_env": execution_env,
            "has_layer": has_layer,
        }
        Path(staging, _MANIFEST).write_text(json.dumps(document, indent=2) + "\n")
        staging.chmod(0o755)
        os.sync()  # what survives a power cut only in part would fail in functions, long after
        try:
            staging.rename(self._root / digest)
        except OSError:
            if not (self._root / digest).is_dir():
                raise

    @contextlib.contextmanager
    def _staging(self) -> Iterator[Path]:
        staging = Path(tempfile.mkdtemp(prefix=_MAKING, dir=self._root))
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)  # unless it has been put in its place

    def _find(self, digest: str) -> RuntimePack | None:
        known = self._known.get(digest)
        if known is not None:
            return known
        if not _DIGEST.fullmatch(digest):
            return None  # a client's words: never a path
        directory = self._root / digest
        try:
            document: Mapping[str, Any] = json.loads(Path(directory, _MANIFEST).read_text())  # Any: JSON of ours
        except (OSError, ValueError):
            return None
        rootfs = directory / _ROOTFS
        pack = RuntimePack(
            name="",
            architecture=Architecture(document["architecture"]),
            rootfs=rootfs,
            digest=digest,
            version="",
            entrypoints=tuple(document["entrypoints"]),
            env=document["env"],
            execution_env=document["execution_env"],
            layers=(rootfs / "var" / "runtime",) if document["has_layer"] else (),
        )
        return self._known.setdefault(digest, pack)

    def _prune(self, in_use: frozenset[str]) -> list[str]:
        removed = []
        for directory in self._root.iterdir():
            if directory.name.startswith(".") or directory.name in in_use:
                continue
            if time.time() - directory.stat().st_mtime < _UNUSED_FOR_S:
                continue
            # Away as a whole: if this is cut short, the half that is left must not pass for what was sent.
            doomed = self._root / f"{_MAKING}{directory.name}"
            directory.rename(doomed)
            self._known.pop(directory.name, None)
            shutil.rmtree(doomed)
            removed.append(directory.name)
        return removed


def _own_layers(root: Path) -> tuple[Path, ...]:
    """What an image has at `/opt`, extensions above all: it stays there when the function has layers of its own.

    Source: developer guide, "Building a runtime image from a Lambda base image", 2026: "such as an organization SDK, an
    extension, or a trusted certificate".
    """
    opt = root / "opt"
    return (opt,) if not opt.is_symlink() and opt.is_dir() and any(opt.iterdir()) else ()


def _image_command(image: StoredImage, root: Path) -> tuple[str, ...] | None:
    """What is started of an image: `None` for the bootstrap of a runtime, where AWS's base images have it.

    An image without one is started as a function's image is, by its entry point. Whether AWS does so could not be
    looked up: the page "Building runtime images from scratch" (2026) speaks of a bootstrap.

    Raises:
        ContentError: It has neither.
    """
    if _is_there(root, BOOTSTRAP):
        return None
    command = (*image.entrypoint, *image.command)
    if not command:
        raise ContentError(
            f"The image has no {BOOTSTRAP}, and no entry point either: there is nothing to start the runtime with. "
            "Put an executable file there."
        )
    return command


def _is_there(root: Path, path: str) -> bool:
    """Whether a sandbox would find a file: an image's links mean places in the image, not on this machine."""
    try:
        return os.path.lexists(RootTree(root, System.host()).path(path))
    except RecursionError:  # links in a circle
        return False


def _check_bootstrap(path: Path) -> None:
    try:
        status = path.lstat()
    except OSError:
        raise ContentError("There is no file 'bootstrap' at the top: it is what starts the runtime.") from None
    if not stat.S_ISLNK(status.st_mode) and not (stat.S_ISREG(status.st_mode) and status.st_mode & stat.S_IXOTH):
        raise ContentError("The file 'bootstrap' at the top cannot be executed: chmod 755 bootstrap")


def _by_digest(uri: str, digest: str) -> str:
    """The reference with the digest in place of a tag."""
    name = uri.partition("@")[0]
    head, slash, tail = name.rpartition("/")
    return f"{head}{slash}{tail.partition(':')[0]}@sha256:{digest}"


def _link_tree(source: Path, target: Path) -> None:
    """Lay the files of a tree into another, as hard links; what is there already gives way.

    Directories keep their modes. On another file system files are copied.
    """
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        target.unlink()
    target.mkdir(exist_ok=True, parents=True)
    target.chmod(stat.S_IMODE(source.lstat().st_mode))
    for entry in os.scandir(source):
        inside = target / entry.name
        if entry.is_dir(follow_symlinks=False):
            _link_tree(Path(entry.path), inside)
            continue
        if os.path.lexists(inside):
            shutil.rmtree(inside) if inside.is_dir() and not inside.is_symlink() else inside.unlink()
        try:
            os.link(entry.path, inside, follow_symlinks=False)
        except OSError:
            shutil.copy2(entry.path, inside, follow_symlinks=False)
