"""An event that was accepted for asynchronous invocation, and how far it has got."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from lamella.domain.function import FunctionKey
from lamella.domain.invocation import Invocation


class Stage(StrEnum):
    """Where an event is. The last four are the end of it."""

    WAITING = "waiting"  # to be run, at once or later
    RUNNING = "running"  # the function has it
    DELIVERING = "delivering"  # it is decided how it ended, and destinations are still to be told
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNDELIVERED = "undelivered"  # decided, but a destination could not be told for as long as events are kept
    DROPPED = "dropped"  # its function was deleted before it could be run


FINISHED: Final = frozenset({Stage.SUCCEEDED, Stage.FAILED, Stage.UNDELIVERED, Stage.DROPPED})


class Condition(StrEnum):
    """How an event ended, as invocation records have it.

    Source: developer guide, "Capturing records of Lambda asynchronous invocations"; records of AWS in LocalStack's
    tests, 2023; for the last one LocalStack's implementation.
    """

    SUCCESS = "Success"
    RETRIES_EXHAUSTED = "RetriesExhausted"
    AGE_EXCEEDED = "EventAgeExceeded"
    ZERO_CONCURRENCY = "ZeroReservedConcurrency"


@dataclass(frozen=True, slots=True)
class Target:
    """Somebody who is to be told how an event ended.

    Attributes:
        arn: Of a queue, topic, bus, function or bucket.
        dead_letter: It is the function's dead-letter queue, which gets the event itself; a destination gets a record.
    """

    arn: str
    dead_letter: bool = False


@dataclass(frozen=True, slots=True)
class AcceptedEvent:
    """What a caller handed over.

    Attributes:
        request_id: UUID in lower case; every attempt has the same, as on AWS.
        qualifier: As the caller gave it; what it means is looked up at each attempt.
        accepted_s: When; seconds since the epoch.
        payload, content_type, trace_id, client_context, tenant_id: As those of an `Invocation`.
    """

    request_id: str
    key: FunctionKey
    qualifier: str | None
    accepted_s: float
    payload: bytes
    content_type: str = "application/json"
    trace_id: str = ""
    client_context: str = ""
    tenant_id: str = ""

    def invocation(self) -> Invocation:
        """What the runtime is told."""
        return Invocation(
            request_id=self.request_id,
            payload=self.payload,
            content_type=self.content_type,
            function_arn=self.key.arn(self.qualifier),
            trace_id=self.trace_id,
            client_context=self.client_context,
            tenant_id=self.tenant_id,
        )


@dataclass(frozen=True, slots=True)
class Response:
    """What the function answered last.

    Attributes:
        error: Value of `X-Amz-Function-Error`, or `None`.
        executed_version: Which version it was.
    """

    payload: bytes
    error: str | None
    executed_version: str


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was tried with an event, for people to read.

    Attributes:
        began_s: Seconds since the epoch.
        ended_s: `None` while it goes on.
        action: `invoke`, or `deliver to ARN`.
        result: `running`, `succeeded`, `function error`, `throttled`, `fault`, `interrupted`, `delivered` or `refused`.
        detail: An error's message, or nothing.
    """

    began_s: float
    ended_s: float | None
    action: str
    result: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an event has got. `lifecycle.retry` makes the next one of it.

    Attributes:
        due_s: When something is to be done with it next; seconds since the epoch. Means nothing once it is finished.
        attempts: How often the function has answered it.
        setbacks: Since the last answer, how often it could not be run, or destinations could not be told.
        condition: How it ended, once that is decided.
        decided_s: When that was.
        targets: Who is still to be told.
    """

    accepted_s: float
    due_s: float
    stage: Stage = Stage.WAITING
    attempts: int = 0
    setbacks: int = 0
    condition: Condition | None = None
    decided_s: float = 0.0
    targets: tuple[Target, ...] = ()


@dataclass(frozen=True, slots=True)
class EventRecord:
    """An event as it is kept.

    Attributes:
        event: Without its payload once it is finished, unless a destination has not been told of it.
        steps: What was tried, oldest first; the last `STEPS_KEPT`.
    """

    event: AcceptedEvent
    progress: Progress
    response: Response | None = None
    steps: tuple[Step, ...] = ()


STEPS_KEPT: Final = 20
"""A throttled event is tried some eighty times in six hours."""


def accepted(event: AcceptedEvent) -> EventRecord:
    """An event that nothing has been done with yet."""
    return EventRecord(event, Progress(accepted_s=event.accepted_s, due_s=event.accepted_s))


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """What a function's configuration says about failed events.

    Attributes:
        retries: How often an event is tried again after an error of the function.
        max_age_s: How long an event may be kept for further attempts.
        on_success, on_failure, dead_letter: ARNs, empty for none.
    """

    retries: int = 2
    max_age_s: float = 21_600.0
    on_success: str = ""
    on_failure: str = ""
    dead_letter: str = ""

    @classmethod
    def of(cls, config: Mapping[str, Any] | None, dead_letter: str = "") -> "RetryPolicy":  # Any: JSON
        """From a `FunctionEventInvokeConfig` as the API spells it; AWS's defaults for what it does not say."""
        config = config or {}
        destinations = config.get("DestinationConfig", {})
        return cls(
            retries=config.get("MaximumRetryAttempts", 2),
            max_age_s=float(config.get("MaximumEventAgeInSeconds", 21_600)),
            on_success=destinations.get("OnSuccess", {}).get("Destination", ""),
            on_failure=destinations.get("OnFailure", {}).get("Destination", ""),
            dead_letter=dead_letter,
        )
