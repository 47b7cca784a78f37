"""The host of scenarios: a real sandbox, the in-sandbox API's end of the connections, and a clock.

The patient is an adversary: what it sends and prints is bounded, each scenario has an end, and the sandbox is destroyed
however it comes about.
"""

import asyncio
import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Final

from lamella.conformance.patience import limit_of_wait_s
from lamella.conformance.play import (
    Abandoned,
    Answer,
    Call,
    Called,
    Collected,
    Command,
    Cut,
    DeadlinePassed,
    Deliver,
    Ended,
    Event,
    Freeze,
    KillAll,
    Measure,
    Measured,
    NotStarted,
    Printed,
    Signal,
    Start,
    StopDelivery,
    Thaw,
)
from lamella.conformance.scenario import Scenario
from lamella.conformance.sending import Sender, unpacked
from lamella.conformance.usage import usage_of
from lamella.domain.function import Architecture
from lamella.domain.image import Launch
from lamella.httpserver.exchange import Exchange, Phase
from lamella.httpserver.limits import Limits
from lamella.httpserver.message import Answer as HttpAnswer
from lamella.httpserver.message import Buffered, Refusal, Request, refusal_status
from lamella.httpserver.server import HttpServer
from lamella.invoke.entrypoint import (
    InvalidEntrypointError,
    InvalidWorkingDirectoryError,
    View,
    check_command,
    find_entrypoint,
    launch_problem,
)
from lamella.invoke.output import Output
from lamella.ports.sandbox import ExitStatus, Process, ProcessSpec, Sandbox, SandboxError, SandboxProvider, SandboxSpec

_LIMITS: Final = Limits(
    line_bytes=1024 * 1024 + 8192,
    head_timeout_s=None,
    body_idle_timeout_s=None,
    keepalive_timeout_s=None,
    max_connections=256,
    held_bytes=64 * 1024 * 1024,
)
_BODY: Final = Buffered(limit_bytes=16 * 1024 * 1024, drain_excess=True)
"""Far more than may be handed in, so that the scenario sees what is too large."""
_COLLECTED_BYTES: Final = 16 * 1024 * 1024
_EVENTS_MOST: Final = 20_000
_CALLS_MOST: Final = 2_000
"""In one scenario. Whoever calls more often is in a loop."""
SCENARIO_MOST_S: Final = 120.0
"""Beside what the scenario waits on purpose."""


@dataclass(frozen=True, slots=True)
class Program:
    """A process that scenarios can start.

    Attributes:
        candidates: Paths inside the sandbox; the first that exists is started (EN-20).
        arguments: After the program.
        variables: All of its environment variables.
        directory: Where it is started.
        launch: How a container image's first program is started, in place of candidates, arguments and directory.
    """

    candidates: tuple[str, ...]
    variables: Mapping[str, str]
    arguments: tuple[str, ...] = ()
    directory: str = "/var/task"
    launch: Launch | None = None


@dataclass(frozen=True, slots=True)
class Patient:
    """What is examined, ready to be put into sandboxes.

    Attributes:
        sandbox: Its id is replaced for each scenario.
        programs: By name: `RUNTIME`, or the file name of an extension.
        view: The files that the sandbox will show.
        collects: Whether there is a collector where AWS's endpoint is, which takes what it is sent (`Collected`).
    """

    sandbox: SandboxSpec
    programs: Mapping[str, Program]
    view: View
    architecture: Architecture
    collects: bool = False


@dataclass(slots=True)
class _Running:
    """A process, and the pipe it prints to."""

    output: Output
    process: Process | None = None
    ended: ExitStatus | None = field(default=None)


class _Door:
    """Hands every call to the referee; implements the HTTP server's handler."""

    def __init__(self, called: Callable[[Exchange], None]) -> None:
        self._called = called

    def head(self, request: Request) -> Buffered:  # noqa: ARG002  # all alike
        """Read everything."""
        return _BODY

    def handle(self, exchange: Exchange) -> None:
        """Keep it until the scenario answers."""
        self._called(exchange)

    def refuse(self, request: Request | None, refusal: Refusal) -> HttpAnswer:
        """What is no HTTP, or beyond all bounds, never reaches the scenario."""
        return HttpAnswer(refusal_status(request, refusal))

    def failed(self, exchange: Exchange, error: BaseException) -> HttpAnswer:  # noqa: ARG002  # logged by the server
        """A fault of ours."""
        return HttpAnswer(500)


class Referee:
    """Plays one scenario in one sandbox."""

    def __init__(self, patient: Patient, scenario: Scenario) -> None:
        """Nothing is made yet."""
        self._patient = patient
        self._scenario = scenario
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._exchanges: dict[int, Exchange] = {}
        self._running: dict[str, _Running] = {}
        self._calls = 0
        self._api = HttpServer(_Door(self._called), _LIMITS, half_close=False)
        self._collector = HttpServer(_Door(self._collected), _LIMITS)
        self._sender: Sender | None = None

    async def run(self, sandboxes: SandboxProvider) -> None:
        """Play it to its end; the scenario has the results.

        Raises:
            SandboxError: There could be no sandbox.
        """
        most_s = SCENARIO_MOST_S + self._scenario.waits_s
        sandbox = await sandboxes.create(replace(self._patient.sandbox, id=uuid.uuid4().hex))
        try:
            await self._api.start(sock=sandbox.runtime_api_listener.dup())
            if self._patient.collects:
                await self._collector.start(sock=sandbox.endpoint_listener.dup())
            self._sender = Sender(sandbox.open_socket, sandbox.address, self._events_put)
            async with asyncio.timeout(most_s):
                await self._play(sandbox)
        except TimeoutError:
            self._scenario.abort(f"It took more than {most_s:.0f} seconds.")
        finally:
            sandbox.thaw()
            self._forget()
            self._api.abort()
            self._collector.abort()
            if self._sender is not None:
                await self._sender.close()
            await sandbox.destroy()

    async def _play(self, sandbox: Sandbox) -> None:
        scenario = self._scenario
        await self._perform(sandbox, scenario.begin(monotonic()))
        for _ in range(_EVENTS_MOST):
            if scenario.finished:
                return
            event = await self._next_event()
            await self._perform(sandbox, scenario.receive(event, monotonic()))
        scenario.abort("The patient does too much: its calls and its output have no end.")

    async def _next_event(self) -> Event:
        left_s = self._scenario.deadline_s - monotonic()
        if self._events.empty() and left_s > 0:
            try:
                async with asyncio.timeout(None if left_s == math.inf else left_s):
                    return await self._events.get()
            except TimeoutError:
                return DeadlinePassed()
        return DeadlinePassed() if left_s <= 0 else self._events.get_nowait()

    async def _perform(self, sandbox: Sandbox, commands: Sequence[Command]) -> None:
        for command in commands:
            match command:
                case Start():
                    await self._start(sandbox, command)
                case Answer():
                    self._answer(command)
                case Cut(call):
                    exchange = self._exchanges.pop(call.id, None)
                    if exchange is not None:
                        exchange.abort()
                case Signal(process, number):
                    running = self._running.get(process)
                    if running is not None and running.process is not None:
                        running.process.signal_group(number)
                case KillAll():
                    sandbox.thaw()
                    await sandbox.kill_processes()
                    self._forget()
                    self._api.drop_connections()
                    self._send(StopDelivery())
                    self._exchanges.clear()
                    self._events = asyncio.Queue()
                case Freeze():
                    sandbox.freeze()
                case Thaw():
                    sandbox.thaw()
                case Measure(process, connection):
                    running = self._running.get(process)
                    if running is not None and running.process is not None:
                        self._events.put_nowait(_measured(process, running.process.pid, connection))
                case Deliver() | StopDelivery():
                    self._send(command)

    # Telemetry, and what becomes of it

    def _events_put(self, event: Event) -> None:
        self._events.put_nowait(event)

    def _send(self, command: Deliver | StopDelivery) -> None:
        assert self._sender is not None
        if isinstance(command, Deliver):
            self._sender.send(command)
        else:
            self._sender.stop()

    def _collected(self, exchange: Exchange) -> None:
        request = exchange.request
        body = unpacked(request.body, request.header("content-encoding"), _COLLECTED_BYTES)
        self._events.put_nowait(Collected(request.path, body))
        exchange.respond(200, (("Content-Type", "application/json"),), b"{}")

    # Processes

    async def _start(self, sandbox: Sandbox, command: Start) -> None:
        name, patient = command.process, self._patient
        program = patient.programs[name]
        variables = {**program.variables, **command.variables}
        try:
            argv, directory = _started(program, variables, patient)
        except (InvalidEntrypointError, InvalidWorkingDirectoryError) as error:
            self._events.put_nowait(NotStarted(name, str(error)))
            return
        if (earlier := self._running.get(name)) is not None:
            earlier.output.close()
        running = _Running(Output(lambda lines: self._printed(name, running, lines)))
        self._running[name] = running
        spec = ProcessSpec(argv, variables, directory, running.output.write_end)
        try:
            running.process = await sandbox.start_process(spec)
        except SandboxError as error:
            problem = launch_problem(argv[0], patient.view, patient.architecture)
            self._events.put_nowait(NotStarted(name, problem or str(error)))
            return
        running.process.add_exit_callback(lambda status: self._ended(name, running, status))

    def _printed(self, name: str, running: _Running, lines: bytes) -> None:
        if self._running.get(name) is running:
            self._events.put_nowait(Printed(name, lines))

    def _ended(self, name: str, running: _Running, status: ExitStatus) -> None:
        if self._running.get(name) is not running:
            return
        running.output.drain()
        running.output.flush()
        running.ended = status
        self._events.put_nowait(Ended(name, status))

    def _forget(self) -> None:
        """Hear nothing more of the processes that there are."""
        running, self._running = self._running, {}
        for one in running.values():
            one.output.close()

    # Calls

    def _called(self, exchange: Exchange) -> None:
        self._calls += 1
        if self._calls > _CALLS_MOST:
            exchange.abort()
            self._scenario.abort(f"The patient has made {_CALLS_MOST} calls: it is in a loop.")
            self._events.put_nowait(DeadlinePassed())  # wakes the loop, which sees that it is over
            return
        request = exchange.request
        peer = exchange.peer
        # What it printed before it called comes first.
        for running in self._running.values():
            running.output.drain()
        call = Call(
            self._calls,
            peer[1] if isinstance(peer, tuple) else 0,
            request.method,
            request.path,
            tuple(request.headers),
            request.body,
            tuple(request.trailers),
        )
        self._exchanges[call.id] = exchange
        self._events.put_nowait(Called(call))
        exchange.on_disconnect(lambda: self._abandoned(call))

    def _abandoned(self, call: Call) -> None:
        if self._exchanges.pop(call.id, None) is not None:
            self._events.put_nowait(Abandoned(call))

    def _answer(self, command: Answer) -> None:
        exchange = self._exchanges.pop(command.call.id, None)
        if exchange is None or exchange.phase is not Phase.OPEN:
            return
        headers = command.headers + ((("Connection", "close"),) if command.close else ())
        if not command.chunked:
            exchange.respond(command.status, headers, command.body)
        else:
            exchange.start(_in_pieces(exchange, command, headers))


def _started(program: Program, variables: Mapping[str, str], patient: Patient) -> tuple[tuple[str, ...], str]:
    """The program with its arguments, and where it starts.

    Raises:
        InvalidEntrypointError: There is none that could be started.
        InvalidWorkingDirectoryError: It could not start where it should.
    """
    if program.launch is not None:
        check_command(program.launch, variables.get("PATH", ""), patient.view, patient.architecture)
        return program.launch.argv, program.launch.working_directory
    first = find_entrypoint(program.candidates, patient.view, patient.architecture)
    return (first, *program.arguments), program.directory


def _measured(process: str, pid: int, connection: int) -> Measured:
    usage = usage_of(pid)
    limit_s = limit_of_wait_s(usage.pids, connection) if connection else None
    return Measured(process, usage.cpu_s, usage.files, len(usage.pids), limit_s)


async def _in_pieces(exchange: Exchange, command: Answer, headers: tuple[tuple[str, str], ...]) -> None:
    exchange.start_response(command.status, headers)
    middle = len(command.body) // 2
    for piece in (command.body[:middle], command.body[middle:]):
        await exchange.write(piece)
    exchange.finish()
