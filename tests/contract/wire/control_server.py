"""A real boto3 client whose requests go to the control handlers in this process, with stores in memory.

boto3 blocks, and the handlers are coroutines with tasks of their own: they run on a loop in a thread.
"""

import asyncio
import io
import threading
import zipfile
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import boto3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config

import lamella.control.account
import lamella.control.concurrency
import lamella.control.functions
import lamella.control.layers
import lamella.control.tags
import lamella.control.versions  # noqa: F401 - importing them registers their handlers
from lamella.awsapi.context import Context, Services, new_request_id
from lamella.awsapi.endpoint import Api
from lamella.awsapi.registry import OPERATIONS
from lamella.awsapi.sigv4 import Credential, parse_credential
from lamella.awsapi.spec import ServiceSpec
from lamella.control.garbage import Garbage
from lamella.control.locations import LocationSigner
from lamella.control.services import ControlServices, ControlSettings
from lamella.control.transitions import Transitions
from lamella.domain.function import Architecture, FunctionKey, FunctionVersion
from lamella.ports.runtimes import RuntimeNotInstalledError, RuntimePack
from lamella.testing.clock import FakeClock
from lamella.testing.stores import MemoryArtifactStore, MemoryFunctionStore, MemoryLayerStore

ACCOUNT = "123456789012"
REGION = "eu-central-1"
NOW = datetime(2026, 11, 20, 20, 1, 2, 123456, tzinfo=UTC)
T = TypeVar("T")


class Catalog:
    """Packs for python3.11 (x86_64) and provided.al2023 (both architectures); other runtimes are not installed."""

    def __init__(self) -> None:
        names = [("python3.11", Architecture.X86_64), ("provided.al2023", Architecture.X86_64)]
        names.append(("provided.al2023", Architecture.ARM64))
        self.installed = [
            RuntimePack(name, architecture, Path("/none"), f"{number:064x}", f"{name}.v1", ("/var/runtime/bootstrap",))
            for number, (name, architecture) in enumerate(names)
        ]

    def find(self, name: str, architecture: Architecture) -> RuntimePack:
        for pack in self.installed:
            if (pack.name, pack.architecture) == (name, architecture):
                return pack
        raise RuntimeNotInstalledError(f"no pack for {name} on {architecture}: run `lamella runtime add {name}`")

    def packs(self) -> Sequence[RuntimePack]:
        return self.installed


class Observed:
    def __init__(self) -> None:
        self.settled: list[FunctionVersion] = []
        self.deleted: list[tuple[FunctionKey, str | None]] = []
        self.reserved: list[tuple[FunctionKey, int | None]] = []
        self.tagged: list[tuple[FunctionKey, dict[str, str]]] = []

    def function_settled(self, version: FunctionVersion) -> None:
        self.settled.append(version)

    def function_tagged(self, key: FunctionKey, tags: Mapping[str, str]) -> None:
        self.tagged.append((key, dict(tags)))

    def function_deleted(self, key: FunctionKey, version: str | None) -> None:
        self.deleted.append((key, version))

    def concurrency_changed(self, key: FunctionKey, reserved: int | None) -> None:
        self.reserved.append((key, reserved))


class _Raw(io.BytesIO):
    def stream(self, **_: object) -> Iterator[bytes]:
        yield self.read()


class ControlServer:
    """The handlers, and what they were given.

    Attributes:
        hold: While it is set, no transition takes place: a caller who looks sees the state in between.
    """

    def __init__(self) -> None:
        self.functions = MemoryFunctionStore()
        self.layers = MemoryLayerStore()
        self.artifacts = MemoryArtifactStore()
        self.catalog = Catalog()
        self.observed = Observed()
        self.clock = FakeClock(NOW)
        self.signer = LocationSigner(b"0123456789abcdef")
        self.settings = ControlSettings()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._released = self.run(self._released_event())
        self.garbage = Garbage(self.functions, self.layers, self.artifacts)
        self.transitions = Transitions(self.functions, self.observed, sleep=self._wait_released)
        self.api = Api(_spec(), OPERATIONS)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=30)

    def client(self, *, account: str = ACCOUNT, region: str = REGION) -> Any:  # Any: boto3's clients have no types
        client = _session().client(
            "lambda",
            region_name=region,
            endpoint_url="http://lamella.test:4566",
            aws_access_key_id=account,
            aws_secret_access_key="x",  # nobody checks it
            config=Config(retries={"total_max_attempts": 1}),
        )
        client.meta.events.register("before-send.lambda", self._send)
        return client

    def hold(self) -> None:
        self._loop.call_soon_threadsafe(self._released.clear)

    def release(self) -> None:
        """Let transitions go on, and wait until all that were begun are over."""
        self._loop.call_soon_threadsafe(self._released.set)
        self.run(self.transitions.wait_settled())

    def close(self) -> None:
        self.run(self.transitions.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _released_event(self) -> asyncio.Event:
        event = asyncio.Event()
        event.set()
        return event

    async def _wait_released(self, _: float) -> None:
        await self._released.wait()

    def services(self) -> Services:
        """What handlers work with."""
        control = ControlServices(
            functions=self.functions,
            layers=self.layers,
            artifacts=self.artifacts,
            runtimes=self.catalog,
            observer=self.observed,
            clock=self.clock,
            transitions=self.transitions,
            locations=self.signer,
            garbage=self.garbage,
            settings=self.settings,
        )
        return Services(control)

    def _context(self, credential: Credential | None, base_url: str) -> Context:
        assert credential is not None
        return Context(credential.access_key, credential.region, new_request_id(), base_url, self.services())

    def _send(self, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        url = urlsplit(request.url)
        match = self.api.match(request.method, url.path, url.query)
        assert match is not None
        headers = [(name.lower(), _text(value)) for name, value in request.headers.items()]
        body = request.body if isinstance(request.body, bytes) else (request.body or "").encode()
        context = self._context(parse_credential(headers, url.query), f"{url.scheme}://{url.netloc}")
        answer = self.run(self.api.call(match, url.query, headers, body, context=context))
        return AWSResponse(request.url, answer.status, dict(answer.headers), _Raw(answer.body))


@cache
def _session() -> boto3.session.Session:
    return boto3.session.Session()  # reads the model once


@cache
def _spec() -> ServiceSpec:
    return ServiceSpec.load("lambda")


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def zipped(**files: str) -> bytes:
    """A zip of these files; the same files give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name.replace("__", "."), (2026, 1, 1, 0, 0, 0)), content)
    return buffer.getvalue()
