"""A real boto3 client whose requests go to the control handlers in this process, with stores in memory or SQLite.

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
from tests.support.scripted_images import ScriptedImages

import lamella.control.account
import lamella.control.aliases
import lamella.control.concurrency
import lamella.control.event_invoke
import lamella.control.functions
import lamella.control.layers
import lamella.control.managed_runtimes
import lamella.control.managed_versions
import lamella.control.mappings
import lamella.control.permissions
import lamella.control.provisioned
import lamella.control.recursion
import lamella.control.runtime_management
import lamella.control.scaling_config
import lamella.control.sharing
import lamella.control.signing
import lamella.control.tags
import lamella.control.urls
import lamella.control.versions  # noqa: F401 - importing them registers their handlers
from lamella.adapters.sql.aliases import SqlAliasStore
from lamella.adapters.sql.database import Database
from lamella.adapters.sql.functions import SqlFunctionStore
from lamella.adapters.sql.layers import SqlLayerStore
from lamella.adapters.sql.records import SqlAccountRecordStore, SqlFunctionRecordStore
from lamella.awsapi.context import Context, Services, new_request_id
from lamella.awsapi.endpoint import Api
from lamella.awsapi.registry import OPERATIONS
from lamella.awsapi.serialize import WireResponse
from lamella.awsapi.sigv4 import parse_credential
from lamella.awsapi.spec import ServiceSpec
from lamella.control.event_invoke import EventInvokeServices
from lamella.control.garbage import Garbage
from lamella.control.locations import LocationSigner
from lamella.control.managed_services import Fetches, ManagedServices
from lamella.control.mappings import MappingServices
from lamella.control.provisioned import ProvisioningServices
from lamella.control.services import AliasServices, ControlServices, ControlSettings
from lamella.control.transitions import Transitions
from lamella.control.urls import UrlServices
from lamella.domain.alias import Alias
from lamella.domain.function import Architecture, FunctionKey, FunctionVersion
from lamella.domain.managed_runtime import ManagedRuntime, RuntimeKey
from lamella.domain.mapping import NO_RECORDS, EventSourceMapping
from lamella.domain.url import FunctionUrl
from lamella.ports.provisioning import Provisioned
from lamella.ports.records import Records
from lamella.ports.runtimes import RuntimeNotInstalledError, RuntimePack
from lamella.ports.stores import AliasStore, FunctionStore, LayerStore
from lamella.testing.aws import MemoryAws
from lamella.testing.clock import FakeClock
from lamella.testing.managed import MemoryRuntimeContents
from lamella.testing.records import MemoryAccountRecordStore, MemoryFunctionRecordStore
from lamella.testing.stores import MemoryAliasStore, MemoryArtifactStore, MemoryFunctionStore, MemoryLayerStore

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

    def find(self, name: str, architecture: Architecture, digest: str | None = None) -> RuntimePack:
        for pack in self.installed:
            if (pack.name, pack.architecture) == (name, architecture) and digest in {None, pack.digest}:
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
        self.aliases: dict[tuple[FunctionKey, str], Alias] = {}
        self.policies: list[FunctionKey] = []
        self.event_configs: list[tuple[FunctionKey, str, Mapping[str, Any] | None]] = []
        self.mappings: list[EventSourceMapping] = []
        self.results: dict[str, str] = {}
        self.runtimes: dict[RuntimeKey, ManagedRuntime] = {}

    def runtime_changed(self, runtime: ManagedRuntime) -> None:
        self.runtimes[runtime.key] = runtime

    def mapping_changed(self, mapping: EventSourceMapping) -> None:
        self.mappings.append(mapping)

    def last_result(self, uuid: str) -> str:
        return self.results.get(uuid, NO_RECORDS)

    def function_settled(self, version: FunctionVersion) -> None:
        self.settled.append(version)

    def function_tagged(self, key: FunctionKey, tags: Mapping[str, str]) -> None:
        self.tagged.append((key, dict(tags)))

    def function_deleted(self, key: FunctionKey, version: str | None) -> None:
        self.deleted.append((key, version))

    def event_config_changed(self, key: FunctionKey, qualifier: str, config: Mapping[str, Any] | None) -> None:
        self.event_configs.append((key, qualifier, config))

    def concurrency_changed(self, key: FunctionKey, reserved: int | None) -> None:
        self.reserved.append((key, reserved))

    def alias_changed(self, alias: Alias) -> None:
        self.aliases[alias.key, alias.name] = alias

    def alias_deleted(self, key: FunctionKey, name: str) -> None:
        del self.aliases[key, name]

    def policy_changed(self, key: FunctionKey) -> None:
        self.policies.append(key)


class ObservedUrls:
    """Function URLs as those who serve them know them."""

    def __init__(self) -> None:
        self.urls: dict[str, FunctionUrl] = {}

    def url_changed(self, url: FunctionUrl) -> None:
        self.urls[url.id] = url

    def url_deleted(self, url: FunctionUrl) -> None:
        self.urls.pop(url.id, None)


class Provisioner:
    """Has made what the test says."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, int | None]] = []
        self.found = Provisioned(0, 0)

    def provision(self, key: FunctionKey, qualifier: str, executions: int | None) -> None:
        self.asked.append((key.name, qualifier, executions))

    def provisioned(self, key: FunctionKey, qualifier: str) -> Provisioned:
        return self.found


class _Raw(io.BytesIO):
    def stream(self, **_: object) -> Iterator[bytes]:
        yield self.read()


class ControlServer:
    """The handlers, and what they were given.

    Attributes:
        hold: While it is set, no transition takes place: a caller who looks sees the state in between.
        groups: More services than those of the control handlers.
    """

    def __init__(self, database: Database | None = None) -> None:
        if database is None:
            in_memory = MemoryFunctionStore()
            self.functions: FunctionStore = in_memory
            self.aliases: AliasStore = MemoryAliasStore(in_memory)
            self.layers: LayerStore = MemoryLayerStore()
            self.records = Records(MemoryFunctionRecordStore(in_memory), MemoryAccountRecordStore())
        else:
            self.functions, self.layers = SqlFunctionStore(database), SqlLayerStore(database)
            self.aliases = SqlAliasStore(database)
            self.records = Records(SqlFunctionRecordStore(database), SqlAccountRecordStore(database))
        self.artifacts = MemoryArtifactStore()
        self.aws = MemoryAws()
        self.catalog = Catalog()
        self.observed = Observed()
        self.provisioner = Provisioner()
        self.provisioning = ProvisioningServices(self.provisioner, self.aliases)
        self.observed_urls = ObservedUrls()
        self.urls = UrlServices(observer=self.observed_urls, aliases=self.aliases, domain="localhost", port=4566)
        self.clock = FakeClock(NOW)
        self.signer = LocationSigner(b"0123456789abcdef")
        self.settings = ControlSettings()
        self.groups: list[object] = [self.records]
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self._released = self.run(self._released_event())
        self.images = ScriptedImages()
        self.garbage = Garbage(self.functions, self.layers, self.artifacts, self.images)
        self.transitions = Transitions(self.functions, self.observed, self.images, sleep=self._wait_released)
        self.contents = MemoryRuntimeContents()
        self.fetches = Fetches(self.records.accounts, self.contents, self.observed, self.clock)
        self.api = Api(_spec("lambda"), OPERATIONS, [_spec("lambda-core")])

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout=30)

    # Any: boto3's clients have no types
    def client(self, *, account: str = ACCOUNT, region: str = REGION, service: str = "lambda") -> Any:
        client = _session().client(
            service,
            region_name=region,
            endpoint_url="http://lamella.test:4566",
            aws_access_key_id=account,
            aws_secret_access_key="x",  # nobody checks it
            config=Config(retries={"total_max_attempts": 1}),
        )
        client.meta.events.register(f"before-send.{service}", self._send)
        return client

    def hold(self) -> None:
        self.loop.call_soon_threadsafe(self._released.clear)

    def release(self) -> None:
        """Let transitions go on, and wait until all that were begun are over."""
        self.loop.call_soon_threadsafe(self._released.set)
        self.run(self.transitions.wait_settled())

    def close(self) -> None:
        self.run(self.transitions.close())
        self.run(self.fetches.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    async def _released_event(self) -> asyncio.Event:
        event = asyncio.Event()
        event.set()
        return event

    async def _wait_released(self, _: float) -> None:
        await self._released.wait()

    def answer(
        self, request: AWSPreparedRequest, *, account: str = ACCOUNT, region: str = REGION, body: bytes | None = None
    ) -> WireResponse:
        """Answer a request that a client has prepared.

        Args:
            request: Its signature is not looked at.
            account: Whose request it is.
            region: Where to.
            body: What to send in place of the request's own body.
        """
        url = urlsplit(request.url)
        match = self.api.match(request.method, url.path, url.query)
        assert match is not None
        headers = [(name.lower(), _text(value)) for name, value in request.headers.items()]
        if body is None:
            body = request.body if isinstance(request.body, bytes) else (request.body or "").encode()
        context = self._context(account, region, f"{url.scheme}://{url.netloc}")
        return self.run(self.api.call(match, url.query, headers, body, context=context))

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
            aws=self.aws,
            images=self.images,
            settings=self.settings,
        )
        managed = ManagedServices(self.contents, self.observed, self.fetches)
        mine = (managed, EventInvokeServices(self.observed), MappingServices(self.observed), self.provisioning)
        return Services(control, AliasServices(self.aliases), self.urls, *mine, *self.groups)

    def _context(self, account: str, region: str, base_url: str) -> Context:
        return Context(account, region, new_request_id(), base_url, self.services())

    def _send(self, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        headers = [(name.lower(), _text(value)) for name, value in request.headers.items()]
        credential = parse_credential(headers, urlsplit(request.url).query)
        assert credential is not None
        answer = self.answer(request, account=credential.access_key, region=credential.region)
        return AWSResponse(request.url, answer.status, dict(answer.headers), _Raw(answer.body))


@cache
def _session() -> boto3.session.Session:
    return boto3.session.Session()  # reads the model once


@cache
def _spec(service: str) -> ServiceSpec:
    return ServiceSpec.load(service)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def zipped(**files: str) -> bytes:
    """A zip of these files; the same files give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name.replace("__", "."), (2026, 1, 1, 0, 0, 0)), content)
    return buffer.getvalue()
