"""Waits for states that an API shows and does not announce."""

from collections.abc import Callable
from typing import Final

from lamella.neighbour.stacks.errors import ResourceError
from lamella.neighbour.stacks.kinds import Task

_FIRST_S: Final = 0.02
_LONGEST_S: Final = 1.0
_LIMIT_S: Final = 900.0


def wait_for(reached: Callable[[], bool], task: Task, *, within_s: float = _LIMIT_S) -> None:
    """Ask again and again, ever more slowly, until the answer is yes.

    Raises:
        ResourceError: The operation is to end, or it takes too long.
    """
    pause_s, waited_s = _FIRST_S, 0.0
    while not reached():
        if task.stop.wait(pause_s):
            raise ResourceError("Resource creation cancelled")
        waited_s += pause_s
        if waited_s > within_s:
            raise ResourceError("Exceeded attempts to wait")
        pause_s = min(pause_s * 1.5, _LONGEST_S)
