"""The command line of an OCI runtime, and what differs between runtimes."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class OciRuntime:
    """How to call one OCI runtime.

    Attributes:
        name: `crun`, `runc` or another that takes runc's command line.
        program: Path by which it is started.
        root: Where it keeps its state.
    """

    name: str
    program: Path
    root: Path

    @property
    def manages_cgroups(self) -> bool:
        """Whether it insists on moving processes into control groups by itself, at a cost of 8 ms or more each time."""
        return self.name != "crun"

    def run(self, sandbox: str, bundle: Path, pid_file: Path, log: Path) -> list[str]:
        """Make a sandbox and start its PID 1."""
        return [
            *self._global(log), "run", "--detach", "--bundle", str(bundle), "--pid-file", str(pid_file), sandbox,
        ]  # fmt: skip

    def exec(self, sandbox: str, process: Path, pid_file: Path, log: Path, *, passed_fds: int = 0) -> list[str]:
        """Start a process in a sandbox and leave it to its new parent, with so many descriptors from 3 on."""
        passed = ["--preserve-fds", str(passed_fds)] if passed_fds else []
        return [
            *self._global(log), "exec", "--detach", "--process", str(process), "--pid-file", str(pid_file), *passed,
            sandbox,
        ]  # fmt: skip

    def _global(self, log: Path) -> list[str]:
        cgroups = [] if self.manages_cgroups else ["--cgroup-manager=disabled"]
        return [str(self.program), "--root", str(self.root), "--log", str(log), *cgroups]
