"""Takes messages from a queue, gathers them, and hands them to a function, for one mapping."""

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, Final

from lamella.domain.event_filter import Matcher, compile_pattern
from lamella.domain.mapping import EventSourceMapping
from lamella.domain.quotas import SYNCHRONOUS_PAYLOAD
from lamella.invoke.callee import Callee, dump
from lamella.invoke.sqs_events import failures, record, wanted
from lamella.invoke.tasks import Tasks, wait_set
from lamella.lifecycle.batching import RECEIVE_MOST, Batch
from lamella.lifecycle.queue_scaling import QueueScaling
from lamella.ports.aws import AwsError, AwsServices, AwsUnavailableError

_log = logging.getLogger(__name__)

_LONG_POLL_S: Final = 2
"""A mapping that is changed waits for the poll that is under way; AWS polls for 20 s, and takes longer to change."""
_GROUP_POLL_S: Final = 1.0
_LOOK_S: Final = 0.2
_PAUSE_S: Final = 1.0
_PAUSE_MAX_S: Final = 30.0
_EVENT_FRAME: Final = b'{"Records":[]}'


class QueuePoller:
    """Implements `lamella.invoke.mappings.Poller` for queues; `lifecycle.queue_scaling` says how many batches run."""

    def __init__(self, mapping: EventSourceMapping, aws: AwsServices, callee: Callee, tasks: Tasks) -> None:
        self._mapping = mapping
        self._aws = aws
        self._callee = callee
        self._tasks = tasks
        self._matchers: Sequence[Matcher] = [compile_pattern(text) for text in mapping.patterns]
        self._scaling = QueueScaling(fifo=mapping.fifo, maximum=mapping.concurrency, now_s=monotonic())
        self._freed = asyncio.Event()
        self._full: deque[list[dict[str, Any]]] = deque()
        self._url = ""
        self._batch = Batch(mapping.batch_size, mapping.window_s, SYNCHRONOUS_PAYLOAD.limit - len(_EVENT_FRAME))
        self._receiving: asyncio.Task[Mapping[str, Any]] | None = None
        self._running: asyncio.Task[Any] | None = None
        self._stopped = False

    async def prepare(self) -> None:
        """A queue keeps what nobody takes, so there is nothing to do."""

    def stop(self) -> None:
        """Take no more from the queue. What is with the function goes on."""
        self._stopped = True
        if self._running is not None:
            self._running.cancel()

    async def run(self) -> None:
        """Until it is stopped. What the queue or the network does wrong is waited out."""
        if self._stopped:
            return
        self._running = asyncio.current_task()
        try:
            await self._work()
        except asyncio.CancelledError:
            await self._give_back()
            raise

    async def _work(self) -> None:
        pause_s = _PAUSE_S
        while True:
            # No message is taken from the queue before there is a function to take it: it would only grow old.
            await self._wait_room()
            try:
                records = await self._gather()
            except (AwsError, AwsUnavailableError) as error:
                _log.warning("queue %s cannot be polled: %s", self._mapping.source_arn, error)
                self._url = ""
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _PAUSE_MAX_S)
                continue
            pause_s = _PAUSE_S
            self._scaling.begun(_groups(records), now_s=monotonic())
            self._tasks.start(self._deliver(records), name=f"deliver for mapping {self._mapping.uuid}")

    async def _wait_room(self) -> None:
        while not self._scaling.room:
            self._freed.clear()
            await wait_set(self._freed, _LOOK_S)
            self._scaling.waited(now_s=monotonic())

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
            received = await self._receive(batch.wanted, int(min(left_s, _LONG_POLL_S)))
            if not received:
                self._scaling.found_nothing(now_s=monotonic())
                await self._wait_for_group()
            for made in received:
                if full := batch.add(made, len(dump(made)) + 1, now_s=monotonic()):
                    self._full.append(full)

    async def _wait_for_group(self) -> None:
        """What is left in a FIFO queue may be of groups that are being worked on, and a poll does not learn of them."""
        if self._mapping.fifo and self._scaling.in_flight:
            self._freed.clear()
            await wait_set(self._freed, _GROUP_POLL_S)

    async def _receive(self, most: int, wait_s: int) -> list[dict[str, Any]]:
        """Records of messages that the filters let through; the others are deleted, as AWS does."""
        if not self._url:
            queue = {"QueueName": self._mapping.queue_name, "QueueOwnerAWSAccountId": self._mapping.queue_owner}
            self._url = str((await self._call("GetQueueUrl", queue))["QueueUrl"])
        parameters = {
            "QueueUrl": self._url,
            "MaxNumberOfMessages": min(most, RECEIVE_MOST),
            "WaitTimeSeconds": 0 if self._mapping.fifo and self._scaling.in_flight else wait_s,
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
        refused = False
        try:
            arn = self._mapping.function_arn
            version = await self._callee.find(arn)
            outcome = None
            if version is not None:
                outcome = await self._callee.call(version, arn, dump({"Records": records}), str(uuid.uuid4()))
            refused = outcome is None
            if outcome is None or outcome.function_error is not None:
                return  # they become visible again in their time
            failed: frozenset[str] = frozenset()
            if self._mapping.partial_failures:
                failed = failures(outcome.payload, frozenset(made["messageId"] for made in records))
            await self._delete([made for made in records if made["messageId"] not in failed])
        except (AwsError, AwsUnavailableError) as error:
            _log.warning("messages of %s cannot be deleted, and come again: %s", self._mapping.source_arn, error)
        finally:
            self._scaling.ended(_groups(records), refused=refused)
            self._freed.set()

    async def _delete(self, records: list[dict[str, Any]]) -> None:
        for start in range(0, len(records), RECEIVE_MOST):
            some = records[start : start + RECEIVE_MOST]
            entries = [{"Id": str(i), "ReceiptHandle": made["receiptHandle"]} for i, made in enumerate(some)]
            await self._call("DeleteMessageBatch", {"QueueUrl": self._url, "Entries": entries})

    async def _call(self, operation: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        mapping = self._mapping
        return await self._aws.call("sqs", operation, parameters, account=mapping.account, region=mapping.region)


def _groups(records: Sequence[Mapping[str, Any]]) -> set[str]:
    """Of a FIFO queue; of another queue there are none."""
    groups = (made["attributes"].get("MessageGroupId") for made in records)
    return {group for group in groups if group is not None}
