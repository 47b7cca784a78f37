"""Having on the disk what has been written, so that no power cut takes it back."""

import ctypes
import os
from pathlib import Path
from typing import Final

_libc: Final = ctypes.CDLL(None, use_errno=True)


def sync_directory(path: Path) -> None:
    """Have the names in a directory on the disk: what was renamed, linked or deleted there.

    Raises:
        OSError: The disk does not take them, or there is no such directory.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_filesystem(descriptor: int) -> None:
    """Have all of the file system of an open file on the disk, in one call for thousands of files.

    Python does not offer syncfs(2), and sync(2) would wait for other disks as well.

    Raises:
        OSError: As above.
    """
    if _libc.syncfs(descriptor) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
