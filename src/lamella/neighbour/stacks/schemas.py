"""What AWS publishes of each resource type: which properties it has, and whose change makes a new resource.

The schemas are those of CloudFormation's registry, in the copy that comes with cfn-lint, which moto needs anyway. The
files are read where they are: importing cfn-lint takes seconds, and all of its rules.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

_REGION: Final = "us-east-1"  # has all types
_CUSTOM: Final = "AWS::CloudFormation::CustomResource"  # its schema knows nothing of what its maker wants
_PATH: Final = "/properties/"
_NEWER: Final[Mapping[str, frozenset[str]]] = {"AWS::Lambda::Function": frozenset({"RuntimeConfig"})}
"""Properties that AWS has added since the copy was made. Source: SAM developer guide, "RuntimeConfig", 2026: passed on
to the property of the same name."""


@dataclass(frozen=True, slots=True)
class Schema:
    """A resource type.

    Attributes:
        known: Names of its properties; `None` if any can be there.
        required: Names of properties that have to be there.
        fixed: Paths of properties whose change makes a new resource.
        attributes: What `Fn::GetAtt` knows, with dots.
        tagged: Whether it takes tags on creation, in a property named `Tags`.
    """

    known: frozenset[str] | None
    required: tuple[str, ...]
    fixed: tuple[tuple[str, ...], ...]
    attributes: frozenset[str]
    tagged: bool

    def problems(self, properties: Mapping[str, Any]) -> Iterator[str]:  # Any: template
        """What is wrong with the names of properties, in AWS's words."""
        for name in self.required:
            if name not in properties:
                yield f"#: required key [{name}] not found"
        for name in properties:
            if self.known is not None and name not in self.known:
                yield f"#: extraneous key [{name}] is not permitted"

    def replacing(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:  # Any: template
        """Properties that differ and cannot be changed in place."""
        return sorted({path[0] for path in self.fixed if _at(old, path) != _at(new, path)})


OPEN: Final = Schema(None, (), (), frozenset(), tagged=False)
"""Of a type that is not in the registry."""


@cache
def schema_of(kind: str) -> Schema:
    """The schema of a type; one that allows everything if it is not known."""
    name = _index().get(kind)
    if name is None or kind == _CUSTOM:
        return OPEN
    document = json.loads((_directory() / "resources" / f"{name}.json").read_bytes())
    read_only = {path.removeprefix(_PATH).replace("/", ".") for path in document.get("readOnlyProperties", ())}
    known = frozenset(document.get("properties", {})) | _NEWER.get(kind, frozenset())
    return Schema(
        known if document.get("additionalProperties") is False else None,
        tuple(document.get("required", ())),
        tuple(tuple(path.removeprefix(_PATH).split("/")) for path in document.get("createOnlyProperties", ())),
        frozenset(read_only),
        bool(document.get("tagging", {}).get("taggable")) and "Tags" in known,
    )


@cache
def _index() -> Mapping[str, str]:
    found: dict[str, str] = json.loads((_directory() / "providers" / f"{_REGION}.json").read_bytes())
    return found


@cache
def _directory() -> Path:
    spec = find_spec("cfnlint")
    places = None if spec is None else spec.submodule_search_locations
    assert places, "moto[server] brings cfn-lint"
    return Path(places[0]) / "data" / "schemas"


def _at(value: Any, path: tuple[str, ...]) -> Any:  # Any: template
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
