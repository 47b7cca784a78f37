"""Control groups in every arrangement Linux has: version 2, version 1, and hybrid (limits in v1, v2 beside it).

Two costs decide how they are used, both measured on Linux 6.18:

- Moving a process by writing `cgroup.procs` waits for a grace period of the kernel: 8 ms. So nothing is ever moved: the
  spawner clones into the v2 group, and in v1 a single-threaded child writes itself into `tasks`, which takes 0.1 ms.
- Freezing takes 1 µs in v2 and 80 µs in v1, so v2 freezes; where only v1 is mounted, the server mounts v2 for itself.

The OCI runtime does not manage control groups: we make them, start it inside, and know all their paths.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lamella.adapters.sandbox.mounts import Mount, current_mounts

LIMITERS: Final = ("memory", "pids", "cpu")
_CPU_PERIOD_US: Final = 20_000  # AWS's; the kernel's default of 100 ms would stall a small function for up to 93 ms
_KEEPER_PROCESSES: Final = 16  # room for the keeper, and for the OCI runtime while it starts a process


@dataclass(frozen=True, slots=True)
class CgroupLayout:
    """Which hierarchies this host has, and which of them does what.

    Attributes:
        v1: Mount point of each mounted v1 controller; one directory may serve several.
        v2: Mount point of the unified hierarchy.
        v2_controllers: What can be limited there.
    """

    v1: Mapping[str, Path] = field(default_factory=dict)
    v2: Path | None = None
    v2_controllers: frozenset[str] = frozenset()

    @property
    def mode(self) -> str:
        """`v1`, `v2`, `hybrid` or `none`."""
        match bool(self.v1), self.v2 is not None:
            case True, True:
                return "hybrid"
            case True, False:
                return "v1"
            case False, True:
                return "v2"
            case _:
                return "none"

    def limiter(self, controller: str) -> Path | None:
        """Root of the hierarchy in which `controller` can be limited."""
        if controller in self.v1:
            return self.v1[controller]
        return self.v2 if controller in self.v2_controllers else None

    def is_v2(self, controller: str) -> bool:
        """Whether `controller` speaks the language of version 2."""
        return controller not in self.v1

    @property
    def entered(self) -> list[Path]:
        """Roots of the v1 hierarchies that a sandbox's processes have to enter."""
        return list(dict.fromkeys(self.v1[name] for name in LIMITERS if name in self.v1))

    @property
    def roots(self) -> list[Path]:
        """Every hierarchy, also those that only some OCI runtimes use."""
        return list(dict.fromkeys([*self.v1.values(), *([self.v2] if self.v2 else [])]))

    def missing(self) -> list[str]:
        """Names of what sandboxes need and this host does not have."""
        return [name for name in LIMITERS if self.limiter(name) is None]


def detect(
    mounts: Iterable[Mount], known_controllers: Iterable[str], v2_controllers: Callable[[Path], str]
) -> CgroupLayout:
    """Read the layout from the mount table.

    Args:
        mounts: What is mounted.
        known_controllers: Names of all v1 controllers of the kernel, to tell them from other mount options.
        v2_controllers: Text of `cgroup.controllers` in the unified hierarchy that is mounted at a path.
    """
    known = set(known_controllers)
    v1: dict[str, Path] = {}
    v2: Path | None = None
    for mounted in mounts:
        if mounted.fstype == "cgroup2" and v2 is None:
            v2 = Path(mounted.target)
        elif mounted.fstype == "cgroup":
            for option in mounted.options:
                if option in known or option.startswith("name="):
                    v1.setdefault(option, Path(mounted.target))
    return CgroupLayout(v1, v2, frozenset(v2_controllers(v2).split() if v2 else ()))


def detect_here() -> CgroupLayout:
    """The layout in the mount namespace of the calling thread."""
    lines = Path("/proc/cgroups").read_text().splitlines()
    known = [line.split()[0] for line in lines if not line.startswith("#")]
    return detect(current_mounts(), known, lambda root: (root / "cgroup.controllers").read_text())


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one sandbox; processes include threads."""

    memory_bytes: int
    processes: int
    cpus: float | None


class Cgroup:
    """One sandbox's control group: a directory of the same name in each hierarchy it needs."""

    def __init__(self, layout: CgroupLayout, path: str) -> None:
        """Name it; `create` makes it. `path` is relative, e.g. `lamella-main/<id>`."""
        self._layout = layout
        self._path = path
        self._fds: list[int] = []
        self._freeze = self._peak = self._v2 = -1
        self._quota: tuple[Path, str, str] | None = None
        self._peak_estimate_bytes = 0
        self._last_peak_bytes = -1

    @property
    def tasks_files(self) -> list[str]:
        """v1 files into which a single-threaded process writes `0` to enter."""
        return [str(root / self._path / "tasks") for root in self._layout.entered]

    @property
    def v2_fd(self) -> int | None:
        """The v2 directory, to be cloned into."""
        return self._v2 if self._v2 >= 0 else None

    @property
    def hybrid(self) -> bool:
        """Whether v2 only freezes, and v1 limits."""
        return self._layout.mode == "hybrid"

    def create(self, limits: Limits) -> None:
        """Make the directories and set the limits.

        Raises:
            OSError: Something could not be made or set; call `remove`.
        """
        layout = self._layout
        try:
            self._make_directories()
        except FileNotFoundError:
            # While a server has no sandboxes its group is empty, and there are inits that take away empty groups.
            prepare_parent(layout, self._path.rpartition("/")[0])
            self._make_directories(exist_ok=True)
        memory = self._directory("memory")
        if layout.is_v2("memory"):
            _write(memory / "memory.max", str(limits.memory_bytes))
            _write_if_present(memory / "memory.swap.max", "0")
            peak = memory / "memory.peak"
        else:
            _write(memory / "memory.limit_in_bytes", str(limits.memory_bytes))
            _write_if_present(memory / "memory.memsw.limit_in_bytes", str(limits.memory_bytes))
            peak = memory / "memory.max_usage_in_bytes"
        if not peak.exists():  # v2 before Linux 5.19: then the peak is of the moments we looked
            peak = memory / "memory.current"
        _write(self._directory("pids") / "pids.max", str(limits.processes + _KEEPER_PROCESSES))
        if limits.cpus is not None:
            cpu = self._directory("cpu")
            quota_us = max(1000, round(limits.cpus * _CPU_PERIOD_US))
            if layout.is_v2("cpu"):
                self._quota = (cpu / "cpu.max", f"{quota_us} {_CPU_PERIOD_US}", f"max {_CPU_PERIOD_US}")
            else:
                _write(cpu / "cpu.cfs_period_us", str(_CPU_PERIOD_US))
                self._quota = (cpu / "cpu.cfs_quota_us", str(quota_us), "-1")
        if layout.v2:
            self._v2 = self._open(layout.v2 / self._path, os.O_RDONLY | os.O_DIRECTORY)
            self._freeze = self._open(layout.v2 / self._path / "cgroup.freeze", os.O_WRONLY)
        self._peak = self._open(peak, os.O_RDONLY)

    def freeze(self) -> None:
        """Stop everything inside; nothing happens once removed."""
        if self._freeze >= 0:
            os.pwrite(self._freeze, b"1", 0)

    def thaw(self) -> None:
        """Let everything inside run; nothing happens once removed."""
        if self._freeze >= 0:
            os.pwrite(self._freeze, b"0", 0)

    def limit_cpu(self, limited: bool) -> None:
        """Apply the CPU limit, or lift it while the OCI runtime works inside, which it would stall for many periods."""
        if self._quota is not None:
            file, limit, no_limit = self._quota
            _write(file, limit if limited else no_limit)

    def memory_peak_bytes(self) -> int:
        """Estimate the highest use of memory as AWS counts it, looked at each time the kernel's own peak has risen.

        The kernel's peak holds page cache that it would take back before killing anything, and lacks the pages of
        libraries that another sandbox has loaded first. On AWS every environment has a machine to itself: what its
        processes have mapped counts, what was merely read does not. So it is the larger of the peak without page cache
        and of the processes' highest resident sizes. The usual call is a single `pread`.
        """
        if self._peak < 0:
            return self._peak_estimate_bytes
        peak_bytes = int(os.pread(self._peak, 32, 0))
        if peak_bytes != self._last_peak_bytes:
            self._last_peak_bytes = peak_bytes
            cache_bytes = page_cache_bytes((self._directory("memory") / "memory.stat").read_bytes())
            resident_bytes = sum(_peak_resident_bytes(pid) for pid in self.process_ids())
            self._peak_estimate_bytes = max(self._peak_estimate_bytes, peak_bytes - cache_bytes, resident_bytes)
        return self._peak_estimate_bytes

    def oom_kills(self) -> int:
        """Processes killed at the memory limit."""
        name = "memory.events" if self._layout.is_v2("memory") else "memory.oom_control"
        return parse_counters((self._directory("memory") / name).read_bytes()).get("oom_kill", 0)

    def process_ids(self) -> set[int]:
        """Host ids of all living processes inside."""
        found: set[int] = set()
        for root in [*self._layout.entered, *([self._layout.v2] if self._layout.v2 else [])]:
            found |= _process_ids(root / self._path)
        return found

    def remove(self) -> bool:
        """Take away all directories, also those an OCI runtime made; whether nothing is left. Idempotent."""
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()
        self._freeze = self._peak = self._v2 = -1
        return remove_everywhere(self._layout, self._path)

    def _make_directories(self, *, exist_ok: bool = False) -> None:
        for root in [*self._layout.entered, *([self._layout.v2] if self._layout.v2 else [])]:
            (root / self._path).mkdir(exist_ok=exist_ok)

    def _directory(self, controller: str) -> Path:
        root = self._layout.limiter(controller)
        if root is None:
            raise FileNotFoundError(f"no cgroup controller {controller}")
        return root / self._path

    def _open(self, path: Path, flags: int) -> int:
        fd = os.open(path, flags | os.O_CLOEXEC)
        self._fds.append(fd)
        return fd


def prepare_parent(layout: CgroupLayout, name: str) -> None:
    """Make the directory that holds a server's sandboxes, with the limiting controllers of v2 handed down.

    Raises:
        OSError: Not permitted, or (v2) the group above holds processes of its own.
    """
    for root in [*layout.entered, *([layout.v2] if layout.v2 else [])]:
        (root / name).mkdir(exist_ok=True)
    if layout.v2:
        wanted = [limiter for limiter in LIMITERS if limiter not in layout.v1 and limiter in layout.v2_controllers]
        for directory in (layout.v2, layout.v2 / name):
            enabled = (directory / "cgroup.subtree_control").read_text().split()
            if lacking := [f"+{controller}" for controller in wanted if controller not in enabled]:
                _write(directory / "cgroup.subtree_control", " ".join(lacking))


def sandboxes_below(layout: CgroupLayout, name: str) -> set[str]:
    """Names of the groups directly below `name` in any hierarchy."""
    return {
        entry.name
        for root in layout.roots
        if (root / name).is_dir()
        for entry in (root / name).iterdir()
        if entry.is_dir()
    }


def processes_everywhere(layout: CgroupLayout, path: str) -> set[int]:
    """Host ids of the processes in the group `path` of any hierarchy."""
    found: set[int] = set()
    for root in layout.roots:
        found |= _process_ids(root / path)
    return found


def remove_everywhere(layout: CgroupLayout, path: str) -> bool:
    """Remove the group `path` and what is below it from every hierarchy; whether nothing is left."""
    removed = [_remove_tree(root / path) for root in layout.roots]  # a list: goes on after a failure
    return all(removed)


def page_cache_bytes(memory_stat: bytes) -> int:
    """Memory in `memory.stat` that belongs to files on disk; shared memory has no file and does not count."""
    counters = parse_counters(memory_stat)
    if "total_cache" in counters:
        return counters["total_cache"] - counters.get("total_shmem", 0)
    return counters.get("file", counters.get("cache", 0)) - counters.get("shmem", 0)


def parse_counters(text: bytes) -> dict[str, int]:
    """Parse lines of a name and a number."""
    return {name.decode(): int(value) for name, value in (line.split() for line in text.splitlines())}


def _peak_resident_bytes(pid: int) -> int:
    """Highest resident size of a process, pages of files it has mapped included; 0 if it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    _, found, rest = status.partition(b"VmHWM:")
    return int(rest.split(maxsplit=1)[0]) * 1024 if found else 0  # a zombie has none


def _process_ids(directory: Path) -> set[int]:
    try:
        return {int(line) for line in (directory / "cgroup.procs").read_text().split()}
    except (FileNotFoundError, OSError):
        return set()


def _remove_tree(directory: Path) -> bool:
    try:
        directory.rmdir()
    except FileNotFoundError:
        return True
    except OSError:  # EBUSY: processes or groups inside
        children = [entry for entry in directory.iterdir() if entry.is_dir()]
        removed = [_remove_tree(child) for child in children]
        if not removed or not all(removed):
            return False
        try:
            directory.rmdir()
        except OSError:
            return False
    return True


def _write(path: Path, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _write_if_present(path: Path, text: str) -> None:
    try:
        _write(path, text)
    except FileNotFoundError:
        return
