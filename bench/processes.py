"""What the kernel says about processes: processor time, memory, and which ones belong to a node."""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of one process or several.

    Attributes:
        rss_bytes: Shared pages are counted in each process that has them.
        pss_bytes: A page that n processes share counts as 1/n of it in each.
    """

    rss_bytes: int
    pss_bytes: int


def cpu_s(pids: Iterable[int]) -> float:
    """Processor time that the living threads of some processes have used, to the nanosecond."""
    total_ns = 0
    for pid in pids:
        for path in (_PROC / str(pid) / "task").glob("*/schedstat"):
            try:
                total_ns += int(path.read_text().split()[0])
            except OSError:  # it has ended
                continue
    return total_ns / 1e9


def memory(pids: Iterable[int]) -> Memory:
    """Memory of some processes together."""
    rss = pss = 0
    for pid in pids:
        try:
            text = (_PROC / str(pid) / "smaps_rollup").read_text()
        except OSError:
            continue
        for line in text.splitlines():
            if line.startswith("Rss:"):
                rss += int(line.split()[1]) * 1024
            elif line.startswith("Pss:"):
                pss += int(line.split()[1]) * 1024
    return Memory(rss, pss)


def kernel_bytes() -> int:
    """Memory that the kernel has allocated for itself on the whole machine: slabs, stacks, page tables, per CPU."""
    fields = dict(line.split(":") for line in (_PROC / "meminfo").read_text().splitlines())
    names = ("Slab", "KernelStack", "PageTables", "Percpu")
    return sum(int(fields[name].split()[0]) * 1024 for name in names)


def tree(root: int) -> list[int]:
    """A process and its descendants."""
    children: dict[int, list[int]] = {}
    for path in _PROC.glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def of_cgroups(mark: str) -> dict[int, str]:
    """Processes in a cgroup whose path holds `mark`, each with the lines that say which."""
    found = {}
    for path in _PROC.glob("[0-9]*/cgroup"):
        try:
            text = path.read_text()
        except OSError:
            continue
        if mark in text:
            found[int(path.parent.name)] = text
    return found


def command(pid: int) -> str:
    """Command line of a process; empty if it has ended."""
    try:
        return (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def pin(pids: Iterable[int], cpu: int) -> None:
    """Let processes, with all their threads, run on one processor only."""
    for pid in pids:
        for path in (_PROC / str(pid) / "task").glob("*"):
            try:
                os.sched_setaffinity(int(path.name), {cpu})
            except OSError:
                continue


def quietest_cpu(sample_s: float = 0.5) -> int:
    """The processor that others use least just now."""
    before = _busy()
    time.sleep(sample_s)
    after = _busy()
    return min(os.sched_getaffinity(0), key=lambda cpu: after[cpu] - before[cpu])


def _busy() -> dict[int, int]:
    busy = {}
    for line in (_PROC / "stat").read_text().splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name != "cpu":
            ticks = [int(field) for field in fields]
            busy[int(name[3:])] = sum(ticks[:8]) - ticks[3] - ticks[4]
    return busy
