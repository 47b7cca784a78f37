"""Which pool runs an invocation on this node: versions, the node's limit, retirement, drain."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from time import monotonic, time
from typing import Final

from lamella.domain.alias import Alias
from lamella.domain.function import NO_ARCHIVE, Architecture, FunctionConfig, FunctionKey, FunctionVersion, State
from lamella.domain.image import IMAGE
from lamella.domain.invocation import Invocation, Outcome
from lamella.domain.managed_runtime import ManagedRuntime
from lamella.domain.network import NetworkPolicy
from lamella.domain.runtimes import kept_runtime
from lamella.domain.tenancy import isolates_tenants
from lamella.invoke.beyond import RateNotes
from lamella.invoke.deployment import Deployment, NodeServices
from lamella.invoke.eager import Slot
from lamella.invoke.entrypoint import View
from lamella.invoke.fleet import Fleet
from lamella.invoke.images import pack_of
from lamella.invoke.job import Job
from lamella.invoke.managed import ManagedRuntimes
from lamella.invoke.networks import Networks
from lamella.invoke.permissions import Permissions
from lamella.invoke.pool import Pool, TooFastError, WaitedTooLongError
from lamella.invoke.pools import Place, Pools
from lamella.invoke.provisioned import ProvisionedPool, Provisions
from lamella.invoke.stream import ResponseStream
from lamella.invoke.targets import Targets
from lamella.invoke.variables import takes_snapshots
from lamella.lifecycle.admission import Concurrency, Limits, Throttle
from lamella.lifecycle.rates import Backoff
from lamella.ports.images import ImageStore
from lamella.ports.runtimes import RuntimeCatalog, RuntimeNotInstalledError
from lamella.ports.sandbox import SandboxSpec
from lamella.ports.stores import ArtifactStore, FunctionStore

_log = logging.getLogger(__name__)

_SPARE_AFTER_S: Final = 0.2
_MIN_SWEEP_S: Final = 0.1  # an idle timeout of 0 must not keep the processor busy
_MAX_SWEEP_S: Final = 60.0
_AHEAD_INIT_S: Final = 130.0
_PROVISION_AGAIN_S: Final = 300.0
"""The longest wait before a provisioned environment is tried again."""
_MIB_PER_CPU: Final = 1769
"""Memory that comes with one processor. Source: developer guide, "Configure Lambda function memory"."""


class BusyError(Exception):
    """The function, the account or the node runs as many invocations at once as it may, or has begun as many.

    Attributes:
        reason: Which limit it is, in AWS's words. It has none for a node; what comes nearest is the account's.
        wait_s: How long until one more is let in, if it is a rate.
    """

    def __init__(self, reason: Throttle, wait_s: float | None = None) -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.wait_s = wait_s


class DeletedError(Exception):
    """The function or version was deleted while the invocation waited to begin; the text is its ARN."""


class EnvironmentFailedError(Exception):
    """No execution environment could be made; the cause says why."""


@dataclass(frozen=True, slots=True)
class RouterSettings:
    """What the operator decides about this node's execution environments.

    Attributes:
        rates_bind: Whether invocations beyond AWS's rates are refused; else the log tells of them.
        provision_again_s: After which time a provisioned environment that failed is tried again for the first time.
    """

    max_environments: int
    idle_timeout_s: float
    spare_sandboxes: int
    init_timeout_s: float
    cpu_limits: bool
    dev_shm: bool
    freeze: bool
    endpoint_url: str
    secret_access_key: str
    queue_timeout_s: float = 30.0
    limits: Limits = field(default_factory=Limits)
    rates_bind: bool = True
    provision_again_s: float = 5.0


class Router:
    """The data plane of one node.

    Attributes:
        targets: What names and qualifiers mean.
        permissions: Who may invoke which function.
        provisions: What is kept initialised.
        managed: The customer-managed runtimes.
    """

    def __init__(
        self,
        settings: RouterSettings,
        functions: FunctionStore,
        targets: Targets,
        artifacts: ArtifactStore,
        runtimes: RuntimeCatalog,
        node: NodeServices,
        networks: Networks | None = None,
        *,
        permissions: Permissions,
        images: ImageStore,
        managed: ManagedRuntimes | None = None,
        complaint: Callable[[Architecture], str] = lambda _: "",
    ) -> None:
        """Nothing runs yet. `complaint` says why this host cannot run an architecture's programs; empty if it can."""
        self.targets: Final = targets
        self.permissions: Final = permissions
        self.managed: Final = managed or ManagedRuntimes()
        self._settings = settings
        self._functions = functions
        self._artifacts = artifacts
        self._runtimes = runtimes
        self._images = images
        self._complaint = complaint
        self._node = node
        self._networks = networks or Networks(NetworkPolicy())
        self._loop = asyncio.get_running_loop()
        self._concurrency = Concurrency(settings.limits)
        self._fleet = Fleet(settings.max_environments, settings.queue_timeout_s)
        self._pools = Pools(self._new_pool)
        self.provisions: Final = Provisions(targets, node, self._provisioned_pool, self._retired_provision)
        # Replaced or deleted, with environments that are not gone yet.
        self._retired: set[Pool | ProvisionedPool] = set()
        # Versions that keep a spare sandbox, the one that was changed or started last at the end.
        self._spared: dict[Place, None] = {}
        self._spare_timers: dict[Place, asyncio.TimerHandle] = {}
        self._deletion_listeners: list[Callable[[FunctionKey, str | None], None]] = []
        self._notes = RateNotes()
        self._in_flight = 0
        self._sweep: asyncio.TimerHandle | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._emptied = asyncio.Event()  # whenever the last environment of a retired pool has ended

    @property
    def in_flight(self) -> int:
        """Invocations that have not been answered."""
        return self._in_flight

    @property
    def environments(self) -> int:
        """Execution environments that exist."""
        return self._fleet.environments

    @property
    def spare_sandboxes(self) -> int:
        """Sandboxes that were made ahead of need."""
        return sum(pool.has_spare for pool in self._pools)

    def mounted_digests(self) -> frozenset[str]:
        """Digests of the artifacts that environments mount, whether or not a row still refers to them."""
        return frozenset(
            digest
            for version in self._mounted_versions()
            for digest in (version.artifact.digest, *(layer.artifact.digest for layer in version.config.layers))
            if digest != NO_ARCHIVE
        )

    def mounted_images(self) -> frozenset[str]:
        """Digests of the container images that functions' environments are made from, as above."""
        versions = self._mounted_versions()
        return frozenset(version.artifact.code_sha256 for version in versions if version.config.package_type == IMAGE)

    def mounted_packs(self) -> frozenset[str]:
        """Digests of the packs that environments run with, whether or not a runtime still has them."""
        pools = (*self._pools, *self.provisions.pools.values(), *self._retired)
        return frozenset(pool.deployment.pack.digest for pool in pools)

    def _mounted_versions(self) -> list[FunctionVersion]:
        return [pool.deployment.version for pool in (*self._pools, *self.provisions.pools.values(), *self._retired)]

    async def resolve(self, key: FunctionKey, qualifier: str | None) -> FunctionVersion | None:
        """The version to run for a name; see `Targets.resolve`."""
        return self.targets.known(key, qualifier) or await self.targets.resolve(key, qualifier)

    async def invoke(
        self,
        version: FunctionVersion,
        invocation: Invocation,
        *,
        want_tail: bool,
        stream: ResponseStream | None = None,
        synchronous: bool = True,
    ) -> Outcome:
        """Run one invocation to its end; with a stream, the response goes there and the outcome has no payload.

        AWS has no rate for asynchronous invocations.

        Raises:
            BusyError: A limit is reached.
            DeletedError: The version was deleted before the invocation could begin.
            EnvironmentFailedError: No execution environment could be made.
            RuntimeNotInstalledError: The runtime has been removed from this node.
        """
        concurrency = self._concurrency.of(version.key)
        place = (version.key, version.version)
        kept = self.provisions.pools.get(place) if self.provisions.pools else None
        if kept is not None and not kept.idle_count:
            kept = None
        if kept is None and (throttle := concurrency.enter()) is not None:
            raise self._busy(invocation, throttle)
        if synchronous and (throttle := concurrency.request(monotonic())) is not None:
            if self._settings.rates_bind:
                if kept is None:
                    concurrency.leave()
                raise self._busy(invocation, throttle, concurrency.wait_s(throttle, monotonic()))
            self._notes.note(version.key, throttle)
        answer: Slot[Outcome] = Slot()
        job = Job(invocation, version.config.timeout_s, want_tail, answer.set_result, answer.set_error, stream)
        self._in_flight += 1
        self._idle.clear()
        try:
            if kept is not None:
                kept.take(job)
            else:
                # Not before: what is refused leaves no pool behind for a tenant that nobody has heard of.
                pool = self._pools.of(version, invocation.tenant_id)
                if not pool.idle_count and not invocation.tenant_id:
                    self._spare_soon(place)
                pool.submit(job)
            return await answer
        except WaitedTooLongError:
            raise self._busy(invocation, Throttle.ACCOUNT) from None
        except TooFastError as error:
            wait_s = concurrency.wait_s(error.reason, monotonic())
            raise self._busy(invocation, error.reason, wait_s) from None
        except DeletedError:
            raise DeletedError(invocation.function_arn) from None
        except RuntimeNotInstalledError:
            raise
        except Exception as error:
            _log.exception("no execution environment for %s", version.key.arn())
            raise EnvironmentFailedError(str(error)) from error
        finally:
            if kept is None:
                concurrency.leave()
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()

    def _busy(self, invocation: Invocation, reason: Throttle, wait_s: float | None = None) -> BusyError:
        self._node.measurements.throttled(invocation.function_arn, now_s=time())
        return BusyError(reason, wait_s)

    def room(self, key: FunctionKey) -> int | None:
        """How many more invocations of a function may begin now; `None` if none may ever, as 0 are reserved for it."""
        concurrency = self._concurrency.of(key)
        return None if concurrency.reserved == 0 else concurrency.room + self.provisions.idle(key)

    def on_deletion(self, listener: Callable[[FunctionKey, str | None], None]) -> None:
        """Have somebody told that a version or an alias of a function is gone, or with `None` all of it."""
        self._deletion_listeners.append(listener)

    def function_settled(self, version: FunctionVersion) -> None:
        """New invocations use this state of the version; environments of the one before finish and go."""
        place = (version.key, version.version)
        self.targets.function_settled(version)
        self._retire(place)
        if version.state is State.ACTIVE:
            self._spare_soon(place)
            self.provisions.arrange(version.key)

    def function_tagged(self, key: FunctionKey, tags: Mapping[str, str]) -> None:
        """Environments that reach more or less than its tags say now finish and go."""
        if self._networks.learn(key, tags):
            for place in [place for place in self._pools.places() if place[0] == key]:
                self._retire(place)
                self._spare_soon(place)
            self.provisions.arrange(key, anew=True)

    def runtime_changed(self, runtime: ManagedRuntime) -> None:
        """Environments that run with another version of it than their function has now finish and go."""
        if not self.managed.learn(runtime):
            return
        pools = (*self._pools, *self.provisions.pools.values())
        versions = [pool.deployment.version for pool in pools if self.managed.outdated(pool.deployment, runtime)]
        for place in {(version.key, version.version) for version in versions}:
            self._retire(place)
            self._spare_soon(place)
        for key in {version.key for version in versions}:
            self.provisions.arrange(key, anew=True)
        self.provisions.arrange_failed()  # it may have been restored

    def function_deleted(self, key: FunctionKey, version: str | None) -> None:
        """The version, or the whole function, takes no more invocations."""
        self.targets.function_deleted(key, version)
        self.provisions.forget(key, version)
        for place in [place for place in self._pools.places() if place[0] == key and version in (None, place[1])]:
            self._retire(place, DeletedError())
        if version is None:
            self._concurrency.forget(key)
            self._notes.forget(key)
            self._networks.forget(key)
            self._node.measurements.forget(key)
            self.permissions.forget(key)
        else:
            self.permissions.policy_changed(key)
        for listener in self._deletion_listeners:
            listener(key, version)

    def alias_changed(self, alias: Alias) -> None:
        """The alias means this from now on."""
        self.targets.alias_changed(alias)
        self.provisions.arrange(alias.key)

    def alias_deleted(self, key: FunctionKey, name: str) -> None:
        """The alias means nothing any more."""
        self.targets.alias_deleted(key, name)
        self.permissions.policy_changed(key)
        self.provisions.forget_alias(key, name)
        for listener in self._deletion_listeners:
            listener(key, name)

    def concurrency_changed(self, key: FunctionKey, reserved: int | None) -> None:
        """Every invocation that begins from now on is subject to this."""
        self._concurrency.of(key).reserve(reserved)
        self._fleet.settle()

    def policy_changed(self, key: FunctionKey) -> None:
        """Every invocation that begins from now on is subject to this."""
        self.permissions.policy_changed(key)

    async def load(self) -> None:
        """Learn what is reserved for functions, what they reach and who may invoke them; before any invocation."""
        await self.permissions.load()
        await self._networks.load(self._functions)
        for key, reserved in (await self._functions.reservations()).items():
            self._concurrency.of(key).reserve(reserved)

    def start(self) -> None:
        """Begin to retire environments that have been idle for too long."""
        pause_s = min(max(self._settings.idle_timeout_s, _MIN_SWEEP_S), _MAX_SWEEP_S)
        self._sweep = self._loop.call_later(pause_s, self._retire_idle)

    async def close(self, *, grace_s: float) -> None:
        """Let running invocations end, for `grace_s` at most, then take every environment away."""
        if self._sweep is not None:
            self._sweep.cancel()
        for timer in self._spare_timers.values():
            timer.cancel()
        self.provisions.close()
        for place in self._pools.places():
            self._retire(place)
        try:
            await asyncio.wait_for(self._idle.wait(), grace_s)
        except TimeoutError:
            _log.warning("%d invocations did not end within %s s and are cut off", self._in_flight, grace_s)
        for place in self._pools.places():  # made since, for invocations by other functions
            self._retire(place)
        for pool in list(self._retired):
            pool.abort()
        while self._retired:
            # No task need be running while extensions take their time to shut down.
            self._emptied.clear()
            await self._emptied.wait()
        self._fleet.close()
        await self._node.tasks.wait_idle()

    def _spare_soon(self, place: Place) -> None:
        """Have a sandbox made for the next cold start of a version, once the present one is over."""
        if self._settings.spare_sandboxes and place not in self._spare_timers:
            self._spare_timers[place] = self._loop.call_later(_SPARE_AFTER_S, self._spare, place)

    def _spare(self, place: Place) -> None:
        """Make it. Of the versions that were changed or started last, as many as the settings say keep one."""
        del self._spare_timers[place]
        version = self.targets.settled(*place)
        if version is None or isolates_tenants(version.config):
            return  # a sandbox that is made ahead would have to belong to a tenant
        try:
            self._pools.of(version).keep_spare()
        except RuntimeNotInstalledError:
            return  # whoever invokes the function is told
        self._spared.pop(place, None)
        self._spared[place] = None
        while len(self._spared) > self._settings.spare_sandboxes:
            oldest = next(iter(self._spared))
            del self._spared[oldest]
            pool = self._pools.shared(oldest)
            if pool is not None:
                pool.drop_spare()

    def _new_pool(self, version: FunctionVersion) -> Pool:
        return Pool(
            self._deployment(version),
            self._node,
            self._fleet,
            self._concurrency.of(version.key),
            on_empty=self._pool_emptied,
            on_too_fast=None if self._settings.rates_bind else partial(self._notes.note, version.key),
        )

    def _deployment(self, version: FunctionVersion) -> Deployment:
        config, settings = version.config, self._settings
        launch = None
        if config.package_type == IMAGE:
            self._check_architecture(config)
            (pack, launch), task = pack_of(self._images, version), None
        else:
            managed = self.managed.pack(config)
            if managed is not None:
                self._check_architecture(config)
            # The catalogue looks at the architecture of its own packs.
            pack = managed or self._runtimes.find(config.runtime or "", config.architecture, kept_runtime(config))
            task = self._artifacts.tree(version.artifact.digest)
        layers = (*pack.layers, *(self._artifacts.tree(layer.artifact.digest) for layer in config.layers))
        return Deployment(
            version=version,
            pack=pack,
            view=View(rootfs=pack.rootfs, task=task, layers=layers),
            sandbox=SandboxSpec(
                id="",
                rootfs=pack.rootfs,
                task=task,
                layers=layers,
                memory_mib=config.memory_mib,
                cpus=config.memory_mib / _MIB_PER_CPU if settings.cpu_limits else None,
                tmp_mib=config.tmp_mib,
                dev_shm=settings.dev_shm,
                network=self._networks.of(version.key),
            ),
            init_timeout_s=self._init_timeout_s(version),
            freeze=settings.freeze,
            endpoint_url=settings.endpoint_url,
            secret_access_key=settings.secret_access_key,
            launch=launch,
        )

    def _check_architecture(self, config: FunctionConfig) -> None:
        """Refuse what this node cannot run.

        Raises:
            RuntimeNotInstalledError: Says what is missing.
        """
        if complaint := self._complaint(config.architecture):
            raise RuntimeNotInstalledError(complaint)

    def _init_timeout_s(self, version: FunctionVersion) -> float:
        """EX-60; where AWS would take a snapshot, EX-61."""
        if takes_snapshots(version):
            return max(self._settings.init_timeout_s, _AHEAD_INIT_S, version.config.timeout_s)
        return self._settings.init_timeout_s

    def _retire(self, place: Place, refusal: Exception | None = None) -> None:
        """All pools of a version take no more invocations."""
        self._spared.pop(place, None)
        for pool in self._pools.take(place):
            self._retired.add(pool)
            pool.close(refusal)

    def _provisioned_pool(self, version: FunctionVersion) -> ProvisionedPool:
        timeout_s = max(self._settings.init_timeout_s, _AHEAD_INIT_S, version.config.timeout_s)  # EX-61
        deployment = replace(self._deployment(version), provisioned=True, init_timeout_s=timeout_s)
        return ProvisionedPool(
            deployment,
            self._node,
            self._fleet,
            self._concurrency.of(version.key),
            again=Backoff(self._settings.provision_again_s, _PROVISION_AGAIN_S),
            on_empty=self._pool_emptied,
        )

    def _retired_provision(self, pool: ProvisionedPool) -> None:
        self._retired.add(pool)

    def _pool_emptied(self, pool: Pool | ProvisionedPool) -> None:
        self._retired.discard(pool)
        self._emptied.set()

    def _retire_idle(self) -> None:
        limit_s = monotonic() - self._settings.idle_timeout_s
        for pool in list(self._pools):
            while (since_s := pool.oldest_idle_s) is not None and since_s <= limit_s:
                pool.retire_oldest()
        for pool in self._pools.take_unused():
            self._spared.pop((pool.deployment.version.key, pool.deployment.version.version), None)
            self._retired.add(pool)
            pool.close()
        self._fleet.settle()
        self.start()
