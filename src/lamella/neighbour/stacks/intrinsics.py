"""Evaluates the functions of a template: `Ref`, `Fn::Sub` and the like. Pure: what they refer to comes from a scope.

Source: CloudFormation user guide, "Intrinsic function reference".
"""

import base64
import ipaddress
import json
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Final, Protocol

from lamella.neighbour.stacks.errors import StackError
from lamella.neighbour.stacks.template import Json

UNKNOWN: Final = "{{changeSet:KNOWN_AFTER_APPLY}}"
"""Stands in a change set for what only the deployment will tell. Source: API reference, `DescribeChangeSet`."""

_PLACE: Final = re.compile(r"\$\{(!?)([^${}]+)\}")
_BLOCKS_MOST: Final = 256
_DYNAMIC: Final = re.compile(r"\{\{resolve:([a-z-]+):([^{}]+)\}\}")


class _NoValue:
    """`AWS::NoValue`: the property that has it is not there."""


NO_VALUE: Final = _NoValue()


class Scope(Protocol):
    """What the functions of a template refer to."""

    def ref(self, name: str) -> Json:
        """A parameter, a pseudo parameter or a resource. Raises `StackError` if there is none."""

    def attribute(self, name: str, attribute: str) -> Json:
        """An attribute of a resource. Raises `StackError` if there is none."""

    def condition(self, name: str) -> bool:
        """Raises `StackError` if there is none."""

    def mapping(self, name: str) -> Mapping[str, Json] | None:
        """A map of the template."""

    def imported(self, name: str) -> Json:
        """What another stack exports. Raises `StackError` if none does."""

    def dynamic(self, service: str, key: str) -> str:
        """A dynamic reference, such as to a parameter of SSM. Raises `StackError` if there is none."""

    def spend(self, characters: int) -> None:
        """So much is made by functions. A few of them within each other could make more than there is memory.

        Raises:
            StackError: It is too much.
        """


def resolve(value: Json, scope: Scope) -> Json:
    """The value with all functions in it evaluated.

    Raises:
        StackError: A function is malformed, or refers to nothing.
    """
    if isinstance(value, str):
        return _DYNAMIC.sub(lambda found: _dynamic(found, scope), value) if "{{resolve:" in value else value
    if isinstance(value, Mapping):
        if len(value) == 1:
            ((name, argument),) = value.items()
            if (function := _FUNCTIONS.get(name)) is not None:
                found = function(argument, scope)
                scope.spend(_weight(found))
                return found
            if name.startswith("Fn::"):
                raise StackError(f"Template error: {name} is not supported here")
        pairs = ((key, resolve(item, scope)) for key, item in value.items())
        return {key: item for key, item in pairs if item is not NO_VALUE}
    if isinstance(value, list):
        return [item for item in (resolve(item, scope) for item in value) if item is not NO_VALUE]
    return value


def decide(condition: Json, scope: Scope) -> bool:
    """Whether a condition of a template holds.

    Raises:
        StackError: It is malformed.
    """
    if isinstance(condition, bool):
        return condition
    if not isinstance(condition, Mapping) or len(condition) != 1:
        raise StackError("Template format error: a condition is malformed")
    ((name, argument),) = condition.items()
    match name, argument:
        case "Condition", str():
            return scope.condition(argument)
        case "Fn::Equals", [left, right]:
            return text(resolve(left, scope)) == text(resolve(right, scope))
        case "Fn::Not", [only]:
            return not decide(only, scope)
        case "Fn::And", list():
            return all(decide(item, scope) for item in argument)
        case "Fn::Or", list():
            return any(decide(item, scope) for item in argument)
        case _:
            raise StackError(f"Template error: {name} is malformed, or cannot stand in a condition")


def references(value: Json, holds: Callable[[str], bool]) -> Iterator[str]:
    """Names that a value refers to: of resources, parameters and pseudo parameters.

    Args:
        value: Unresolved.
        holds: Whether a condition does; of `Fn::If` only the branch that counts is looked at.
    """
    if isinstance(value, list):
        for item in value:
            yield from references(item, holds)
    if not isinstance(value, Mapping):
        return
    if len(value) == 1:
        ((name, argument),) = value.items()
        match name, argument:
            case "Ref", str():
                yield argument
                return
            case "Fn::GetAtt", [str(resource), *rest]:
                yield resource
                yield from references(rest, holds)
                return
            case "Fn::GetAtt", str():
                yield argument.partition(".")[0]
                return
            case "Fn::Sub", str() | [str(), {}]:
                form, values = (argument, {}) if isinstance(argument, str) else argument
                yield from (found.partition(".")[0] for found in _places(form) if found not in values)
                yield from references(values, holds)
                return
            case "Fn::If", [str(condition), yes, no]:
                yield from references(yes if holds(condition) else no, holds)
                return
            case _:
                pass
    for item in value.values():
        yield from references(item, holds)


def text(value: Json) -> str:
    """A value as the text that it becomes within another one."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value) if isinstance(value, list | dict) else str(value)


def _weight(value: Json) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(len(key) + _weight(item) for key, item in value.items()) + 1
    return sum(map(_weight, value)) + 1 if isinstance(value, list) else 1


def _dynamic(found: re.Match[str], scope: Scope) -> str:
    value = scope.dynamic(found[1], found[2])
    scope.spend(len(value))
    return value


def _places(form: str) -> Iterator[str]:
    for found in _PLACE.finditer(form):
        if not found[1]:
            yield found[2].strip()


def _name(argument: Json, scope: Scope) -> str:
    name = resolve(argument, scope)
    if not isinstance(name, str):
        raise StackError("Template format error: a reference is malformed")
    return name


def _get_att(argument: Json, scope: Scope) -> Json:
    parts = argument.split(".", 1) if isinstance(argument, str) else argument
    match parts:
        case [resource, attribute]:
            return scope.attribute(_name(resource, scope), _name(attribute, scope))
        case _:
            pass
    raise StackError(
        "Template error: every Fn::GetAtt object requires two non-empty parameters, the resource name and "
        "the resource attribute"
    )


def _sub(argument: Json, scope: Scope) -> str:
    match argument:
        case str():
            form, values = argument, dict[str, Json]()
        case [str(found), dict() as given]:
            form, values = found, given
        case _:
            raise StackError(
                "Template error: One or more Fn::Sub intrinsic functions don't specify expected arguments. "
                "Specify a string as first argument, and an optional second argument to specify a mapping "
                "of values to replace in the string"
            )

    known = dict[str, str]()  # an argument may stand in the text as often as it likes

    def replace(found: re.Match[str]) -> str:
        name = found[2].strip()
        if found[1]:
            return "${" + found[2] + "}"
        if name in values:
            if name not in known:
                known[name] = text(resolve(values[name], scope))
            value = known[name]
        else:
            resource, dot, attribute = name.partition(".")
            value = text(scope.attribute(resource, attribute) if dot else scope.ref(name))
        scope.spend(len(value))
        return value

    return text(resolve(_PLACE.sub(replace, form), scope))


def _if(argument: Json, scope: Scope) -> Json:
    match argument:
        case [str(condition), yes, no]:
            return resolve(yes if scope.condition(condition) else no, scope)
        case _:
            pass
    raise StackError("Template error: Fn::If requires a list argument with three elements")


def _join(argument: Json, scope: Scope) -> str:
    match argument:
        case [str(delimiter), items]:
            resolved = resolve(items, scope)
            if resolved == UNKNOWN:
                return UNKNOWN
            if isinstance(resolved, list):
                items = [text(item) for item in resolved]
                scope.spend(len(delimiter) * len(items) + sum(map(len, items)))
                return delimiter.join(items)
        case _:
            pass
    raise StackError(
        "Template error: every Fn::Join object requires two parameters, (1) a string delimiter and (2) a "
        "list of strings to be joined or a function that returns a list of strings (such as Fn::GetAZs) "
        "to be joined."
    )


def _split(argument: Json, scope: Scope) -> Json:
    match resolve(argument, scope):
        case [str(delimiter), str(source)] if delimiter:
            return UNKNOWN if source == UNKNOWN else source.split(delimiter)
        case _:
            pass
    raise StackError(
        "Template error: every Fn::Split object requires two parameters, (1) a string delimiter and (2) a "
        "string to be split or a function that returns a string to be split."
    )


def _select(argument: Json, scope: Scope) -> Json:
    match resolve(argument, scope):
        case [_, str(unknown)] if unknown == UNKNOWN:
            return UNKNOWN
        case [int() | str() as index, [*items]]:
            if re.fullmatch("[0-9]{1,9}", str(index)) and int(index) < len(items):
                return items[int(index)]
            raise StackError(f"Template error: Fn::Select cannot select nonexistent value at index {index}")
        case _:
            pass
    raise StackError("Template error: every Fn::Select object requires two parameters, (1) an index and (2) a list")


def _find_in_map(argument: Json, scope: Scope) -> Json:
    match argument:
        case [name, top, second, *rest] if len(rest) < 2:
            found: Json = scope.mapping(_name(name, scope))
            for key in (resolve(top, scope), resolve(second, scope)):
                found = found.get(text(key)) if isinstance(found, Mapping) else None
            if found is not None:
                return found
            if rest and isinstance(rest[0], Mapping) and "DefaultValue" in rest[0]:
                return resolve(rest[0]["DefaultValue"], scope)
            raise StackError(
                f"Template error: Unable to get mapping for {text(name)}::{text(resolve(top, scope))}::"
                f"{text(resolve(second, scope))}"
            )
        case _:
            pass
    raise StackError(
        "Template error: every Fn::FindInMap object requires three parameters, the map name, map key and "
        "the attribute for return value"
    )


def _base64(argument: Json, scope: Scope) -> str:
    return base64.b64encode(text(resolve(argument, scope)).encode()).decode()


def _azs(argument: Json, scope: Scope) -> list[str]:
    region = resolve(argument, scope) or scope.ref("AWS::Region")
    return [f"{region}{zone}" for zone in "abc"]


def _cidr(argument: Json, scope: Scope) -> list[str]:
    match resolve(argument, scope):
        case [str(block), count, *rest]:
            try:
                return _blocks(block, int(count), int(rest[0]) if rest else 8)
            except (TypeError, ValueError) as error:
                raise StackError(f"Template error: Fn::Cidr: {error}") from error
        case _:
            pass
    raise StackError("Template error: every Fn::Cidr object requires two parameters, an address block and a count")


def _blocks(block: str, count: int, bits: int) -> list[str]:
    """Source: user guide, "Fn::Cidr", for the bounds of the count."""
    if not 1 <= count <= _BLOCKS_MOST:
        raise ValueError(f"the count is 1 at least and {_BLOCKS_MOST} at most")
    network = ipaddress.ip_network(block)
    subnets = network.subnets(new_prefix=network.max_prefixlen - bits)
    return [str(subnet) for subnet in islice(subnets, count)]


def _length(argument: Json, scope: Scope) -> int:
    match resolve(argument, scope):
        case [*items]:
            return len(items)
        case _:
            raise StackError("Template error: Fn::Length requires a list, or a function that returns one")


_FUNCTIONS: Final[Mapping[str, Callable[[Json, Scope], Json]]] = {
    "Fn::Base64": _base64,
    "Fn::Cidr": _cidr,
    "Fn::FindInMap": _find_in_map,
    "Fn::GetAZs": _azs,
    "Fn::GetAtt": _get_att,
    "Fn::If": _if,
    "Fn::ImportValue": lambda argument, scope: scope.imported(text(resolve(argument, scope))),
    "Fn::Join": _join,
    "Fn::Length": _length,
    "Fn::Select": _select,
    "Fn::Split": _split,
    "Fn::Sub": _sub,
    "Ref": lambda argument, scope: scope.ref(_name(argument, scope)),
    "Fn::ToJsonString": lambda argument, scope: json.dumps(resolve(argument, scope), separators=(",", ":")),
}
