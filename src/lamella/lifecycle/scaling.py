"""Which environment takes an invocation, and when to make another one: decisions without I/O.

One environment runs one invocation at a time, so a busy function needs as many environments as invocations at once. A
new one costs a cold start; one whose caller has just been answered is free again within microseconds. So before a new
one is made, those that are about to be free get a moment (`grace`): a client that calls again as soon as it has its
answer would otherwise race its own environment, and start a second one.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Load:
    """The state of one function version's environments.

    Attributes:
        waiting: Invocations that no environment has yet.
        starting: Environments that are being made or initialised, and will offer themselves.
        soon_idle: Environments whose caller has been answered, but which have not asked for the next event.
    """

    waiting: int
    starting: int
    soon_idle: int


@dataclass(frozen=True, slots=True)
class Scale:
    """What to do about it.

    Attributes:
        add: Environments to make now.
        recheck: Whether to decide again after the grace, because some are hoped to become idle.
    """

    add: int
    recheck: bool


def decide(load: Load, *, grace_is_over: bool) -> Scale:
    """How many environments to add for the invocations that wait."""
    uncovered = load.waiting - load.starting
    if uncovered <= 0:
        return Scale(0, recheck=False)
    if grace_is_over:
        return Scale(uncovered, recheck=False)
    hoped_for = min(uncovered, load.soon_idle)
    return Scale(uncovered - hoped_for, recheck=hoped_for > 0)
