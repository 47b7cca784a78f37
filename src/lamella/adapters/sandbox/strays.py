"""Children of the server that nobody announced.

crun leaves a dead helper of each sandbox it makes; and when an OCI runtime fails half-way, or is killed, what it had
already forked into the sandbox becomes a child of the server. All must be waited for: until then the kernel keeps them,
and those inside keep the sandbox's pid namespace and with it the sandbox's first process.
"""

import os
from collections.abc import Collection
from pathlib import Path


def reap(cgroup_path: str, watched: Collection[int]) -> int:
    """Wait for the dead children in the control group `cgroup_path`, e.g. `/lamella-main/<id>`.

    Call it only while no command is starting a process there, whose end it would take away from whoever waits for it;
    and with the ids of all processes that are `watched` already, for the same reason.

    Returns:
        How many there were.
    """
    reaped = 0
    for pid in _children():
        if pid not in watched and _is_dead_in(pid, cgroup_path):
            reaped += os.waitpid(pid, os.WNOHANG)[0] == pid
    return reaped


def _children() -> list[int]:
    return [int(pid) for file in Path("/proc/self/task").glob("*/children") for pid in file.read_text().split()]


def _is_dead_in(pid: int, cgroup_path: str) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1]
        groups = Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return False
    return state == "Z" and cgroup_path in groups
