"""What a sandbox needs to find in its root, since that cannot be written to: places to mount things on.

An image need not have them: a `scratch` image has nothing but a program. They are made in a tree of their own, which
lies above the image's layers.
"""

import errno
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from lamella.images.reference import INVALID
from lamella.images.within import make_directories, open_directory, open_within
from lamella.ports.images import ImageError

DIRECTORIES: Final = (b"proc", b"dev", b"tmp", b"var/task", b"opt")
_KERNEL: Final = (b"proc", b"dev")
FILES: Final = (b"etc/hosts", b"etc/resolv.conf")

_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


def add_points(root: int, shown: str) -> None:
    """Make what is missing of them.

    Args:
        root: Descriptor of the image's layers, merged and writable.
        shown: The image, for errors.

    Raises:
        ImageError: The image has something else there.
        OSError: The disk is full, or fails.
    """
    for path in DIRECTORIES:
        try:
            os.close(make_directories(root, path))
        except (FileExistsError, NotADirectoryError, FileNotFoundError, PermissionError) as error:
            raise _in_the_way(shown, path, "directory") from error
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise _in_the_way(shown, path, "directory") from error
    for path in _KERNEL:
        # Whatever a link led to would be what the kernel shows there, or the other way round.
        if not stat.S_ISDIR(os.lstat(path, dir_fd=root).st_mode):
            raise _in_the_way(shown, path, "directory of its own")
    for path in FILES:
        _add_file(root, path, shown)


def copy_attributes(root: int, implied: Sequence[tuple[bytes, os.stat_result]]) -> None:
    """Give directories that an upper layer has without saying more the owner and mode that a lower one gives them."""
    for path, wanted in implied:
        folder, _, name = path.rpartition(b"/")
        parent = open_directory(root, folder)
        try:
            status = os.lstat(name, dir_fd=parent)
            same = (status.st_mode, status.st_uid, status.st_gid) == (wanted.st_mode, wanted.st_uid, wanted.st_gid)
            if stat.S_ISDIR(status.st_mode) and not same:
                if os.geteuid() == 0:
                    os.chown(name, wanted.st_uid, wanted.st_gid, dir_fd=parent, follow_symlinks=False)
                os.chmod(name, stat.S_IMODE(wanted.st_mode), dir_fd=parent)
        except FileNotFoundError:
            pass  # a layer above has taken it away
        finally:
            os.close(parent)


def described_below(trees: Sequence[Path], implied: Sequence[Sequence[bytes]]) -> list[tuple[bytes, os.stat_result]]:
    """For each directory that its uppermost layer does not describe, how the nearest one below does.

    Args:
        trees: Of layers, the lowest first.
        implied: For each of them, the directories that it does not describe.
    """
    unsaid = [frozenset(paths) for paths in implied]
    found: list[tuple[bytes, os.stat_result]] = []
    for path in sorted(frozenset[bytes]().union(*unsaid)):
        status = None
        for tree, paths in zip(reversed(trees), reversed(unsaid), strict=True):
            status = _status(tree, path)
            if status is not None and path not in paths:
                break
        if status is not None and stat.S_ISDIR(status.st_mode):
            found.append((path, status))
    return found


def _status(tree: Path, path: bytes) -> os.stat_result | None:
    root = os.open(tree, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        descriptor = open_within(root, path, os.O_PATH | os.O_NOFOLLOW)
    except OSError:
        return None
    finally:
        os.close(root)
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def _add_file(root: int, path: bytes, shown: str) -> None:
    folder, _, name = path.rpartition(b"/")
    try:
        parent = make_directories(root, folder)
    except OSError as error:
        raise _in_the_way(shown, folder, "directory") from error
    try:
        # By path alone: opened for writing, what the image has would be copied.
        found = open_within(root, path, os.O_PATH)
        is_file = stat.S_ISREG(os.fstat(found).st_mode)
        os.close(found)
    except OSError:  # nothing, or a link to where nothing is, as systemd's resolver has it
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=parent)
        os.close(os.open(name, _CREATE, 0o644, dir_fd=parent))
        is_file = True
    finally:
        os.close(parent)
    if not is_file:
        raise _in_the_way(shown, path, "file")


def _in_the_way(shown: str, path: bytes, wanted: str) -> ImageError:
    return ImageError(f"The image {shown} has no {wanted} /{path.decode()}, and none can be made there.", INVALID)
