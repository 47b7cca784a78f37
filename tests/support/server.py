"""A real `lamella serve` in a process of its own, for tests that talk to it as its users do."""

import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

import boto3
from botocore.config import Config

from lamella.runtimes.catalog import PackCatalog
from lamella.runtimes.pack import MANIFEST, ROOTFS

ROOT: Final = Path(__file__).resolve().parents[2]
"""The repository."""

CACHE: Final = ROOT / ".cache" / "tests"
"""What tests keep from one run to the next."""

_BIN: Final = Path(sys.executable).parent
_READY: Final = "Lamella is ready at "
_CGROUPS: Final = Path("/sys/fs/cgroup")


class ServerError(AssertionError):
    """The server did not do what every test relies on; the text ends with its log."""


class LamellaServer:
    """A server with a data directory of its own, on a free port.

    Use as a context manager: leaving stops the server, checks that it ended well and left nothing behind on the
    host, and deletes its data.

    Attributes:
        data: Its data directory; kept over `stop`, `kill` and `restart`.
        settings: By name, e.g. `{"idle_timeout_s": "1"}`; read at each start.
    """

    def __init__(self, **settings: str) -> None:
        """Nothing is started yet; keyword arguments are settings of the server, written as in the environment."""
        CACHE.mkdir(parents=True, exist_ok=True)
        self.data = Path(tempfile.mkdtemp(prefix="server-", dir=CACHE))
        self.settings: dict[str, str] = settings
        self._process: subprocess.Popen[str] | None = None
        self._url = ""
        share_runtimes(self.data / "runtimes")

    def __enter__(self) -> Self:
        """Start."""
        try:
            self.start()
        except BaseException:
            self._discard()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        """Stop, check, and delete the data."""
        try:
            if self._process is not None:
                self.stop()
                left = self.leftovers()
                if left and kind is None:
                    raise self._error("the server stopped and left behind:\n  " + "\n  ".join(left))
        finally:
            self._discard()

    @property
    def url(self) -> str:
        """Where it listens, e.g. `http://127.0.0.1:43211`."""
        return self._url

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._running().pid

    @property
    def instance(self) -> str:
        """Tells its sandboxes from those of other servers."""
        return (self.data / "instance").read_text().strip()

    @property
    def log(self) -> str:
        """What it has written to stderr since the first start."""
        path = self.data / "server.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self, *, within_s: float = 60.0) -> None:
        """Start the server and wait until it says that it is ready.

        Args:
            within_s: Only a bound for a server that hangs.

        Raises:
            ServerError: It ended, or said nothing.
        """
        assert self._process is None, "the server is running"
        with (self.data / "server.log").open("a") as log:
            self._process = subprocess.Popen(
                [_BIN / "lamella", "serve"],
                env=self._server_environment(),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        line = self._read_line(within_s)
        if not line.startswith(_READY):
            self._process.kill()
            status = self._reap()
            raise self._error(f"the server did not become ready (exit status {status}, it printed {line!r})")
        self._url = line.removeprefix(_READY).split()[0]

    def stop(self, *, within_s: float = 60.0) -> None:
        """Stop the server with SIGTERM.

        Raises:
            ServerError: It did not end in time, or not with status 0.
        """
        self._running().terminate()
        self.wait_stopped(within_s=within_s)

    def wait_stopped(self, *, within_s: float = 60.0) -> None:
        """Wait until a server that somebody told to stop has ended.

        Raises:
            ServerError: It did not end in time, or not with status 0.
        """
        process = self._running()
        try:
            process.wait(within_s)
        except subprocess.TimeoutExpired:
            process.kill()
            self._reap()
            raise self._error(f"the server did not end within {within_s:g} s of SIGTERM") from None
        if status := self._reap():
            raise self._error(f"the server ended with status {status}")

    def kill(self) -> None:
        """Kill the server with SIGKILL: what it ran is left without an owner."""
        self._running().kill()
        self._reap()

    def restart(self) -> None:
        """Stop it if it runs, and start it on the same data; `url` changes."""
        if self._process is not None:
            self.stop()
        self.start()

    def environment(self, **more: str) -> dict[str, str]:
        """Environment variables for AWS's clients, and nothing of the user's own configuration."""
        home = self.data / "home"
        home.mkdir(exist_ok=True)
        return {
            "PATH": f"{_BIN}:{os.environ['PATH']}",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_PAGER": "",
            "AWS_EC2_METADATA_DISABLED": "true",
            **more,
        }

    def boto3(self, service: str = "lambda", *, config: Mapping[str, Any] | None = None, **arguments: Any) -> Any:
        """A client of AWS's SDK for this server; it never tries anything twice.

        Args:
            service: Any that the server knows.
            config: Of botocore's `Config`.
            arguments: Of `Session.client`, e.g. `region_name`, `aws_access_key_id`.
        """
        settings: dict[str, Any] = {"retries": {"total_max_attempts": 1}, "read_timeout": 120, **(config or {})}
        session = boto3.Session("test", "test", region_name="us-east-1")
        return session.client(service, endpoint_url=self.url, config=Config(**settings), **arguments)

    def aws(
        self, *arguments: str | Path, check: bool = True, cwd: Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the AWS CLI against this server.

        Args:
            arguments: After `aws`.
            check: Whether an exit status other than 0 fails the test.
            cwd: Working directory; the data directory's `home` if `None`.
            variables: More environment variables.
        """
        return self._run(_BIN / "aws", arguments, check=check, cwd=cwd, variables=variables)

    def lamella(
        self, *arguments: str | Path, check: bool = True, cwd: Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the `lamella` command against this server; arguments as those of `aws`."""
        return self._run(_BIN / "lamella", arguments, check=check, cwd=cwd, variables=variables)

    def follow(self, function: str) -> Iterator[str]:
        """The lines of a function's log, from the first, and each that comes."""
        with urllib.request.urlopen(f"{self.url}/_lamella/logs/{function}?follow=1", timeout=30) as lines:
            for line in lines:
                if line != b"\n":  # which only says that the server is there
                    yield json.loads(line)["message"]

    def leftovers(self) -> list[str]:
        """What of this server is still on the host: processes, mounts, cgroups, sandbox state; in words."""
        marks = (str(self.data), f"lamella-{self.instance}", f"lamella/{self.instance}")
        found = [*_processes(marks), *_mounts(str(self.data))]
        found += [f"cgroup {path}" for path in _cgroup_directories() if self.instance in path]
        run = self.data / "run"
        # Files of the node itself may stay; what bears the name of a sandbox (32 hex digits) may not.
        found += [f"sandbox state {path}" for path in run.rglob("*") if len(path.name) == 32] if run.exists() else []
        return found

    def _run(
        self,
        program: Path,
        arguments: tuple[str | Path, ...],
        *,
        check: bool,
        cwd: Path | None,
        variables: Mapping[str, str],
    ) -> subprocess.CompletedProcess[str]:
        environment = self.environment(**variables)
        result = subprocess.run(
            [program, *arguments],
            env=environment,
            cwd=cwd or environment["HOME"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if check and result.returncode != 0:
            command = " ".join(str(word) for word in (program.name, *arguments))
            raise self._error(f"{command} ended with status {result.returncode}:\n{result.stdout}{result.stderr}")
        return result

    def _server_environment(self) -> dict[str, str]:
        kept = {
            name: os.environ[name] for name in ("PATH", "LANG", "UV_CACHE_DIR", "XDG_CACHE_HOME") if name in os.environ
        }
        return {
            **kept,
            "HOME": os.environ.get("HOME", "/root"),  # uv's cache and configuration
            "LAMELLA_LISTEN": "127.0.0.1:0",
            "LAMELLA_DATA": str(self.data),
            # The network of this machine is left alone; tests that want one bring their own (`tests.support.world`).
            "LAMELLA_NETWORK": "none",
            **{f"LAMELLA_{name.upper()}": value for name, value in self.settings.items()},
        }

    def _running(self) -> subprocess.Popen[str]:
        assert self._process is not None, "the server is not running"
        return self._process

    def _read_line(self, within_s: float) -> str:
        """The first line of its output; what there is of it if it ends or is silent too long."""
        output = self._running().stdout
        assert output is not None
        descriptor, text, end_s = output.fileno(), b"", time.monotonic() + within_s
        while not text.endswith(b"\n"):
            ready, _, _ = select.select([descriptor], [], [], max(0.0, end_s - time.monotonic()))
            piece = os.read(descriptor, 4096) if ready else b""
            if not piece:
                break
            text += piece
        return text.decode(errors="replace")

    def _reap(self) -> int:
        process = self._running()
        self._process = None
        status = process.wait()
        if process.stdout is not None:
            process.stdout.close()
        return status

    def _discard(self) -> None:
        if self._process is not None:
            self.kill()
        shutil.rmtree(self.data, ignore_errors=True)

    def _error(self, message: str) -> ServerError:
        return ServerError(f"{message}\n--- end of its log:\n{self.log[-4000:]}")


def share_runtimes(target: Path) -> None:
    """Give a data directory the runtime packs that an earlier test has built: it may add and remove some.

    Their trees are links to the cache: thousands of files for each of the many servers of a run would take minutes.
    """
    source = CACHE / "runtimes"
    with locked(CACHE / "runtimes.lock"):
        catalog = PackCatalog(source)
        catalog.ensure_defaults()
        for pack in catalog.packs():
            home = target / pack.name
            (home / pack.digest).mkdir(parents=True)
            shutil.copy(source / pack.name / pack.digest / MANIFEST, home / pack.digest)
            (home / pack.digest / ROOTFS).symlink_to(pack.rootfs.resolve())
            for link in (source / pack.name).iterdir():
                if link.is_symlink():
                    (home / link.name).symlink_to(link.readlink())


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One test run at a time."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _processes(marks: tuple[str, ...]) -> Iterator[str]:
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            command = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            cgroups = (directory / "cgroup").read_text()
        except OSError:  # it has ended since
            continue
        # A removed cgroup holds nothing that runs: only what the host's init has yet to reap. A dead server cannot.
        cgroups = "".join(line for line in cgroups.splitlines() if not line.endswith(" (deleted)"))
        if int(directory.name) != os.getpid() and any(mark in command or mark in cgroups for mark in marks):
            yield f"process {directory.name}: {command}"


def _mounts(data: str) -> Iterator[str]:
    """Mounts below the data directory, in whatever mount namespace some process keeps alive."""
    seen: set[str] = set()
    for path in (Path("/proc/self/mountinfo"), *Path("/proc").glob("[0-9]*/mountinfo")):
        try:
            namespace = str((path.parent / "ns" / "mnt").readlink())
            lines = [] if namespace in seen else path.read_text().splitlines()
        except OSError:
            continue
        seen.add(namespace)
        yield from (f"mount of process {path.parent.name}: {line}" for line in lines if data in line)


def _cgroup_directories() -> Iterator[str]:
    for directory, _, _ in os.walk(_CGROUPS):
        yield directory
