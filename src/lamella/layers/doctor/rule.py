"""What a rule of the doctor is."""

from dataclasses import dataclass

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
