"""What the doctor says about a layer."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any


class Severity(IntEnum):
    """How bad it is; the greater the worse."""

    NOTE = 0
    """Worth knowing; nothing fails."""
    WARNING = 1
    """Something is wasted, or fails in some cases."""
    ERROR = 2
    """A function that uses what the layer brings fails."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a layer.

    Attributes:
        code: A word that stays the same for ever, such as `wrong-architecture`; the reference page lists all.
        place: Name of the file or directory within the layer; empty if it is about the layer as a whole.
        reason: What is wrong and what will come of it, in a sentence or two.
        remedy: The command or change that mends it.
        layer: Label of the layer; empty where there is only one.
        runtime: The runtime that it is about; empty if it is about all.
    """

    code: str
    severity: Severity
    place: str
    reason: str
    remedy: str
    layer: str = ""
    runtime: str = ""

    def to_dict(self) -> dict[str, Any]:  # Any: a JSON document
        """As JSON-ready values; the severity as a lower-case word."""
        return asdict(self) | {"severity": self.severity.name.lower()}

    @classmethod
    def of_dict(cls, document: dict[str, Any]) -> "Finding":  # Any: a JSON document
        """The opposite of `to_dict`."""
        return cls(**{**document, "severity": Severity[document["severity"].upper()]})


def worst(findings: Iterable[Finding]) -> Severity | None:
    """The greatest severity among them; `None` if there are none."""
    return max((finding.severity for finding in findings), default=None)
