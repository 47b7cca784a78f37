"""What all scenarios have in common. A scenario is a state machine without I/O: events in, commands out, verdicts kept.

To add one: derive from `Scenario`, say in `begin` what is started and in `receive` what is answered, call `passed`,
`failed` or `not_applicable` as things become clear, and `finish` at the end. The referee sleeps until `deadline_s`, and
tells of it with `DeadlinePassed`. What no scenario has said anything about is reported as untried, so say at the end
what could not be seen (`not_reached`).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from lamella.conformance.play import Command, DeadlinePassed, Event, Printed
from lamella.conformance.report import Result, Results, Verdict, last_words
from lamella.ports.sandbox import ExitStatus

_OUTPUT_BYTES: Final = 16_384


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things may take, in seconds.

    Attributes:
        start_s: Until the patient asks for its first event. Source: rule EX-60.
        answer_s: For one event, unless the scenario says otherwise.
        idle_s: How long the patient is left alone, or frozen, to see whether it stays calm.
        end_s: Until a patient that should end has ended.
    """

    start_s: float = 10.0
    answer_s: float = 10.0
    idle_s: float = 2.0
    end_s: float = 2.0


class Scenario(ABC):
    """One sandbox's worth of play.

    Attributes:
        name: Of the scenario, for reports and progress.
        deadline_s: Monotonic seconds at which it wants to be woken; `math.inf` for never.
        finished: Nothing more is to be done.
        output: The last that all processes printed.
        waits_s: Seconds that it waits on purpose, which do not count against it.
    """

    name = "scenario"
    waits_s = 0.0

    def __init__(self, pace: Pace) -> None:
        self.pace: Final = pace
        self.deadline_s = math.inf
        self.finished = False
        self.output = b""
        self._results = Results()

    @abstractmethod
    def begin(self, now_s: float) -> list[Command]:
        """What is done first."""

    @abstractmethod
    def play(self, event: Event, now_s: float) -> list[Command]:
        """Take an event and say what is to be done, in order."""

    def receive(self, event: Event, now_s: float) -> list[Command]:
        """As `play`, for the referee: keeps what is printed, and tells of a deadline that still holds only."""
        if self.finished:
            return []
        if isinstance(event, Printed):
            self.output = (self.output + event.text)[-_OUTPUT_BYTES:]
        if isinstance(event, DeadlinePassed):
            if now_s < self.deadline_s:
                return []
            self.deadline_s = math.inf
        return self.play(event, now_s)

    @property
    def results(self) -> dict[str, Result]:
        """Verdicts so far."""
        return self._results.by_check

    def finish(self) -> list[Command]:
        """Nothing more is to be done."""
        self.finished = True
        self.deadline_s = math.inf
        return []

    def abort(self, reason: str) -> None:
        """The referee cannot go on; the checks that have no verdict yet are untried."""
        self.finished = True
        self.not_reached(self.checks, reason)

    @property
    def checks(self) -> Iterable[str]:
        """Ids of the checks that this scenario has to give verdicts on."""
        return ()

    # Verdicts

    def passed(self, *checks: str, seen: str = "") -> None:
        """Seen to be right; a failure that was seen before stays."""
        for check in checks:
            self._results.add(check, Verdict.PASS, seen, self.name)

    def failed(self, *checks: str, seen: str) -> None:
        """Seen to be wrong."""
        for check in checks:
            self._results.add(check, Verdict.FAIL, seen, self.name)

    def not_applicable(self, *checks: str, seen: str) -> None:
        """The patient does no such thing, and need not."""
        for check in checks:
            self._results.add(check, Verdict.NOT_APPLICABLE, seen, self.name)

    def not_reached(self, checks: Iterable[str], reason: str) -> None:
        """What has no verdict could not be tried."""
        for check in checks:
            self._results.add(check, Verdict.UNTRIED, reason, self.name)

    def words(self) -> str:
        """The patient's last words, to be put behind what was seen; empty if it said nothing."""
        words = last_words(self.output)
        return f"; it printed: {words}" if words else ""


def ending(status: ExitStatus) -> str:
    """How a process ended, in words."""
    if status.signal is not None:
        return f"was killed by signal {status.signal}"
    return f"ended with status {status.code}"
