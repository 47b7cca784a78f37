"""Layer versions by ARN: of which layer, which number."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lamella.fleet.errors import FleetError

_LAYER: Final = re.compile(
    r"(?P<layer>arn:[a-z-]+:lambda:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):layer:(?P<name>[A-Za-z0-9_-]+))"
    r"(?::(?P<version>\d+))?"
)
_NAME: Final = re.compile(r"(?P<name>[A-Za-z0-9_-]{1,140})(?::(?P<version>\d+))?")
LATEST_WORD: Final = "latest"


@dataclass(frozen=True, slots=True)
class LayerText:
    """A layer, or one of its versions, as the user wrote it.

    Attributes:
        layer: Its ARN without a version, or its bare name.
        version: `None` if there was none.
        account: `None` of a bare name, which is one of the user's own account; `region` likewise.
    """

    layer: str
    version: int | None
    region: str | None = None
    account: str | None = None

    @classmethod
    def parse(cls, text: str) -> "LayerText":
        """Read `NAME`, `NAME:VERSION`, or the ARN of a layer or of a layer version.

        Raises:
            FleetError: It is none of these.
        """
        if found := _LAYER.fullmatch(text):
            version = None if found["version"] is None else int(found["version"])
            return cls(found["layer"], version, found["region"], found["account"])
        if found := _NAME.fullmatch(text):
            return cls(found["name"], None if found["version"] is None else int(found["version"]))
        raise FleetError(f"{text!r} is neither a layer's name nor its ARN; 'lamella fleet audit' lists what there is")

    @property
    def name(self) -> str:
        """Its name without the rest of the ARN."""
        return self.layer.rpartition(":")[2]


def split(arn: str) -> tuple[str, int]:
    """A layer version's ARN as the ARN of the layer and the number; number 0 for ARNs of another form."""
    layer, _, number = arn.rpartition(":")
    return (layer, int(number)) if ":layer:" in layer and number.isdigit() else (arn, 0)


def version_of(layers: Sequence[str], layer: str) -> int | None:
    """Which version of a layer is among these layer versions; `None` if there is none."""
    return next((split(arn)[1] for arn in layers if split(arn)[0] == layer), None)


def replaced(layers: Sequence[str], layer: str, version: int) -> tuple[str, ...]:
    """The same layer versions in the same order, but for one layer, which gets another version."""
    return tuple(f"{layer}:{version}" if split(arn)[0] == layer else arn for arn in layers)
