"""The processes of one execution environment: the runtime and the external extensions, and what they print.

They live in generations: a reset kills all of one and begins the next, and whatever a process of an earlier generation
still does is no news to anybody.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from signal import SIGKILL, SIGTERM
from typing import Final

from lamella.domain.errors import FunctionErrorType
from lamella.domain.function import Architecture
from lamella.domain.image import Launch
from lamella.invoke.entrypoint import (
    InvalidEntrypointError,
    InvalidWorkingDirectoryError,
    View,
    check_command,
    find_directory,
    find_entrypoint,
    launch_problem,
)
from lamella.invoke.output import Frame, FramedOutput, Output
from lamella.invoke.tasks import Tasks
from lamella.lifecycle.events import Event, ExtensionExited, ExtensionLaunchFailed, LaunchFailed, RuntimeExited
from lamella.ports.sandbox import ExitStatus, Process, ProcessSpec, Sandbox, SandboxError

_log = logging.getLogger(__name__)

EXTENSIONS: Final = "/opt/extensions"

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


@dataclass(frozen=True, slots=True)
class Programs:
    """What there is to start.

    Attributes:
        entrypoints: Candidates for the runtime's first program (EN-20).
        runtime_variables: Of its process.
        extension_variables: Of the process of each extension (EN-02).
        working_directory: Where the runtime starts, unless `command` says so.
        command: What to start instead of a candidate (EN-25).
    """

    view: View
    architecture: Architecture
    entrypoints: Sequence[str]
    runtime_variables: Mapping[str, str]
    extension_variables: Mapping[str, str]
    working_directory: str = "/var/task"
    command: Launch | None = None

    def runtime(self, output: int, log_channel: int | None) -> ProcessSpec:
        """The runtime's first process.

        Raises:
            InvalidEntrypointError: There is no program that could be started.
            InvalidWorkingDirectoryError: It could not start where it should.
        """
        variables = self.runtime_variables
        if self.command is None:
            program = find_entrypoint(self.entrypoints, self.view, self.architecture)
            find_directory(self.working_directory, self.view)  # that of a runtime that is an image is anybody's
            return ProcessSpec((program,), variables, self.working_directory, output, log_channel)
        check_command(self.command, variables.get("PATH", ""), self.view, self.architecture)
        return ProcessSpec(self.command.argv, variables, self.command.working_directory, output, log_channel)


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who is told of what processes do.

    Attributes:
        feed: Takes `RuntimeExited` and its kin.
        function_lines: Complete lines that the runtime printed.
        extension_lines: The same of extensions.
        framed: Records from the framed log channel; `None` if the runtime has none (6.5).
        launch_failed: Gets what the log says when the command of an image could not be started.
        started: Gets the name of each program and its process id on the host.
    """

    feed: Callable[[Event], None]
    function_lines: Callable[[bytes], None]
    extension_lines: Callable[[bytes], None]
    framed: Callable[[Iterable[Frame]], None] | None
    launch_failed: Callable[[str], None]
    started: Callable[[str, int], None]


class Processes:
    """Starts, ends and listens to them."""

    def __init__(self, listeners: Listeners, tasks: Tasks) -> None:
        """Open the pipes that the runtime will print to."""
        self._listeners = listeners
        self._tasks = tasks
        self._generation = 0
        self._runtime: Process | None = None
        self._runtime_signal = 0  # to be sent as soon as there is a process
        self._extensions: dict[str, Process] = {}
        self._killed: set[str] = set()  # extensions to be killed as soon as there is a process
        self._output = Output(listeners.function_lines)
        self._frames = None if listeners.framed is None else FramedOutput(listeners.framed, listeners.function_lines)
        self._extension_outputs: dict[str, Output] = {}

    # Output

    def drain(self) -> None:
        """Take what has been printed so far. Called before anything that must come after those lines."""
        self._output.drain()
        if self._frames is not None:
            self._frames.drain()
        for output in self._extension_outputs.values():
            output.drain()

    def flush_function(self) -> None:
        """Make a line of what the runtime printed without a line feed, as at the end of an invocation."""
        self._output.flush()

    def drain_and_flush(self) -> None:
        """Take the last lines of processes, all of which have ended."""
        self.drain()
        self._flush_runtime()
        for output in self._extension_outputs.values():
            output.flush()

    def _flush_runtime(self) -> None:
        """Take what the runtime has left behind: only after its end, as a frame may be half written until then."""
        self._output.flush()
        if self._frames is not None:
            self._frames.flush()

    # Life

    def launch_runtime(self, sandbox: Sandbox, programs: Programs, *, environment: str) -> None:
        """Start the runtime's first program, in the background."""
        self._runtime_signal = 0
        self._tasks.start(self._launch_runtime(sandbox, programs, self._generation), name=f"launch {environment}")

    def launch_extension(self, sandbox: Sandbox, programs: Programs, extension: str, *, environment: str) -> None:
        """Start an external extension, in the background: all of them at once (EX-02)."""
        launch = self._launch_extension(sandbox, programs, extension, self._generation)
        self._tasks.start(launch, name=f"launch {extension} {environment}")

    def terminate_runtime(self) -> None:
        """Send SIGTERM to the runtime's group."""
        self._signal_runtime(SIGTERM)

    def kill_runtime(self) -> None:
        """Send SIGKILL to the runtime's group."""
        self._signal_runtime(SIGKILL)

    def kill_extension(self, name: str) -> None:
        """Send SIGKILL to the group of an external extension."""
        process = self._extensions.get(name)
        if process is None:
            self._killed.add(name)  # it is on its way
        else:
            process.signal_group(SIGKILL)

    def forget(self) -> None:
        """Begin another generation: somebody else kills what runs."""
        self._generation += 1
        self._runtime = None
        self._extensions.clear()
        self._killed.clear()

    def close(self) -> None:
        """Take what is left to read, and close the pipes. Idempotent."""
        self._generation += 1
        self.drain_and_flush()
        self._output.close()
        if self._frames is not None:
            self._frames.close()
        for output in self._extension_outputs.values():
            output.close()

    async def _launch_runtime(self, sandbox: Sandbox, programs: Programs, generation: int) -> None:
        try:
            channel = None if self._frames is None else self._frames.write_end
            spec = programs.runtime(self._output.write_end, channel)
            process = await sandbox.start_process(spec)
        except (InvalidEntrypointError, InvalidWorkingDirectoryError) as error:
            if generation == self._generation and programs.command is not None:
                self._listeners.launch_failed(f"{error}\t{programs.command}")
            kind = (
                FunctionErrorType.RUNTIME_INVALID_ENTRYPOINT
                if isinstance(error, InvalidEntrypointError)
                else FunctionErrorType.RUNTIME_INVALID_WORKING_DIR
            )
            self._tell(generation, LaunchFailed(kind, str(error)))
            return
        except SandboxError as error:
            if generation == self._generation:
                _log.exception("the runtime of sandbox %s could not be started", sandbox.spec.id)
            self._tell(generation, LaunchFailed(FunctionErrorType.SANDBOX_FAILURE, str(error)))
            return
        if generation == self._generation:
            self._runtime = process
            self._listeners.started(spec.argv[0], process.pid)
            if self._runtime_signal:
                process.signal_group(self._runtime_signal)
        else:
            process.signal_group(SIGKILL)  # the environment was reset while the process was on its way
        process.add_exit_callback(partial(self._runtime_exited, sandbox, generation))

    async def _launch_extension(self, sandbox: Sandbox, programs: Programs, extension: str, generation: int) -> None:
        program = f"{EXTENSIONS}/{extension}"
        problem = launch_problem(program, programs.view, programs.architecture)
        if problem:
            self._tell(generation, ExtensionLaunchFailed(extension, problem))
            return
        output = self._extension_outputs.get(extension)
        if output is None:
            output = self._extension_outputs[extension] = Output(self._listeners.extension_lines)
        try:
            process = await sandbox.start_process(
                ProcessSpec((program,), programs.extension_variables, "/", output.write_end)
            )
        except SandboxError as error:
            if generation == self._generation:
                _log.exception("extension %s of sandbox %s could not be started", extension, sandbox.spec.id)
            self._tell(generation, ExtensionLaunchFailed(extension, str(error)))
            return
        if generation == self._generation:
            self._extensions[extension] = process
            self._listeners.started(program, process.pid)
        if generation != self._generation or extension in self._killed:
            process.signal_group(SIGKILL)
        process.add_exit_callback(partial(self._extension_exited, extension, generation))

    def _signal_runtime(self, signal: int) -> None:
        self._runtime_signal = signal
        if self._runtime is not None:
            self._runtime.signal_group(signal)

    def _runtime_exited(self, sandbox: Sandbox, generation: int, status: ExitStatus) -> None:
        if generation != self._generation:
            return
        self.drain()
        self._flush_runtime()
        out_of_memory = status.signal == SIGKILL and sandbox.oom_kills() > 0
        self._tell(generation, RuntimeExited(runtime_exit_message(status), out_of_memory))

    def _extension_exited(self, extension: str, generation: int, status: ExitStatus) -> None:
        if generation != self._generation:
            return
        self.drain()
        self._extension_outputs[extension].flush()
        self._tell(generation, ExtensionExited(extension, extension_exit_message(status)))

    def _tell(self, generation: int, event: Event) -> None:
        if generation == self._generation:
            self._listeners.feed(event)


def runtime_exit_message(status: ExitStatus) -> str:
    """How the end of a runtime process is put into words (table of EX-67)."""
    if status.signal is not None:
        return f"Runtime exited with error: signal: {_signal_name(status.signal)}"
    if status.code:
        return f"Runtime exited with error: exit status {status.code}"
    return "Runtime exited without providing a reason"


def extension_exit_message(status: ExitStatus) -> str:
    """How the end of an extension's process is put into words (table of EX-67)."""
    if status.signal is not None:
        return f"signal: {_signal_name(status.signal)}"
    return f"exit status {status.code}" if status.code else "exit code 0"


def _signal_name(signal: int) -> str:
    return _SIGNAL_NAMES.get(signal, f"signal {signal}")
