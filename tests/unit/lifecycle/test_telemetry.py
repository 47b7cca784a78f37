"""Who gets which telemetry when: section 5.2 of the contract, without a clock or a socket."""

import itertools
import json
import math
from collections.abc import Callable
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamella.lifecycle import telemetry
from lamella.lifecycle.events import DeadlinePassed
from lamella.lifecycle.telemetry import (
    DELIVERY_TIMEOUT_S,
    FIRST_PAUSE_S,
    FLUSH_REFUSED_S,
    FLUSH_S,
    LONGEST_PAUSE_S,
    TelemetryMachine,
)
from lamella.lifecycle.telemetry_events import (
    Api,
    Deliver,
    Delivered,
    DeliveryFailed,
    Destination,
    Entry,
    Flushed,
    FlushRequested,
    Frozen,
    GiveUp,
    InitCompleted,
    Lines,
    Produced,
    Reset,
    Schema,
    Subscribed,
    Subscription,
    SubscriptionClosedError,
    SubscriptionConflictError,
    TelemetryCommand,
    TelemetryEvent,
    Thawed,
)

HTTP = Destination("HTTP", 4243)
ALL = ("platform", "function", "extension")
INIT_START = Entry(1.0, "platform.initStart", {"phase": "init"})


def render(entry: Entry, schema: Schema) -> list[bytes]:
    """Like the real one, in that the Logs API knows no init events, and that lines are events of their own."""
    if schema.api is Api.LOGS and entry.kind == "platform.initStart":
        return []
    if entry.kind == "platform.logsDropped":
        return [json.dumps(["dropped", entry.record]).encode()]
    if isinstance(entry.record, Lines):
        return [f"{schema} {line}".encode() for line in entry.record.splitlines()]
    return [f"{schema} {entry.record}".encode() if isinstance(entry.record, str) else entry.kind.encode()]


def subscription(
    *types: str, schema: Schema = Schema.TELEMETRY_2022_07_01, destination: Destination = HTTP, **limits: int
) -> Subscription:
    return Subscription(schema, types or ALL, destination, **limits)


def line(text: str, kind: str = "function") -> Produced:
    return Produced(Entry(2.0, kind, text))


class Driver:
    """A machine, what it commanded, and an hour hand."""

    def __init__(self) -> None:
        self.machine = TelemetryMachine(render)
        self.now_s = 100.0
        self.commands: list[TelemetryCommand] = []

    def feed(self, *events: TelemetryEvent) -> list[TelemetryCommand]:
        """Feed the events; returns what they led to."""
        fresh: list[TelemetryCommand] = []
        for event in events:
            fresh += self.machine.receive(event, now_s=self.now_s)
        self.commands += fresh
        return fresh

    def wait(self, seconds: float) -> list[TelemetryCommand]:
        """Let time pass as a host does: wake up at each deadline on the way."""
        end_s = self.now_s + seconds
        fresh: list[TelemetryCommand] = []
        while self.machine.deadline_s <= end_s:
            self.now_s = max(self.now_s, self.machine.deadline_s)
            fresh += self.feed(DeadlinePassed())
        self.now_s = end_s
        return fresh

    def subscribed(self, *types: str, **options: int) -> "Driver":
        """Subscribe `a` in time, close, and take over what goes out at once."""
        self.feed(Produced(INIT_START), Subscribed("a", subscription(*types, **options)), InitCompleted())
        self.acknowledge()
        return self

    def acknowledge(self) -> list[TelemetryCommand]:
        """Have the newest delivery to `a` succeed."""
        newest = [c for c in self.commands if isinstance(c, Deliver) and c.identifier == "a"]
        return self.feed(Delivered("a", newest[-1].serial)) if newest else []

    def fail(self) -> list[TelemetryCommand]:
        """Have it fail."""
        newest = [command for command in self.commands if isinstance(command, Deliver)][-1]
        return self.feed(DeliveryFailed("a", newest.serial))


def texts(commands: list[TelemetryCommand]) -> list[list[str]]:
    """Last words of every event, batch by batch."""
    return [
        [data.decode().rpartition(" ")[2] for data in command.batch]
        for command in commands
        if isinstance(command, Deliver)
    ]


SAMPLES: tuple[TelemetryEvent, ...] = (
    line("x"),
    Subscribed("b", subscription()),
    InitCompleted(),
    Frozen(),
    Thawed(),
    FlushRequested(),
    Delivered("a", 1),
    DeliveryFailed("a", 1),
    Reset(),
    DeadlinePassed(),
)


def test_the_samples_cover_every_event() -> None:
    assert {type(sample) for sample in SAMPLES} == set(get_args(TelemetryEvent))


@pytest.mark.parametrize(
    ("event", "is_open", "frozen", "busy"),
    list(itertools.product(SAMPLES, (True, False), (True, False), ("sending", "pausing", "gathering"))),
    ids=lambda value: type(value).__name__ if value in SAMPLES else str(value),
)
def test_states_and_events(event: TelemetryEvent, busy: str, *, is_open: bool, frozen: bool) -> None:
    """TL-04: every event is legal in every state but one pair, which changes nothing; nothing starts while frozen."""
    driver = Driver()
    driver.feed(Subscribed("a", subscription()), line("early"), FlushRequested())
    if busy == "pausing":
        driver.fail()
    elif busy == "gathering":
        driver.acknowledge()
        driver.feed(line("later"))
    driver.feed(*([] if is_open else [InitCompleted()]), *([Frozen()] if frozen else []))
    if isinstance(event, Subscribed) and not is_open:
        deadline_s = driver.machine.deadline_s
        with pytest.raises(SubscriptionClosedError):
            driver.feed(event)
        assert driver.machine.deadline_s == deadline_s
        assert not driver.machine.is_open
        return
    started = driver.feed(event)
    assert driver.machine.is_open is (isinstance(event, Reset) or (is_open and not isinstance(event, InitCompleted)))
    if frozen and not isinstance(event, Thawed):
        assert not [command for command in started if isinstance(command, Deliver)]


# Batches


@pytest.mark.parametrize(("lines", "batches"), [(999, []), (1000, [1000])])
def test_a_batch_goes_out_when_it_has_enough_events(lines: int, batches: list[int]) -> None:
    """TL-21: `maxItems`, one below and at it."""
    driver = Driver().subscribed("function", max_items=1000)
    started = driver.feed(*(line("x") for _ in range(lines)))
    assert [len(batch) for batch in texts(started)] == batches


def test_a_batch_goes_out_when_it_is_large_enough() -> None:
    """TL-21, TL-22: at `maxBytes`, and a batch is never larger than that."""
    driver = Driver().subscribed("function", max_bytes=262_144)
    assert driver.feed(*(line("x" * 100_000) for _ in range(2))) == []
    (sent,) = driver.feed(line("x" * 100_000))
    assert isinstance(sent, Deliver)
    assert len(sent.batch) == 2
    assert sum(map(len, sent.batch)) <= 262_144


def test_an_event_larger_than_a_batch_goes_alone() -> None:
    """TL-22."""
    driver = Driver().subscribed("function", max_bytes=262_144)
    driver.feed(line("small"))
    assert texts(driver.feed(line("x" * 300_000))) == [["small"]]
    assert [len(batch) for batch in texts(driver.acknowledge())] == [1]
    driver.acknowledge()
    assert driver.feed(line("after")) == []


def test_a_batch_goes_out_when_its_first_event_has_waited() -> None:
    """TL-21: `timeoutMs` counts from the first event."""
    driver = Driver()
    driver.feed(Subscribed("a", Subscription(Schema.TELEMETRY_2022_07_01, ALL, HTTP, timeout_s=0.1)), InitCompleted())
    driver.feed(line("1"))
    assert driver.machine.deadline_s == driver.now_s + 0.1
    assert driver.wait(0.06) == []
    driver.feed(line("2"))
    assert driver.wait(0.039) == []
    assert texts(driver.wait(0.001)) == [["1", "2"]]


def test_the_end_of_init_sends_what_has_piled_up() -> None:
    """TL-21."""
    driver = Driver()
    driver.feed(Subscribed("a", subscription()), line("1"))
    assert texts(driver.feed(InitCompleted())) == [["1"]]


def test_what_comes_during_a_delivery_waits_its_time() -> None:
    driver = Driver().subscribed("function")
    driver.feed(line("1"))
    assert texts(driver.wait(1.0)) == [["1"]]
    driver.feed(line("2"))
    assert driver.wait(0.5) == []
    assert driver.acknowledge() == []
    assert texts(driver.wait(0.5)) == [["2"]]


# Choice


def test_each_subscriber_gets_the_types_it_asked_for() -> None:
    driver = Driver()
    driver.feed(
        Subscribed("p", subscription("platform")),
        Subscribed("f", subscription("function")),
        Subscribed("e", subscription("extension", "function")),
        Produced(INIT_START),
        line("of the function"),
        line("of an extension", "extension"),
    )
    sent = {
        command.identifier: len(command.batch)
        for command in driver.feed(InitCompleted())
        if isinstance(command, Deliver)
    }
    assert sent == {"p": 1, "f": 1, "e": 2}


def test_all_subscribers_get_everything() -> None:
    """TL-28: also what another extension prints."""
    driver = Driver()
    driver.feed(Subscribed("a", subscription()), Subscribed("b", subscription()), line("of b", "extension"))
    assert texts(driver.feed(InitCompleted())) == [["b"], ["b"]]


def test_an_event_that_the_schema_does_not_know_is_left_out() -> None:
    driver = Driver()
    driver.feed(Produced(INIT_START), Subscribed("a", subscription(schema=Schema.LOGS_2020_08_15)), line("1"))
    assert texts(driver.feed(InitCompleted())) == [["1"]]


def test_a_later_subscriber_gets_what_came_before() -> None:
    """TL-26: from `platform.initStart` on, lines of extensions included."""
    driver = Driver()
    driver.feed(Produced(INIT_START), line("early", "extension"), Subscribed("a", subscription()), line("late"))
    assert texts(driver.feed(InitCompleted())) == [["platform.initStart", "early", "late"]]


def test_history_is_bounded_and_tells_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """TL-26: `platform.initStart` is kept; what is not is counted for those who would have got it (TL-25)."""
    monkeypatch.setattr(telemetry, "HISTORY_BYTES", 1500)
    driver = Driver()
    driver.feed(Produced(INIT_START), *(line(f"{number:0100}") for number in range(10)))
    driver.feed(Subscribed("a", subscription()), Subscribed("p", subscription("platform")))
    sent = {
        command.identifier: command.batch for command in driver.feed(InitCompleted()) if isinstance(command, Deliver)
    }
    assert sent["p"] == (b"platform.initStart",)
    note, *kept = sent["a"]
    assert kept[0] == b"platform.initStart"
    assert [int(data.split()[1]) for data in kept[1:]] == list(range(7, 10))
    assert json.loads(note)[1]["droppedRecords"] == 7


def test_lines_that_were_printed_together_count_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """TL-21, TL-25, TL-26: in batches, in the queue, and in what history has lost."""
    driver = Driver()
    early = Lines("".join(f"{number}\n" for number in range(3)))
    driver.feed(Produced(Entry(1.0, "extension", early)), Subscribed("a", subscription(max_items=1000)))
    assert texts(driver.feed(InitCompleted())) == [["0", "1", "2"]]
    driver.acknowledge()
    many = Lines("".join(f"{number}\n" for number in range(1500)))
    assert texts(driver.feed(Produced(Entry(2.0, "function", many)))) == [[str(number) for number in range(1000)]]
    assert texts(driver.acknowledge()) == []
    assert texts(driver.feed(FlushRequested())) == [[str(number) for number in range(1000, 1500)]]
    monkeypatch.setattr(telemetry, "HISTORY_BYTES", 1000)
    other = Driver()
    other.feed(Produced(INIT_START), *(Produced(Entry(2.0, "function", early)) for _ in range(5)))
    other.feed(Subscribed("a", subscription()))
    (sent,) = other.feed(InitCompleted())
    assert isinstance(sent, Deliver)
    note, _, *rest = sent.batch
    assert json.loads(note)[1]["droppedRecords"] + len(rest) == 15
    assert rest


def test_history_ends_with_init() -> None:
    driver = Driver()
    driver.feed(Produced(INIT_START))
    assert driver.machine.active
    driver.feed(InitCompleted())
    assert not driver.machine.active
    assert not driver.machine._history


# Subscriptions


def test_a_second_subscription_replaces_the_first() -> None:
    """TL-05: as long as nothing has gone out, as if the first had never been."""
    driver = Driver()
    driver.feed(Produced(INIT_START), Subscribed("a", subscription("platform")), line("1"))
    elsewhere = Destination("HTTP", 5000)
    driver.feed(Subscribed("a", subscription("function", destination=elsewhere)))
    (sent,) = driver.feed(InitCompleted())
    assert isinstance(sent, Deliver)
    assert sent.destination == elsewhere
    assert texts([sent]) == [["1"]]


def test_a_replaced_subscription_gets_nothing_twice() -> None:
    """TL-05, after something has gone out."""
    driver = Driver()
    driver.feed(Produced(INIT_START), Subscribed("a", subscription()))
    driver.wait(1.0)
    driver.acknowledge()
    driver.feed(line("1"), Subscribed("a", subscription(destination=Destination("TCP", 5000))), line("2"))
    (sent,) = driver.feed(InitCompleted())
    assert isinstance(sent, Deliver)
    assert sent.destination.protocol == "TCP"
    assert texts([sent]) == [["1", "2"]]


def test_one_extension_cannot_use_both_apis() -> None:
    """TL-06: the subscription that is there stays."""
    driver = Driver()
    driver.feed(Subscribed("a", subscription(schema=Schema.LOGS_2021_03_18)), line("1"))
    with pytest.raises(SubscriptionConflictError) as refusal:
        driver.feed(Subscribed("a", subscription()))
    assert refusal.value.in_use is Api.LOGS
    assert [command.batch for command in driver.feed(InitCompleted()) if isinstance(command, Deliver)] == [
        (b"2021-03-18 1",)
    ]


def test_a_reset_begins_anew() -> None:
    """Subscriptions and history of the processes that are dead are gone (4.7)."""
    driver = Driver()
    driver.feed(Produced(INIT_START), Subscribed("a", subscription()), InitCompleted(), line("lost"))
    assert driver.feed(Reset()) == [GiveUp("a")]
    driver.feed(line("new"), Subscribed("a", subscription(schema=Schema.LOGS_2020_08_15)))
    assert texts(driver.feed(InitCompleted())) == [["new"]]


# Failures


def test_a_batch_that_was_refused_stays_the_same_and_the_first() -> None:
    """TL-23: order is kept, however often it takes."""
    driver = Driver().subscribed("function")
    driver.feed(line("1"))
    driver.wait(1.0)
    driver.feed(line("2"))
    for _ in range(12):
        assert driver.fail() == []
        assert texts(driver.wait(LONGEST_PAUSE_S)) == [["1"]]
    assert texts(driver.acknowledge()) == [["2"]]


def test_the_first_pause_doubles_up_to_a_second() -> None:
    """TL-23: "connection refused" is normal for a few milliseconds."""
    assert FIRST_PAUSE_S <= 0.005
    driver = Driver().subscribed("function")
    driver.feed(line("1"))
    driver.wait(1.0)
    pauses = []
    for _ in range(12):
        driver.fail()
        pauses.append(driver.machine.deadline_s - driver.now_s)
        driver.now_s = driver.machine.deadline_s
        driver.feed(DeadlinePassed())
    assert pauses == pytest.approx([min(FIRST_PAUSE_S * 2**n, LONGEST_PAUSE_S) for n in range(12)])


def test_a_good_delivery_makes_the_next_pause_short_again() -> None:
    driver = Driver().subscribed("function")
    for text in ("1", "2"):
        driver.feed(line(text))
        driver.wait(1.0)
        driver.fail()
        assert driver.machine.deadline_s - driver.now_s == pytest.approx(FIRST_PAUSE_S)
        driver.wait(FIRST_PAUSE_S)
        driver.acknowledge()


def test_a_listener_that_never_answers_is_tried_again() -> None:
    driver = Driver().subscribed("function")
    driver.feed(line("1"))
    driver.wait(1.0)
    assert driver.wait(DELIVERY_TIMEOUT_S - 0.001) == []
    assert driver.wait(0.001) == [GiveUp("a")]
    assert texts(driver.wait(FIRST_PAUSE_S)) == [["1"]]


@pytest.mark.parametrize("report", [Delivered, DeliveryFailed])
def test_news_of_an_earlier_attempt_is_no_news(report: Callable[[str, int], TelemetryEvent]) -> None:
    driver = Driver().subscribed("function")
    driver.feed(line("1"))
    driver.wait(1.0)
    driver.wait(DELIVERY_TIMEOUT_S + FIRST_PAUSE_S)
    first, second = [command for command in driver.commands if isinstance(command, Deliver)][-2:]
    driver.feed(report("a", first.serial), report("nobody", second.serial))
    assert driver.machine.deadline_s == driver.now_s + DELIVERY_TIMEOUT_S, "still being sent"


def test_a_slow_subscriber_loses_the_oldest_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """TL-25: what does not fit is dropped, counted, and told of in the next batch."""
    monkeypatch.setattr(telemetry, "QUEUE_BYTES", 10 * (telemetry.ENTRY_BYTES + len("2022-07-01 xx")))
    driver = Driver().subscribed("function")
    driver.feed(line("first"))
    driver.wait(1.0)
    driver.feed(*(line(f"{number:02}") for number in range(15)))
    driver.wait(1.0)
    (sent,) = driver.acknowledge()
    assert isinstance(sent, Deliver)
    note, *rest = sent.batch
    assert json.loads(note) == [
        "dropped",
        {
            "droppedBytes": 5 * len("2022-07-01 xx"),
            "droppedRecords": 5,
            "reason": "Some logs were dropped because the downstream consumer is slower than the logs production rate",
        },
    ]
    assert [data.decode().split()[1] for data in rest] == [f"{number:02}" for number in range(5, 15)]
    driver.acknowledge()
    driver.feed(line("later"))
    assert texts(driver.wait(1.0)) == [["later"]], "told once"


def test_a_slow_subscriber_harms_no_other() -> None:
    """TL-25."""
    driver = Driver()
    driver.feed(Subscribed("a", subscription()), Subscribed("b", subscription()), InitCompleted())
    driver.feed(line("1"))
    driver.wait(1.0)
    driver.acknowledge()
    driver.feed(line("2"))
    driver.wait(1.0)
    assert [(c.identifier, len(c.batch)) for c in driver.commands if isinstance(c, Deliver)] == [
        ("a", 1),
        ("b", 1),
        ("a", 1),
    ]


# Frozen


def test_nothing_starts_while_frozen() -> None:
    """TL-27: neither a batch nor another attempt; what waited comes at once with the thaw."""
    driver = Driver().subscribed("function")
    driver.feed(Frozen(), line("1"))
    assert driver.machine.deadline_s == math.inf
    assert driver.wait(100.0) == []
    assert driver.feed(DeadlinePassed()) == []
    assert texts(driver.feed(Thawed())) == [["1"]]


def test_a_pause_goes_on_no_longer_than_the_frost() -> None:
    """TL-27."""
    driver = Driver().subscribed("function")
    driver.feed(line("1"))
    driver.wait(1.0)
    driver.fail()
    driver.feed(Frozen())
    assert driver.wait(100.0) == []
    assert texts(driver.feed(Thawed())) == [["1"]]


def test_the_time_of_a_delivery_stands_still_while_frozen() -> None:
    """TL-27."""
    driver = Driver().subscribed("function")
    driver.feed(line("1"))
    driver.wait(1.0)
    driver.wait(DELIVERY_TIMEOUT_S / 2)
    driver.feed(Frozen())
    assert driver.wait(100.0) == []
    assert driver.feed(Thawed()) == []
    assert driver.machine.deadline_s == pytest.approx(driver.now_s + DELIVERY_TIMEOUT_S / 2)


def test_an_answer_that_came_before_the_frost_counts() -> None:
    driver = Driver().subscribed("function")
    driver.feed(line("1"))
    driver.wait(1.0)
    driver.feed(Frozen())
    assert driver.acknowledge() == []
    assert driver.feed(Thawed()) == []


# Flush


def test_a_flush_without_subscribers_is_done_at_once() -> None:
    assert Driver().feed(FlushRequested()) == [Flushed()]


def test_a_flush_sends_at_once_and_waits_for_the_answer() -> None:
    """TL-21: at shutdown."""
    driver = Driver().subscribed("function")
    driver.feed(line("1"))
    assert texts(driver.feed(FlushRequested())) == [["1"]]
    assert driver.acknowledge() == [Flushed()]


def test_a_flush_waits_for_what_is_queued_behind_a_delivery() -> None:
    driver = Driver().subscribed("function")
    driver.feed(line("1"))
    driver.wait(1.0)
    driver.feed(line("2"), FlushRequested(), line("not part of it"))
    assert texts(driver.acknowledge()) == [["2", "it"]]
    assert driver.acknowledge() == [Flushed()]


def test_a_flush_gives_up_on_who_refuses() -> None:
    driver = Driver().subscribed("function")
    driver.feed(line("1"))
    asked_s = driver.now_s
    driver.feed(FlushRequested())
    driver.fail()
    while not any(isinstance(command, Flushed) for command in driver.commands):
        assert driver.machine.deadline_s <= asked_s + FLUSH_REFUSED_S
        driver.now_s = driver.machine.deadline_s
        for command in driver.feed(DeadlinePassed()):
            if isinstance(command, Deliver):
                driver.fail()
    assert driver.now_s == pytest.approx(asked_s + FLUSH_REFUSED_S)


def test_a_flush_gives_up_on_who_does_not_answer() -> None:
    driver = Driver().subscribed("function")
    driver.feed(line("1"), FlushRequested())
    assert driver.wait(FLUSH_S - 0.001) == []
    assert driver.wait(0.001) == [Flushed()]


def test_a_flush_of_a_frozen_environment_ends() -> None:
    driver = Driver().subscribed("function")
    driver.feed(line("1"), Frozen(), FlushRequested())
    assert driver.wait(FLUSH_S) == [Flushed()]


def test_a_reset_ends_a_flush() -> None:
    driver = Driver().subscribed("function")
    driver.feed(line("1"), FlushRequested())
    assert driver.feed(Reset()) == [GiveUp("a"), Flushed()]


# Walks

STEPS = st.sampled_from(
    [
        "line",
        "line",
        "line",
        "platform",
        "large",
        "freeze",
        "thaw",
        "deliver",
        "deliver",
        "fail",
        "wait",
        "late",
        "flush",
    ]
)
SUBSCRIBERS = {"a": ("platform", "function"), "b": ("function",), "c": ("platform", "extension", "function")}


@given(st.lists(st.tuples(STEPS, st.sampled_from(sorted(SUBSCRIBERS))), max_size=150), st.integers(0, 40))
def test_each_event_comes_once_in_order_or_is_counted_as_dropped(walk: list[tuple[str, str]], close_after: int) -> None:
    """TL-23, TL-25, TL-27: whatever happens, and nothing starts while frozen, nor two at once for one subscriber."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(telemetry, "QUEUE_BYTES", 4000)
        patch.setattr(telemetry, "HISTORY_BYTES", 3000)
        _walk(walk, close_after)


def _walk(walk: list[tuple[str, str]], close_after: int) -> None:
    machine = TelemetryMachine(render)
    now_s, number, frozen, flushes = 0.0, 0, False, 0
    produced: list[tuple[int, str]] = []
    in_flight: dict[str, Deliver] = {}
    delivered: dict[str, list[bytes]] = {}
    joined = set[str]()

    def feed(event: TelemetryEvent) -> None:
        nonlocal flushes
        for command in machine.receive(event, now_s=now_s):
            match command:
                case Deliver(identifier=identifier):
                    assert not frozen
                    assert identifier not in in_flight
                    assert command.batch
                    in_flight[identifier] = command
                case GiveUp(identifier):
                    del in_flight[identifier]
                case Flushed():
                    flushes += 1

    def settle(identifier: str, *, taken: bool) -> None:
        command = in_flight.pop(identifier, None)
        if command is not None and taken:
            delivered[identifier] += command.batch
        if command is not None:
            feed((Delivered if taken else DeliveryFailed)(identifier, command.serial))

    for place, (step, who) in enumerate(walk):
        if place == close_after:
            feed(InitCompleted())
        now_s += 0.01
        if step in ("line", "platform", "large"):
            number += 1
            kind = "platform.x" if step == "platform" else "function"
            produced.append((number, "platform" if step == "platform" else "function"))
            feed(Produced(Entry(now_s, kind, ("y" * 1000 if step == "large" else "") + f" {number}")))
        elif step == "freeze":
            frozen = True
            feed(Frozen())
        elif step == "thaw":
            frozen = False
            feed(Thawed())
        elif step in ("deliver", "fail"):
            settle(who, taken=step == "deliver")
        elif step == "wait":
            now_s += 1.0
            feed(DeadlinePassed())
        elif step == "flush":
            feed(FlushRequested())
        elif machine.is_open and who not in joined:
            joined.add(who)
            delivered[who] = []
            feed(Subscribed(who, subscription(*SUBSCRIBERS[who])))
    frozen = False
    feed(Thawed())
    feed(InitCompleted())
    feed(FlushRequested())
    while in_flight or machine.deadline_s < math.inf:
        for identifier in list(in_flight):
            settle(identifier, taken=True)
        if not in_flight and machine.deadline_s < math.inf:  # what has failed before is tried again after a while
            now_s = max(now_s, machine.deadline_s)
            feed(DeadlinePassed())
    assert flushes
    for identifier in joined:
        expected = [number for number, kind in produced if kind in SUBSCRIBERS[identifier]]
        notes = [json.loads(data)[1] for data in delivered[identifier] if data.startswith(b'["dropped"')]
        got = [int(data.split()[-1]) for data in delivered[identifier] if not data.startswith(b'["dropped"')]
        assert got == sorted(set(got))
        assert set(got) <= set(expected)
        assert len(got) + sum(note["droppedRecords"] for note in notes) == len(expected)
