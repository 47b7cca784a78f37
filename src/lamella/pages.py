"""What is served below `/_lamella/`: health, logs, traces, runtime packs, downloads."""

import asyncio
import json
import os
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol

from lamella.control.locations import LocationSigner
from lamella.domain.function import FunctionKey
from lamella.frontdoor import Page, PageError, body_object, path_tail, respond_json
from lamella.httpserver.exchange import Exchange
from lamella.httpserver.message import DisconnectedError
from lamella.invoke.recorders import Recorders
from lamella.ports.clock import Clock
from lamella.ports.logs import LogEvent, LogStore
from lamella.ports.runtimes import RuntimeNotInstalledError, RuntimePack
from lamella.ports.stores import ArtifactStore

_CHUNK_BYTES: Final = 256 * 1024
_HEARTBEAT_S: Final = 10.0
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,140}")
_ACCOUNT: Final = re.compile(r"[0-9]{12}")
_REGION: Final = re.compile(r"[a-z0-9-]{1,64}")
_TRACE: Final = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Load(Protocol):
    """What the data plane says of itself."""

    @property
    def in_flight(self) -> int:
        """Invocations that have not been answered."""

    @property
    def environments(self) -> int:
        """Execution environments that exist."""

    @property
    def spare_sandboxes(self) -> int:
        """Sandboxes that were made ahead of need."""


class RuntimeInstaller(Protocol):
    """The runtime packs of this node, and how one is added. Blocking."""

    def packs(self) -> Sequence[RuntimePack]:
        """All packs."""

    def add(self, name: str, source: Path | None = None) -> RuntimePack:
        """Build and install a pack."""


class Health:
    """`GET /_lamella/health`."""

    def __init__(self, version: str, load: Load) -> None:
        self._version = version
        self._load = load
        self._began_s = time.monotonic()
        self.draining = False

    async def page(self, exchange: Exchange, query: Mapping[str, str]) -> None:  # noqa: ARG002  # takes no parameters
        """Whether the server works, and what it is doing. 503 once it has been asked to stop."""
        document = {
            "status": "draining" if self.draining else "ok",
            "version": self._version,
            "uptime_s": round(time.monotonic() - self._began_s, 3),
            "invocations_in_flight": self._load.in_flight,
            "execution_environments": self._load.environments,
            "spare_sandboxes": self._load.spare_sandboxes,
        }
        respond_json(exchange, document, 503 if self.draining else 200)


class Logs:
    """`GET /_lamella/logs/<function>`: log events as NDJSON."""

    def __init__(self, store: LogStore, *, account: str, region: str) -> None:
        self._store = store
        self._account = account
        self._region = region
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End the answers that have no end of their own."""
        self._stopping.set()

    async def page(self, exchange: Exchange, query: Mapping[str, str]) -> None:
        """Query: `account`, `region`, `since_ms`, `limit`, and `follow=1` for an answer without end."""
        name = path_tail(exchange)
        if not _NAME.fullmatch(name):
            raise PageError(400, "Say which function: /_lamella/logs/<name>")
        account, region = query.get("account", self._account), query.get("region", self._region)
        if not _ACCOUNT.fullmatch(account) or not _REGION.fullmatch(region):
            raise PageError(400, "That is no account or region.")
        try:
            since_ms = int(query.get("since_ms", "0"))
            limit = int(query["limit"]) if "limit" in query else None
        except ValueError:
            raise PageError(400, "since_ms and limit are whole numbers.") from None
        if limit is not None and limit < 1:
            raise PageError(400, "limit is 1 or more.")
        events = self._store.read(
            FunctionKey(account, region, name), since_ms=since_ms, limit=limit, follow=query.get("follow") == "1"
        )
        exchange.start_response(200, (("Content-Type", "application/x-ndjson"),))
        with suppress(DisconnectedError):
            await self._copy(events, exchange)
            exchange.finish()

    async def _copy(self, events: AsyncIterator[LogEvent], exchange: Exchange) -> None:
        """Write events until there are no more, the reader has gone, or the server stops."""
        async with asyncio.TaskGroup() as group:
            stop = group.create_task(self._stopping.wait())
            try:
                while True:
                    step = group.create_task(_next_of(events))
                    # A reader that has gone without a word is only noticed by writing: an empty line now and then.
                    while not step.done() and not stop.done():
                        await asyncio.wait((step, stop), timeout=_HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED)
                        if not step.done() and not stop.done():
                            await exchange.write(b"\n")
                    event = None if stop.done() else step.result()
                    if event is None:
                        step.cancel()
                        return
                    line = {"timestamp": event.timestamp_ms, "stream": event.stream, "message": event.message}
                    await exchange.write(json.dumps(line).encode() + b"\n")
            finally:
                stop.cancel()


async def _next_of(events: AsyncIterator[LogEvent]) -> LogEvent | None:
    return await anext(events, None)


class Traces:
    """`GET /_lamella/traces`, and `/_lamella/traces/<environment or request id>`: what the flight recorder knows."""

    def __init__(self, recorders: Recorders) -> None:
        self._recorders = recorders

    async def page(self, exchange: Exchange, query: Mapping[str, str]) -> None:  # noqa: ARG002  # takes no parameters
        """What there is to look at; or one environment, as `lamella.invoke.timeline` describes it."""
        if not self._recorders.enabled:
            raise PageError(404, "Nothing is recorded: the server runs with flight_recorder = false.")
        name = path_tail(exchange)
        if not name:
            respond_json(exchange, await self._recorders.recent())
            return
        found = await self._recorders.find(name) if _TRACE.fullmatch(name) else None
        if found is None:
            raise PageError(
                404,
                f"No execution environment or request {name[:80]!r} is known, or no longer: "
                "the last environments are remembered, and those with failures. 'lamella trace' lists them.",
            )
        exchange.respond(200, (("Content-Type", "application/json"),), found)


class Runtimes:
    """`GET` and `POST /_lamella/runtimes`."""

    def __init__(self, installer: RuntimeInstaller) -> None:
        self._installer = installer

    async def list_page(self, exchange: Exchange, query: Mapping[str, str]) -> None:  # noqa: ARG002  # takes none
        """The packs of this node."""
        respond_json(exchange, {"runtimes": [_pack(pack) for pack in self._installer.packs()]})

    async def add_page(self, exchange: Exchange, query: Mapping[str, str]) -> None:  # noqa: ARG002  # takes none
        """Body: `name`, and `from`, the path of an interpreter, if it is not to be looked for."""
        wanted = body_object(exchange)
        name, source = wanted.get("name"), wanted.get("from")
        if not isinstance(name, str) or not isinstance(source, str | None):
            raise PageError(400, 'Say which runtime: {"name": "python3.12"}')
        try:
            pack = await asyncio.to_thread(self._installer.add, name, Path(source) if source else None)
        except RuntimeNotInstalledError as error:
            raise PageError(404, str(error)) from error
        respond_json(exchange, _pack(pack))


def _pack(pack: RuntimePack) -> dict[str, Any]:  # Any: JSON
    return {
        "name": pack.name,
        "architecture": pack.architecture,
        "version": pack.version,
        "digest": pack.digest,
        "entrypoints": list(pack.entrypoints),
        "path": str(pack.rootfs),
    }


class Downloads:
    """`GET /_lamella/artifacts/<digest>.zip`: what `Code.Location` and `Content.Location` point to."""

    def __init__(self, artifacts: ArtifactStore, signer: LocationSigner, clock: Clock) -> None:
        self._artifacts = artifacts
        self._signer = signer
        self._clock = clock

    async def page(self, exchange: Exchange, query: Mapping[str, str]) -> None:  # noqa: ARG002  # the signer reads it
        """The zip, to whoever holds a valid address."""
        request = exchange.request
        download = self._signer.verify(request.path, request.query, self._clock.now())
        if download is None:
            raise PageError(403, "This address is not valid, or no longer: ask for a new one with GetFunction.")
        try:
            file = os.open(self._artifacts.archive(download.digest), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise PageError(404, "This archive has been deleted.") from None
        try:
            headers = (
                ("Content-Type", "application/zip"),
                ("Content-Length", str(os.fstat(file).st_size)),
                ("Content-Disposition", f'attachment; filename="{_plain(download.filename)}"'),
            )
            exchange.start_response(200, headers)
            if request.method == "GET":
                while chunk := await asyncio.to_thread(os.read, file, _CHUNK_BYTES):
                    await exchange.write(chunk)
            exchange.finish()
        except DisconnectedError:
            return
        finally:
            os.close(file)


def _plain(filename: str) -> str:
    return "".join(letter for letter in filename if letter.isascii() and (letter.isalnum() or letter in "._-"))


def host_pages(
    health: Health, logs: Logs, traces: Traces, runtimes: Runtimes, downloads: Downloads
) -> dict[tuple[str, str], Page]:
    """What the host's door serves."""
    return {
        ("GET", "health"): health.page,
        ("GET", "logs"): logs.page,
        ("GET", "traces"): traces.page,
        ("GET", "runtimes"): runtimes.list_page,
        ("POST", "runtimes"): runtimes.add_page,
        **sandbox_pages(downloads),
    }


def sandbox_pages(downloads: Downloads) -> dict[tuple[str, str], Page]:
    """What a sandbox's door serves."""
    return {("GET", "artifacts"): downloads.page, ("HEAD", "artifacts"): downloads.page}
