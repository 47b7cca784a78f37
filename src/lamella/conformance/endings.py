"""Scenarios about the beginning, the waiting and the end of a runtime."""

from collections.abc import Iterable, Mapping
from signal import SIGTERM
from typing import Final

from lamella.conformance.api import Kind, Sent, accepted, kind_of, not_allowed, refused
from lamella.conformance.invocations import Contract, Invocations, Posted, Step, action
from lamella.conformance.play import (
    RUNTIME,
    Abandoned,
    Call,
    Called,
    Command,
    DeadlinePassed,
    Ended,
    Event,
    Freeze,
    Measure,
    Measured,
    Signal,
    Thaw,
)
from lamella.conformance.report import Result
from lamella.conformance.runtime_scenario import Beginning, Opening, RuntimeScenario, aside
from lamella.conformance.scenario import Pace, ending
from lamella.conformance.steps import error_problem

MISSING_HANDLER: Final = "verify_nowhere.handler"
_CALM_CPU: Final = 0.25
"""Part of a processor; a runtime's own timers and a collection of garbage take less."""
_LOOP_CALLS: Final = 5
_OWN_TIMERS_S: Final = 1.5
"""libcurl looks at its timers once a second, and goes on waiting."""
_TERM_S: Final = 0.3
"""Source: rule EX-80; with some time for a busy machine."""
_TERM_GRACE_S: Final = 0.4


class FailedInit(RuntimeScenario):
    """The handler cannot be loaded."""

    name = "a handler that is not there"
    checks: Iterable[str] = ("init-error-post", "init-error-body", "init-error-end")

    def __init__(self, pace: Pace, epoch_s: float, handler: str = MISSING_HANDLER) -> None:
        super().__init__(pace, epoch_s, {"_HANDLER": handler})
        self._calls = 0

    def begun(self, opening: Opening, call: Call | None, now_s: float) -> list[Command]:
        """Wanted is an init error."""
        if opening.beginning is Beginning.INIT_ERROR and call is not None:
            self.passed("init-error-post")
            if problem := error_problem(call.body):
                self.failed("init-error-body", seen=problem)
            else:
                self.passed("init-error-body")
            self.deadline_s = now_s + self.pace.end_s
            return [accepted(call)]
        rest = ("init-error-body", "init-error-end")
        if opening.beginning is Beginning.READY:
            # Programs that hold their handler themselves, or load it when the first event comes.
            self.not_applicable("init-error-post", *rest, seen="It asked for events all the same.")
        else:
            self.failed("init-error-post", seen=f"{opening.describe()}.")
            self.not_applicable(*rest, seen="There was no report.")
        return self.finish()

    def playing(self, event: Event, now_s: float) -> list[Command]:  # noqa: ARG002  # no new deadlines
        """It should end now."""
        match event:
            case Ended(_, status):
                self.passed("init-error-end", seen=f"It {ending(status)}.")
                return self.finish()
            case Called(call):
                kind, _ = kind_of(call)
                if kind not in (Kind.NEXT, Kind.INIT_ERROR):
                    return aside(call, kind)
                self._calls += 1
                if self._calls >= _LOOP_CALLS:
                    self.failed("init-error-end", seen=f"It called {self._calls} times after its init error.")
                    return self.finish()
                return [not_allowed(call, "InitError", "Ready")]
            case DeadlinePassed():
                self.failed("init-error-end", seen=f"It was still there {self.pace.end_s:g} s after its init error.")
                return self.finish()
            case _:
                return []


class RefusedNext(RuntimeScenario):
    """`next` is refused: with 403, or because the platform is broken."""

    def __init__(self, pace: Pace, epoch_s: float, *, status: int) -> None:
        super().__init__(pace, epoch_s)
        self._status: Final = status
        self._check: Final = "refused-next" if status == 403 else "refused-fault"
        self._calls = 0
        self.name = f"next refused with {status}"

    @property
    def checks(self) -> Iterable[str]:
        """One of two."""
        return (self._check,)

    def begun(self, opening: Opening, call: Call | None, now_s: float) -> list[Command]:
        """Refuse the very first."""
        if opening.beginning is not Beginning.READY or call is None:
            self.not_reached(self.checks, opening.describe())
            return self.finish()
        self.deadline_s = now_s + self.pace.end_s
        return [self._refusal(call)]

    def playing(self, event: Event, now_s: float) -> list[Command]:  # noqa: ARG002  # no new deadlines
        """It should end now."""
        match event:
            case Ended(_, status):
                self.passed(self._check, seen=f"It {ending(status)}.")
                return self.finish()
            case Called(call):
                kind, of = kind_of(call)
                if kind in (Kind.RESPONSE, Kind.ERROR):
                    self.failed(self._check, seen=f"It took the refusal for an event, and answered it as {of[:80]!r}.")
                    return self.finish()
                if kind is not Kind.NEXT:
                    return aside(call, kind)
                self._calls += 1
                if self._calls >= _LOOP_CALLS:
                    self.failed(self._check, seen=f"It asked {self._calls} times more, without a pause.")
                    return self.finish()
                return [self._refusal(call)]
            case DeadlinePassed():
                self.failed(self._check, seen=f"It was still there {self.pace.end_s:g} s later{self.words()}.")
                return self.finish()
            case _:
                return []

    def _refusal(self, call: Call) -> Command:
        if self._status == 403:
            return not_allowed(call, "RuntimeResponseSentState", "Ready")
        return refused(call, 500, "InternalServerError", "Internal Server Error")


class Waiting(Invocations):
    """An event, a long silence, the freezer, another event, and the end."""

    def __init__(self, pace: Pace, epoch_s: float, contract: Contract) -> None:
        super().__init__("silence, the freezer and the end", pace, epoch_s, [Step(), _Thawed()], contract)
        self._stage = "event"
        self._call: Call | None = None
        self._asked_s = 0.0  # when `next` came
        self._since_s = 0.0  # since when it is watched
        self._cpu_s = 0.0

    @property
    def checks(self) -> Iterable[str]:
        """Of the times between events."""
        return (*super().checks, "wait-patience", "wait-limit", "wait-calm", "end-sigterm")

    def _ready(self, call: Call, now_s: float) -> list[Command]:
        if self._stage == "event" and self.number == 1:
            self._asked_s = now_s
            # A moment of its own, for what a runtime does after its first event.
            return self._wait("settling", call, now_s, self.pace.idle_s / 4)
        if self.number == 2 and self._stage != "term":
            self._stage = "term"
            self._since_s = now_s
            self.deadline_s = now_s + _TERM_S + _TERM_GRACE_S + self.pace.end_s
            return [Signal(RUNTIME, SIGTERM)]
        return super()._ready(call, now_s)

    def _wait(self, stage: str, call: Call | None, now_s: float, how_long_s: float) -> list[Command]:
        self._stage, self._call = stage, call
        self.deadline_s = now_s + how_long_s
        return []

    def playing(self, event: Event, now_s: float) -> list[Command]:
        """Watch it in its silence."""
        if self._stage in ("settling", "idle", "frozen"):
            return self._silence(event, now_s)
        if self._stage == "term":
            return self._terminating(event, now_s)
        return super().playing(event, now_s)

    def _silence(self, event: Event, now_s: float) -> list[Command]:
        match event:
            case Measured(_, cpu_s, _, _, limit_s):
                return self._measured(cpu_s, limit_s, now_s)
            case DeadlinePassed() if self._stage == "frozen":
                self._stage = "event"
                assert self._call is not None
                return [Thaw(), *super()._ready(self._call, now_s)]
            case DeadlinePassed():
                return [Measure(RUNTIME, 0 if self._call is None else self._call.connection)]
            case Abandoned(call) if self._call is not None and call.id == self._call.id:
                waited_s = now_s - self._asked_s
                self.failed("wait-patience", seen=f"It closed the connection of `next` after {waited_s:.1f} s.")
                self.not_reached(self.checks, "It gave up waiting.")
                return [Thaw(), *self.finish()]
            case Ended(_, status):
                self.failed("wait-patience", seen=f"It {ending(status)} while it waited{self.words()}.")
                self.not_reached(self.checks, "It ended while it waited.")
                return self.finish()
            case Called(call):
                kind, _ = kind_of(call)
                if kind is Kind.NEXT:  # a second connection, or the old one is gone: it asks in a loop
                    self.failed("wait-calm", seen="It asked for events again while it was waiting for one.")
                    self._call = call
                    return []
                return aside(call, kind)
            case _:
                return []

    def _measured(self, cpu_s: float, limit_s: float | None, now_s: float) -> list[Command]:
        if self._stage == "settling":
            self._since_s, self._cpu_s = now_s, cpu_s
            return self._wait("idle", self._call, now_s, self.pace.idle_s)
        lasted_s = max(now_s - self._since_s, 0.001)
        share = (cpu_s - self._cpu_s) / lasted_s
        if share > _CALM_CPU:
            self.failed("wait-calm", seen=f"It took {share:.0%} of a processor while it waited {lasted_s:.1f} s.")
        else:
            self.passed("wait-calm", seen=f"{share:.0%} of a processor in {lasted_s:.1f} s.")
        # A limit that is over, and was set again, is that of a client that polls its own timers.
        if limit_s is not None and limit_s > max(now_s - self._asked_s, _OWN_TIMERS_S):
            self.failed("wait-limit", seen=f"It waits for the answer to `next` {limit_s:g} s at most.")
        else:
            self.passed("wait-limit")
        self.passed("wait-patience", seen=f"It waited {lasted_s:.1f} s, and {self.pace.idle_s:g} s in the freezer.")
        return [Freeze(), *self._wait("frozen", self._call, now_s, self.pace.idle_s)]

    def _terminating(self, event: Event, now_s: float) -> list[Command]:
        match event:
            case Ended():
                took_s = now_s - self._since_s
                if took_s <= _TERM_S + _TERM_GRACE_S:
                    self.passed("end-sigterm", seen=f"It ended after {took_s * 1000:.0f} ms.")
                else:
                    self.failed("end-sigterm", seen=f"It ended only after {took_s * 1000:.0f} ms.")
                return self.finish()
            case DeadlinePassed():
                self.failed("end-sigterm", seen="It was still there seconds later.")
                return self.finish()
            case _:
                return []


class _Thawed(Step):
    """The event after the freezer."""

    name = "the event after it was frozen"
    checks = ("freeze-thaw",)


class Streaming(Invocations):
    """A handler that streams, where there is one."""

    def __init__(self, pace: Pace, epoch_s: float, contract: Contract, variables: Mapping[str, str]) -> None:
        steps = [_Streamed(fails=False), _Streamed(fails=True)]
        super().__init__("a streamed response", pace, epoch_s, steps, contract, variables)

    def begun(self, opening: Opening, call: Call | None, now_s: float) -> list[Command]:
        """Runtimes that do not stream have no such handler."""
        if opening.beginning is Beginning.READY:
            return super().begun(opening, call, now_s)
        self.not_applicable("stream-mode", "stream-error", seen="The runtime does not stream.")
        return self.finish()

    @property
    def checks(self) -> Iterable[str]:
        """Those alone."""
        return ("stream-mode", "stream-error")

    @property
    def results(self) -> dict[str, Result]:
        """A runtime whose handler for streams is not there may do with the events whatever it likes."""
        found = super().results
        return {check: found[check] for check in self.checks if check in found}


class _Streamed(Step):
    def __init__(self, *, fails: bool) -> None:
        self.name = "an event whose stream breaks off" if fails else "an event that is answered by a stream"
        self.checks = ("stream-error",) if fails else ("stream-mode",)
        self._fails = fails

    def sent(self, contract: Contract) -> Sent | str:
        """An event for the streaming handler."""
        if contract.ours or contract.can("stream"):
            return Sent(action("stream", fail=self._fails))
        return "The handler does not stream."

    def judge(self, posted: Posted, play: Invocations) -> None:
        """Headers and trailers; a runtime that answers in one piece does not stream."""
        call = posted.call
        mode = call.header("lambda-runtime-function-response-mode")
        if not mode:
            play.not_applicable(*self.checks, seen="The runtime does not stream.")
        elif not self._fails:
            if mode == "streaming" and call.chunked:
                play.passed(*self.checks)
            else:
                framing = "in chunks" if call.chunked else "with a length"
                play.failed(*self.checks, seen=f"The mode was {mode!r}, and the body came {framing}.")
        else:
            names = {name.lower() for name, value in call.trailers if value}
            wanted = {"lambda-runtime-function-error-type", "lambda-runtime-function-error-body"}
            if missing := wanted - names:
                play.failed(*self.checks, seen=f"There was no trailer {' and no '.join(sorted(missing))}.")
            else:
                play.passed(*self.checks)
