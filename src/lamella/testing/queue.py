"""The queue of events and its destinations, in memory."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from lamella.domain.event import FINISHED, AcceptedEvent, EventRecord, Progress, Stage, accepted
from lamella.domain.function import FunctionKey
from lamella.ports.destinations import DeliveryError, Message


class MemoryEventQueue:
    """Implements `lamella.ports.queue.EventQueue`.

    Attributes:
        records: By request id, in the order of acceptance.
        history: Finished events that are remembered.
    """

    def __init__(self, history: int = 10_000) -> None:
        self.records: dict[str, EventRecord] = {}
        self.history = history

    async def put(self, event: AcceptedEvent) -> None:
        self.records[event.request_id] = accepted(event)

    async def save(self, record: EventRecord) -> None:
        known = self.records.get(record.event.request_id)
        if known is not None and known.progress.stage not in FINISHED:
            self.records[record.event.request_id] = _cleared(replace(record, event=known.event))
            self._prune()

    async def get(self, request_id: str) -> EventRecord | None:
        return self.records.get(request_id)

    async def unfinished(self) -> Sequence[tuple[str, FunctionKey, Progress]]:
        return [
            (record.event.request_id, record.event.key, record.progress)
            for record in sorted(
                self.records.values(), key=lambda one: (round(one.event.accepted_s * 1000), one.event.request_id)
            )
            if record.progress.stage not in FINISHED
        ]

    async def drop(self, key: FunctionKey, *, now_s: float) -> int:
        del now_s  # nothing is asked of it
        dropped = [
            record
            for record in self.records.values()
            if record.event.key == key and record.progress.stage in {Stage.WAITING, Stage.RUNNING}
        ]
        for record in dropped:
            progress = replace(record.progress, stage=Stage.DROPPED)
            self.records[record.event.request_id] = _cleared(replace(record, progress=progress))
        return len(dropped)

    async def list(
        self, account: str, region: str, *, limit: int, name: str | None = None, stage: Stage | None = None
    ) -> Sequence[EventRecord]:
        found = [
            record for record in self._of(account, region, name) if stage is None or record.progress.stage is stage
        ]
        found.sort(key=lambda one: (round(one.event.accepted_s * 1000), one.event.request_id), reverse=True)
        return [
            replace(
                one,
                event=replace(one.event, payload=b""),
                response=None if one.response is None else replace(one.response, payload=b""),
            )
            for one in found[:limit]
        ]

    async def counts(self, account: str, region: str, *, name: str | None = None) -> Mapping[Stage, int]:
        return Counter(record.progress.stage for record in self._of(account, region, name))

    def _of(self, account: str, region: str, name: str | None) -> Sequence[EventRecord]:
        return [
            record
            for record in self.records.values()
            if (record.event.key.account, record.event.key.region) == (account, region)
            and name in (None, record.event.key.name)
        ]

    def _prune(self) -> None:
        finished = [one for one in self.records.values() if one.progress.stage in FINISHED]
        for record in finished[: max(0, len(finished) - self.history)]:
            del self.records[record.event.request_id]


def _cleared(record: EventRecord) -> EventRecord:
    """What is kept of an event: once it is finished, neither its payload nor its response."""
    if record.progress.stage not in FINISHED or record.progress.stage is Stage.UNDELIVERED:
        return record
    response = None if record.response is None else replace(record.response, payload=b"")
    return replace(record, event=replace(record.event, payload=b""), response=response)


class MemoryDestinations:
    """Implements `lamella.ports.destinations.Destinations`.

    Attributes:
        sent: What was taken, in order.
        refusing: ARNs of those that take nothing.
        largest_bytes: Of a message that may be taken.
    """

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.refusing: set[str] = set()
        self.largest_bytes = 1_000_000

    async def send(self, message: Message) -> None:
        if message.target_arn in self.refusing:
            raise DeliveryError(f"{message.target_arn} takes nothing")
        if len(message.body) > self.largest_bytes:
            raise DeliveryError(f"{message.target_arn}: too large", for_good=True)
        self.sent.append(message)
