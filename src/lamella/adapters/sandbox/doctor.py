"""Whether this host can run sandboxes, and what mends it if not. Changes nothing and needs no privileges to explain."""

import os
import platform
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from lamella.adapters.sandbox import cgroups, nat, programs
from lamella.ports.sandbox import SandboxProblem

_KEEPERS: Final = ("/usr/bin/catatonit", "/usr/libexec/podman/catatonit", "/usr/libexec/catatonit/catatonit")
_MIN_LINUX: Final = (5, 8)  # clone3 into a control group: 5.7; LOOP_CONFIGURE: 5.8
_CAPABILITIES: Final = {
    "CAP_CHOWN": 0, "CAP_DAC_OVERRIDE": 1, "CAP_KILL": 5, "CAP_SETGID": 6, "CAP_SETUID": 7, "CAP_SETPCAP": 8,
    "CAP_NET_ADMIN": 12, "CAP_SYS_CHROOT": 18, "CAP_SYS_ADMIN": 21, "CAP_MKNOD": 27,
}  # fmt: skip
_PROBE_TIMEOUT_S: Final = 20
NAT: Final = "nat"
_PRIVILEGES: Final = "privileges"


def diagnose(runtime: str, *, with_nat: bool = False, nat_required: bool = False) -> list[SandboxProblem]:
    """Look at everything that sandboxes with `runtime` need, in the order in which to mend it.

    Args:
        runtime: Its name.
        with_nat: Whether sandboxes are to reach other machines.
        nat_required: Whether it is fatal if they cannot.
    """
    problems = list(_checks(runtime))
    if with_nat:
        privileged = all(problem.ok for problem in problems if problem.check == _PRIVILEGES)
        problems.extend(_nat(privileged, nat_required))
    return problems


def find_keeper() -> Path | None:
    """The pause process that becomes PID 1 of a sandbox; it has to be linked statically."""
    found = programs.find("catatonit")
    candidates = ([str(found)] if found else []) + list(_KEEPERS)
    return next((Path(path).resolve() for path in candidates if Path(path).is_file() and is_static(Path(path))), None)


def is_static(program: Path) -> bool:
    """Whether an ELF program runs without a dynamic linker, as it must in a root that holds none."""
    header = program.read_bytes()[:4096]
    return header.startswith(b"\x7fELF") and b"/ld-" not in header and b"/ld." not in header


def _checks(runtime: str) -> Iterator[SandboxProblem]:
    yield _linux()
    privileged = _privileges()
    yield privileged
    yield _cgroups()
    yield _overlayfs(privileged.ok)
    yield _runtime(runtime)
    yield _keeper()
    yield _seccomp()
    yield _network_namespaces()
    yield _loop_devices()


def _linux() -> SandboxProblem:
    release = platform.release()
    numbers = tuple(int(part) for part in re.findall(r"\d+", release)[:2])
    ok = platform.system() == "Linux" and numbers >= _MIN_LINUX
    wanted = ".".join(str(part) for part in _MIN_LINUX)
    return SandboxProblem(
        "linux", ok, f"{platform.system()} {release}", remedy="" if ok else f"use Linux {wanted} or newer"
    )


def _privileges() -> SandboxProblem:
    status = Path("/proc/self/status").read_text()
    match = re.search(r"^CapEff:\s*([0-9a-f]+)", status, re.MULTILINE)
    effective = int(match[1], 16) if match else 0
    missing = [name for name, bit in _CAPABILITIES.items() if not effective >> bit & 1]
    detail = f"user {os.geteuid()}, " + (
        f"without {', '.join(missing)}" if missing else "all capabilities that are needed"
    )
    remedy = (
        "run the server as root (sudo lamella serve)" if os.geteuid() else "run it outside of an unprivileged container"
    )
    return SandboxProblem(_PRIVILEGES, not missing, detail, remedy=remedy if missing else "")


def _cgroups() -> SandboxProblem:
    layout = cgroups.detect_here()
    missing = layout.missing()
    detail = f"cgroup {layout.mode}, " + (f"without {', '.join(missing)}" if missing else "with memory, pids and cpu")
    remedy = "mount -t cgroup2 none /sys/fs/cgroup" if layout.mode == "none" else "boot with cgroup_enable=memory"
    return SandboxProblem("cgroups", not missing, detail, remedy=remedy if missing else "")


def _overlayfs(privileged: bool) -> SandboxProblem:
    known = re.search(r"\boverlay$", Path("/proc/filesystems").read_text(), re.MULTILINE) is not None
    if privileged:
        with tempfile.TemporaryDirectory() as target:
            options = "ro,lowerdir=/usr:/etc"
            complaint = _probe("unshare", "--mount", "mount", "-t", "overlay", "overlay", "-o", options, target)
        ok, detail = complaint is None, complaint or "two directories merged in a trial mount"
    else:
        ok, detail = known, "known to the kernel" if known else "not known to the kernel"
    return SandboxProblem("overlayfs", ok, detail, remedy="" if ok else "modprobe overlay")


def _runtime(name: str) -> SandboxProblem:
    program = programs.find(name)
    remedy = f"apt-get install -y {name}"
    if program is None:
        return SandboxProblem("runtime", ok=False, detail=f"{name} is not installed", remedy=remedy)
    try:
        done = subprocess.run(
            [program, "--version"], capture_output=True, text=True, check=False, timeout=_PROBE_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return SandboxProblem("runtime", ok=False, detail=f"{program}: {error}", remedy=remedy)
    text = done.stdout + done.stderr
    if done.returncode != 0:
        return SandboxProblem("runtime", ok=False, detail=f"{program}: {text.strip()}", remedy=remedy)
    if name == "crun" and "+SECCOMP" not in text:
        return SandboxProblem("runtime", ok=False, detail=f"{program} is built without seccomp", remedy=remedy)
    return SandboxProblem("runtime", ok=True, detail=f"{program}: {text.splitlines()[0]}")


def _keeper() -> SandboxProblem:
    keeper = find_keeper()
    if keeper is None:
        return SandboxProblem(
            "keeper", ok=False, detail="catatonit is not installed", remedy="apt-get install -y catatonit"
        )
    return SandboxProblem("keeper", ok=True, detail=str(keeper))


def _seccomp() -> SandboxProblem:
    ok = Path("/proc/sys/kernel/seccomp/actions_avail").exists()
    detail = "system call filters are available" if ok else "the kernel has no system call filters"
    return SandboxProblem("seccomp", ok, detail, remedy="" if ok else "use a kernel with CONFIG_SECCOMP_FILTER=y")


def _network_namespaces() -> SandboxProblem:
    ok = Path("/proc/self/ns/net").exists()
    detail = "available" if ok else "the kernel has none"
    return SandboxProblem("network namespaces", ok, detail, remedy="" if ok else "use a kernel with CONFIG_NET_NS=y")


def _loop_devices() -> SandboxProblem:
    consequence = "; /tmp of functions will be charged to their memory"
    check: Callable[[], str | None]
    for remedy, check in (
        ("modprobe loop", lambda: None if Path("/dev/loop-control").exists() else "there is no /dev/loop-control"),
        (
            "apt-get install -y e2fsprogs",
            lambda: None if programs.find("mkfs.ext4") else "no mkfs.ext4",
        ),
    ):
        if complaint := check():
            return SandboxProblem("loop devices", ok=False, detail=complaint + consequence, fatal=False, remedy=remedy)
    return SandboxProblem(
        "loop devices", ok=True, detail="functions can have a file system of their own for temporary files", fatal=False
    )


def _nat(privileged: bool, required: bool) -> Iterator[SandboxProblem]:
    if not privileged:
        yield SandboxProblem(NAT, ok=False, detail="cannot be tried out without privileges", fatal=required)
        return
    if (found := nat.obstacle()) is not None:
        detail, remedy = found
        yield SandboxProblem(NAT, ok=False, detail=detail, fatal=required, remedy=remedy)
        return
    yield SandboxProblem(NAT, ok=True, detail="functions can reach other machines", fatal=required)
    for chain in nat.dropping_chains():
        detail = f"chain {chain} drops what it does not know, and it does not know sandboxes"
        yield SandboxProblem("forwarding", ok=False, detail=detail, fatal=False, remedy=nat.LET_PASS)


def _probe(*argv: str) -> str | None:
    """Run a trial; what it complained about, or `None`."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=_PROBE_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if done.returncode == 0 else (done.stderr.strip() or f"status {done.returncode}")
