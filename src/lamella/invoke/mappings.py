"""Event source mappings of a node: one poller for each queue that a function is to be given messages of."""

import asyncio
import json
import logging
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from time import monotonic
from typing import Any, Final

from lamella.domain.event_filter import Matcher, compile_pattern
from lamella.domain.invocation import Invocation, Outcome
from lamella.domain.mapping import DELETING, ENABLED, KIND, SETTLED, EventSourceMapping
from lamella.domain.names import FunctionReference
from lamella.domain.quotas import SYNCHRONOUS_PAYLOAD
from lamella.invoke.router import BusyError, DeletedError, EnvironmentFailedError, Router
from lamella.invoke.service import new_trace_id
from lamella.invoke.sqs_events import failures, record, wanted
from lamella.invoke.targets import NotReadyError
from lamella.invoke.tasks import Tasks
from lamella.lifecycle.batching import RECEIVE_MOST, Batch
from lamella.ports.aws import AwsError, AwsServices, AwsUnavailableError
from lamella.ports.errors import UnavailableError
from lamella.ports.records import AccountRecordStore, Document
from lamella.ports.runtimes import RuntimeNotInstalledError

_log = logging.getLogger(__name__)

_LONG_POLL_S: Final = 5
"""A mapping that is changed waits for the poll that is under way; AWS polls for 20 s, and takes longer to change."""
_PAUSE_S: Final = 1.0
_PAUSE_MAX_S: Final = 30.0
_CONCURRENCY: Final = 5
"""Batches that are with the function at once where the mapping does not say. AWS begins with five and goes up from
there; we do not. Source: Lambda developer guide, "Configuring scaling behavior for SQS event source mappings"."""
_EVENT_FRAME: Final = b'{"Records":[]}'

Run = Callable[[str, bytes, str], Awaitable[Outcome | None]]
"""Invokes a function, by ARN, with an event and a request id; `None` if it cannot be invoked now."""


class Mappings:
    """Implements `lamella.ports.mappings.MappingObserver`; owns the pollers.

    Args:
        records: Where the mappings are.
        aws: Where the queues are.
        run: Invokes functions.
        delay_s: How long a caller can see that a change is under way.
    """

    def __init__(self, records: AccountRecordStore, aws: AwsServices, run: Run, *, delay_s: float) -> None:
        self._records = records
        self._aws = aws
        self._run = run
        self._delay_s = delay_s
        self._tasks = Tasks()
        self._pollers: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Go on with what is stored; what a crash interrupted is settled."""
        for row in await self._records.every(KIND):
            mapping = EventSourceMapping.from_document(row.document)
            if mapping.state in SETTLED:
                self._poll(mapping)
            else:
                self.mapping_changed(mapping)

    def mapping_changed(self, mapping: EventSourceMapping) -> None:
        """See the port."""
        self._tasks.start(self._settle(mapping), name=f"settle mapping {mapping.uuid}")

    async def close(self, *, grace_s: float) -> None:
        """Stop polling. Batches that are with a function may end within the grace; then their messages come again."""
        for poller in self._pollers.values():
            poller.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._tasks.wait_idle()
        await self._tasks.close()

    async def _settle(self, mapping: EventSourceMapping) -> None:
        await self._stop(mapping.uuid)
        await asyncio.sleep(self._delay_s)
        place = (mapping.account, mapping.region, KIND, mapping.uuid)
        while True:
            try:
                if mapping.state == DELETING:
                    await self._records.delete(*place)
                    return
                stored = await self._records.change(*place, _settled)
            except UnavailableError:
                _log.exception("mapping %s cannot be settled yet", mapping.uuid)
                await asyncio.sleep(_PAUSE_S)
                continue
            if stored is not None:
                self._poll(EventSourceMapping.from_document(stored))
            return

    async def _stop(self, mapping: str) -> None:
        poller = self._pollers.pop(mapping, None)
        if poller is not None:
            poller.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.wait({poller})

    def _poll(self, mapping: EventSourceMapping) -> None:
        if mapping.state == ENABLED:
            poller = _Poller(mapping, self._aws, self._run, self._tasks)
            self._pollers[mapping.uuid] = self._tasks.start(poller.run(), name=f"poll for mapping {mapping.uuid}")


def _settled(document: Document | None) -> Document | None:
    if document is None:
        return None
    mapping = EventSourceMapping.from_document(document)
    return replace(mapping, state=mapping.next_state).document()


class _Poller:
    """Receives, gathers, and hands over, for one mapping; how many batches it hands over at once is bounded."""

    def __init__(self, mapping: EventSourceMapping, aws: AwsServices, run: Run, tasks: Tasks) -> None:
        self._mapping = mapping
        self._aws = aws
        self._run = run
        self._tasks = tasks
        self._matchers: Sequence[Matcher] = [compile_pattern(text) for text in mapping.patterns]
        self._room = asyncio.Semaphore(mapping.concurrency or _CONCURRENCY)
        self._full: deque[list[dict[str, Any]]] = deque()
        self._url = ""
        self._batch = Batch(mapping.batch_size, mapping.window_s, SYNCHRONOUS_PAYLOAD.limit - len(_EVENT_FRAME))
        self._receiving: asyncio.Task[Mapping[str, Any]] | None = None

    async def run(self) -> None:
        """Until cancelled. What the queue or the network does wrong is waited out."""
        try:
            await self._work()
        except asyncio.CancelledError:
            await self._give_back()
            raise

    async def _work(self) -> None:
        pause_s = _PAUSE_S
        while True:
            # No message is taken from the queue before there is a function to take it: it would only grow old.
            await self._room.acquire()
            try:
                records = await self._gather()
            except (AwsError, AwsUnavailableError) as error:
                self._room.release()
                _log.warning("queue %s cannot be polled: %s", self._mapping.source_arn, error)
                self._url = ""
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _PAUSE_MAX_S)
                continue
            except BaseException:
                self._room.release()
                raise
            pause_s = _PAUSE_S
            self._tasks.start(self._deliver(records), name=f"deliver for mapping {self._mapping.uuid}")

    async def _gather(self) -> list[dict[str, Any]]:
        """The next batch, however long that takes."""
        batch = self._batch
        while True:
            if self._full:
                return self._full.popleft()
            now_s = monotonic()
            if batch.due(now_s=now_s):
                return batch.take()
            left_s = batch.deadline_s - now_s
            if left_s < 1:  # the queue waits for whole seconds only
                await asyncio.sleep(left_s)
                return batch.take()
            for made in await self._receive(batch.wanted, int(min(left_s, _LONG_POLL_S))):
                if full := batch.add(made, len(_dump(made)) + 1, now_s=monotonic()):
                    self._full.append(full)

    async def _receive(self, most: int, wait_s: int) -> list[dict[str, Any]]:
        """Records of messages that the filters let through; the others are deleted, as AWS does."""
        if not self._url:
            queue = {"QueueName": self._mapping.queue_name, "QueueOwnerAWSAccountId": self._mapping.queue_owner}
            self._url = str((await self._call("GetQueueUrl", queue))["QueueUrl"])
        parameters = {
            "QueueUrl": self._url,
            "MaxNumberOfMessages": min(most, RECEIVE_MOST),
            "WaitTimeSeconds": wait_s,
            "MessageAttributeNames": ["All"],
            "MessageSystemAttributeNames": ["All"],
        }
        # Not within this task: a poll that is broken off may take messages from the queue for nobody.
        self._receiving = asyncio.create_task(self._call("ReceiveMessage", parameters), name="receive")
        answer = await asyncio.shield(self._receiving)
        self._receiving = None
        records = [record(message, self._mapping) for message in answer.get("Messages", ())]
        let_through = [made for made in records if wanted(made, self._matchers)]
        await self._delete([made for made in records if made not in let_through])
        return let_through

    async def _give_back(self) -> None:
        """Let others see at once what was received and not handed over."""
        handles = [made["receiptHandle"] for full in (*self._full, self._batch.take()) for made in full]
        with suppress(AwsError, AwsUnavailableError):
            if self._receiving is not None:
                handles += [message["ReceiptHandle"] for message in (await self._receiving).get("Messages", ())]
            for start in range(0, len(handles), RECEIVE_MOST):
                some = handles[start : start + RECEIVE_MOST]
                entries = [{"Id": str(i), "ReceiptHandle": one, "VisibilityTimeout": 0} for i, one in enumerate(some)]
                await self._call("ChangeMessageVisibilityBatch", {"QueueUrl": self._url, "Entries": entries})

    async def _deliver(self, records: list[dict[str, Any]]) -> None:
        try:
            request_id = str(uuid.uuid4())
            outcome = await self._run(self._mapping.function_arn, _dump({"Records": records}), request_id)
            if outcome is None or outcome.function_error is not None:
                return  # they become visible again in their time
            failed: frozenset[str] = frozenset()
            if self._mapping.partial_failures:
                failed = failures(outcome.payload, frozenset(made["messageId"] for made in records))
            await self._delete([made for made in records if made["messageId"] not in failed])
        except (AwsError, AwsUnavailableError) as error:
            _log.warning("messages of %s cannot be deleted, and come again: %s", self._mapping.source_arn, error)
        finally:
            self._room.release()

    async def _delete(self, records: list[dict[str, Any]]) -> None:
        for start in range(0, len(records), RECEIVE_MOST):
            some = records[start : start + RECEIVE_MOST]
            entries = [{"Id": str(i), "ReceiptHandle": made["receiptHandle"]} for i, made in enumerate(some)]
            await self._call("DeleteMessageBatch", {"QueueUrl": self._url, "Entries": entries})

    async def _call(self, operation: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        mapping = self._mapping
        return await self._aws.call("sqs", operation, parameters, account=mapping.account, region=mapping.region)


def _dump(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def runner(router: Router) -> Run:
    """Invokes functions through the router."""

    async def run(arn: str, event: bytes, request_id: str) -> Outcome | None:
        _, _, _, region, account, *_ = arn.split(":")
        reference = FunctionReference.parse(arn, account=account, region=region)
        try:
            version = await router.resolve(reference.key, reference.qualifier)
            if version is None:
                return None
            invocation = Invocation(request_id, event, "application/json", arn, new_trace_id())
            return await router.invoke(version, invocation, want_tail=False)
        except (BusyError, DeletedError, EnvironmentFailedError, NotReadyError, RuntimeNotInstalledError) as error:
            _log.info("messages for %s come again later: %s", arn, error)
            return None

    return run
