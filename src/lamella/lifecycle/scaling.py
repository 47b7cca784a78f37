"""Which version gets an environment, and when to make or retire one: decisions without I/O.

One environment runs one invocation at a time, so a busy function needs as many environments as invocations at once. A
new one costs a cold start; one whose caller has just been answered is free again within microseconds. So before a new
one is made, those that are about to be free get a moment (`grace`): a client that calls again as soon as it has its
answer would otherwise race its own environment, and start a second one.

A node has room for so many environments and no more. A job that needs another one then waits: for one of its own
version that becomes idle, or until there is room, which comes as others end and as idle ones of other versions are
retired for it. Room goes to the version whose job has waited longest for it. An environment that becomes idle is worth
more to its own version, where it takes a job at once, than to another one, for which it has to be shut down and
replaced. So it stays with its own, unless another version has waited for longer by `PATIENCE_S`: that bounds how long
one waits beside busy ones, without a cold start for every other job.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

PATIENCE_S: Final = 1.0
"""A few cold starts, so that an overloaded node spends most of its time with invocations."""

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Load:
    """The state of one function version's environments.

    Attributes:
        waiting: Invocations that no environment has yet.
        starting: Environments that are being made or initialised, and will offer themselves.
        soon_idle: Environments whose caller has been answered, but which have not asked for the next event.
        active: Environments that are neither idle nor leaving: starting, with an invocation, or being reset.
        most: How many may be active at once: what is reserved for the function and not provisioned. It holds for
            environments as well as for invocations, so that of a function with a reservation of 1 never two run side
            by side.
    """

    waiting: int
    starting: int
    soon_idle: int
    active: int = 0
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Scale:
    """What the version needs.

    Attributes:
        add: Environments it needs beside those it has.
        recheck: Whether to decide again after the grace, because some are hoped to become idle.
        covered: How many of the waiting invocations, the oldest, have one that starts or is hoped for.
    """

    add: int
    recheck: bool
    covered: int


def decide(load: Load, *, grace_is_over: bool) -> Scale:
    """How many environments to add for the invocations that wait."""
    uncovered = load.waiting - load.starting
    if uncovered <= 0:
        return Scale(0, recheck=False, covered=load.waiting)
    hoped_for = 0 if grace_is_over else min(uncovered, load.soon_idle)
    add = uncovered - hoped_for
    if load.most is not None:
        # One at least: what was accepted before the reservation became 0 has to end.
        add = max(0, min(add, max(load.most, 1) - load.active))
    return Scale(add, recheck=hoped_for > 0, covered=load.starting + hoped_for)


@dataclass(frozen=True, slots=True)
class Room:
    """The environments of a node.

    Attributes:
        limit: How many there may be.
        existing: How many there are, in whatever state.
        leaving: Those of them that take no more jobs and will be gone soon.
    """

    limit: int
    existing: int
    leaving: int


@dataclass(frozen=True, slots=True)
class Want(Generic[V]):
    """A version that needs environments.

    Attributes:
        add: How many, at least one.
        since_s: Since when the oldest job that needs one has waited, in monotonic seconds.
    """

    version: V
    add: int
    since_s: float


@dataclass(frozen=True, slots=True)
class Start(Generic[V]):
    """Make an environment."""

    version: V


@dataclass(frozen=True, slots=True)
class Retire(Generic[V]):
    """Shut the longest idle environment of this version down."""

    version: V


def next_step(room: Room, wants: Sequence[Want[V]], idle: Iterable[tuple[float, V]]) -> Start[V] | Retire[V] | None:
    """What to do next; ask again when it is done, as it changes what is asked about.

    Args:
        room: As it is now.
        wants: Of all versions that need environments.
        idle: Versions that have idle environments, and since when the longest idle one of each has been so.

    Returns:
        `None` if there is nothing to do until something happens.
    """
    if not wants:
        return None
    if room.existing < room.limit:
        return Start(min(wants, key=_since).version)
    if sum(want.add for want in wants) > room.leaving:
        oldest = min(idle, key=_idle_since, default=None)
        if oldest is not None:
            return Retire(oldest[1])
    return None


def yields(room: Room, others: Iterable[Want[V]], since_s: float) -> bool:
    """Whether an environment that could take a job of its own version is shut down for another version instead.

    Args:
        room: As it is now.
        others: What other versions need.
        since_s: Since when the oldest job of the environment's own version has waited.
    """
    if room.existing < room.limit:
        return False
    # One each: the next in line of a version need not have waited as long as the first.
    return sum(want.since_s + PATIENCE_S < since_s for want in others) > room.leaving


def overdue(waiting_since_s: Sequence[float], starting: int, limit_s: float) -> tuple[int, int]:
    """Which of a version's jobs have waited in vain for too long.

    Args:
        waiting_since_s: Since when each has waited, oldest first.
        starting: Environments that will offer themselves; the oldest jobs get those, however long they have waited.
        limit_s: Jobs that wait since then or longer are overdue, in monotonic seconds.

    Returns:
        The first and the one behind the last of them.
    """
    end = first = min(starting, len(waiting_since_s))
    while end < len(waiting_since_s) and waiting_since_s[end] <= limit_s:
        end += 1
    return first, end


def _since(want: Want[V]) -> float:
    return want.since_s


def _idle_since(idle: tuple[float, V]) -> float:
    return idle[0]
