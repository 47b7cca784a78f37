"""Scenarios about the life of an extension: long waits, freezing, resets, and a platform that is out of order."""

from typing import Final

from lamella.conformance.extension.scenario import ExtensionScenario, Measurement, Story
from lamella.lifecycle.commands import ShutdownReason
from lamella.lifecycle.extension import SHUTDOWN

_FROZEN_S: Final = 1.0
_IDLE_CPU: Final = 0.25
"""Part of a processor; timers and a collection of garbage take less."""
_OWN_TIMERS_S: Final = 1.5
"""libcurl looks at its timers once a second, and goes on waiting."""
_CALM_CALLS: Final = 10
"""How often it may call again in that time."""


class Patience(ExtensionScenario):
    """A long invocation, during which nothing comes; then a freeze, and an event in the moment of the thaw."""

    name = "long waits"
    checks = ("waits", "wait-limit", "idle", "thaw")

    def story(self) -> Story:
        """See `ExtensionScenario`."""
        self.waits_s = self.pace.idle_s
        self.start()
        if not (yield from self.initialised()) or not (yield from self.invocation()):
            return
        if not self.follows:
            return
        first = yield from self.measured()
        yield self.pause(self.pace.idle_s)
        if self.seen.gave_up_s:
            self.failed("waits", seen=f"It gave up its call for the next event after {self.seen.gave_up_s[0]:.1f} s.")
        if self.seen.ended is not None:
            self.failed("waits", seen=f"While it waited for an event, it {self.end()}")
            return
        self.passed("waits", seen=f"It waited for {self.pace.idle_s:g} s.")
        self._judge_waiting(first, (yield from self.measured()))
        self.freeze()
        yield self.pause(min(_FROZEN_S, self.pace.idle_s))
        self.thaw()
        asked = yield from self.invocation()
        if self.seen.ended is not None:
            self.failed("thaw", seen=f"After a freeze it {self.end()}")
        elif not asked:
            self.failed("thaw", seen=f"After a freeze it did not take the next INVOKE{self.last_words()}")
        else:
            self.passed("thaw")

    def _judge_waiting(self, before: Measurement | None, after: Measurement | None) -> None:
        """How long it would wait, and what it did meanwhile."""
        if before is None or after is None:
            return
        seconds = after.at_s - before.at_s
        share = (after.cpu_s - before.cpu_s) / seconds
        if share > _IDLE_CPU:
            self.failed("idle", seen=f"It took {share:.0%} of a processor while it waited {seconds:.1f} s.")
        else:
            self.passed("idle", seen=f"{share:.0%} of a processor in {seconds:.1f} s.")
        # A limit that is over, and was set again, is that of a client that polls its own timers.
        if after.limit_s is not None and after.limit_s > max(after.waited_s, _OWN_TIMERS_S):
            self.failed("wait-limit", seen=f"It would wait for the answer {after.limit_s:g} s at most.")
        else:
            self.passed("wait-limit")


class Reset(ExtensionScenario):
    """Killed in the middle of an invocation, started again in the same sandbox, and told to end at once."""

    name = "reset"
    checks = ("starts-again", "early-end")

    def story(self) -> Story:
        """See `ExtensionScenario`."""
        self.start()
        if not (yield from self.initialised()):
            return
        yield from self.invocation()
        self.kill()
        self.start()
        ready = yield from self.initialised()
        if not ready:
            how = f"it {self.end()}" if self.seen.ended else f"it was not ready within {self.pace.start_s:g} s"
            self.failed("starts-again", seen=f"When it was started again beside what it had left in /tmp, {how}.")
            return
        self.passed("starts-again", seen=f"Ready again after {self.seen.ready_s:.2f} s.")
        if not self.seen.follows(SHUTDOWN):
            return
        if (yield from self.shutdown(ShutdownReason.TIMEOUT)) or self.platform.ready:
            self.passed("early-end")
        else:
            text = "Told to end before any invocation, it was still there 2 s later"
            self.failed("early-end", seen=f"{text}{self.last_words()}")


class Unknown(ExtensionScenario):
    """An event with members, and then one of a type, that nobody knows yet."""

    name = "events to come"
    checks = ("unknown-event",)

    def story(self) -> Story:
        """See `ExtensionScenario`."""
        self.start()
        if not (yield from self.initialised()) or not self.follows:
            return
        asked = yield from self.invocation(more={"lamellaTest": {"anything": [1, 2]}})
        if asked:
            self.platform.give_other({"eventType": "LAMELLA_TEST", "deadlineMs": 0})
            yield self.until_ready(self.pace.answer_s)
        what = "an event of a type that it does not know" if asked else "an INVOKE with a member that it does not know"
        if self.seen.ended is not None:
            self.failed("unknown-event", seen=f"At {what} it {self.end()}")
        elif not self.platform.ready:
            self.failed("unknown-event", seen=f"After {what} it did not ask for another event{self.last_words()}")
        else:
            self.passed("unknown-event")


class Fault(ExtensionScenario):
    """The platform says that it is out of order: an extension is to end, and not to ask again and again."""

    name = "platform out of order"
    checks = ("container-error",)

    def story(self) -> Story:
        """See `ExtensionScenario`."""
        self.start()
        if not (yield from self.initialised()):
            return
        calls = self.seen.calls
        self.platform.out_of_order = True
        self.platform.give_fault()
        yield self.pause(self.pace.end_s)
        again = self.seen.calls - calls
        if self.seen.ended is not None:
            self.passed("container-error", seen=f"It {self.end()}")
        else:
            self.failed("container-error", seen=f"It was still there {self.pace.end_s:g} s later.")
        if again > _CALM_CALLS:
            self.failed(
                "calm", seen=f"It called {again} times in {self.pace.end_s:g} s while the platform was out of order."
            )
