"""What scenarios about runtimes have in common: a start, and the events that are handed out."""

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from lamella.conformance.api import Kind, Sent, answer_aside, event_answer, kind_of
from lamella.conformance.play import RUNTIME, Call, Called, Command, DeadlinePassed, Ended, Event, NotStarted, Start
from lamella.conformance.report import last_words
from lamella.conformance.scenario import Pace, Scenario, ending
from lamella.ports.sandbox import ExitStatus


class Beginning(Enum):
    """How the start of a runtime went."""

    READY = auto()  # it asks for an event
    NOT_STARTED = auto()
    ENDED = auto()
    INIT_ERROR = auto()
    SILENT = auto()  # it did nothing in time
    STRANGE = auto()  # it called something that is not called first


@dataclass(frozen=True, slots=True)
class Opening:
    """See `Beginning`.

    Attributes:
        detail: The reason why it was not started, the body of its `init/error`, or what it called.
        output: What it printed.
    """

    beginning: Beginning
    detail: str = ""
    output: bytes = b""
    status: ExitStatus | None = None

    def describe(self) -> str:
        """In words."""
        words = last_words(self.output)
        printed = f"; it printed: {words}" if words else ""
        match self.beginning:
            case Beginning.READY:
                return "It asked for its first event."
            case Beginning.NOT_STARTED:
                return f"It could not be started: {self.detail}"
            case Beginning.ENDED if self.status is not None:
                return f"It {ending(self.status)} before it asked for an event{printed}"
            case Beginning.INIT_ERROR:
                return f"It reported an init error: {self.detail}{printed}"
            case Beginning.SILENT:
                return f"It neither asked for an event nor reported an error{printed}"
            case _:
                return f"{self.detail}{printed}"


class RuntimeScenario(Scenario):
    """Starts the runtime, and tells the deriving class how that went.

    Args:
        epoch_s: What has to be added to monotonic seconds to get the time of day.
        variables: For the runtime, beside its own.
    """

    def __init__(self, pace: Pace, epoch_s: float, variables: Mapping[str, str] | None = None) -> None:
        super().__init__(pace)
        self.opening: Opening | None = None
        self.number = 0
        self._epoch_s: Final = epoch_s
        self._variables: Final = dict(variables or {})

    def begin(self, now_s: float) -> list[Command]:
        """Start it."""
        self.deadline_s = now_s + self.pace.start_s
        self.opening = None
        return [Start(RUNTIME, self._variables)]

    def play(self, event: Event, now_s: float) -> list[Command]:
        """Watch it start; the deriving class has the rest."""
        if self.opening is not None:
            return self.playing(event, now_s)
        match event:
            case Called(call):
                kind, _ = kind_of(call)
                if kind is Kind.NEXT:
                    return self._begun(Opening(Beginning.READY), call, now_s)
                if kind is Kind.INIT_ERROR:
                    body = call.body.decode("utf-8", "replace")
                    return self._begun(Opening(Beginning.INIT_ERROR, body, self.output), call, now_s)
                if kind in (Kind.RESPONSE, Kind.ERROR):
                    strange = Opening(Beginning.STRANGE, f"It called {call.method} {call.path} at first", self.output)
                    return self._begun(strange, call, now_s)
                return aside(call, kind)
            case NotStarted(_, reason):
                return self._begun(Opening(Beginning.NOT_STARTED, reason), None, now_s)
            case Ended(_, status):
                return self._begun(Opening(Beginning.ENDED, "", self.output, status), None, now_s)
            case DeadlinePassed():
                return self._begun(Opening(Beginning.SILENT, "", self.output), None, now_s)
            case _:
                return []

    def _begun(self, start: Opening, call: Call | None, now_s: float) -> list[Command]:
        self.opening = start
        self.deadline_s = math.inf
        return self.begun(start, call, now_s)

    @abstractmethod
    def begun(self, start: Opening, call: Call | None, now_s: float) -> list[Command]:
        """It has started, or not.

        Args:
            start: How it went.
            call: The call that shows it, to be answered; `None` if there is none.
            now_s: Monotonic.
        """

    @abstractmethod
    def playing(self, event: Event, now_s: float) -> list[Command]:
        """Take an event after that."""

    def hand_out(self, call: Call, sent: Sent, now_s: float, timeout_s: float) -> Command:
        """Answer a `next` with an event of its own."""
        self.number += 1
        return self.hand_again(call, sent, now_s, timeout_s)

    def hand_again(self, call: Call, sent: Sent, now_s: float, timeout_s: float) -> Command:
        """Answer a `next` with the same event as before (RT-22)."""
        return event_answer(call, sent, self.number, round((now_s + self._epoch_s + timeout_s) * 1000))


def aside(call: Call, kind: Kind) -> list[Command]:
    """What is done about a call that is not about events."""
    answer = answer_aside(call, kind)
    return [] if answer is None else [answer]
