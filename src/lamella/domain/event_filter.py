"""Filter criteria of event source mappings: patterns of EventBridge's form, compiled once and asked of each event.

Source: Lambda developer guide, "Control which events Lambda sends to your function", and EventBridge user guide,
"Comparison operators": an event matches if for each field of the pattern some value of the event's field matches one of
the alternatives. A field of the event that is a list matches if one of its items does.
"""

import ipaddress
import json
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

Matcher = Callable[[Any], bool]  # Any: JSON
_MISSING: Final = object()
_COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class PatternError(ValueError):
    """What was given is no pattern."""


def compile_pattern(text: str) -> Matcher:
    """A function that says whether an event matches.

    Raises:
        PatternError: `text` is no pattern.
    """
    try:
        pattern = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PatternError("not JSON") from error
    if not isinstance(pattern, dict):
        raise PatternError("not an object")
    try:
        return _object(pattern)
    except RecursionError as error:
        raise PatternError("nested too deeply") from error


def _object(pattern: Mapping[str, Any]) -> Matcher:
    if not pattern:
        raise PatternError("an empty object")
    checks: list[Matcher] = []
    for name, wanted in pattern.items():
        if name == "$or":
            if not isinstance(wanted, list) or len(wanted) < 2 or not all(isinstance(one, dict) for one in wanted):
                raise PatternError("$or wants two objects at least")
            checks.append(_any([_object(one) for one in wanted]))
        elif isinstance(wanted, dict):
            checks.append(_member(name, _within(_object(wanted))))
        elif isinstance(wanted, list):
            if not wanted:
                raise PatternError("an empty list")
            checks.append(_member(name, _any([_alternative(one) for one in wanted])))
        else:
            raise PatternError("a field wants a list of alternatives")
    return lambda event: isinstance(event, dict) and all(check(event) for check in checks)


def _member(name: str, check: Matcher) -> Matcher:
    return lambda event: check(event.get(name, _MISSING))


def _within(check: Matcher) -> Matcher:
    """What is below a field that is missing is missing as well: a pattern may ask for that."""
    return lambda value: check({} if value is _MISSING else value)


def _any(checks: Sequence[Matcher]) -> Matcher:
    return lambda value: any(check(value) for check in checks)


def _alternative(wanted: Any) -> Matcher:
    if isinstance(wanted, dict):
        if len(wanted) != 1:
            raise PatternError("a comparison has one operator")
        ((name, operand),) = wanted.items()
        return _comparison(name, operand)
    if isinstance(wanted, list):
        raise PatternError("a list within a list")
    return _each(lambda value: _equal(value, wanted))


def _each(check: Matcher) -> Matcher:
    """Of a list in the event, one item is enough; nothing is not something."""

    def matches(value: Any) -> bool:
        if value is _MISSING:
            return False
        return any(check(item) for item in value) if isinstance(value, list) else check(value)

    return matches


def _equal(value: Any, wanted: Any) -> bool:
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    return type(value) in (str, int, float, type(None)) and bool(value == wanted)


def _comparison(name: str, operand: Any) -> Matcher:
    match name, operand:
        case "exists", bool():
            return lambda value: (value is not _MISSING) is operand
        case "anything-but", _:
            inner = _anything_but(operand)
            return _each(lambda value: not inner(value))
        case "numeric", list():
            return _each(_numeric(operand))
        case "cidr", str():
            return _each(_cidr(operand))
        case _:
            return _each(_textual(name, operand))


def _anything_but(operand: Any) -> Matcher:
    if isinstance(operand, dict):
        if len(operand) != 1:
            raise PatternError("anything-but has one operator")
        ((name, inner),) = operand.items()
        return _any([_textual(name, one) for one in (inner if isinstance(inner, list) else [inner])])
    wanted = operand if isinstance(operand, list) else [operand]
    if not wanted or any(isinstance(one, dict | list) for one in wanted):
        raise PatternError("anything-but wants values")
    return lambda value: any(_equal(value, one) for one in wanted)


def _textual(name: str, operand: Any) -> Matcher:
    if name in ("prefix", "suffix") and isinstance(operand, dict) and list(operand) == ["equals-ignore-case"]:
        affix = operand["equals-ignore-case"]
        if not isinstance(affix, str):
            raise PatternError("equals-ignore-case wants a text")
        check = _textual(name, affix.lower())
        return lambda value: isinstance(value, str) and check(value.lower())
    if not isinstance(operand, str):
        raise PatternError(f"{name} wants a text")
    match name:
        case "prefix":
            return lambda value: isinstance(value, str) and value.startswith(operand)
        case "suffix":
            return lambda value: isinstance(value, str) and value.endswith(operand)
        case "equals-ignore-case":
            return lambda value: isinstance(value, str) and value.lower() == operand.lower()
        case "wildcard":
            if "**" in operand:
                raise PatternError("wildcard has two stars in a row")
            return wildcard(operand)
        case _:
            raise PatternError(f"there is no operator {name}")


def wildcard(pattern: str) -> Matcher:
    """Whether a text matches a pattern, in which a star stands for anything unless a backslash is before it.

    Without going back over several stars: each part is looked for after the one before it.
    """
    parts = [re.sub(r"\\([*\\])", r"\1", part) for part in re.split(r"(?<!\\)\*", pattern)]

    def matches(value: Any) -> bool:
        if not isinstance(value, str):
            return False
        if len(parts) == 1:
            return value == parts[0]
        first, *middle, last = parts
        if len(value) < len(first) + len(last) or not value.startswith(first) or not value.endswith(last):
            return False
        position, end = len(first), len(value) - len(last)
        for part in middle:
            found = value.find(part, position, end)
            if found < 0:
                return False
            position = found + len(part)
        return True

    return matches


def _numeric(operand: Sequence[Any]) -> Matcher:
    if len(operand) not in (2, 4):
        raise PatternError("numeric wants one comparison or two")
    checks: list[tuple[Callable[[float, float], bool], float]] = []
    for sign, bound in zip(operand[::2], operand[1::2], strict=True):
        number = isinstance(bound, int | float) and not isinstance(bound, bool) and math.isfinite(bound)
        if not isinstance(sign, str) or sign not in _COMPARISONS or not number:
            raise PatternError("numeric wants signs and numbers in turn")
        checks.append((_COMPARISONS[sign], bound))
    return lambda value: (
        isinstance(value, int | float) and not isinstance(value, bool) and all(check(value, b) for check, b in checks)
    )


def _cidr(operand: str) -> Matcher:
    try:
        network = ipaddress.ip_network(operand, strict=False)
    except ValueError as error:
        raise PatternError("cidr wants a network") from error

    def matches(value: Any) -> bool:
        try:
            return isinstance(value, str) and ipaddress.ip_address(value) in network
        except ValueError:
            return False

    return matches
