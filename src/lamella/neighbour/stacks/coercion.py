"""Properties of a template as parameters of an API: strings become numbers and booleans where the API wants them."""

from collections.abc import Iterable, Mapping
from typing import Any

from lamella.neighbour.stacks.errors import ResourceError
from lamella.neighbour.stacks.template import Json


def arguments(client: Any, operation: str, properties: Mapping[str, Json]) -> dict[str, Json]:  # Any: botocore
    """Those of the properties that the operation takes, in the types that it takes.

    Source: CloudFormation user guide, "Template format": any value may be written as a string.

    Args:
        client: A botocore client; its model says what the operation takes.
        operation: Such as `CreateFunction`.
        properties: By the names of the API.

    Raises:
        ResourceError: A value is not what the operation takes.
    """
    shape = client.meta.service_model.operation_model(operation).input_shape
    return {name: _as(shape.members[name], value, name) for name, value in properties.items() if name in shape.members}


def named(properties: Mapping[str, Json], names: Iterable[str]) -> dict[str, Json]:
    """Those of the properties that are there and have one of the names."""
    return {name: properties[name] for name in names if name in properties}


def refuse(properties: Mapping[str, Json], names: Iterable[str]) -> None:
    """Say so where a property would have no effect.

    Raises:
        ResourceError: One of the names is there.
    """
    found = sorted(name for name in names if name in properties)
    if found:
        raise ResourceError(f"Lamella does not know the property {found[0]}")


def tag_map(tags: Json) -> dict[str, str]:
    """A template's list of tags as a map."""
    if isinstance(tags, Mapping):
        return {str(key): str(value) for key, value in tags.items()}
    return {str(tag["Key"]): str(tag["Value"]) for tag in tags or ()}


def _as(shape: Any, value: Json, path: str) -> Json:  # Any: botocore's shapes
    match shape.type_name:
        case "structure":
            if not isinstance(value, Mapping):
                raise ResourceError(f"#/{path}: expected type: JSONObject, found: {_kind(value)}")
            unknown = [name for name in value if name not in shape.members]
            if unknown:
                raise ResourceError(f"#/{path}: extraneous key [{unknown[0]}] is not permitted")
            return {name: _as(shape.members[name], item, f"{path}/{name}") for name, item in value.items()}
        case "list":
            if not isinstance(value, list):
                raise ResourceError(f"#/{path}: expected type: JSONArray, found: {_kind(value)}")
            return [_as(shape.member, item, f"{path}/{index}") for index, item in enumerate(value)]
        case "map":
            if not isinstance(value, Mapping):
                raise ResourceError(f"#/{path}: expected type: JSONObject, found: {_kind(value)}")
            return {str(name): _as(shape.value, item, f"{path}/{name}") for name, item in value.items()}
        case "string":
            if isinstance(value, Mapping | list):
                raise ResourceError(f"#/{path}: expected type: String, found: {_kind(value)}")
            return ("true" if value else "false") if isinstance(value, bool) else str(value)
        case "boolean":
            if str(value).lower() in ("true", "false"):
                return str(value).lower() == "true"
            raise ResourceError(f"#/{path}: expected type: Boolean, found: {_kind(value)}")
        case "integer" | "long" | "float" | "double" | "timestamp" as wanted:
            try:
                return int(str(value)) if wanted in ("integer", "long") else float(str(value))
            except ValueError:
                raise ResourceError(f"#/{path}: expected type: Number, found: {_kind(value)}") from None
        case _:  # bytes, which come from ourselves
            return value


def _kind(value: Json) -> str:
    match value:
        case bool():
            return "Boolean"
        case Mapping():
            return "JSONObject"
        case list():
            return "JSONArray"
        case int() | float():
            return "Number"
        case _:
            return "String"
