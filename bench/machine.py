"""What the measurements were made on."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any


def describe() -> dict[str, Any]:
    """Processor, kernel, programs and versions, as JSON."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _output("git", "rev-parse", "--short", "HEAD"),
        "cpu": _field(Path("/proc/cpuinfo"), "model name") or platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_kib": _field(Path("/proc/meminfo"), "MemTotal").split(" ")[0],
        "virtual": "hypervisor" in _field(Path("/proc/cpuinfo"), "flags").split(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "crun": _output("crun", "--version").partition("\n")[0],
        "versions": {name: version(name) for name in ("lamella", "botocore", "httptools", "uvloop")},
        "load_before": load_average(),
    }


def load_average() -> str:
    """Of the last minute."""
    return f"{os.getloadavg()[0]:.1f}"


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:
        return ""


def _field(path: Path, name: str) -> str:
    for line in path.read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""
