"""One sandbox of an OCI runtime: made, entered, frozen, emptied, taken away."""

import asyncio
import itertools
import json
import os
import shutil
import socket
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL, Signals
from typing import Final

from lamella.adapters.sandbox import bundle, strays
from lamella.adapters.sandbox.cgroups import Cgroup
from lamella.adapters.sandbox.netns import NetworkNamespace
from lamella.adapters.sandbox.runtime import OciRuntime
from lamella.adapters.sandbox.spawner import ChildWatch, Command, Spawner
from lamella.ports.sandbox import ExitStatus, ProcessSpec, SandboxError, SandboxSpec

_POLL_S: Final = 0.001
_KEEPER_DEATH_S: Final = 0.05  # after this long something else must be holding it
_REMOVAL_DEADLINE_S: Final = 10.0


class OciProcess:
    """A process started by the runtime's `exec`, which has become a child of the server."""

    def __init__(self, watch: ChildWatch) -> None:
        """Take over a watched child."""
        self._watch = watch
        try:
            self._group = os.getpgid(watch.pid)
        except ProcessLookupError:  # already ended and reaped by its watch
            self._group = 0

    @property
    def pid(self) -> int:
        """Process id as the host sees it."""
        return self._watch.pid

    def signal_group(self, signal: int) -> None:
        """Send a signal to its group; nothing happens if it has ended."""
        if self._watch.status is None and self._group:
            try:
                os.killpg(self._group, signal)
            except ProcessLookupError:
                return

    def add_exit_callback(self, callback: Callable[[ExitStatus], None]) -> None:
        """Call back once it has ended, at once if it has already."""
        self._watch.add_callback(callback)

    async def wait_exited(self) -> ExitStatus:
        """Wait until it has ended."""
        return await self._watch.wait()


@dataclass(frozen=True, slots=True)
class Parts:
    """What a sandbox owns, and gives back when it is destroyed.

    Attributes:
        directory: Its bundle and the files of its commands.
        cgroups_path: Name of its control group from the root, as `/proc/<pid>/cgroup` shows it.
    """

    directory: Path
    cgroup: Cgroup
    cgroups_path: str
    network: NetworkNamespace


class OciSandbox:
    """A sandbox. Made by the provider; after `start` its keeper runs."""

    def __init__(
        self, spec: SandboxSpec, parts: Parts, *, runtime: OciRuntime, spawner: Spawner, null: int, cpu_limited: bool
    ) -> None:
        """Put the parts together; nothing runs yet. `null` is an open `/dev/null`."""
        self._spec = spec
        self._parts = parts
        self._runtime = runtime
        self._spawner = spawner
        self._null = null
        self._cpu_limited = cpu_limited
        self._cpu_wanted = True
        self._keeper: ChildWatch | None = None
        self._serials = itertools.count(1)
        self._starting = 0
        self._strays_possible = False
        self._destruction: asyncio.Task[None] | None = None
        self._on_destroyed: list[Callable[[OciSandbox], None]] = []

    @property
    def spec(self) -> SandboxSpec:
        """What it was made from."""
        return self._spec

    @property
    def address(self) -> str:
        """Where the server's sockets listen."""
        return self._parts.network.address

    @property
    def runtime_api_listener(self) -> socket.socket:
        """Listening at port 9001 inside."""
        return self._parts.network.runtime_api_listener

    @property
    def endpoint_listener(self) -> socket.socket:
        """Listening for requests to AWS endpoints inside."""
        return self._parts.network.endpoint_listener

    async def open_socket(self) -> socket.socket:
        """A TCP socket in the sandbox's network namespace.

        Raises:
            SandboxError: It is being destroyed, or the kernel refused.
        """
        if self._destruction is not None:
            raise SandboxError(f"sandbox {self._spec.id} is being destroyed")
        try:
            return await self._parts.network.open_socket()
        except OSError as error:
            raise SandboxError(f"cannot open a socket in sandbox {self._spec.id}: {error}") from error

    async def start(self, around: bundle.Surroundings) -> None:
        """Make the namespaces and start the keeper.

        Raises:
            SandboxError: The runtime failed; call `destroy`.
        """
        for tree in (self._spec.rootfs, self._spec.task, *self._spec.layers):
            if tree is not None and not tree.is_dir():
                raise SandboxError(f"cannot make a sandbox: {tree} is not a directory")
        if not self._spec.rootfs.stat().st_mode & stat.S_IXOTH:
            raise SandboxError(
                f"the root {self._spec.rootfs} may not be entered by other users, so nothing could run in it"
            )
        directory = self._parts.directory
        (directory / "config.json").write_text(json.dumps(bundle.sandbox_config(self._spec, around)))
        pid_file = directory / "keeper.pid"
        log = directory / "keeper.log"
        argv = self._runtime.run(self._spec.id, directory, pid_file, log)
        await self._command("make a sandbox", argv, self._null, log)
        self._keeper = ChildWatch(int(pid_file.read_text()), asyncio.get_running_loop())
        self._strays_possible = True  # crun leaves the process that made the namespaces, which ends a moment later

    async def start_process(self, spec: ProcessSpec) -> OciProcess:
        """Start a process in a process group and session of its own.

        Raises:
            SandboxError: It could not be started.
        """
        if self._destruction is not None:
            raise SandboxError(f"sandbox {self._spec.id} is being destroyed")
        if problem := bundle.environment_problem(spec.env) or bundle.words_problem((*spec.argv, spec.cwd)):
            raise SandboxError(problem)
        name = f"process-{next(self._serials)}"
        document, pid_file, log = (self._parts.directory / f"{name}.{kind}" for kind in ("json", "pid", "log"))
        document.write_text(json.dumps(bundle.process_config(spec, self._spec.max_open_files)))
        try:
            passed = 0 if spec.log_channel is None else 1  # descriptors from LOG_CHANNEL_FD on
            argv = self._runtime.exec(self._spec.id, document, pid_file, log, passed_fds=passed)
            await self._command(f"start {spec.argv[0]}", argv, spec.output, log, spec.log_channel)
            process = OciProcess(ChildWatch(int(pid_file.read_text()), asyncio.get_running_loop()))
            self._reap_strays()
            return process
        finally:
            for path in (document, pid_file, log):
                path.unlink(missing_ok=True)

    def freeze(self) -> None:
        """Stop all processes."""
        self._parts.cgroup.freeze()

    def thaw(self) -> None:
        """Let all processes run."""
        self._parts.cgroup.thaw()

    def limit_cpu(self, *, limited: bool) -> None:
        """Apply the limit of the specification, or lift it."""
        if limited is not self._cpu_wanted:
            self._cpu_wanted = limited
            self._apply_cpu_limit()

    def memory_peak_bytes(self) -> int:
        """Highest memory use without page cache; see `Cgroup.memory_peak_bytes`."""
        return self._parts.cgroup.memory_peak_bytes()

    def oom_kills(self) -> int:
        """Processes killed at the memory limit."""
        return self._parts.cgroup.oom_kills()

    async def kill_processes(self) -> None:
        """Kill everything but the keeper.

        Frozen first, so that nothing can fork away from the list that is being killed; the keeper then reaps
        what is left.
        """
        if self._keeper is None or self._destruction is not None:
            return
        keeper = self._keeper.pid
        cgroup = self._parts.cgroup
        while (targets := cgroup.process_ids() - {keeper}) and not self._keeper.status:
            cgroup.freeze()
            for pid in cgroup.process_ids() | targets:
                if pid != keeper:
                    _kill(pid)
            cgroup.thaw()
            await asyncio.sleep(_POLL_S)
        cgroup.thaw()

    def add_destroyed_callback(self, callback: "Callable[[OciSandbox], None]") -> None:
        """Call back when it has been destroyed."""
        self._on_destroyed.append(callback)

    async def destroy(self) -> None:
        """Kill all and take everything away. Idempotent; goes on to the end even if the caller is cancelled."""
        if self._destruction is None:
            self._destruction = asyncio.get_running_loop().create_task(self._destroy(), name=f"destroy-{self._spec.id}")
        await asyncio.shield(self._destruction)

    async def _destroy(self) -> None:
        deadline_s = asyncio.get_running_loop().time() + _REMOVAL_DEADLINE_S
        if self._keeper is not None:
            # The kernel kills everything in the pid namespace together with its first process, which it lets go last.
            self._keeper.kill()
        while not await self._try_remove():
            if asyncio.get_running_loop().time() > deadline_s:
                raise SandboxError(f"cannot remove the control groups of sandbox {self._spec.id}")
        self._parts.network.close()
        shutil.rmtree(self._parts.directory, ignore_errors=True)
        shutil.rmtree(self._runtime.root / self._spec.id, ignore_errors=True)
        for callback in self._on_destroyed:
            callback(self)

    async def _try_remove(self) -> bool:
        cgroup = self._parts.cgroup
        for pid in cgroup.process_ids():
            _kill(pid)
        cgroup.thaw()
        self._reap_strays()
        if self._keeper is not None and not await self._keeper.wait_up_to(_KEEPER_DEATH_S):
            self._strays_possible = True
            return False
        if cgroup.remove():
            strays.reap(self._parts.cgroups_path, ChildWatch.watched)  # by now nothing can follow
            return True
        await asyncio.sleep(_POLL_S)
        return False

    def _reap_strays(self) -> None:
        if self._strays_possible and self._starting == 0:
            self._strays_possible = strays.reap(self._parts.cgroups_path, ChildWatch.watched) == 0

    def _entering(self, argv: list[str], output: int, log: Path, log_channel: int | None) -> Command:
        cgroup = self._parts.cgroup
        if not self._runtime.manages_cgroups:
            return Command(argv, output, log, cgroup.tasks_files, cgroup.v2_fd, log_channel)
        # Such a runtime enters the limiting groups by itself, and insists that they are empty before. The hybrid host's
        # v2 hierarchy is hidden from it, so there it has to be born in the group.
        return Command(argv, output, log, (), cgroup.v2_fd if cgroup.hybrid else None, log_channel)

    async def _command(
        self, what: str, argv: list[str], output: int, log: Path, log_channel: int | None = None
    ) -> None:
        cgroup = self._parts.cgroup
        self._starting += 1
        try:
            if self._cpu_limited:
                cgroup.limit_cpu(False)
            status = await self._spawner.run(self._entering(argv, output, log, log_channel))
        except BaseException:
            self._strays_possible = True
            raise
        finally:
            self._starting -= 1
            self._apply_cpu_limit()
        if self._keeper is not None and self._keeper.status is not None:
            raise SandboxError(f"could not {what}: the sandbox's first process has ended ({self._keeper.status})")
        if status != ExitStatus(code=0):
            self._strays_possible = True
            raise SandboxError(f"{self._runtime.name} could not {what}: {_complaint(log, status)}")

    def _apply_cpu_limit(self) -> None:
        if self._cpu_limited and self._starting == 0 and self._destruction is None:
            self._parts.cgroup.limit_cpu(self._cpu_wanted)


def _complaint(log: Path, status: ExitStatus) -> str:
    try:
        text = log.read_text(errors="replace").strip()
    except OSError:
        text = ""
    if text:
        return text
    return f"status {status.code}" if status.signal is None else f"killed by {Signals(status.signal).name}"


def _kill(pid: int) -> None:
    try:
        os.kill(pid, SIGKILL)
    except ProcessLookupError:
        return
