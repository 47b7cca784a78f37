"""Drives one execution environment: feeds its state machine with what happens, and performs what it commands.

The loop is `receive`, then each command in order; a rule about what may happen when is never found here.
"""

import asyncio
import logging
import math
import secrets
import socket
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from time import monotonic
from typing import Final, Protocol, assert_never

from lamella.httpserver.limits import Limits
from lamella.httpserver.server import Exchange, HttpServer
from lamella.invoke.delivery import Telemetry
from lamella.invoke.deployment import Deployment, NodeServices
from lamella.invoke.extensions_api import FunctionFacts
from lamella.invoke.job import Job
from lamella.invoke.journal import Journal
from lamella.invoke.processes import Listeners, Processes, Programs
from lamella.invoke.runtime_api import RuntimeApi
from lamella.invoke.stream import ResponseStream
from lamella.invoke.variables import (
    credentials_document,
    extension_variables,
    runtime_variables,
)
from lamella.invoke.waiting import WaitingCalls
from lamella.lifecycle.commands import (
    AnswerRestore,
    CloseSubscriptions,
    Command,
    Discard,
    EndReply,
    FlushTelemetry,
    Freeze,
    GiveEvent,
    GiveInvoke,
    GiveShutdown,
    KillExtension,
    KillProcesses,
    KillRuntime,
    LaunchExtension,
    LaunchRuntime,
    Offer,
    RecordEnd,
    RecordExtension,
    RecordInit,
    RecordInitRuntimeDone,
    RecordInitStart,
    RecordRestore,
    RecordRestoreStart,
    RecordRuntimeDone,
    RecordStart,
    Reply,
    TerminateRuntime,
    Thaw,
    Withdraw,
)
from lamella.lifecycle.environment import EnvironmentMachine, Phase
from lamella.lifecycle.events import (
    DeadlinePassed,
    Event,
    ExtensionPolled,
    ExtensionRefusedError,
    InitRequested,
    InvocationAssigned,
    NextPolled,
    ProcessesGone,
    RestorePolled,
    ShutdownRequested,
    TelemetryFlushed,
    TransitionError,
)
from lamella.lifecycle.telemetry_events import Subscription
from lamella.ports.logs import LogStream
from lamella.ports.sandbox import Sandbox

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
_MANY_POLLS: Final = RUNTIME_API_LIMITS.max_connections or 256
_CREDENTIALS_LIFE: Final = timedelta(hours=6)


class BrokenEnvironmentError(Exception):
    """An environment could not go on because of a fault of ours."""


class Owner(Protocol):
    """The pool that an environment belongs to."""

    def offered(self, host: "EnvironmentHost") -> None:
        """The environment can take a job."""

    def failed(self, host: "EnvironmentHost", error: Exception) -> None:
        """The environment could not be made; it is gone."""

    def leaving(self, host: "EnvironmentHost") -> None:
        """The environment takes no more jobs, but its extensions may take a while to end; `gone` follows."""

    def gone(self, host: "EnvironmentHost") -> None:
        """The environment takes no more jobs; its sandbox is being destroyed."""


class EnvironmentHost:
    """One execution environment, from the making of its sandbox to its end."""

    def __init__(self, deployment: Deployment, node: NodeServices, owner: Owner) -> None:
        self.id = secrets.token_hex(16)
        self.metadata_token = secrets.token_urlsafe(32)
        self.takes_snapshots = deployment.takes_snapshots
        self.stream: ResponseStream | None = None  # of the running invocation
        self.began_s = monotonic()  # being made, or from `begin` on being initialised
        self.idle_since_s = 0.0
        self.runtime_release = ""
        self.idle_serial = 0
        self._frozen = False
        self._deployment = deployment
        self._node = node
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._machine = EnvironmentMachine(init_timeout_s=deployment.init_timeout_s, extensions=deployment.extensions)
        self._sandbox: Sandbox | None = None
        self._api: HttpServer | None = None
        self._endpoint: HttpServer | None = None
        self._waiting = WaitingCalls(many=_MANY_POLLS)
        self._job: Job | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_s = math.inf
        version = deployment.version
        self.facts = FunctionFacts(version.key.name, version.version, deployment.handler, version.key.account)
        self._stream_name = f"{datetime.now(UTC):%Y/%m/%d}/[{version.version}]{self.id}"
        self._log: LogStream = node.logs.open_stream(version.key, self._stream_name)
        self._recorder = node.recorder_for(self.id, version.key, version.version, self._stream_name)
        self._telemetry = Telemetry(
            open_socket=self._open_socket, address=self._address, on_delivery=self._telemetry_delivered
        )
        self._journal = Journal(
            version,
            deployment.pack,
            log_stream=self._stream_name,
            write=self._print,
            telemetry=self._telemetry,
            initialization_type=deployment.initialization_type,
        )
        self._processes = Processes(
            Listeners(
                feed=self.feed,
                function_lines=self._journal.function_lines,
                extension_lines=self._journal.extension_lines,
                framed=self._journal.framed if deployment.pack.managed else None,
                launch_failed=self._journal.launch_failed,
                started=self._process_started,
            ),
            node.tasks,
        )

    @property
    def soon_idle(self) -> bool:
        """Whether its caller has been answered, so that it is about to be offered again."""
        return self._machine.responded

    @property
    def has_processes(self) -> bool:
        """Whether its next invocation finds it initialised."""
        return self._machine.phase is not Phase.COLD

    async def start(self) -> None:
        """Make the sandbox and begin the init phase; the owner is told how it went."""
        if await self.prepare():
            self.begin()

    async def prepare(self) -> bool:
        """Make the sandbox, and whatever else needs nothing of the function.

        Returns:
            Whether `begin` may be called. If not, the owner has been told, or the environment was shut down meanwhile.
        """
        self._recorder.mark(monotonic(), "sandbox.asked")
        try:
            self._sandbox = await self._node.sandboxes.create(replace(self._deployment.sandbox, id=self.id))
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
        self._recorder.mark(monotonic(), "sandbox.made")
        if self._machine.phase is Phase.ENDED:  # shut down while it was being made
            await self._destroy()
            return False
        return True

    def begin(self) -> None:
        """Begin the init phase in the sandbox that was prepared."""
        self.began_s = monotonic()
        self.feed(InitRequested())

    def assign(self, job: Job) -> None:
        """Run a job; only after the environment was offered."""
        self._job = job
        self.stream = job.stream
        self.feed(InvocationAssigned(job.invocation, job.timeout_s))

    def shut_down(self) -> None:
        """End the environment, whatever it is doing."""
        self.feed(ShutdownRequested())

    # What the APIs inside the sandbox take

    def poll(self, exchange: Exchange) -> None:
        """Take a `next` of the runtime.

        Raises:
            TransitionError: Not legal now.
        """
        self._waiting.add(exchange)
        try:
            if self._machine.phase is not Phase.IDLE:
                self._processes.drain()  # lines printed before `next` belong in front of what it ends
            self.feed(NextPolled())
        except TransitionError:
            self._waiting.remove(exchange)
            raise
        if not self.runtime_release:
            self.runtime_release = _release_of(exchange)

    def poll_extension(self, identifier: str, exchange: Exchange) -> None:
        """Take an `event/next` of an extension.

        Raises:
            ExtensionRefusedError: There is no such extension.
            TransitionError: Not legal now.
        """
        gone = self._waiting.is_gone(identifier)
        self._machine.extension(identifier)
        self._processes.drain()  # as above
        earlier = self._waiting.add_extension(identifier, exchange)
        try:
            self.feed(ExtensionPolled(identifier, replaces=gone))
        except (ExtensionRefusedError, TransitionError):
            self._waiting.restore_extension(identifier, earlier)
            raise

    def poll_restore(self, exchange: Exchange) -> None:
        """Take a `restore/next` of the runtime.

        Raises:
            TransitionError: Not legal now.
        """
        self._waiting.add_restore(exchange)
        self.feed(RestorePolled())

    def post(self, event: Event) -> None:
        """Take what runtime or extensions hand in.

        Raises:
            ProtocolError: It names an invocation that is not running.
            ExtensionRefusedError: An extension cannot have what it asks for.
            TransitionError: Not legal now.
        """
        self.feed(event)

    def subscribe(self, identifier: str, subscription: Subscription) -> None:
        """Take an extension's subscription to telemetry.

        Raises:
            ExtensionRefusedError: There is no such extension.
            TelemetryApiError: It cannot be had now.
        """
        name = self._machine.extension(identifier).name
        self._processes.drain()  # what was printed before belongs in front (TL-26)
        self._telemetry.subscribe(identifier, name, subscription)
        self._journal.subscribed(name, subscription)
        self._recorder.mark(monotonic(), "telemetry.subscribed", extension=name, types=list(subscription.types))

    def refused(self, method: str, path: str, status: int, error_type: str) -> None:
        """Take note of a call that was answered with an error."""
        self._recorder.mark(monotonic(), "refused", method=method, path=path, status=status, error_type=error_type)

    def check_extension(self, identifier: str) -> None:
        """Make sure that there is such an extension.

        Raises:
            ExtensionRefusedError: There is none.
        """
        self._machine.extension(identifier)

    def credentials(self, token: str) -> Mapping[str, str] | None:
        """What the credentials endpoint answers (2.9)."""
        if not secrets.compare_digest(token.encode(), self.metadata_token.encode()):
            return None
        deployment = self._deployment
        return credentials_document(
            deployment.version, deployment.secret_access_key, datetime.now(UTC) + _CREDENTIALS_LIFE
        )

    # Events in, commands out

    def feed(self, event: Event) -> None:
        """Give the machine one event and perform what it commands."""
        now_s = monotonic()
        commands = self._machine.receive(event, now_s=now_s)
        self._recorder.fed(now_s, event, commands)
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
            job.fail(BrokenEnvironmentError("the execution environment failed; the server's log says how"))
        self._machine.break_off()
        self._perform(Discard())

    def _perform(self, command: Command) -> None:
        """Perform one command; those of every invocation are looked at first."""
        match command:
            case GiveEvent(invocation):
                self._waiting.give(invocation, self._epoch_ms(self._machine.deadline_s))
            case Reply(payload=payload, failed=failed, content_type=content_type):
                if self._job is not None:
                    self._job.answer(payload, failed=failed, content_type=content_type)
            case RecordStart() | RecordRuntimeDone():
                self._journal.record(command)
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
            case GiveInvoke(identifier=identifier, invocation=invocation):
                self._waiting.give_invoke(identifier, invocation, self._epoch_ms(self._machine.deadline_s))
            case EndReply(error_type=error_type, error_body=error_body):
                if self._job is not None:
                    self._job.end_stream(error_type, error_body)
            case _:
                self._perform_rare(command)

    def _perform_rare(
        self,
        command: RecordInitStart
        | RecordInitRuntimeDone
        | RecordExtension
        | RecordInit
        | RecordRestoreStart
        | RecordRestore
        | LaunchExtension
        | LaunchRuntime
        | GiveShutdown
        | AnswerRestore
        | CloseSubscriptions
        | FlushTelemetry
        | TerminateRuntime
        | KillRuntime
        | KillExtension
        | KillProcesses
        | Withdraw
        | Discard,
    ) -> None:
        match command:
            case RecordInitStart():
                if self._sandbox is not None:
                    self._sandbox.limit_cpu(limited=False)  # an init runs with full power (EX-62)
                self._journal.record(command)
            case RecordInit():
                if self._sandbox is not None:
                    self._sandbox.limit_cpu(limited=True)
                self._processes.drain()
                self._journal.record(command)
            case RecordInitRuntimeDone() | RecordExtension() | RecordRestoreStart() | RecordRestore():
                self._journal.record(command)
            case LaunchExtension(name=name):
                self._processes.launch_extension(self._made_sandbox, self._programs, name, environment=self.id)
            case LaunchRuntime():
                self._processes.launch_runtime(self._made_sandbox, self._programs, environment=self.id)
            case GiveShutdown(identifier=identifier, reason=reason, deadline_s=deadline_s):
                self._waiting.give_shutdown(identifier, reason, self._epoch_ms(deadline_s))
            case AnswerRestore():
                self._waiting.give_restored()
            case CloseSubscriptions():
                self._telemetry.close_subscriptions()
            case FlushTelemetry():
                self._processes.drain()
                self._telemetry.flush(self._telemetry_flushed)
            case TerminateRuntime():
                self._processes.terminate_runtime()
            case KillRuntime():
                self._processes.kill_runtime()
            case KillExtension(name=name):
                self._processes.kill_extension(name)
            case KillProcesses():
                self._processes.forget()
                self._cut_calls()
                self._node.tasks.start(self._kill(), name=f"kill {self.id}")
            case Withdraw():
                self._owner.leaving(self)
            case Discard():
                self._owner.gone(self)
                self._node.tasks.start(self._destroy(), name=f"destroy {self.id}")
            case _:
                assert_never(command)

    @property
    def _made_sandbox(self) -> Sandbox:
        assert self._sandbox is not None
        return self._sandbox

    @cached_property
    def _programs(self) -> Programs:
        deployment = self._deployment
        version = deployment.version
        variables = runtime_variables(
            version,
            deployment.pack,
            log_stream=self._stream_name,
            metadata_token=self.metadata_token,
            endpoint_url=deployment.endpoint_url,
            secret_access_key=deployment.secret_access_key,
            initialization_type=deployment.initialization_type,
            log_channel=deployment.pack.managed,
            address=self._address(),
            launch=deployment.launch,
        )
        return Programs(
            view=deployment.view,
            architecture=version.config.architecture,
            entrypoints=deployment.pack.entrypoints,
            runtime_variables=variables,
            extension_variables=extension_variables(variables, deployment.pack, version.config.environment or {}),
            working_directory=deployment.pack.working_directory,
            command=deployment.command,
        )

    def freeze_now(self) -> None:
        """Stop all processes until the next invocation."""
        if self._sandbox is not None:
            self._frozen = True
            self._telemetry.pause()
            self._sandbox.freeze()
            self._recorder.mark(monotonic(), "frozen")

    def _thaw(self) -> None:
        self.idle_serial += 1
        if self._frozen and self._sandbox is not None:
            self._frozen = False
            self._sandbox.thaw()
            self._recorder.mark(monotonic(), "thawed")
            self._telemetry.resume()

    def _epoch_ms(self, at_s: float) -> int:
        """A moment on the monotonic clock as processes inside are told of it."""
        return int((time.time() + at_s - monotonic()) * 1000)

    def _record_end(self, record: RecordEnd) -> None:
        self._processes.flush_function()  # what there was to read has been read by whoever fed the event
        peak_bytes = 0 if self._sandbox is None else self._sandbox.memory_peak_bytes()
        self._journal.record(record, memory_peak_bytes=peak_bytes)
        job, self._job = self._job, None
        self.stream = None
        self._node.measurements.ended(
            record.invocation.function_arn,
            self.facts.version,
            duration_s=record.duration_s,
            failed=job is None or job.failed,
            now_s=time.time(),
        )
        if job is not None:
            job.reported()

    def _print(self, lines: bytes) -> None:
        self._log.append(int(time.time() * 1000), lines)
        job = self._job
        if job is not None and job.want_tail:
            job.log(lines)

    def _process_started(self, program: str, pid: int) -> None:
        self._recorder.mark(monotonic(), "process.started", program=program, pid=pid)

    def _telemetry_flushed(self) -> None:
        if self._machine.phase is Phase.SHUTDOWN:
            self.feed(TelemetryFlushed())

    def _telemetry_delivered(self, identifier: str, records: int) -> None:
        self._recorder.mark(monotonic(), "telemetry.delivered", extension=identifier, records=records)

    async def _open_socket(self) -> socket.socket:
        return await self._made_sandbox.open_socket()

    def _address(self) -> str:
        return self._made_sandbox.address

    def _cut_calls(self) -> None:
        """Forget all connections, so that nothing a dead process has sent is taken for its successor's."""
        self._waiting.clear()
        if self._api is not None:
            self._api.drop_connections()

    async def _kill(self) -> None:
        self._thaw()
        await self._made_sandbox.kill_processes()
        self._cut_calls()
        self._processes.drain_and_flush()
        self._telemetry.reset()
        self.feed(ProcessesGone())

    async def _destroy(self) -> None:
        self.idle_serial += 1
        self._processes.forget()
        if self._timer is not None:
            self._timer.cancel()
        self._waiting.clear()
        for server in (self._api, self._endpoint):
            if server is not None:
                server.abort()
        self._telemetry.close()
        try:
            await self._telemetry.wait_closed()
            if self._sandbox is not None:
                await self._sandbox.destroy()
        finally:
            self._processes.close()
            self._log.close()
            self._recorder.ended()

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
            self._processes.drain()
            self.feed(DeadlinePassed())
        elif self._machine.deadline_s < math.inf:
            self._arm()


def _release_of(exchange: Exchange) -> str:
    """Name of the runtime client, for "which client is in use" (RT-11)."""
    words = exchange.request.header("user-agent").split()
    features = exchange.request.header("lambda-runtime-features")
    return " ".join([*words[:1], *([features] if features else [])])[:128] or "unknown"
