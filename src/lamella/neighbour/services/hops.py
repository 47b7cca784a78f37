"""Keeps what is handed on from going round in circles: moto hands it on within itself, again and again.

Two rules that lead back to their own bus would make four events of one, then eight, in a request that never ends.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_handed_on: ContextVar[bool] = ContextVar("handed_on", default=False)


class HopError(Exception):
    """What was handed on is not handed on again."""


@contextmanager
def hop() -> Iterator[None]:
    """Hand something on to another of the same kind.

    Raises:
        HopError: It was handed on before.
    """
    if _handed_on.get():
        raise HopError("what came from another one is not handed on to a third")
    token = _handed_on.set(True)
    try:
        yield
    finally:
        _handed_on.reset(token)
