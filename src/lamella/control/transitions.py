"""Bringing what was created or updated into effect a moment later, as AWS does."""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import Final

from lamella.domain.function import FunctionKey, FunctionVersion
from lamella.lifecycle.function import advance, outcome, settled
from lamella.ports.errors import ConflictError, UnavailableError
from lamella.ports.functions import FunctionObserver
from lamella.ports.stores import FunctionStore

_log: Final = logging.getLogger(__name__)


class Transitions:
    """Settles versions whose creation or update is under way, and tells the observer once that is durable.

    Owns one task for each. What a crash or `close` interrupts is settled by the next `resume`.

    Args:
        delay_s: How long a caller can see the state in between. AWS takes about as long or longer; scripts that forget
            to wait for the state fail here as they fail there.
        sleep: Waits that long; replaced in tests.
    """

    def __init__(
        self,
        store: FunctionStore,
        observer: FunctionObserver,
        *,
        delay_s: float = 0.25,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store: Final = store
        self._observer: Final = observer
        self._delay_s: Final = delay_s
        self._sleep: Final = sleep
        self._tasks: Final[set[asyncio.Task[None]]] = set()

    def begin(self, version: FunctionVersion) -> None:
        """Settle this version after the delay. It has been stored."""
        task = asyncio.get_running_loop().create_task(self._later(version.key, version.version))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def resume(self) -> None:
        """Settle at once whatever is under way in the store. Called before requests are accepted."""
        for version in await self._store.unsettled():
            await self._settle(version.key, version.version)

    async def wait_settled(self) -> None:
        """Wait until nothing that this object began is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Give up what is under way; it stays in the store for `resume`."""
        for task in self._tasks:
            task.cancel()
        await self.wait_settled()

    async def _later(self, key: FunctionKey, version: str) -> None:
        await self._sleep(self._delay_s)
        told = False
        while True:
            try:
                return await self._settle(key, version)
            except UnavailableError:
                if not told:
                    _log.exception("cannot settle %s yet", key.arn(version))
                told = True
                await self._sleep(max(self._delay_s, 1.0))
            except Exception:  # noqa: BLE001 - the task's boundary: nobody awaits its result; `resume` tries once more
                return _log.exception("cannot settle %s", key.arn(version))

    async def _settle(self, key: FunctionKey, version: str) -> None:
        while True:
            current = await self._store.get(key, version)
            if current is None or settled(current):
                return  # deleted meanwhile, or settled by a task that was begun before this one
            after = advance(current, outcome(current), revision_id=str(uuid.uuid4()))
            try:
                await self._store.replace(after, expected_revision_id=current.revision_id)
            except ConflictError:
                continue  # its tags have changed, which gives it another revision: look again
            self._observer.function_settled(after)
            return
