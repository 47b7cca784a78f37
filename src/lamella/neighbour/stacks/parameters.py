"""Values of a template's parameters: what was sent, what is the default, and whether it may be so. Pure.

Source: CloudFormation user guide, "CloudFormation template Parameters syntax".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import regex

from lamella.neighbour.stacks.errors import StackError
from lamella.neighbour.stacks.template import Json, Template, check_quotas, unsupported

Lookup = Callable[[str], str]
"""The value of a parameter of SSM. Raises `StackError` if there is none."""

_SSM: Final = "AWS::SSM::Parameter::Value<"
HIDDEN: Final = "****"
_VALUE_BYTES: Final = 4096
"""Source: CloudFormation user guide, "Understand CloudFormation quotas"."""
_PATTERN_S: Final = 1.0
"""A pattern can be written so that it takes for ever; one that means well takes some microseconds."""
_PATTERN_MOST: Final = 4096
"""Characters: a very long one takes seconds to be read."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a stack.

    Attributes:
        given: As it was sent, or the default; what `DescribeStacks` tells.
        value: What `Ref` gives.
        hidden: Not told to anybody (`NoEcho`).
        resolved: Of SSM, what its name stood for; else empty.
    """

    given: str
    value: Json
    hidden: bool = False
    resolved: str = ""

    @property
    def shown(self) -> str:
        """What callers are told."""
        return HIDDEN if self.hidden else self.given


def settle(
    template: Template, sent: Mapping[str, str | None], previous: Mapping[str, Parameter], lookup: Lookup
) -> dict[str, Parameter]:
    """Values for all parameters of a template.

    Args:
        template: With the definitions.
        sent: By name; `None` stands for the previous value.
        previous: Of the stack as it is.
        lookup: See there.

    Raises:
        StackError: One is missing, unknown, or not allowed.
    """
    definitions = template.get("Parameters", {})
    if not isinstance(definitions, Mapping) or not all(isinstance(one, Mapping) for one in definitions.values()):
        raise unsupported()
    check_quotas(template)
    unknown = [name for name in sent if name not in definitions]
    if unknown:
        raise StackError(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    given = dict[str, str]()
    missing = []
    for name, definition in definitions.items():
        value = sent.get(name)
        if value is None and name in sent and name in previous:
            value = previous[name].given
        if value is None and "Default" in definition:
            value = _text(definition["Default"])
        if value is None:
            missing.append(name)
        else:
            given[name] = value
    if missing:
        raise StackError(f"Parameters: [{', '.join(missing)}] must have values")
    return {name: _settled(name, definitions[name], value, lookup) for name, value in given.items()}


def _settled(name: str, definition: Mapping[str, Any], given: str, lookup: Lookup) -> Parameter:  # Any: template
    if len(given.encode()) > _VALUE_BYTES:
        raise StackError(f"Parameter {name} must contain at most {_VALUE_BYTES} bytes")
    kind = str(definition.get("Type", "String"))
    value, resolved = given, ""
    if kind.startswith(_SSM):
        resolved = value = lookup(given)
        kind = kind[len(_SSM) : -1]
    elif kind != "AWS::SSM::Parameter::Name":
        _check(name, definition, kind, given)
    hidden = _text(definition.get("NoEcho", False)) == "true"
    listed = kind == "CommaDelimitedList" or kind.startswith("List<")
    whole: Json = [item.strip() for item in value.split(",")] if listed else value
    return Parameter(given, whole, hidden, resolved)


def _check(name: str, definition: Mapping[str, Any], kind: str, value: str) -> None:  # Any: template
    reason = definition.get("ConstraintDescription")

    def refuse(rule: str) -> StackError:
        return StackError(f"Parameter {name} failed to satisfy constraint: {reason or rule}")

    allowed = definition.get("AllowedValues")
    items = value.split(",") if kind == "CommaDelimitedList" else [value]
    if allowed is not None and not {item.strip() for item in items} <= {_text(item) for item in allowed}:
        # The spelling is AWS's: it names the parameter with a quote before it.
        raise StackError(f"Parameter '{name}' must be one of AllowedValues")
    pattern = definition.get("AllowedPattern")
    if pattern is not None and not _matches(name, str(pattern), value):
        raise refuse(f"Parameter {name} must match pattern {pattern}")
    if kind == "Number":
        try:
            number = float(value)
        except ValueError:
            raise StackError(
                f"Parameter validation failed: parameter value {value} for parameter name {name} is not a number"
            ) from None
        if "MinValue" in definition and number < _bound(name, definition, "MinValue"):
            raise refuse(f"Parameter {name} must be number not less than {definition['MinValue']}")
        if "MaxValue" in definition and number > _bound(name, definition, "MaxValue"):
            raise refuse(f"Parameter {name} must be number not greater than {definition['MaxValue']}")
    if "MinLength" in definition and len(value) < _bound(name, definition, "MinLength"):
        raise refuse(f"Parameter {name} must contain at least {definition['MinLength']} characters")
    if "MaxLength" in definition and len(value) > _bound(name, definition, "MaxLength"):
        raise refuse(f"Parameter {name} must contain at most {definition['MaxLength']} characters")


def _matches(name: str, pattern: str, value: str) -> bool:
    if len(pattern) > _PATTERN_MOST:
        raise StackError(f"Template error: the AllowedPattern of parameter {name} is too long")
    try:
        return regex.fullmatch(pattern, value, timeout=_PATTERN_S, concurrent=True) is not None
    except TimeoutError:
        raise StackError(f"Template error: the AllowedPattern of parameter {name} takes too long") from None
    except (regex.error, RecursionError) as error:
        raise StackError(f"Template error: the AllowedPattern of parameter {name} is none: {error}") from error


def _bound(name: str, definition: Mapping[str, Any], key: str) -> float:  # Any: template
    try:
        return float(definition[key])
    except (TypeError, ValueError):
        raise StackError(f"Template format error: {key} of parameter {name} must be a number") from None


def _text(value: Json) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
