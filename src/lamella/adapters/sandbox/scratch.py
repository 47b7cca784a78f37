"""Sized `/tmp` directories: an ext4 image in an unlinked sparse file behind a loop device.

The blocks written by a function belong to a file system of their own, so they are not charged to its memory (page cache
is, but the kernel takes that back at need), and they run out exactly where AWS's do. Nothing has a name: the image file
is unlinked from its birth and the loop device clears itself when the last mount is gone, so a dead server leaves
nothing.
"""

import fcntl
import os
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from lamella.adapters.sandbox import syscalls

_LOOP_CTL_GET_FREE: Final = 0x4C82
_LOOP_CONFIGURE: Final = 0x4C0A
_LO_FLAGS_AUTOCLEAR: Final = 4
_LOOP_MAJOR: Final = 7
_ATTEMPTS: Final = 64
_INODES: Final = 32_768
# Not written: inode tables (the kernel reads holes as zeros) and a journal (nothing survives a crash anyway).
_MKFS: Final = (
    "mkfs.ext4",
    "-q",
    "-F",
    "-m",
    "0",
    "-b",
    "4096",
    "-E",
    "lazy_itable_init=1,nodiscard",
    "-O",
    "^has_journal,^resize_inode",
)
# Without `nobarrier` the unmount of a dirty image would wait for the host's disk.
_MOUNT_DATA: Final = "noinit_itable,nobarrier,discard"
_MOUNT_FLAGS: Final = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOATIME


def image_size_bytes(tmp_mib: int) -> int:
    """Size of an image that has `tmp_mib` to give.

    ext4 keeps for itself 2 % (at most 16 MiB) for delayed allocation, 8 MiB for the inodes and a little for bitmaps.
    """
    return (tmp_mib + min(tmp_mib // 48, 16) + 10 + tmp_mib // 1024) << 20


class ScratchDirectories:
    """Makes mounted, empty scratch directories; each call may run in any thread of the server's mount namespace."""

    def __init__(self, directory: Path) -> None:
        """Keep templates and mount points in `directory`, which exists and is on a file system with sparse files."""
        self._directory = directory
        self._serial = 0
        self.executor: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lamella-scratch")

    def make(self, tmp_mib: int) -> Path:
        """Mount a new empty directory of `tmp_mib`; must run on `executor`.

        Raises:
            OSError: No loop device, or the mount failed; nothing is left.
        """
        template = self._directory / f"template-{tmp_mib}.img"
        if not template.exists():
            self._make_template(template, tmp_mib)
        image = os.open(self._directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            _copy_sparse(template, image)
            return self._mount(image)
        finally:
            os.close(image)

    def release(self, directory: Path) -> None:
        """Detach a directory from the server's namespace; sandboxes that show it keep it. Idempotent."""
        try:
            syscalls.umount(str(directory), syscalls.MNT_DETACH)
        except OSError:
            if directory.is_mount():
                raise
        if directory.exists():
            directory.rmdir()

    def close(self) -> None:
        """End the thread."""
        self.executor.shutdown()

    def _make_template(self, template: Path, tmp_mib: int) -> None:
        unfinished = template.with_suffix(".new")
        with unfinished.open("wb") as file:
            file.truncate(image_size_bytes(tmp_mib))
        done = subprocess.run(
            [*_MKFS, "-N", str(_INODES), str(unfinished)], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise OSError(f"{_MKFS[0]} failed: {done.stderr.strip()}")
        image = os.open(unfinished, os.O_RDWR | os.O_CLOEXEC)
        try:
            mounted = self._mount(image)
        finally:
            os.close(image)
        (mounted / "lost+found").rmdir()
        mounted.chmod(0o1777)
        syscalls.umount(str(mounted))
        mounted.rmdir()
        unfinished.rename(template)

    def _mount(self, image: int) -> Path:
        self._serial += 1
        target = self._directory / f"scratch-{self._serial}"
        target.mkdir()
        try:
            device, path = attach_loop_device(image)
            try:
                syscalls.mount(path, str(target), "ext4", _MOUNT_FLAGS, _MOUNT_DATA)
            finally:
                os.close(device)
        except OSError:
            target.rmdir()
            raise
        return target


def attach_loop_device(image: int) -> tuple[int, str]:
    """Put a free loop device in front of an open file; it frees itself when the last user closes it.

    Returns:
        An open file descriptor of the device, and its path.

    Raises:
        OSError: There is no free loop device, or none can be used here.
    """
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_ATTEMPTS):
            number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
            path = f"/dev/loop{number}"
            if not Path(path).exists():
                os.mknod(path, 0o660 | 0o060_000, os.makedev(_LOOP_MAJOR, number))
            device = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(device, _LOOP_CONFIGURE, _loop_config(image))
            except BlockingIOError:
                os.close(device)
            except OSError as error:
                os.close(device)
                if error.errno != 16:  # EBUSY: another program has taken it in between
                    raise
            else:
                return device, path
    finally:
        os.close(control)
    raise OSError("no free loop device")


def _loop_config(image: int) -> bytes:
    """`struct loop_config`: fd, block size, `struct loop_info64`, reserved."""
    info = struct.pack("=5Q4I64s64s32s2Q", 0, 0, 0, 0, 0, 0, 0, 0, _LO_FLAGS_AUTOCLEAR, b"", b"", b"", 0, 0)
    return struct.pack("=2I", image, 4096) + info + bytes(64)


def _copy_sparse(template: Path, target: int) -> None:
    with template.open("rb") as file:
        source = file.fileno()
        size_bytes = os.fstat(source).st_size
        os.ftruncate(target, size_bytes)
        position = 0
        while True:
            try:
                start = os.lseek(source, position, os.SEEK_DATA)
            except OSError:  # ENXIO: nothing but a hole is left
                return
            position = os.lseek(source, start, os.SEEK_HOLE)
            os.lseek(target, start, os.SEEK_SET)
            os.sendfile(target, source, start, position - start)
