"""Processes enter a sandbox, and their end is reported exactly."""

import asyncio
import os
import signal
import uuid
from pathlib import Path

import pytest
from tests.integration.sandbox.conftest import Make, Result, Started, python, start
from tests.support.rootfs import PYTHON

from lamella.adapters.sandbox import OciSandboxProvider, OciSettings
from lamella.adapters.sandbox.sandbox import OciSandbox
from lamella.ports.sandbox import LOG_CHANNEL_FD, ExitStatus, ProcessSpec, SandboxError, SandboxSpec

pytestmark = pytest.mark.sandbox


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("pass", ExitStatus(code=0)),
        ("raise SystemExit(3)", ExitStatus(code=3)),
        ("raise SystemExit(137)", ExitStatus(code=137)),
        ("import os; os.kill(os.getpid(), 11)", ExitStatus(signal=signal.SIGSEGV)),
        ("import os; os.kill(os.getpid(), 9)", ExitStatus(signal=signal.SIGKILL)),
        ("import os; os.kill(os.getpid(), 15)", ExitStatus(signal=signal.SIGTERM)),
    ],
)
async def test_how_a_process_ended_is_reported_exactly(make: Make, code: str, status: ExitStatus) -> None:
    sandbox = await make()
    assert (await python(sandbox, code)).status == status


async def test_exit_callbacks_come_once_also_when_added_late(make: Make) -> None:
    sandbox = await make()
    started = await start(sandbox, "/bin/bash", "-c", "exit 7")
    told: list[ExitStatus] = []
    started.process.add_exit_callback(told.append)
    await started.result()
    started.process.add_exit_callback(told.append)
    assert told == [ExitStatus(code=7)] * 2


async def test_a_process_has_its_arguments_environment_directory_user_and_output(make: Make) -> None:
    sandbox = await make()
    script = 'pwd; id -u; id -g; id -G; echo $WHO; echo error >&2; echo "$0,$1"; read line || echo no input'
    result = await (await start(sandbox, "/bin/bash", "-c", script, "a b", "c'd", WHO="me")).result()
    assert result.output.splitlines() == ["/var/task", "993", "990", "990", "me", "error", "a b,c'd", "no input"]


async def test_signals_are_not_ignored_as_python_would_pass_them_on(make: Make) -> None:
    sandbox = await make()
    result = await (await start(sandbox, "/bin/cat", "/proc/self/status")).result()
    masks = dict(line.split(":\t") for line in result.output.splitlines() if line.startswith("Sig"))
    # Signals 32 and 33 belong to the C library, which does not let a program reset them: whoever started us may have.
    assert int(masks["SigIgn"], 16) & ~(0b11 << 31) == 0
    assert int(masks["SigBlk"], 16) == 0


async def test_only_the_standard_descriptors_are_passed_on(make: Make) -> None:
    sandbox = await make()
    code = "import os; print(sorted(os.listdir('/proc/self/fd'), key=int), os.readlink('/proc/self/fd/0'))"
    assert (await python(sandbox, code)).output == "['0', '1', '2', '3'] /dev/null\n"  # 3 is the listing itself


async def with_channel(sandbox: OciSandbox, *argv: str) -> tuple[Result, bytes]:
    """Run a program with a log channel; how it ended, and what it wrote there."""
    reading, writing = os.pipe()
    channel_reading, channel_writing = os.pipe()
    try:
        spec = ProcessSpec(argv, {"PATH": "/usr/bin:/bin"}, "/var/task", writing, channel_writing)
        started = Started(await sandbox.start_process(spec), reading)
    finally:
        os.close(writing)
        os.close(channel_writing)
    result = await started.result()
    with os.fdopen(channel_reading, "rb") as channel:
        return result, channel.read()


async def test_the_log_channel_is_descriptor_3_and_nothing_else_is_passed_on(make: Make) -> None:
    sandbox = await make()
    code = f"""
import os
print(sorted(int(fd) for fd in os.listdir("/proc/self/fd")))
print(os.fstat(1).st_ino == os.fstat(2).st_ino, os.fstat(1).st_ino == os.fstat({LOG_CHANNEL_FD}).st_ino)
os.write({LOG_CHANNEL_FD}, b"framed")
"""
    for _ in range(2):  # the spawner's own descriptors do not shift the numbers
        result, framed = await with_channel(sandbox, PYTHON, "-I", "-S", "-c", code)
        assert result.output == "[0, 1, 2, 3, 4]\nTrue False\n"  # 4 is the listing itself
        assert framed == b"framed"


async def test_what_a_process_with_a_log_channel_cannot_start_is_an_error(make: Make) -> None:
    with pytest.raises(SandboxError, match="start /absent"):
        await with_channel(await make(), "/absent")


async def test_many_processes_have_their_own_log_channels(make: Make) -> None:
    sandbox = await make()
    script = 'echo -n "$0" >&3'
    results = await asyncio.gather(*(with_channel(sandbox, "/bin/bash", "-c", script, str(n)) for n in range(6)))
    assert [framed for _, framed in results] == [b"%d" % number for number in range(6)]


async def test_a_signal_reaches_the_whole_group_and_nobody_else(make: Make) -> None:
    sandbox = await make()
    script = "sleep 100 & trap 'echo told; kill $!; exit 5' TERM; echo ready; wait"
    first, second = [await start(sandbox, "/bin/bash", "-c", script) for _ in range(2)]
    assert await first.read() == b"ready\n"
    assert await second.read() == b"ready\n"
    first.process.signal_group(signal.SIGTERM)
    assert (await first.result()).status == ExitStatus(code=5)
    first.process.signal_group(signal.SIGTERM)  # nothing happens: it has ended
    second.process.signal_group(signal.SIGKILL)
    assert (await second.result()).status == ExitStatus(
        signal=signal.SIGKILL
    )  # the pipe ends: its sleep is gone as well


@pytest.mark.parametrize("program", ["/var/task/absent", "/var/task/plain"])
async def test_what_may_not_be_executed_is_an_error_and_leaves_nothing(
    make: Make, tmp_path: Path, program: str
) -> None:
    (tmp_path / "task/plain").write_text("#!/bin/bash\n")
    sandbox = await make()
    with pytest.raises(SandboxError, match="start /var/task/"):
        await start(sandbox, program)
    assert (await python(sandbox, "print(1)")).output == "1\n"
    await sandbox.destroy()


@pytest.mark.parametrize("content", [b"\x7fELF" + bytes(60), b"#!/absent\n", b""])
async def test_what_the_kernel_cannot_execute_ends_at_once_and_says_so(
    make: Make, tmp_path: Path, content: bytes
) -> None:
    program = tmp_path / "task/alien"
    program.write_bytes(content)
    program.chmod(0o755)
    result = await (await start(await make(), "/var/task/alien")).result()
    assert result.status == ExitStatus(code=1)
    assert result.output.startswith("exec: ")


async def test_variables_that_the_kernel_cannot_pass_on_are_refused(make: Make) -> None:
    sandbox = await make()
    with pytest.raises(SandboxError, match="environment variables"):
        await start(sandbox, "/bin/id", BAD="a\0b")


async def test_many_processes_start_at_once(make: Make) -> None:
    sandbox = await make()
    results = await asyncio.gather(
        *(python(sandbox, f"print({number}); raise SystemExit({number})") for number in range(8))
    )
    assert [result.status.code for result in results] == list(range(8))
    assert [result.output for result in results] == [f"{number}\n" for number in range(8)]


async def test_runc_runs_the_same_sandbox(tmp_path: Path, rootfs: Path) -> None:
    provider = OciSandboxProvider(
        OciSettings(tmp_path / "run", f"test-{uuid.uuid4().hex[:8]}", runtime="runc", ready=1)
    )
    if not next(problem for problem in provider.diagnose() if problem.check == "runtime").ok:
        pytest.skip("runc is not installed")
    layers = []
    for name in ("one", "two"):
        layer = tmp_path / name
        layer.mkdir()
        (layer / "who").write_text(name)
        layers.append(layer)
    await provider.start()
    try:
        task = tmp_path / "task"
        task.mkdir()
        sandbox = await provider.create(SandboxSpec(uuid.uuid4().hex, rootfs, task, tuple(layers), memory_mib=64))
        assert (await (await start(sandbox, "/bin/cat", "/opt/who")).result()).output == "two"
        listing = "ls /proc/self/fd; echo framed >&3"
        result, framed = await with_channel(sandbox, "/bin/bash", "-c", listing)
        assert (result.output, framed) == ("0\n1\n2\n3\n4\n", b"framed\n")
        assert (await python(sandbox, "import os; os.kill(os.getpid(), 11)")).status == ExitStatus(
            signal=signal.SIGSEGV
        )
        assert (await python(sandbox, "bytearray(128 << 20)")).status == ExitStatus(signal=signal.SIGKILL)
        assert sandbox.oom_kills() == 1
        await start_and_kill(sandbox)
        with pytest.raises(SandboxError, match="runc could not start"):
            await start(sandbox, "/absent")
    finally:
        await provider.close()


async def start_and_kill(sandbox) -> None:  # type: ignore[no-untyped-def] - a helper of one test
    sleeper = await start(sandbox, PYTHON, "-c", "import time; time.sleep(100)")
    sandbox.freeze()
    await sandbox.kill_processes()
    assert (await sleeper.result()).status == ExitStatus(signal=signal.SIGKILL)
