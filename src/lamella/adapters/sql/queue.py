"""Events in a database, written in groups: whoever comes while a commit is under way shares the next one.

A commit is a wait for the disk, and costs the same for one event as for hundreds. One batch is written at a time, so
what was asked for first is written first.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    null,
    select,
    update,
)

from lamella.adapters.sql.database import Database
from lamella.adapters.sql.schema import events
from lamella.domain.event import (
    FINISHED,
    AcceptedEvent,
    Condition,
    EventRecord,
    Progress,
    Response,
    Stage,
    Step,
    Target,
    accepted,
)
from lamella.domain.function import FunctionKey

HISTORY: Final = 10_000
"""Finished events that are remembered."""

_PRUNE_EVERY: Final = 1000
_TO_RUN: Final = (Stage.WAITING.value, Stage.RUNNING.value)
_UNFINISHED: Final = (*_TO_RUN, Stage.DELIVERING.value)

_Row = dict[str, Any]  # Any: parameters of a statement

_SAVE: Final = (
    update(events)
    # A function's events end with it, whatever somebody who is still at work on one has to say.
    .where(events.c.request_id == bindparam("its_id"), events.c.finished_ms.is_(None))
    .values(
        stage=bindparam("its_stage"),
        finished_ms=bindparam("its_finished_ms"),
        progress=bindparam("its_progress"),
        steps=bindparam("its_steps"),
        response=bindparam("its_response"),
        payload=case((bindparam("its_payload_goes"), b""), else_=events.c.payload),
    )
)
_LISTED: Final = tuple(column for column in events.c if column.name not in {"payload", "response"})


class _Batch:
    """What the next commit holds."""

    def __init__(self, done: asyncio.Future[None]) -> None:
        self.done: Final = done
        self.inserts: Final[list[_Row]] = []
        self.updates: Final[list[_Row]] = []


class SqlEventQueue:
    """Implements `lamella.ports.queue.EventQueue`.

    Args:
        database: Where.
        history: Finished events that are remembered; a few more, as they are cleared away now and then.
    """

    def __init__(self, database: Database, *, history: int = HISTORY) -> None:
        self._database = database
        self._history: Final = history
        self._open: _Batch | None = None
        self._writer: asyncio.Task[None] | None = None
        self._finished = 0  # since the history was last cut

    async def close(self) -> None:
        """Wait until everything that was asked for is written."""
        while self._writer is not None:
            await asyncio.wait((self._writer,))

    async def put(self, event: AcceptedEvent) -> None:
        """See the port."""
        batch = self._batch()
        batch.inserts.append(_new_row(accepted(event)))
        # Shielded: who goes away must not take the others' commit along.
        await asyncio.shield(batch.done)

    async def save(self, record: EventRecord) -> None:
        """See the port."""
        batch = self._batch()
        batch.updates.append(_changes(record))
        await asyncio.shield(batch.done)

    async def get(self, request_id: str) -> EventRecord | None:
        """See the port."""
        statement = select(events).where(events.c.request_id == request_id)
        row = await self._database.read(lambda connection: connection.execute(statement).mappings().one_or_none())
        return None if row is None else _load(row, row["payload"], row["response"])

    async def unfinished(self) -> Sequence[tuple[str, FunctionKey, Progress]]:
        """See the port."""
        columns = (events.c.request_id, events.c.account, events.c.region, events.c.name)
        statement = (
            select(*columns, events.c.progress, events.c.stage)
            .where(events.c.stage.in_(_UNFINISHED))
            .order_by(events.c.accepted_ms, events.c.request_id)
        )
        rows = await self._database.read(lambda connection: connection.execute(statement).mappings().all())
        return [(row["request_id"], _key(row), _progress(row)) for row in rows]

    async def drop(self, key: FunctionKey, *, now_s: float) -> int:
        """See the port."""
        statement = (
            update(events)
            .where(_of(key.account, key.region, key.name), events.c.stage.in_(_TO_RUN))
            .values(stage=Stage.DROPPED.value, finished_ms=round(now_s * 1000), payload=b"", response=null())
        )
        return await self._database.write(lambda connection: connection.execute(statement).rowcount)

    async def list(
        self, account: str, region: str, *, limit: int, name: str | None = None, stage: Stage | None = None
    ) -> Sequence[EventRecord]:
        """See the port."""
        statement = select(*_LISTED).where(_of(account, region, name))
        if stage is not None:
            statement = statement.where(events.c.stage == stage.value)
        statement = statement.order_by(events.c.accepted_ms.desc(), events.c.request_id.desc()).limit(limit)
        rows = await self._database.read(lambda connection: connection.execute(statement).mappings().all())
        return [_load(row, b"", None) for row in rows]

    async def counts(self, account: str, region: str, *, name: str | None = None) -> Mapping[Stage, int]:
        """See the port."""
        statement = select(events.c.stage, func.count()).where(_of(account, region, name)).group_by(events.c.stage)
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return {Stage(stage): int(count) for stage, count in rows}

    def _batch(self) -> _Batch:
        if self._open is None:
            self._open = _Batch(asyncio.get_running_loop().create_future())
            if self._writer is None:
                self._writer = asyncio.create_task(self._write(), name="write events")
        return self._open

    async def _write(self) -> None:
        try:
            while self._open is not None:
                batch, self._open = self._open, None
                try:
                    await self._database.write(partial(self._write_batch, batch))
                except Exception as error:  # noqa: BLE001  # whoever waits for the batch is told
                    batch.done.set_exception(error)
                else:
                    batch.done.set_result(None)
        finally:
            self._writer = None

    def _write_batch(self, batch: _Batch, connection: Connection) -> None:
        if batch.inserts:
            connection.execute(insert(events), batch.inserts)
        if batch.updates:
            connection.execute(_SAVE, batch.updates)
            self._finished += sum(row["its_finished_ms"] is not None for row in batch.updates)
            if self._finished >= min(_PRUNE_EVERY, self._history):
                self._finished = 0
                self._prune(connection)

    def _prune(self, connection: Connection) -> None:
        oldest = (
            select(events.c.finished_ms)
            .where(events.c.finished_ms.is_not(None))
            .order_by(events.c.finished_ms.desc())
            .offset(self._history)
            .limit(1)
        )
        last_ms = connection.execute(oldest).scalar_one_or_none()
        if last_ms is not None:
            connection.execute(delete(events).where(events.c.finished_ms <= last_ms))


def _of(account: str, region: str, name: str | None) -> ColumnElement[bool]:
    where = and_(events.c.account == account, events.c.region == region)
    return where if name is None else and_(where, events.c.name == name)


def _new_row(record: EventRecord) -> _Row:
    event = record.event
    return {
        "request_id": event.request_id,
        "account": event.key.account,
        "region": event.key.region,
        "name": event.key.name,
        "stage": record.progress.stage.value,
        "accepted_ms": round(event.accepted_s * 1000),
        "finished_ms": None,
        "envelope": {
            "qualifier": event.qualifier,
            "content_type": event.content_type,
            "trace_id": event.trace_id,
            "client_context": event.client_context,
            "tenant_id": event.tenant_id,
        },
        "progress": _dump_progress(record.progress, None),
        "steps": [],
        "payload": event.payload,
        "response": None,
    }


def _changes(record: EventRecord) -> _Row:
    progress, response = record.progress, record.response
    finished = progress.stage in FINISHED
    cleared = finished and progress.stage is not Stage.UNDELIVERED
    ended_s = max((step.ended_s or step.began_s for step in record.steps), default=progress.accepted_s)
    return {
        "its_id": record.event.request_id,
        "its_stage": progress.stage.value,
        "its_finished_ms": round(ended_s * 1000) if finished else None,
        "its_progress": _dump_progress(progress, response),
        "its_steps": [asdict(step) for step in record.steps],
        "its_response": None if response is None or cleared else response.payload,
        "its_payload_goes": cleared,
    }


def _dump_progress(progress: Progress, response: Response | None) -> dict[str, Any]:  # Any: JSON
    return {
        "accepted_s": progress.accepted_s,
        "due_s": progress.due_s,
        "attempts": progress.attempts,
        "setbacks": progress.setbacks,
        "condition": progress.condition,
        "decided_s": progress.decided_s,
        "targets": [[target.arn, target.dead_letter] for target in progress.targets],
        "response": None if response is None else [response.error, response.executed_version],
    }


def _progress(row: RowMapping) -> Progress:
    document = row["progress"]
    condition = document["condition"]
    return Progress(
        accepted_s=document["accepted_s"],
        due_s=document["due_s"],
        stage=Stage(row["stage"]),
        attempts=document["attempts"],
        setbacks=document["setbacks"],
        condition=None if condition is None else Condition(condition),
        decided_s=document["decided_s"],
        targets=tuple(Target(arn, dead_letter) for arn, dead_letter in document["targets"]),
    )


def _load(row: RowMapping, payload: bytes, response: bytes | None) -> EventRecord:
    envelope, answered = row["envelope"], row["progress"]["response"]
    progress = _progress(row)
    return EventRecord(
        AcceptedEvent(
            request_id=row["request_id"],
            key=_key(row),
            qualifier=envelope["qualifier"],
            accepted_s=progress.accepted_s,
            payload=payload,
            content_type=envelope["content_type"],
            trace_id=envelope["trace_id"],
            client_context=envelope["client_context"],
            tenant_id=envelope.get("tenant_id", ""),
        ),
        progress,
        None if answered is None else Response(response or b"", answered[0], answered[1]),
        tuple(Step(**step) for step in row["steps"]),
    )


def _key(row: RowMapping) -> FunctionKey:
    return FunctionKey(row["account"], row["region"], row["name"])
