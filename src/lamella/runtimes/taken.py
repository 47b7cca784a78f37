"""Packs that are not built here but taken as they are: from a directory with a manifest, or an image."""

import os
import shutil
import stat
from dataclasses import replace
from pathlib import Path
from typing import Final

from lamella.domain.function import Architecture
from lamella.ports.images import StoredImage
from lamella.rooted import find_in
from lamella.runtimes.description import LIMIT_BYTES, Description, described, parse_description, release_of
from lamella.runtimes.errors import PackBuildError
from lamella.runtimes.interpreters import trusted
from lamella.runtimes.pack import MANIFEST, ROOTFS, Manifest, Origin, derived_digest
from lamella.runtimes.system import System
from lamella.runtimes.tree import RootTree, tree_digest, tree_size_bytes

LABEL: Final = "lamella.runtime-pack"
"""Label of an image that says what `pack.json` says of a directory."""

# What every sandbox has mounted, or the server puts there.
_MOUNT_POINTS: Final = ("/proc", "/dev", "/tmp", "/var/task", "/opt")  # noqa: S108 - inside the sandbox
_MOUNTED_FILES: Final = ("/etc/hosts", "/etc/resolv.conf")
# The environment of a managed runtime is Lambda's (EN-01), and AWS's images say the same.
_NOT_FROM_IMAGE: Final = ("PATH", "LD_LIBRARY_PATH", "LANG", "TZ", "HOME", "PWD", "SHLVL")


def is_pack_directory(path: Path) -> bool:
    """Whether a path that was named is a pack, and not an interpreter."""
    return (path / MANIFEST).is_file() and (path / ROOTFS).is_dir()


def take_directory(source: Path, name: str, architecture: Architecture | None, staging: Path) -> Manifest:
    """Copy a pack's tree, and say what it is.

    Args:
        source: Directory with `pack.json` and `rootfs/`, as documented in docs/reference/runtime-packs.md.
        name: The runtime that is to be added.
        architecture: What it is to be for; what the manifest says if `None`.
        staging: Where the tree goes.

    Raises:
        PackBuildError: It is not a pack, or is not what its manifest says, or another user could have written it.
    """
    place = trusted(source)
    trusted(source / ROOTFS)
    if (place / ROOTFS).is_symlink():
        raise PackBuildError(f"{source / ROOTFS} has to be the tree itself, not a link")
    file = place / MANIFEST
    try:
        if file.stat().st_size > LIMIT_BYTES:
            raise PackBuildError(f"{source / MANIFEST} is larger than {LIMIT_BYTES} bytes")
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise PackBuildError(f"{source / MANIFEST} cannot be read: {error}") from error
    says = parse_description(text, name=name, architecture=architecture, place=str(source / MANIFEST))
    rootfs = staging / ROOTFS
    _copy_tree(place / ROOTFS, rootfs)
    tree = RootTree(rootfs, System.host())
    _complete(tree)
    _check_entry(tree, says, str(source))
    tree.harden()
    digest = tree_digest(rootfs, says.derived)
    _check_digests(says, digest, rootfs, source)
    return _manifest(says, digest, tree_size_bytes(rootfs), Origin(None, place=str(source)))


def take_image(image: StoredImage, root: Path, name: str, place: str) -> Manifest:
    """Say what a pack is whose root is an image's.

    Args:
        image: One of AWS's base images, or built like one.
        root: Its layers merged.
        name: The runtime that is to be added.
        place: Where the image came from.

    Raises:
        PackBuildError: It has no runtime in it, or its label describes another.
    """
    label = image.labels.get(LABEL)
    tree = RootTree(root, System.host())
    if label is None:
        says = described(name, image.architecture)
        if name.startswith("python") and find_in(root, f"/var/lang/bin/{name}") is None:
            raise PackBuildError(f"{place} has no /var/lang/bin/{name}: it is not AWS's image of {name}")
    else:
        says = parse_description(
            label[:LIMIT_BYTES], name=name, architecture=image.architecture, place=f"The label {LABEL} of {place}"
        )
    _check_entry(tree, says, place)
    env = {
        key: value
        for key, value in image.env.items()
        if key not in _NOT_FROM_IMAGE and not key.startswith(("AWS_", "LAMBDA_", "_"))
    }
    says = replace(says, env={**env, **says.env})
    return replace(_manifest(says, image.digest, image.size_bytes, Origin(None, place=place)), image=image.digest)


def _manifest(says: Description, digest: str, size_bytes: int, origin: Origin) -> Manifest:
    family, release = release_of(says.name)
    return Manifest(
        name=says.name,
        architecture=says.architecture,
        digest=digest,
        version=f"{family}:{release}.v{digest[:8]}" if release else f"{family}.v{digest[:8]}",
        entrypoints=says.entrypoints,
        env=says.env,
        execution_env=says.execution_env,
        size_bytes=size_bytes,
        origin=origin,
        remarks=says.remarks,
        derived=says.derived,
    )


def _copy_tree(source: Path, target: Path) -> None:
    """Copy files, directories and links; two names of one file stay so."""
    copies: dict[tuple[int, int], str] = {}

    def copy(name: str, to: str) -> str:
        status = os.lstat(name)
        if not stat.S_ISREG(status.st_mode):
            raise PackBuildError(f"{name} is a device, socket or pipe; a runtime pack has files, directories and links")
        key = (status.st_dev, status.st_ino)
        if key in copies:
            os.link(copies[key], to)
        else:
            copies[key] = to
            shutil.copyfile(name, to, follow_symlinks=False)
            shutil.copymode(name, to)
            os.utime(to, ns=(status.st_atime_ns, status.st_mtime_ns))  # an archive of classes knows its jars by them
        return to

    try:
        shutil.copytree(source, target, symlinks=True, copy_function=copy)
    except (OSError, shutil.Error) as error:
        raise PackBuildError(f"{source} cannot be copied: {error}") from error


def _complete(tree: RootTree) -> None:
    """Add what a sandbox is mounted on, where it is not there."""
    try:
        for inside in _MOUNT_POINTS:
            tree.mkdir(inside)
        for inside in _MOUNTED_FILES:
            if not tree.path(inside).exists():
                tree.write(inside, "")
    except (OSError, RecursionError, ValueError) as error:
        raise PackBuildError(f"The tree cannot have what sandboxes are mounted on: {error}") from error


def _check_entry(tree: RootTree, says: Description, place: str) -> None:
    """Refuse a tree whose own first program is not in it; the others are the function's to bring."""
    own = [path for path in says.entrypoints if not path.startswith(("/var/task/", "/opt/"))]
    if len(own) < len(says.entrypoints):
        return
    for path in own:
        found = find_in(tree.root, path)
        if found is None:
            continue
        status = found.stat()
        if stat.S_ISREG(status.st_mode) and status.st_mode & 0o111:
            return
    raise PackBuildError(
        f"{place} has no program {' or '.join(own)}, with which a runtime {says.name} starts. It has to be made from "
        "one of AWS's base images, or be built like one"
    )


def _check_digests(says: Description, digest: str, rootfs: Path, source: Path) -> None:
    """Refuse a tree that is not what its maker has had.

    Raises:
        PackBuildError: It has been changed.
    """
    changed = [name for name, expected in says.derived.items() if derived_digest(rootfs, name) != expected]
    if changed:
        raise PackBuildError(f"{source} was changed after it was made: {', '.join(changed)}")
    if says.digest is not None and says.digest != digest:
        raise PackBuildError(
            f"{source} was changed after it was made: its digest is {digest}, and {MANIFEST} says {says.digest}. "
            f'Take "digest" out of {MANIFEST} if you changed it yourself'
        )
