"""An accepted invocation on its way to an execution environment."""

from collections.abc import Callable
from dataclasses import dataclass

from lamella.domain.invocation import Invocation, Outcome
from lamella.invoke.stream import ResponseStream


@dataclass(slots=True, eq=False)
class Job:
    """One invocation, and whom to tell.

    Attributes:
        want_tail: The caller asked for the log's tail, so the answer waits for REPORT.
        on_outcome: Called exactly once if an environment took the job.
        on_failure: Called instead if none could be made; the error is for the operator's log.
        stream: Takes the response, if the caller wants it streamed; the payload of the outcome is empty then.
    """

    invocation: Invocation
    timeout_s: float
    want_tail: bool
    on_outcome: Callable[[Outcome], None]
    on_failure: Callable[[Exception], None]
    stream: ResponseStream | None = None
