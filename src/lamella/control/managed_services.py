"""What the handlers of customer-managed runtimes work with, and how they read and change one."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from lamella.awsapi.context import Context
from lamella.control.services import services_of
from lamella.domain._api_errors import ResourceNotFoundException
from lamella.domain.managed_runtime import (
    RUNTIME_POLICY,
    RUNTIME_RECORD,
    ManagedRuntime,
    ResourceState,
    RuntimeKey,
    RuntimeVersion,
)
from lamella.lifecycle.managed_runtime import alive, fetched
from lamella.ports.clock import Clock
from lamella.ports.errors import UnavailableError
from lamella.ports.managed import ContentError, RuntimeContents, RuntimeObserver
from lamella.ports.records import AccountRecordStore, Document, Records

_log: Final = logging.getLogger("lamella.runtimes")

_AGAIN_S: Final = 5.0

Change = Callable[[ManagedRuntime], ManagedRuntime]


@dataclass(frozen=True, slots=True)
class ManagedServices:
    """The group of `awsapi.context.Services` for customer-managed runtimes."""

    contents: RuntimeContents
    observer: RuntimeObserver
    fetches: "Fetches"


def managed_of(ctx: Context) -> ManagedServices:
    """This group."""
    return ctx.services[ManagedServices]


def missing(key: RuntimeKey) -> ResourceNotFoundException:
    """There is no such runtime."""
    return ResourceNotFoundException(f"Runtime not found: {key.arn}")


async def find_runtime(ctx: Context, key: RuntimeKey) -> ManagedRuntime | None:
    """A runtime, without what is gone by now."""
    document = await ctx.services[Records].accounts.get(key.account, key.region, RUNTIME_RECORD, key.name)
    return None if document is None else alive(ManagedRuntime.of_document(key, document), services_of(ctx).clock.now())


async def existing_runtime(ctx: Context, key: RuntimeKey) -> ManagedRuntime:
    """A runtime.

    Raises:
        ResourceNotFoundException: There is none.
    """
    runtime = await find_runtime(ctx, key)
    if runtime is None:
        raise missing(key)
    return runtime


async def change_runtime(ctx: Context, key: RuntimeKey, change: Change) -> ManagedRuntime:
    """Change a runtime with nobody in between; what invokes functions knows of it when this returns.

    Raises:
        ResourceNotFoundException: There is none.
    """
    records, clock = ctx.services[Records].accounts, services_of(ctx).clock
    return await _changed(records, clock, managed_of(ctx).observer, key, change)


async def _changed(
    records: AccountRecordStore, clock: Clock, observer: RuntimeObserver, key: RuntimeKey, change: Change
) -> ManagedRuntime:
    def work(stored: Document | None) -> Document:
        before = None if stored is None else alive(ManagedRuntime.of_document(key, stored), clock.now())
        if before is None:
            raise missing(key)
        return replace(change(before), generation=before.generation + 1).to_document()

    document = await records.change(key.account, key.region, RUNTIME_RECORD, key.name, work)
    assert document is not None  # `work` gives one
    after = ManagedRuntime.of_document(key, document)
    observer.runtime_changed(after)
    return after


class Fetches:
    """Has the contents of new versions brought here, one task for each.

    What a crash or `close` interrupts stays `CREATING` in the store, and is done by the next `resume`.
    """

    def __init__(
        self, records: AccountRecordStore, contents: RuntimeContents, observer: RuntimeObserver, clock: Clock
    ) -> None:
        self._records: Final = records
        self._contents: Final = contents
        self._observer: Final = observer
        self._clock: Final = clock
        self._tasks: Final[set[asyncio.Task[None]]] = set()

    def begin(self, key: RuntimeKey, name: str) -> None:
        """Fetch a version. It has been stored."""
        self._own(asyncio.get_running_loop().create_task(self._work(key, name), name=f"fetch {key.name} {name}"))

    async def resume(self) -> None:
        """Tell the observer of all runtimes, and go on with what was interrupted. Before requests are accepted.

        What active versions are made of is looked for as well, and fetched again if it has gone: the data directory may
        be another one.
        """
        active = []
        for record in await self._records.every(RUNTIME_RECORD):
            key = RuntimeKey(record.account, record.region, record.id)
            runtime = ManagedRuntime.of_document(key, record.document)
            self._observer.runtime_changed(runtime)
            for version in runtime.versions.values():
                if version.state is ResourceState.CREATING:
                    self.begin(key, version.name)
                elif version.state is ResourceState.ACTIVE:
                    active.append((key, version))
        if active:
            self._own(asyncio.get_running_loop().create_task(self._look_for(active), name="look for runtimes"))

    async def expire(self) -> None:
        """Let go what has been pending deletion for long enough: nobody else would, until it is looked at."""
        now = self._clock.now()
        for record in await self._records.every(RUNTIME_RECORD):
            key = RuntimeKey(record.account, record.region, record.id)
            stored = ManagedRuntime.of_document(key, record.document)
            left = alive(stored, now)
            if left is None:
                await self._bury(stored)
            elif left != stored:
                with suppress(ResourceNotFoundException):  # gone as a whole in between
                    await _changed(self._records, self._clock, self._observer, key, lambda runtime: runtime)

    async def _bury(self, dead: ManagedRuntime) -> None:
        """Delete a runtime that is gone, but not one of its name that was made meanwhile."""
        key = dead.key

        def bury(stored: Document | None) -> Document | None:
            return stored if stored is not None and stored["id"] != dead.id else None

        if await self._records.change(key.account, key.region, RUNTIME_RECORD, key.name, bury) is None:
            await self._records.delete(key.account, key.region, RUNTIME_POLICY, key.name)
            self._observer.runtime_changed(replace(dead, versions={}, aliases={}, generation=dead.generation + 1))

    async def wait_done(self) -> None:
        """Wait until nothing that was begun is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Give up what is under way."""
        for task in self._tasks:
            task.cancel()
        await self.wait_done()

    def _own(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look_for(self, versions: Sequence[tuple[RuntimeKey, RuntimeVersion]]) -> None:
        for key, version in versions:
            try:
                await self._contents.fetch(version)
            except (ContentError, UnavailableError, OSError) as error:
                arn = key.version_arn(version.name)
                _log.warning("what %s is made of is gone, and functions that use it fail: %s", arn, error)

    async def _work(self, key: RuntimeKey, name: str) -> None:
        while True:
            try:
                return await self._fetch(key, name)
            except (UnavailableError, OSError):
                _log.exception("version %s of %s cannot be made yet", name, key.arn)
                await asyncio.sleep(_AGAIN_S)
            except ResourceNotFoundException:
                return None  # deleted meanwhile
            except Exception:  # noqa: BLE001 - the task's boundary: nobody awaits it; `resume` tries once more
                return _log.exception("version %s of %s could not be made", name, key.arn)

    async def _fetch(self, key: RuntimeKey, name: str) -> None:
        document = await self._records.get(key.account, key.region, RUNTIME_RECORD, key.name)
        version = None if document is None else ManagedRuntime.of_document(key, document).versions.get(name)
        if version is None:
            return
        failure = ""
        try:
            await self._contents.fetch(version)
        except ContentError as error:
            failure = str(error)
            _log.warning("version %s of %s failed: %s", name, key.arn, failure)
        now = self._clock.now()
        await _changed(
            self._records, self._clock, self._observer, key, lambda runtime: fetched(runtime, name, failure, now)
        )
