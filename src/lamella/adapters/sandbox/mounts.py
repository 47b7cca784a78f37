"""The server's private mount namespace: what it mounts is seen by nobody else, and is gone when it dies."""

import os
from dataclasses import dataclass
from pathlib import Path

from lamella.adapters.sandbox import syscalls

_namespace_entered: str | None = None


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of `/proc/self/mounts`."""

    source: str
    target: str
    fstype: str
    options: tuple[str, ...]


def parse_mounts(text: str) -> list[Mount]:
    """Parse the text of `/proc/self/mounts`, in which blanks are written as octal escapes."""
    mounts = []
    for line in text.splitlines():
        fields = [field.encode().decode("unicode_escape") for field in line.split(" ")]
        mounts.append(Mount(fields[0], fields[1], fields[2], tuple(fields[3].split(","))))
    return mounts


def current_mounts() -> list[Mount]:
    """What is mounted in the mount namespace of the calling thread."""
    return parse_mounts(Path("/proc/thread-self/mounts").read_text())


def enter_private_mount_namespace() -> None:
    """Move the calling thread, and all it will start, into a mount namespace of its own; once, then nothing happens.

    Call it from the main thread before any other thread exists: threads started earlier stay outside. Mounts that
    the host makes later still appear inside.

    Raises:
        OSError: Not permitted (`CAP_SYS_ADMIN` is missing).
    """
    global _namespace_entered
    current = str(Path("/proc/thread-self/ns/mnt").readlink())
    if _namespace_entered == current:
        return
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("none", "/", None, syscalls.MS_SLAVE | syscalls.MS_REC)
    _namespace_entered = str(Path("/proc/thread-self/ns/mnt").readlink())


def bind_read_only(source: Path, target: Path) -> None:
    """Show the file `source` at `target` as well, where nobody can write to it."""
    target.touch()
    syscalls.mount(str(source), str(target), None, syscalls.MS_BIND)
    syscalls.mount("none", str(target), None, syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY)


def unmount_all_below(directory: Path) -> None:
    """Detach everything mounted at or below `directory`, innermost first."""
    prefix = str(directory)
    for mounted in reversed(current_mounts()):
        if mounted.target == prefix or mounted.target.startswith(prefix + os.sep):
            syscalls.umount(mounted.target, syscalls.MNT_DETACH)
