"""The execution environments of a node: all pools, and the room they share."""

import asyncio
from collections.abc import Iterator
from time import monotonic
from typing import Final, Protocol

from lamella.lifecycle.scaling import Retire, Room, Start, Want, next_step, yields

_LOOK_AGAIN_S: Final = 1.0


class Member(Protocol):
    """A pool, as the fleet knows it."""

    @property
    def size(self) -> int:
        """Environments that exist, whatever they are doing."""

    @property
    def leaving_count(self) -> int:
        """Those of them that take no more jobs."""

    @property
    def oldest_idle_s(self) -> float | None:
        """Since when the longest idle environment has been idle, in monotonic seconds."""

    def want(self) -> Want["Member"] | None:
        """What it needs beside what it has."""

    def add(self) -> None:
        """Make an environment."""

    def retire_oldest(self) -> None:
        """Shut the longest idle environment down."""

    def refuse_overdue(self, limit_s: float) -> float | None:
        """Refuse jobs that have waited in vain since then or longer; returns since when the next one waits."""


class Keeping(Member, Protocol):
    """A pool that has environments without jobs."""

    @property
    def missing(self) -> int:
        """How many have to be made."""


class Fleet:
    """Keeps a node's limit. Pools tell it of jobs that wait, and of everything that may help them.

    Attributes:
        hungry: Whether any job waits anywhere, or an environment that is to be kept is missing. Looked at with every
            invocation, hence no method.
    """

    def __init__(self, limit: int, queue_timeout_s: float) -> None:
        """Take how many environments there may be, and how long a job may wait until one is made for it."""
        self.hungry = False
        self._limit: Final = limit
        self._queue_timeout_s: Final = queue_timeout_s
        self._loop = asyncio.get_running_loop()
        self._pools: dict[Member, None] = {}
        self._waiting: dict[Member, None] = {}  # those with jobs that wait
        self._keeping: dict[Keeping, None] = {}  # those that keep environments without jobs
        self._lacking = False  # one of those has not got all of them
        self._expiry: asyncio.TimerHandle | None = None
        self._settling = False

    @property
    def environments(self) -> int:
        """Execution environments that exist."""
        return sum(pool.size for pool in self._pools)

    def join(self, pool: Member) -> None:
        """A pool has been made."""
        self._pools[pool] = None

    def leave(self, pool: Member) -> None:
        """A pool has no environments and gets no more."""
        self._pools.pop(pool, None)
        self._keeping.pop(pool, None)  # type: ignore[call-overload]  # whether it is one or not
        self.sated(pool)

    def keeps(self, pool: "Keeping") -> None:
        """The pool has environments that nobody waits for; what is missing is made when there is room for it."""
        self._keeping[pool] = None

    def hopes(self, pool: Member) -> None:
        """A job of the pool waits for an environment that is about to be idle; the pool settles it if it is not.

        That is what a client brings about that calls again as soon as it has its answer, so it must cost little.
        """
        self._waiting[pool] = None
        self.hungry = True

    def waits(self, pool: Member) -> None:
        """A job of the pool waits for an environment."""
        self.hopes(pool)
        self.settle()
        if self._expiry is None and self._waiting:
            self._expiry = self._loop.call_later(self._queue_timeout_s, self._expire)

    def sated(self, pool: Member) -> None:
        """No job of the pool waits any more."""
        self._waiting.pop(pool, None)
        self.hungry = bool(self._waiting) or self._lacking

    def settle(self) -> None:
        """Do what can be done for those who wait: something has changed."""
        if self._settling:
            return  # what a step brings about is seen by the next one
        self._settling = True
        try:
            while self._waiting:
                match next_step(self._room(), list(self._wants()), self._idle()):
                    case Start(pool):
                        pool.add()
                    case Retire(pool):
                        pool.retire_oldest()
                    case None:
                        break
            self._refill()
        finally:
            self._settling = False

    def yields(self, pool: Member, since_s: float) -> bool:
        """Whether an environment of the pool goes to another one, though a job has waited for it since then."""
        if len(self._waiting) == 1:
            return False
        return yields(self._room(), (want for want in self._wants() if want.version is not pool), since_s)

    def close(self) -> None:
        """Nobody is refused any more for having waited."""
        if self._expiry is not None:
            self._expiry.cancel()

    def _refill(self) -> None:
        """Make environments that are to be kept, after those that jobs wait for; others that are idle give way."""
        for pool in self._keeping:
            while pool.missing:
                room = self._room()
                if room.existing < self._limit:
                    pool.add()
                    continue
                oldest = min(self._idle(), key=lambda idle: idle[0], default=None)
                if oldest is None or pool.missing <= room.leaving:
                    break
                oldest[1].retire_oldest()
        self._lacking = any(pool.missing for pool in self._keeping)
        self.hungry = bool(self._waiting) or self._lacking

    def _room(self) -> Room:
        return Room(self._limit, self.environments, sum(pool.leaving_count for pool in self._pools))

    def _wants(self) -> Iterator[Want[Member]]:
        for pool in self._waiting:
            want = pool.want()
            if want is not None:
                yield want

    def _idle(self) -> Iterator[tuple[float, Member]]:
        for pool in self._pools:
            since_s = pool.oldest_idle_s
            if since_s is not None:
                yield since_s, pool

    def _expire(self) -> None:
        self._expiry = None
        now_s = monotonic()
        following = [pool.refuse_overdue(now_s - self._queue_timeout_s) for pool in list(self._waiting)]
        if self._waiting:
            # Jobs whose environment is starting are not refused; should it fail, they may be.
            due_s = [since_s + self._queue_timeout_s - now_s for since_s in following if since_s is not None]
            self._expiry = self._loop.call_later(min(due_s, default=_LOOK_AGAIN_S), self._expire)
