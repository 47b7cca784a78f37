"""Which of two versions is the newer, for people who read a list of changes; no installer decides by it."""

import re
from itertools import zip_longest
from typing import Final

_TOKEN: Final = re.compile(r"\d+|[a-z]+")
# What is smaller than the end of a version: 2.0rc1 comes before 2.0. A word that is none of these comes after it.
_BEFORE: Final = {"dev": -5, "a": -4, "alpha": -4, "b": -3, "beta": -3, "m": -3, "rc": -2, "cr": -2, "snapshot": -2}
_END: Final = (0, 0)


def compare_versions(old: str, new: str) -> int:
    """Below zero if the new one is older, above if it is newer, zero if that cannot be told."""
    for first, second in zip_longest(_tokens(old), _tokens(new), fillvalue=_END):
        if first != second:
            return 1 if second > first else -1
    return 0


def _tokens(version: str) -> list[tuple[int, int]]:
    # More digits than that are nonsense, and may not take time.
    return [
        (2, int(token[:18])) if token.isdigit() else (_BEFORE.get(token, 1), 0)
        for token in _TOKEN.findall(version.lower().partition("+")[0])
    ]
