"""Warm synchronous invocations, every process on one processor; beside them bare relays, which bound what can be."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench import processes
from bench.node import Endpoint, Node, code_zip
from bench.programs import HERE, build
from bench.results import Row

PYTHON_ECHO: Final = b"def handler(event, context):\n    return event\n"
_PAYLOAD: Final = '{"key":"value"}'
_CONCURRENT: Final = 8


@dataclass(slots=True)
class Series:
    """Rounds of the same load."""

    rates: list[float] = field(default_factory=list)
    p50s_us: list[float] = field(default_factory=list)
    p99s_us: list[float] = field(default_factory=list)
    cpus_us: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)

    def rows(self, place: str, what: str, *, concurrent: bool) -> Iterator[Row]:
        kind = f"{_CONCURRENT} concurrent" if concurrent else "sequential"
        more = {"cpu_share_percent": [round(100 * share, 1) for share in self.shares]}
        yield Row(f"{place}.rate", f"{what}, {kind}", "/s", self.rates, more)
        if not concurrent:
            yield Row(f"{place}.p50", "  p50", "µs", self.p50s_us)
            yield Row(f"{place}.p99", "  p99", "µs", self.p99s_us)
        if self.cpus_us:
            yield Row(f"{place}.cpu", "  CPU per invocation, the caller's included", "µs", self.cpus_us)
            yield Row(
                f"{place}.free", "  which a whole processor could do", "/s", [1e6 / cpu_us for cpu_us in self.cpus_us]
            )


def measure_relays(cpu: int, *, rounds: int, run_s: float) -> Iterator[Row]:
    """The relays, with the same runtime outside of any sandbox."""
    commands = {
        "c": ("relay in C", [str(build("relay.c"))]),
        "python": ("relay, asyncio.Protocol on uvloop", [sys.executable, "-m", "bench.relay"]),
    }
    for name, (what, command) in commands.items():
        front, runtime = free_port(), free_port()
        with contextlib.ExitStack() as stack:
            relay = stack.enter_context(_running([*command, str(front), str(runtime)], cpu, wait_ready=True))
            variables = {"AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{runtime}"}
            echo = stack.enter_context(_running([str(build("runtimes/echo.c"))], cpu, variables=variables))
            yield from run_loads(
                f"relay.{name}", what, front, "f", cpu, partial(_both, relay, echo), rounds=rounds, run_s=run_s
            )


def measure(cpu: int, *, rounds: int, run_s: float) -> Iterator[Row]:
    """The product: server, sandboxes and caller on one processor."""
    with Node(cpu=cpu) as node:
        create_echoes(node)
        for name, what in (("c", "echo in C"), ("python", "echo in python3.11")):
            warm_up(node, f"echo-{name}")
            node.pin()
            yield from run_loads(
                f"warm.{name}", what, node.port, f"echo-{name}", cpu, node.everything, rounds=rounds, run_s=run_s
            )


def create_echoes(node: Endpoint) -> None:
    """The two functions that most measurements use."""
    bootstrap = build("runtimes/echo.c").read_bytes()
    node.create("echo-c", code_zip({"bootstrap": bootstrap}, executable=["bootstrap"]), "provided.al2023")
    node.create("echo-python", code_zip({"main.py": PYTHON_ECHO}), "python3.11")


def warm_up(endpoint: Endpoint, name: str) -> None:
    """Have an environment for every concurrent caller."""
    load(endpoint.port, name, _CONCURRENT, 1.0)


def run_loads(
    place: str,
    what: str,
    port: int,
    function: str,
    cpu: int,
    pids: Callable[[], Sequence[int]],
    *,
    rounds: int,
    run_s: float,
) -> Iterator[Row]:
    """Both loads in turn, so that a disturbance of minutes hits both."""
    series = {1: Series(), _CONCURRENT: Series()}
    for _ in range(rounds):
        for width, each in series.items():
            one = one_round(port, function, width, run_s, cpu, pids)
            each.rates.append(one.rate)
            each.p50s_us.append(one.p50_us)
            each.p99s_us.append(one.p99_us)
            each.cpus_us.append(one.cpu_us)
            each.shares.append(one.share)
    yield from series[1].rows(f"{place}.sequential", what, concurrent=False)
    yield from series[_CONCURRENT].rows(f"{place}.concurrent", what, concurrent=True)


@dataclass(frozen=True, slots=True)
class Round:
    """One load: invocations a second, waiting times, processor time of everybody for each, and its share of all."""

    rate: float
    p50_us: float
    p99_us: float
    cpu_us: float
    share: float


def one_round(port: int, function: str, width: int, run_s: float, cpu: int, pids: Callable[[], Sequence[int]]) -> Round:
    """Run one load, and count the processor time of `pids` with that of the caller."""
    watched = pids()
    before_s = processes.cpu_s(watched)
    result = load(port, function, width, run_s, cpu=cpu)
    used_s = processes.cpu_s(watched) - before_s + result["cpu_s"]
    return Round(
        result["rate"],
        result["p50_us"],
        result["p99_us"],
        used_s / result["count"] * 1e6,
        used_s / result["elapsed_s"],
    )


def load(port: int, function: str, width: int, run_s: float, *, cpu: int | None = None) -> dict[str, Any]:
    """Run the load program; its JSON, and its own processor time as `cpu_s`.

    Raises:
        RuntimeError: An invocation failed.
    """
    command = [str(build("load.c")), str(port), function, str(width), str(run_s), _PAYLOAD]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=_on(cpu))
    output, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}: {errors}")
    return dict(json.loads(output))


def _both(relay: int, echo: int) -> tuple[int, int]:
    return relay, echo


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def _running(
    command: list[str], cpu: int, *, variables: dict[str, str] | None = None, wait_ready: bool = False
) -> Iterator[int]:
    environment = {**os.environ, **(variables or {})}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, preexec_fn=_on(cpu), cwd=Path(HERE).parent
    )
    assert process.stdout is not None
    try:
        if wait_ready:
            process.stdout.readline()
        yield process.pid
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _on(cpu: int | None) -> Callable[[], None] | None:
    return None if cpu is None else lambda: os.sched_setaffinity(0, {cpu})
