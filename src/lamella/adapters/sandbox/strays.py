"""Children of the server that nobody announced.

When an OCI runtime fails half-way, or is killed, what it had already forked into the sandbox becomes a child of the
server. It must be waited for: until then the kernel keeps the sandbox's pid namespace, and with it the sandbox's first
process.
"""

import os
from pathlib import Path


def reap(cgroup_path: str) -> int:
    """Wait for all dead children in the control group `cgroup_path`, e.g. `/lamella-main/<id>`.

    Call it only while no command is starting a process there, whose end it would take away from whoever waits for it.

    Returns:
        How many there were.
    """
    reaped = 0
    for pid in _children():
        if _is_dead_in(pid, cgroup_path):
            try:
                reaped += os.waitpid(pid, os.WNOHANG)[0] == pid
            except ChildProcessError:  # its watch was quicker
                continue
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
