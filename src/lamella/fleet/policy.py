"""How carefully a roll-out is done."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Policy:
    """How carefully a roll-out is done. It is kept with the roll-out, so that resuming it changes nothing.

    Attributes:
        steps: Shares of an alias's invocations that a new version gets, one after the other; the last is 1.
        bake_s: How long each step is watched.
        metrics_delay_s: How late metrics may come: a step is not judged to be well before this has passed too.
        watch: Whether metrics are looked at; else a step only waits.
        probe: The event that each new version is invoked with before it gets traffic; `None` for no probe.
        max_failures: So many functions may fail before everything is rolled back.
        conflict_stops: Whether a function that somebody else has changed counts as a failure.
        max_error_rate: By how much the new version's share of failed invocations may exceed the old one's.
        max_duration_ratio: How many times as long as the old version the new one may take, on average.
        min_invocations: A function's new version must have been invoked so often in a step before the next.
        parallel: Functions that are worked on at a time.
        settle_s: How long Lambda may take for an update or a new version.
    """

    steps: tuple[float, ...] = (0.1, 0.5, 1.0)
    bake_s: float = 120.0
    metrics_delay_s: float = 0.0
    watch: bool = True
    probe: str | None = None
    max_failures: int = 0
    conflict_stops: bool = False
    max_error_rate: float = 0.01
    max_duration_ratio: float = 2.0
    min_invocations: int = 0
    parallel: int = 8
    settle_s: float = 300.0

    def to_document(self) -> dict[str, Any]:  # Any: JSON
        """As JSON-ready values."""
        return {**asdict(self), "steps": list(self.steps)}

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> "Policy":  # Any: JSON
        """The opposite; what is missing is as by default."""
        known = {field.name for field in fields(cls)}
        values = {name: value for name, value in document.items() if name in known}
        return cls(**{**values, "steps": tuple(values.get("steps", (1.0,)))})
