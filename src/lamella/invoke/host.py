"""Drives one execution environment: feeds its state machine with what happens, and performs what it commands.

The loop is `receive`, then each command in order; a rule about what may happen when is never found here.
"""

import asyncio
import logging
import math
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from signal import SIGKILL
from time import monotonic
from typing import Final, Protocol, assert_never

from lamella.domain.errors import FunctionErrorType
from lamella.domain.function import FunctionKey, FunctionVersion
from lamella.domain.invocation import Invocation, Outcome
from lamella.httpserver.limits import Limits
from lamella.httpserver.server import Exchange, Handler, HttpServer
from lamella.invoke import report
from lamella.invoke.entrypoint import InvalidEntrypointError, View, find_entrypoint
from lamella.invoke.freezer import Freezer
from lamella.invoke.job import Job
from lamella.invoke.output import Output
from lamella.invoke.runtime_api import RuntimeApi, render_event
from lamella.invoke.tasks import Tasks
from lamella.invoke.variables import runtime_variables
from lamella.lifecycle.commands import (
    Command,
    Discard,
    Freeze,
    GiveEvent,
    KillProcesses,
    LaunchRuntime,
    Offer,
    RecordEnd,
    RecordInit,
    RecordStart,
    Reply,
    Thaw,
)
from lamella.lifecycle.environment import EnvironmentMachine, Phase
from lamella.lifecycle.events import (
    DeadlinePassed,
    Event,
    InitRequested,
    InvocationAssigned,
    LaunchFailed,
    NextPolled,
    ProcessesGone,
    RuntimeExited,
    ShutdownRequested,
)
from lamella.ports.logs import LogStore, LogStream
from lamella.ports.runtimes import RuntimePack
from lamella.ports.sandbox import ExitStatus, ProcessSpec, Sandbox, SandboxError, SandboxProvider, SandboxSpec

_log = logging.getLogger(__name__)

RUNTIME_API_LIMITS: Final = Limits(
    line_bytes=1024 * 1024 + 8192,  # one header of 1 MiB is legal (RT-04)
    headers_bytes=2 * 1024 * 1024,
    head_timeout_s=None,
    body_idle_timeout_s=None,
    keepalive_timeout_s=None,  # a `next` may wait for hours (RT-02)
    max_connections=256,
    held_bytes=32 * 1024 * 1024,
)
"""What a function sends is kept in the server's memory, not in its own, so all its connections together have a bound:
several of the largest responses."""
ENDPOINT_LIMITS: Final = Limits(max_connections=256, held_bytes=160 * 1024 * 1024)
"""As above, for AWS's API inside a sandbox: two of the largest uploads."""
_TAIL_BYTES: Final = 4096  # LG-10
_MANY_POLLS: Final = RUNTIME_API_LIMITS.max_connections or 256

_SIGNAL_NAMES: Final = {
    1: "hangup",
    2: "interrupt",
    3: "quit",
    4: "illegal instruction",
    5: "trace/breakpoint trap",
    6: "aborted",
    7: "bus error",
    8: "floating point exception",
    9: "killed",
    10: "user defined signal 1",
    11: "segmentation fault",
    12: "user defined signal 2",
    13: "broken pipe",
    14: "alarm clock",
    15: "terminated",
}


class BrokenEnvironmentError(Exception):
    """An environment could not go on because of a fault of ours."""


class Owner(Protocol):
    """The pool that an environment belongs to."""

    def offered(self, host: "EnvironmentHost") -> None:
        """The environment can take a job."""

    def failed(self, host: "EnvironmentHost", error: Exception) -> None:
        """The environment could not be made; it is gone."""

    def leaving(self, host: "EnvironmentHost") -> None:
        """The environment takes no more jobs, but is still there: its extensions may have time to shut down."""

    def gone(self, host: "EnvironmentHost") -> None:
        """The environment takes no more jobs; its sandbox is being destroyed."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """What every environment of one function version has in common."""

    version: FunctionVersion
    pack: RuntimePack
    view: View
    sandbox: SandboxSpec  # its id is replaced for each environment
    init_timeout_s: float
    freeze: bool
    endpoint_url: str
    secret_access_key: str


@dataclass(frozen=True, slots=True)
class NodeServices:
    """What every environment of a node has in common.

    Attributes:
        endpoint_for: Gives the handler that answers AWS's API inside the sandboxes of a function.
    """

    sandboxes: SandboxProvider
    logs: LogStore
    freezer: Freezer
    endpoint_for: Callable[[FunctionKey], Handler]
    tasks: Tasks


class EnvironmentHost:
    """One execution environment, from the making of its sandbox to its end."""

    def __init__(self, deployment: Deployment, node: NodeServices, owner: Owner) -> None:
        self.id = secrets.token_hex(16)
        self.metadata_token = secrets.token_urlsafe(32)
        self.began_s = monotonic()  # being made, or from `begin` on being initialised
        self.idle_since_s = 0.0
        self.runtime_release = ""
        self.idle_serial = 0
        self._frozen = False
        self._deployment = deployment
        self._node = node
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._machine = EnvironmentMachine(init_timeout_s=deployment.init_timeout_s)
        self._sandbox: Sandbox | None = None
        self._api: HttpServer | None = None
        self._endpoint: HttpServer | None = None
        self._polls: deque[Exchange] = deque()
        self._job: Job | None = None
        self._held: Outcome | None = None  # the answer of a caller who waits for the log's tail
        self._tail: bytearray | None = None
        self._generation = 0  # of processes: what an earlier one does is no news any more
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_s = math.inf
        version = deployment.version.version
        self._stream_name = f"{datetime.now(UTC):%Y/%m/%d}/[{version}]{self.id}"
        self._log: LogStream = node.logs.open_stream(deployment.version.key, self._stream_name)
        self._output = Output(self._print)

    @property
    def soon_idle(self) -> bool:
        """Whether its caller has been answered, so that it is about to be offered again."""
        return self._machine.responded

    async def start(self) -> None:
        """Make the sandbox and begin the init phase; the owner is told how it went."""
        if await self.prepare():
            self.begin()

    async def prepare(self) -> bool:
        """Make the sandbox, and whatever else needs nothing of the function.

        Returns:
            Whether `begin` may be called. If not, the owner has been told, or the environment was shut down meanwhile.
        """
        spec = self._deployment.sandbox
        try:
            self._sandbox = await self._node.sandboxes.create(
                SandboxSpec(
                    id=self.id,
                    rootfs=spec.rootfs,
                    task=spec.task,
                    layers=spec.layers,
                    memory_mib=spec.memory_mib,
                    cpus=spec.cpus,
                    tmp_mib=spec.tmp_mib,
                    max_processes=spec.max_processes,
                    max_open_files=spec.max_open_files,
                    dev_shm=spec.dev_shm,
                )
            )
            self._api = HttpServer(RuntimeApi(self), RUNTIME_API_LIMITS, half_close=False)
            await self._api.start(sock=self._sandbox.runtime_api_listener.dup())
            self._endpoint = HttpServer(self._node.endpoint_for(self._deployment.version.key), ENDPOINT_LIMITS)
            await self._endpoint.start(sock=self._sandbox.endpoint_listener.dup())
        except Exception as error:  # noqa: BLE001  # whatever it was, a caller waits for this environment and is told
            try:
                await self._destroy()
            finally:
                self._owner.failed(self, error)
            return False
        if self._machine.phase is Phase.ENDED:  # shut down while it was being made
            await self._destroy()
            return False
        return True

    def begin(self) -> None:
        """Begin the init phase in the sandbox that was prepared."""
        self.began_s = monotonic()
        self._print(report.init_start(self._deployment.pack, self._deployment.version.key.region))
        self.feed(InitRequested())

    def assign(self, job: Job) -> None:
        """Run a job; only after the environment was offered."""
        self._job = job
        self._tail = bytearray() if job.want_tail else None
        self.feed(InvocationAssigned(job.invocation, job.timeout_s))

    def shut_down(self) -> None:
        """End the environment, whatever it is doing."""
        self.feed(ShutdownRequested())

    def poll(self, exchange: Exchange) -> None:
        """Take a `next` of the runtime.

        Raises:
            TransitionError: Not legal now.
        """
        if len(self._polls) >= _MANY_POLLS:  # a runtime that asks and goes away, again and again
            self._polls = deque(poll for poll in self._polls if poll.connected)
        self._polls.append(exchange)
        try:
            if self._machine.phase is not Phase.IDLE:
                self._output.drain()  # lines printed before `next` belong in front of what it ends
            self.feed(NextPolled())
        except Exception:
            self._polls.remove(exchange)
            raise
        if not self.runtime_release:
            self.runtime_release = _release_of(exchange)

    def post(self, event: Event) -> None:
        """Take what the runtime hands in.

        Raises:
            ProtocolError: It names an invocation that is not running.
            TransitionError: Not legal now.
        """
        self.feed(event)

    def feed(self, event: Event) -> None:
        """Give the machine one event and perform what it commands."""
        commands = self._machine.receive(event, now_s=monotonic())
        try:
            for command in commands:
                self._perform(command)
        except Exception:
            self._broken()
            raise
        if self._machine.deadline_s < self._timer_at_s:
            self._arm()

    def _broken(self) -> None:
        """A command could not be performed, which is a bug: nobody may be left waiting for what the others would do."""
        _log.exception("execution environment %s is broken and is discarded", self.id)
        job, self._job = self._job, None
        if job is not None:
            job.on_failure(BrokenEnvironmentError("the execution environment failed; the server's log says how"))
        if self._machine.phase is not Phase.ENDED:
            self._machine.receive(ShutdownRequested(), now_s=monotonic())
            self._perform(Discard())

    def _perform(self, command: Command) -> None:
        match command:
            case GiveEvent(invocation):
                self._give(invocation)
            case Reply(payload=payload, failed=failed):
                self._reply(Outcome(payload, "Unhandled" if failed else None))
            case RecordStart(invocation):
                self._print(report.start(invocation.request_id, self._deployment.version.version))
            case RecordEnd():
                self._record_end(command)
            case Freeze():
                self.idle_serial += 1
                if self._deployment.freeze:
                    self._node.freezer.freeze_soon(self)
            case Thaw():
                self._thaw()
            case Offer():
                self.idle_since_s = monotonic()
                self._owner.offered(self)
            case LaunchRuntime():
                if self._sandbox is not None:
                    self._sandbox.limit_cpu(limited=False)  # an init runs with full power (EX-62)
                self._node.tasks.start(self._launch(self._generation), name=f"launch {self.id}")
            case RecordInit():
                if self._sandbox is not None:
                    self._sandbox.limit_cpu(limited=True)
                self._output.drain()
                if line := report.init_report(command):
                    self._print(line)
            case KillProcesses():
                self._generation += 1
                self._cut_runtime()
                self._node.tasks.start(self._kill(), name=f"kill {self.id}")
            case Discard():
                self._owner.gone(self)
                self._node.tasks.start(self._destroy(), name=f"destroy {self.id}")
            case _:
                assert_never(command)

    def freeze_now(self) -> None:
        """Stop all processes until the next invocation."""
        if self._sandbox is not None:
            self._frozen = True
            self._sandbox.freeze()

    def _thaw(self) -> None:
        self.idle_serial += 1
        if self._frozen and self._sandbox is not None:
            self._frozen = False
            self._sandbox.thaw()

    def _give(self, invocation: Invocation) -> None:
        # The deadline counts from the release of the event (RT-21), which the machine has just set.
        left_s = self._machine.deadline_s - monotonic()
        deadline_ms = int((time.time() + left_s) * 1000)
        while self._polls:
            exchange = self._polls.popleft()
            if exchange.connected:
                exchange.respond_raw(render_event(invocation, deadline_ms), invocation.payload)
                return

    def _reply(self, outcome: Outcome) -> None:
        job = self._job
        assert job is not None
        if job.want_tail:
            self._held = outcome
        else:
            job.on_outcome(outcome)

    def _record_end(self, record: RecordEnd) -> None:
        self._output.flush()  # what there was to read has been read by whoever fed the event
        config = self._deployment.version.config
        peak_bytes = 0 if self._sandbox is None else self._sandbox.memory_peak_bytes()
        self._print(report.end(record, memory_mib=config.memory_mib, memory_peak_bytes=peak_bytes))
        job, self._job = self._job, None
        if self._held is not None and job is not None and self._tail is not None:
            held, self._held = self._held, None
            job.on_outcome(Outcome(held.payload, held.function_error, bytes(self._tail[-_TAIL_BYTES:])))
        self._tail = None

    def _print(self, lines: bytes) -> None:
        self._log.append(int(time.time() * 1000), lines)
        if self._tail is not None:
            self._tail += lines
            if len(self._tail) > 16 * _TAIL_BYTES:
                del self._tail[:-_TAIL_BYTES]

    async def _launch(self, generation: int) -> None:
        deployment, sandbox = self._deployment, self._sandbox
        assert sandbox is not None
        try:
            program = find_entrypoint(
                deployment.pack.entrypoints, deployment.view, deployment.version.config.architecture
            )
            variables = runtime_variables(
                deployment.version,
                deployment.pack,
                log_stream=self._stream_name,
                metadata_token=self.metadata_token,
                endpoint_url=deployment.endpoint_url,
                secret_access_key=deployment.secret_access_key,
            )
            process = await sandbox.start_process(
                ProcessSpec((program,), variables, "/var/task", self._output.write_end)
            )
        except InvalidEntrypointError as error:
            self.feed(LaunchFailed(FunctionErrorType.RUNTIME_INVALID_ENTRYPOINT, str(error)))
            return
        except SandboxError as error:
            _log.exception("the runtime of %s could not be started", deployment.version.key.arn())
            self.feed(LaunchFailed(FunctionErrorType.SANDBOX_FAILURE, str(error)))
            return
        if generation != self._generation:
            process.signal_group(SIGKILL)  # the environment was reset while the process was on its way
        process.add_exit_callback(partial(self._exited, generation))

    def _exited(self, generation: int, status: ExitStatus) -> None:
        if generation != self._generation or self._sandbox is None:
            return
        self._output.drain()
        self._output.flush()
        out_of_memory = status.signal == SIGKILL and self._sandbox.oom_kills() > 0
        self.feed(RuntimeExited(exit_message(status), out_of_memory))

    def _cut_runtime(self) -> None:
        """Forget the runtime's connections, so that nothing a dead process has sent is taken for its successor's."""
        self._polls.clear()
        if self._api is not None:
            self._api.drop_connections()

    async def _kill(self) -> None:
        assert self._sandbox is not None
        self._thaw()
        await self._sandbox.kill_processes()
        self._cut_runtime()
        self._output.drain()
        self._output.flush()
        self.feed(ProcessesGone())

    async def _destroy(self) -> None:
        self._generation += 1
        self.idle_serial += 1
        if self._timer is not None:
            self._timer.cancel()
        self._polls.clear()
        for server in (self._api, self._endpoint):
            if server is not None:
                server.abort()
        try:
            if self._sandbox is not None:
                await self._sandbox.destroy()
        finally:
            self._output.drain()
            self._output.flush()
            self._output.close()
            self._log.close()

    def _arm(self) -> None:
        """Wake up at the machine's deadline. No timer is moved with every invocation: one that fires early re-arms."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at_s = self._machine.deadline_s
        self._timer = self._loop.call_at(self._timer_at_s, self._deadline_reached)

    def _deadline_reached(self) -> None:
        self._timer = None
        self._timer_at_s = math.inf
        if self._machine.deadline_s <= monotonic():
            self._output.drain()
            self.feed(DeadlinePassed())
        elif self._machine.deadline_s < math.inf:
            self._arm()


def exit_message(status: ExitStatus) -> str:
    """How the end of a runtime process is put into words (table of EX-67)."""
    if status.signal is not None:
        name = _SIGNAL_NAMES.get(status.signal, f"signal {status.signal}")
        return f"Runtime exited with error: signal: {name}"
    if status.code:
        return f"Runtime exited with error: exit status {status.code}"
    return "Runtime exited without providing a reason"


def _release_of(exchange: Exchange) -> str:
    """Name of the runtime client, for "which client is in use" (RT-11)."""
    words = exchange.request.header("user-agent").split()
    features = exchange.request.header("lambda-runtime-features")
    return " ".join([*words[:1], *([features] if features else [])])[:128] or "unknown"
