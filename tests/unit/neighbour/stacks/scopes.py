"""A scope of fixed values."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from lamella.neighbour.stacks.errors import StackError
from lamella.neighbour.stacks.intrinsics import NO_VALUE
from lamella.neighbour.stacks.template import Json


@dataclass
class FixedScope:
    refs: dict[str, Json] = field(default_factory=dict)
    attributes: dict[tuple[str, str], Json] = field(default_factory=dict)
    conditions: dict[str, bool] = field(default_factory=dict)
    mappings: dict[str, Mapping[str, Json]] = field(default_factory=dict)
    left: int = 1_000_000

    def ref(self, name: str) -> Json:
        if name == "AWS::NoValue":
            return NO_VALUE
        if name not in self.refs:
            raise StackError(f"no {name}")
        return self.refs[name]

    def attribute(self, name: str, attribute: str) -> Json:
        return self.attributes[name, attribute]

    def condition(self, name: str) -> bool:
        return self.conditions[name]

    def mapping(self, name: str) -> Mapping[str, Json] | None:
        return self.mappings.get(name)

    def imported(self, name: str) -> Json:
        return f"imported {name}"

    def dynamic(self, service: str, key: str) -> str:
        return f"<{service} {key}>"

    def spend(self, characters: int) -> None:
        self.left -= characters
        if self.left < 0:
            raise StackError("too much")
