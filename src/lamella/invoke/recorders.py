"""The flight recorders of a node: made, found again, kept small, and written to disk when something has failed."""

import asyncio
import heapq
import json
import logging
import re
import time
from collections import OrderedDict, deque
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final

from lamella.domain.function import FunctionKey
from lamella.invoke.recorder import FlightRecorder, NoRecorder, Recorder
from lamella.invoke.tasks import Tasks
from lamella.invoke.timeline import Record, document, iso
from lamella.ports.traces import TraceStore

_log = logging.getLogger(__name__)

ENDED_ENVIRONMENTS: Final = 20
"""How many environments are remembered after their end."""
_BURST: Final = 5
_REFILL_S: Final = 60.0
"""Records of failures that are written for one function: some at once, then one a minute, so that a function which
always fails neither fills the disk nor drives out the records of others."""
_PENDING: Final = 8
"""Records of failures that wait for the disk at once; each may hold the largest payloads there are."""
_MANY_FUNCTIONS: Final = 1024
_LISTED: Final = 100
_STAMP: Final = "%Y%m%dT%H%M%S.%fZ"
_FILE: Final = re.compile(r"([0-9]{8}T[0-9]{6}\.[0-9]{6}Z)-([0-9a-f]+)-(.+)")
_SHRINK_EVERY_S: Final = 0.1


class Recorders:
    """The flight recorders of a node.

    Args:
        store: Keeps the records of failures; `None` if nothing is to be recorded at all.
    """

    def __init__(self, store: TraceStore | None) -> None:
        self._store = store
        self._live: dict[str, FlightRecorder] = {}
        self._ended: OrderedDict[str, FlightRecorder] = OrderedDict()
        self._heavy: deque[tuple[FlightRecorder, int]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks = Tasks()
        self._pending = 0
        self._budgets: OrderedDict[FunctionKey, tuple[float, float]] = OrderedDict()

    @property
    def enabled(self) -> bool:
        """Whether anything is recorded."""
        return self._store is not None

    def make(self, environment_id: str, key: FunctionKey, version: str, log_stream: str) -> Recorder:
        """A recorder for a new environment; to be told of its end."""
        if self._store is None:
            return NoRecorder()
        recorder = FlightRecorder(environment_id, key, version, log_stream, self)
        self._live[environment_id] = recorder
        return recorder

    async def recent(self) -> dict[str, Any]:  # Any: JSON
        """What there is to look at, newest first: `environments` that are remembered, `failures` that were written."""
        offset_s = time.time() - monotonic()
        newest = heapq.nlargest(_LISTED, [*self._live.values(), *self._ended.values()], key=lambda one: one.last_s)
        names = [] if self._store is None else await asyncio.to_thread(self._store.names)
        return {
            "environments": [_summary(recorder, offset_s) for recorder in newest],
            "failures": [failure for name in reversed(names) if (failure := _failure(name)) is not None],
        }

    async def find(self, name: str) -> bytes | None:
        """The document of an environment, or of the one that ran an invocation, as JSON.

        Args:
            name: Id of an environment, or of a request.

        Returns:
            As `timeline.document` makes it; `None` if nothing is known of it, or no longer.
        """
        recorder = self._live.get(name) or self._ended.get(name)
        if recorder is None:
            for number, one in enumerate([*self._live.values(), *reversed(self._ended.values())]):
                if name in one.request_ids():
                    recorder = one
                    break
                if number % 64 == 63:  # thousands of environments must not hold up the invocations
                    await asyncio.sleep(0)
        if recorder is not None:
            return await asyncio.to_thread(_rendered, recorder.record(now_s=monotonic(), wall_s=time.time()))
        return None if self._store is None else await asyncio.to_thread(_search, self._store, name)

    def heavy(self, recorder: FlightRecorder) -> None:
        """Have a record shrunk once its environment has nothing to do."""
        self._heavy.append((recorder, recorder.invocations))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_SHRINK_EVERY_S, self._shrink_one)

    def failed(self, recorder: FlightRecorder) -> None:
        """Write a record to disk, if its function has not had its share."""
        if self._store is None or not self._may_write(recorder.key):
            return
        name = f"{datetime.now(UTC):{_STAMP}}-{recorder.environment_id}-{recorder.key.name}"
        record = recorder.record(now_s=monotonic(), wall_s=time.time())
        self._pending += 1
        self._tasks.start(self._write(self._store, name, record), name=f"write trace {name}")

    def ended(self, recorder: FlightRecorder) -> None:
        """Remember the record for a while."""
        self._live.pop(recorder.environment_id, None)
        self._ended[recorder.environment_id] = recorder
        while len(self._ended) > ENDED_ENVIRONMENTS:
            self._ended.popitem(last=False)

    async def close(self) -> None:
        """Write what is still to be written, and stop."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self._tasks.wait_idle()

    def _shrink_one(self) -> None:
        """One at a time, so that many of them do not hold up the invocations of others."""
        recorder, invocations = self._heavy.popleft()
        # What a busy one holds has a bound of its own, and is soon gone anyhow.
        if recorder.invocations != invocations or not recorder.shrink():
            self._heavy.append((recorder, recorder.invocations))
        self._timer = None
        if self._heavy:
            self._timer = asyncio.get_running_loop().call_later(_SHRINK_EVERY_S, self._shrink_one)

    def _may_write(self, key: FunctionKey) -> bool:
        now_s = monotonic()
        left, at_s = self._budgets.pop(key, (float(_BURST), now_s))
        left = min(float(_BURST), left + (now_s - at_s) / _REFILL_S)
        may = left >= 1 and self._pending < _PENDING
        self._budgets[key] = (left - 1 if may else left, now_s)
        while len(self._budgets) > _MANY_FUNCTIONS:
            self._budgets.popitem(last=False)
        return may

    async def _write(self, store: TraceStore, name: str, record: Record) -> None:
        try:
            await asyncio.to_thread(_save, store, name, record)
        except OSError as error:  # a full disk must not stop the functions; the operator is told
            _log.error("the record of a failure was lost: %s: %s", name, error)
        finally:
            self._pending -= 1


def _save(store: TraceStore, name: str, record: Record) -> None:
    store.save(name, _rendered(record))


def _rendered(record: Record) -> bytes:
    # Piece by piece: in one piece it would not let the loop have a turn before megabytes of payloads are done.
    return b"".join(piece.encode() for piece in json.JSONEncoder().iterencode(document(record)))


def _search(store: TraceStore, name: str) -> bytes | None:
    """The newest record of a failure that is of this environment or shows this request."""
    # Within payloads quotation marks are escaped, so what is found is a string of its own.
    quoted = json.dumps(name).encode()
    for file in reversed(store.names()):
        text = store.read(file)
        if text is not None and quoted in text:
            return text
    return None


def _summary(recorder: FlightRecorder, offset_s: float) -> dict[str, Any]:  # Any: JSON
    return {
        "environment_id": recorder.environment_id,
        "function": recorder.key.arn(),
        "function_name": recorder.key.name,
        "function_version": recorder.version,
        "state": "ended" if recorder.has_ended else "live",
        "last_at": iso(datetime.fromtimestamp(recorder.last_s + offset_s, UTC)),
        "invocation_count": recorder.invocations,
        "request_ids": recorder.request_ids()[-3:],
    }


def _failure(name: str) -> dict[str, Any] | None:  # Any: JSON
    """From the name of its file, so that a listing reads none; `None` if the file is not of ours."""
    match = _FILE.fullmatch(name)
    if match is None:
        return None
    failed_at, environment_id, function_name = match.groups()
    return {
        "environment_id": environment_id,
        "function_name": function_name,
        "failed_at": iso(datetime.strptime(failed_at, _STAMP).replace(tzinfo=UTC)),
        "file": f"{name}.json",
    }
