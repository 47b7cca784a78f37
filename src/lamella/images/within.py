"""Opening directories of a tree as if it were the root, by the kernel's own rules: openat2(2), which Python has not."""

import ctypes
import os
import struct
from collections.abc import Callable
from typing import Final

_SYS_OPENAT2: Final = 437  # the same number on every architecture
_RESOLVE_NO_MAGICLINKS: Final = 0x02
_RESOLVE_IN_ROOT: Final = 0x10
_PATH: Final = os.O_PATH | os.O_CLOEXEC

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def open_within(root: int, path: bytes, flags: int = _PATH, mode: int = 0) -> int:
    """Open a path below a directory; links on the way, and `..`, cannot lead out of it.

    Args:
        root: Descriptor of the directory.
        path: Below it.
        flags: As for `os.open`.
        mode: Of a file that is created.

    Returns:
        A descriptor that is not inherited.

    Raises:
        OSError: As `os.open`.
    """
    how = struct.pack("=QQQ", flags | os.O_CLOEXEC, mode, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
    found: int = _libc.syscall(
        ctypes.c_long(_SYS_OPENAT2), ctypes.c_int(root), path or b".", how, ctypes.c_size_t(len(how))
    )
    if found < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return found


def open_directory(root: int, path: bytes) -> int:
    """A directory below another one, as something to create files in; see `open_within`."""
    return open_within(root, path, _PATH | os.O_DIRECTORY)


def make_directories(root: int, path: bytes, made: Callable[[bytes], None] = lambda _: None) -> int:
    """Open a directory, and make it with its parents if it is not there.

    Args:
        root: Descriptor of the tree.
        path: Of the directory.
        made: Told the path of each that was made.

    Raises:
        OSError: Something else is in the way.
    """
    here = b""
    descriptor = open_directory(root, here)
    for name in path.split(b"/") if path else ():
        here = here + b"/" + name if here else name
        parent = descriptor
        try:
            descriptor = open_directory(root, here)
        except FileNotFoundError:
            os.mkdir(name, 0o755, dir_fd=parent)
            os.chmod(name, 0o755, dir_fd=parent)  # noqa: S103  # as every directory of a root; whatever the umask
            made(here)
            descriptor = open_directory(root, here)
        finally:
            os.close(parent)
    return descriptor
