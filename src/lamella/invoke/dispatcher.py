"""Runs the events that were accepted for asynchronous invocation, and tells destinations how they ended.

`lifecycle.retry` decides what becomes of an event; here it is done. The store runs ahead of what is done: an event is
begun there before the function gets it, so a server that dies leaves nothing that the next one does not take up. What
was running then is run twice, and that shows in the event's steps.

Every function has a line of its own, so that nobody waits for somebody else's events. Lines are kept in memory, with
little more than an id for each event; payloads are read when their turn comes, unless there was room to remember them.
"""

import asyncio
import heapq
import logging
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Final, Protocol

from lamella.awsapi.context import new_request_id
from lamella.domain.errors import ApiError
from lamella.domain.event import (
    FINISHED,
    STEPS_KEPT,
    AcceptedEvent,
    EventRecord,
    Response,
    RetryPolicy,
    Stage,
    Step,
    Target,
    accepted,
)
from lamella.domain.function import LATEST, FunctionKey, FunctionVersion
from lamella.domain.invocation import Invocation, Outcome
from lamella.domain.names import FunctionReference
from lamella.domain.quotas import ASYNCHRONOUS_PAYLOAD
from lamella.domain.tenancy import isolates_tenants
from lamella.invoke.outcomes import error_message, message
from lamella.invoke.router import BusyError, DeletedError, EnvironmentFailedError
from lamella.invoke.targets import NotReadyError
from lamella.invoke.tasks import Tasks
from lamella.lifecycle.retry import (
    Begun,
    FunctionFailed,
    FunctionGone,
    Interrupted,
    NeverAllowed,
    Refused,
    RetryEvent,
    Succeeded,
    TargetsTried,
    advance,
)
from lamella.ports.clock import Clock
from lamella.ports.destinations import DeliveryError, Destinations
from lamella.ports.queue import EventQueue
from lamella.ports.runtimes import RuntimeNotInstalledError

_log = logging.getLogger(__name__)

_DELIVERIES: Final = 16
_LOOK_AGAIN_S: Final = 0.5
"""A line whose function has no concurrency left is looked at this often: nobody says when others leave some."""
_SLEEP_MAX_S: Final = 60.0  # clocks are set
_REMEMBERED_BYTES: Final = 32 * 1024 * 1024
_RETRY_STORE_S: Final = 5.0

Config = Mapping[str, Any]  # JSON of a `FunctionEventInvokeConfig`


class Runner(Protocol):
    """What runs functions: the router."""

    def room(self, key: FunctionKey) -> int | None:
        """How many more invocations of a function may begin now; `None` if it is not allowed any, ever."""

    async def resolve(self, key: FunctionKey, qualifier: str | None) -> FunctionVersion | None:
        """The version that a qualifier means, or `None`. Raises `NotReadyError`."""

    async def invoke(
        self, version: FunctionVersion, invocation: Invocation, *, want_tail: bool, synchronous: bool
    ) -> Outcome:
        """Run one invocation to its end. Raises what `Router.invoke` does."""


@dataclass(frozen=True, slots=True)
class _Ticket:
    """An event in a line."""

    request_id: str
    qualifier: str | None
    accepted_s: float


@dataclass(slots=True, eq=False)
class _Line:
    """Events that are due, or will be, in that order; of one function, or all that are to be delivered.

    Attributes:
        active: Tasks that are at work on an event of it.
        entering: Those of them that have not yet called the function, so that it does not know of them.
    """

    key: FunctionKey | None
    most: int
    waiting: list[tuple[float, int, _Ticket]] = field(default_factory=list)
    active: int = 0
    entering: int = 0
    timer: asyncio.TimerHandle | None = None


class Dispatcher:
    """The asynchronous invocations of one node.

    Args:
        queue: What survives.
        runner: Runs functions.
        destinations: Other than functions.
        clock: Tells the time.
        concurrency: Events of one function that are run at once, whatever its own limit is.
        scale: All waits and ages are multiplied by it.
    """

    def __init__(
        self,
        queue: EventQueue,
        runner: Runner,
        destinations: Destinations,
        clock: Clock,
        *,
        concurrency: int,
        scale: float = 1.0,
    ) -> None:
        self._queue = queue
        self._runner = runner
        self._destinations = destinations
        self._clock = clock
        self._concurrency: Final = concurrency
        self._scale: Final = scale
        self._loop = asyncio.get_running_loop()
        self._tasks = Tasks()
        self._lines: dict[FunctionKey, _Line] = {}
        self._deliveries = _Line(None, _DELIVERIES)
        self._sequence = count()  # what is due at once keeps its order
        self._configs: dict[tuple[FunctionKey, str], Config] = {}
        self._remembered: dict[str, EventRecord] = {}
        self._remembered_bytes = 0
        self._running = False

    async def load(self, configs: Mapping[tuple[FunctionKey, str], Config]) -> None:
        """Take up what an earlier server has left; before any event is accepted."""
        self._configs.update(configs)
        left = await self._queue.unfinished()
        for request_id, key, progress in left:
            ticket = _Ticket(request_id, None, progress.accepted_s)
            if progress.stage is Stage.DELIVERING:
                self._put(self._deliveries, ticket, progress.due_s)
            else:
                # What was running is due now, as the server that ran it is gone.
                due_s = progress.due_s if progress.stage is Stage.WAITING else 0.0
                self._put(self._line(key), ticket, due_s)
        if left:
            _log.info("%d events were left by an earlier server, and are taken up", len(left))

    def start(self) -> None:
        """Begin to run events."""
        self._running = True
        for line in (*self._lines.values(), self._deliveries):
            self._pump(line)

    def stop(self) -> None:
        """Begin nothing new. Events are still accepted, for the next server."""
        self._running = False

    async def close(self, *, grace_s: float) -> None:
        """Let what runs end for `grace_s` at most, and leave the rest to the next server."""
        self.stop()
        for line in (*self._lines.values(), self._deliveries):
            if line.timer is not None:
                line.timer.cancel()
        try:
            async with asyncio.timeout(grace_s):
                await self._tasks.wait_idle()
        except TimeoutError:
            _log.warning("events that are running are left for the next start")
        await self._tasks.close()

    async def accept(self, event: AcceptedEvent) -> None:
        """Keep an event, and run it as soon as possible. It is stored when this returns.

        Raises:
            UnavailableError: It is not known to be stored.
        """
        await self._queue.put(event)
        self._remember(accepted(event))
        line = self._line(event.key)
        self._put(line, _Ticket(event.request_id, event.qualifier, event.accepted_s), event.accepted_s)
        self._pump(line)

    def event_config_changed(self, key: FunctionKey, qualifier: str, config: Config | None) -> None:
        """What is configured for a qualifier of a function is this from now on."""
        if config is None:
            self._configs.pop((key, qualifier), None)
        else:
            self._configs[key, qualifier] = config

    def function_deleted(self, key: FunctionKey, version: str | None) -> None:
        """With the function its events go; those of a version alone are found to be without one at their next turn."""
        for place in [place for place in self._configs if place[0] == key and version in (None, place[1])]:
            del self._configs[place]
        if version is not None:
            return
        line = self._lines.pop(key, None)
        if line is not None:
            for _, _, ticket in line.waiting:
                self._forget(ticket.request_id)
            line.waiting.clear()
            if line.timer is not None:
                line.timer.cancel()
        self._tasks.start(self._drop(key), name=f"drop the events of {key.name}")

    async def _drop(self, key: FunctionKey) -> None:
        dropped = await self._queue.drop(key, now_s=self._now_s())
        if dropped:
            _log.warning("%s was deleted; %d events that it had not run are dropped", key.arn(), dropped)

    # Lines

    def _line(self, key: FunctionKey) -> _Line:
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line(key, self._concurrency)
        return line

    def _put(self, line: _Line, ticket: _Ticket, due_s: float) -> None:
        heapq.heappush(line.waiting, (due_s, next(self._sequence), ticket))

    def _pump(self, line: _Line) -> None:
        """Begin what is due, as far as there is room; and come again when there may be more to do."""
        if line.timer is not None:
            line.timer.cancel()
            line.timer = None
        if not self._running:
            return
        now_s = self._now_s()
        while line.waiting and line.active < line.most and line.waiting[0][0] <= now_s:
            if not self._has_room(line):
                self._begin_expired(line, now_s)
                line.timer = self._loop.call_later(_LOOK_AGAIN_S, self._pump, line)
                return
            self._begin(line, heapq.heappop(line.waiting)[2])
        if line.waiting and line.active < line.most:
            pause_s = min(max(0.0, line.waiting[0][0] - now_s), _SLEEP_MAX_S)
            line.timer = self._loop.call_later(pause_s, self._pump, line)
        elif not line.waiting and not line.active and line.key is not None and self._lines.get(line.key) is line:
            del self._lines[line.key]

    def _has_room(self, line: _Line) -> bool:
        if line.key is None:
            return True
        room = self._runner.room(line.key)
        return room is None or room > line.entering

    def _begin_expired(self, line: _Line, now_s: float) -> None:
        """Events that are too old are told so though their function has no concurrency left."""
        key = line.key
        assert key is not None
        expired = [
            entry
            for entry in line.waiting
            if entry[2].accepted_s + self._policy(key, entry[2].qualifier, None).max_age_s * self._scale <= now_s
        ][: line.most - line.active]
        for entry in expired:
            line.waiting.remove(entry)
            self._begin(line, entry[2])
        if expired:
            heapq.heapify(line.waiting)

    def _begin(self, line: _Line, ticket: _Ticket) -> None:
        line.active += 1
        if line.key is None:
            work = self._deliver(ticket)
        else:
            line.entering += 1
            work = self._run(line, ticket)
        self._tasks.start(self._guarded(line, ticket, work), name=f"event {ticket.request_id}")

    async def _guarded(self, line: _Line, ticket: _Ticket, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:  # noqa: BLE001  # the boundary of a task that serves nobody: the event is tried again
            _log.exception("event %s could not be worked on, and waits", ticket.request_id)
            self._put(line, ticket, self._now_s() + _RETRY_STORE_S)
        finally:
            line.active -= 1
            self._pump(line)

    # One event

    async def _run(self, line: _Line, ticket: _Ticket) -> None:
        entering = _Once(line)
        try:
            record = await self._take(ticket)
            if record is None or record.progress.stage in FINISHED:
                return
            event = record.event
            if record.progress.stage is Stage.RUNNING:
                record = self._ended(record, "interrupted", "", Interrupted(), RetryPolicy())
            try:
                version = await self._runner.resolve(event.key, event.qualifier)
            except NotReadyError as error:
                policy = self._policy(event.key, event.qualifier, None)
                text = f"the function is {error.state}"
                await self._settle(line, self._tried(record, "throttled", text, Refused(), policy))
                return
            if version is None:
                await self._settle(line, self._advanced(record, FunctionGone(), RetryPolicy()))
                return
            policy = self._policy(event.key, event.qualifier, version)
            if self._runner.room(event.key) is None:
                await self._settle(line, self._tried(record, "throttled", "no concurrency", NeverAllowed(), policy))
                return
            record = self._advanced(record, Begun(), policy)
            if record.progress.stage is Stage.RUNNING:
                record = self._with_step(record, Step(self._now_s(), None, "invoke", "running"))
                await self._queue.save(record)
                record = await self._invoke(record, version, policy, entering)
            await self._settle(line, record)
        finally:
            entering.leave()

    async def _invoke(
        self, record: EventRecord, version: FunctionVersion, policy: RetryPolicy, entering: "_Once"
    ) -> EventRecord:
        """One attempt."""
        entering.leave()  # the router counts it from here on, as nothing is waited for in between
        try:
            outcome = await self._runner.invoke(version, record.event.invocation(), want_tail=False, synchronous=False)
        except BusyError as error:
            return self._ended(record, "throttled", error.reason.value, Refused(), policy)
        except DeletedError:
            return self._ended(record, "interrupted", "the version was deleted", Interrupted(), policy)
        except (EnvironmentFailedError, RuntimeNotInstalledError) as error:
            return self._ended(record, "fault", str(error), Refused(), policy)
        response = Response(outcome.payload, outcome.function_error, version.version)
        record = replace(record, response=response)
        if outcome.function_error is None:
            return self._ended(record, "succeeded", "", Succeeded(), policy)
        return self._ended(record, "function error", error_message(response), FunctionFailed(), policy)

    async def _settle(self, line: _Line, record: EventRecord) -> None:
        """Store what has become of an event, and see to what comes next."""
        event, progress = record.event, record.progress
        await self._queue.save(record)
        ticket = _Ticket(event.request_id, event.qualifier, event.accepted_s)
        match progress.stage:
            case Stage.WAITING:
                if line.key is None or self._lines.get(line.key) is line:  # else its function is gone
                    self._remember(record)
                    self._put(line, ticket, progress.due_s)
            case Stage.DELIVERING:
                self._remember(record)
                self._put(self._deliveries, ticket, progress.due_s)
                self._pump(self._deliveries)
            case Stage.FAILED if line is not self._deliveries:  # so nobody was to be told
                _log.warning(
                    "an event of %s has failed: %s after %d attempts",
                    event.key.arn(event.qualifier),
                    progress.condition,
                    progress.attempts,
                    extra={"request_id": event.request_id},
                )
            case Stage.UNDELIVERED:
                _log.error(
                    "%s could not be told how an event of %s ended; 'lamella events show %s' has what it was",
                    ", ".join(target.arn for target in progress.targets),
                    event.key.arn(event.qualifier),
                    event.request_id,
                )
            case Stage.DROPPED:
                _log.warning("%s is gone; an event is dropped", event.key.arn(event.qualifier))
            case _:
                pass

    async def _deliver(self, ticket: _Ticket) -> None:
        """Tell everybody who is still to be told."""
        record = await self._take(ticket)
        if record is None or record.progress.stage is not Stage.DELIVERING:
            return
        failed, hopeless = [], []
        for target in record.progress.targets:
            began_s, result, detail = self._now_s(), "delivered", ""
            try:
                await self._send(record, target)
            except DeliveryError as error:
                failed.append(target)
                if error.for_good:
                    hopeless.append(target)
                result, detail = "refused", str(error)
            action = f"deliver to {'dead-letter queue ' if target.dead_letter else ''}{target.arn}"
            record = self._with_step(record, Step(began_s, self._now_s(), action, result, detail))
        tried = TargetsTried(tuple(failed), tuple(hopeless))
        await self._settle(self._deliveries, self._advanced(record, tried, RetryPolicy()))

    async def _send(self, record: EventRecord, target: Target) -> None:
        told = message(record, target)
        if target.arn.split(":")[2:3] != ["lambda"]:
            await self._destinations.send(told)
            return
        key = record.event.key
        try:
            reference = FunctionReference.parse(target.arn, account=key.account, region=key.region)
        except ApiError as error:
            raise DeliveryError(f"{target.arn}: {error}") from error
        if len(told.body) > ASYNCHRONOUS_PAYLOAD.limit:
            text = f"{target.arn}: the record is larger than {ASYNCHRONOUS_PAYLOAD.limit} bytes"
            raise DeliveryError(text, for_good=True)
        try:
            known = await self._runner.resolve(reference.key, reference.qualifier)
        except NotReadyError as error:
            raise DeliveryError(f"{target.arn} is {error.state}") from error
        if known is None:
            raise DeliveryError(f"{target.arn}: there is no such function")
        if isolates_tenants(known.config):
            raise DeliveryError(f"{target.arn} isolates tenants, and a record is nobody's", for_good=True)
        trace_id = record.event.trace_id
        await self.accept(
            AcceptedEvent(
                new_request_id(), reference.key, reference.qualifier, self._now_s(), told.body, trace_id=trace_id
            )
        )

    # What is known of events

    async def _take(self, ticket: _Ticket) -> EventRecord | None:
        record = self._forget(ticket.request_id)
        return record if record is not None else await self._queue.get(ticket.request_id)

    def _remember(self, record: EventRecord) -> None:
        size = _size(record)
        if self._remembered_bytes + size <= _REMEMBERED_BYTES:
            self._remembered[record.event.request_id] = record
            self._remembered_bytes += size

    def _forget(self, request_id: str) -> EventRecord | None:
        record = self._remembered.pop(request_id, None)
        if record is not None:
            self._remembered_bytes -= _size(record)
        return record

    def _policy(self, key: FunctionKey, qualifier: str | None, version: FunctionVersion | None) -> RetryPolicy:
        dead_letter = "" if version is None else version.config.other.get("DeadLetterConfig", {}).get("TargetArn", "")
        return RetryPolicy.of(self._configs.get((key, qualifier or LATEST)), dead_letter)

    def _advanced(self, record: EventRecord, event: RetryEvent, policy: RetryPolicy) -> EventRecord:
        progress = advance(record.progress, event, policy, now_s=self._now_s(), scale=self._scale)
        return replace(record, progress=progress)

    def _ended(
        self, record: EventRecord, result: str, detail: str, event: RetryEvent, policy: RetryPolicy
    ) -> EventRecord:
        """The step that goes on has ended."""
        step = replace(record.steps[-1], ended_s=self._now_s(), result=result, detail=detail)
        return self._advanced(replace(record, steps=(*record.steps[:-1], step)), event, policy)

    def _tried(
        self, record: EventRecord, result: str, detail: str, event: RetryEvent, policy: RetryPolicy
    ) -> EventRecord:
        """A step that was over as soon as it began."""
        now_s = self._now_s()
        return self._advanced(self._with_step(record, Step(now_s, now_s, "invoke", result, detail)), event, policy)

    def _with_step(self, record: EventRecord, step: Step) -> EventRecord:
        return replace(record, steps=(*record.steps, step)[-STEPS_KEPT:])

    def _now_s(self) -> float:
        return self._clock.now().timestamp()


class _Once:
    """Leaves the state of entering, and not twice."""

    __slots__ = ("_line",)

    def __init__(self, line: _Line) -> None:
        self._line: _Line | None = line

    def leave(self) -> None:
        if self._line is not None:
            self._line.entering -= 1
            self._line = None


def _size(record: EventRecord) -> int:
    return 1000 + len(record.event.payload) + (0 if record.response is None else len(record.response.payload))
