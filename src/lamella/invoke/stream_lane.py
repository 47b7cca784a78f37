"""Hands the records of a shard to the function, batch after batch. `lifecycle.stream_batches` decides."""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, assert_never
from uuid import uuid4

from lamella.domain.invocation import Outcome
from lamella.domain.mapping import EventSourceMapping
from lamella.domain.quotas import SYNCHRONOUS_PAYLOAD
from lamella.domain.stream import StreamRecord
from lamella.invoke.callee import Callee, dump
from lamella.invoke.stream_events import LastCall, discarded, event, size_bytes, state_of, verdict, window_event
from lamella.invoke.tasks import wait_set
from lamella.lifecycle.batching import Batch
from lamella.lifecycle.stream_batches import (
    Advance,
    BatchEvent,
    BatchMachine,
    BatchPolicy,
    Discard,
    Due,
    Failed,
    Invoke,
    NotTold,
    Refused,
    Stage,
    Succeeded,
    Told,
    backoff_s,
)
from lamella.lifecycle.windows import Windows
from lamella.ports.clock import Clock
from lamella.ports.destinations import DeliveryError, Destinations

_log = logging.getLogger(__name__)

OK: Final = "OK"
CALL_FAILED: Final = "PROBLEM: Function call failed"
_EVENT_BYTES: Final = SYNCHRONOUS_PAYLOAD.limit - len(b'{"Records":[]}')
_SOME_ROLE: Final = "r" * 256  # until the first call nobody has looked which one it is
_AHEAD_BYTES: Final = 2 * SYNCHRONOUS_PAYLOAD.limit


@dataclass(frozen=True, slots=True)
class StreamWork:
    """What everything needs that works for one mapping of a stream.

    Attributes:
        report: Is told what came of the last call, in AWS's words.
    """

    mapping: EventSourceMapping
    callee: Callee
    destinations: Destinations
    clock: Clock
    report: Callable[[str], None]

    def now_s(self) -> float:
        """Seconds since the epoch."""
        return self.clock.now().timestamp()


@dataclass(frozen=True, slots=True)
class Numbered:
    """A record with the number by which its shard's watermark knows it."""

    number: int
    record: StreamRecord
    size_bytes: int


class Lane:
    """Records of a shard that are worked on in their order. A shard has one lane, or as many as the mapping says.

    Args:
        work: Of the mapping.
        shard: Id of the shard.
        done: Is told the numbers of records that are over and done with, and returns when that is stored.
        drained: Is set when there is room for more.
        windows: If the mapping has tumbling windows.
    """

    def __init__(
        self,
        work: StreamWork,
        shard: str,
        done: Callable[[Sequence[int]], Awaitable[None]],
        drained: asyncio.Event,
        windows: Windows | None = None,
    ) -> None:
        mapping = work.mapping
        self._work = work
        self._shard = shard
        self._done = done
        self._drained = drained
        self._windows = windows
        self._waiting: deque[Numbered] = deque()
        self._waiting_bytes = 0
        self._batch = Batch(mapping.batch_size, mapping.window_s, _EVENT_BYTES)
        self._policy = BatchPolicy(mapping.retries, mapping.max_age_s, mapping.bisect)
        self._woken = asyncio.Event()
        self._ended = False
        self._stopping = False
        self._last = LastCall("", "", "", None)

    @property
    def room(self) -> bool:
        """Whether it makes sense to read further."""
        return len(self._waiting) < 2 * self._work.mapping.batch_size and self._waiting_bytes < _AHEAD_BYTES

    def push(self, number: int, record: StreamRecord) -> None:
        """A record of this lane has been read."""
        size = size_bytes(record, self._last.role or _SOME_ROLE)
        self._waiting.append(Numbered(number, record, size))
        self._waiting_bytes += size
        self._woken.set()

    def end(self) -> None:
        """Nothing follows: what is there is the rest."""
        self._ended = True
        self._woken.set()

    def stop(self) -> None:
        """Begin nothing new; what the function has may end."""
        self._stopping = True
        self._woken.set()

    async def run(self) -> None:
        """Until everything is done that there is before the end, or it is stopped."""
        while (batch := await self._gather()) is not None:
            await self._work_on(batch)

    async def _gather(self) -> list[Numbered] | None:
        batch, windows = self._batch, self._windows
        while not self._stopping:
            if windows is not None and self._window_over(windows):
                if batch.empty:
                    await self._finish_window(windows)
                    continue
                return batch.take()
            if self._waiting and not batch.full:
                one = self._waiting.popleft()
                self._waiting_bytes -= one.size_bytes
                self._drained.set()
                if before := batch.add(one, one.size_bytes, now_s=monotonic()):
                    return before
                continue
            if batch.due(now_s=monotonic()) or self._ended:
                return batch.take() or None
            self._woken.clear()
            left_s = math.inf if windows is None else windows.deadline_s - self._work.now_s()
            await wait_set(self._woken, min(batch.deadline_s - monotonic(), left_s))
        return None

    def _window_over(self, windows: Windows) -> bool:
        """Whether the function is to see the state of the open window for the last time, once its batch is done."""
        if windows.early:
            return True
        if self._waiting:
            return not windows.takes(self._waiting[0].record.arrived_s)
        over = self._ended or self._work.now_s() >= windows.deadline_s
        return over and windows.start_s is not None

    async def _finish_window(self, windows: Windows) -> None:
        """Nothing goes on in the shard before the function has taken it."""
        tries = 0
        while not self._stopping:
            outcome = await self._invoke(lambda role: self._window_event([], role, windows, final=True))
            if outcome is not None and outcome.function_error is None:
                self._work.report(OK)
                windows.finish()
                await self._done([])
                return
            self._work.report(CALL_FAILED)
            await self._wait_until(self._work.now_s() + backoff_s(tries))
            tries += 1

    def _window_event(
        self, records: Sequence[StreamRecord], role: str, windows: Windows, *, final: bool
    ) -> dict[str, Any]:
        place = (self._shard, self._work.mapping.source_arn)
        return window_event(records, role, windows, place, final=final)

    async def _work_on(self, batch: list[Numbered]) -> None:
        """One batch, to its end or until it is stopped."""
        work = self._work
        records = [one.record for one in batch]
        machine = BatchMachine([one.arrived_s for one in records], self._policy, now_s=work.now_s())
        while machine.stage is not Stage.OVER:
            if not await self._wait_until(machine.deadline_s):
                return
            following: BatchEvent | None = Due()
            while following is not None:
                commands, following = machine.receive(following, now_s=work.now_s()), None
                for command in commands:
                    match command:
                        case Invoke(first, end):
                            following = await self._call(records[first:end], first)
                        case Discard(first, end):
                            following = await self._tell(records[first:end], command)
                        case Advance(first, end):
                            await self._done([one.number for one in batch[first:end]])
                        case _:
                            assert_never(command)

    async def _wait_until(self, deadline_s: float) -> bool:
        """Whether the deadline has come; not if the lane is stopped first."""
        while not self._stopping:
            left_s = deadline_s - self._work.now_s()
            if left_s <= 0:
                return True
            self._woken.clear()
            await wait_set(self._woken, left_s)
        return False

    async def _call(self, records: Sequence[StreamRecord], first: int) -> BatchEvent:
        work, windows = self._work, self._windows
        if windows is None:
            outcome = await self._invoke(lambda role: event(records, role))
        else:
            outcome = await self._invoke(lambda role: self._window_event(records, role, windows, final=False))
        if outcome is None:
            work.report(CALL_FAILED)
            return Refused()
        came_of_it = verdict(outcome, records, first, partial=work.mapping.partial_failures)
        if windows is not None:
            came_of_it = self._keep_state(windows, outcome, came_of_it, first)
        work.report(CALL_FAILED if isinstance(came_of_it, Failed) else OK)
        return came_of_it

    def _keep_state(
        self, windows: Windows, outcome: Outcome, came_of_it: Succeeded | Failed, first: int
    ) -> Succeeded | Failed:
        """A function has to return a state; what it has of records that are to come again is not kept."""
        returned = state_of(outcome)
        if returned is None:
            return Failed()
        if isinstance(came_of_it, Succeeded) or (came_of_it.at is not None and came_of_it.at > first):
            windows.keep(*returned)
        return came_of_it

    async def _invoke(self, make: Callable[[str], dict[str, Any]]) -> Outcome | None:
        """Call the function with an event that is made for its role; `None` if it never saw it."""
        work, arn = self._work, self._work.mapping.function_arn
        request_id = str(uuid4())
        version = await work.callee.find(arn)
        if version is None:
            return None
        role = version.config.role
        self._last = LastCall(request_id, version.version, role, None)
        outcome = await work.callee.call(version, arn, dump(make(role)), request_id)
        if outcome is not None:
            self._last = LastCall(request_id, version.version, role, outcome)
        return outcome

    async def _tell(self, records: Sequence[StreamRecord], given_up: Discard) -> Told | NotTold:
        work, mapping = self._work, self._work.mapping
        _log.warning(
            "records of %s in %s are given up, %s to %s (%d), for %s: %s",
            mapping.source_arn,
            self._shard,
            records[0].sequence,
            records[-1].sequence,
            len(records),
            mapping.function_arn,
            given_up.condition,
        )
        if not mapping.on_failure:
            return Told()
        last = self._last if self._last.request_id else LastCall(str(uuid4()), "", "", None)
        message = discarded(mapping, self._shard, records, given_up, last, work.now_s())
        try:
            await work.destinations.send(message)
        except DeliveryError as error:
            _log.error("%s could not be told of them: %s", mapping.on_failure, error)
            return NotTold()
        return Told()
