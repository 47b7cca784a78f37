"""One invocation on its way through an environment: what has happened to it, and what is recorded of it in the end.

It knows nothing of phases and processes; `lifecycle.environment` tells it what happens, and asks.
"""

from lamella.domain.invocation import Invocation
from lamella.lifecycle.commands import RecordEnd, RecordRuntimeDone, Status
from lamella.lifecycle.events import ErrorPosted, ResponseEnded, ResponsePosted


class Course:
    """The course of one invocation.

    Attributes:
        invocation: Whose it is.
        timeout_s: Of the function, in seconds.
        began_s: Monotonic seconds at which it was assigned; an init inside it is a part of it (4.3).
        replied: Whether the caller has the answer.
        started: Whether START has been recorded.
        runtime_done_s: When the runtime asked for its next event; `None` before that.
    """

    __slots__ = (
        "_function_error",
        "_given_s",
        "_produced_bytes",
        "_response_s",
        "began_s",
        "invocation",
        "replied",
        "runtime_done_s",
        "started",
        "timeout_s",
    )

    def __init__(self, invocation: Invocation, timeout_s: float, now_s: float) -> None:
        """It is assigned to an environment now."""
        self.invocation = invocation
        self.timeout_s = timeout_s
        self.began_s = now_s
        self.replied = False
        self.started = False
        self.runtime_done_s: float | None = None
        self._given_s = now_s
        self._response_s: tuple[float, float] | None = None
        self._produced_bytes: int | None = None
        self._function_error = ""  # type of an error that the handler reported (TL-49)

    @property
    def deadline_s(self) -> float:
        """When its time is over, in monotonic seconds."""
        return self.began_s + self.timeout_s

    def given(self, now_s: float) -> None:
        """Its event is released to the processes."""
        self._given_s = now_s
        self.started = True

    def answered(self, event: ResponsePosted | ErrorPosted, now_s: float) -> None:
        """The runtime has handed in the whole answer."""
        self._response_s, self._produced_bytes = (now_s, now_s), len(event.payload)
        if isinstance(event, ErrorPosted):
            # Not a failure of the environment: REPORT does not show it (LG-02), `runtimeDone` does (TL-49).
            self._function_error = event.error_type

    def answer_began(self, now_s: float) -> None:
        """The first of a streamed answer is there."""
        self._response_s = (now_s, now_s)

    def answer_ended(self, event: ResponseEnded, now_s: float) -> None:
        """The last of a streamed answer is there."""
        first_s = now_s if self._response_s is None else self._response_s[0]
        self._response_s, self._produced_bytes = (first_s, now_s), event.size_bytes
        self._function_error = event.error_type
        self.replied = True

    def runtime_done(self, now_s: float, error_type: str = "", *, timed_out: bool = False) -> RecordRuntimeDone:
        """What `platform.runtimeDone` says.

        Args:
            now_s: Monotonic seconds.
            error_type: Of the failure that ended it; empty if there was none.
            timed_out: Whether its time was over.
        """
        status = outcome(error_type, timed_out=timed_out)
        if status is Status.SUCCESS and self._function_error:
            status, error_type = Status.ERROR, self._function_error
        complete = self.runtime_done_s is not None
        return RecordRuntimeDone(
            self.invocation,
            self.timeout_s if timed_out else now_s - self._given_s,
            status,
            "" if timed_out else error_type,
            self._produced_bytes if complete else None,  # left out for timeouts and crashes (TL-42)
            self._given_s,
            self._response_s if complete else None,
            now_s,
        )

    def end(
        self,
        now_s: float,
        error_type: str = "",
        *,
        timed_out: bool = False,
        init_duration_s: float | None,
        restore_duration_s: float | None,
        followed: bool,
    ) -> RecordEnd:
        """What END and REPORT say.

        Args:
            now_s: Monotonic seconds.
            error_type: As above.
            timed_out: As above.
            init_duration_s: Of the init before it, if this is the first invocation after it.
            restore_duration_s: The same of a restore.
            followed: Whether an extension follows invocations, so that what it took longer than the runtime is told.
        """
        return RecordEnd(
            self.invocation,
            self.timeout_s if timed_out else now_s - self.began_s,
            outcome(error_type, timed_out=timed_out),
            "" if timed_out else error_type,
            init_duration_s,
            restore_duration_s,
            (self.runtime_done_s, now_s) if followed and self.runtime_done_s is not None else None,
        )


def outcome(error_type: str, *, timed_out: bool = False) -> Status:
    """How something ended. Source: section 5.3, `failure` when the error type starts with `Sandbox.`, else `error`."""
    if timed_out:
        return Status.TIMEOUT
    if not error_type:
        return Status.SUCCESS
    return Status.FAILURE if error_type.startswith("Sandbox.") else Status.ERROR
