"""What an environment went through, as data: the record as it is taken, and the document that is made of it.

Pure: nothing here reads a clock or a file. A record is taken on the hot path and hardly ever looked at, so all the work
is here, at the time of looking.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from lamella.domain.function import FunctionKey
from lamella.lifecycle.commands import Command
from lamella.lifecycle.events import Event

Entry: TypeAlias = tuple[float, Event | str, Sequence[Command] | Mapping[str, Any]]  # Any: JSON
"""Monotonic seconds; an event and what the state machine commanded, or the name of what is no event and its details."""


class AbridgedBytes(bytes):
    """The beginning of a payload that was not kept whole.

    Attributes:
        size_bytes: Of the whole.
    """

    size_bytes: int


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of an environment at one moment.

    Attributes:
        wall_offset_s: Add it to monotonic seconds to get those since the epoch.
        entries: In the order of time.
        invocations: How many the environment has been given so far, those included that the entries no longer show.
        complete: Whether no entry has been lost.
        ended: Whether the environment has come to its end.
    """

    environment_id: str
    key: FunctionKey
    version: str
    log_stream: str
    wall_offset_s: float
    entries: Sequence[Entry]
    invocations: int
    complete: bool
    ended: bool


def document(record: Record) -> dict[str, Any]:  # Any: JSON
    """The record as a JSON document."""
    return {"environment_id": record.environment_id, "request_ids": []}
