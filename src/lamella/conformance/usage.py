"""What a process and its descendants use, as the kernel says."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_PROCESSES_MOST: Final = 256


@dataclass(frozen=True, slots=True)
class Usage:
    """See `lamella.conformance.play.Measured`."""

    cpu_s: float
    files: int
    processes: int


def usage_of(pid: int) -> Usage:
    """What a process, its descendants, and those of them that it has waited for have used; zero if it is gone."""
    ticks, files = 0, 0
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
        except OSError:
            continue  # it ended meanwhile
        ticks += sum(int(value) for value in fields[11:15])
        seen.add(one)
    return Usage(ticks / _TICKS_PER_S, files, len(seen))
