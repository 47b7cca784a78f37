"""What all scenarios of extensions have in common. Each is written down as a story: a generator that waits by `yield`.

A story does something (`start`, `invoke` ...), then yields what it waits for and for how long, and is told whether it
came to pass. A wait ends early when the extension's process has ended, since nothing more can come. It does no I/O:
what it does are commands for the referee, and what it waits for is seen in events.
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from lamella.conformance.extension.platform import FUNCTION, Platform, marks_of
from lamella.conformance.extension.seen import Seen
from lamella.conformance.play import (
    Abandoned,
    Called,
    Collected,
    Command,
    Delivered,
    Ended,
    Event,
    Freeze,
    KillAll,
    Measure,
    Measured,
    NotStarted,
    Printed,
    Start,
    Thaw,
)
from lamella.conformance.report import last_words
from lamella.conformance.scenario import Pace, Scenario, ending
from lamella.domain.invocation import Invocation
from lamella.lifecycle.commands import ShutdownReason
from lamella.lifecycle.extension import INVOKE
from lamella.lifecycle.shutdown import FLUSH_S, SHUTDOWN_S

ARN: Final = f"arn:aws:lambda:us-east-1:{FUNCTION.account}:function:{FUNCTION.name}"
_TRACE: Final = "Root=1-65a1b2c3-0123456789abcdef01234567;Parent=0123456789abcdef;Sampled=0"
_HANDLER_S: Final = 0.02
"""What the function of a scenario takes for an invocation."""
_IDENTIFIER_ERRORS: Final = (
    "Extension.MissingExtensionIdentifier",
    "Extension.InvalidExtensionIdentifier",
    "Extension.UnknownExtensionIdentifier",
)
_CALLS_MANY: Final = 50
_LINE_SHOWN: Final = 160
"""Bytes of each of the lines that are quoted."""
_ATTEMPTS_MANY: Final = 8
_DELIVERY_S: Final = 3.0
_ANOTHER_S: Final = 0.5
"""How long one may take to end that has asked for another event at its end."""


@dataclass(frozen=True, slots=True)
class Wait:
    """What a story waits for.

    Attributes:
        condition: Asked after each event.
        within_s: For how long.
        even_ended: Whether it waits on when the process has ended.
    """

    condition: Callable[[], bool]
    within_s: float
    even_ended: bool = False


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a process has used when it was looked at.

    Attributes:
        at_s: Monotonic seconds.
        cpu_s: Used so far.
        limit_s: How long it is willing to wait for an event; `None` if there is no end to that, or it cannot be seen.
        waited_s: How long it has waited.
    """

    at_s: float
    cpu_s: float
    limit_s: float | None
    waited_s: float


Story: TypeAlias = Generator[Wait, bool, None]
Part: TypeAlias = Generator[Wait, bool, bool]


@dataclass(frozen=True, slots=True)
class Subject:
    """The extension that is examined.

    Attributes:
        name: Of its file.
        collector: Variable that tells it where to send what it collects.
        means_telemetry: Whether it is there to take telemetry, by what it is called and what its program mentions.
        ships: Whether it is expected to send what it takes to the collector.
    """

    name: str
    collector: str = ""
    means_telemetry: bool = False
    ships: bool = False


class ExtensionScenario(Scenario):
    """One sandbox's worth of play with an extension.

    Attributes:
        lent: Variables by which the extension finds modules that were lent to it.
        told_s: When it was told to end, since its process was started.
    """

    def __init__(self, subject: Subject, pace: Pace, *, epoch_s: float, lent: Mapping[str, str] | None = None) -> None:
        """Nothing has happened.

        Args:
            subject: The extension.
            pace: How long things may take.
            epoch_s: What turns monotonic seconds into those since the epoch.
            lent: See the attribute.
        """
        super().__init__(pace)
        self.subject: Final = subject
        self.lent: Mapping[str, str] = lent or {}
        self.now_s = 0.0
        self.told_s = 0.0
        self._epoch_s = epoch_s
        self._platform: Platform | None = None
        self._out: list[Command] = []
        self._story: Story = self.story()
        self._wait: Wait | None = None
        self._wait_until_s = math.inf
        self._invocations = 0
        self._report: Mapping[str, object] = {}
        self._printed = b""
        self._measurement: Measurement | None = None

    @abstractmethod
    def story(self) -> Story:
        """What is done, and what is made of it."""

    # The referee's side

    def begin(self, now_s: float) -> list[Command]:
        """See `Scenario`."""
        self.now_s = now_s
        return self._go_on(None)

    def play(self, event: Event, now_s: float) -> list[Command]:
        """See `Scenario`."""
        self.now_s = self.platform.now_s = now_s
        self._take(event)
        self.platform.deadline_passed()
        wait = self._wait
        if wait is None:
            return self._taken()
        if wait.condition():
            return self._go_on(True)
        gone = self.seen.ended is not None or bool(self.seen.not_started)
        if now_s >= self._wait_until_s or (gone and not wait.even_ended):
            return self._go_on(False)
        return self._taken()

    def _take(self, event: Event) -> None:
        seen, platform = self.seen, self.platform
        match event:
            case Called(call):
                platform.called(call)
            case Abandoned(call):
                platform.abandoned(call)
            case Printed(text=text):
                self._printed = (self._printed + text)[-16_384:]
                seen.lines += text.count(b"\n")
                for line in text.splitlines(keepends=True):
                    platform.emit("extension", line.decode("utf-8", "replace"))
            case Ended(status=status):
                seen.ended, seen.ended_s = status, platform.age_s
            case NotStarted(reason=reason):
                seen.not_started = reason
            case Delivered():
                platform.delivered(event)
            case Collected(body=body):
                seen.collected += 1
                seen.shipped |= marks_of(body)
            case Measured(cpu_s=cpu_s, limit_s=limit_s):
                self._measurement = Measurement(self.now_s, cpu_s, limit_s, platform.waited_s)
            case _:
                pass  # a deadline, which `play` looks at

    def _go_on(self, outcome: bool | None) -> list[Command]:
        """Let the story go on until it waits for what has not come to pass."""
        while True:
            try:
                wait = next(self._story) if outcome is None else self._story.send(outcome)
            except StopIteration:
                self._judge_calls()
                self.finish()
                return self._taken()
            gone = self.seen.ended is not None or bool(self.seen.not_started)
            outcome = wait.condition()
            if not outcome and not (gone and not wait.even_ended):
                self._wait, self._wait_until_s = wait, self.now_s + wait.within_s
                return self._taken()

    def _taken(self) -> list[Command]:
        """The commands, and when to be woken."""
        commands, self._out = self._out, []
        if not self.finished:
            self.deadline_s = min(self._wait_until_s, self.platform.deadline_s)
        return commands

    # What stories do

    @property
    def platform(self) -> Platform:
        """What the running process has before it."""
        assert self._platform is not None
        return self._platform

    @property
    def seen(self) -> Seen:
        """What the running process has done."""
        return self.platform.seen

    def start(self) -> None:
        """Start the extension."""
        self._report = {}
        self._platform = Platform(self.subject.name, self._out_add, epoch_s=self._epoch_s, now_s=self.now_s)
        self._printed = b""
        self._out_add(Start(self.subject.name, self.lent))
        self.platform.emit(
            "platform.initStart",
            {
                "initializationType": "on-demand",
                "phase": "init",
                "functionName": FUNCTION.name,
                "functionVersion": FUNCTION.version,
            },
        )

    def kill(self) -> None:
        """Kill all that runs."""
        self.platform.reset()
        self._out_add(KillAll())

    def initialised(self) -> Part:
        """Wait until it has asked for its first event."""
        if not (yield Wait(lambda: self.platform.ready, self.pace.start_s)):
            return False
        done = {"initializationType": "on-demand", "phase": "init", "status": "success"}
        self.platform.emit("platform.initRuntimeDone", done)
        self.platform.emit("platform.initReport", {**done, "metrics": {"durationMs": 100.0}})
        return True

    def invocation(self, *, trace: bool = True, more: Mapping[str, object] | None = None) -> Part:
        """Tell it of an invocation and play the runtime's part; returns whether it has asked for the next event."""
        self._emit_report()
        self._invocations += 1
        request_id = f"8f5f8a2e-1c7b-4f0e-9c5e-{self._invocations:012d}"
        trace_id = _TRACE if trace else ""
        tracing = {"tracing": {"type": "X-Amzn-Trace-Id", "value": trace_id}} if trace else {}
        platform = self.platform
        platform.emit("platform.start", {"requestId": request_id, "version": FUNCTION.version, **tracing})
        invocation = Invocation(request_id, b"{}", "application/json", ARN, trace_id)
        platform.give_invoke(invocation, timeout_s=self.pace.answer_s, more=more)
        platform.emit("function", f"A line of the function, lamella-mark-{self._invocations}.\n")
        yield self.pause(_HANDLER_S)
        metrics = {"durationMs": 20.0, "producedBytes": 2}
        platform.emit("platform.runtimeDone", {"requestId": request_id, "status": "success", "metrics": metrics})
        asked = yield Wait(lambda: platform.ready, self.pace.answer_s)
        measured = {"durationMs": 20.0, "billedDurationMs": 20, "memorySizeMB": 128, "maxMemoryUsedMB": 36}
        self._report = {"requestId": request_id, "status": "success", "metrics": measured}
        return asked

    def _emit_report(self) -> None:
        """Tell of the last invocation's end: not before the environment runs again, as it is frozen by then (TL-27)."""
        if self._report:
            self.platform.emit("platform.report", self._report)
            self._report = {}

    def shutdown(self, reason: ShutdownReason = ShutdownReason.SPINDOWN) -> Part:
        """Deliver what is left and tell it of the end; returns whether its process has ended in time."""
        self.platform.flush()
        yield Wait(lambda: self.platform.flushed, FLUSH_S)
        self.told_s = self.platform.age_s
        told = self.platform.give_shutdown(reason, SHUTDOWN_S)
        self._emit_report()
        self.platform.flush()
        if not told:
            return False
        yield Wait(lambda: self.seen.ended is not None or self.platform.ready, SHUTDOWN_S)
        if self.seen.ended is None and self.platform.ready:
            yield Wait(lambda: self.seen.ended is not None, _ANOTHER_S)
        return self.seen.ended is not None

    def measured(self) -> Generator[Wait, bool, "Measurement | None"]:
        """Find out what it uses, and how long it is willing to wait; `None` if it has ended."""
        self._measurement = None
        self._out_add(Measure(self.subject.name, self.platform.connection))
        yield Wait(lambda: self._measurement is not None, self.pace.answer_s)
        return self._measurement

    def freeze(self) -> None:
        """Stop its process."""
        self.platform.freeze()
        self._out_add(Freeze())

    def thaw(self) -> None:
        """Let it run."""
        self.platform.thaw()
        self._out_add(Thaw())

    def pause(self, seconds: float) -> Wait:
        """Wait for time to pass."""
        return Wait(lambda: False, seconds)

    def until_ready(self, within_s: float) -> Wait:
        """Wait until it has asked for an event."""
        return Wait(lambda: self.platform.ready, within_s)

    def handed(self, mark: str, within_s: float) -> Wait:
        """Wait until it has taken a line as telemetry."""
        return Wait(lambda: mark in self.seen.handed, within_s)

    def shipped(self, within_s: float) -> Wait:
        """Wait until it has sent on anything that it has taken."""
        return Wait(lambda: bool(self.seen.shipped), within_s)

    def delivered(self, within_s: float) -> Wait:
        """Wait until every batch has been taken that was to go out by now, or is plainly not going to be."""
        self.platform.flush()
        seen, subscription = self.seen, self.seen.subscription
        if subscription is None or "function" not in subscription.types or not self._invocations:
            return Wait(lambda: self.platform.flushed, within_s)
        mark, failed = f"lamella-mark-{self._invocations}", len(seen.attempts) + _ATTEMPTS_MANY
        return Wait(lambda: mark in seen.handed or len(seen.attempts) > failed, min(within_s, _DELIVERY_S))

    @property
    def follows(self) -> bool:
        """Whether it is told of invocations."""
        return self.seen.follows(INVOKE)

    def end(self) -> str:
        """How its process has ended, and its last words."""
        assert self.seen.ended is not None
        return f"{ending(self.seen.ended)}{self.last_words()}"

    def last_words(self) -> str:
        """What it has printed last."""
        lines = b"\n".join(line[:_LINE_SHOWN] for line in self._printed.splitlines())
        words = last_words(lines)
        return f"; it printed: {words}" if words else ""

    @property
    def printed(self) -> bytes:
        """The last that the running process has printed."""
        return self._printed

    def _out_add(self, command: Command) -> None:
        self._out.append(command)

    # Verdicts that any scenario can give

    @property
    def unidentified(self) -> bool:
        """Whether it has called without its identifier, or with a wrong one."""
        return any(refusal.error_type in _IDENTIFIER_ERRORS for refusal in self.seen.refusals)

    def _judge_calls(self) -> None:
        """What was refused, and whether an end came without a word."""
        if self._platform is None:
            return
        seen = self.seen
        has_identifier = seen.registration is not None or bool(seen.other_names)
        for refusal in seen.refusals:
            if refusal.error_type in _IDENTIFIER_ERRORS and has_identifier:
                self.failed("identifier", seen=str(refusal))
            elif refusal.path.endswith("/event/next") and refusal.error_type == "Extension.InvalidExtensionState":
                self.failed("one-next", seen=str(refusal))
        if seen.calls > _CALLS_MANY and len(seen.refusals) > seen.calls // 2:
            self.failed("calm", seen=f"{seen.calls} calls in one life, {len(seen.refusals)} of them refused.")
