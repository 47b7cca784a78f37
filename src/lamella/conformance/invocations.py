"""A runtime that is given event after event. Each step of the play is one event and what is made of the answer.

If the runtime ends or falls silent, the step has failed and the runtime is started anew for the next one, so that one
fault does not hide the others.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

from lamella.conformance.api import Kind, Sent, accepted, invalid_id, kind_of, not_allowed, refused, request_id
from lamella.conformance.play import (
    RUNTIME,
    Abandoned,
    Call,
    Called,
    Command,
    DeadlinePassed,
    Ended,
    Event,
    KillAll,
    Measure,
    Measured,
    Printed,
)
from lamella.conformance.runtime_scenario import Beginning, Opening, RuntimeScenario, aside
from lamella.conformance.scenario import Pace, ending

_SAME_AGAIN_MOST: Final = 3
"""How often an event is handed out again to a runtime that has not answered it."""
OF_EVERY_EVENT: Final = ("response-id", "response-each", "response-once", "next-again")
"""Checks that every event is good for."""
_PRINTED_BYTES: Final = 65_536
_READ_BYTES: Final = 1_048_576
"""A longer answer is not taken for JSON: the kit asks for none, and reading it would keep the server from its work."""
_LOOP_CALLS: Final = 4
"""Posts of one answer that was refused: so many are a loop."""


@dataclass(frozen=True, slots=True)
class Contract:
    """What the handler in the runtime does with the events of the kit.

    Attributes:
        actions: As docs/reference/verification.md describes them.
        echoes: Whether it gives back every event as it is.
        ours: Whether it is the kit's own, so that whatever it does wrong is the runtime's doing.
    """

    actions: frozenset[str] = frozenset()
    echoes: bool = False
    ours: bool = False

    def can(self, action: str) -> bool:
        """Whether events with this action are obeyed."""
        return action in self.actions


def action(name: str, /, **members: Any) -> bytes:  # Any: JSON
    """An event for the handler: on one line, without spaces, `verify` first, so that shells can take it apart."""
    return json.dumps({"verify": name, **members}, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class Posted:
    """What the runtime handed in for an event.

    Attributes:
        printed: What it has printed since it got the event.
    """

    call: Call
    failed: bool
    printed: bytes = b""

    @property
    def document(self) -> Any:  # Any: JSON
        """The body as JSON; the text itself if it is none."""
        try:
            return json.loads(self.call.body) if self.is_short else self.text
        except (ValueError, RecursionError):
            return self.text

    @property
    def is_short(self) -> bool:
        """Whether it is worth reading."""
        return len(self.call.body) <= _READ_BYTES

    @property
    def is_json(self) -> bool:
        """Whether the body is JSON."""
        try:
            json.loads(self.call.body if self.is_short else b"?")
        except (ValueError, RecursionError):
            return False
        return True

    @property
    def text(self) -> str:
        """The body."""
        return self.call.body.decode("utf-8", "replace")

    def describe(self) -> str:
        """In words, for a verdict."""
        document = self.document
        if self.failed and isinstance(document, dict) and "errorMessage" in document:
            return f"It posted an error: {document.get('errorType')}: {document['errorMessage']}"
        return f"It posted {'an error' if self.failed else 'a response'} of {len(self.call.body)} bytes: {self.text}"


class Step:
    """One event. Derive from it, or use it as it is for an event that only has to be answered.

    Attributes:
        name: For what is seen.
        checks: Ids of what the step gives verdicts on, beside those of every event.
        timeout_s: What the function has for the event; `None` for the pace's.
        refusal: Status and error type that the answer is refused with; `None` if it is accepted.
        measured: Measure the runtime before the event.
        unusual: The service does not hand out events like this; a runtime that does not answer it is not to be blamed
            for more than that.
    """

    name = "an event"
    checks: tuple[str, ...] = ()
    timeout_s: float | None = None
    refusal: tuple[int, str] | None = None
    measured = False
    unusual = False

    def sent(self, contract: Contract) -> Sent | str:  # noqa: ARG002  # for those that derive
        """The event; or why there is none for this handler."""
        return Sent(b'{"hello":"world"}')

    def judge(self, posted: Posted, play: "Invocations") -> None:  # noqa: ARG002  # as above
        """Look at the answer and give verdicts."""
        play.passed(*self.checks)

    def after(self, play: "Invocations") -> None:
        """The runtime has asked for the next event, or has ended after a refusal."""

    def lost(self, play: "Invocations", seen: str) -> None:
        """The runtime has answered, and then ended or fallen silent."""
        play.failed(*(self.checks if self.unusual else ("next-again",)), seen=seen)


class _State(Enum):
    READY = auto()  # it waits in `next`, whose call is kept
    OWING = auto()  # it has an event
    ANSWERED = auto()  # its answer was taken or refused
    ENDED = auto()


class Invocations(RuntimeScenario):
    """Plays steps, one after the other."""

    def __init__(
        self,
        name: str,
        pace: Pace,
        epoch_s: float,
        steps: Sequence[Step],
        contract: Contract | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(pace, epoch_s, variables)
        self.name = name
        self.contract = Contract() if contract is None else contract
        self.measurements: list[Measured] = []
        self.connections: set[int] = set()
        self.calls = 0
        self._steps: Final = list(steps)
        self._at = 0
        self._state = _State.ENDED
        self._waiting: Call | None = None
        self._sent = Sent()
        self._repeats = 0
        self._printed = b""
        self._answered = False  # it has once answered an event

    @property
    def checks(self) -> Iterable[str]:
        """Those of all steps, and those of every event."""
        own = [check for step in self._steps for check in step.checks]
        return (*own, *OF_EVERY_EVENT)

    def begun(self, start: Opening, call: Call | None, now_s: float) -> list[Command]:
        """Hand out the first event, or give up."""
        if start.beginning is Beginning.READY and call is not None:
            return self._ready(call, now_s)
        self.not_reached(self.checks, start.describe())
        return self.finish()

    def playing(self, event: Event, now_s: float) -> list[Command]:
        """Play on."""
        match event:
            case Called(call):
                self.calls += 1
                self.connections.add(call.connection)
                return self._called(call, now_s)
            case Abandoned(call) if self._waiting is not None and call.id == self._waiting.id:
                self._waiting = None
                self._state = _State.ANSWERED
                self.deadline_s = now_s + self.pace.answer_s
            case Printed(_, text):
                self._printed = (self._printed + text)[-_PRINTED_BYTES:]
            case Measured():
                self.measurements.append(event)
            case Ended(_, status):
                return self._ended(f"It {ending(status)}", now_s)
            case DeadlinePassed():
                return self._silent(now_s)
            case _:
                pass
        return []

    # The runtime's calls

    def _called(self, call: Call, now_s: float) -> list[Command]:
        kind, of = kind_of(call)
        match kind:
            case Kind.NEXT:
                return self._next(call, now_s)
            case Kind.RESPONSE | Kind.ERROR:
                return self._posted(call, of, kind is Kind.ERROR, now_s)
            case Kind.INIT_ERROR:
                return [not_allowed(call, "Running", "InitError")]
            case _:
                return aside(call, kind)

    def _next(self, call: Call, now_s: float) -> list[Command]:
        if self._state is _State.OWING:
            self._repeats += 1
            seen = f"It asked for the next event without an answer to {self._step.name}{self.words()}"
            if not self._step.unusual:
                self.failed("response-each", seen=seen)
            if self._repeats > _SAME_AGAIN_MOST:
                self._fail_step(seen)
                return self._restart(now_s)
            return [self.hand_again(call, self._sent, now_s, self._timeout_s)]
        if self._state is _State.ANSWERED:
            self.passed("next-again")
            self._step_done()
        return self._ready(call, now_s)

    def _posted(self, call: Call, of: str, failed: bool, now_s: float) -> list[Command]:
        step = self._step if self._at < len(self._steps) else None
        if of != request_id(self.number):
            self.failed("response-id", seen=f"It answered {of[:80]!r}; the event's id was {request_id(self.number)!r}.")
            return [invalid_id(call)]
        if step is None or self._state is not _State.OWING:
            if step is not None and step.refusal is not None:
                return self._posted_again(call, step, now_s)
            self.failed("response-once", seen="It answered a second time.")
            return [not_allowed(call, "RuntimeResponseSentState", "InvocationResponse")]
        self.passed("response-id", "response-each", "response-once")
        self._state = _State.ANSWERED
        self._repeats = 0
        self.deadline_s = now_s + self.pace.answer_s
        step.judge(Posted(call, failed, self._printed), self)
        if step.refusal is None:
            return [accepted(call)]
        status, error_type = step.refusal
        return [refused(call, status, error_type, "The answer is refused.")]

    def _posted_again(self, call: Call, step: Step, now_s: float) -> list[Command]:
        assert step.refusal is not None
        self._repeats += 1
        status, error_type = step.refusal
        if self._repeats >= _LOOP_CALLS:
            self.failed(*step.checks, seen=f"It sent the answer {self._repeats + 1} times, although it was refused.")
            self._at += 1
            return self._restart(now_s)
        return [refused(call, status, error_type, "The answer is refused.")]

    # What it does else

    def _ended(self, how: str, now_s: float) -> list[Command]:
        if self._state is _State.ANSWERED and self._step.refusal is not None:
            # Clients may take a refusal for fatal (RT-3A).
            self._step_done()
        elif self._state is _State.ANSWERED:
            self._step.lost(self, f"{how} after it had answered {self._step.name}{self.words()}")
            self._at += 1
        elif self._state is _State.READY:
            self.failed("wait-patience", seen=f"{how} while it waited for an event{self.words()}")
        else:
            self._fail_step(f"{how} when it was given {self._step.name}{self.words()}")
        return self._restart(now_s)

    def _silent(self, now_s: float) -> list[Command]:
        if self._state is _State.ANSWERED:
            self._step.lost(self, f"It did not ask for another event within {self.pace.answer_s:g} s{self.words()}")
            self._at += 1
        else:
            self._fail_step(f"It did not answer {self._step.name} within {self._timeout_s:g} s{self.words()}")
        return self._restart(now_s)

    # Steps

    @property
    def _step(self) -> Step:
        return self._steps[self._at]

    @property
    def _timeout_s(self) -> float:
        return self.pace.answer_s if self._step.timeout_s is None else self._step.timeout_s

    def _ready(self, call: Call, now_s: float) -> list[Command]:
        """It waits for an event: hand out that of the next step that has one for its handler."""
        while self._at < len(self._steps):
            sent = self._step.sent(self.contract)
            if isinstance(sent, str):
                self.not_applicable(*self._step.checks, seen=sent)
                self._at += 1
                continue
            self._sent, self._state, self._waiting = sent, _State.OWING, None
            self._printed, self._repeats = b"", 0
            self.deadline_s = now_s + self._timeout_s + self.pace.end_s
            answer = self.hand_out(call, sent, now_s, self._timeout_s)
            return [Measure(RUNTIME), answer] if self._step.measured else [answer]
        self._state, self._waiting = _State.READY, call
        self.deadline_s = math.inf
        return self.all_done(call, now_s)

    def all_done(self, call: Call, now_s: float) -> list[Command]:  # noqa: ARG002  # for those that derive
        """All steps have been played, and the runtime waits."""
        return self.finish()

    def _step_done(self) -> None:
        self._step.after(self)
        self._at += 1

    def _fail_step(self, seen: str) -> None:
        self.failed(*(self._step.checks or ("response-each",)), seen=seen)
        self._at += 1

    def _restart(self, now_s: float) -> list[Command]:
        self._state, self._waiting = _State.ENDED, None
        self.connections.clear()
        self.calls = 0
        if self._at >= len(self._steps):
            return self.finish()
        return [KillAll(), *self.begin(now_s)]
