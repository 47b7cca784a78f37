"""Versions and ranges of npm and Maven, as far as checks and advisories need them; those of PyPI are `packaging`'s.

Sources: semver.org 2.0.0; node-semver's README, "Ranges"; Maven, `ComparableVersion` ("POM reference", version order).
"""

import re
from collections.abc import Callable
from typing import Final, TypeAlias

from packaging.version import InvalidVersion, Version

Key: TypeAlias = tuple[object, ...]
"""What versions are compared by; only with others of the same kind."""

_SEMVER: Final = re.compile(
    r"[v=\s]*(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?(?:-([0-9A-Za-z.-]{1,128}))?(?:\+[0-9A-Za-z.-]{0,128})?"
)
_PARTIAL: Final = re.compile(
    r"[v=]?(\d{1,9}|[xX*])(?:\.(\d{1,9}|[xX*]))?(?:\.(\d{1,9}|[xX*]))?(?:-([0-9A-Za-z.-]{1,128}))?"
)
_QUALIFIERS: Final = {
    "alpha": -5,
    "a": -5,
    "beta": -4,
    "b": -4,
    "milestone": -3,
    "m": -3,
    "rc": -2,
    "cr": -2,
    "snapshot": -1,
    "": 0,
    "final": 0,
    "ga": 0,
    "release": 0,
    "sp": 1,
}


def pypi_key(text: str) -> Key | None:
    """`None` if it is not a version."""
    try:
        return (Version(text),)
    except InvalidVersion:
        return None


def semver_key(text: str) -> Key | None:
    """`None` if it is not a version."""
    match = _SEMVER.fullmatch(text.strip())
    if match is None:
        return None
    numbers = tuple(int(part or 0) for part in match.group(1, 2, 3))
    if match[4] is None:
        return (numbers, 1, ())
    # Numbers come before words; a release after all of its pre-releases.
    before = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in match[4].split("."))
    return (numbers, 0, before)


def maven_key(text: str) -> Key | None:
    """Never `None`: Maven orders anything."""
    key: list[tuple[int, int, str]] = []
    for part in re.findall(r"\d+|[a-z]+", text.lower()[:256]):
        if part.isdigit():
            key.append((2, int(part), ""))
            continue
        _trim(key)  # 1.0-rc1 comes before 1 as it does before 1.0
        key.append((1, _QUALIFIERS[part], "") if part in _QUALIFIERS else (1, 2, part))
    _trim(key)
    # The end of a version comes after its pre-releases, and before service packs and numbers.
    return (*key, (1, 0, ""))


def _trim(key: list[tuple[int, int, str]]) -> None:
    while key and key[-1] in {(2, 0, ""), (1, 0, "")}:
        key.pop()


KEYS: Final[dict[str, Callable[[str], Key | None]]] = {"pypi": pypi_key, "npm": semver_key, "maven": maven_key}
"""By the name of the ecosystem in package URLs."""


def less(first: Key, second: Key) -> bool:
    """Whether one version is older than the other."""
    return first < second


def satisfies(version: tuple[int, int, int], wanted: str) -> bool:
    """Whether a release is in a range of npm; a range that is not understood holds everything."""
    alternatives = wanted.split("||")
    return any(_in_all(version, alternative) for alternative in alternatives[:64])


def _in_all(version: tuple[int, int, int], text: str) -> bool:
    text = re.sub(r"(<=|>=|<|>|=|~>?|\^)\s+", r"\1", text.strip())
    hyphen = re.fullmatch(r"(\S+)\s+-\s+(\S+)", text)
    parts = [f">={hyphen[1]}", f"<={hyphen[2]}"] if hyphen else text.split()
    return all(_in_one(version, part) for part in parts[:64])


def _in_one(version: tuple[int, int, int], part: str) -> bool:
    match = re.match(r"(<=|>=|<|>|=|~>|~|\^|)(.*)", part)
    number = _PARTIAL.fullmatch(match[2]) if match else None
    if match is None or number is None:
        return True
    given = [int(group) for group in _leading(number)]
    low = tuple([*given, 0, 0, 0][:3])
    operator = match[1]
    if not given:
        return operator not in ("<", ">")
    above = _above(given, len(given) - 1)
    match operator:
        case ">=":
            return version >= low
        case ">":
            return version >= above if len(given) < 3 else version > low
        case "<":
            return version < low
        case "<=":
            return version < above
        case "^":
            first = next((index for index, part_ in enumerate(given) if part_), len(given) - 1)
            return low <= version < _above(given, first)
        case "~" | "~>":
            return low <= version < _above(given, min(1, len(given) - 1))
        case _:
            return low <= version < above


def _leading(number: re.Match[str]) -> list[str]:
    found: list[str] = []
    for group in number.group(1, 2, 3):
        if group is None or not group.isdigit():
            break
        found.append(group)
    return found


def _above(given: list[int], position: int) -> tuple[int, ...]:
    """The first release beyond all that begin alike up to a position."""
    return tuple([*given[:position], given[position] + 1, 0, 0, 0][:3])
