"""Whether this host runs programs of the other architecture: by qemu's user emulation and the kernel's binfmt_misc.

The kernel has to know an interpreter for such programs that it opened when it was told of it (flag F): only that is
found from inside a sandbox, whose root has no qemu. So the question is answered by a trial, a program of a few bytes in
a root that holds nothing else, and binfmt_misc is read only to say what is wrong. A launcher in place of binfmt_misc
would start the first program and none that it starts in turn: no shell script, no wrapper.
"""

import os
import re
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lamella.domain.function import Architecture
from lamella.runtimes.system import MACHINES, host_architecture

BINFMT: Final = Path("/proc/sys/fs/binfmt_misc")
_STATUS: Final = 7  # what the trial's program exits with: nothing else on the way does
_ELF_MACHINES: Final = {Architecture.X86_64: 62, Architecture.ARM64: 183}
# The system call `exit(7)`.
_EXIT: Final = {
    Architecture.X86_64: bytes.fromhex("bf07000000 b83c000000 0f05"),
    Architecture.ARM64: struct.pack("<III", 0xD28000E0, 0xD2800BA8, 0xD4000001),
}
_QEMU: Final = "/usr/bin/qemu-{machine}-static"
_CONFIGURATION: Final = "/usr/lib/binfmt.d/qemu-{machine}.conf"


_ASKED_AGAIN_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Emulation:
    """Whether programs of an architecture run in sandboxes of this host.

    Attributes:
        detail: What was found.
        remedy: What to do about it; empty if they run.
    """

    ok: bool
    detail: str
    remedy: str = ""

    @property
    def complaint(self) -> str:
        """What was found, with what to do about it."""
        return f"{self.detail}. Remedy: {self.remedy}" if self.remedy else self.detail


def emulation(architecture: Architecture) -> Emulation:
    """Try whether programs of an architecture run in sandboxes. Starts one, for some milliseconds."""
    if architecture is host_architecture():
        return Emulation(True, f"{architecture} is this host's own")
    if runs(architecture):
        return Emulation(True, f"{architecture} functions run through qemu, about ten times slower")
    machine = MACHINES[architecture]
    qemu = Path(_QEMU.format(machine=machine))
    if not qemu.exists():
        return Emulation(
            False,
            f"{architecture} functions do not run: there is no {qemu}",
            "apt-get install qemu-user-static",
        )
    entry = _entry(architecture)
    if entry is None:
        return Emulation(
            False, f"qemu is there, and the kernel was not told that {architecture} is its to run", _tell(machine)
        )
    return Emulation(
        False,
        f"the kernel runs {architecture} programs by {entry}, which is not found from inside a sandbox",
        f"register it with the flag F (fix binary): echo -1 > {BINFMT}/{entry}; {_tell(machine)}",
    )


class Emulations:
    """What is known of the architectures that functions ask for: tried once, and again after a while if it failed.

    So whoever installs qemu need not start the server anew. A trial that fails takes some milliseconds.
    """

    def __init__(
        self,
        attempt: Callable[[Architecture], Emulation] = emulation,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._attempt = attempt
        self._clock = clock
        self._known: dict[Architecture, tuple[Emulation, float]] = {}

    def of(self, architecture: Architecture) -> Emulation:
        """Whether programs of an architecture run."""
        known, tried_s = self._known.get(architecture, (None, 0.0))
        if known is None or (not known.ok and self._clock() - tried_s >= _ASKED_AGAIN_S):
            known = self._attempt(architecture)
            self._known[architecture] = (known, self._clock())
        return known


def runs(architecture: Architecture) -> bool:
    """Whether the kernel runs a program of an architecture in a root that has nothing but this program."""
    with tempfile.TemporaryDirectory(prefix="lamella-", dir=_where_programs_run()) as root:
        program = Path(root, "program")
        program.write_bytes(trial_program(architecture))
        program.chmod(0o755)
        command = ["chroot", root, "/program"] if os.geteuid() == 0 else [str(program)]
        try:
            result = subprocess.run(
                command,
                capture_output=True,
                check=False,
                timeout=30,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
    return result.returncode == _STATUS


def _where_programs_run() -> str | None:
    """A directory for a program: that of temporary files, unless it is mounted so that none runs there."""
    candidates = (tempfile.gettempdir(), "/var/tmp", "/run", str(Path.home()))  # noqa: S108 - looked at, not relied on
    able = (place for place in candidates if os.access(place, os.W_OK) and not os.statvfs(place).f_flag & os.ST_NOEXEC)
    return next(able, None)


def trial_program(architecture: Architecture) -> bytes:
    """A static program that only ends, with status 7: ELF header, one segment, two or three instructions."""
    code = _EXIT[architecture]
    base, headers = 0x400000, 64 + 56
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack(
        "<HHIQQQIHHHHHH", 2, _ELF_MACHINES[architecture], 1, base + headers, 64, 0, 0, 64, 56, 1, 64, 0, 0
    )
    size = headers + len(code)
    return header + struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x1000) + code


def _entry(architecture: Architecture) -> str | None:
    """The name under which the kernel knows an interpreter for an architecture."""
    try:
        entries = [path for path in BINFMT.iterdir() if path.name not in {"register", "status"}]
        known = [path.name for path in entries if takes(path.read_text(), trial_program(architecture))]
    except OSError:
        return None
    return known[0] if known else None


def takes(entry: str, head: bytes) -> bool:
    """Whether an entry of binfmt_misc is for files that begin so.

    Source: kernel documentation, "Kernel Support for miscellaneous Binary Formats".
    """
    facts = dict(re.findall(r"^(\w+):? ?(\S*)$", entry, re.MULTILINE))
    if "enabled" not in facts or "magic" not in facts:
        return False
    magic = bytes.fromhex(facts["magic"])
    mask = bytes.fromhex(facts["mask"]) if "mask" in facts else b"\xff" * len(magic)
    part = head[int(facts.get("offset", "0")) :][: len(magic)]
    return len(part) == len(magic) and all((a ^ b) & m == 0 for a, b, m in zip(part, magic, mask, strict=True))


def _tell(machine: str) -> str:
    """How the kernel is told of qemu: by what the system does when it starts, else by hand."""
    if Path("/run/systemd/system").is_dir():
        return "systemctl restart systemd-binfmt"
    configuration = _CONFIGURATION.format(machine=machine)
    mounted = "" if (BINFMT / "register").exists() else f"mount -t binfmt_misc none {BINFMT} && "
    return f"{mounted}cat {configuration} > {BINFMT}/register"
