"""What a process and its descendants use, as the kernel says."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_PROCESSES_MOST: Final = 256


@dataclass(frozen=True, slots=True)
class Usage:
    """See `lamella.conformance.play.Measured`.

    Attributes:
        cpu_s: Time on a processor, and time of waiting for one: on a busy machine, too, whoever polls wants all of it.
    """

    cpu_s: float
    files: int
    pids: frozenset[int]


def usage_of(pid: int) -> Usage:
    """What a process, its descendants, and those of them that it has waited for have used; zero if it is gone."""
    ticks, files, waited_ns = 0, 0, 0
    todo, seen = [pid], set[int]()
    while todo and len(seen) < _PROCESSES_MOST:
        one = todo.pop()
        if one in seen:
            continue
        folder = Path("/proc") / str(one)
        try:
            # The name in brackets may hold anything, brackets too. Source: proc(5), fields 14 to 17.
            fields = (folder / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
            files += len(os.listdir(folder / "fd"))  # noqa: PTH208  # names alone, of what may vanish
            for thread in (folder / "task").iterdir():
                todo += [int(child) for child in (thread / "children").read_text().split()]
                waited_ns += _waited_ns(thread)
        except OSError:
            continue  # it ended meanwhile
        ticks += sum(int(value) for value in fields[11:15])
        seen.add(one)
    return Usage(ticks / _TICKS_PER_S + waited_ns / 1e9, files, frozenset(seen))


def _waited_ns(thread: Path) -> int:
    """How long a thread was ready to run and did not. Source: kernel documentation, sched-stats."""
    try:
        return int((thread / "schedstat").read_text().split()[1])
    except FileNotFoundError:
        return 0  # a kernel without these statistics
