"""What the telemetry of an environment is made of, and what its state machine is told and asks for."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from lamella.lifecycle.events import DeadlinePassed


class Api(StrEnum):
    """By which of the two APIs an extension has subscribed."""

    TELEMETRY = "Telemetry"
    LOGS = "Logs"


class Schema(StrEnum):
    """The form of the events that a subscriber gets (5.1). No version is one of both APIs."""

    TELEMETRY_2022_07_01 = "2022-07-01"
    TELEMETRY_2022_12_13 = "2022-12-13"  # records may be JSON objects (TL-46)
    TELEMETRY_2025_01_29 = "2025-01-29"
    LOGS_2020_08_15 = "2020-08-15"
    LOGS_2021_03_18 = "2021-03-18"  # adds `platform.runtimeDone`

    @property
    def api(self) -> Api:
        """The API that it belongs to."""
        return Api.LOGS if self in (Schema.LOGS_2020_08_15, Schema.LOGS_2021_03_18) else Api.TELEMETRY


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a subscriber listens, inside the sandbox.

    Attributes:
        protocol: `HTTP` or `TCP`.
        host: As the subscriber spells it, for the `Host` header.
        target: Path and query of the URI, ready for a request line.
        method: `POST`, or `PUT` if the Logs API was asked for it.
    """

    protocol: str
    port: int
    host: str = "sandbox.localdomain"
    target: str = "/"
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Subscription:
    """What an extension asks for, checked (5.1).

    Attributes:
        types: Out of `platform`, `function`, `extension`, each once.
        max_items, max_bytes, timeout_s: When a batch goes out (TL-21).
    """

    schema: Schema
    types: tuple[str, ...]
    destination: Destination
    max_items: int = 10_000
    max_bytes: int = 262_144
    timeout_s: float = 1.0

    @property
    def api(self) -> Api:
        """The API by which it was made."""
        return self.schema.api


class Lines(str):
    """Complete lines of a process, each ended by a line feed and an event of its own.

    Kept together, as a process can print tens of thousands in the time that handling each by itself would take for one.
    """

    __slots__ = ()


class JsonObject(str):
    """Text of a log line that is one JSON object, printed by a function whose log format is JSON (TL-46)."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One event of the Telemetry or Logs API, or one for each of `Lines`, before it is put into a schema's form.

    Attributes:
        when_s: Seconds since the epoch.
        kind: `platform.<something>`, `function` or `extension`.
        record: Object or text. Never changed afterwards.
    """

    when_s: float
    kind: str
    record: Mapping[str, object] | str

    @property
    def type(self) -> str:
        """What subscribers choose by: `platform`, `function` or `extension`."""
        return "platform" if self.kind.startswith("platform.") else self.kind


# What can happen


@dataclass(frozen=True, slots=True)
class Produced:
    """There is a new event, or several of them."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Subscribed:
    """An extension subscribes, or changes its subscription."""

    identifier: str
    subscription: Subscription


@dataclass(frozen=True, slots=True)
class InitCompleted:
    """Init is complete: what has piled up goes out, and nobody can subscribe any more (TL-04)."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """The processes of the environment have been stopped from running."""


@dataclass(frozen=True, slots=True)
class Thawed:
    """They run again."""


@dataclass(frozen=True, slots=True)
class FlushRequested:
    """What subscribers have coming is to go out at once; `Flushed` says when that has happened."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """The subscriber has taken the batch."""

    identifier: str
    serial: int


@dataclass(frozen=True, slots=True)
class DeliveryFailed:
    """It has not."""

    identifier: str
    serial: int


@dataclass(frozen=True, slots=True)
class Reset:
    """All processes of the environment are dead: subscriptions are open again, and history begins anew."""


TelemetryEvent: TypeAlias = (
    Produced
    | Subscribed
    | InitCompleted
    | Frozen
    | Thawed
    | FlushRequested
    | Delivered
    | DeliveryFailed
    | Reset
    | DeadlinePassed
)


# What the host is asked to do


@dataclass(frozen=True, slots=True)
class Deliver:
    """Send a batch, and report `Delivered` or `DeliveryFailed` with its serial.

    Attributes:
        serial: Grows with every attempt; a report with an older one is no news.
        batch: Rendered events in order; not empty.
    """

    identifier: str
    serial: int
    destination: Destination
    batch: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Break off the subscriber's running delivery: its outcome is of no interest any more."""

    identifier: str


@dataclass(frozen=True, slots=True)
class Flushed:
    """What was asked for by every `FlushRequested` so far is done, or cannot be."""


TelemetryCommand: TypeAlias = Deliver | GiveUp | Flushed


class SubscriptionClosedError(Exception):
    """Init is complete (TL-04); nothing has changed."""


class SubscriptionConflictError(Exception):
    """The extension has subscribed by the other API (TL-06); nothing has changed.

    Attributes:
        in_use: That API.
    """

    def __init__(self, in_use: Api) -> None:
        super().__init__(f"the extension has subscribed by the {in_use} API already")
        self.in_use = in_use
