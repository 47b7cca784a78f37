"""An accepted invocation on its way to an execution environment, and its answer on the way back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from lamella.domain.invocation import Invocation, Outcome
from lamella.invoke.stream import ResponseStream

UNHANDLED: Final = "Unhandled"  # RT-57
_TAIL_BYTES: Final = 4096  # LG-10


@dataclass(slots=True, eq=False)
class Job:
    """One invocation, and whom to tell.

    Attributes:
        want_tail: The caller asked for the log's tail, so the answer waits for REPORT.
        on_outcome: Called exactly once if an environment took the job.
        on_failure: Called instead if none could be made; the error is for the operator's log.
        failed: Whether the answer was an error of the function.
        stream: Takes the response, if the caller wants it streamed; the payload of the outcome is empty then.
    """

    invocation: Invocation
    timeout_s: float
    want_tail: bool
    on_outcome: Callable[[Outcome], None]
    on_failure: Callable[[Exception], None]
    stream: ResponseStream | None = None
    failed: bool = False
    _tail: bytearray = field(default_factory=bytearray)
    _held: Outcome | None = None  # the answer, while it waits for the tail
    _error_code: str = ""  # of a streamed response
    _error_details: str = ""

    def answer(self, payload: bytes, *, failed: bool, content_type: str = "") -> None:
        """Take the answer as a whole; a caller that streams gets it as one chunk, or as the stream's error (RT-44)."""
        self.failed = failed
        error = UNHANDLED if failed else None
        if self.stream is None:
            if self.want_tail:
                self._held = Outcome(payload, error)
            else:
                self.on_outcome(Outcome(payload, error))
            return
        if failed:
            self._error_code, self._error_details = UNHANDLED, payload.decode(errors="replace")
        else:
            self.stream.begin(content_type)
            self.stream.put(payload)
        self._settle(Outcome(b"", error))

    def end_stream(self, error_type: str, error_body: bytes) -> None:
        """The response that was streamed is over; with an error type if it broke off (RT-42)."""
        self.failed = bool(error_type)
        self._error_code, self._error_details = error_type, error_body.decode(errors="replace")
        self._settle(Outcome(b"", UNHANDLED if error_type else None))

    def log(self, lines: bytes) -> None:
        """Take log lines of this invocation, for the tail."""
        self._tail += lines
        if len(self._tail) > 16 * _TAIL_BYTES:
            del self._tail[:-_TAIL_BYTES]

    def reported(self) -> None:
        """REPORT is written: an answer that waited for the tail goes out."""
        if self._held is not None:
            held, self._held = self._held, None
            self._deliver(Outcome(held.payload, held.function_error, bytes(self._tail[-_TAIL_BYTES:])))

    def fail(self, error: Exception) -> None:
        """No answer will come, because of a fault of ours."""
        if self.stream is not None:
            self.stream.fail(error)
        self.on_failure(error)

    def _settle(self, outcome: Outcome) -> None:
        if self.want_tail:
            self._held = outcome
        else:
            self._deliver(outcome)

    def _deliver(self, outcome: Outcome) -> None:
        if self.stream is not None:
            self.stream.finish(
                error_code=self._error_code, error_details=self._error_details, log_result=outcome.log_tail
            )
        self.on_outcome(outcome)
