"""A node to measure: `lamella serve` in a process of its own, and calls of its API."""

import base64
import contextlib
import http.client
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

import boto3  # type: ignore[import-untyped]  # ships no types
from botocore.config import Config

from bench import processes
from bench.programs import CACHE

_SPARES_S: Final = 10.0
_SPARE_MADE_S: Final = 0.25
_READY: Final = "Lamella is ready at "
_ROLE: Final = "arn:aws:iam::000000000000:role/bench"
_DATE: Final = (2020, 1, 1, 0, 0, 0)
AUTHORIZATION: Final = (
    "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/lambda/aws4_request, SignedHeaders=host;x-amz-date, "
    f"Signature={'0' * 64}"
)


class Caller:
    """A caller with one connection that costs little beside what is measured: no SDK, no signing."""

    def __init__(self, url: str) -> None:
        self._netloc = urlsplit(url).netloc
        self._connection = http.client.HTTPConnection(self._netloc, timeout=120)
        self._connection.connect()

    def call(self, method: str, path: str, body: bytes = b"") -> tuple[float, bytes]:
        """One request; returns how long it took in seconds, and the body of the answer.

        Raises:
            RuntimeError: The answer is an error, of the API or of the function.
        """
        headers = {"Authorization": AUTHORIZATION, "X-Amz-Date": "20260101T000000Z"}
        began_s = time.perf_counter()
        self._connection.request(method, path, body, headers)
        response = self._connection.getresponse()
        answer = response.read()
        took_s = time.perf_counter() - began_s
        if response.status >= 300 or response.headers.get("X-Amz-Function-Error"):
            raise RuntimeError(f"{method} {path}: {response.status} {answer[:500].decode(errors='replace')}")
        return took_s, answer

    def invoke(self, name: str, payload: bytes = b'{"key":"value"}') -> float:
        """Invoke a function; returns how long the answer took in seconds."""
        return self.call("POST", f"/2015-03-31/functions/{name}/invocations", payload)[0]

    def close(self) -> None:
        self._connection.close()


class Endpoint:
    """An API that speaks Lambda's wire, ours or a peer's."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.port = urlsplit(url).port or 80
        session = boto3.Session("test", "test", region_name="us-east-1")
        config = Config(retries={"total_max_attempts": 1}, read_timeout=120)
        self.client: Any = session.client("lambda", endpoint_url=url, config=config)  # Any: boto3 has no types

    @contextlib.contextmanager
    def caller(self) -> Iterator[Caller]:
        caller = Caller(self.url)
        try:
            yield caller
        finally:
            caller.close()

    def create(self, name: str, code: bytes, runtime: str, *, handler: str = "main.handler", **more: Any) -> None:
        """Create a function and wait until it can be invoked."""
        self.client.create_function(
            FunctionName=name,
            Runtime=runtime,
            Role=_ROLE,
            Handler=handler,
            Code={"ZipFile": code},
            Timeout=30,
            MemorySize=more.pop("MemorySize", 1769),  # one whole processor, so that no quota is measured
            **more,
        )
        self._wait(name)

    def touch(self, name: str, turn: int) -> None:
        """Change the configuration, so that the next invocation needs a new execution environment."""
        self.client.update_function_configuration(FunctionName=name, Environment={"Variables": {"TURN": str(turn)}})
        self._wait(name)

    def publish_layer(self, name: str, archive: bytes) -> str:
        """Publish a layer; returns the ARN of its version."""
        answer = self.client.publish_layer_version(LayerName=name, Content={"ZipFile": archive})
        return str(answer["LayerVersionArn"])

    def _wait(self, name: str) -> None:
        while True:
            state = self.client.get_function_configuration(FunctionName=name)
            if state.get("State", "Active") == "Active" and state.get("LastUpdateStatus") != "InProgress":
                return
            time.sleep(0.02)


class Node(Endpoint):
    """A running `lamella serve` with a data directory of its own, deleted at the end.

    Attributes:
        pid: Of the server.
        start_s: From its start to the line that says that it is ready.
    """

    def __init__(self, *, cpu: int | None = None, **settings: str) -> None:
        """Start it.

        Args:
            cpu: The only processor that it and its sandboxes may use.
            settings: As in the environment, e.g. `freeze="false"`.
        """
        self.data = Path(tempfile.mkdtemp(prefix="node-", dir=CACHE))
        packs = CACHE / "runtimes"
        if packs.exists():
            subprocess.run(["cp", "--archive", "--link", str(packs), str(self.data / "runtimes")], check=True)
        self.cpu = cpu
        self.keeps_spares = settings.get("spare_sandboxes") != "0"
        self._log = (self.data / "server.log").open("w")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("LAMELLA_", "AWS_"))}
        environment |= {"LAMELLA_LISTEN": "127.0.0.1:0", "LAMELLA_DATA": str(self.data), "LAMELLA_STATE_DELAY_S": "0"}
        environment["LAMELLA_LIMITS"] = "relaxed"  # AWS's rates would bound what is measured
        environment |= {f"LAMELLA_{name.upper()}": value for name, value in settings.items()}
        began_s = time.perf_counter()
        self._process = subprocess.Popen(
            [str(Path(sys.executable).parent / "lamella"), "serve"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            preexec_fn=None if cpu is None else lambda: os.sched_setaffinity(0, {cpu}),
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        self.start_s = time.perf_counter() - began_s
        if not line.startswith(_READY):
            self._process.wait()
            raise RuntimeError(f"the server did not start:\n{(self.data / 'server.log').read_text()[-4000:]}")
        if _packs(packs) != _packs(self.data / "runtimes"):  # it has built some, which takes longer than to measure
            shutil.rmtree(packs, ignore_errors=True)
            subprocess.run(["cp", "--archive", "--link", str(self.data / "runtimes"), str(packs)], check=True)
        self.pid = self._process.pid
        self.instance = (self.data / "instance").read_text().strip()
        super().__init__(line.removeprefix(_READY).split()[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()
        if self._process.stdout is not None:
            self._process.stdout.close()
        shutil.rmtree(self.data, ignore_errors=True)

    def sandboxed(self) -> list[int]:
        """Processes inside its sandboxes."""
        return list(self._cgroups())

    def everything(self) -> list[int]:
        """The server, its helper processes, and what is inside its sandboxes."""
        return sorted({*processes.tree(self.pid), *self.sandboxed()})

    def pin(self) -> None:
        """Keep everything on the node's processor: an OCI runtime may have given its processes all of them again."""
        if self.cpu is not None:
            processes.pin(self.everything(), self.cpu)

    def wait_environments(self, most: int) -> None:
        """Wait until no more than so many execution environments are left, and their processes are gone.

        Spare sandboxes are no environments yet; where they are kept, processes cannot be told apart and are not waited
        for.
        """
        with self.caller() as caller:
            while _health(caller)["execution_environments"] > most:
                time.sleep(0.01)
        while not self.keeps_spares and len({text.splitlines()[-1] for text in self._cgroups().values()}) > most:
            time.sleep(0.01)

    def wait_spares(self, functions: int) -> None:
        """Wait until each of so many functions has its spare sandbox, if the node keeps any; they must fit its limit.

        Raises:
            RuntimeError: They do not come.
        """
        if not self.keeps_spares:
            return
        end_s = time.monotonic() + _SPARES_S
        with self.caller() as caller:
            while _health(caller)["spare_sandboxes"] < functions:
                if time.monotonic() > end_s:
                    raise RuntimeError(f"the node has not made {functions} spare sandboxes within {_SPARES_S} s")
                time.sleep(0.01)
        time.sleep(_SPARE_MADE_S)  # it counts from the moment its making is begun

    def _cgroups(self) -> dict[int, str]:
        found = processes.of_cgroups(self.instance)
        return {pid: text for pid, text in found.items() if processes.command(pid)}  # the others are dead already


def _packs(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.glob("*/*")}


def _health(caller: Caller) -> dict[str, Any]:
    return dict(json.loads(caller.call("GET", "/_lamella/health")[1]))


def code_zip(files: Mapping[str, bytes], *, executable: Sequence[str] = ()) -> bytes:
    """A zip with the same bytes every time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o100755 if name in executable else 0o100644) << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


def publish_body(archive: bytes) -> bytes:
    """The body of PublishLayerVersion."""
    return b'{"Content":{"ZipFile":"%b"}}' % base64.b64encode(archive)
