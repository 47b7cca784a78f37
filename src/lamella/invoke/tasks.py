"""An owner for tasks that outlive the function that starts them."""

import asyncio
import logging
import math
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

_log = logging.getLogger(__name__)


class Tasks:
    """Keeps each task until it has ended, and reports the ones that fail."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Run a coroutine in the background. A failure is logged with its traceback: there is nobody else to tell.

        Returns:
            The task, for whoever may want to cancel it.
        """
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    async def wait_idle(self) -> None:
        """Wait until every task has ended, those included that are started meanwhile."""
        while self._running:
            await asyncio.wait(self._running)

    async def close(self) -> None:
        """Cancel what still runs, and wait until it has ended."""
        for task in self._running:
            task.cancel()
        await self.wait_idle()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s failed", task.get_name(), exc_info=error)


async def wait_set(event: asyncio.Event, within_s: float) -> None:
    """Until the event is set, or the time has passed; infinite is without end."""
    with suppress(TimeoutError):
        async with asyncio.timeout(None if math.isinf(within_s) else max(0.0, within_s)):
            await event.wait()
