"""The execution environments of one function version."""

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Final

from lamella.invoke.host import Deployment, EnvironmentHost, NodeServices
from lamella.invoke.job import Job
from lamella.lifecycle.scaling import Load, decide

_MIN_GRACE_S: Final = 0.01
_MAX_GRACE_S: Final = 0.25


class PoolClosedError(Exception):
    """A job was never begun, because its pool was aborted."""


class Pool:
    """Hands jobs to idle environments, and makes and retires environments."""

    def __init__(self, deployment: Deployment, node: NodeServices, *, on_empty: Callable[["Pool"], None]) -> None:
        self.deployment = deployment
        self._node = node
        self._on_empty = on_empty
        self._loop = asyncio.get_running_loop()
        self._hosts: set[EnvironmentHost] = set()
        # The most recently used one goes first, so that the others may age and be retired.
        self._idle: list[EnvironmentHost] = []
        self._starting: set[EnvironmentHost] = set()
        self._waiting: deque[Job] = deque()
        self._spare: EnvironmentHost | None = None  # a sandbox that waits for its init phase
        self._preparing: EnvironmentHost | None = None
        self._recheck: asyncio.TimerHandle | None = None
        # How long to hope that a busy environment becomes idle: what the last cold start took, as waiting longer than
        # it takes to make another one is no gain.
        self._grace_s = _MIN_GRACE_S
        self._closed = False

    @property
    def size(self) -> int:
        """Environments that exist, whatever they are doing."""
        return len(self._hosts)

    @property
    def idle_count(self) -> int:
        """Environments that wait for a job."""
        return len(self._idle)

    @property
    def waiting_count(self) -> int:
        """Jobs that no environment has yet."""
        return len(self._waiting)

    def submit(self, job: Job) -> None:
        """Run a job on an idle environment, or as soon as there is one."""
        if self._idle:
            self._idle.pop().assign(job)
            return
        self._waiting.append(job)
        self._scale(grace_is_over=False)

    def offered(self, host: EnvironmentHost) -> None:
        """An environment can take a job."""
        if host in self._starting:
            self._starting.discard(host)
            self._grace_s = min(max(monotonic() - host.began_s, _MIN_GRACE_S), _MAX_GRACE_S)
        if self._waiting:
            job = self._waiting.popleft()
            if not self._waiting and self._recheck is not None:
                # Whoever waits next gets the whole grace, not what is left of this one.
                self._recheck.cancel()
                self._recheck = None
            host.assign(job)
        elif self._closed:
            host.shut_down()
        else:
            self._idle.append(host)

    def failed(self, host: EnvironmentHost, error: Exception) -> None:
        """An environment could not be made: one of those who waited for it is told, the others get another try."""
        if host is self._preparing:
            self._preparing = None
        if host not in self._hosts:
            return  # nobody waits for a spare, or for what was given up; whoever needs an environment next is told
        self._forget(host)
        if self._waiting:
            self._waiting.popleft().on_failure(error)
        self._scale(grace_is_over=True)
        self._report_empty()

    def leaving(self, host: EnvironmentHost) -> None:
        """An environment takes no more jobs. It exists, and counts, until it is gone."""
        self._withdraw(host)
        self._scale(grace_is_over=True)

    def gone(self, host: EnvironmentHost) -> None:
        """An environment has ended."""
        self._forget(host)
        self._scale(grace_is_over=True)
        self._report_empty()

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

    def oldest_idle_s(self) -> float | None:
        """Since when the longest idle environment has been idle, in monotonic seconds."""
        return self._idle[0].idle_since_s if self._idle else None

    def retire_oldest(self) -> None:
        """Shut the longest idle environment down."""
        self._idle.pop(0).shut_down()

    def close(self) -> None:
        """Shut idle environments down now, and each busy one when it has run what it was given."""
        self._closed = True
        self.drop_spare()
        while self._idle:
            self._idle.pop().shut_down()
        if not self._waiting:
            for host in list(self._starting):
                host.shut_down()
        self._report_empty()

    def abort(self) -> None:
        """Shut every environment down, whatever it is doing."""
        self._closed = True
        while self._waiting:
            self._waiting.popleft().on_failure(PoolClosedError("the server stops"))
        for host in list(self._hosts):
            host.shut_down()

    def _forget(self, host: EnvironmentHost) -> None:
        self._hosts.discard(host)
        self._withdraw(host)

    def _withdraw(self, host: EnvironmentHost) -> None:
        self._starting.discard(host)
        if host in self._idle:
            self._idle.remove(host)

    def _report_empty(self) -> None:
        if self._closed and not self._hosts:
            self._on_empty(self)

    def _scale(self, *, grace_is_over: bool) -> None:
        if not self._waiting:
            return
        soon_idle = sum(host.soon_idle for host in self._hosts)
        scale = decide(Load(len(self._waiting), len(self._starting), soon_idle), grace_is_over=grace_is_over)
        for _ in range(scale.add):
            spare, self._spare = self._spare, None
            host = spare or EnvironmentHost(self.deployment, self._node, self)
            self._hosts.add(host)
            self._starting.add(host)
            if spare is not None:
                spare.begin()
            else:
                self._node.tasks.start(host.start(), name=f"start {host.id}")
        if scale.recheck and self._recheck is None:
            self._recheck = self._loop.call_later(self._grace_s, self._grace_over)

    def _grace_over(self) -> None:
        self._recheck = None
        self._scale(grace_is_over=True)
