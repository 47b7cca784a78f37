"""The documents an OCI runtime reads: `config.json` of a sandbox and `process.json` of a process that joins it."""

import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lamella.adapters.sandbox import seccomp
from lamella.ports.sandbox import FUNCTION_GID, FUNCTION_UID, ProcessSpec, SandboxError, SandboxSpec

Json = dict[str, Any]  # Any: the shapes are those of the OCI runtime specification

_KEEPER_ID: Final = 65_534  # another user, so that function code may neither signal nor inspect PID 1
_KEEPER_PATH: Final = (
    "/dev/init"  # in a file system of the sandbox's own, so the shared root needs no mount point for it
)
_HOSTNAME: Final = "169.254.100.1"

# Docker's lists. What is absent on a kernel is skipped by the runtime.
_MASKED_PATHS: Final = (
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
)  # fmt: skip
_READ_ONLY_PATHS: Final = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_CAPABILITY_SETS: Final = ("bounding", "effective", "inheritable", "permitted", "ambient")
_TMP: Final = "/tmp"  # noqa: S108 - the sandbox's own
_DEV_SHM: Final = "/dev/shm"  # noqa: S108 - as above
_MEMLOCK_BYTES: Final = 64 << 10
_STACK_BYTES: Final = 8 << 20


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a sandbox is connected to besides its specification.

    Attributes:
        keeper: Host path of the program for PID 1.
        network: Path of the network namespace.
        scratch: Directory to be `/tmp`; `None` makes a tmpfs, which counts as memory of the function.
        hosts: A file to be shown as `/etc/hosts`; `None` if the root has the right one.
        resolver: A file to be shown as `/etc/resolv.conf`; `None` if no name is to be resolved.
        cgroups_path: For runtimes that insist on managing control groups; `None` for those that do not.
    """

    keeper: Path
    network: str
    scratch: Path | None
    hosts: Path | None = None
    resolver: Path | None = None
    cgroups_path: str | None = None


def sandbox_config(spec: SandboxSpec, around: Surroundings) -> Json:
    """`config.json` of a sandbox with nothing but its keeper inside.

    Raises:
        SandboxError: A layer's path cannot be written in overlay's mount options.
    """
    linux: Json = {
        "namespaces": [
            *({"type": kind} for kind in ("pid", "mount", "ipc", "uts", "cgroup")),
            {"type": "network", "path": around.network},
        ],
        "maskedPaths": list(_MASKED_PATHS),
        "readonlyPaths": list(_READ_ONLY_PATHS),
        "seccomp": seccomp.profile(),
    }
    if around.cgroups_path is not None:
        linux["cgroupsPath"] = around.cgroups_path
    return {
        "ociVersion": "1.0.2",
        "hostname": _HOSTNAME,
        "root": {"path": str(spec.rootfs), "readonly": True},
        "process": {
            "terminal": False,
            "user": {"uid": _KEEPER_ID, "gid": _KEEPER_ID},
            "args": [_KEEPER_PATH, "-P"],
            "cwd": "/",
            "env": [],
            "noNewPrivileges": True,
            "capabilities": {kind: [] for kind in _CAPABILITY_SETS},
        },
        "mounts": _mounts(spec, around),
        "linux": linux,
    }


def process_config(spec: ProcessSpec, max_open_files: int) -> Json:
    """`process.json` of a process of the unprivileged user."""
    return {
        "terminal": False,
        "user": {"uid": FUNCTION_UID, "gid": FUNCTION_GID},
        "args": list(spec.argv),
        "cwd": spec.cwd,
        "env": [f"{name}={value}" for name, value in spec.env.items()],
        "noNewPrivileges": True,
        "capabilities": {kind: [] for kind in _CAPABILITY_SETS},
        "rlimits": [
            _rlimit("RLIMIT_NOFILE", max_open_files, max_open_files),
            _rlimit("RLIMIT_MEMLOCK", _MEMLOCK_BYTES, _MEMLOCK_BYTES),
            _rlimit("RLIMIT_STACK", _STACK_BYTES, None),
            # AWS allows 10 GiB. Here a core file might be written by the host's own handler, onto the host's disk.
            _rlimit("RLIMIT_CORE", 0, 0),
        ],
    }


def _rlimit(name: str, soft: int, hard: int | None) -> Json:
    """A limit no higher than the server's own, which could not be raised without privileges."""
    own_hard = resource.getrlimit(getattr(resource, name))[1]
    if own_hard != resource.RLIM_INFINITY:
        soft, hard = min(soft, own_hard), own_hard if hard is None else min(hard, own_hard)
    unlimited = 2**64 - 1
    return {"type": name, "soft": soft, "hard": unlimited if hard is None else hard}


def _mounts(spec: SandboxSpec, around: Surroundings) -> list[Json]:
    mounts: list[Json] = [
        _mount("/proc", "proc", "proc", "nosuid", "noexec", "nodev"),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", "noexec", "mode=755", "size=64k"),
        _bind(_KEEPER_PATH, around.keeper, "ro"),
    ]
    if spec.task is not None:
        mounts.append(_bind("/var/task", spec.task, "ro"))
    if len(spec.layers) == 1:
        mounts.append(_bind("/opt", spec.layers[0], "ro"))
    elif spec.layers:
        mounts.append(
            _mount("/opt", "overlay", "overlay", "ro", "nosuid", "nodev", f"lowerdir={_lower_directories(spec.layers)}")
        )
    if around.scratch is not None:
        mounts.append(_bind(_TMP, around.scratch, "rw"))
    else:
        mounts.append(_mount(_TMP, "tmpfs", "tmpfs", "nosuid", "nodev", "mode=1777", f"size={spec.tmp_mib}m"))
    if spec.dev_shm:
        mounts.append(_mount(_DEV_SHM, "tmpfs", "tmpfs", "nosuid", "nodev", "noexec", "mode=1777"))
    if around.hosts is not None:
        mounts.append(_bind("/etc/hosts", around.hosts, "ro"))
    if around.resolver is not None:
        mounts.append(_bind("/etc/resolv.conf", around.resolver, "ro"))
    return mounts


def _lower_directories(layers: tuple[Path, ...]) -> str:
    """Overlay looks from left to right, and a later layer wins."""
    for layer in layers:
        if any(character in str(layer) for character in ":,\\"):
            raise SandboxError(f"the path of a layer may not contain a colon, comma or backslash: {layer}")
    return ":".join(str(layer) for layer in reversed(layers))


def _mount(destination: str, fstype: str, source: str, *options: str) -> Json:
    return {"destination": destination, "type": fstype, "source": source, "options": list(options)}


def _bind(destination: str, source: Path, access: str) -> Json:
    return _mount(destination, "bind", str(source), "bind", access, "nosuid", "nodev")


def hosts(address: str) -> str:
    """The text of `/etc/hosts` in a sandbox where the server is found at `address`."""
    return f"127.0.0.1\tlocalhost\n{address}\tsandbox sandbox.localdomain\n"


def has_hosts(rootfs: Path, text: str) -> bool:
    """Whether the root's `/etc/hosts` already is this one."""
    try:
        return (rootfs / "etc/hosts").read_text() == text
    except OSError:
        return False


def environment_problem(env: Mapping[str, str]) -> str | None:
    """Why `env` cannot be given to a process; `None` if it can."""
    bad = [name for name, value in env.items() if "\0" in name + value or "=" in name or not name]
    return f"cannot be environment variables: {bad}" if bad else None


def words_problem(words: Sequence[str]) -> str | None:
    """Why these cannot be arguments or a directory; `None` if they can. The runtime would cut them at the zero byte."""
    bad = [word for word in words if "\0" in word]
    return f"cannot be arguments of a process: {bad}" if bad else None
