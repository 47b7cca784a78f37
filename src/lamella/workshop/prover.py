"""Tries what layers bring, in sandboxes made as a function's are: same root, same mounts, same user, same limits.

The layer's code is an adversary (architecture, "Security model"), so nothing it prints or does is taken for more than a
word about itself: output is bounded, time is bounded for each target and in all, whatever it leaves running is killed
before the next process starts, and the sandbox is destroyed however the proof ends.
"""

import asyncio
import json
import os
import secrets
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from signal import SIGKILL
from time import monotonic
from typing import Any, Final

from lamella.layers.facts import FACTS, Language
from lamella.layers.findings import Finding, Severity
from lamella.layers.proving import Ending, Kind, Outcome, ProbeReader, Result, Target, findings_of, judge_program
from lamella.ports.runtimes import RuntimePack
from lamella.ports.sandbox import ExitStatus, Process, ProcessSpec, Sandbox, SandboxProvider, SandboxSpec

PROBES: Final = resources.files("lamella.layers") / "probes"
_FILES: Final = (
    "lamella-probe-python.py",
    "lamella-probe-node.cjs",
    "lamella-probe-native.sh",
    "LamellaProbe.class",
)
_COMMANDS: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.PYTHON: ("/var/lang/bin/python3", "/var/task/lamella-probe-python.py"),
    Kind.NODE: ("/var/lang/bin/node", "/var/task/lamella-probe-node.cjs"),
    Kind.JAVA: (
        *("/var/lang/bin/java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"),
        *("-cp", "/var/task:/opt/java/lib/*", "LamellaProbe"),
    ),
}
_NATIVE: Final = ("/bin/bash", "/var/task/lamella-probe-native.sh")
_READ_BYTES: Final = 65536
_NATIVE_OUTPUT_BYTES: Final = 65536

Variables = Callable[[RuntimePack], Mapping[str, str]]
"""The environment variables that a function of a runtime has."""


@dataclass(frozen=True, slots=True)
class ProofLimits:
    """What a proof may take.

    Attributes:
        target_s: For one module, package, jar or program.
        runtime_s: For all of them in one runtime. What has not been tried by then is named as such.
        memory_mib: Of the sandbox: more than most functions have, since how much one gets is not the layer's affair.
        cpus: Of the sandbox: the server has invocations to serve meanwhile.
    """

    target_s: float = 20.0
    runtime_s: float = 120.0
    memory_mib: int = 2048
    cpus: float = 1.0


@dataclass(frozen=True, slots=True)
class Proof:
    """What came of trying layers in a runtime.

    Attributes:
        imports: How many things were tried.
        failed: Of them, how many were not as they should be.
    """

    runtime: str
    imports: int
    failed: int
    seconds: float
    findings: tuple[Finding, ...] = ()

    def to_dict(self) -> dict[str, Any]:  # Any: a JSON document
        """Without the findings."""
        seconds = round(self.seconds, 3)
        return {"runtime": self.runtime, "imports": self.imports, "failed": self.failed, "seconds": seconds}


class Prover:
    """Makes a sandbox for each proof."""

    def __init__(
        self, sandboxes: SandboxProvider, directory: Path, variables: Variables, limits: ProofLimits | None = None
    ) -> None:
        """Nothing is made yet.

        Args:
            sandboxes: Of the node.
            directory: For what is mounted at `/var/task`; what an earlier server left in it is deleted.
            variables: What processes get, beside what probes need.
            limits: Of each proof.
        """
        self._sandboxes = sandboxes
        self._directory = directory
        self._variables = variables
        self._limits = ProofLimits() if limits is None else limits
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(mode=0o700, parents=True)

    async def prove(self, pack: RuntimePack, layers: Sequence[Path], targets: Sequence[Target]) -> Proof:
        """Try all targets in one runtime.

        Args:
            pack: The runtime.
            layers: Trees, in the order in which a function has them.
            targets: As `plan_proof` made them for the runtime.

        Raises:
            SandboxError: There could be no sandbox, or nothing could be started in it.
        """
        if not targets:
            return Proof(pack.name, 0, 0, 0.0)
        limits = self._limits
        began_s = monotonic()
        with self._task(targets) as task:
            sandbox = await self._sandboxes.create(
                SandboxSpec(
                    id=uuid.uuid4().hex,
                    rootfs=pack.rootfs,
                    task=task,
                    layers=tuple(layers),
                    memory_mib=limits.memory_mib,
                    cpus=limits.cpus,
                )
            )
            try:
                variables = {**_search_variables(pack), **self._variables(pack)}
                session = _Session(sandbox, variables, limits, began_s + limits.runtime_s)
                results, loaded = await session.run(targets)
            finally:
                await sandbox.destroy()
        findings = findings_of(targets, results, loaded, pack.name)
        failed = sum(finding.severity is Severity.ERROR for finding in findings)
        tried = sum(result.outcome not in (Outcome.SKIPPED, Outcome.UNTRIED) for result in results.values())
        return Proof(pack.name, tried, failed, monotonic() - began_s, tuple(findings))

    @contextmanager
    def _task(self, targets: Sequence[Target]) -> Iterator[Path]:
        """The tree for `/var/task`: probes and the plan that they follow."""
        task = Path(tempfile.mkdtemp(prefix="proof-", dir=self._directory))
        try:
            for name in _FILES:
                (task / name).write_bytes((PROBES / name).read_bytes())
            names = {kind.value: [target.name for target in targets if target.kind is kind] for kind in _COMMANDS}
            (task / "plan.json").write_text(json.dumps(names))
            (task / "java.txt").write_text("".join(f"{name}\n" for name in names[Kind.JAVA]))
            for path in task.iterdir():
                path.chmod(0o644)
            task.chmod(0o755)  # the function's user looks at it
            yield task
        finally:
            shutil.rmtree(task, ignore_errors=True)


def _search_variables(pack: RuntimePack) -> Mapping[str, str]:
    """What a runtime's own bootstrap sets so that layers are found, unless the function does.

    Source: developer guide, "packaging-layers" (paths for each runtime).
    """
    facts = FACTS.get(pack.name)
    if facts is None or facts.language is not Language.NODE:
        return {}
    return {"NODE_PATH": ":".join([*facts.search, "/var/runtime/node_modules", "/var/runtime", "/var/task"])}


class _Session:
    """The processes of one proof."""

    def __init__(self, sandbox: Sandbox, variables: Mapping[str, str], limits: ProofLimits, end_s: float) -> None:
        self._sandbox = sandbox
        self._variables = variables
        self._limits = limits
        self._end_s = end_s

    async def run(self, targets: Sequence[Target]) -> tuple[dict[int, Result], set[int]]:
        """Try all; results and what others brought along, by index."""
        results: dict[int, Result] = {}
        loaded: set[int] = set()
        for kind in Kind:
            indices = [index for index, target in enumerate(targets) if target.kind is kind]
            if kind in _COMMANDS:
                reader = await self._probe(_COMMANDS[kind], len(indices))
                results.update({indices[at]: result for at, result in reader.results.items()})
                loaded |= {indices[at] for at in reader.loaded}
            else:
                results.update({index: await self._native(targets[index]) for index in indices})
        return results, loaded

    async def _probe(self, command: Sequence[str], count: int) -> ProbeReader:
        """Run a probe, again and again behind what ended it."""
        nonce = secrets.token_hex(16)
        reader = ProbeReader(count, nonce=nonce, limit_s=self._limits.target_s)
        while not reader.finished:
            if monotonic() >= self._end_s:
                reader.give_up()
                break
            reader.started(monotonic())
            argv = (*command, str(reader.next_index))
            ending = await self._follow(
                argv,
                {**self._variables, "LAMELLA_PROBE_NONCE": nonce},
                lambda data: reader.feed(data, monotonic(), oom_kills=self._sandbox.oom_kills()),
                deadline_s=lambda: min(reader.deadline_s, self._end_s),
                floods=lambda: reader.floods,
            )
            await self._sandbox.kill_processes()
            if ending.signal == SIGKILL and not ending.killed_for and self._sandbox.oom_kills() > reader.oom_kills:
                ending = replace(ending, out_of_memory=True)
            if ending.killed_for == "time" and monotonic() >= self._end_s:
                reader.give_up()
            reader.ended(ending, monotonic())
        return reader

    async def _native(self, target: Target) -> Result:
        """Ask the dynamic loader, or look at a script."""
        if monotonic() >= self._end_s:
            return Result(Outcome.UNTRIED)
        began_s = monotonic()
        printed = bytearray()
        arguments = ("program", target.loader) if target.kind is Kind.PROGRAM else ("script",)
        ending = await self._follow(
            (*_NATIVE, *arguments, f"/opt/{target.place}"),
            self._variables,
            lambda data: printed.extend(data[: _NATIVE_OUTPUT_BYTES - len(printed)]),
            deadline_s=lambda: min(began_s + self._limits.target_s, self._end_s),
            floods=lambda: False,
        )
        return judge_program(ending, printed.decode("utf-8", "replace"), monotonic() - began_s)

    async def _follow(
        self,
        argv: tuple[str, ...],
        variables: Mapping[str, str],
        take: Callable[[bytes], None],
        *,
        deadline_s: Callable[[], float],
        floods: Callable[[], bool],
    ) -> Ending:
        """Start a process and take what it prints, until it ends, or its time or its output does."""
        reading, writing = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(reading, False)
        loop = asyncio.get_running_loop()
        changed = asyncio.Event()
        ended: list[ExitStatus] = []

        def on_exit(status: ExitStatus) -> None:
            ended.append(status)
            changed.set()

        def on_output() -> None:
            try:
                data = os.read(reading, _READ_BYTES)
            except BlockingIOError:
                return
            if data:
                take(data)
            else:
                loop.remove_reader(reading)
            changed.set()

        try:
            try:
                process: Process = await self._sandbox.start_process(ProcessSpec(argv, variables, "/var/task", writing))
            finally:
                os.close(writing)
            loop.add_reader(reading, on_output)
            process.add_exit_callback(on_exit)
            killed_for = ""
            while not ended:
                if floods() or monotonic() >= deadline_s():
                    killed_for = "output" if floods() else "time"
                    await self._sandbox.kill_processes()
                    break
                changed.clear()
                try:
                    async with asyncio.timeout(deadline_s() - monotonic()):
                        await changed.wait()
                except TimeoutError:
                    continue
            status = await process.wait_exited()
            if not killed_for:
                self._drain(reading, take)
        finally:
            loop.remove_reader(reading)
            os.close(reading)
        return Ending(status.code, status.signal, killed_for)

    @staticmethod
    def _drain(reading: int, take: Callable[[bytes], None]) -> None:
        """Take what was still in the pipe, which holds a megabyte at most; others may have it open for ever."""
        for _ in range(16):
            try:
                data = os.read(reading, _READ_BYTES)
            except BlockingIOError:
                return
            if not data:
                return
            take(data)
