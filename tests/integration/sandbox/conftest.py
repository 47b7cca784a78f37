"""A provider of real sandboxes, a root with a Python in it, and a way to run hostile code there."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.rootfs import PYTHON, assemble_root

from lamella.adapters.sandbox import OciSandboxProvider, OciSettings
from lamella.adapters.sandbox.sandbox import OciProcess, OciSandbox
from lamella.ports.sandbox import ExitStatus, ProcessSpec, SandboxSpec

DEADLINE_S = 30.0


@pytest.fixture(scope="session")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return assemble_root(tmp_path_factory.mktemp("rootfs"))


@pytest.fixture
def settings(tmp_path: Path) -> OciSettings:
    return OciSettings(tmp_path / "run", f"test-{uuid.uuid4().hex[:8]}", ready=1)


@pytest.fixture
async def provider(settings: OciSettings) -> AsyncIterator[OciSandboxProvider]:
    provider = OciSandboxProvider(settings)
    await provider.start()
    yield provider
    await provider.close()


@dataclass(frozen=True, slots=True)
class Result:
    status: ExitStatus
    output: str


@dataclass(slots=True)
class Started:
    """A process and the end of the pipe from which its output is read."""

    process: OciProcess
    output: int

    async def read(self) -> bytes:
        """Some output; empty at the end."""
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        loop.add_reader(self.output, lambda: ready.done() or ready.set_result(None))
        try:
            await asyncio.wait_for(ready, DEADLINE_S)
        finally:
            loop.remove_reader(self.output)
        return os.read(self.output, 65536)

    async def result(self) -> Result:
        """Everything until it has ended."""
        parts = []
        while part := await self.read():
            parts.append(part)
        os.close(self.output)
        return Result(await asyncio.wait_for(self.process.wait_exited(), DEADLINE_S), b"".join(parts).decode())


async def start(sandbox: OciSandbox, *argv: str, **env: str) -> Started:
    """Start a program in a sandbox."""
    reading, writing = os.pipe()
    try:
        spec = ProcessSpec(argv, {"PATH": "/usr/bin:/bin", **env}, "/var/task", writing)
        return Started(await sandbox.start_process(spec), reading)
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)


async def python(sandbox: OciSandbox, code: str) -> Result:
    """Run Python code in a sandbox to its end."""
    return await (await start(sandbox, PYTHON, "-I", "-S", "-c", code)).result()


Make = Callable[..., Awaitable[OciSandbox]]


@pytest.fixture
def make(provider: OciSandboxProvider, rootfs: Path, tmp_path: Path) -> Make:
    """Make a sandbox, with what is given in place of the defaults."""
    task = tmp_path / "task"
    task.mkdir()

    async def make(**changes: object) -> OciSandbox:
        defaults = {"id": uuid.uuid4().hex, "rootfs": rootfs, "task": task}
        return await provider.create(SandboxSpec(**{**defaults, **changes}))  # type: ignore[arg-type] - test convenience

    return make
