"""Puts a node together: this package is the only place where adapters meet the core."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version as package_version
from time import monotonic
from typing import Final, Protocol

from lamella.access import Access, Keyring
from lamella.adapters.clock import SystemClock
from lamella.adapters.destinations import AwsDestinations
from lamella.adapters.filesystem.directory import DataDirectory
from lamella.app.managed import Managed, open_managed
from lamella.app.operations import OPERATIONS
from lamella.app.outside import aws_client, choose_neighbours, start_neighbour
from lamella.app.sandboxing import ENDPOINT_PORT, SANDBOX_ADDRESS, start_sandboxing
from lamella.app.stores import Stores, open_stores
from lamella.app.verifying import open_conformance
from lamella.app.workshop import Workshop, open_workshop
from lamella.awsapi.context import Services
from lamella.awsapi.endpoint import Api
from lamella.awsapi.spec import ServiceSpec
from lamella.config.kinds import Address
from lamella.config.settings import Settings
from lamella.control.channel_updates import ChannelUpdates
from lamella.control.event_invoke import KIND as EVENT_INVOKE_CONFIG
from lamella.control.event_invoke import EventInvokeServices, configurations
from lamella.control.garbage import Garbage
from lamella.control.locations import LocationSigner
from lamella.control.managed_services import ManagedServices
from lamella.control.mappings import MappingServices
from lamella.control.provisioned import ProvisioningServices, load_provisions
from lamella.control.services import AliasServices, ControlServices, ControlSettings
from lamella.control.transitions import Transitions
from lamella.control.urls import UrlServices
from lamella.domain.function import Architecture, FunctionKey
from lamella.domain.network import NetworkPolicy
from lamella.domain.quotas import LimitProfile
from lamella.frontdoor import LIMITS, Door, FrontDoor, Page
from lamella.httpserver.server import HttpServer
from lamella.invoke.asynchronous import AsynchronousServices
from lamella.invoke.callee import RoutedCallee
from lamella.invoke.deployment import NodeServices
from lamella.invoke.dispatcher import Dispatcher
from lamella.invoke.freezer import Freezer
from lamella.invoke.mappings import MappingPorts, Mappings
from lamella.invoke.measurements import Measurements
from lamella.invoke.networks import Networks
from lamella.invoke.permissions import Permissions
from lamella.invoke.router import Router, RouterSettings
from lamella.invoke.service import InvokeServices
from lamella.invoke.targets import Targets
from lamella.invoke.tasks import Tasks
from lamella.invoke.url_guard import OwnAccountGuard, VerifyingGuard
from lamella.invoke.urls import DOMAIN, Urls
from lamella.lifecycle.admission import Limits
from lamella.neighbour.proxy import Neighbours
from lamella.pages import Credentials, Downloads, Events, Health, Logs, Runtimes, Traces, host_pages, sandbox_pages
from lamella.pages.channels import ChannelPages
from lamella.pages.images import ImagePages
from lamella.pages.mirror import MirrorPages
from lamella.pages.retention import RetentionPages
from lamella.pages.runtimes import Users
from lamella.ports.aws import AwsServices
from lamella.ports.clock import Clock
from lamella.ports.sandbox import SandboxProvider
from lamella.runtimes.foreign import Emulations
from lamella.runtimes.offers import offers
from lamella.runtimes.system import host_architecture

_log = logging.getLogger(__name__)

_LOOPBACK_NAMES: Final = frozenset({"localhost", "*.localhost", "127.0.0.1", "::1"})
_SANDBOX_NAMES: Final = _LOOPBACK_NAMES | {SANDBOX_ADDRESS, "sandbox", "sandbox.localdomain"}
_COLLECT_EVERY_S: Final = 600.0


class AddressError(Exception):
    """The address to listen on cannot be had; the text says why and what to do."""


@asynccontextmanager
async def running_node(settings: Settings, directory: DataDirectory) -> AsyncIterator[str]:
    """Everything from the database to the listener, in the order of need; released in the opposite order.

    Yields where it listens. What was accepted by then may end within the setting `drain_timeout_s`.

    Raises:
        AddressError, NeighbourError, DirectoryError, SandboxError, UnavailableError: See there.
    """
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(_claim(settings.listen))
        address = Address(settings.listen.host, listener.getsockname()[1])
        stores = await open_stores(settings, directory, stack)
        sandboxes, granted = await start_sandboxing(settings, directory.instance, stack)
        neighbours = choose_neighbours(settings, stack)
        aws = await aws_client(settings, neighbours)

        clock, signer = SystemClock(), LocationSigner(directory.derive("downloads"))
        limits = LimitProfile(settings.limits)
        if limits is LimitProfile.RELAXED:
            _log.warning("limits are relaxed: what works here may be refused by AWS; warnings say what")
        keyring = Keyring(stores.credentials, clock, directory.operator_key)
        await keyring.load(settings.account_id)
        access = Access(keyring, clock, required=settings.auth == "sigv4")
        downloads = Downloads(stores.artifacts, signer, clock)

        inside = _Inside(downloads, neighbours, limits)
        measurements = Measurements()
        managed = open_managed(settings, stores, stores.images)
        router = _router(settings, stores, sandboxes, granted, inside, measurements, directory, managed, stack)
        plane = _plane(settings, stores, router, access, aws, clock, address.port, stack)
        workshop = await open_workshop(settings, stores, sandboxes, clock, stack)
        conformance = open_conformance(settings, stores, managed.runtimes, sandboxes)
        plane.garbage.keep_images(conformance.digests_in_use)
        control = ControlServices(
            functions=stores.functions,
            layers=stores.layers,
            artifacts=stores.artifacts,
            runtimes=stores.packs,
            observer=router,
            clock=clock,
            transitions=plane.transitions,
            locations=signer,
            garbage=plane.garbage,
            aws=aws,
            images=stores.images,
            settings=ControlSettings(
                allow_deprecated_runtimes=settings.allow_deprecated_runtimes,
                networks=granted,
                organizations=settings.organizations,
                limits=limits,
            ),
            gate=workshop.gate,
        )
        fetching = managed.serve(stores, router, clock, stack)
        services = _services(stores, plane, control, fetching, address.port)
        api = Api(ServiceSpec.load("lambda"), OPERATIONS, [ServiceSpec.load("lambda-core")])
        inside.answer_with(api, services)
        await start_neighbour(settings, neighbours, api, services, f"http://{address}", measurements)
        await _resume(stores, plane, (workshop.examiner, conformance), fetching, managed, stack)
        channels = ChannelUpdates(services)
        stack.push_async_callback(channels.close)
        await channels.resume()

        mirrors = MirrorPages(channels.context, signer, clock, settings.data / "workshop")
        images = ImagePages(stores.images, plane.garbage.images_in_use, settings.data / "workshop", host_architecture())
        runtimes = managed.pages(settings, channels.context)
        pages = _HostPages(
            settings,
            stores,
            router,
            downloads,
            keyring,
            workshop,
            clock,
            images,
            _layer_pages(settings, channels, mirrors),
            runtimes.pages(),
        )
        door = Door(
            settings.region,
            settings.account_id,
            one_account=False,
            hosts=_LOOPBACK_NAMES | {settings.listen.host, *settings.hosts},
            pages=pages.all,
            uploads={
                **workshop.layers.uploads,
                **mirrors.uploads,
                **images.uploads,
                **conformance.uploads,
                **runtimes.uploads,
            },
            access=access,
            limits=limits,
            any_address=not settings.listen.is_loopback,
            urls=plane.urls,
        )
        if not settings.listen.is_loopback:
            _log.warning("other machines are served over plain HTTP: a proxy in front of the server has to add TLS")
        server = HttpServer(FrontDoor(api, services, door, neighbours), LIMITS)
        await server.start(sock=listener)
        try:
            yield f"http://{address}"
        finally:
            pages.drain()
            conformance.turns.stop()
            await _drain(plane, server, grace_s=settings.drain_timeout_s)


class _ArtifactUser(Protocol):
    """Whoever looks at archives and images that nothing may refer to any more."""

    def digests_in_use(self) -> frozenset[str]:
        """Artifacts, images and packs that must not be collected."""


class _Inside:
    """The doors within sandboxes: one for each function, which acts for its account in its region."""

    def __init__(self, downloads: Downloads, neighbours: Neighbours, limits: LimitProfile) -> None:
        self._pages = sandbox_pages(downloads)
        self._neighbours = neighbours
        self._limits = limits
        self._api: Api
        self._services: Services
        self.door = lru_cache(maxsize=1024)(self._door)

    def answer_with(self, api: Api, services: Services) -> None:
        """Once, before the first sandbox is made."""
        self._api, self._services = api, services

    def _door(self, key: FunctionKey) -> FrontDoor:
        door = Door(
            key.region, key.account, one_account=True, hosts=_SANDBOX_NAMES, pages=self._pages, limits=self._limits
        )
        return FrontDoor(self._api, self._services, door, self._neighbours)


@dataclass(frozen=True, slots=True)
class _Plane:
    """What runs functions, by whatever way they are asked for."""

    router: Router
    invoking: InvokeServices
    urls: Urls
    dispatcher: Dispatcher
    mappings: Mappings
    transitions: Transitions
    garbage: Garbage
    clock: Clock


def _router(
    settings: Settings,
    stores: Stores,
    sandboxes: SandboxProvider,
    granted: NetworkPolicy,
    inside: _Inside,
    measurements: Measurements,
    directory: DataDirectory,
    managed: Managed,
    stack: AsyncExitStack,
) -> Router:
    freezer = Freezer()
    stack.callback(freezer.close)
    return Router(
        RouterSettings(
            max_environments=settings.max_environments,
            idle_timeout_s=settings.idle_timeout_s,
            spare_sandboxes=settings.spare_sandboxes,
            init_timeout_s=settings.init_timeout_s,
            cpu_limits=settings.cpu_limits,
            dev_shm=settings.dev_shm,
            freeze=settings.freeze,
            endpoint_url=f"http://{{address}}:{ENDPOINT_PORT}",
            secret_access_key=directory.derive("functions").hex()[:40],
            queue_timeout_s=settings.queue_timeout_s,
            limits=Limits(scaling_rate=settings.scaling_rate),
            rates_bind=LimitProfile(settings.limits) is LimitProfile.AWS,
        ),
        stores.functions,
        Targets(stores.functions, stores.aliases),
        stores.artifacts,
        stores.packs,
        NodeServices(sandboxes, stores.logs, freezer, inside.door, Tasks(), stores.recorders.make, measurements),
        Networks(granted),
        permissions=Permissions(stores.records.functions, settings.organizations),
        images=stores.images,
        complaint=_complaint(Emulations()),
        managed=managed.runtimes,
    )


def _plane(
    settings: Settings,
    stores: Stores,
    router: Router,
    access: Access,
    aws: AwsServices,
    clock: Clock,
    port: int,
    stack: AsyncExitStack,
) -> _Plane:
    destinations = AwsDestinations(aws)
    dispatcher = Dispatcher(
        stores.queue,
        router,
        destinations,
        clock,
        concurrency=max(1, settings.max_environments // 2),
        scale=settings.async_retry_scale,
    )
    router.on_deletion(dispatcher.function_deleted)
    transitions = Transitions(stores.functions, router, stores.images, delay_s=settings.state_delay_s)
    stack.push_async_callback(transitions.close)
    invoking = InvokeServices(router, stream_rate_limit=settings.stream_rate_limit)
    guard = VerifyingGuard(access) if access.required else OwnAccountGuard(settings.account_id)
    garbage = Garbage(stores.functions, stores.layers, stores.artifacts, stores.images)
    garbage.keep_images(router.mounted_images)
    garbage.keep_images(stores.packs.images)
    garbage.keep_images(router.managed.digests)
    garbage.keep_images(router.mounted_packs)
    sources = MappingPorts(stores.records.accounts, stores.checkpoints, aws, destinations, RoutedCallee(router), clock)
    return _Plane(
        router=router,
        invoking=invoking,
        urls=Urls(invoking, guard, clock, port=port),
        dispatcher=dispatcher,
        mappings=Mappings(sources, delay_s=settings.state_delay_s),
        transitions=transitions,
        garbage=garbage,
        clock=clock,
    )


def _services(stores: Stores, plane: _Plane, control: ControlServices, managed: ManagedServices, port: int) -> Services:
    """What the handlers of operations work with, a group for each that wants one."""
    return Services(
        control,
        AliasServices(stores.aliases),
        ProvisioningServices(plane.router.provisions, stores.aliases),
        UrlServices(observer=plane.urls, aliases=stores.aliases, domain=DOMAIN, port=port),
        plane.invoking,
        AsynchronousServices(plane.dispatcher, plane.clock),
        EventInvokeServices(plane.dispatcher),
        stores.records,
        MappingServices(plane.mappings),
        managed,
    )


async def _resume(
    stores: Stores,
    plane: _Plane,
    users: Sequence[_ArtifactUser],
    fetching: ManagedServices,
    managed: Managed,
    stack: AsyncExitStack,
) -> None:
    """Go on where the last process ended, be it in the middle of something."""
    await plane.router.load()
    await fetching.fetches.resume()
    await plane.urls.load(stores.records.functions)
    await plane.dispatcher.load(configurations(await stores.records.functions.every(EVENT_INVOKE_CONFIG)))
    await plane.transitions.resume()
    await plane.garbage.collect()
    collector = asyncio.create_task(
        _collect(plane.garbage, plane.router, users, managed, fetching), name="collect garbage"
    )
    stack.callback(collector.cancel)
    plane.router.start()
    await load_provisions(stores.records.functions, plane.router.provisions)
    plane.dispatcher.start()
    await plane.mappings.start()


async def _drain(plane: _Plane, server: HttpServer, *, grace_s: float) -> None:
    """The listener closes at once; what it has accepted may end within the grace, with its environments."""
    deadline_s = monotonic() + grace_s
    plane.dispatcher.stop()
    plane.mappings.stop()  # what is taken from a queue now might have no time left
    await server.close(grace_s=grace_s)
    await plane.dispatcher.close(grace_s=max(0.0, deadline_s - monotonic()))
    await plane.mappings.close(grace_s=max(0.0, deadline_s - monotonic()))
    await plane.router.close(grace_s=max(0.0, deadline_s - monotonic()))


class _HostPages:
    """Lamella's own pages on the listener."""

    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        router: Router,
        downloads: Downloads,
        keyring: Keyring,
        workshop: Workshop,
        clock: Clock,
        images: ImagePages,
        *more: Mapping[tuple[str, str], Page],
    ) -> None:
        self._health = Health(package_version("lamella"), router)
        self._runtimes = Runtimes(
            stores.packs, stores.images, _users(stores), offers, clock, workshop.runtime_contents.page
        )
        self._logs = Logs(stores.logs, account=settings.account_id, region=settings.region)
        self.all = host_pages(
            self._health,
            self._logs,
            Traces(stores.recorders),
            Events(stores.queue, account=settings.account_id, region=settings.region),
            self._runtimes,
            downloads,
            Credentials(keyring, settings.account_id),
            workshop.layers.pages,
            images.pages(),
            *more,
        )
        self._workshop = workshop
        self._images = images

    def drain(self) -> None:
        """Tell load balancers to go elsewhere, and end what would go on for ever."""
        self._health.draining = True
        self._logs.stop()
        self._workshop.layers.stop()
        self._images.stop()
        self._runtimes.stop()


def _users(stores: Stores) -> Users:
    """Who uses a runtime: function versions by their ARN."""

    async def users(runtime: str, architecture: Architecture) -> list[str]:
        return [key.arn(version) for key, version in await stores.functions.users_of(runtime, architecture)]

    return users


def _layer_pages(settings: Settings, channels: ChannelUpdates, mirrors: MirrorPages) -> dict[tuple[str, str], Page]:
    """What is served of channels, mirrored layers, and which versions are kept."""
    whose = {"account": settings.account_id, "region": settings.region}
    return {
        **ChannelPages(channels, **whose).pages(),
        **RetentionPages(channels.context, **whose).pages(),
        **mirrors.pages(),
    }


def _complaint(emulations: Emulations) -> Callable[[Architecture], str]:
    """Why this host cannot run programs of an architecture."""

    def complaint(architecture: Architecture) -> str:
        found = emulations.of(architecture)
        return "" if found.ok else found.complaint

    return complaint


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


async def _collect(
    garbage: Garbage, router: Router, users: Sequence[_ArtifactUser], managed: Managed, fetching: ManagedServices
) -> None:
    """Take away archives and images that nothing refers to, now and then: a deletion need not wait for the disk."""

    def looked_at() -> frozenset[str]:
        return frozenset[str]().union(*(user.digests_in_use() for user in users))

    def in_use() -> frozenset[str]:
        return router.mounted_digests() | looked_at()

    while True:
        await asyncio.sleep(_COLLECT_EVERY_S)
        try:
            count = await garbage.collect(in_use=in_use)
            await fetching.fetches.expire()
            await managed.contents.prune(managed.runtimes.digests() | router.mounted_packs() | looked_at())
            images = await garbage.collect_images()
        except Exception:  # noqa: BLE001  # the next time it may work; the operator is told
            _log.exception("artifacts or images that nothing refers to could not be deleted")
            continue
        if count or images:
            _log.info("deleted %d artifacts and %d images that nothing refers to", count, len(images))
