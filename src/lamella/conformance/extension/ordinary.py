"""The first scenario: the life that every extension has, from its start to its end. The others build on it."""

from typing import Final

from lamella.conformance.extension.lending import DIRECTORY, LENT, missing_interpreter, missing_module, missing_variable
from lamella.conformance.extension.scenario import ExtensionScenario, Part, Story
from lamella.conformance.extension.seen import Refusal, Seen
from lamella.lifecycle.extension import SHUTDOWN

SLOW_START_S: Final = 3.0
"""A third of what an init may take, in a sandbox that has a processor to itself."""
INVOCATIONS: Final = 3
_SHIPS_S: Final = 2.0
"""How long it may take to send what it has, once it is told of another invocation."""

OF_TELEMETRY: Final = (
    "telemetry-listens",
    "telemetry-answers",
    "telemetry-keeps-up",
    "telemetry-unknown",
    "telemetry-refused",
    "telemetry-refused",
    "telemetry-echo",
)
"""Checks of those who have subscribed."""
OF_INVOCATIONS: Final = ("asks-again", "stays", "tracing", "unknown-event", "waits", "wait-limit", "idle", "thaw")
"""Checks of those who follow invocations."""


class Ordinary(ExtensionScenario):
    """Start, init, three invocations, shutdown.

    Attributes:
        life: What was seen of it; `None` if it never asked for an event, so that the others need not be played.
    """

    name = "ordinary life"
    checks = (
        *("starts", "modules", "variables", "registers", "file-name", "register-request", "initialised", "start-time"),
        *("identifier", "one-next", "calm", "says-why", "asks-again", "stays", "tracing", "ends", "exits"),
        *("telemetry-subscribes", "telemetry-request", "telemetry-in-time", "telemetry-listens"),
        *("telemetry-answers", "ships-early", "ships"),
    )
    life: Seen | None = None

    def story(self) -> Story:
        """See `ExtensionScenario`."""
        self.start()
        ready = yield from self.initialised()
        if not ready and self._lend():
            self.kill()
            self.start()
            ready = yield from self.initialised()
        self._judge_init(ready=ready)
        self._judge_registration()
        if not ready:
            if self.seen.subscription is not None or any(one.method == "PUT" for one in self.seen.refusals):
                self._judge_subscription()
            return
        self.life = self.seen
        stays = yield from self._invocations_told()
        self._judge_subscription()
        if not stays:
            return
        yield self.delivered(self.pace.answer_s)
        self._judge_listener()
        ended = yield from self.shutdown()
        self._judge_end(ended=ended)
        self._judge_shipping()
        self.not_applicable("ships-early", seen="There was nothing to be sent before the shutdown.")
        self.passed("identifier", "one-next", "calm")
        self.not_applicable("says-why", seen="It never ended but when it was told to.")

    def _lend(self) -> bool:
        """Lend it the module for want of which it has ended, if there is such a one; whether that was done."""
        module = missing_module(self.printed) if self.seen.ended else ""
        if not module:
            return False
        self.failed("modules", seen=f"There is no module {module!r}: it {self.end()}")
        if module.partition(".")[0] not in LENT:
            return False
        self.lent = {"PYTHONPATH": DIRECTORY}
        return True

    # Init

    def _judge_init(self, *, ready: bool) -> None:
        seen = self.seen
        if seen.not_started:
            self.failed("starts", seen=seen.not_started)
            return
        interpreter = missing_interpreter(self.printed) if seen.ended else ""
        if interpreter:
            text = f"There is no {interpreter} in the runtime, and a script needs its interpreter"
            self.failed("starts", seen=f"{text}: it {self.end()}")
            return
        self.passed("starts")
        if ready:
            self.passed("modules", "variables")
            self.passed("initialised", seen=f"It asked for its first event after {seen.ready_s:.2f} s.")
            if (seen.ready_s or 0.0) > SLOW_START_S:
                self.failed("start-time", seen=f"Init took {seen.ready_s:.2f} s.")
            self.passed("start-time", seen=f"Init took {seen.ready_s:.2f} s.")
            return
        how = f"it {self.end()}" if seen.ended else f"it runs, and {self.pace.start_s:g} s have passed"
        variable = missing_variable(self.printed) if seen.ended else ""
        if variable:
            self.failed("variables", seen=f"It looks for {variable}, which extensions do not have: {how}")
        if seen.registration is not None:
            if self.unidentified:
                return  # it has asked, and the other check says why it got nothing
            self.failed("initialised", seen=f"It has registered and not asked for an event: {how}")
            if seen.ended and not seen.said:
                self.failed("says-why", seen=f"It said nothing to init/error: it {self.end()}")
        elif not missing_module(self.printed) and not variable and not self._refused_registrations:
            self.failed("registers", seen=f"It has not registered: {how}")

    @property
    def _refused_registrations(self) -> list[Refusal]:
        return [refusal for refusal in self.seen.refusals if refusal.path.endswith("/register")]

    def _judge_registration(self) -> None:
        seen, refused = self.seen, self._refused_registrations
        internal = [refusal for refusal in refused if "ForInternalExtension" in refusal.message]
        if seen.other_names or internal:
            called = f"as {seen.other_names[0]!r}" if seen.other_names else "under another name"
            self.failed("file-name", seen=f"Its file is {self.subject.name!r}, and it has registered {called}.")
        for refusal in refused:
            if refusal not in internal:
                self.failed("register-request", seen=str(refusal))
        if seen.registration is not None:
            registration = seen.registration
            events = " and ".join(registration.events) or "no events"
            self.passed("registers", seen=f"After {registration.after_s:.2f} s, for {events}.")
            self.passed("file-name", "register-request")

    # Invocations

    def _invocations_told(self) -> Part:
        """Tell it of some; whether it is still there."""
        if not self.follows:
            yield from self.invocation()
            self.not_applicable(*OF_INVOCATIONS, seen="It does not follow INVOKE.")
            return True
        slowest_s, had = 0.0, set[str]()
        for number in range(INVOCATIONS):
            odd = number == 1
            check = "tracing" if odd else "asks-again"
            if number == INVOCATIONS - 1:
                yield self.delivered(self.pace.answer_s)  # so that it has something to send by now
                had = set(self.seen.handed)
            began_s = self.now_s
            asked = yield from self.invocation(trace=not odd)
            slowest_s = max(slowest_s, self.now_s - began_s)
            if self.seen.ended is not None:
                where = f"At its {('first', 'second', 'third')[number]} INVOKE it {self.end()}"
                self.failed("tracing" if odd else "stays", seen=where)
                if not self.seen.said:
                    self.failed("says-why", seen=f"It said nothing to exit/error: it {self.end()}")
                return False
            if not asked:
                self.failed(check, seen=f"It has not asked again within {self.pace.answer_s:g} s{self.last_words()}")
                return False
        self.passed("asks-again", seen=f"The slowest of {INVOCATIONS} times after {slowest_s:.2f} s.")
        self.passed("stays", "tracing")
        if self.subject.ships and had:
            yield self.shipped(_SHIPS_S)
            if self.seen.shipped:
                self.passed("ships-early")
            else:
                text = f"At its third INVOKE it had {len(had)} log lines, and had sent none of them"
                self.failed("ships-early", seen=f"{text} {_SHIPS_S:g} s later.")
        return True

    # The end

    def _judge_end(self, *, ended: bool) -> None:
        seen = self.seen
        if SHUTDOWN not in (seen.registration.events if seen.registration else ()):
            why = "It does not follow SHUTDOWN, and is killed without a word."
            self.not_applicable("ends", "exits", "early-end", seen=why)
        elif ended:
            self.passed("ends", "exits", seen=f"{seen.ended_s - self.told_s:.2f} s after SHUTDOWN.")
        elif self.platform.ready:
            self.passed("ends", seen="It was done with SHUTDOWN in time.")
            self.failed("exits", seen="At SHUTDOWN it asked for another event, and was killed when the time was up.")
        else:
            self.failed("ends", seen=f"It was still busy 2 s after SHUTDOWN, and was killed{self.last_words()}")

    # Telemetry

    def _judge_subscription(self) -> None:
        seen = self.seen
        asked = [refusal for refusal in seen.refusals if refusal.method == "PUT"]
        for refusal in asked:
            if refusal.error_type.endswith("ValidationError"):
                self.failed("telemetry-request", seen=str(refusal))
            elif refusal.error_type.endswith("SubscriptionClosed"):
                self.failed("telemetry-in-time", seen=str(refusal))
        if seen.subscription is not None:
            to = seen.subscription.destination
            where = f"by {to.protocol} to port {to.port}"
            self.passed("telemetry-subscribes", seen=f"{', '.join(seen.subscription.types)} {where}.")
            self.passed("telemetry-request", "telemetry-in-time")
            return
        if asked:
            self.not_applicable("telemetry-subscribes", seen="It has asked, and was refused.")
        elif self.subject.means_telemetry:
            text = (
                "Its name or its program speaks of telemetry, and it asked neither /2022-07-01/telemetry nor the Logs"
            )
            self.failed("telemetry-subscribes", seen=f"{text} API for any before its first event.")
        else:
            self.not_applicable("telemetry-subscribes", seen="It is not there for telemetry.")
        self.not_applicable("telemetry-request", "telemetry-in-time", *OF_TELEMETRY, seen="It has not subscribed.")

    def _judge_listener(self) -> None:
        seen, subscription = self.seen, self.seen.subscription
        if subscription is None:
            return
        to = subscription.destination
        where = f"{to.host}:{to.port}"
        if not seen.attempts and self.platform.unanswered_s:
            self.passed("telemetry-listens", seen=f"Reached at {where}.")
            waited_s = self.platform.unanswered_s
            self.failed("telemetry-answers", seen=f"It has not answered a batch for {waited_s:.1f} s.")
            return
        if not seen.attempts:
            self.not_applicable("telemetry-listens", "telemetry-answers", seen="There was nothing to send.")
            return
        taken = [attempt for attempt in seen.attempts if attempt.taken]
        answered = [attempt for attempt in seen.attempts if attempt.status is not None]
        if not answered and all(attempt.problem != "no answer" for attempt in seen.attempts):
            problem = seen.attempts[-1].problem
            self.failed("telemetry-listens", seen=f"{len(seen.attempts)} attempts to reach {where}: {problem}.")
            return
        self.passed("telemetry-listens", seen=f"Reached at {where}.")
        wrong = [attempt.status for attempt in answered if not attempt.taken]
        if wrong:
            self.failed("telemetry-answers", seen=f"It answered a batch with status {wrong[0]}.")
        elif not taken:
            self.failed("telemetry-answers", seen=f"It took a connection at {where}, and did not answer a batch.")
        else:
            slowest_s = max(attempt.took_s for attempt in taken)
            self.passed("telemetry-answers", seen=f"{len(taken)} batches, the slowest after {slowest_s:.2f} s.")

    def _judge_shipping(self) -> None:
        seen, variable = self.seen, self.subject.collector
        at = f"the collector at ${variable}" if variable else "the collector"
        if seen.subscription is None and any(refusal.method == "PUT" for refusal in seen.refusals):
            self.not_applicable("ships", seen="It was refused what it would have to send.")
            return
        if not self.subject.ships and not seen.shipped:
            how = "name the variable that says where to with --collector" if seen.subscription else "it takes none"
            self.not_applicable("ships", seen=f"It is not known to send telemetry anywhere: {how}.")
            return
        if seen.subscription is not None and not seen.handed and not seen.collected:
            self.not_applicable("ships", seen="It has taken no lines of functions.")
            return
        missing = seen.handed - seen.shipped
        if not seen.collected:
            self.failed("ships", seen=f"Three invocations and a shutdown, and nothing has reached {at}.")
        elif missing or not seen.shipped:
            lost = f"{len(missing)} of {len(seen.handed)}" if missing else "None"
            self.failed("ships", seen=f"{lost} log lines that it had taken never reached {at}.")
        else:
            self.passed("ships", seen=f"All {len(seen.handed)} log lines that it had taken have reached {at}.")
