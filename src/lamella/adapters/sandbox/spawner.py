"""The server's side of the spawner: start OCI runtimes inside control groups, and learn how they ended."""

import asyncio
import collections
import marshal
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from lamella.ports.sandbox import ExitStatus, SandboxError

_SCRIPT: Final = Path(__file__).with_name("spawner_main.py")
_MAX_PENDING: Final = 32  # requests that surely fit into the socket's buffer
_ENVIRONMENT: Final = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


@dataclass(frozen=True, slots=True)
class Command:
    """A program to start on the host.

    Attributes:
        argv: The first is the path of the program.
        output: File descriptor that becomes its stdout and stderr.
        tasks_files: v1 control groups to enter first.
        cgroup: Directory of the v2 control group to be born in.
        log: File that gets a line if the program cannot be started.
        log_channel: File descriptor that becomes its descriptor 3; `None` if that is to be closed.
    """

    argv: Sequence[str]
    output: int
    log: Path
    tasks_files: Sequence[str] = ()
    cgroup: int | None = None
    log_channel: int | None = None


class ChildWatch:
    """One child of this process: reaps it at once, and tells everyone who asks how it ended.

    Uses a pidfd and not SIGCHLD, so it does not interfere with any other part of the process that has children.
    """

    watched: ClassVar[set[int]] = set()
    """Ids of all children that have a watch and have not been reaped."""

    def __init__(self, pid: int, loop: asyncio.AbstractEventLoop) -> None:
        """Watch `pid`, a child that nobody else waits for.

        Raises:
            OSError: There is no such child.
        """
        self.pid: Final = pid
        self._loop = loop
        self._status: ExitStatus | None = None
        self._callbacks: list[Callable[[ExitStatus], None]] = []
        self._pidfd = os.pidfd_open(pid)
        self.watched.add(pid)
        loop.add_reader(self._pidfd, self._on_exit)

    @property
    def status(self) -> ExitStatus | None:
        """How it ended; `None` while it runs."""
        return self._status

    def add_callback(self, callback: Callable[[ExitStatus], None]) -> None:
        """Call back once it has ended, now if it has."""
        if self._status is None:
            self._callbacks.append(callback)
        else:
            callback(self._status)

    async def wait(self) -> ExitStatus:
        """Wait until it has ended."""
        if self._status is not None:
            return self._status
        ended: asyncio.Future[ExitStatus] = self._loop.create_future()

        def resolve(status: ExitStatus) -> None:
            if not ended.done():
                ended.set_result(status)

        self._callbacks.append(resolve)
        return await ended

    async def wait_up_to(self, timeout_s: float) -> bool:
        """Wait until it has ended, but not longer than this; whether it has."""
        try:
            await asyncio.wait_for(self.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    def kill(self) -> None:
        """Kill it; nothing happens if it has ended."""
        if self._status is None:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def _release(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self.watched.discard(self.pid)

    def _on_exit(self) -> None:
        try:
            result = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
        except ChildProcessError:  # other code has waited for any child at all: how this one ended is lost
            status = ExitStatus()
        else:
            if result is None:
                return
            exited = result.si_code == os.CLD_EXITED
            status = ExitStatus(code=result.si_status) if exited else ExitStatus(signal=result.si_status)
        self._release()
        self._status = status
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self._status)


class Spawner:
    """Owns the spawner process."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pending: collections.deque[asyncio.Future[int]] = collections.deque()
        self._slots = asyncio.Semaphore(_MAX_PENDING)
        self._closed = False

    def start(self) -> None:
        """Start the process; it inherits the caller's namespaces."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with theirs:
            # A session of its own keeps the terminal's Ctrl-C away; the options keep it small: 8 MiB, 15 ms to start.
            self._process = subprocess.Popen(
                [sys.executable, "-S", "-E", "-I", str(_SCRIPT)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env=_ENVIRONMENT,
                start_new_session=True,
            )
        self._socket = ours
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(ours.fileno(), self._on_answer)

    async def run(self, command: Command) -> ExitStatus:
        """Start a program and wait until it has ended. If cancelled, the program is killed.

        Raises:
            SandboxError: It could not be started.
        """
        pid = await self._spawn(command)
        watch = ChildWatch(pid, asyncio.get_running_loop())
        try:
            return await watch.wait()
        except asyncio.CancelledError:
            watch.kill()
            raise

    async def _spawn(self, command: Command) -> int:
        if self._closed:
            raise SandboxError("the spawner is not running")
        loop = asyncio.get_running_loop()
        request = (
            list(command.argv),
            _ENVIRONMENT,
            list(command.tasks_files),
            command.cgroup is not None,
            command.log_channel is not None,
            str(command.log),
        )
        fds = [fd for fd in (command.output, command.cgroup, command.log_channel) if fd is not None]
        async with self._slots:
            if self._socket is None:  # it has been killed, by the kernel or by an operator
                self.start()
            assert self._socket is not None
            answer: asyncio.Future[int] = loop.create_future()
            try:
                socket.send_fds(self._socket, [marshal.dumps(request)], fds)
            except OSError as error:
                raise SandboxError(f"cannot reach the spawner: {error}") from error
            self._pending.append(answer)
            try:
                # Shielded: also an answer that nobody waits for any more has to be taken from the queue in its turn.
                pid = await asyncio.shield(answer)
            except asyncio.CancelledError:
                answer.add_done_callback(_kill_unwanted)
                raise
        if pid < 0:
            raise SandboxError(f"cannot start {command.argv[0]}: {os.strerror(-pid)}")
        return pid

    def close(self) -> None:
        """End the process. Idempotent."""
        self._closed = True
        self._disconnect()

    def _disconnect(self) -> None:
        if self._socket is not None and self._loop is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None
        if self._process is not None:
            self._process.wait()
            self._process = None
        self._fail_pending()

    def _on_answer(self) -> None:
        assert self._socket is not None
        try:
            answer = self._socket.recv(8)
        except ConnectionResetError:
            answer = b""
        if not answer:
            self._disconnect()
            return
        waiting = self._pending.popleft()
        if not waiting.done():
            waiting.set_result(struct.unpack("=q", answer)[0])

    def _fail_pending(self) -> None:
        while self._pending:
            waiting = self._pending.popleft()
            if not waiting.done():
                waiting.set_exception(SandboxError("the spawner has died"))


def _kill_unwanted(answer: asyncio.Future[int]) -> None:
    if not answer.cancelled() and answer.exception() is None and answer.result() > 0:
        with suppress(ProcessLookupError):  # it has ended by itself, or with its sandbox
            ChildWatch(answer.result(), answer.get_loop()).kill()
