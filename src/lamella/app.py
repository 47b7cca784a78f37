"""Puts a node together: the only place where adapters meet the core."""

import asyncio
import gc
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version as package_version
from time import monotonic
from typing import Final

import uvloop

# Imported for their handlers, which register themselves.
import lamella.control.account
import lamella.control.aliases
import lamella.control.concurrency
import lamella.control.event_invoke
import lamella.control.functions
import lamella.control.layers
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
import lamella.control.versions  # noqa: F401
from lamella.access import Access, Keyring
from lamella.adapters.clock import SystemClock
from lamella.adapters.destinations import AwsDestinations
from lamella.adapters.filesystem.artifacts import FilesystemArtifactStore
from lamella.adapters.filesystem.directory import SQLITE_FILE, DataDirectory, DirectoryError
from lamella.adapters.logs import FileLogStore
from lamella.adapters.sandbox.mounts import enter_private_mount_namespace
from lamella.adapters.sandbox.oci import OciSandboxProvider, OciSettings
from lamella.adapters.sql.aliases import SqlAliasStore
from lamella.adapters.sql.checkpoints import SqlCheckpointStore
from lamella.adapters.sql.credentials import SqlCredentialStore
from lamella.adapters.sql.database import Database
from lamella.adapters.sql.functions import SqlFunctionStore
from lamella.adapters.sql.layers import SqlLayerStore
from lamella.adapters.sql.queue import SqlEventQueue
from lamella.adapters.sql.records import SqlAccountRecordStore, SqlFunctionRecordStore
from lamella.adapters.traces import FileTraceStore
from lamella.awsapi.context import Services
from lamella.awsapi.endpoint import Api
from lamella.awsapi.registry import OPERATIONS
from lamella.awsapi.spec import ServiceSpec
from lamella.config.kinds import Address
from lamella.config.settings import Settings
from lamella.control.event_invoke import KIND as EVENT_INVOKE_CONFIG
from lamella.control.event_invoke import EventInvokeServices, configurations
from lamella.control.garbage import Garbage
from lamella.control.locations import LocationSigner
from lamella.control.mappings import MappingServices
from lamella.control.provisioned import ProvisioningServices, load_provisions
from lamella.control.services import AliasServices, ControlServices, ControlSettings
from lamella.control.transitions import Transitions
from lamella.control.urls import UrlServices
from lamella.domain.function import FunctionKey
from lamella.domain.network import Network, NetworkPolicy, policy
from lamella.domain.quotas import LimitProfile
from lamella.frontdoor import Door, FrontDoor
from lamella.httpserver.server import HttpServer
from lamella.invoke.asynchronous import AsynchronousServices
from lamella.invoke.callee import RoutedCallee
from lamella.invoke.dispatcher import Dispatcher
from lamella.invoke.freezer import Freezer
from lamella.invoke.host import NodeServices
from lamella.invoke.mappings import MappingPorts, Mappings
from lamella.invoke.networks import Networks
from lamella.invoke.permissions import Permissions
from lamella.invoke.recorders import Recorders
from lamella.invoke.router import Router, RouterSettings
from lamella.invoke.service import InvokeServices
from lamella.invoke.targets import Targets
from lamella.invoke.tasks import Tasks
from lamella.invoke.url_guard import OwnAccountGuard, VerifyingGuard
from lamella.invoke.urls import DOMAIN, Urls
from lamella.lifecycle.admission import Limits
from lamella.neighbour.client import AwsClient
from lamella.neighbour.endpoint import Endpoint, parse_override
from lamella.neighbour.moto import MotoProcess, is_installed
from lamella.neighbour.proxy import Neighbours
from lamella.neighbour.upstream import UpstreamError
from lamella.pages import Credentials, Downloads, Events, Health, Logs, Runtimes, Traces, host_pages, sandbox_pages
from lamella.ports.errors import UnavailableError
from lamella.ports.records import Records
from lamella.ports.sandbox import SandboxError, SandboxProblem
from lamella.runtimes.catalog import PackCatalog
from lamella.sidedoor import SideDoor

_log = logging.getLogger(__name__)

_SANDBOX_ADDRESS: Final = "169.254.100.1"
_ENDPOINT_PORT: Final = 4566
_LOOPBACK_NAMES: Final = frozenset({"localhost", "*.localhost", "127.0.0.1", "::1"})
_COLLECT_EVERY_S: Final = 600.0


def serve(settings: Settings) -> int:
    """Run a node until it is told to stop.

    Returns:
        Exit status: 0 after a clean stop, 1 if the node could not start; the reason is on stderr.
    """
    _configure_log(settings)
    try:
        # Before any thread exists: a mount namespace is entered by a thread, not by a process.
        enter_private_mount_namespace()
    except PermissionError:
        print("lamella: making sandboxes takes root: use sudo; 'lamella doctor' says what is missing", file=sys.stderr)
        return 1
    try:
        with DataDirectory(settings.data) as directory:
            return uvloop.run(_serve(settings, directory))
    except (AddressError, NeighbourError, DirectoryError, SandboxError, UnavailableError, OSError) as error:
        print(f"lamella: {error}", file=sys.stderr)  # the user's terminal, not the log
        return 1


def diagnose(settings: Settings) -> list[SandboxProblem]:
    """What `lamella doctor` shows; changes nothing."""
    return _provider(settings, instance="doctor").diagnose()


async def _serve(settings: Settings, directory: DataDirectory) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with _node(settings, directory) as url:
        _calm_garbage_collector()
        # One line, flushed, on stdout: what scripts wait for.
        print(f"Lamella is ready at {url} (data in {settings.data}, process {os.getpid()})", flush=True)
        await stop.wait()
        _log.info("stopping: running invocations have %g s to end", settings.drain_timeout_s)
    _log.info("stopped")
    return 0


def _calm_garbage_collector() -> None:
    """Keep the collector from walking again and again what lives as long as the process: service model and imports.

    What an invocation allocates is freed by reference counting; cycles are rare, so they may wait longer.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@asynccontextmanager
async def _node(settings: Settings, directory: DataDirectory) -> AsyncIterator[str]:
    """Everything from the database to the listener, in the order of need; released in the opposite order."""
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(_claim(settings.listen))
        database = await asyncio.to_thread(_database, settings, directory)
        stack.callback(database.close)
        functions, layers, aliases = SqlFunctionStore(database), SqlLayerStore(database), SqlAliasStore(database)
        records = Records(SqlFunctionRecordStore(database), SqlAccountRecordStore(database))
        artifacts = await asyncio.to_thread(FilesystemArtifactStore, settings.data / "artifacts")
        packs = await asyncio.to_thread(PackCatalog, settings.data / "runtimes")
        await asyncio.to_thread(packs.ensure_defaults, progress=_log.info)
        # Nothing runs yet, so the only superseded packs in use are those that functions keep.
        await asyncio.to_thread(packs.prune, await functions.kept_runtimes())
        queue = SqlEventQueue(database, history=settings.async_history)
        stack.push_async_callback(queue.close)
        logs = FileLogStore(settings.data / "logs")
        stack.callback(logs.close)
        recorders = Recorders(FileTraceStore(settings.data / "traces") if settings.flight_recorder else None)
        stack.push_async_callback(recorders.close)
        sandboxes = _provider(settings, instance=directory.instance)
        stack.push_async_callback(sandboxes.close)
        await sandboxes.start()
        granted = _network_policy(settings, nat_works=sandboxes.nat_works)
        if granted.default is Network.HOST:
            _log.warning("functions share the network of this host, with all that listens on it: network = host")
        networks = Networks(granted)

        neighbours = _neighbours(settings, stack)

        clock, signer = SystemClock(), LocationSigner(directory.derive("downloads"))
        limits = LimitProfile(settings.limits)
        if limits is LimitProfile.RELAXED:
            _log.warning("limits are relaxed: what works here may be refused by AWS; warnings say what")
        keyring = Keyring(SqlCredentialStore(database), clock, directory.operator_key)
        await keyring.load(settings.account_id)
        access = Access(keyring, clock, required=settings.auth == "sigv4")
        downloads = Downloads(artifacts, signer, clock)
        services: Services

        @lru_cache(maxsize=1024)
        def endpoint_for(key: FunctionKey) -> FrontDoor:
            names = _LOOPBACK_NAMES | {_SANDBOX_ADDRESS, "sandbox", "sandbox.localdomain"}
            door = Door(
                key.region, key.account, one_account=True, hosts=names, pages=sandbox_pages(downloads), limits=limits
            )
            return FrontDoor(api, services, door, neighbours)

        freezer = Freezer()
        stack.callback(freezer.close)
        router = Router(
            RouterSettings(
                max_environments=settings.max_environments,
                idle_timeout_s=settings.idle_timeout_s,
                spare_sandboxes=settings.spare_sandboxes,
                init_timeout_s=settings.init_timeout_s,
                cpu_limits=settings.cpu_limits,
                dev_shm=settings.dev_shm,
                freeze=settings.freeze,
                endpoint_url=f"http://{{address}}:{_ENDPOINT_PORT}",
                secret_access_key=directory.derive("functions").hex()[:40],
                queue_timeout_s=settings.queue_timeout_s,
                limits=Limits(scaling_rate=settings.scaling_rate),
                rates_bind=LimitProfile(settings.limits) is LimitProfile.AWS,
            ),
            functions,
            Targets(functions, aliases),
            artifacts,
            packs,
            NodeServices(sandboxes, logs, freezer, endpoint_for, Tasks(), recorders.make),
            networks,
            permissions=Permissions(records.functions, settings.organizations),
        )
        port = listener.getsockname()[1]
        own_url = f"http://{type(settings.listen)(settings.listen.host, port)}"
        aws = await asyncio.to_thread(
            AwsClient, neighbours, settings.data / "downloads", credentials=_own_credentials()
        )
        destinations = AwsDestinations(aws)
        dispatcher = Dispatcher(
            queue,
            router,
            destinations,
            clock,
            concurrency=max(1, settings.max_environments // 2),
            scale=settings.async_retry_scale,
        )
        router.on_deletion(dispatcher.function_deleted)
        transitions = Transitions(functions, router, delay_s=settings.state_delay_s)
        stack.push_async_callback(transitions.close)
        garbage = Garbage(functions, layers, artifacts)
        invoking = InvokeServices(router, stream_rate_limit=settings.stream_rate_limit)
        guard = VerifyingGuard(access) if access.required else OwnAccountGuard(settings.account_id)
        urls = Urls(invoking, guard, clock, port=port)
        checkpoints = SqlCheckpointStore(database)
        sources = MappingPorts(records.accounts, checkpoints, aws, destinations, RoutedCallee(router), clock)
        mappings = Mappings(sources, delay_s=settings.state_delay_s)
        services = Services(
            ControlServices(
                functions=functions,
                layers=layers,
                artifacts=artifacts,
                runtimes=packs,
                observer=router,
                clock=clock,
                transitions=transitions,
                locations=signer,
                garbage=garbage,
                aws=aws,
                settings=ControlSettings(
                    allow_deprecated_runtimes=settings.allow_deprecated_runtimes,
                    networks=granted,
                    organizations=settings.organizations,
                    limits=limits,
                ),
            ),
            AliasServices(aliases),
            ProvisioningServices(router.provisions, aliases),
            UrlServices(observer=urls, aliases=aliases, domain=DOMAIN, port=port),
            invoking,
            AsynchronousServices(dispatcher, clock),
            EventInvokeServices(dispatcher),
            records,
            MappingServices(mappings),
        )
        api = Api(ServiceSpec.load("lambda"), OPERATIONS)
        await _start_neighbour(settings, neighbours, api, services, own_url)
        await router.load()
        await urls.load(records.functions)
        await dispatcher.load(configurations(await records.functions.every(EVENT_INVOKE_CONFIG)))
        await transitions.resume()
        await garbage.collect()
        collector = asyncio.create_task(_collect(garbage, router), name="collect garbage")
        stack.callback(collector.cancel)
        router.start()
        await load_provisions(records.functions, router.provisions)
        dispatcher.start()
        await mappings.start()

        health = Health(package_version("lamella"), router)
        log_pages = Logs(logs, account=settings.account_id, region=settings.region)
        credentials = Credentials(keyring, settings.account_id)
        events = Events(queue, account=settings.account_id, region=settings.region)
        pages = host_pages(health, log_pages, Traces(recorders), events, Runtimes(packs), downloads, credentials)
        door = Door(
            settings.region,
            settings.account_id,
            one_account=False,
            hosts=_LOOPBACK_NAMES | {settings.listen.host, *settings.hosts},
            pages=pages,
            access=access,
            limits=limits,
            any_address=not settings.listen.is_loopback,
            urls=urls,
        )
        if not settings.listen.is_loopback:
            _log.warning("other machines are served over plain HTTP: a proxy in front of the server has to add TLS")
        server = HttpServer(FrontDoor(api, services, door, neighbours))
        await server.start(sock=listener)
        try:
            yield own_url
        finally:
            health.draining = True
            log_pages.stop()
            # The listener closes at once; what it has accepted may end within the grace, with its environments.
            deadline_s = monotonic() + settings.drain_timeout_s
            dispatcher.stop()
            await server.close(grace_s=settings.drain_timeout_s)
            await dispatcher.close(grace_s=max(0.0, deadline_s - monotonic()))
            await mappings.close(grace_s=max(0.0, deadline_s - monotonic()))
            await router.close(grace_s=max(0.0, deadline_s - monotonic()))


def _database(settings: Settings, directory: DataDirectory) -> Database:
    """Open the database that goes with the data directory; blocks.

    Raises:
        DirectoryError, UnavailableError: It cannot be used, or does not go with it; nothing has changed.
    """
    if settings.database == "sqlite":
        directory.check_database("sqlite")
        database = Database.open(settings.data / SQLITE_FILE)
        directory.keep_database("sqlite")
    else:
        directory.check_database("postgresql")
        database = Database.open(settings.database, directory=directory.instance, known=bool(directory.database))
        directory.keep_database("postgresql")
    return database


def _claim(address: Address) -> socket.socket:
    """Take the address before anything that costs time; nobody is let in until the server listens on it.

    Raises:
        AddressError: Somebody else has it, or it cannot be had.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    claimed = socket.socket(family, socket.SOCK_STREAM)
    claimed.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        claimed.bind((address.host, address.port))
        # Without this a second server could bind as well, as long as nobody listens.
        claimed.listen(1)
    except OSError as error:
        claimed.close()
        raise AddressError(
            f"cannot listen on {address}: {error.strerror}; if another program serves there, stop it or choose "
            "another address with --listen"
        ) from error
    return claimed


def _provider(settings: Settings, *, instance: str) -> OciSandboxProvider:
    wanted = _network_policy(settings, nat_works=True)
    return OciSandboxProvider(
        OciSettings(
            runtime=settings.sandbox_runtime,
            state_dir=settings.data / "run",
            instance=instance,
            endpoint_port=_ENDPOINT_PORT,
            network=wanted.default,
            nat=Network.NAT in wanted.allowed,
            nat_required="nat" in (settings.network, settings.network_limit),
            nat_blocked=settings.network_blocked,
            name_servers=settings.network_dns,
        )
    )


def _network_policy(settings: Settings, *, nat_works: bool) -> NetworkPolicy:
    default = Network.NAT if settings.network == "auto" else Network(settings.network)
    limit = default if settings.network_limit == "same" else Network(settings.network_limit)
    return policy(default, limit, nat_works=nat_works)


def _neighbours(settings: Settings, stack: AsyncExitStack) -> Neighbours:
    """Who answers for the services that are not Lambda's.

    Raises:
        NeighbourError: moto is asked for, and is not installed.
    """
    overrides = dict(parse_override(text) for text in settings.neighbour_services)
    wanted = settings.neighbour
    if wanted == "off":
        return Neighbours(overrides, None, "its neighbour is turned off by the setting neighbour = off")
    if wanted not in ("auto", "moto"):
        return Neighbours(overrides, Endpoint.parse(wanted))
    if not is_installed():
        advice = "run pip install 'lamella[neighbour]', or name an endpoint in the setting neighbour or "
        absence = f"no neighbour is installed that would: {advice}neighbour_services"
        if wanted == "moto":
            raise NeighbourError("moto is not installed: run pip install 'lamella[neighbour]'")
        return Neighbours(overrides, None, absence)
    apart = settings.auth == "sigv4"
    moto = MotoProcess(settings.data / "neighbour", account=settings.account_id, apart=apart)
    stack.push_async_callback(moto.close)
    return Neighbours(overrides, moto)


async def _start_neighbour(
    settings: Settings, neighbours: Neighbours, api: Api, services: Services, own_url: str
) -> None:
    """Let moto, if it is the neighbour, reach Lambda here; start it if the settings want it at once.

    Raises:
        NeighbourError: It does not start.
    """
    moto = neighbours.other
    if not isinstance(moto, MotoProcess):
        return
    limits = LimitProfile(settings.limits)
    moto.answer_with(SideDoor(api, services, base_url=own_url, secret=moto.secret, limits=limits))
    if settings.neighbour == "moto":
        try:
            await moto.wait_ready()
        except UpstreamError as error:
            raise NeighbourError(f"moto does not start: {error}") from error


def _own_credentials() -> tuple[str, str] | None:
    """Those that Lamella itself signs with where an endpoint of the settings verifies signatures."""
    key, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    return (key, secret) if key and secret else None


async def _collect(garbage: Garbage, router: Router) -> None:
    """Take away archives that nothing refers to, now and then: a deletion need not wait for the disk."""
    while True:
        await asyncio.sleep(_COLLECT_EVERY_S)
        try:
            count = await garbage.collect(in_use=router.mounted_digests)
        except Exception:  # noqa: BLE001  # the next time it may work; the operator is told
            _log.exception("artifacts that nothing refers to could not be deleted")
            continue
        if count:
            _log.info("deleted %d artifacts that nothing refers to", count)


class NeighbourError(Exception):
    """The neighbour that the settings ask for cannot be had."""


class AddressError(Exception):
    """The address to listen on cannot be had; the text says why and what to do."""


class _JsonFormatter(logging.Formatter):
    """One object for each record."""

    def format(self, record: logging.LogRecord) -> str:
        document = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name in ("request_id", "function", "environment"):
            if hasattr(record, name):
                document[name] = getattr(record, name)
        if record.exc_info:
            document["traceback"] = self.formatException(record.exc_info)
        return json.dumps(document)


def _configure_log(settings: Settings) -> None:
    handler = logging.StreamHandler(sys.stderr)
    if settings.log_format == "json":
        handler.setFormatter(_JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
