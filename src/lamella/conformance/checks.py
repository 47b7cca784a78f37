"""What is looked at: one row for each thing that a runtime or an extension does right or wrong.

The rows are the only place that says so: reports, the command's output and the reference page are made of them. Rule
ids are those of docs/reference/conformance.md.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Weight(StrEnum):
    """What it means that a check failed."""

    ERROR = "error"  # invocations fail, or answers are wrong
    ADVICE = "advice"  # it works on AWS as it is today, and is fragile or wasteful


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that is looked at.

    Attributes:
        id: Stable, for `--skip` and for machines.
        rule: Of the contract inside the sandbox, e.g. `RT-21`.
        title: What is right, as a sentence.
        why: What happens on AWS if it is not so.
        fix: What to do in the program.
    """

    id: str
    rule: str
    title: str
    why: str
    fix: str
    weight: Weight = Weight.ERROR


class CheckTable(Mapping[str, Check]):
    """Checks by id, in the order in which they are reported."""

    def __init__(self, checks: Iterable[Check]) -> None:
        """Raises `ValueError` for an id that is there twice."""
        self._checks: Final[dict[str, Check]] = {}
        for check in checks:
            if check.id in self._checks:
                raise ValueError(f"the check {check.id} is there twice")
            self._checks[check.id] = check

    def __getitem__(self, check_id: str) -> Check:
        return self._checks[check_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._checks)

    def __len__(self) -> int:
        return len(self._checks)

    def unknown(self, word: str) -> str:
        """What to say of a word that is the id of no check: reports show rules too, which it may be one of."""
        of_rule = [check.id for check in self._checks.values() if check.rule == word]
        if of_rule:
            return f"{word} is a rule; of checks it has {', '.join(of_rule)}."
        return f"There is no check {word[:80]!r}; there is {', '.join(self)}."
