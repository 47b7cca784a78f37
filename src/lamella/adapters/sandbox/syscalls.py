"""The few Linux system calls that Python 3.11 does not offer, with `OSError` for their failures."""

import ctypes
import os
from typing import Final

CLONE_NEWNS: Final = 0x0002_0000
CLONE_NEWNET: Final = 0x4000_0000

MS_RDONLY: Final = 0x1
MS_NOSUID: Final = 0x2
MS_NODEV: Final = 0x4
MS_NOEXEC: Final = 0x8
MS_REMOUNT: Final = 0x20
MS_NOATIME: Final = 0x400
MS_BIND: Final = 0x1000
MS_REC: Final = 0x4000
MS_SLAVE: Final = 0x8_0000
MNT_DETACH: Final = 0x2

_PR_SET_CHILD_SUBREAPER: Final = 36

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Move the calling thread into new namespaces."""
    _check(_libc.unshare(flags), "unshare")


def setns(fd: int, kind: int) -> None:
    """Move the calling thread into the namespace that `fd` refers to."""
    _check(_libc.setns(fd, kind), "setns")


def mount(source: str, target: str, fstype: str | None, flags: int, data: str | None = None) -> None:
    """Mount a file system, or change a mount, in the caller's mount namespace."""
    arguments = [None if text is None else text.encode() for text in (source, target, fstype, data)]
    _check(_libc.mount(*arguments[:3], ctypes.c_ulong(flags), arguments[3]), f"mount {source} on {target}")


def umount(target: str, flags: int = 0) -> None:
    """Take a mount away from the caller's mount namespace."""
    _check(_libc.umount2(target.encode(), flags), f"umount {target}")


def become_subreaper() -> None:
    """Make this process the parent of its descendants' orphans.

    A process that an OCI runtime leaves behind in a sandbox thereby becomes a child of the server, which then
    learns its exact exit status from the kernel. Works across pid namespaces, because the runtime itself lives in
    the server's.
    """
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl(PR_SET_CHILD_SUBREAPER)")
