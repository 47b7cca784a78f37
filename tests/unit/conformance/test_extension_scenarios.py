"""Scenarios of extensions, played against small models of extensions, without a sandbox or a clock."""

import heapq
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest

from lamella.conformance.extension.lives import Fault, Patience, Reset, Unknown
from lamella.conformance.extension.ordinary import Ordinary
from lamella.conformance.extension.scenario import ExtensionScenario, Subject
from lamella.conformance.extension.telemetry import Burst, Refused, UnknownRecords
from lamella.conformance.extension_checks import EXTENSION_CHECKS
from lamella.conformance.play import (
    Abandoned,
    Answer,
    Call,
    Called,
    Collected,
    Command,
    DeadlinePassed,
    Deliver,
    Delivered,
    Ended,
    Event,
    KillAll,
    Measure,
    Measured,
    NotStarted,
    Printed,
    Start,
    Thaw,
)
from lamella.conformance.report import Verdict
from lamella.conformance.scenario import Pace
from lamella.ports.sandbox import ExitStatus

NAME = "model"
BASE = "/2020-01-01/extension"
SUBSCRIPTION: Any = {
    "schemaVersion": "2022-12-13",
    "types": ["platform", "function"],
    "buffering": {"timeoutMs": 25},
    "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:4243"},
}

Later = tuple[float, Event]
"""After how many seconds something happens."""


@dataclass
class Model:
    """An extension that does everything right, unless it is told otherwise.

    Attributes:
        words: Printed when it starts.
        ends_at: What is the end of it: `start`, `register`, `INVOKE`, `SHUTDOWN`, `fault`; and its status.
        hangs_at: At what it does nothing more.
        gives_up_s: After how long it closes the connection of a call that waits.
        ships: Whether it sends on what it gets, at SHUTDOWN; `early`, at INVOKE as well.
        cpu_s: What it uses from one look to the next.
        limit_s: How long it is willing to wait.
        listener: What its listener answers, and after how long; `None` if there is none.
    """

    name: str = NAME
    events: tuple[str, ...] = ("INVOKE", "SHUTDOWN")
    subscription: Any = None
    late_subscription: bool = False
    words: bytes = b""
    problem: str = ""
    identifier: str = ""
    ends_at: dict[str, int] = field(default_factory=lambda: {"SHUTDOWN": 0, "fault": 1})
    hangs_at: tuple[str, ...] = ()
    gives_up_s: float = math.inf
    ships: bool = False
    early: bool = False
    cpu_s: float = 0.01
    limit_s: float | None = None
    measured: int = 0
    listener: Callable[[bytes], tuple[int, float]] | None = lambda body: (200, 0.001)
    asks_twice: bool = False
    echoes: bool = False
    starts_after_s: float = 0.1
    lives: int = 0
    calls: Iterator[int] = field(default_factory=lambda: count(1))
    got: bytes = b""
    id: str = ""

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Call:
        """Something it asks for."""
        given = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        data = b"" if body is None else json.dumps(body).encode()
        return Call(next(self.calls), 40_000, method, path, given, data)

    def next_event(self, *, after_s: float = 0.001) -> list[Later]:
        """It asks for an event."""
        headers = {"lambda_extension_identifier": self.identifier or self.id}
        calls = [self.call("GET", f"{BASE}/event/next", **headers) for _ in range(2 if self.asks_twice else 1)]
        given_up: list[Later] = [(self.gives_up_s, Abandoned(calls[0]))] if self.gives_up_s < 100 else []
        return [*((after_s, Called(call)) for call in calls), *given_up]

    def subscribe(self) -> Later:
        path = "/2022-07-01/telemetry"
        return 0.001, Called(self.call("PUT", path, self.subscription, lambda_extension_identifier=self.id))

    def end(self, at: str) -> list[Later] | None:
        """What happens there if it is the end of it, or it hangs."""
        if at in self.hangs_at:
            return []
        return [(0.01, Ended(NAME, ExitStatus(self.ends_at[at])))] if at in self.ends_at else None

    def react(self, command: Command) -> list[Later]:
        """What follows from a command."""
        match command:
            case Start(variables=variables):
                return self.start(dict(variables))
            case Answer(call, status, headers, body) if call.path.endswith("/register"):
                self.id = dict(headers).get("Lambda-Extension-Identifier", "")
                if status != 200:
                    return [(0.01, Ended(NAME, ExitStatus(2)))]
                if (end := self.end("register")) is not None:
                    return end
                if self.subscription and not self.late_subscription:
                    return [self.subscribe()]
                return self.next_event()
            case Answer(call, status) if call.method == "PUT":
                if status != 200 and (end := self.end("refusal")) is not None:
                    return end
                return [] if self.late_subscription else self.next_event()
            case Answer(call, status, body=body) if call.path.endswith("/next"):
                if status != 200:
                    end = self.end("fault")
                    return self.next_event() if end is None else end
                return self.event(json.loads(body))
            case Deliver(number, _, batch):
                if self.listener is None:
                    return [(0.0, Delivered(number, None, "connection refused", 0.0))]
                answer, took_s = self.listener(batch)
                self.got += batch if answer == 200 else b""
                echo: list[Later] = [(took_s, Printed(NAME, b"a batch\n"))] if self.echoes else []
                return [(took_s, Delivered(number, answer, "", took_s)), *echo]
            case Measure():
                self.measured += 1
                return [(0.0, Measured(NAME, self.measured * self.cpu_s, 3, 1, self.limit_s))]
            case Thaw():
                return [] if (end := self.end("thaw")) is None else end
            case _:
                return []

    def start(self, variables: dict[str, str]) -> list[Later]:
        self.lives += 1
        if self.problem:
            return [(0.0, NotStarted(NAME, self.problem))]
        said: list[Later] = [(0.01, Printed(NAME, self.words))] if self.words else []
        if not variables and (end := self.end("start")) is not None:
            return said + end
        if self.lives > 1 and (end := self.end("second start")) is not None:
            return said + end
        call = self.call("POST", f"{BASE}/register", {"events": list(self.events)}, lambda_extension_name=self.name)
        return [*said, (self.starts_after_s, Called(call))]

    def event(self, document: dict[str, Any]) -> list[Later]:
        kind = document["eventType"]
        if kind == "INVOKE" and "tracing" not in document:
            kind = "INVOKE without tracing" if "INVOKE without tracing" in (*self.ends_at, *self.hangs_at) else kind
        if (end := self.end(kind)) is not None:
            shipped: list[Later] = [(0.001, Collected("/", self.got))] if self.ships else []
            return shipped + end
        if self.early:
            late: list[Later] = [(0.001, Collected("/", self.got))]
            return [*late, *self.next_event(after_s=0.005)]
        late = [self.subscribe()] if self.late_subscription and self.subscription else []
        return [*late, *self.next_event(after_s=0.005)]


def play(scenario: ExtensionScenario, model: Model, *, most_s: float = 200.0) -> dict[str, str]:
    """Play it in no time; the verdicts that are no pass, by check, with what was seen."""
    now_s, order = 1000.0, count()
    todo: list[tuple[float, int, Event]] = []

    def perform(commands: list[Command]) -> None:
        for command in commands:
            if isinstance(command, KillAll):
                todo.clear()
            for after_s, event in model.react(command):
                heapq.heappush(todo, (now_s + after_s, next(order), event))

    perform(scenario.begin(now_s))
    while not scenario.finished:
        at_s = todo[0][0] if todo else math.inf
        if scenario.deadline_s <= at_s:
            now_s = max(now_s, scenario.deadline_s)
            perform(scenario.receive(DeadlinePassed(), now_s))
        else:
            now_s, _, event = heapq.heappop(todo)
            perform(scenario.receive(event, now_s))
        assert now_s < 1000.0 + most_s, "it does not end"
    assert set(scenario.results) <= set(EXTENSION_CHECKS)
    return {check: one.seen for check, one in scenario.results.items() if one.verdict is Verdict.FAIL}


def ordinary(model: Model, **subject: Any) -> dict[str, str]:
    return play(Ordinary(Subject(NAME, **subject), Pace(), epoch_s=0.0), model)


def one(kind: type[ExtensionScenario], model: Model) -> dict[str, str]:
    return play(kind(Subject(NAME), Pace(), epoch_s=0.0), model)


# A good one


def test_a_good_extension_has_no_fault() -> None:
    model = Model(subscription=SUBSCRIPTION, ships=True, early=True)
    scenario = Ordinary(Subject(NAME, "TELEMETRY_ENDPOINT", means_telemetry=True, ships=True), Pace(), epoch_s=0.0)
    assert play(scenario, model) == {}
    assert set(scenario.results) == set(scenario.checks)
    assert scenario.life is not None
    assert scenario.life.handed == scenario.life.shipped == {f"lamella-mark-{number}" for number in (1, 2, 3)}


@pytest.mark.parametrize("kind", [Patience, Reset, Unknown, Fault, Burst, UnknownRecords, Refused])
def test_no_scenario_finds_fault_with_it(kind: type[ExtensionScenario]) -> None:
    scenario = kind(Subject(NAME), Pace(), epoch_s=0.0)
    assert play(scenario, Model(subscription=SUBSCRIPTION)) == {}
    assert set(scenario.checks) <= set(scenario.results)


def test_every_check_is_judged_by_a_scenario() -> None:
    """Those of the files are judged by looking at them."""
    kinds = (Ordinary, Patience, Reset, Unknown, Fault, Burst, UnknownRecords, Refused)
    judged = {check for kind in kinds for check in kind.checks}
    assert judged | {"files", "every-runtime"} == set(EXTENSION_CHECKS)


def test_an_extension_without_events_is_judged_by_its_init_alone() -> None:
    scenario = Ordinary(Subject(NAME), Pace(), epoch_s=0.0)
    assert play(scenario, Model(events=())) == {}
    assert scenario.results["asks-again"].verdict is Verdict.NOT_APPLICABLE
    assert scenario.results["ends"].verdict is Verdict.NOT_APPLICABLE


# Each fault has its check


@pytest.mark.parametrize(
    ("model", "check", "seen"),
    [
        (Model(problem="fork/exec /opt/extensions/model: permission denied"), "starts", "permission denied"),
        (Model(name="Another"), "file-name", "Its file is 'model'"),
        (Model(name="Another", events=("INVOKE",)), "file-name", "as 'Another'"),
        (Model(events=("INVOKE", "EXPLODE")), "register-request", "EXPLODE: ErrorInvalidEventType"),
        (Model(starts_after_s=60.0), "registers", "it runs, and 10 s have passed"),
        (Model(ends_at={"start": 3}), "registers", "it ended with status 3"),
        (Model(hangs_at=("register",)), "initialised", "not asked for an event: it runs"),
        (Model(ends_at={"register": 0}), "initialised", "it ended with status 0"),
        (Model(ends_at={"register": 0}), "says-why", "nothing to init/error"),
        (Model(starts_after_s=5.0), "start-time", "Init took 5.00 s"),
        (Model(identifier="00000000-0000-4000-8000-000000000000", ends_at={"fault": 1}), "identifier", "Unknown"),
        (Model(asks_twice=True), "one-next", "from Ready to Ready"),
        (Model(hangs_at=("INVOKE",)), "asks-again", "not asked again within 10 s"),
        (Model(ends_at={"INVOKE": 0}), "stays", "At its first INVOKE it ended with status 0"),
        (Model(ends_at={"INVOKE": 0}), "says-why", "nothing to exit/error"),
        (Model(ends_at={"INVOKE without tracing": 1}), "tracing", "second INVOKE"),
        (Model(hangs_at=("INVOKE without tracing",)), "tracing", "not asked again"),
        (Model(ends_at={"fault": 1}), "exits", "asked for another event"),
        (Model(hangs_at=("SHUTDOWN",)), "ends", "still busy 2 s after SHUTDOWN"),
    ],
)
def test_faults_of_a_life(model: Model, check: str, seen: str) -> None:
    assert seen in ordinary(model)[check]


def test_a_refused_identifier_asked_for_again_and_again_is_no_calm() -> None:
    model = Model(identifier="00000000-0000-4000-8000-000000000000", ends_at={})
    assert "calls in one life" in ordinary(model)["calm"]


def test_a_missing_module_is_named_and_lent() -> None:
    words = b"Traceback\nModuleNotFoundError: No module named 'requests'\n"
    scenario = Ordinary(Subject(NAME, means_telemetry=True), Pace(), epoch_s=0.0)
    found = play(scenario, Model(words=words, ends_at={"start": 1, "SHUTDOWN": 0}))
    assert set(found) == {"modules", "telemetry-subscribes"}
    assert "no module 'requests'" in found["modules"]
    assert scenario.lent == {"PYTHONPATH": "/var/task/lent"}
    assert scenario.life is not None


def test_another_missing_module_is_named_and_that_is_all() -> None:
    words = b"ModuleNotFoundError: No module named 'boto4'\n"
    assert set(ordinary(Model(words=words, ends_at={"start": 1}))) == {"modules"}


def test_an_interpreter_that_is_not_there_is_named() -> None:
    found = ordinary(Model(words=b"/usr/bin/env: 'node': No such file or directory\n", ends_at={"start": 127}))
    assert set(found) == {"starts"}
    assert "There is no node in the runtime" in found["starts"]


def test_a_variable_of_the_runtime_is_named() -> None:
    found = ordinary(Model(words=b"KeyError: '_HANDLER'\n", ends_at={"start": 1}))
    assert set(found) == {"variables"}
    assert "_HANDLER, which extensions do not have" in found["variables"]


@pytest.mark.parametrize(
    ("kind", "model", "check", "seen"),
    [
        (Patience, Model(gives_up_s=1.0), "waits", "gave up its call for the next event after 1.0 s"),
        (Patience, Model(limit_s=60.0), "wait-limit", "60 s at most"),
        (Patience, Model(cpu_s=1.5), "idle", "75% of a processor while it waited 2.0 s"),
        (Patience, Model(ends_at={"thaw": 7}), "thaw", "After a freeze it ended with status 7"),
        (Reset, Model(ends_at={"second start": 98}), "starts-again", "it ended with status 98"),
        (Reset, Model(hangs_at=("second start",)), "starts-again", "not ready within 10 s"),
        (Reset, Model(hangs_at=("SHUTDOWN",)), "early-end", "still there 2 s later"),
        (Unknown, Model(ends_at={"LAMELLA_TEST": 1}), "unknown-event", "that it does not know it ended"),
        (Unknown, Model(hangs_at=("LAMELLA_TEST",)), "unknown-event", "did not ask for another"),
        (Fault, Model(hangs_at=("fault",)), "container-error", "still there"),
        (Fault, Model(ends_at={}), "calm", "times in 2 s"),
        (Refused, Model(subscription=SUBSCRIPTION, ends_at={"refusal": 1}), "telemetry-refused", "Without a word"),
        (Refused, Model(subscription=SUBSCRIPTION, hangs_at=("refusal",)), "telemetry-refused", "neither went on"),
    ],
)
def test_faults_in_other_lives(kind: type[ExtensionScenario], model: Model, check: str, seen: str) -> None:
    assert seen in one(kind, model)[check]


# Telemetry


def wrong(**changes: Any) -> Any:
    return {**SUBSCRIPTION, **changes}


@pytest.mark.parametrize(
    ("model", "check", "seen"),
    [
        (Model(), "telemetry-subscribes", "speaks of telemetry"),
        (Model(subscription=wrong(types=[])), "telemetry-request", "types should not be empty"),
        (Model(subscription=wrong(buffering={"timeoutMs": 5})), "telemetry-request", "from 25 to 30000"),
        (
            Model(subscription=wrong(destination={"protocol": "HTTP", "URI": "http://127.0.0.1:80"})),
            "telemetry-request",
            "host must be sandbox.localdomain",
        ),
        (Model(subscription=SUBSCRIPTION, late_subscription=True), "telemetry-in-time", "SubscriptionClosed"),
        (Model(subscription=SUBSCRIPTION, listener=None), "telemetry-listens", "connection refused"),
        (Model(subscription=SUBSCRIPTION, listener=lambda body: (500, 0.1)), "telemetry-answers", "status 500"),
        (
            Model(subscription=SUBSCRIPTION, listener=lambda body: (200, 60.0)),
            "telemetry-answers",
            "has not answered a batch for",
        ),
    ],
)
def test_faults_of_telemetry(model: Model, check: str, seen: str) -> None:
    assert seen in ordinary(model, means_telemetry=True)[check]


@pytest.mark.parametrize(
    ("model", "seen"),
    [
        (Model(), "nothing has reached the collector at $WHERE"),
        (Model(subscription=SUBSCRIPTION), "nothing has reached the collector"),
    ],
)
def test_what_ships_nothing_is_told_so(model: Model, seen: str) -> None:
    assert seen in ordinary(model, ships=True, collector="WHERE")["ships"]


def test_what_is_lost_on_the_way_is_counted() -> None:
    class Forgetful(Model):
        def event(self, document: dict[str, Any]) -> list[Later]:
            self.got = self.got.replace(b"mark-3", b"")
            return super().event(document)

    found = ordinary(Forgetful(subscription=SUBSCRIPTION, ships=True, early=True), ships=True)
    assert "1 of 3 log lines" in found["ships"]


def test_what_is_kept_to_the_end_is_advised() -> None:
    found = ordinary(Model(subscription=SUBSCRIPTION, ships=True), ships=True)
    assert set(found) == {"ships-early"}
    assert "At its third INVOKE it had 2 log lines" in found["ships-early"]


def test_a_slow_listener_does_not_keep_up() -> None:
    found = one(Burst, Model(subscription=SUBSCRIPTION, listener=lambda body: (200, 3.0)))
    assert "of 3,000 lines it had taken" in found["telemetry-keeps-up"].lower()
    found = one(Burst, Model(subscription=SUBSCRIPTION, listener=lambda body: (200, 1.1)))
    assert "1.1 s to answer" in found["telemetry-keeps-up"]


def test_what_prints_about_what_it_prints_is_a_loop() -> None:
    model = Model(subscription=wrong(types=["extension"]), echoes=True)
    assert "With nothing going on it printed" in one(Burst, model)["telemetry-echo"]
    assert one(Burst, Model(subscription=wrong(types=["extension"]))) == {}


def test_a_strict_reader_of_records_is_advised() -> None:
    model = Model(
        subscription=SUBSCRIPTION, listener=lambda body: (400 if b"platform.lamellaTest" in body else 200, 0.001)
    )
    assert "status 400" in one(UnknownRecords, model)["telemetry-unknown"]
