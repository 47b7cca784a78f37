"""What one life of an extension's process looked like from outside."""

from dataclasses import dataclass, field

from lamella.lifecycle.telemetry_events import Subscription
from lamella.ports.sandbox import ExitStatus


@dataclass(frozen=True, slots=True)
class Registration:
    """A registration that was accepted.

    Attributes:
        name: As the extension called itself.
        events: What it asked for.
        after_s: Since its process was started.
    """

    name: str
    events: tuple[str, ...]
    after_s: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that was answered with an error."""

    method: str
    path: str
    status: int
    error_type: str
    message: str

    def __str__(self) -> str:
        """On one line."""
        return f"{self.method} {self.path} was answered {self.status} {self.error_type}: {self.message}"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A batch of telemetry that was sent.

    Attributes:
        events: How many.
        status: Of the answer; 0 by TCP; `None` if there was none.
        problem: Why there was none.
    """

    events: int
    size_bytes: int
    status: int | None
    problem: str
    took_s: float

    @property
    def taken(self) -> bool:
        """Whether it counts as delivered (TL-23)."""
        return self.status is not None and (self.status == 0 or 200 <= self.status < 300)


@dataclass(slots=True)
class Seen:
    """All of it. Moments are seconds since the process was started.

    Attributes:
        not_started: Why there is no process, as the service words it; empty if there is.
        ready_s: When it asked for its first event, having registered under the name of its file.
        gave_up_s: How long its calls waited for an event when it closed their connections.
        said: Error types it has posted to `init/error` and `exit/error`.
        ended: How its process ended, if it did so by itself.
        ended_s: When.
        subscriptions: Those that were accepted, and when.
        calls: How many requests it has made, of any kind.
        lines: How many lines it has printed.
        handed: Marks of log lines that it has taken as telemetry.
        shipped: Marks that it has sent to the collector.
        collected: How many requests have come to the collector.
    """

    not_started: str = ""
    registration: Registration | None = None
    other_names: list[str] = field(default_factory=list)
    ready_s: float | None = None
    refusals: list[Refusal] = field(default_factory=list)
    gave_up_s: list[float] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    ended: ExitStatus | None = None
    ended_s: float = 0.0
    subscriptions: list[tuple[Subscription, float]] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    calls: int = 0
    lines: int = 0
    handed: set[str] = field(default_factory=set)
    shipped: set[str] = field(default_factory=set)
    collected: int = 0

    @property
    def subscription(self) -> Subscription | None:
        """The last one that was accepted."""
        return self.subscriptions[-1][0] if self.subscriptions else None

    def follows(self, event: str) -> bool:
        """Whether it has asked for an event."""
        return self.registration is not None and event in self.registration.events
