"""Layers and layer versions as people write them on the command line."""

import re
from dataclasses import dataclass
from typing import Final

from lamella.cli.failure import CommandError, Status

_LAYER: Final = re.compile(
    r"(?:arn:aws[a-zA-Z-]*:lambda:(?P<region>[a-z0-9-]{1,40}):(?P<account>[0-9]{12}):layer:)?"
    r"(?P<name>[a-zA-Z0-9_-]{1,140})(?::(?P<version>[0-9]{1,15}))?"
)


@dataclass(frozen=True, slots=True)
class LayerName:
    """A layer, or one of its versions.

    Attributes:
        layer: Name or ARN, as AWS's operations take it.
        region: Of the ARN; `None` of a plain name.
        version: `None` for the layer as a whole.
    """

    layer: str
    region: str | None
    version: int | None

    def __str__(self) -> str:
        """As it was written."""
        return self.layer if self.version is None else f"{self.layer}:{self.version}"


def parse_name(text: str) -> LayerName:
    """Read `imaging`, `imaging:3`, or an ARN with or without a version.

    Raises:
        CommandError: It is none of these.
    """
    match = _LAYER.fullmatch(text)
    if match is None:
        raise CommandError(f"{text[:300]!r} is not the name of a layer, NAME or NAME:VERSION, nor an ARN", Status.USAGE)
    version = match["version"]
    layer = text if version is None else text.rpartition(":")[0]
    return LayerName(layer, match["region"], None if version is None else int(version))
