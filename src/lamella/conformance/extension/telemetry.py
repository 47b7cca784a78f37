"""Scenarios for extensions that take telemetry."""

from typing import Final

from lamella.conformance.extension.scenario import ExtensionScenario, Story
from lamella.lifecycle.telemetry_events import Lines

BURST_LINES: Final = 3_000
_LINE: Final = "x" * 480
_KEEP_UP_S: Final = 10.0
_SLOW_S: Final = 1.0
_LISTEN_S: Final = 2.5
"""How long it is watched for printing of its own accord: longer than two of the usual delays of a batch."""


class Burst(ExtensionScenario):
    """A function that prints 1.5 MB in one go while an invocation runs."""

    name = "burst of telemetry"
    checks = ("telemetry-keeps-up", "telemetry-echo")

    def story(self) -> Story:
        """See `ExtensionScenario`."""
        self.start()
        if not (yield from self.initialised()):
            return
        subscription = self.seen.subscription
        if subscription is None:
            return
        yield from self._burst("function" if "function" in subscription.types else "")
        if "extension" not in subscription.types:
            self.not_applicable("telemetry-echo", seen="It does not take the lines of extensions.")
        elif self.seen.ended is None:
            self.platform.emit("extension", "A line of another extension.\n")
            yield self.delivered(self.pace.answer_s)
            before, batches = self.seen.lines, len(self.seen.attempts)
            yield self.pause(_LISTEN_S)
            printed, sent = self.seen.lines - before, len(self.seen.attempts) - batches
            if printed >= 2 and sent >= 2:
                text = f"With nothing going on it printed {printed} lines in {_LISTEN_S:g} s"
                self.failed("telemetry-echo", seen=f"{text}, each about a batch that held the one before.")
            else:
                self.passed("telemetry-echo")

    def _burst(self, kind: str) -> Story:
        check = "telemetry-keeps-up"
        if not kind:
            self.not_applicable(check, seen="It does not take the lines of functions.")
            return
        began_s = self.now_s
        lines = "".join(f"{number} {_LINE}\n" for number in range(BURST_LINES - 1))
        self.platform.emit(kind, Lines(f"{lines}The last one, lamella-mark-999999.\n"))
        asked = yield from self.invocation()
        yield self.handed("lamella-mark-999999", _KEEP_UP_S)
        took_s = self.now_s - began_s
        taken = [attempt for attempt in self.seen.attempts if attempt.taken]
        slowest_s = max((attempt.took_s for attempt in taken), default=0.0)
        if self.seen.ended is not None:
            self.failed(check, seen=f"In a burst of {BURST_LINES:,} lines it {self.end()}")
        elif "lamella-mark-999999" not in self.seen.handed:
            events = sum(attempt.events for attempt in taken)
            self.failed(check, seen=f"Of {BURST_LINES:,} lines it had taken {events:,} after {_KEEP_UP_S:g} s.")
        elif not asked:
            self.failed(check, seen="In a burst it did not ask for the next event.")
        elif slowest_s > _SLOW_S:
            self.failed(check, seen=f"It took {slowest_s:.1f} s to answer a batch.")
        else:
            self.passed(check, seen=f"{BURST_LINES:,} lines in {took_s:.2f} s, {len(taken)} batches.")


class UnknownRecords(ExtensionScenario):
    """Records of a kind, and with members, that nobody knows yet."""

    name = "records to come"
    checks = ("telemetry-unknown",)

    def story(self) -> Story:
        """See `ExtensionScenario`."""
        check = "telemetry-unknown"
        self.start()
        if not (yield from self.initialised()):
            return
        subscription = self.seen.subscription
        if subscription is None:
            return
        if "platform" not in subscription.types or subscription.api == "Logs":
            self.not_applicable(check, seen="It takes no records of the platform by the Telemetry API.")
            return
        yield self.delivered(self.pace.answer_s)
        batches = len(self.seen.attempts)
        self.platform.emit("platform.lamellaTest", {"anything": {"of": [1, 2]}})
        yield self.delivered(self.pace.answer_s)
        attempts = self.seen.attempts[batches:]
        refused = next((attempt for attempt in attempts if not attempt.taken), None)
        if refused is None:
            yield from self.invocation()
        if self.seen.ended is not None:
            self.failed(check, seen=f"At a record of a type that it does not know it {self.end()}")
        elif refused is not None:
            how = refused.problem or f"status {refused.status}"
            self.failed(check, seen=f"A batch with a record of a type that it does not know: {how}.")
        elif not self.platform.ready:
            self.failed(check, seen="After a record of a type that it does not know it followed no invocation.")
        else:
            self.passed(check)


class Refused(ExtensionScenario):
    """The platform has no telemetry to give."""

    name = "no telemetry to be had"
    checks = ("telemetry-refused",)

    def story(self) -> Story:
        """See `ExtensionScenario`."""
        check = "telemetry-refused"
        self.start()
        self.platform.refuses_subscriptions = True
        ready = yield from self.initialised()
        if ready:
            self.passed(check, seen="It went on without.")
        elif self.seen.ended is None:
            self.failed(check, seen=f"It neither went on nor ended within {self.pace.start_s:g} s.")
        elif self.seen.said:
            self.passed(check, seen=f"It said {self.seen.said[0]} and ended.")
        else:
            self.failed(check, seen=f"Without a word to init/error it {self.end()}")
