"""Take away what a dead server left: its sandboxes are named after its data directory, so they can be told apart."""

import os
import shutil
import time
from pathlib import Path
from signal import SIGKILL
from typing import Final

from lamella.adapters.sandbox import cgroups
from lamella.adapters.sandbox.cgroups import CgroupLayout
from lamella.ports.sandbox import SandboxError

_POLL_S: Final = 0.005
_DEADLINE_S: Final = 10.0


def sweep(layout: CgroupLayout, parent: str, state: Path) -> int:
    """Kill the processes below the control group `parent`, remove the groups, and empty the directory `state`.

    Mounts, loop devices and network namespaces need no sweeping: they had no name and went with their last process.
    Blocks until done; meant for the start of the server.

    Returns:
        How many sandboxes were found.

    Raises:
        SandboxError: Something would not die within ten seconds.
    """
    leftover = cgroups.sandboxes_below(layout, parent)
    deadline_s = time.monotonic() + _DEADLINE_S
    for name in leftover:
        path = f"{parent}/{name}"
        while True:
            for pid in cgroups.processes_everywhere(layout, path):
                _kill(pid)
            if cgroups.remove_everywhere(layout, path):
                break
            if time.monotonic() > deadline_s:
                raise SandboxError(f"processes of a former server will not die: control group {path}")
            time.sleep(_POLL_S)
    for entry in state.iterdir() if state.is_dir() else ():
        if entry.is_mount():  # the server's own view of the control groups
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    return len(leftover)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, SIGKILL)
    except ProcessLookupError:
        return
