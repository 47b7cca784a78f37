"""Freezing, destroying, sweeping: what is left when a sandbox or its server is gone."""

import asyncio
import os
import signal
import sys
import textwrap
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.sandbox.conftest import DEADLINE_S, Make, Started, python, start
from tests.support.rootfs import PYTHON

from lamella.adapters.sandbox import OciSandboxProvider, OciSettings, strays, syscalls
from lamella.adapters.sandbox.cgroups import detect_here, remove_everywhere
from lamella.adapters.sandbox.mounts import current_mounts, enter_private_mount_namespace
from lamella.adapters.sandbox.spawner import ChildWatch
from lamella.ports.sandbox import ExitStatus, SandboxError, SandboxSpec

pytestmark = pytest.mark.sandbox

COUNTER = "import itertools, os\nfor n in itertools.count(): os.write(1, b'%d\\n' % n)"


def cgroups_of(settings: OciSettings) -> list[str]:
    # `os.walk` does not mind groups of others that go away meanwhile.
    return [
        f"{folder}/{name}"
        for folder, names, _ in os.walk("/sys/fs/cgroup")
        if Path(folder).name == f"lamella-{settings.instance}"
        for name in names
    ]


def loop_devices_below(directory: Path) -> list[str]:
    backing = [path.read_text() for path in Path("/sys/block").glob("loop*/loop/backing_file")]
    return [text for text in backing if text.startswith(str(directory))]


def namespaces() -> int:
    """Network namespaces in which this process has a socket or which it holds."""
    links = [entry.readlink() for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    return sum(str(link).startswith("net:") for link in links)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def wait_until(condition: Callable[[], bool]) -> None:
    """For what the kernel does in its own time, and tells nobody."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - there is nothing to be woken by
            await asyncio.sleep(0.001)


def is_running(pid: int) -> bool:
    """Whether a process lives; whoever inherits a dead one reaps it some time."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def wait_for_zombies(pids: list[int]) -> None:
    while any(is_running(pid) for pid in pids):
        time.sleep(0.001)


async def _drain_until_still(started: Started) -> bool:
    """Read what is in the pipe; whether nothing more comes although there is room for it."""
    os.set_blocking(started.output, False)
    still = 0
    for _ in range(2000):
        try:
            os.read(started.output, 1 << 20)
            still = 0
        except BlockingIOError:
            still += 1
            if still == 100:
                return True
        await asyncio.sleep(0.0005)
    return False


async def test_freezing_stops_a_busy_loop_and_thawing_continues_it(make: Make) -> None:
    sandbox = await make()
    started = await start(sandbox, PYTHON, "-I", "-S", "-c", COUNTER)
    await started.read()
    assert not await _drain_until_still(started)
    sandbox.freeze()
    assert await _drain_until_still(started)
    sandbox.thaw()
    os.set_blocking(started.output, True)
    assert await started.read()
    os.close(started.output)
    assert (await asyncio.wait_for(started.process.wait_exited(), DEADLINE_S)).code != 0


async def test_a_frozen_sandbox_can_be_emptied_and_destroyed(make: Make) -> None:
    sandbox = await make()
    started = await start(sandbox, "/bin/sleep", "100")
    sandbox.freeze()
    await asyncio.wait_for(sandbox.kill_processes(), DEADLINE_S)
    assert (await started.result()).status == ExitStatus(signal=signal.SIGKILL)
    second = await start(sandbox, "/bin/sleep", "100")
    sandbox.freeze()
    await asyncio.wait_for(sandbox.destroy(), DEADLINE_S)
    assert (await second.result()).status == ExitStatus(signal=signal.SIGKILL)


async def test_destroying_leaves_nothing(make: Make, provider: OciSandboxProvider, settings: OciSettings) -> None:
    await provider._network_stocks[settings.network].wait_full()
    await provider._scratch_stock.wait_full()
    open_before = descriptors()
    loops = len(loop_devices_below(settings.state_dir))
    held = namespaces()
    sandbox = await make()
    started = await start(sandbox, "/bin/sleep", "100")
    assert cgroups_of(settings)
    await asyncio.gather(sandbox.destroy(), sandbox.destroy())
    await sandbox.destroy()
    assert (await started.result()).status == ExitStatus(signal=signal.SIGKILL)
    await provider._network_stocks[settings.network].wait_full()
    await provider._scratch_stock.wait_full()
    assert cgroups_of(settings) == []
    assert list((settings.state_dir / "sandboxes").iterdir()) == list((settings.state_dir / "oci").iterdir()) == []
    assert namespaces() == held
    assert descriptors() == open_before
    await wait_until(lambda: len(loop_devices_below(settings.state_dir)) <= loops)  # unmounted in the background
    with pytest.raises(SandboxError, match="destroyed"):
        await start(sandbox, "/bin/id")
    sandbox.freeze()
    sandbox.thaw()
    assert sandbox.memory_peak_bytes() >= 0


async def test_a_group_that_somebody_took_away_while_it_was_empty_is_made_anew(
    make: Make, provider: OciSandboxProvider
) -> None:
    assert remove_everywhere(provider._layout, provider._parent)
    sandbox = await make()
    assert (await python(sandbox, "print(1)")).output == "1\n"
    await sandbox.destroy()


async def test_closing_the_provider_destroys_everything(settings: OciSettings, rootfs: Path, tmp_path: Path) -> None:
    before = current_mounts()
    provider = OciSandboxProvider(settings)
    await provider.start()
    for _ in range(3):
        await provider.create(SandboxSpec(uuid.uuid4().hex, rootfs, tmp_path))
    await provider.close()
    await provider.close()
    assert cgroups_of(settings) == []
    assert not settings.state_dir.exists()
    assert {mounted.target for mounted in current_mounts()} == {mounted.target for mounted in before}
    with pytest.raises(SandboxError, match="not running"):
        await provider.create(SandboxSpec(uuid.uuid4().hex, rootfs, tmp_path))


@pytest.mark.parametrize("missing", ["task", "layers", "rootfs"])
async def test_what_cannot_be_made_leaves_nothing(
    make: Make, settings: OciSettings, tmp_path: Path, missing: str
) -> None:
    absent = tmp_path / "absent"
    with pytest.raises(SandboxError, match="absent"):
        await make(**{missing: (absent, absent) if missing == "layers" else absent})
    assert cgroups_of(settings) == []
    assert list((settings.state_dir / "sandboxes").iterdir()) == []
    sandbox = await make()
    assert (await python(sandbox, "print(1)")).output == "1\n"


async def test_a_cancelled_creation_leaves_nothing(make: Make, settings: OciSettings) -> None:
    for pause_s in (0, 0.001, 0.003):
        making = asyncio.ensure_future(make())
        await asyncio.sleep(pause_s)
        making.cancel()
        with pytest.raises(asyncio.CancelledError):
            await making
        assert cgroups_of(settings) == []
        assert list((settings.state_dir / "sandboxes").iterdir()) == []


async def test_reaping_strays_takes_no_exit_status_from_a_watch(make: Make) -> None:
    sandbox = await make()
    sleepers = [await start(sandbox, "/bin/sleep", "100") for _ in range(3)]
    strays.reap(sandbox._parts.cgroups_path, ChildWatch.watched)  # whatever crun may have left
    for sleeper in sleepers:
        sleeper.process.signal_group(signal.SIGTERM)
    wait_for_zombies([sleeper.process.pid for sleeper in sleepers])  # blocks the loop, so no watch has noticed
    assert strays.reap(sandbox._parts.cgroups_path, ChildWatch.watched) == 0
    assert [(await sleeper.result()).status for sleeper in sleepers] == [ExitStatus(signal=signal.SIGTERM)] * 3


async def test_no_dead_children_are_left(make: Make, settings: OciSettings, tmp_path: Path) -> None:
    (tmp_path / "task/plain").write_text("")
    sandbox, unused = await make(), await make()
    await python(sandbox, "pass")
    with pytest.raises(SandboxError):
        await start(sandbox, "/var/task/plain")  # crun has forked before it notices
    await sandbox.destroy()
    await unused.destroy()
    children = [int(pid) for file in Path("/proc/self/task").glob("*/children") for pid in file.read_text().split()]
    dead = [pid for pid in children if not is_running(pid)]
    assert [pid for pid in dead if settings.instance in Path(f"/proc/{pid}/cgroup").read_text()] == []


async def test_the_spawner_is_replaced_when_it_dies(make: Make, provider: OciSandboxProvider) -> None:
    sandbox = await make()
    assert provider._spawner._process is not None
    provider._spawner._process.kill()
    provider._spawner._process.wait()
    await wait_until(lambda: provider._spawner._socket is None)
    assert (await python(sandbox, "print(1)")).output == "1\n"


SERVER = """
import asyncio, os, sys, uuid
from pathlib import Path
from lamella.adapters.sandbox import OciSandboxProvider, OciSettings
from lamella.ports.sandbox import ProcessSpec, SandboxSpec

async def main():
    state, instance, root, task, freeze = sys.argv[1:]
    provider = OciSandboxProvider(OciSettings(Path(state), instance, ready=1))
    await provider.start()
    sandbox = await provider.create(SandboxSpec(uuid.uuid4().hex, Path(root), Path(task)))
    null = os.open("/dev/null", os.O_WRONLY)
    process = await sandbox.start_process(ProcessSpec(("/bin/sleep", "1000"), {}, "/", null))
    if freeze == "yes":
        sandbox.freeze()
    print(process.pid, flush=True)
    await process.wait_exited()

asyncio.run(main())
"""


@pytest.mark.parametrize("frozen", ["no", "yes"])
async def test_the_next_server_sweeps_after_a_killed_one(
    settings: OciSettings, rootfs: Path, tmp_path: Path, frozen: str
) -> None:
    task = tmp_path / "task"
    task.mkdir()
    arguments = [str(settings.state_dir), settings.instance, str(rootfs), str(task), frozen]
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(SERVER), *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert server.stdout is not None
    pid = int(await server.stdout.readline())
    server.kill()
    await server.wait()
    assert Path(f"/proc/{pid}").exists()
    assert cgroups_of(settings)
    provider = OciSandboxProvider(settings)
    await provider.start()
    try:
        assert cgroups_of(settings) == []
        await wait_until(lambda: not is_running(pid))
        sandbox = await provider.create(SandboxSpec(uuid.uuid4().hex, rootfs, task))
        assert (await python(sandbox, "print(1)")).output == "1\n"
    finally:
        await provider.close()
    assert loop_devices_below(settings.state_dir) == []


async def test_a_host_with_version_1_alone(settings: OciSettings, rootfs: Path, tmp_path: Path) -> None:
    """Made of a hybrid host by taking version 2 away, in the private mount namespace."""
    enter_private_mount_namespace()
    unified = [mounted.target for mounted in current_mounts() if mounted.fstype == "cgroup2"]
    if not unified or "memory" not in detect_here().v1:
        pytest.skip("this host is not a hybrid one")
    syscalls.umount(unified[0], syscalls.MNT_DETACH)
    try:
        assert detect_here().mode == "v1"
        provider = OciSandboxProvider(settings)
        await provider.start()
        try:
            sandbox = await provider.create(SandboxSpec(uuid.uuid4().hex, rootfs, tmp_path, memory_mib=64))
            counter = await start(sandbox, PYTHON, "-I", "-S", "-c", COUNTER)
            await counter.read()
            sandbox.freeze()
            assert await _drain_until_still(counter)
            sandbox.thaw()
            os.set_blocking(counter.output, True)
            assert await counter.read()
            sandbox.freeze()
            await asyncio.wait_for(sandbox.kill_processes(), DEADLINE_S)
            assert (await counter.result()).status == ExitStatus(signal=signal.SIGKILL)
            assert (await python(sandbox, "bytearray(128 << 20)")).status == ExitStatus(signal=signal.SIGKILL)
            assert sandbox.oom_kills() == 1
            sandbox.freeze()
        finally:
            await provider.close()
        assert cgroups_of(settings) == []
    finally:
        syscalls.mount("none", unified[0], "cgroup2", 0)
