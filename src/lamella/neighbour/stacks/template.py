"""Reads templates: JSON, or YAML with the short forms of intrinsic functions."""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

import yaml

from lamella.neighbour.stacks.errors import StackError

_log = logging.getLogger(__name__)

Json: TypeAlias = Any  # templates hold any JSON, at any place
Template: TypeAlias = dict[str, Json]

_TEXT: Final = "tag:yaml.org,2002:str"
_MERGE: Final = "tag:yaml.org,2002:merge"
_VERSION: Final = "2010-09-09"
_NESTED_MOST: Final = 100
"""Levels. No template comes near, and what goes through one calls itself for each."""
_MOST: Final = {"Parameters": 200, "Mappings": 200, "Resources": 500, "Outputs": 200}
"""Source: CloudFormation user guide, "Understand CloudFormation quotas"."""
_POLICIES: Final = {
    "DeletionPolicy": ("Delete", "Retain", "RetainExceptOnCreate", "Snapshot"),
    "UpdateReplacePolicy": ("Delete", "Retain", "Snapshot"),
}
_SECTIONS: Final = frozenset(
    {
        "AWSTemplateFormatVersion",
        "Conditions",
        "Description",
        "Globals",  # of the SAM transform
        "Hooks",
        "Mappings",
        "Metadata",
        "Outputs",
        "Parameters",
        "Resources",
        "Rules",
        "Transform",
    }
)
_SHORT: Final = frozenset(
    {
        "And",
        "Base64",
        "Cidr",
        "Equals",
        "FindInMap",
        "ForEach",
        "GetAtt",
        "GetAZs",
        "If",
        "ImportValue",
        "Join",
        "Length",
        "Not",
        "Or",
        "Select",
        "Split",
        "Sub",
        "ToJsonString",
        "Transform",
    }
)


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML is not typed
    """No objects of Python, no aliases: what a template says is data, and as large as it looks."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._level = 0

    def compose_node(self, parent: Any, index: Any) -> Any:  # Any: PyYAML's nodes
        if self.check_event(yaml.events.AliasEvent):
            # Source: CloudFormation user guide, "CloudFormation template formats": YAML aliases are not supported.
            raise StackError("Template error: YAML aliases are not allowed in CloudFormation templates")
        self._level += 1
        if self._level > _NESTED_MOST:
            raise _nested()
        node = super().compose_node(parent, index)
        self._level -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:  # Any: PyYAML's
        """Keys are texts: `YES` is a variable's name, and `123456789012` an account."""
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
                key.tag = _TEXT
        return super().construct_mapping(node, deep=deep)


def _short(loader: _Loader, suffix: str, node: yaml.Node) -> Json:
    if suffix == "Ref" or suffix == "Condition":
        return {suffix: loader.construct_scalar(node)}
    if suffix not in _SHORT:
        raise StackError(f"Template format error: YAML not well-formed. Unknown tag !{suffix}")
    if isinstance(node, yaml.ScalarNode):
        text = loader.construct_scalar(node)
        return {f"Fn::{suffix}": text.split(".", 1) if suffix == "GetAtt" else text}
    if isinstance(node, yaml.SequenceNode):
        return {f"Fn::{suffix}": loader.construct_sequence(node, deep=True)}
    return {f"Fn::{suffix}": loader.construct_mapping(node, deep=True)}


def _text(loader: _Loader, node: yaml.ScalarNode) -> str:
    return str(loader.construct_scalar(node))


def _no_json(loader: _Loader, node: yaml.Node) -> Json:  # noqa: ARG001  # PyYAML's signature
    raise StackError(f"Template format error: YAML not well-formed. Unknown tag {node.tag}")


_Loader.add_multi_constructor("!", _short)
# `2010-09-09` is a version and not a day.
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _text)
for _kind in ("binary", "omap", "pairs", "set"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _no_json)


def parse(text: str) -> Template:
    """Read a template; nothing in it is looked at yet.

    Raises:
        StackError: It is neither JSON nor YAML, or not a mapping.
    """
    try:
        document = json.loads(text) if text.lstrip().startswith("{") else yaml.load(text, _Loader)  # noqa: S506  # safe
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        document = _yaml(text, error)
    if not isinstance(document, dict):
        raise unsupported()
    _check_levels(document, _NESTED_MOST)
    return document


@contextmanager
def refusing_shapes() -> Iterator[None]:
    """Refuse a template whose parts have another shape than whoever looks at them expects.

    A template is JSON that anybody can write. What is often wrong with it is found by `check`, and said better.

    Raises:
        StackError: Instead of what would be taken for a fault of ours.
    """
    try:
        yield
    except (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError) as error:
        _log.warning("a template cannot be used", exc_info=error)
        raise unsupported() from error


def unsupported() -> StackError:
    """What AWS says of a template that has not the form of one, whatever it is that it lacks."""
    return StackError("Template format error: unsupported structure.")


def _nested() -> StackError:
    return StackError("Template format error: the template is nested too deeply.")


def _check_levels(value: Json, left: int) -> None:
    if isinstance(value, dict | list):
        if not left:
            raise _nested()
        for item in value.values() if isinstance(value, dict) else value:
            _check_levels(item, left - 1)


def _yaml(text: str, error: Exception) -> Json:
    """A mapping in YAML's flow style begins as JSON does."""
    try:
        return yaml.load(text, _Loader)  # noqa: S506  # safe
    except (ValueError, yaml.YAMLError, RecursionError):
        kind = "JSON" if isinstance(error, ValueError) else "YAML"
        where = ""
        if (mark := getattr(error, "problem_mark", None)) is not None:
            where = f" (line {mark.line + 1}, column {mark.column + 1})"
        raise StackError(f"Template format error: {kind} not well-formed.{where}") from error


def check(template: Template) -> None:
    """Refuse what has not the form of a template, once it is transformed.

    Raises:
        StackError: In AWS's words, as far as they are known.
    """
    version = template.get("AWSTemplateFormatVersion")
    if version is not None and str(version) != _VERSION:
        raise StackError(
            "Template format error: " + json.dumps(str(version)) + " is not a supported value for "
            "AWSTemplateFormatVersion."
        )
    unknown = sorted(set(template) - _SECTIONS)
    if unknown:
        raise StackError(f"Invalid template property or properties [{', '.join(unknown)}]")
    resources = template.get("Resources")
    if not isinstance(resources, Mapping) or not resources:
        raise StackError("Template format error: At least one Resources member must be defined.")
    for name, definition in resources.items():
        where = f"[/Resources/{name}]"
        if not isinstance(definition, Mapping):
            raise StackError(f"Template format error: {where} resource definition is malformed")
        if not (str(name).isalnum() and str(name).isascii()):
            raise StackError(f"Template format error: Resource name {name} is non alphanumeric.")
        if not isinstance(definition.get("Type"), str):
            raise StackError(f"Template format error: {where} Every Resources object must contain a Type member.")
        _check_links(name, definition)
        for key, allowed in _POLICIES.items():
            if definition.get(key, "Delete") not in allowed:
                raise StackError(f"Template format error: Unrecognized {key} {definition[key]} for resource {name}")
        if not isinstance(definition.get("Properties", {}), Mapping):
            raise StackError(f"Template format error: {where[:-1]}/Properties] must be an object")
    for section in ("Parameters", "Mappings", "Conditions", "Outputs"):
        if not isinstance(template.get(section, {}), Mapping):
            raise StackError(f"Template format error: [/{section}] must be an object")
    check_quotas(template)
    for name, output in template.get("Outputs", {}).items():
        if not isinstance(output, Mapping) or "Value" not in output:
            raise StackError(f"Template format error: Output {name} is malformed. It needs a Value.")
        if not isinstance(output.get("Condition", ""), str):
            raise StackError(f"Template format error: Output {name} is malformed. Its Condition must be a name.")


def check_quotas(template: Template) -> None:
    """Refuse more of anything than AWS lets a template have.

    Raises:
        StackError: In AWS's words.
    """
    for section, most in _MOST.items():
        there = template.get(section)
        count = len(there) if isinstance(there, Mapping) else 0
        if count > most:
            raise StackError(
                f"Template format error: Number of {section.lower()}, {count}, is greater than maximum allowed, {most}"
            )


def _check_links(name: str, definition: Mapping[str, Json]) -> None:
    listed = definition.get("DependsOn", [])
    names = listed if isinstance(listed, list) else [listed]
    if not all(isinstance(one, str) for one in [*names, definition.get("Condition", "")]):
        raise StackError(
            f"Template format error: DependsOn and Condition of resource {name} must be names, or a list of them"
        )


def transforms_of(template: Template) -> list[str]:
    """Names of the transforms that a template asks for as a whole."""
    named = template.get("Transform", [])
    listed = named if isinstance(named, list) else [named]
    # Each of them once: another time it would find nothing to do, and take as long.
    return [*dict.fromkeys(str(item.get("Name") if isinstance(item, dict) else item) for item in listed)]
