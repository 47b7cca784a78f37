"""The execution environments of one function version."""

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Final

from lamella.invoke.deployment import Deployment, NodeServices
from lamella.invoke.fleet import Fleet, Member
from lamella.invoke.host import EnvironmentHost
from lamella.invoke.job import Job
from lamella.lifecycle.admission import FunctionConcurrency, Throttle
from lamella.lifecycle.scaling import Load, Scale, Want, decide, overdue

_MIN_GRACE_S: Final = 0.01
_MAX_GRACE_S: Final = 0.25


class PoolClosedError(Exception):
    """A job was never begun, because its pool was aborted."""


class WaitedTooLongError(Exception):
    """A job was never begun, because the node had no room for an environment in all the time it may wait."""


class TooFastError(Exception):
    """A job was never begun, because the function has got as many new environments as it may in this time.

    Attributes:
        reason: Why.
    """

    def __init__(self, reason: Throttle) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Pool:
    """Hands jobs to idle environments, and makes and retires environments as far as the node has room.

    Attributes:
        concurrency: Of the function, all its versions together.
    """

    def __init__(
        self,
        deployment: Deployment,
        node: NodeServices,
        fleet: Fleet,
        concurrency: FunctionConcurrency,
        *,
        on_empty: Callable[["Pool"], None],
        on_too_fast: Callable[[Throttle], None] | None = None,
    ) -> None:
        """Begin without environments.

        Args:
            deployment: What they are made of.
            node: What they need of the node.
            fleet: Decides which pool gets the next one.
            concurrency: Of the function.
            on_empty: Called when the pool is closed and has none any more.
            on_too_fast: Told instead of a refusal where the function gets more environments than on AWS.
        """
        self.deployment = deployment
        self.concurrency = concurrency
        self._node = node
        self._fleet = fleet
        self._on_empty = on_empty
        self._on_too_fast = on_too_fast
        self._granted = 0  # environments that the scaling rate allows, and that are not being made yet
        self._loop = asyncio.get_running_loop()
        self._hosts: set[EnvironmentHost] = set()
        # The most recently used one goes first, so that the others may age and be retired.
        self._idle: list[EnvironmentHost] = []
        self._starting: set[EnvironmentHost] = set()
        self._leaving: set[EnvironmentHost] = set()
        self._waiting: deque[tuple[float, Job]] = deque()  # oldest first, with the time since when each waits
        self._spare: EnvironmentHost | None = None  # a sandbox that waits for its init phase
        self._preparing: EnvironmentHost | None = None
        self._recheck: asyncio.TimerHandle | None = None  # the grace: while it runs, busy environments are hoped for
        # How long to hope that a busy environment becomes idle: what the last cold start took, as waiting longer than
        # it takes to make another one is no gain.
        self._grace_s = _MIN_GRACE_S
        self._closed = False
        self._reported = False  # that it is closed and empty
        fleet.join(self)

    @property
    def size(self) -> int:
        """Environments that exist, whatever they are doing."""
        return len(self._hosts)

    @property
    def leaving_count(self) -> int:
        """Environments that exist and take no more jobs."""
        return len(self._leaving)

    @property
    def idle_count(self) -> int:
        """Environments that wait for a job."""
        return len(self._idle)

    @property
    def waiting_count(self) -> int:
        """Jobs that no environment has yet."""
        return len(self._waiting)

    @property
    def in_use(self) -> bool:
        """Whether there is anything in it that would be lost."""
        return bool(self._hosts or self._waiting or self.has_spare)

    @property
    def oldest_idle_s(self) -> float | None:
        """Since when the longest idle environment has been idle, in monotonic seconds."""
        return self._idle[0].idle_since_s if self._idle else None

    def submit(self, job: Job) -> None:
        """Run a job on an idle environment, or as soon as there is one."""
        if self._idle:
            self._idle.pop().assign(job)
            return
        self._waiting.append((monotonic(), job))
        scale = self._scale(hoping=True)
        if self._recheck is None and scale.recheck:
            self._recheck = self._loop.call_later(self._grace_s, self._grace_over)
            if not scale.add:
                self._fleet.hopes(self)
                return
        self._grow(scale.add)
        if self._waiting:
            self._fleet.waits(self)

    def offered(self, host: EnvironmentHost) -> None:
        """An environment can take a job."""
        if host in self._starting:
            self._starting.discard(host)
            self._grace_s = min(max(monotonic() - host.began_s, _MIN_GRACE_S), _MAX_GRACE_S)
        if self._waiting:
            if self._fleet.yields(self, self._waiting[0][0]):
                self._retire(host)
            else:
                host.assign(self._next_job())
        elif self._closed:
            self._retire(host)
        else:
            self._idle.append(host)
            if self._fleet.hungry:
                self._fleet.settle()

    def failed(self, host: EnvironmentHost, error: Exception) -> None:
        """An environment could not be made: one of those who waited for it is told, the others get another try."""
        if host is self._preparing:
            self._preparing = None
        if host not in self._hosts:
            return  # nobody waits for a spare, or for what was given up; whoever needs an environment next is told
        self._forget(host)
        if self._waiting:
            self._next_job().on_failure(error)
        self._lost_one()

    def leaving(self, host: EnvironmentHost) -> None:
        """An environment takes no more jobs. It exists, and counts, until it is gone."""
        self._withdraw(host)
        self._lost_one()

    def gone(self, host: EnvironmentHost) -> None:
        """An environment has ended."""
        self._forget(host)
        self._lost_one()

    def want(self) -> Want[Member] | None:
        """What those who wait need beside what there is."""
        scale = self._scale(hoping=self._recheck is not None)
        return Want(self, scale.add, self._waiting[scale.covered][0]) if scale.add else None

    def add(self) -> None:
        """Make an environment."""
        self._granted = max(0, self._granted - 1)
        spare, self._spare = self._spare, None
        host = spare or EnvironmentHost(self.deployment, self._node, self)
        self._hosts.add(host)
        self._starting.add(host)
        if spare is not None:
            spare.begin()
        else:
            self._node.tasks.start(host.start(), name=f"start {host.id}")

    def retire_oldest(self) -> None:
        """Shut the longest idle environment down."""
        self._retire(self._idle[0])

    def refuse_overdue(self, limit_s: float) -> float | None:
        """Tell jobs that have waited in vain since then or longer; returns since when the next one waits, if any."""
        first, end = overdue([since_s for since_s, _ in self._waiting], len(self._starting), limit_s)
        following = self._waiting[end][0] if end < len(self._waiting) else None
        self._refuse(first, end, WaitedTooLongError("the node had no room for another execution environment"))
        return following

    @property
    def has_spare(self) -> bool:
        """Whether a sandbox is kept, or being made, for the next cold start."""
        return self._spare is not None or self._preparing is not None

    def keep_spare(self) -> None:
        """Make a sandbox ahead of need, unless there is one: it takes more than half of a cold start."""
        if self._closed or self.has_spare:
            return
        self._preparing = EnvironmentHost(self.deployment, self._node, self)
        self._node.tasks.start(self._prepare(self._preparing), name=f"prepare {self._preparing.id}")

    def drop_spare(self) -> None:
        """Take the spare sandbox away."""
        for host in (self._spare, self._preparing):
            if host is not None:
                host.shut_down()
        self._spare = self._preparing = None

    async def _prepare(self, host: EnvironmentHost) -> None:
        if await host.prepare() and self._preparing is host:
            self._preparing, self._spare = None, host

    def close(self, refusal: Exception | None = None) -> None:
        """Shut idle environments down now, and each busy one when it has run what it was given.

        Args:
            refusal: What those are told who wait and have no environment on its way. Without it they get one.
        """
        self._closed = True
        self.drop_spare()
        for host in list(self._idle):
            self._retire(host)
        if refusal is not None:
            self._refuse(len(self._starting), len(self._waiting), refusal)
        if not self._waiting:
            for host in list(self._starting):
                self._retire(host)
        self._report_empty()

    def abort(self) -> None:
        """Shut every environment down, whatever it is doing."""
        self._closed = True
        self._refuse(0, len(self._waiting), PoolClosedError("the server stops"))
        for host in list(self._hosts):
            self._retire(host)
        self._report_empty()

    def _next_job(self) -> Job:
        """Take the oldest job out."""
        _, job = self._waiting.popleft()
        if not self._waiting:
            self._nobody_waits()
        return job

    def _nobody_waits(self) -> None:
        self._fleet.sated(self)
        if self._recheck is not None:
            # Whoever waits next gets the whole grace, not what is left of this one.
            self._recheck.cancel()
            self._recheck = None

    def _refuse(self, first: int, end: int, error: Exception) -> None:
        """Tell some of those who wait."""
        if first == end:
            return
        waiting = list(self._waiting)
        self._waiting = deque([*waiting[:first], *waiting[end:]])
        if not self._waiting:
            self._nobody_waits()
        for _, job in waiting[first:end]:
            job.on_failure(error)
        self._report_empty()

    def _retire(self, host: EnvironmentHost) -> None:
        """Shut an environment down; from now on it takes no more jobs."""
        self._withdraw(host)
        host.shut_down()

    def _withdraw(self, host: EnvironmentHost) -> None:
        self._starting.discard(host)
        if host in self._idle:
            self._idle.remove(host)
        if host in self._hosts:
            self._leaving.add(host)

    def _forget(self, host: EnvironmentHost) -> None:
        self._withdraw(host)
        self._hosts.discard(host)
        self._leaving.discard(host)

    def _lost_one(self) -> None:
        """There is one environment less that may take a job, and perhaps room for another one."""
        self._fleet.settle()
        self._report_empty()

    def _report_empty(self) -> None:
        if self._closed and not self._hosts and not self._waiting and not self._reported:
            self._reported = True
            self._fleet.leave(self)
            self._on_empty(self)

    def _scale(self, *, hoping: bool) -> Scale:
        """What is needed now, if environments that are about to be idle are hoped for or not."""
        load = Load(
            len(self._waiting),
            len(self._starting),
            sum(host.soon_idle for host in self._hosts) if hoping else 0,
            active=len(self._hosts) - len(self._idle) - len(self._leaving),
            most=self.concurrency.most,
        )
        return decide(load, grace_is_over=not hoping)

    def _grow(self, needed: int) -> None:
        """Have the scaling rate allow this many new environments, or refuse those who came last.

        One that replaces another, which has failed, was allowed before and is not asked for again.
        """
        self._granted = min(self._granted, needed)
        while self._granted < needed:
            throttle = self.concurrency.grow(monotonic())
            if throttle is not None and self._on_too_fast is None:
                self._refuse(len(self._waiting) - (needed - self._granted), len(self._waiting), TooFastError(throttle))
                return
            if throttle is not None and self._on_too_fast is not None:
                self._on_too_fast(throttle)
            self._granted += 1

    def _grace_over(self) -> None:
        self._recheck = None
        self._grow(self._scale(hoping=False).add)
        if self._waiting:
            self._fleet.waits(self)
