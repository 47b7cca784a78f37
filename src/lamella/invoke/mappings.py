"""Event source mappings of a node: one poller for each queue or stream that a function is to be given something of."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, Protocol

from lamella.domain.mapping import DELETING, ENABLED, KIND, NO_RECORDS, SETTLED, EventSourceMapping
from lamella.invoke.callee import Callee
from lamella.invoke.queue_poller import QueuePoller
from lamella.invoke.stream_poller import StreamPoller
from lamella.invoke.stream_sources import source_of
from lamella.invoke.tasks import Tasks
from lamella.ports.aws import AwsServices
from lamella.ports.checkpoints import ALL_SHARDS, CheckpointStore
from lamella.ports.clock import Clock
from lamella.ports.destinations import Destinations
from lamella.ports.errors import UnavailableError
from lamella.ports.records import AccountRecordStore, Document

_log = logging.getLogger(__name__)

_PAUSE_S: Final = 1.0


class Poller(Protocol):
    """Reads a queue or stream for one mapping."""

    async def prepare(self) -> None:
        """Before the mapping is shown as enabled: know where to begin. Gives up within seconds."""

    async def run(self) -> None:
        """Until it is stopped."""

    def stop(self) -> None:
        """Begin nothing new; `run` ends as soon as another poller may begin in its place."""


@dataclass(frozen=True, slots=True)
class MappingPorts:
    """What pollers work with."""

    records: AccountRecordStore
    checkpoints: CheckpointStore
    aws: AwsServices
    destinations: Destinations
    callee: Callee
    clock: Clock


class Mappings:
    """Implements `lamella.ports.mappings.MappingObserver`; owns the pollers.

    Args:
        ports: Where mappings, checkpoints, queues, streams and functions are.
        delay_s: How long a caller can see that a change is under way.
    """

    def __init__(self, ports: MappingPorts, *, delay_s: float) -> None:
        self._ports = ports
        self._delay_s = delay_s
        self._tasks = Tasks()
        self._pollers: dict[str, tuple[Poller, asyncio.Task[None]]] = {}
        self._results: dict[str, str] = {}
        self._stopped = False

    async def start(self) -> None:
        """Go on with what is stored; what a crash interrupted is settled."""
        for row in await self._ports.records.every(KIND):
            mapping = EventSourceMapping.from_document(row.document)
            if mapping.is_stream:
                stream = (await self._ports.checkpoints.load(mapping.uuid)).get(ALL_SHARDS, {})
                self._results[mapping.uuid] = stream.get("result", NO_RECORDS)
            if mapping.state in SETTLED:
                self._poll(mapping, self._poller(mapping))
            else:
                self.mapping_changed(mapping)

    def mapping_changed(self, mapping: EventSourceMapping) -> None:
        """See the port."""
        self._tasks.start(self._settle(mapping), name=f"settle mapping {mapping.uuid}")

    def last_result(self, uuid: str) -> str:
        """See the port."""
        return self._results.get(uuid, NO_RECORDS)

    def stop(self) -> None:
        """Take nothing more from queues and streams, also for mappings that are settled later. `close` follows."""
        self._stopped = True
        for poller, _ in self._pollers.values():
            poller.stop()

    async def close(self, *, grace_s: float) -> None:
        """Stop polling. Batches that are with a function may end within the grace; else their records come again."""
        self.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._tasks.wait_idle()
        await self._tasks.close()

    async def _settle(self, mapping: EventSourceMapping) -> None:
        await self._stop(mapping.uuid)
        await asyncio.sleep(self._delay_s)
        place = (mapping.account, mapping.region, KIND, mapping.uuid)
        poller = self._poller(mapping)
        if mapping.next_state == ENABLED:
            try:
                await poller.prepare()
            except Exception:  # noqa: BLE001  # as in `_keep`: else the mapping would never be settled
                _log.exception("%s cannot be looked at yet", mapping.source_arn)
        while True:
            try:
                if mapping.state == DELETING:
                    # The mapping goes last: whatever a crash leaves is settled at the next start.
                    await self._ports.checkpoints.forget(mapping.uuid)
                    await self._ports.records.delete(*place)
                    self._results.pop(mapping.uuid, None)
                    return
                stored = await self._ports.records.change(*place, _settled)
            except UnavailableError:
                _log.exception("mapping %s cannot be settled yet", mapping.uuid)
                await asyncio.sleep(_PAUSE_S)
                continue
            if stored is not None:
                self._poll(EventSourceMapping.from_document(stored), poller)
            return

    async def _stop(self, mapping: str) -> None:
        running = self._pollers.pop(mapping, None)
        if running is not None:
            poller, task = running
            poller.stop()
            await asyncio.wait({task})

    def _poller(self, mapping: EventSourceMapping) -> Poller:
        ports = self._ports
        if not mapping.is_stream:
            return QueuePoller(mapping, ports.aws, ports.callee, self._tasks)
        return StreamPoller(
            mapping,
            source_of(mapping, ports.aws),
            ports.callee,
            ports.destinations,
            ports.checkpoints,
            ports.clock,
            self._tasks,
            report=self._reporter(mapping.uuid),
        )

    def _reporter(self, uuid: str) -> Callable[[str], None]:
        def report(result: str) -> None:
            self._results[uuid] = result

        return report

    async def _keep(self, mapping: EventSourceMapping, poller: Poller) -> None:
        """Poll until it is stopped; a fault of ours, or an answer that nobody expected, must not end it for good."""
        while True:
            try:
                await poller.run()
            except Exception:  # noqa: BLE001  # the boundary of a task that serves nobody: it begins again
                _log.exception("%s is not polled for a moment", mapping.source_arn)
                await asyncio.sleep(_PAUSE_S)
            else:
                return

    def _poll(self, mapping: EventSourceMapping, poller: Poller) -> None:
        if mapping.state == ENABLED and not self._stopped:
            task = self._tasks.start(self._keep(mapping, poller), name=f"poll for mapping {mapping.uuid}")
            self._pollers[mapping.uuid] = (poller, task)


def _settled(document: Document | None) -> Document | None:
    if document is None:
        return None
    mapping = EventSourceMapping.from_document(document)
    return replace(mapping, state=mapping.next_state).document()
