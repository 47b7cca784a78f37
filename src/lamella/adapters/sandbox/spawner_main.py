"""The spawner: a tiny process that starts programs inside control groups, as children of the server.

Run as a script by `spawner.py`, without the site module, so only cheap parts of the standard library are imported. Why
it exists: `clone3(CLONE_INTO_CGROUP)` is the only way into a v2 control group that does not wait milliseconds for the
kernel, and it has to be followed by a fork of a small process with a single thread, which the server is not.
`CLONE_PARENT` makes the new process the server's child, so the server alone waits for it.

Protocol, on a `SOCK_SEQPACKET` socket that is its stdin: a request is a marshalled tuple `(argv, environment,
tasks_files, has_cgroup, has_log_channel, log)` with the file descriptors for stdout and stderr, the v2 directory if
`has_cgroup`, and what becomes descriptor 3 if `has_log_channel`; the answer, in order, is the process id, or a negative
errno, as 8 bytes. What fails after the clone is written to the file `log`, and the status is 127.
"""

import array
import ctypes
import errno
import marshal
import os
import signal
import socket
import struct

_SYS_CLONE3 = 435  # the same number on every architecture
_CLONE_PARENT = 0x8000
_CLONE_INTO_CGROUP = 0x2_0000_0000
_CLONE_ARGS_SIZE = 88
_MAX_REQUEST_BYTES = 1 << 20
_MAX_FDS = 3
_LOG_CHANNEL = 3  # its number in the program

_libc = ctypes.PyDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _clone(cgroup_fd: int) -> int:
    """Fork into a control group (unless -1); 0 in the child."""
    flags = _CLONE_PARENT | (_CLONE_INTO_CGROUP if cgroup_fd >= 0 else 0)
    # flags, pidfd, child_tid, parent_tid, exit_signal (must be 0: CLONE_PARENT inherits it), stack, stack_size, tls,
    # set_tid, set_tid_size, cgroup
    arguments = struct.pack("=11Q", flags, 0, 0, 0, 0, 0, 0, 0, 0, 0, max(cgroup_fd, 0))
    pid: int = _libc.syscall(ctypes.c_long(_SYS_CLONE3), arguments, ctypes.c_long(_CLONE_ARGS_SIZE))
    if pid < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return pid


def _become(
    argv: list[str], environment: dict[str, str], tasks_files: list[str], log: str, output: int, log_channel: int
) -> None:
    """In the child: enter the v1 groups and turn into the program. Does not return."""
    try:
        for path in tasks_files:
            fd = os.open(path, os.O_WRONLY)
            os.write(fd, b"0")
            os.close(fd)
        os.dup2(output, 1)
        os.dup2(output, 2)
        if log_channel >= 0:
            # Last, because this number may be that of `output`, or of the socket, which only the parent needs.
            os.dup2(log_channel, _LOG_CHANNEL)
            os.set_inheritable(_LOG_CHANNEL, True)  # which dup2 leaves alone if the number was right already
        os.execve(argv[0], argv, environment)
    except BaseException as error:  # noqa: BLE001 - nothing may return into the spawner's loop
        try:
            fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.write(fd, f"starting {argv[0]}: {error}\n".encode())
        finally:
            os._exit(127)


def _serve(server: socket.socket) -> None:
    while True:
        request, ancillary, _, _ = server.recvmsg(
            _MAX_REQUEST_BYTES, socket.CMSG_SPACE(4 * _MAX_FDS), socket.MSG_CMSG_CLOEXEC
        )
        if not request:  # the server is gone
            return
        fds = array.array("i")
        for _, _, data in ancillary:
            fds.frombytes(data)
        argv, environment, tasks_files, has_cgroup, has_channel, log = marshal.loads(request)  # noqa: S302 - our parent
        try:
            pid = _clone(fds[1] if has_cgroup else -1)
            if pid == 0:
                _become(argv, environment, tasks_files, log, fds[0], fds[-1] if has_channel else -1)
        except OSError as error:
            pid = -(error.errno or errno.EIO)
        for fd in fds:
            os.close(fd)
        server.send(struct.pack("=q", pid))


def _main() -> None:
    # Python ignores these two, and what is ignored stays ignored in every program started from here.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    with socket.socket(fileno=os.dup(0)) as server:  # the copy is not inherited
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        os.dup2(null, 0)
        _serve(server)


if __name__ == "__main__":
    _main()
