"""In which groups, one after the other, the functions of a fleet get something new."""

import re
from collections.abc import Sequence
from typing import Final

from lamella.fleet.errors import FleetError

DEFAULT: Final = "1,10%,50%,100%"
_SIZE: Final = re.compile(r"(\d+)(%?)")


def split_waves(names: Sequence[str], sizes: str) -> tuple[tuple[str, ...], ...]:
    """Cut a list of functions into waves.

    Args:
        names: In the order in which they are to come.
        sizes: How many functions have had their turn after each wave, as numbers or percentages: `1,10%,50%,100%`. What
            is left at the end is one more wave; a wave that would be empty is none.

    Raises:
        FleetError: A size cannot be read.
    """
    total, begin = len(names), 0
    waves = []
    for size in [*_parse(sizes), (100, True)]:
        number, is_percent = size
        end = min(total, -(-total * number // 100) if is_percent else number)
        if end > begin:
            waves.append(tuple(names[begin:end]))
            begin = end
    return tuple(waves)


def _parse(sizes: str) -> list[tuple[int, bool]]:
    found = []
    for text in sizes.split(","):
        match = _SIZE.fullmatch(text.strip())
        if match is None or int(match[1]) == 0 or (match[2] and int(match[1]) > 100):
            raise FleetError(f"{text.strip()!r} is no size of a wave; write numbers or percentages, such as {DEFAULT}")
        found.append((int(match[1]), bool(match[2])))
    return found


def parse_steps(text: str) -> tuple[float, ...]:
    """Shares of an alias's invocations that a new version gets, one after the other: `10%,50%,100%`.

    Returns:
        Shares above 0 and up to 1, each greater than the one before; the last is 1 always.

    Raises:
        FleetError: They cannot be read, or do not grow.
    """
    steps: list[float] = []
    for word in text.split(","):
        match = _SIZE.fullmatch(word.strip())
        share = int(match[1]) / 100 if match is not None else 0
        if not 0 < share <= 1 or (steps and share <= steps[-1]):
            raise FleetError(f"--steps {text!r}: write growing percentages, such as 10%,50%,100%")
        steps.append(share)
    return tuple(steps) if steps[-1] == 1 else (*steps, 1.0)
