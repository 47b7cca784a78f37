"""Environments that are initialised ahead of invocations, and are kept: provisioned concurrency.

A version that has some keeps them beside those that its other invocations get on demand. An invocation takes an idle
one of them if there is one, and spills over to the others if not, so nobody waits here.

One that has lost its processes (a crash, a timeout) is replaced: its next invocation would carry an init. One that
fails its very first init says that none can be made (EX-61); then a single one is tried again after a while, and later
each time, until one succeeds or the configuration is written anew.

From its init on an environment is taken out of what the function's invocations on demand may have.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from lamella.domain.function import FunctionKey, FunctionVersion, State
from lamella.invoke.deployment import Deployment, NodeServices
from lamella.invoke.fleet import Fleet, Member
from lamella.invoke.host import EnvironmentHost
from lamella.invoke.job import Job
from lamella.invoke.targets import NotReadyError, Targets
from lamella.lifecycle.admission import FunctionConcurrency
from lamella.lifecycle.rates import Backoff
from lamella.lifecycle.scaling import Want
from lamella.ports.provisioning import Provisioned
from lamella.ports.runtimes import RuntimeNotInstalledError

_log: Final = logging.getLogger(__name__)

INIT_FAILED: Final = "FUNCTION_ERROR_INIT_FAILURE"
"""AWS's reason (EX-61)."""

Place = tuple[FunctionKey, str]


class ProvisionedPool:
    """The provisioned environments of one version; the owner of each."""

    def __init__(
        self,
        deployment: Deployment,
        node: NodeServices,
        fleet: Fleet,
        concurrency: FunctionConcurrency,
        *,
        again: Backoff,
        on_empty: Callable[["ProvisionedPool"], None],
    ) -> None:
        self.deployment: Final = deployment
        self.failure = ""
        self._node: Final = node
        self._fleet: Final = fleet
        self._concurrency: Final = concurrency
        self._again: Final = again
        self._on_empty: Final = on_empty
        self._retry: asyncio.TimerHandle | None = None
        self._counted = 0  # those that the function's concurrency knows of
        self._reached = 0
        self._keep = 0
        self._hosts: set[EnvironmentHost] = set()
        self._starting: set[EnvironmentHost] = set()
        self._leaving: set[EnvironmentHost] = set()
        self._idle: list[EnvironmentHost] = []
        self._closed = False
        fleet.join(self)

    @property
    def size(self) -> int:
        """Environments that exist, whatever they are doing."""
        return len(self._hosts)

    @property
    def leaving_count(self) -> int:
        """Those of them that take no more jobs."""
        return len(self._leaving)

    @property
    def idle_count(self) -> int:
        """Those that can take a job."""
        return len(self._idle)

    @property
    def available(self) -> int:
        """Those that are initialised."""
        return len(self._hosts) - len(self._starting) - len(self._leaving)

    @property
    def allocated(self) -> int:
        """Those that are initialised, or were and are being replaced."""
        return max(self._reached, self.available)

    @property
    def missing(self) -> int:
        """How many have to be made."""
        if self._closed or self._retry is not None:
            return 0
        missing = max(0, self._keep - (len(self._hosts) - len(self._leaving)))
        # After a failure one tries for all.
        return min(missing, 0 if self._starting else 1) if self.failure else missing

    @property
    def oldest_idle_s(self) -> float | None:
        """None is ever given up for others."""
        return None

    def keep(self, count: int) -> None:
        """Keep so many from now on; what failed before is tried again."""
        self._keep = count
        self._reached = min(self._reached, count)
        self._calm()
        for host in [*self._starting, *self._idle]:
            if len(self._hosts) - len(self._leaving) <= count:
                break
            self._retire(host)
        self._fleet.keeps(self)
        self._fleet.settle()

    def take(self, job: Job) -> bool:
        """Run a job, if an environment is idle."""
        if not self._idle:
            return False
        self._idle.pop().assign(job)
        return True

    def close(self) -> None:
        """Shut idle environments down now, and each busy one when its invocation is over."""
        self._closed = True
        self._calm()
        for host in [*self._starting, *self._idle]:
            self._retire(host)
        self._report_empty()

    def abort(self) -> None:
        """Shut every environment down, whatever it is doing."""
        self._closed = True
        self._calm()
        for host in list(self._hosts):
            self._retire(host)
        self._report_empty()

    # The fleet's

    def want(self) -> Want[Member] | None:
        """No job waits here."""
        return None

    def refuse_overdue(self, limit_s: float) -> float | None:  # noqa: ARG002  # as above
        """Likewise."""
        return None

    def retire_oldest(self) -> None:
        """None is idle for others."""

    def add(self) -> None:
        """Make an environment."""
        host = EnvironmentHost(self.deployment, self._node, self)
        self._hosts.add(host)
        self._starting.add(host)
        self._node.tasks.start(host.start(), name=f"start {host.id}")

    # The environments'

    def offered(self, host: EnvironmentHost) -> None:
        """It is initialised, or its invocation is over; or it has lost its processes."""
        began = host in self._starting
        self._starting.discard(host)
        if host.has_processes and not self._closed and len(self._hosts) - len(self._leaving) <= self._keep:
            self._idle.append(host)
            self._count()
            if began:
                self._reached = max(self._reached, min(self.available, self._keep))
                self._calm()
                self._fleet.settle()
            return
        if began and not host.has_processes:
            self._fail(INIT_FAILED)
        self._retire(host)
        self._fleet.settle()

    def failed(self, host: EnvironmentHost, error: Exception) -> None:
        """It could not be made, which is no fault of the function's."""
        _log.error("no provisioned environment for %s", self.deployment.version.key.arn(), exc_info=error)
        if host in self._hosts:
            self._fail(f"The execution environment could not be made: {error}")
        self.gone(host)

    def leaving(self, host: EnvironmentHost) -> None:
        """It takes no more jobs. It exists, and counts, until it is gone."""
        self._withdraw(host)
        self._fleet.settle()

    def gone(self, host: EnvironmentHost) -> None:
        """It has ended."""
        self._withdraw(host)
        self._hosts.discard(host)
        self._leaving.discard(host)
        self._fleet.settle()
        self._report_empty()

    def _retire(self, host: EnvironmentHost) -> None:
        self._withdraw(host)
        host.shut_down()

    def _withdraw(self, host: EnvironmentHost) -> None:
        self._starting.discard(host)
        if host in self._idle:
            self._idle.remove(host)
        if host in self._hosts:
            self._leaving.add(host)
        self._count()

    def _count(self) -> None:
        """Tell the function's concurrency how many are initialised."""
        available = self.available
        if available != self._counted:
            self._concurrency.provision(available - self._counted)
            self._counted = available

    def _fail(self, text: str) -> None:
        """None can be made for now."""
        self.failure = text
        self._reached = 0
        if self._retry is None and not self._closed:
            self._retry = asyncio.get_running_loop().call_later(self._again.failed(), self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        self._fleet.settle()

    def _calm(self) -> None:
        """Nothing is known to be wrong."""
        self.failure = ""
        self._again.succeeded()
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def _report_empty(self) -> None:
        if self._closed and not self._hosts:
            self._fleet.leave(self)
            self._on_empty(self)


class Provisions:
    """Which versions keep how many; implements `lamella.ports.provisioning.Provisioner`.

    Args:
        make: Makes the pool of a version; may raise `RuntimeNotInstalledError`.
        retire: Takes one that is closed.
    """

    def __init__(
        self,
        targets: Targets,
        node: NodeServices,
        make: Callable[[FunctionVersion], ProvisionedPool],
        retire: Callable[[ProvisionedPool], None],
    ) -> None:
        self.pools: Final[dict[Place, ProvisionedPool]] = {}
        self._targets: Final = targets
        self._node: Final = node
        self._make: Final = make
        self._retire: Final = retire
        self._wanted: Final[dict[FunctionKey, dict[str, int]]] = {}
        self._shares: Final[dict[Place, Mapping[str, int]]] = {}
        self._failures: Final[dict[Place, str]] = {}  # of versions that have no pool
        self._unready: Final[dict[Place, str]] = {}  # of versions and aliases that can never be invoked as they are
        self._pending: Final[dict[FunctionKey, bool]] = {}  # being arranged; whether from the start
        self._closed = False

    def provision(self, key: FunctionKey, qualifier: str, executions: int | None) -> None:
        """See the port."""
        wanted = self._wanted.setdefault(key, {})
        if executions is None:
            wanted.pop(qualifier, None)
        else:
            wanted[qualifier] = executions
        self._shares.pop((key, qualifier), None)
        self.arrange(key)

    def provisioned(self, key: FunctionKey, qualifier: str) -> Provisioned:
        """See the port."""
        allocated, available, failure = 0, 0, self._unready.get((key, qualifier), "")
        for version, share in self._shares.get((key, qualifier), {}).items():
            pool = self.pools.get((key, version))
            if pool is None:
                failure = failure or self._failures.get((key, version), "")
                continue
            total = sum(self._of_version(key, version))
            if total:
                allocated += min(share, pool.allocated * share // total)
                available += min(share, pool.available * share // total)
            failure = failure or pool.failure
        return Provisioned(allocated, available, failure)

    def idle(self, key: FunctionKey) -> int:
        """How many environments of a function can take a job."""
        return sum(pool.idle_count for place, pool in self.pools.items() if place[0] == key) if self.pools else 0

    def arrange(self, key: FunctionKey, *, anew: bool = False) -> None:
        """Bring the environments of a function into line with what is wanted; `anew` if they have to be others."""
        if self._closed or key not in self._wanted:
            return
        if anew:
            for place in [place for place in self.pools if place[0] == key]:
                self._drop(place)
        if key in self._pending:
            self._pending[key] = True  # whoever does it begins again
            return
        self._pending[key] = False
        self._node.tasks.start(self._arrange(key), name=f"provision {key.name}")

    def arrange_failed(self) -> None:
        """Try again for versions whose environments could not even be begun: what they lacked may be there now."""
        for key in {place[0] for place in self._failures}:
            self.arrange(key)

    def forget(self, key: FunctionKey, version: str | None) -> None:
        """A version, or with `None` the function, is gone."""
        if version is None:
            self._wanted.pop(key, None)
        elif key in self._wanted:
            self._wanted[key].pop(version, None)
        for place in [place for place in self.pools if place[0] == key and version in (None, place[1])]:
            self._drop(place)

    def forget_alias(self, key: FunctionKey, name: str) -> None:
        """An alias is gone."""
        if self._wanted.get(key, {}).pop(name, None) is not None:
            self.arrange(key)

    def close(self) -> None:
        """Keep nothing any more."""
        self._closed = True
        for place in list(self.pools):
            self._drop(place)

    async def _arrange(self, key: FunctionKey) -> None:
        try:
            while True:
                shares = {}
                for qualifier, executions in list(self._wanted.get(key, {}).items()):
                    shares[qualifier] = await self._share(key, qualifier, executions)
                if not self._pending[key]:
                    break
                self._pending[key] = False
                await asyncio.sleep(0)
        finally:
            del self._pending[key]
        if not self._closed:
            self._apply(key, shares)

    async def _share(self, key: FunctionKey, qualifier: str, executions: int) -> Sequence[tuple[FunctionVersion, int]]:
        """How many environments each version of a version or alias gets; none while it is not active."""
        self._unready.pop((key, qualifier), None)
        try:
            weights = await self._targets.weights(key, qualifier)
        except NotReadyError as error:
            if error.state is State.FAILED:
                self._unready[key, qualifier] = "The function version is in the following state: Failed"
            return ()  # once it is, it is arranged again
        others = [(version, int(executions * weight)) for version, weight in weights[1:]]
        rest = executions - sum(count for _, count in others)
        return [(weights[0][0], rest), *others] if weights else ()

    def _apply(self, key: FunctionKey, shares: Mapping[str, Sequence[tuple[FunctionVersion, int]]]) -> None:
        for place in [place for place in self._shares if place[0] == key]:
            del self._shares[place]
        for qualifier, share in shares.items():
            self._shares[key, qualifier] = {version.version: count for version, count in share if count}
        for place in [place for place in self.pools if place[0] == key and not sum(self._of_version(*place))]:
            self._drop(place)
        versions = {version.version: version for share in shares.values() for version, _ in share}
        for number, version in versions.items():
            count = sum(self._of_version(key, number))
            if count:
                self._keep(version, count)

    def _keep(self, version: FunctionVersion, count: int) -> None:
        place = (version.key, version.version)
        self._failures.pop(place, None)
        pool = self.pools.get(place)
        if pool is None:
            try:
                pool = self.pools[place] = self._make(version)
            except RuntimeNotInstalledError as error:
                self._failures[place] = str(error)
                return
        pool.keep(count)

    def _of_version(self, key: FunctionKey, version: str) -> Iterable[int]:
        return [share.get(version, 0) for place, share in self._shares.items() if place[0] == key]

    def _drop(self, place: Place) -> None:
        pool = self.pools.pop(place)
        self._retire(pool)
        pool.close()
