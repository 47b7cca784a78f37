"""Every code of a finding, with what it means: the findings, their reference page and SARIF's rules come from here."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from lamella.layers.findings import Finding, Severity

NOTE, WARNING, ERROR = Severity.NOTE, Severity.WARNING, Severity.ERROR


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that the doctor looks for.

    Attributes:
        severity: Of its findings, unless one of them is milder or worse.
        title: A few words.
        explanation: What goes wrong because of it, for somebody who has never met it.
    """

    code: str
    severity: Severity
    title: str
    explanation: str

    def finding(
        self,
        place: str,
        reason: str,
        remedy: str,
        *,
        layer: str = "",
        runtime: str = "",
        severity: Severity | None = None,
    ) -> Finding:
        """A finding of this code; the arguments are those of `Finding`."""
        return Finding(
            self.code, self.severity if severity is None else severity, place, reason, remedy, layer, runtime
        )


_STRUCTURE: Final = (
    Rule(
        "refused-entry",
        ERROR,
        "The archive holds something that Lambda refuses",
        "A path that leads out of the layer, a name that is there twice, a device, a socket: `PublishLayerVersion` "
        "answers `InvalidParameterValueException`.",
    ),
    Rule(
        "parent-folder",
        ERROR,
        "Everything lies in a folder",
        "A layer is unpacked into `/opt`, so what is zipped as `layer/python/…` lands in `/opt/layer/python/…`, where "
        "no runtime looks. It happens when a directory is zipped from outside instead of from inside.",
    ),
)

RULES: Final[Mapping[str, Rule]] = MappingProxyType({rule.code: rule for rule in (*_STRUCTURE,)})
"""By code, in the order of the reference page."""
