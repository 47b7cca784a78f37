"""Memory, processes, files and disk end where the specification says, and nobody else notices."""

import asyncio
import contextlib
import os
import textwrap
from pathlib import Path

import pytest
from tests.integration.sandbox.conftest import DEADLINE_S, Make, python, start
from tests.support.rootfs import PYTHON

from lamella.adapters.sandbox.sandbox import OciSandbox
from lamella.ports.sandbox import ExitStatus

pytestmark = pytest.mark.sandbox


async def test_twice_the_memory_is_killed_alone(make: Make) -> None:
    sandbox, other = await make(memory_mib=64), await make(memory_mib=64)
    bystander = await start(other, "/bin/cat", "/dev/stdin")
    result = await python(sandbox, "x = bytearray(128 << 20)")
    assert result.status == ExitStatus(signal=9)
    assert (sandbox.oom_kills(), other.oom_kills()) == (1, 0)
    assert 32 << 20 < sandbox.memory_peak_bytes() <= 64 << 20
    assert (await bystander.result()).status == ExitStatus(code=0)
    assert (await python(sandbox, "print('next')")).output == "next\n"


async def test_the_peak_of_memory_counts_what_was_given_back_but_no_files(make: Make) -> None:
    sandbox = await make(memory_mib=256)
    base_bytes = sandbox.memory_peak_bytes()
    await python(sandbox, "open('/tmp/file', 'wb').write(bytes(1 << 20) * 100)")
    with_file_bytes = sandbox.memory_peak_bytes()
    await python(sandbox, "x = bytearray(b'1' * (64 << 20)); del x")
    with_memory_bytes = sandbox.memory_peak_bytes()
    assert with_file_bytes - base_bytes < 140 << 20
    assert with_memory_bytes >= 60 << 20


async def test_tmp_is_full_at_its_size_and_not_charged_to_memory(make: Make) -> None:
    code = """
        import os
        written = 0
        try:
            with open("/tmp/big", "wb", buffering=0) as file:
                while True:
                    written += file.write(bytes(1 << 20))
        except OSError as error:
            print(error.strerror, written >> 20)
    """
    sandbox = await make(memory_mib=64, tmp_mib=256)
    result = await python(sandbox, textwrap.dedent(code))
    assert result.status == ExitStatus(code=0)
    words = result.output.split()
    assert words[:-1] == ["No", "space", "left", "on", "device"]
    assert 256 <= int(words[-1]) < 256 * 1.08
    assert sandbox.oom_kills() == 0
    other = await python(await make(tmp_mib=256), "import os; print(os.listdir('/tmp'))")
    assert other.output == "[]\n"


async def test_a_fork_bomb_is_contained_and_can_be_ended(make: Make) -> None:
    sandbox, other = await make(max_processes=100), await make()
    bomb = await start(sandbox, "/bin/bash", "-c", "f() { f | f & f | f & }; echo go; f; sleep 100; sleep 100")
    assert await bomb.read()
    await _wait_processes(sandbox, 90)
    assert len(sandbox._parts.cgroup.process_ids()) <= 100 + 16
    assert (await python(other, "print('calm')")).output == "calm\n"
    await asyncio.wait_for(sandbox.kill_processes(), DEADLINE_S)
    assert len(sandbox._parts.cgroup.process_ids()) == 1
    assert (await python(sandbox, "print('after')")).output == "after\n"
    os.close(bomb.output)


async def test_a_fork_bomb_can_be_destroyed(make: Make) -> None:
    sandbox = await make(max_processes=100)
    bomb = await start(sandbox, PYTHON, "-I", "-S", "-c", _ENDLESS_FORK)
    await _wait_processes(sandbox, 90)
    await asyncio.wait_for(sandbox.destroy(), DEADLINE_S)
    os.close(bomb.output)
    assert sandbox._parts.cgroup.process_ids() == set()


_ENDLESS_FORK = """
import os
while True:
    with __import__("contextlib").suppress(OSError):
        os.fork()
"""


async def _wait_processes(sandbox: OciSandbox, count: int) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while len(sandbox._parts.cgroup.process_ids()) < count:  # noqa: ASYNC110 - nothing to be woken by
            await asyncio.sleep(0)


async def test_open_files_and_the_other_limits(make: Make) -> None:
    code = """
        import resource
        for name in ("NOFILE", "MEMLOCK", "CORE", "STACK"):
            print(name, resource.getrlimit(getattr(resource, "RLIMIT_" + name))[0])
    """
    result = await python(await make(max_open_files=1000), textwrap.dedent(code))
    assert result.output.split() == ["NOFILE", "1000", "MEMLOCK", "65536", "CORE", "0", "STACK", str(8 << 20)]


async def test_the_cpu_limit_is_set_once_a_process_has_started(make: Make) -> None:
    sandbox = await make(cpus=0.25)
    await python(sandbox, "pass")
    file, limit, _ = sandbox._parts.cgroup._quota or (Path(), "", "")
    assert file.read_text().strip() == limit
    assert limit.split()[0] == "5000"


async def test_files_of_a_killed_process_stay_in_tmp(make: Make) -> None:
    sandbox = await make()
    started = await start(
        sandbox, PYTHON, "-c", "import time; open('/tmp/kept', 'w').close(); print(1, flush=True); time.sleep(99)"
    )
    await started.read()
    await sandbox.kill_processes()
    assert (await started.result()).status == ExitStatus(signal=9)
    assert (await python(sandbox, "import os; print(os.listdir('/tmp'))")).output == "['kept']\n"
    with contextlib.suppress(OSError):
        os.close(started.output)
