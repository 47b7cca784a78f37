"""What has to be done for a stack to be as its template says, and in which order. Pure."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final

from lamella.neighbour.stacks.errors import StackError
from lamella.neighbour.stacks.intrinsics import UNKNOWN, Scope, references, resolve
from lamella.neighbour.stacks.model import STACK, Change, Design, Resource, Stack
from lamella.neighbour.stacks.schemas import schema_of
from lamella.neighbour.stacks.scope import ScopeAround, ShownScope
from lamella.neighbour.stacks.template import Json, Template

PSEUDO: Final = frozenset(
    f"AWS::{name}"
    for name in (
        "AccountId",
        "NoValue",
        "NotificationARNs",
        "Partition",
        "Region",
        "StackId",
        "StackName",
        "URLSuffix",
    )
)

Definitions = dict[str, Mapping[str, Json]]


def active(template: Template, holds: Callable[[str], bool]) -> Definitions:
    """The resources whose conditions hold."""
    return {
        name: definition
        for name, definition in template["Resources"].items()
        if "Condition" not in definition or holds(definition["Condition"])
    }


def order(template: Template, definitions: Definitions, holds: Callable[[str], bool]) -> dict[str, frozenset[str]]:
    """Resources so that each comes after what it depends on, with just that.

    Raises:
        StackError: A reference leads nowhere, or in a circle.
    """
    needs = _all_needs(template, definitions, holds)
    ordered = dict[str, frozenset[str]]()
    waiting = dict(needs)
    while waiting:
        ready = [name for name, wanted in waiting.items() if wanted <= ordered.keys()]
        if not ready:
            raise StackError(f"Circular dependency between resources: [{', '.join(sorted(waiting))}]")
        for name in ready:
            ordered[name] = waiting.pop(name)
    return ordered


def check_references(template: Template) -> None:
    """Refuse references that lead nowhere, where the values of parameters are not known.

    Raises:
        StackError: There is one that would count if all conditions held.
    """
    _all_needs(template, active(template, _always), _always)


def backwards(resources: Mapping[str, Resource]) -> list[Resource]:
    """Resources so that each comes before what it depends on."""
    ordered = list[Resource]()
    left = dict(resources)
    while left:
        free = [one for one in left.values() if not any(one.logical_id in other.depends_on for other in left.values())]
        # What a failed change left behind may depend on each other; somewhere it has to begin.
        for one in free or list(left.values())[-1:]:
            ordered.append(left.pop(one.logical_id))
    return ordered


def properties_of(definition: Mapping[str, Json], kind: str, design: Design, scope: Scope) -> dict[str, Json]:
    """Resolved, and with the stack's tags where the type takes any."""
    resolved = resolve(definition.get("Properties", {}), scope)
    assert isinstance(resolved, dict)
    return tagged(kind, resolved, design.tags)


def shown_properties(
    definition: Mapping[str, Json], kind: str, design: Design, scope: Scope, secret: Collection[str]
) -> str:
    """The properties as events tell of them, in JSON; empty if there are none. Attributes of `secret` are not told."""
    hidden = {*secret, *(name for name, parameter in design.parameters.items() if parameter.hidden)}
    try:
        shown = properties_of(definition, kind, design, ShownScope(scope, hidden))
    except StackError:
        # A function may want more of a secret than the asterisks in its place, such as a part of it.
        shown = definition.get("Properties", {})
    return json.dumps(shown, default=str) if shown else ""


def tagged(kind: str, properties: dict[str, Json], tags: Mapping[str, str]) -> dict[str, Json]:
    """The properties with tags that are not among them yet."""
    given = properties.get("Tags", [])
    if not tags or not schema_of(kind).tagged or not isinstance(given, list):
        return properties
    keys = {tag.get("Key") for tag in given if isinstance(tag, Mapping)}
    return {**properties, "Tags": [*given, *({"Key": k, "Value": v} for k, v in tags.items() if k not in keys)]}


def changes(stack: Stack, design: Design, scope: "Forecast", holds: Callable[[str], bool]) -> tuple[Change, ...]:
    """What would become of each resource.

    Raises:
        StackError: The template does not hold together.
    """
    definitions = active(design.template, holds)
    found = list[Change]()
    for name in order(design.template, definitions, holds):
        definition = definitions[name]
        kind, old = definition["Type"], stack.resources.get(name)
        if old is None:
            scope.unknown.add(name)
            found.append(Change("Add", name, kind))
            continue
        if old.kind != kind:
            raise StackError(
                "Update of resource type is not permitted. The new template modifies resource type of the "
                f"following resources: [{name}]"
            )
        new = properties_of(definition, kind, design, scope)
        if differs(kind, old, new, scope):
            change = _modified(old, new)
            if change.replacement != "False":
                scope.unknown.add(name)
            found.append(change)
    gone = [old for name, old in stack.resources.items() if name not in definitions]
    found += [Change("Remove", old.logical_id, old.kind, old.physical_id) for old in gone]
    return tuple(sorted(found, key=lambda change: change.logical_id))


def differs(kind: str, old: Resource, new: Mapping[str, Json], scope: "Forecast | None" = None) -> bool:
    """Whether a resource has to be looked at: always a nested stack, whose template may be another behind its URL."""
    return dict(old.properties) != dict(new) or (kind == STACK and scope is None)


class Forecast(ScopeAround):
    """A scope before the deployment: what is to be made or replaced is not known yet."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope)
        self.unknown = set[str]()

    def ref(self, name: str) -> Json:
        """See `Scope`."""
        return UNKNOWN if name in self.unknown else super().ref(name)

    def attribute(self, name: str, attribute: str) -> Json:
        """See `Scope`."""
        return UNKNOWN if name in self.unknown else super().attribute(name, attribute)


def _modified(old: Resource, new: Mapping[str, Json]) -> Change:
    fixed = schema_of(old.kind).replacing(old.properties, new)
    names = sorted(name for name in {*old.properties, *new} if old.properties.get(name) != new.get(name))
    open_question = all(UNKNOWN in str(new.get(name)) for name in fixed)
    replacement = "False" if not fixed else "Conditional" if open_question else "True"
    details = tuple(
        {
            "Target": {
                "Attribute": "Tags" if name == "Tags" else "Properties",
                "Name": None if name == "Tags" else name,
                "RequiresRecreation": "Always" if name in fixed else "Never",
            },
            "Evaluation": "Dynamic" if UNKNOWN in str(new.get(name)) else "Static",
            "ChangeSource": "DirectModification",
        }
        for name in names
    )
    scope = tuple(sorted({"Tags" if name == "Tags" else "Properties" for name in names}))
    return Change("Modify", old.logical_id, old.kind, old.physical_id, replacement, scope, details)


def _always(condition: str) -> bool:  # noqa: ARG001  # whichever
    return True


def _all_needs(template: Template, definitions: Definitions, holds: Callable[[str], bool]) -> dict[str, frozenset[str]]:
    """What each resource depends on."""
    known = PSEUDO | set(template.get("Parameters", {}))
    explicit = {name: _explicit(name, definition, template["Resources"]) for name, definition in definitions.items()}
    needs = {
        name: _needs(name, definition, explicit[name], known, definitions, holds)
        for name, definition in definitions.items()
    }
    _check_outputs(template, known, definitions, holds)
    return needs


def _explicit(name: str, definition: Mapping[str, Any], resources: Mapping[str, Json]) -> set[str]:
    """What `DependsOn` says; it may name what a condition leaves out."""
    listed = definition.get("DependsOn", [])
    named = {listed} if isinstance(listed, str) else set(listed)
    _refuse_missing(sorted(named - resources.keys()), "Resources")
    if name in named:
        raise StackError(f"Circular dependency between resources: [{name}]")
    return named


def _refuse_missing(missing: list[str], block: str) -> None:
    if missing:
        raise StackError(
            f"Template format error: Unresolved resource dependencies [{', '.join(missing)}] in the "
            f"{block} block of the template"
        )


def _needs(
    name: str,
    definition: Mapping[str, Any],
    explicit: set[str],
    known: set[str] | frozenset[str],
    all_: Definitions,
    holds: Callable[[str], bool],
) -> frozenset[str]:
    wanted = set(references(definition.get("Properties", {}), holds))
    wanted |= set(references(definition.get("Metadata", {}), holds)) & all_.keys()
    _refuse_missing(sorted(wanted - known - all_.keys()), "Resources")
    if name in wanted:
        raise StackError(f"Circular dependency between resources: [{name}]")
    # What a condition leaves out need not be waited for.
    return frozenset((wanted | explicit) & all_.keys())


def _check_outputs(
    template: Template, known: set[str] | frozenset[str], definitions: Definitions, holds: Callable[[str], bool]
) -> None:
    _refuse_missing(sorted(set(_output_references(template, holds)) - known - definitions.keys()), "Outputs")


def _output_references(template: Template, holds: Callable[[str], bool]) -> Iterator[str]:
    for output in template.get("Outputs", {}).values():
        if "Condition" not in output or holds(output["Condition"]):
            yield from references(output["Value"], holds)
