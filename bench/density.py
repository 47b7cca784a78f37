"""What an idle node and its idle execution environments take."""

import statistics
import time
from collections.abc import Iterator
from typing import Final

from bench import processes
from bench.node import Node, code_zip
from bench.programs import build
from bench.results import Row

_MIB: Final = 1024 * 1024


def measure(*, environments: int, watch_s: float) -> Iterator[Row]:
    """One environment of each of many functions, all idle; everything of theirs that is not the function itself."""
    with Node(max_environments=str(environments + 10)) as node:
        time.sleep(1.0)  # the work of the start is over
        helpers = [pid for pid in processes.tree(node.pid) if pid != node.pid]
        alone = processes.memory([node.pid])
        yield Row("idle.rss", "idle node, RSS of the server", "MiB", [alone.rss_bytes / _MIB])
        beside = processes.memory(helpers).pss_bytes / _MIB
        yield Row("idle.helpers", "  PSS of its helper processes", "MiB", [beside], {"processes": len(helpers)})
        yield Row("idle.cpu", "  CPU", "%", [_cpu_percent(node, watch_s)])
        code = code_zip({"bootstrap": build("runtimes/echo.c").read_bytes()}, executable=["bootstrap"])
        with node.caller() as caller:
            for number in range(environments + 1):
                node.create(f"idle{number}", code, "provided.al2023")
            caller.invoke("idle0")  # the server's own first-time allocations are not the environments'
            caller.invoke("idle0")
            time.sleep(0.5)
            before, sandboxed, kernel = _infrastructure(node), len(node.sandboxed()), processes.kernel_bytes()
            for number in range(1, environments + 1):
                caller.invoke(f"idle{number}")
        time.sleep(1.0)
        each = (_infrastructure(node) - before) / environments / _MIB
        kernels = (processes.kernel_bytes() - kernel) / environments / _MIB
        inside = (len(node.sandboxed()) - sandboxed) / environments
        runtimes = [processes.memory([pid]).rss_bytes / _MIB for pid in _runtimes(node)]
        yield Row(
            "density.environment",
            f"an idle environment beyond its function, of {environments}",
            "MiB",
            [each + kernels],
            {"processes": inside},
        )
        yield Row("density.processes", "  of it PSS of the server and of keepers", "MiB", [each])
        yield Row("density.kernel", "  of it kernel memory (that of others included)", "MiB", [kernels])
        yield Row("density.function", "  RSS of the function's own process", "MiB", [statistics.median(runtimes)])
        yield Row("density.cpu", f"  CPU of the node with {environments} of them", "%", [_cpu_percent(node, watch_s)])


def _infrastructure(node: Node) -> float:
    """PSS of the server and of all that keeps sandboxes, without the functions."""
    runtimes = set(_runtimes(node))
    return processes.memory(pid for pid in node.everything() if pid not in runtimes).pss_bytes


def _runtimes(node: Node) -> list[int]:
    return [pid for pid in node.sandboxed() if processes.command(pid).endswith("/bootstrap")]


def _cpu_percent(node: Node, watch_s: float) -> float:
    pids = node.everything()
    before_s = processes.cpu_s(pids)
    time.sleep(watch_s)
    return 100 * (processes.cpu_s(pids) - before_s) / watch_s
