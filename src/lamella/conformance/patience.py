"""How long a process is willing to wait on a socket, as the kernel knows it.

A client's read timeout shows only when it is over, mostly after a minute or five. But the limit is there from the
beginning: an option of the socket (`SO_RCVTIMEO`), or an argument of the system call that a thread is blocked in.
"""

import ctypes
import os
import platform
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

_PIDFD_GETFD: Final = 438  # on every architecture
_TIMEVAL: Final = struct.Struct("@ll")
_TIMESPEC: Final = struct.Struct("@qq")
_POLLFD: Final = struct.Struct("@ihh")
_FDS_MOST: Final = 64
# Numbers of system calls of x86_64. Elsewhere the socket's option alone is looked at.
_POLL, _SELECT, _PSELECT, _PPOLL = (7, 23, 270, 271) if platform.machine() == "x86_64" else (-1, -1, -1, -1)


def limit_of_wait_s(pids: Iterable[int], port: int) -> float | None:
    """The limit with which one of these processes waits on the connection with this local port, or `None`.

    Nothing is found where the kernel does not tell, and of programs that keep timers of their own.
    """
    for pid in pids:
        folder = Path("/proc") / str(pid)
        with suppress(OSError, ValueError, struct.error):  # it ended meanwhile, or may not be looked at
            descriptor = _descriptor(folder, port)
            if descriptor is None:
                continue
            limits = [_option_s(pid, descriptor), *(_blocked_s(thread, descriptor) for thread in _threads(folder))]
            found = [limit for limit in limits if limit is not None]
            if found:
                return min(found)
    return None


def _threads(folder: Path) -> list[Path]:
    return list((folder / "task").iterdir())


def _descriptor(folder: Path, port: int) -> int | None:
    """The descriptor of the connection with this local port. Source: proc_pid_net(5), `tcp`."""
    sockets = set()
    for line in (folder / "net" / "tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].rpartition(":")[2], 16) == port:
            sockets.add(f"socket:[{fields[9]}]")
    for entry in (folder / "fd").iterdir():
        with suppress(OSError):
            if str(entry.readlink()) in sockets:
                return int(entry.name)
    return None


def _option_s(pid: int, descriptor: int) -> float | None:
    """`SO_RCVTIMEO` of another process's socket; zero stands for none."""
    process = os.pidfd_open(pid)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        copied = int(libc.syscall(_PIDFD_GETFD, process, descriptor, 0))
    finally:
        os.close(process)
    if copied < 0:
        return None
    with socket.socket(fileno=copied) as theirs:
        seconds, microseconds = _TIMEVAL.unpack(theirs.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL.size))
    return seconds + microseconds / 1e6 or None


def _blocked_s(thread: Path, descriptor: int) -> float | None:
    """The limit of the call that a thread is blocked in, if it waits for this descriptor.

    Source: proc_pid_syscall(5).
    """
    words = (thread / "syscall").read_text().split()
    if len(words) < 7 or not words[0].isdigit():
        return None
    number, arguments = int(words[0]), [int(word, 16) for word in words[1:7]]
    if number in (_POLL, _PPOLL):
        count = min(arguments[1], _FDS_MOST)
        polled = _memory(thread, arguments[0], count * _POLLFD.size)
        if descriptor not in [one[0] for one in _POLLFD.iter_unpack(polled)]:
            return None
        if number == _PPOLL:
            return _time_s(thread, arguments[2])
        milliseconds = ctypes.c_int(arguments[2] & 0xFFFFFFFF).value
        return None if milliseconds < 0 else milliseconds / 1000
    if number in (_SELECT, _PSELECT):
        word = int.from_bytes(_memory(thread, arguments[1] + descriptor // 64 * 8, 8), "little")
        return _time_s(thread, arguments[4], micro=number == _SELECT) if word >> descriptor % 64 & 1 else None
    return None


def _time_s(thread: Path, address: int, *, micro: bool = False) -> float | None:
    """A time in the memory of a process; a null pointer stands for no limit."""
    if not address:
        return None
    seconds, rest = _TIMESPEC.unpack(_memory(thread, address, _TIMESPEC.size))
    return float(seconds + rest / (1e6 if micro else 1e9))


def _memory(thread: Path, address: int, size: int) -> bytes:
    with (thread / "mem").open("rb", buffering=0) as memory:
        memory.seek(address)
        return memory.read(size)
