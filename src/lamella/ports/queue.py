"""Where events wait that were accepted for asynchronous invocation. What a method has returned from is durable.

One server works on the events of a store at a time, so nothing here claims or locks them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from lamella.domain.event import AcceptedEvent, EventRecord, Progress, Stage
from lamella.domain.function import FunctionKey


class EventQueue(Protocol):
    """Events, and for a while what became of them."""

    async def put(self, event: AcceptedEvent) -> None:
        """Accept an event. Many calls at once share one commit.

        Raises:
            UnavailableError: It is not known to be stored.
        """

    async def save(self, record: EventRecord) -> None:
        """Store how far an event has got. Nothing happens if it is finished or unknown.

        With its end its payload and its response go, unless it is `UNDELIVERED`: there they may be all that is left.

        Raises:
            UnavailableError: It is not known to be stored.
        """

    async def get(self, request_id: str) -> EventRecord | None:
        """An event with everything that is known of it."""

    async def unfinished(self) -> Sequence[tuple[str, FunctionKey, Progress]]:
        """Request id, function and progress of all that are not finished, in the order of their acceptance."""

    async def drop(self, key: FunctionKey, *, now_s: float) -> int:
        """End all events that are to be run by a function, as it is gone; returns how many. Deliveries go on."""

    async def list(
        self, account: str, region: str, *, limit: int, name: str | None = None, stage: Stage | None = None
    ) -> Sequence[EventRecord]:
        """Events, the one accepted last first; without payloads and responses."""

    async def counts(self, account: str, region: str, *, name: str | None = None) -> Mapping[Stage, int]:
        """How many there are at each stage that has any; of finished ones those that are remembered."""


class EventConfigObserver(Protocol):
    """Is told of changes that have been committed."""

    def event_config_changed(
        self,
        key: FunctionKey,
        qualifier: str,
        config: Mapping[str, Any] | None,  # Any: JSON
    ) -> None:
        """What is configured for a qualifier of a function is this now; `None` if nothing is.

        `config` has the members of the model's `FunctionEventInvokeConfig` that the caller gave.
        """
