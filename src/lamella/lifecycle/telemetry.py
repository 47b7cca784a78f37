"""Who gets which telemetry of an environment, when, and in which batches (section 5.2).

Two things make up the state: whether subscriptions are open, and whether the environment is frozen. Every event is
legal in each of the four combinations, but for `Subscribed` after init (TL-04). Each subscriber has beside that a queue
and at most one batch on its way:

- *gathering*: nothing is on its way; a batch is taken when it is full, when its first event has waited long enough, or
  when everything that had come by some moment is to go out (end of init, flush).
- *sending*: the host delivers a batch. Nothing else starts for this subscriber, so that order is kept.
- *pausing*: a delivery has failed. The same batch goes again after a pause (TL-23), as often as it takes: what would
  not fit behind it is dropped from the queue's front and counted (TL-25). Thus one event is never sent before an
  earlier one, and none is lost without being counted.

A frozen environment cannot accept anything, so no delivery starts while it is, and the time of one that has begun
stands still (TL-27).
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, assert_never

from lamella.lifecycle.events import DeadlinePassed
from lamella.lifecycle.telemetry_events import (
    Api,
    Deliver,
    Delivered,
    DeliveryFailed,
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

QUEUE_BYTES: Final = 4 * 1024 * 1024
"""What one subscriber may have waiting, four of the largest batches. AWS publishes no figure; this bounds what an
extension that never answers can make us hold."""
ENTRY_BYTES: Final = 128
"""What an event in a queue takes beside its text."""
HISTORY_BYTES: Final = 1024 * 1024
"""What is kept of an init for those who have not subscribed yet (TL-26)."""
FIRST_PAUSE_S: Final = 0.004
LONGEST_PAUSE_S: Final = 1.0
"""A Rust extension binds its port anew after each connection: refusals for a few milliseconds are normal (TL-23)."""
DELIVERY_TIMEOUT_S: Final = 10.0
"""How long a listener may take for its answer. AWS publishes no figure. Over it the batch is sent again."""
FLUSH_S: Final = 1.0
"""How long a flush waits for a subscriber that is being sent to; the whole shutdown has 2 s (4.6)."""
FLUSH_REFUSED_S: Final = 0.1
"""How long it waits for one that refuses what it is sent: it is dead, or about to bind its port again."""

_DROPPED: Final = "platform.logsDropped"
_REASONS: Final = {
    Api.TELEMETRY: "Some logs were dropped because the downstream consumer is slower than the logs production rate",
    Api.LOGS: "Consumer seems to have fallen behind as it has not acknowledged receipt of logs.",
}

Render = Callable[[Entry, Schema], Sequence[bytes]]
"""Puts events into a schema's form, without line feeds: one for each of `Lines`, one for anything else; none if the
schema does not know the event. Must be pure."""


class _Subscriber:
    """One extension's queue, and what is on its way to it.

    Events are counted from 0 in the order of acceptance: `accepted` is the number of the next one, `flush_to` the
    number of the first that need not go out before its time.
    """

    __slots__ = (
        "accepted",
        "attempts",
        "batch",
        "batch_first",
        "dropped_at_s",
        "dropped_bytes",
        "dropped_records",
        "due_s",
        "flush_to",
        "queue",
        "queue_bytes",
        "sending",
        "serial",
        "started",
        "subscription",
    )

    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription
        # When it came, monotonic; when it happened, since the epoch; its form.
        self.queue: deque[tuple[float, float, bytes]] = deque()
        self.queue_bytes = 0
        self.accepted = 0
        self.flush_to = 0
        self.dropped_records = 0
        self.dropped_bytes = 0
        self.dropped_at_s = 0.0  # since the epoch, of the newest event that was dropped
        self.batch: tuple[bytes, ...] = ()  # on its way, or waiting for its next attempt
        self.batch_first = 0
        self.sending = False
        self.serial = 0
        self.attempts = 0
        self.due_s = math.inf  # when sending: the end of its time; when pausing: the next attempt
        self.started = False  # something has gone out

    def accept(self, when_s: float, events: Sequence[bytes], now_s: float) -> None:
        """Put events at the end, and drop the oldest ones that do not fit any more."""
        queue = self.queue
        queue.extend([(now_s, when_s, data) for data in events])
        self.queue_bytes += sum(map(len, events))
        self.accepted += len(events)
        while self.queue_bytes + len(queue) * ENTRY_BYTES > QUEUE_BYTES and len(queue) > 1:
            _, when_s, data = queue.popleft()
            self.queue_bytes -= len(data)
            self.count_dropped(1, len(data), when_s)

    def count_dropped(self, records: int, size_bytes: int, when_s: float) -> None:
        """Have the next batch begin with a note of what is missing (TL-25)."""
        self.dropped_records += records
        self.dropped_bytes += size_bytes
        self.dropped_at_s = when_s

    def pending(self) -> bool:
        """Whether something that is to be flushed has not been delivered."""
        if self.batch and self.batch_first < self.flush_to:
            return True
        return bool(self.queue) and self.accepted - len(self.queue) < self.flush_to

    def full_at_s(self, now_s: float) -> float:
        """When the next batch is to be taken: now or earlier, later, or never."""
        if not self.queue:
            return math.inf
        asked = self.subscription
        if (
            len(self.queue) >= asked.max_items
            or self.queue_bytes >= asked.max_bytes
            or self.accepted - len(self.queue) < self.flush_to
        ):
            return now_s
        return self.queue[0][0] + asked.timeout_s

    def take_batch(self, render: Render) -> None:
        """Move the next batch out of the queue: at most `maxItems` and `maxBytes`, at least one event (TL-22)."""
        asked = self.subscription
        batch: list[bytes] = []
        size_bytes = 0
        if self.dropped_records:
            note = {
                "droppedBytes": self.dropped_bytes,
                "droppedRecords": self.dropped_records,
                "reason": _REASONS[asked.api],
            }
            batch += render(Entry(self.dropped_at_s, _DROPPED, note), asked.schema)
            self.dropped_records = self.dropped_bytes = 0
        self.batch_first = self.accepted - len(self.queue)
        taken = 0
        while self.queue and len(batch) < asked.max_items:
            data = self.queue[0][2]
            if taken and size_bytes + len(data) > asked.max_bytes:
                break
            self.queue.popleft()
            self.queue_bytes -= len(data)
            size_bytes += len(data)
            taken += 1
            batch.append(data)
        self.batch = tuple(batch)
        self.attempts = 0


class TelemetryMachine:
    """The telemetry of one environment.

    Attributes:
        is_open: Whether extensions may subscribe, so that history is kept.
        deadline_s: Monotonic seconds at which the host sends `DeadlinePassed`; `math.inf` if never.
    """

    __slots__ = (
        "_flush_s",
        "_frozen",
        "_frozen_s",
        "_history",
        "_history_bytes",
        "_lost",
        "_render",
        "_serial",
        "_subscribers",
        "deadline_s",
        "is_open",
    )

    def __init__(self, render: Render) -> None:
        """Start with open subscriptions, not frozen."""
        self._render = render
        self._subscribers: dict[str, _Subscriber] = {}
        self._history: deque[Entry] = deque()
        self._history_bytes = 0
        self._lost: dict[str, tuple[int, int, float]] = {}  # of the history, by type: records, bytes, newest time
        self._frozen = False
        self._frozen_s = 0.0
        self._flush_s: float | None = None  # when the flush that is going on was asked for
        self._serial = 0
        self.is_open = True
        self.deadline_s = math.inf

    @property
    def active(self) -> bool:
        """Whether an event would be kept for anybody; if not, none need be made."""
        return self.is_open or bool(self._subscribers)

    def receive(self, event: TelemetryEvent, *, now_s: float) -> list[TelemetryCommand]:
        """Take one event and say what the host must do next, in order.

        Args:
            event: What happened.
            now_s: Monotonic seconds. The machine never reads a clock.

        Returns:
            Commands for the host; empty when there is nothing to do.

        Raises:
            SubscriptionClosedError: Nobody can subscribe any more; nothing has changed.
            SubscriptionConflictError: The extension uses the other API; nothing has changed.
        """
        commands: list[TelemetryCommand] = []
        match event:
            case Produced(entry):
                self._produced(entry, now_s)
            case Subscribed(identifier, subscription):
                self._subscribed(identifier, subscription, now_s)
            case InitCompleted():
                self.is_open = False
                self._forget_history()
                self._flush_all()
            case Frozen():
                if not self._frozen:
                    self._frozen = True
                    self._frozen_s = now_s
            case Thawed():
                self._thawed(now_s)
            case FlushRequested():
                self._flush_s = now_s
                self._flush_all()
            case Delivered(identifier, serial):
                if (subscriber := self._sending(identifier, serial)) is not None:
                    subscriber.sending = False
                    subscriber.batch = ()
            case DeliveryFailed(identifier, serial):
                if (subscriber := self._sending(identifier, serial)) is not None:
                    _pause(subscriber, now_s)
            case Reset():
                commands += [GiveUp(identifier) for identifier, one in self._subscribers.items() if one.sending]
                self._subscribers.clear()
                self._forget_history()
                self._frozen = False
                self.is_open = True
            case DeadlinePassed():
                pass  # below
            case _:
                assert_never(event)
        return self._go_on(commands, now_s)

    def _produced(self, entry: Entry, now_s: float) -> None:
        kind = entry.type
        if self.is_open:
            self._remember(entry)
        rendered: dict[Schema, Sequence[bytes]] = {}
        for subscriber in self._subscribers.values():
            asked = subscriber.subscription
            if kind not in asked.types:
                continue
            events = rendered.get(asked.schema)
            if events is None:
                events = rendered[asked.schema] = self._render(entry, asked.schema)
            subscriber.accept(entry.when_s, events, now_s)

    def _remember(self, entry: Entry) -> None:
        self._history.append(entry)
        self._history_bytes += _size(entry)
        while self._history_bytes > HISTORY_BYTES and len(self._history) > 1:
            # `platform.initStart`, the first, is kept: clients look for it (TL-26).
            lost = self._history[1]
            del self._history[1]
            self._history_bytes -= _size(lost)
            records, size_bytes, _ = self._lost.get(lost.type, (0, 0, 0.0))
            count = lost.record.count("\n") if isinstance(lost.record, Lines) else 1
            self._lost[lost.type] = (records + count, size_bytes + _size(lost), lost.when_s)

    def _forget_history(self) -> None:
        self._history.clear()
        self._history_bytes = 0
        self._lost.clear()

    def _subscribed(self, identifier: str, subscription: Subscription, now_s: float) -> None:
        if not self.is_open:
            raise SubscriptionClosedError
        before = self._subscribers.get(identifier)
        if before is not None:
            if before.subscription.api is not subscription.api:
                raise SubscriptionConflictError(before.subscription.api)
            if before.started:
                # What waits was chosen and rendered by the old wishes and stays, so that nothing comes twice (TL-05).
                before.subscription = subscription
                return
        subscriber = self._subscribers[identifier] = _Subscriber(subscription)
        for kind, (records, size_bytes, when_s) in self._lost.items():
            if kind in subscription.types:
                subscriber.count_dropped(records, size_bytes, when_s)
        for entry in self._history:
            if entry.type in subscription.types:
                subscriber.accept(entry.when_s, self._render(entry, subscription.schema), now_s)

    def _thawed(self, now_s: float) -> None:
        if self._frozen:
            self._frozen = False
            for subscriber in self._subscribers.values():
                if subscriber.sending:
                    subscriber.due_s += now_s - self._frozen_s

    def _flush_all(self) -> None:
        for subscriber in self._subscribers.values():
            subscriber.flush_to = subscriber.accepted

    def _sending(self, identifier: str, serial: int) -> _Subscriber | None:
        subscriber = self._subscribers.get(identifier)
        if subscriber is not None and subscriber.sending and subscriber.serial == serial:
            return subscriber
        return None

    def _go_on(self, commands: list[TelemetryCommand], now_s: float) -> list[TelemetryCommand]:
        """Start what is due, and publish when the next thing will be."""
        deadline_s = math.inf
        if not self._frozen:
            for identifier, subscriber in self._subscribers.items():
                if subscriber.sending and subscriber.due_s <= now_s:
                    commands.append(GiveUp(identifier))
                    _pause(subscriber, now_s)
                if not subscriber.sending:
                    if not subscriber.batch:
                        subscriber.due_s = subscriber.full_at_s(now_s)
                    if subscriber.due_s <= now_s:
                        if not subscriber.batch:
                            subscriber.take_batch(self._render)
                        commands.append(self._send(identifier, subscriber, now_s))
                deadline_s = min(deadline_s, subscriber.due_s)
        if self._flush_s is not None:
            flush_end_s = self._flush_end_s(self._flush_s)
            if flush_end_s <= now_s:
                self._flush_s = None
                commands.append(Flushed())
            else:
                deadline_s = min(deadline_s, flush_end_s)
        self.deadline_s = deadline_s
        return commands

    def _send(self, identifier: str, subscriber: _Subscriber, now_s: float) -> Deliver:
        self._serial += 1
        subscriber.serial = self._serial
        subscriber.sending = True
        subscriber.started = True
        subscriber.due_s = now_s + DELIVERY_TIMEOUT_S
        return Deliver(identifier, self._serial, subscriber.subscription.destination, subscriber.batch)

    def _flush_end_s(self, asked_s: float) -> float:
        """When the flush is over if nothing happens before."""
        end_s = -math.inf
        for subscriber in self._subscribers.values():
            if subscriber.pending():
                end_s = max(end_s, asked_s + (FLUSH_REFUSED_S if subscriber.attempts else FLUSH_S))
        return end_s


def _pause(subscriber: _Subscriber, now_s: float) -> None:
    subscriber.sending = False
    subscriber.due_s = now_s + min(FIRST_PAUSE_S * 2.0 ** min(subscriber.attempts, 30), LONGEST_PAUSE_S)
    subscriber.attempts += 1


def _size(entry: Entry) -> int:
    """About what an event takes while it is remembered; those of the platform are small."""
    return ENTRY_BYTES + (len(entry.record) if isinstance(entry.record, str) else 512)
