"""What the core needs of an isolation technology: make a sandbox, run processes in it, freeze it, take it away."""

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from lamella.domain.network import Network

FUNCTION_USER: Final = "sbx_user1051"
FUNCTION_UID: Final = 993
FUNCTION_GID: Final = 990
"""Who processes of functions run as, as on AWS."""

LOG_CHANNEL_FD: Final = 3
"""Number that `ProcessSpec.log_channel` has inside the process."""


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """Everything that tells one sandbox from another.

    Attributes:
        id: 32 hex digits; unique on this node, also the name of its cgroup.
        rootfs: Read-only root tree of the runtime pack; holds empty mount points for the other paths.
        task: Tree mounted read-only at `/var/task`; `None` if the root has it, and `/opt`, as that of an image.
        layers: Trees merged at `/opt` in this order: a later one's file replaces an earlier one's.
        memory_mib: Hard limit of all processes together; swap is not allowed.
        cpus: Share of CPU time as a number of processors; `None` does not limit.
        tmp_mib: Size of `/tmp`, which is not charged to `memory_mib`.
        max_processes: Processes and threads together.
        max_open_files: `RLIMIT_NOFILE` of each process.
        dev_shm: Whether `/dev/shm` exists. It does not on AWS.
        network: What it can reach.
    """

    id: str
    rootfs: Path
    task: Path | None = None
    layers: tuple[Path, ...] = ()
    memory_mib: int = 128
    cpus: float | None = None
    tmp_mib: int = 512
    max_processes: int = 742
    max_open_files: int = 1024
    dev_shm: bool = False
    network: Network = Network.NONE


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """A process to run inside a sandbox, as the unprivileged user `FUNCTION_USER`.

    Attributes:
        output: Write end of a pipe that becomes both stdout and stderr. The caller keeps its own copy and closes it.
        log_channel: Write end of a pipe that becomes descriptor `LOG_CHANNEL_FD`, for framed log records (6.5); `None`
            if the process gets none. The caller keeps its own copy, as above.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    output: int
    log_channel: int | None = None


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """How a process ended: by `exit(code)`, or by a signal (`code` is then `None`)."""

    code: int | None = None
    signal: int | None = None


class SandboxError(Exception):
    """The sandbox technology failed. The text says what it was doing and what it was told, for the operator."""


class Process(Protocol):
    """A direct child inside a sandbox. Ended exactly once, reported exactly once."""

    @property
    def pid(self) -> int:
        """Process id as the host sees it."""

    def signal_group(self, signal: int) -> None:
        """Send a signal to the process's group; nothing happens if it has ended."""

    def add_exit_callback(self, callback: Callable[[ExitStatus], None]) -> None:
        """Call back on the event loop once the process has ended, at once if it has already."""

    async def wait_exited(self) -> ExitStatus:
        """Wait until the process has ended."""


class Sandbox(Protocol):
    """One sandbox, kept alive by a process of its own, so that it outlives a crash of what runs inside."""

    @property
    def spec(self) -> SandboxSpec:
        """What it was made from."""

    @property
    def address(self) -> str:
        """Where the server and `sandbox.localdomain` are found inside: 169.254.100.1, but for `Network.HOST`."""

    @property
    def runtime_api_listener(self) -> socket.socket:
        """Listening at port 9001 of `address` in the sandbox's network; non-blocking; owned by the sandbox."""

    @property
    def endpoint_listener(self) -> socket.socket:
        """Listening at port 4566 there: the AWS endpoint for the function; owned by the sandbox."""

    async def open_socket(self) -> socket.socket:
        """A new TCP socket in the sandbox's network namespace, non-blocking and not connected; the caller closes it.

        Raises:
            SandboxError: The sandbox is being destroyed.
        """

    async def start_process(self, spec: ProcessSpec) -> Process:
        """Start a process as leader of its own process group.

        Raises:
            SandboxError: The process could not be started.
        """

    def freeze(self) -> None:
        """Stop all processes from running. Synchronous and cheap; does not wait until the last one has stopped."""

    def thaw(self) -> None:
        """Let the processes run again."""

    def limit_cpu(self, *, limited: bool) -> None:
        """Apply `spec.cpus`, as from the beginning, or lift it. Synchronous and cheap."""

    def memory_peak_bytes(self) -> int:
        """Highest memory use of the whole sandbox since it was made, `/tmp` and page cache of layers not counted in."""

    def oom_kills(self) -> int:
        """How many processes the kernel has killed because the memory limit was hit."""

    async def kill_processes(self) -> None:
        """Kill everything inside but the process that keeps the sandbox; returns when they are gone. `/tmp` stays."""

    async def destroy(self) -> None:
        """Kill all, and take away mounts, cgroups and namespaces. Idempotent; returns when nothing is left."""


@dataclass(frozen=True, slots=True)
class SandboxProblem:
    """Why this host cannot run sandboxes, or not well.

    Attributes:
        check: Short name of what was looked at, e.g. `overlayfs`.
        ok: Whether it is as needed.
        detail: What was found.
        fatal: Whether sandboxes cannot run without it.
        remedy: The command or change that mends it; empty if `ok`.
    """

    check: str
    ok: bool
    detail: str
    fatal: bool = True
    remedy: str = ""


class SandboxProvider(Protocol):
    """Makes sandboxes on this node."""

    async def start(self) -> None:
        """Prepare the node, and take away what a dead server of the same data directory left behind.

        Raises:
            SandboxError: This host cannot run sandboxes; the text names what is missing and the remedy.
        """

    async def create(self, spec: SandboxSpec) -> Sandbox:
        """Make a sandbox with nothing but its keeper inside.

        Raises:
            SandboxError: It could not be made; nothing of it is left.
        """

    def diagnose(self) -> list[SandboxProblem]:
        """Look at the host without changing it."""

    async def close(self) -> None:
        """Destroy all sandboxes and release what `start` took."""
