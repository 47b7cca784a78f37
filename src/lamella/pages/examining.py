"""Examinations that a page is asked for: one after the other, with word of how far they are.

The answer is NDJSON: `{"scenario": name}` for each scenario when it begins, at last `{"report": {…}}` or
`{"error": "…"}`; empty lines in between show that it goes on.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from lamella.conformance.report import Report
from lamella.frontdoor import PageError
from lamella.httpserver.exchange import Exchange
from lamella.httpserver.message import DisconnectedError
from lamella.ports.sandbox import SandboxError

_WAITING_MOST: Final = 8
"""Examinations that may wait for their turn, or be made: each keeps an archive on the disk."""
_HEARTBEAT_S: Final = 2.0

Tell = Callable[[str], None]
Examine = Callable[[Tell], Awaitable[Report]]


class Turns:
    """Lets examinations in one after the other, and tells whoever waits how far theirs is."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._asking = 0
        self._running: set[asyncio.Task[Report]] = set()
        self._stopping = False

    def stop(self) -> None:
        """End examinations: who waits for them is told that the server stops."""
        self._stopping = True
        for task in self._running:
            task.cancel()

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        """Count those that ask.

        Raises:
            PageError: There are too many.
        """
        if self._asking >= _WAITING_MOST:
            raise PageError(429, f"{_WAITING_MOST} examinations are waiting already: try again in a minute.")
        self._asking += 1
        try:
            yield
        finally:
            self._asking -= 1

    async def answer(self, exchange: Exchange, examine: Examine) -> None:
        """Make an examination and answer with it, unless nobody waits for it any more."""
        if self._stopping:
            raise PageError(503, "The server is being stopped.")
        told: asyncio.Queue[str] = asyncio.Queue()

        async def in_turn() -> Report:
            async with self._turn:
                return await examine(told.put_nowait)

        work = asyncio.create_task(in_turn(), name="verify")
        self._running.add(work)
        try:
            exchange.start_response(200, (("Content-Type", "application/x-ndjson"),))
            await _tell(exchange, work, told)
            await exchange.write(_line(_outcome(work)))
            exchange.finish()
        except DisconnectedError:
            return
        finally:
            work.cancel()
            await asyncio.wait((work,))
            self._running.discard(work)
            if not work.cancelled():
                work.exception()  # has been told, or there is nobody to be told


async def _tell(exchange: Exchange, work: "asyncio.Task[Report]", told: "asyncio.Queue[str]") -> None:
    """Write what is told, until the work has ended."""
    while not work.done() or not told.empty():
        step = asyncio.ensure_future(told.get())
        try:
            await asyncio.wait((work, step), timeout=_HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED)
            # A client that has gone is only noticed by writing.
            await exchange.write(_line({"scenario": step.result()}) if step.done() else b"\n")
        finally:
            if not step.done():
                step.cancel()
                with suppress(asyncio.CancelledError):
                    await step


def _outcome(work: "asyncio.Task[Report]") -> dict[str, Any]:  # Any: JSON
    try:
        return {"report": work.result().to_dict()}
    except asyncio.CancelledError:
        return {"error": "The server is being stopped."}
    except SandboxError as error:
        return {"error": f"There could be no sandbox: {error}"}


def _line(document: Mapping[str, Any]) -> bytes:  # Any: JSON
    return json.dumps(document).encode() + b"\n"
