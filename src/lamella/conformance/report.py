"""What came of an examination: a verdict for each check."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Self

from lamella.conformance.checks import Check, Weight

_SEEN_MOST: Final = 600
"""Characters of what was seen: a patient may print anything."""


class Verdict(StrEnum):
    """How a check went."""

    PASS = "pass"  # noqa: S105  # no password
    FAIL = "fail"
    NOT_APPLICABLE = "not-applicable"  # the patient does no such thing, and need not
    UNTRIED = "untried"  # something that failed was in the way


_FROZEN: Final = re.compile(r'\s*File "<frozen ')
"""Frames of Python's own start, which say nothing about the program."""

_STRENGTH: Final = {Verdict.UNTRIED: 0, Verdict.NOT_APPLICABLE: 1, Verdict.PASS: 2, Verdict.FAIL: 3}
"""Of two verdicts on one check the stronger one stays: what was seen to fail has failed."""


@dataclass(frozen=True, slots=True)
class Result:
    """A verdict, and what it rests on.

    Attributes:
        seen: What the patient did; for `NOT_APPLICABLE` and `UNTRIED`, why there was nothing to see.
        scenario: In which it was seen.
    """

    verdict: Verdict
    seen: str = ""
    scenario: str = ""


class Results:
    """Verdicts by id of the check; the stronger stays, of two failures the first."""

    def __init__(self) -> None:
        self.by_check: Final[dict[str, Result]] = {}

    def add(self, check: str, verdict: Verdict, seen: str = "", scenario: str = "") -> None:
        """Take a verdict."""
        known = self.by_check.get(check)
        if known is None or _STRENGTH[verdict] > _STRENGTH[known.verdict]:
            self.by_check[check] = Result(verdict, shortened(seen), scenario)

    def merge(self, results: Mapping[str, Result]) -> None:
        """Take the verdicts of another scenario."""
        for check, result in results.items():
            self.add(check, result.verdict, result.seen, result.scenario)


@dataclass(frozen=True, slots=True)
class Report:
    """All verdicts on one patient.

    Attributes:
        patient: As the user named it.
        kind: `runtime` or `extension`.
        checks: The rows that the results are about, in order.
        results: By id of the check; there is one for each row.
        notes: What whoever reads the results has to know: what the patient was given, what its handler can do.
        output: The last lines that the patient printed in the first scenario that failed, as they came.
    """

    patient: str
    kind: str
    checks: Sequence[Check]
    results: Mapping[str, Result]
    notes: Sequence[str] = ()
    output: str = ""
    seconds: float = 0.0

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks of weight `ERROR` that failed."""
        return tuple(check for check in self.with_verdict(Verdict.FAIL) if check.weight is Weight.ERROR)

    @property
    def passed(self) -> bool:
        """Whether nothing failed that makes invocations fail, and everything was tried that can be."""
        return not self.failures and not self.with_verdict(Verdict.UNTRIED)

    def with_verdict(self, verdict: Verdict) -> tuple[Check, ...]:
        """The checks that went this way."""
        return tuple(check for check in self.checks if self.results[check.id].verdict is verdict)

    def to_dict(self) -> dict[str, Any]:  # Any: a JSON document
        """As JSON-ready values; every row with its reason and remedy, so that a reader needs no table."""
        return {
            "patient": self.patient,
            "kind": self.kind,
            "passed": self.passed,
            "counts": {verdict.value: len(self.with_verdict(verdict)) for verdict in Verdict},
            "seconds": round(self.seconds, 3),
            "notes": list(self.notes),
            "checks": [
                {
                    "id": check.id,
                    "rule": check.rule,
                    "weight": check.weight.value,
                    "verdict": self.results[check.id].verdict.value,
                    "title": check.title,
                    "seen": self.results[check.id].seen,
                    "why": check.why,
                    "fix": check.fix,
                    "scenario": self.results[check.id].scenario,
                }
                for check in self.checks
            ],
            "output": self.output,
        }

    @classmethod
    def of_dict(cls, document: Mapping[str, Any]) -> Self:  # Any: a JSON document
        """The opposite of `to_dict`."""
        rows = document["checks"]
        checks = [
            Check(row["id"], row["rule"], row["title"], row["why"], row["fix"], Weight(row["weight"])) for row in rows
        ]
        results = {row["id"]: Result(Verdict(row["verdict"]), row["seen"], row["scenario"]) for row in rows}
        return cls(
            document["patient"],
            document["kind"],
            checks,
            results,
            tuple(document["notes"]),
            document["output"],
            document["seconds"],
        )


@dataclass(slots=True)
class Gathering:
    """Makes a report of what scenarios found, as they end.

    Attributes:
        skipped: Ids of checks that are not wanted.
    """

    checks: Sequence[Check]
    skipped: frozenset[str] = frozenset()
    results: Results = field(default_factory=Results)
    notes: list[str] = field(default_factory=list)
    output: str = ""

    def take(self, results: Mapping[str, Result], output: str = "") -> None:
        """Take what one scenario found, and what the patient printed in it."""
        known = {check.id for check in self.checks}
        self.results.merge({check: result for check, result in results.items() if check in known})
        failed = any(result.verdict is Verdict.FAIL for check, result in results.items() if check not in self.skipped)
        if failed and not self.output:
            self.output = output

    def report(self, patient: str, kind: str, seconds: float) -> Report:
        """What has been gathered; a check that nothing was said about counts as untried."""
        untried = Result(Verdict.UNTRIED, "No scenario got as far as this.")
        found = self.results.by_check
        kept = [check for check in self.checks if check.id not in self.skipped]
        results = {check.id: found.get(check.id, untried) for check in kept}
        return Report(patient, kind, kept, results, tuple(self.notes), self.output, seconds)


def shortened(text: str) -> str:
    """A text of bounded length: its beginning and its end."""
    if len(text) <= _SEEN_MOST:
        return text
    return f"{text[: _SEEN_MOST // 2]} … {text[-_SEEN_MOST // 2 :]}"


def last_words(output: bytes, most: int = 3) -> str:
    """The last lines of what a process printed that say something, on one line."""
    lines: Iterable[str] = output.decode("utf-8", "replace").replace("\r", "\n").splitlines()
    telling = [line.strip() for line in lines if line.strip(" \t^~") and not _FROZEN.match(line)]
    return " | ".join(telling[-most:])
