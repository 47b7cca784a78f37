"""Values of a template's parameters: what was sent, what is the default, and whether it may be so. Pure.

Source: CloudFormation user guide, "CloudFormation template Parameters syntax".
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lamella.neighbour.stacks.errors import StackError
from lamella.neighbour.stacks.template import Json, Template

Lookup = Callable[[str], str]
"""The value of a parameter of SSM. Raises `StackError` if there is none."""

_SSM: Final = "AWS::SSM::Parameter::Value<"
_HIDDEN: Final = "****"


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
        return _HIDDEN if self.hidden else self.given


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
    if pattern is not None and re.fullmatch(str(pattern), value) is None:
        raise refuse(f"Parameter {name} must match pattern {pattern}")
    if kind == "Number":
        try:
            number = float(value)
        except ValueError:
            raise StackError(
                f"Parameter validation failed: parameter value {value} for parameter name {name} is not a number"
            ) from None
        if "MinValue" in definition and number < float(definition["MinValue"]):
            raise refuse(f"Parameter {name} must be number not less than {definition['MinValue']}")
        if "MaxValue" in definition and number > float(definition["MaxValue"]):
            raise refuse(f"Parameter {name} must be number not greater than {definition['MaxValue']}")
    if "MinLength" in definition and len(value) < int(definition["MinLength"]):
        raise refuse(f"Parameter {name} must contain at least {definition['MinLength']} characters")
    if "MaxLength" in definition and len(value) > int(definition["MaxLength"]):
        raise refuse(f"Parameter {name} must contain at most {definition['MaxLength']} characters")


def _text(value: Json) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
