"""moto as a child process: made when it is first needed, made again when it dies, ended with the server.

The listening socket is ours and outlives the child: who connects while there is none waits in its queue. It is a Unix
socket in a directory that is open to the server's user alone, so no other user of the machine reaches moto but through
the front door, and neither does a function. A second such socket leads back: there the child calls Lambda.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import sys
from collections import deque
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from lamella.httpserver.handler import Handler
from lamella.httpserver.server import HttpServer
from lamella.neighbour.endpoint import Endpoint
from lamella.neighbour.trust import BRIDGE_SOCKET, NEIGHBOUR_SOCKET
from lamella.neighbour.upstream import UpstreamError

_log = logging.getLogger(__name__)

_START_TIMEOUT_S: Final = 60.0
_STOP_TIMEOUT_S: Final = 3.0
_PAUSE_S: Final = 1.0
_PAUSE_MAX_S: Final = 30.0
_BACKLOG: Final = 256
_READY: Final = b"ready\n"


def is_installed() -> bool:
    """Whether moto and what its server needs can be imported."""
    return find_spec("moto") is not None and find_spec("flask_cors") is not None


class MotoProcess:
    """Owns the child. Costs nothing before `wait_ready` is called for the first time.

    Args:
        directory: Of its own, made if need be and open to its owner alone; holds the socket and temporary files.
        account: Of requests that name none.
        apart: Whether accounts are kept apart where moto by itself would not: buckets, topics and what ARNs lead to.

    Attributes:
        secret: What the child is known by where it calls Lambda.
    """

    def __init__(self, directory: Path, *, account: str, apart: bool = False) -> None:
        self._directory = directory
        self._account = account
        self._apart = apart
        self.secret: Final = secrets.token_hex(32)
        self._handler: Handler | None = None
        self._bridge: HttpServer | None = None
        self._listener: socket.socket | None = None
        self._back: socket.socket | None = None
        self._place: int | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._changed = asyncio.Condition()
        self._ready = False
        self._failure = ""
        self._last_words: deque[str] = deque(maxlen=20)

    @property
    def pid(self) -> int | None:
        """Of the child; `None` while there is none."""
        return None if self._process is None else self._process.pid

    def answer_with(self, handler: Handler) -> None:
        """Say who answers the child when it calls Lambda; before it is started."""
        self._handler = handler

    async def wait_ready(self) -> Endpoint:
        """Start the child if there is none, wait until it serves, and say where.

        Raises:
            UpstreamError: It does not start; the text says why.
        """
        if self._keeper is None:
            self._open()
            self._keeper = asyncio.create_task(self._keep(), name="keep moto")
        if not self._ready:
            async with self._changed:
                await self._changed.wait_for(lambda: self._ready or self._failure)
        if not self._ready:
            raise UpstreamError(self._failure)
        # By the descriptor of its directory: the path itself may be longer than a socket's address can be.
        return Endpoint("moto", 0, "moto", unix=f"/proc/self/fd/{self._place}/{NEIGHBOUR_SOCKET}")

    async def close(self) -> None:
        """End the child. Idempotent."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None
        if self._bridge is not None:
            await self._bridge.close(grace_s=0)
            self._bridge = None
        for listener in (self._listener, self._back):
            if listener is not None:
                listener.close()
        self._listener = self._back = None
        if self._place is not None:
            os.close(self._place)
            self._place = None

    def _open(self) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory.chmod(0o700)
        self._place = os.open(self._directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._listener, self._back = self._listen(NEIGHBOUR_SOCKET), self._listen(BRIDGE_SOCKET)

    def _listen(self, name: str) -> socket.socket:
        (self._directory / name).unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(f"/proc/self/fd/{self._place}/{name}")
        listener.listen(_BACKLOG)
        return listener

    async def _keep(self) -> None:
        if self._handler is None or self._back is None:
            raise RuntimeError("nobody would answer the child")
        # A child that has died waits for no answer.
        self._bridge = HttpServer(self._handler, half_close=False)
        await self._bridge.start(sock=self._back)
        pause_s = _PAUSE_S
        while True:
            served = await self._run()
            pause_s = _PAUSE_S if served else min(pause_s * 2, _PAUSE_MAX_S)
            _log.warning("moto has ended: %s; it is started again in %g s", self._failure, pause_s)
            await asyncio.sleep(pause_s)

    async def _run(self) -> bool:
        """One life of the child; returns whether it has served."""
        assert self._listener is not None
        self._last_words.clear()
        descriptor = self._listener.fileno()
        arguments = ["--fd", str(descriptor), "--account", self._account, "--parent", str(os.getpid())]
        arguments += ["--directory", str(self._directory), *(["--apart"] if self._apart else [])]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "lamella.neighbour.moto_main",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            pass_fds=(descriptor,),
            env=self._variables(),
        )
        self._process = process
        served = False
        listener = asyncio.create_task(self._listen_to(process), name="read what moto says")
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            # Where nobody can see it, as they can see arguments and variables.
            process.stdin.write(f"{self.secret}\n".encode())
            process.stdin.close()
            try:
                async with asyncio.timeout(_START_TIMEOUT_S):
                    served = await process.stdout.readline() == _READY
            except TimeoutError:
                self._last_words.append(f"it was not ready after {_START_TIMEOUT_S:g} s")
            if served:
                await self._tell(ready=True)
                await process.wait()
        finally:
            await asyncio.shield(self._end(process, listener))
        words = next((line for line in reversed(self._last_words) if line.strip()), "it said nothing")
        await self._tell(ready=False, failure=f"exit status {process.returncode}, {words}")
        return served

    async def _end(self, process: asyncio.subprocess.Process, listener: asyncio.Task[None]) -> None:
        self._ready = False
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(_STOP_TIMEOUT_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        self._process = None
        await listener

    async def _listen_to(self, process: asyncio.subprocess.Process) -> None:
        """What it says is of interest when it fails; functions can make it say a lot, so none of it is kept long."""
        assert process.stderr is not None
        while piece := await process.stderr.read(65_536):
            for line in piece.decode(errors="replace").splitlines():
                self._last_words.append(line)
                _log.debug("moto: %s", line)

    async def _tell(self, *, ready: bool, failure: str = "") -> None:
        async with self._changed:
            self._ready, self._failure = ready, failure
            self._changed.notify_all()

    def _variables(self) -> dict[str, str]:
        kept = {
            name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH", "SSL_CERT_FILE") if name in os.environ
        }
        moto = {name: value for name, value in os.environ.items() if name.startswith("MOTO_")}
        if self._apart:
            moto.setdefault("MOTO_S3_ALLOW_CROSSACCOUNT_ACCESS", "false")
        return {
            **kept,
            # Stacks give functions roles with AWS's policies.
            "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
            **moto,
            "HOME": str(self._directory),
            "TMPDIR": str(self._directory),
            # Its own clients must neither find credentials nor look for them on the network.
            "AWS_ACCESS_KEY_ID": "moto",
            "AWS_SECRET_ACCESS_KEY": "moto",
            "AWS_EC2_METADATA_DISABLED": "true",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
