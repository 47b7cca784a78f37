"""Putting something of ours in the place of something of moto's."""

from collections.abc import Callable
from typing import Any

import moto


class UnknownMotoError(Exception):
    """This version of moto is built differently; what was to be replaced is not there."""


def replace(owner: object, name: str, make: Callable[[Any], Any]) -> None:  # Any: of moto's own types
    """Put what `make` returns in the place of an attribute; it is given what was there.

    Raises:
        UnknownMotoError: There is no such attribute. Then moto does not start: events that quietly reach nobody would
            be worse than a neighbour that says why it is not there.
    """
    original = getattr(owner, name, None)
    if original is None:
        where = getattr(owner, "__name__", repr(owner))
        raise UnknownMotoError(f"moto {moto.__version__} cannot be used: it has no {where}.{name}; moto 5.2 has")
    setattr(owner, name, make(original))
