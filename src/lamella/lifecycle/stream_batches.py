"""What becomes of one batch of a stream's records: attempts, age, halves, partial failures, and giving up.

The records of a batch are in order, and stay so: the first *part* of them is with the function, or waits, and nothing
behind it moves until it is done or given up. In the beginning the whole batch is one part. An error may cut it in two
halves, a function that says which record failed leaves the rest of it, and records that have grown too old are cut off
its front.

Two kinds of failure are kept apart, as with asynchronous events. What the function answers with an error counts as an
attempt. What it never saw, because of a limit or because it is not there, does not count; only age ends that.

A part that is what is left of another begins to count anew. So did AWS where a function reported one record of three
again and again: with three retries it was run once with the others and four times alone. Cutting in halves does not
use up attempts either.

Source: developer guide, "Retain discarded batch records for a Kinesis Data Streams event source" and "Configuring
partial batch response with Kinesis Data Streams"; answers of AWS recorded in LocalStack's tests, 2024 and 2025. How
long AWS waits between attempts it does not say: the times are ours.
"""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, StrEnum, auto
from typing import Final, TypeAlias, assert_never

BACKOFF_S: Final = 0.2
BACKOFF_MAX_S: Final = 30.0
TELL_TRIES: Final = 5


class Condition(StrEnum):
    """Why records are given up, as AWS calls it in the record that a destination gets."""

    RETRIES_EXHAUSTED = "RetryAttemptsExhausted"
    AGE_EXCEEDED = "RecordAgeExceeded"


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """What a mapping says about failures.

    Attributes:
        retries: Attempts after the first one; -1 is without end.
        max_age_s: Older records are given up; -1 is without end.
        bisect: An error of the function cuts a batch in two.
    """

    retries: int = -1
    max_age_s: float = -1
    bisect: bool = False


class Stage(Enum):
    """Where a batch is; the first part of it, to be exact."""

    WAITING = auto()  # its time has not come, or nobody has noticed
    RUNNING = auto()  # with the function
    TELLING = auto()  # given up, and a destination is being told
    OVER = auto()  # nothing is left


@dataclass(frozen=True, slots=True)
class Due:
    """The deadline has passed."""


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The function has answered, and all is well."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The function has answered with an error.

    Attributes:
        at: Index in the batch of the first record that it says has failed; `None` if it does not say, or nonsense.
    """

    at: int | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The function never saw it."""


@dataclass(frozen=True, slots=True)
class Told:
    """The destination has taken it, or there is none."""


@dataclass(frozen=True, slots=True)
class NotTold:
    """The destination has not taken it."""


BatchEvent: TypeAlias = Due | Succeeded | Failed | Refused | Told | NotTold


@dataclass(frozen=True, slots=True)
class Invoke:
    """Give the function the records from `first` to before `end`."""

    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Discard:
    """Tell the destination, if there is one, that these records are given up.

    Attributes:
        attempts: How often the function has answered to exactly this part.
    """

    first: int
    end: int
    condition: Condition
    attempts: int


@dataclass(frozen=True, slots=True)
class Advance:
    """These records are done, one way or the other."""

    first: int
    end: int


BatchCommand: TypeAlias = Invoke | Discard | Advance

TRANSITIONS: Final[Mapping[tuple[Stage, type[BatchEvent]], frozenset[Stage]]] = {
    (Stage.WAITING, Due): frozenset({Stage.RUNNING, Stage.TELLING}),
    (Stage.RUNNING, Succeeded): frozenset({Stage.WAITING, Stage.OVER}),
    (Stage.RUNNING, Failed): frozenset({Stage.WAITING, Stage.TELLING}),
    (Stage.RUNNING, Refused): frozenset({Stage.WAITING}),
    (Stage.TELLING, Due): frozenset({Stage.TELLING}),
    (Stage.TELLING, Told): frozenset({Stage.WAITING, Stage.OVER}),
    (Stage.TELLING, NotTold): frozenset({Stage.TELLING, Stage.WAITING, Stage.OVER}),
}
"""What may become of a batch; which of several it is depends on counts, age and policy."""


class BatchTransitionError(Exception):
    """That cannot happen to a batch at this stage; nothing has changed."""


@dataclass(frozen=True, slots=True)
class _Part:
    first: int
    end: int
    attempts: int = 0
    setbacks: int = 0  # since the last answer


class BatchMachine:
    """One batch, from its gathering to its end.

    Attributes:
        stage: See there.
        deadline_s: When `Due` is to be sent; infinite while somebody else is to act.
    """

    def __init__(self, arrived_s: Sequence[float], policy: BatchPolicy, *, now_s: float) -> None:
        """A batch that is due at once.

        Args:
            arrived_s: When each record was put into the stream; one at least.
            policy: What the mapping says.
            now_s: Seconds since the epoch, as in all that follows.
        """
        self._arrived_s = arrived_s
        self._policy = policy
        self._parts = deque([_Part(0, len(arrived_s))])
        self._given_up: Discard | None = None
        self._tries = 0
        self.stage = Stage.WAITING
        self.deadline_s = now_s

    def receive(self, event: BatchEvent, *, now_s: float) -> list[BatchCommand]:
        """Take one event and say what is to be done, in order.

        Raises:
            BatchTransitionError: Not legal now.
        """
        if (self.stage, type(event)) not in TRANSITIONS:
            raise BatchTransitionError(f"{type(event).__name__} while {self.stage.name}")
        match event:
            case Due():
                return self._begin(now_s) if self._given_up is None else self._tell(self._given_up)
            case Succeeded():
                part = self._parts.popleft()
                return self._done(part.first, part.end, now_s)
            case Failed(at):
                return self._fail(at, now_s)
            case Refused():
                part = self._parts[0]
                self._parts[0] = replace(part, setbacks=part.setbacks + 1)
                return self._wait(now_s + backoff_s(part.setbacks))
            case Told():
                return self._told(now_s)
            case NotTold():
                self._tries += 1
                if self._tries >= TELL_TRIES:
                    return self._told(now_s)
                self.deadline_s = now_s + backoff_s(self._tries)
                return []
            case _:
                assert_never(event)

    def _begin(self, now_s: float) -> list[BatchCommand]:
        part = self._parts[0]
        old = self._expired(part, now_s)
        if old:
            end = part.first + old
            self._cut(end)
            return self._tell(Discard(part.first, end, Condition.AGE_EXCEEDED, part.attempts))
        self.stage, self.deadline_s = Stage.RUNNING, math.inf
        return [Invoke(part.first, part.end)]

    def _expired(self, part: _Part, now_s: float) -> int:
        """How many records at the front are too old."""
        if self._policy.max_age_s < 0:
            return 0
        count = 0
        while part.first + count < part.end and now_s - self._arrived_s[part.first + count] > self._policy.max_age_s:
            count += 1
        return count

    def _fail(self, at: int | None, now_s: float) -> list[BatchCommand]:
        part = self._parts[0]
        if at is not None and at > part.first:
            self._cut(at)
            return [Advance(part.first, at), *self._wait(now_s + BACKOFF_S)]
        if at is None and self._policy.bisect and part.end - part.first > 1:
            middle = (part.first + part.end) // 2
            self._parts[0] = _Part(middle, part.end)
            self._parts.appendleft(_Part(part.first, middle))
            return self._wait(now_s + BACKOFF_S)
        part = replace(part, attempts=part.attempts + 1, setbacks=0)
        if 0 <= self._policy.retries < part.attempts:
            self._parts.popleft()
            return self._tell(Discard(part.first, part.end, Condition.RETRIES_EXHAUSTED, part.attempts))
        self._parts[0] = part
        return self._wait(now_s + backoff_s(part.attempts - 1))

    def _cut(self, at: int) -> None:
        """Take what is before an index from the first part; what is left of it is a part that begins anew."""
        end = self._parts.popleft().end
        if at < end:
            self._parts.appendleft(_Part(at, end))

    def _tell(self, given_up: Discard) -> list[BatchCommand]:
        self._given_up = given_up
        self.stage, self.deadline_s = Stage.TELLING, math.inf
        return [given_up]

    def _told(self, now_s: float) -> list[BatchCommand]:
        given_up, self._given_up, self._tries = self._given_up, None, 0
        assert given_up is not None
        return self._done(given_up.first, given_up.end, now_s)

    def _done(self, first: int, end: int, now_s: float) -> list[BatchCommand]:
        self._wait(now_s)
        if not self._parts:
            self.stage, self.deadline_s = Stage.OVER, math.inf
        return [Advance(first, end)]

    def _wait(self, until_s: float) -> list[BatchCommand]:
        self.stage, self.deadline_s = Stage.WAITING, until_s
        return []


def backoff_s(count: int) -> float:
    """0.2, 0.4, 0.8 ... 30 seconds."""
    return min(BACKOFF_MAX_S, BACKOFF_S * 2.0 ** min(count, 16))
