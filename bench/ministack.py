"""MiniStack, a peer that installs from PyPI, measured with the same programs in the same run."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench import processes
from bench.cold import cold_starts
from bench.node import Endpoint, code_zip
from bench.programs import CACHE, MissingToolError
from bench.results import Row
from bench.warm import PYTHON_ECHO, free_port, run_loads

VERSION: Final = "1.5.33"
_START_S: Final = 60.0


def measure(cpu: int, *, rounds: int, run_s: float, starts: int) -> Iterator[Row]:
    """Its python3.11 runs in a worker process without a sandbox.

    Raises:
        MissingToolError: It could not be installed.
    """
    environment = _install()
    with _running(environment, cpu) as (pid, endpoint):
        endpoint.create("echo-python", code_zip({"main.py": PYTHON_ECHO}), "python3.11")
        with endpoint.caller() as caller:
            caller.invoke("echo-python")
        what = f"MiniStack {VERSION}, python3.11"
        rows = run_loads(
            "ministack",
            what,
            endpoint.port,
            "echo-python",
            cpu,
            lambda: processes.tree(pid),
            rounds=rounds,
            run_s=run_s,
        )
        yield from rows
    with _running(environment, None) as (_, endpoint):
        endpoint.create("echo-python", code_zip({"main.py": PYTHON_ECHO}), "python3.11")
        times_ms = cold_starts(endpoint, ["echo-python"], starts=starts)["echo-python"]
        yield Row("ministack.cold.p50", f"MiniStack {VERSION}, python3.11, cold start", "ms", times_ms)


def _install() -> Path:
    environment = CACHE / "ministack"
    stamp = environment / "installed"
    if stamp.exists() and stamp.read_text() == VERSION:
        return environment
    uv = shutil.which("uv") or str(Path(__file__).resolve().parents[1] / ".venv/bin/uv")
    python = str(environment / "bin/python")
    for command in (
        [uv, "venv", "--quiet", "--clear", "--python", "3.11", str(environment)],
        [uv, "pip", "install", "--quiet", "--python", python, f"ministack=={VERSION}"],
    ):
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            raise MissingToolError(f"MiniStack could not be installed: {result.stderr.strip()[-300:]}")
    stamp.write_text(VERSION)
    return environment


@contextlib.contextmanager
def _running(environment: Path, cpu: int | None) -> Iterator[tuple[int, Endpoint]]:
    port = free_port()
    with tempfile.TemporaryDirectory(dir=CACHE) as state, (CACHE / "ministack.log").open("w") as log:
        variables = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LAMBDA_"))}
        variables |= {"GATEWAY_PORT": str(port), "MINISTACK_HOST": "127.0.0.1", "STATE_DIR": state, "TMPDIR": state}
        variables["PATH"] = f"{environment / 'bin'}:{variables['PATH']}"
        process = subprocess.Popen(
            [str(environment / "bin/ministack")],
            env=variables,
            cwd=state,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=None if cpu is None else lambda: os.sched_setaffinity(0, {cpu}),
        )
        try:
            _wait_ready(process, port)
            yield process.pid, Endpoint(f"http://127.0.0.1:{port}")
        finally:
            workers = processes.tree(process.pid)
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for pid in workers[1:]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)


def _wait_ready(process: subprocess.Popen[bytes], port: int) -> None:
    end_s = time.monotonic() + _START_S
    while time.monotonic() < end_s:
        if process.poll() is not None:
            raise MissingToolError(f"MiniStack ended with status {process.returncode}; see {CACHE / 'ministack.log'}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/2015-03-31/functions/", timeout=5):
                return
        except (OSError, urllib.error.URLError):
            time.sleep(0.2)
    raise MissingToolError("MiniStack did not become ready")
