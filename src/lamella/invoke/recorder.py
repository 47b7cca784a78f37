"""The flight recorder: everything that happens to an execution environment, kept for whoever asks afterwards.

It stands in the path of every invocation, so what it does there is one append: events and commands are immutable, and
keeping references to them is all it takes. Everything else (naming, rendering, writing) is done when somebody looks, or
in a worker thread after a failure.

What is kept is bounded, by number and by bytes. The beginning, up to the second invocation, stays, because a time line
begins with it; of what follows the oldest goes when there are more than `NEWEST_ENTRIES` entries or more than
`BUSY_BYTES` of payloads. Whole invocations go: to let go costs nothing, while cutting a payload out of immutable values
takes microseconds. So payloads are cut only where that does not matter: when they are very large, and when the
environment has stood still for a while. The running invocation is never cut.
"""

import dataclasses
import operator
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final, Protocol

from lamella.domain.function import FunctionKey
from lamella.invoke.timeline import AbridgedBytes, Entry, Record
from lamella.lifecycle.commands import Command, Discard, Offer, RecordEnd, RecordInit, RecordRestore, Status
from lamella.lifecycle.events import (
    ErrorPosted,
    Event,
    ExtensionPolled,
    InitRequested,
    InvocationAssigned,
    NextPolled,
    ResponseEnded,
    ResponsePosted,
    ResponseStarted,
    TelemetryFlushed,
)

NEWEST_ENTRIES: Final = 128
"""An invocation takes three, and one more for each extension that follows it; ten extensions make an init of about
sixty."""
BUSY_BYTES: Final = 1024 * 1024
"""Of the payloads of ended invocations, while one follows the other."""
LARGE_BYTES: Final = 256 * 1024
"""An invocation with more than this is cut rather than let go of."""
IDLE_BYTES: Final = 128 * 1024
"""Of all payloads of an environment that has had nothing to do for a while. With the entries themselves it makes less
than 300 KiB, of the 3 MiB that an idle environment may cost."""
KEPT_BYTES: Final = 256
"""What is left of a payload that is cut."""
_ALWAYS: Final = -1  # less than any number of bytes
_SHRUNK_AT_ONCE: Final = 8
_CUT_BYTES: Final = 4 * KEPT_BYTES  # an event with less has little to lose

# These neither carry a payload nor begin or end anything by themselves.
_QUIET: Final = frozenset({NextPolled, ExtensionPolled, TelemetryFlushed})
# After any other event the next commands are looked at: an init or invocation may end as a failure.
_ORDINARY: Final = frozenset(
    {*_QUIET, InitRequested, InvocationAssigned, ResponsePosted, ResponseStarted, ResponseEnded, ErrorPosted}
)


class Recorder(Protocol):
    """What an environment tells of itself."""

    def fed(self, now_s: float, event: Event, commands: Sequence[Command]) -> None:
        """The state machine took an event and commanded something."""

    def mark(self, now_s: float, name: str, **detail: Any) -> None:  # Any: JSON
        """Something happened that is no event."""

    def ended(self) -> None:
        """The environment is gone; nothing more will be told."""


class NoRecorder:
    """Records nothing."""

    __slots__ = ()

    def fed(self, now_s: float, event: Event, commands: Sequence[Command]) -> None:
        """As `Recorder`."""

    def mark(self, now_s: float, name: str, **detail: Any) -> None:  # Any: JSON
        """As `Recorder`."""

    def ended(self) -> None:
        """As `Recorder`."""


class Watcher(Protocol):
    """Whom a recorder tells what it does not do itself."""

    def heavy(self, recorder: "FlightRecorder") -> None:
        """It holds more than an idle environment should; to be shrunk once the environment has nothing to do."""

    def failed(self, recorder: "FlightRecorder") -> None:
        """An init or an invocation has failed, and the environment is ready again or gone; payloads are still whole."""

    def ended(self, recorder: "FlightRecorder") -> None:
        """The environment is gone."""


class FlightRecorder:
    """The record of one environment.

    Attributes:
        invocations: How many the environment has been given.
        has_ended: Whether the environment is gone.
    """

    __slots__ = (
        "_append",
        "_attend_bytes",
        "_bytes",
        "_failed",
        "_first",
        "_limit_bytes",
        "_lost",
        "_newest",
        "_suspect",
        "_watcher",
        "environment_id",
        "has_ended",
        "invocations",
        "key",
        "log_stream",
        "version",
    )

    def __init__(
        self, environment_id: str, key: FunctionKey, version: str, log_stream: str, watcher: Watcher | None = None
    ) -> None:
        self.environment_id = environment_id
        self.key = key
        self.version = version
        self.log_stream = log_stream
        self.invocations = 0
        self.has_ended = False
        self._watcher = watcher
        self._first: list[Entry] = []  # up to the second invocation, once that has come
        self._newest: deque[Entry] = deque(maxlen=NEWEST_ENTRIES)
        self._append = self._newest.append
        self._lost = False
        self._bytes = 0  # of payloads and other texts; too high by those that fell out of the ring meanwhile
        self._limit_bytes = IDLE_BYTES  # from which on something has to be done about it
        self._attend_bytes = _ALWAYS  # the same, unless every event is to be attended to
        self._suspect = False  # something happened after which the phase may end as a failure
        self._failed = False  # it has, and nobody has been told yet

    def fed(self, now_s: float, event: Event, commands: Sequence[Command]) -> None:
        """The state machine took an event and commanded something.

        Args:
            now_s: Monotonic seconds.
            event: What happened.
            commands: What came of it; must not be changed afterwards.
        """
        self._append((now_s, event, commands))
        kind = type(event)
        # By hand and in one place: a call for each event costs more than all else that is done here. The checker of
        # types knows `isinstance` only, which is slower.
        if kind is ResponsePosted:
            self._bytes += len(event.payload) + len(event.content_type)  # type: ignore[union-attr]  # see above
        elif kind is InvocationAssigned:
            self.invocations += 1
            invocation = event.invocation  # type: ignore[union-attr]  # see above
            self._bytes += len(invocation.payload) + len(invocation.client_context)
        elif kind not in _QUIET:
            self._bytes += _size_of(event)
            self._attend_bytes = _ALWAYS
        if self._bytes > self._attend_bytes:
            self._attend(event, commands)

    def mark(self, now_s: float, name: str, **detail: Any) -> None:  # Any: JSON
        """Something happened that is no event, for example `process.started`.

        Args:
            now_s: Monotonic seconds.
            name: What happened.
            detail: Values that JSON can hold; long texts are cut.
        """
        self._append((now_s, name, {key: _shortened(value) for key, value in detail.items()}))

    def ended(self) -> None:
        """The environment is gone; nothing more will be told. Idempotent."""
        if self.has_ended:
            return
        self.has_ended = True
        if self._failed:
            self._report()
        if self._watcher is not None:
            self._watcher.ended(self)

    def record(self, *, now_s: float, wall_s: float) -> Record:
        """What is known by now.

        Args:
            now_s: Monotonic seconds.
            wall_s: The same moment in seconds since the epoch.
        """
        return Record(
            self.environment_id,
            self.key,
            self.version,
            self.log_stream,
            now_s,
            wall_s,
            [*self._first, *self._newest],
            len(self._first) if self._lost or len(self._newest) == NEWEST_ENTRIES else None,
            self.invocations,
            self.has_ended,
        )

    @property
    def last_s(self) -> float:
        """When something happened last, in monotonic seconds; 0 if nothing has."""
        entries = self._newest or self._first
        return entries[-1][0] if entries else 0.0

    def request_ids(self) -> list[str]:
        """Of the invocations in the record, oldest first."""
        return [
            entry[1].invocation.request_id
            for entries in (self._first, self._newest)
            for entry in entries
            if isinstance(entry[1], InvocationAssigned)
        ]

    @property
    def held_bytes(self) -> int:
        """Of payloads and other texts."""
        return sum(_size_of(entry[1]) for entries in (self._first, self._newest) for entry in entries)

    def shrink(self) -> bool:
        """Cut payloads of what is over, oldest first, until no more than `IDLE_BYTES` is held.

        A few phases at once: it takes a tenth of a millisecond for each, and others want the loop.

        Returns:
            Whether that is all. If not, it is to be called again, some time later.
        """
        phases = [self._first, *_phases(self._newest)]
        running: list[Entry] = [] if self.has_ended or _is_over(phases[-1]) else phases.pop()
        held_running = _weight(running)
        excess = sum(map(_weight, phases)) + held_running - IDLE_BYTES
        left = _SHRUNK_AT_ONCE
        for number, phase in enumerate(phases):
            if excess <= 0 or not left:
                break
            if any(_size_of(entry[1]) > _CUT_BYTES for entry in phase):
                phases[number] = _cut(phase)
                excess -= _weight(phase) - _weight(phases[number])
                left -= 1
        self._keep([*phases, running])
        if not left or held_running > IDLE_BYTES:
            return False
        self._limit_bytes = IDLE_BYTES
        self._attend_bytes = min(self._attend_bytes, IDLE_BYTES)
        return True

    def _attend(self, event: Event, commands: Sequence[Command]) -> None:
        """What there is to do now and then: at the beginning, after what may become a failure, or with much to hold."""
        if isinstance(event, InvocationAssigned):
            if self.invocations == 2:
                self._set_beginning_aside()
        else:
            self._suspect = self._suspect or type(event) not in _ORDINARY
        if self._bytes > self._limit_bytes:
            self._relieve()
        if self._suspect:
            self._watch(commands)
        self._attend_bytes = _ALWAYS if self._suspect or self.invocations < 2 else self._limit_bytes

    def _set_beginning_aside(self) -> None:
        """Keep what a time line begins with from falling out of the ring."""
        self._lost = len(self._newest) == NEWEST_ENTRIES
        assigned = self._newest.pop()
        self._first = list(self._newest)
        self._newest.clear()
        self._append(assigned)

    def _relieve(self) -> None:
        """Bring down what is held, or have that done when there is time.

        To half of the bound, so that the walk over everything is made once in so many bytes, not at each invocation.
        """
        if self._limit_bytes == IDLE_BYTES:
            self._limit_bytes = BUSY_BYTES
            if self._watcher is not None:
                self._watcher.heavy(self)
        if self._bytes <= self._limit_bytes:
            return
        *phases, running = [self._first, *_phases(self._newest)]
        phases = [_cut(phase) if _weight(phase) > LARGE_BYTES else phase for phase in phases]
        weights = [_weight(phase) for phase in phases]
        excess = sum(weights) - BUSY_BYTES // 2
        for number in range(1, len(phases)):
            if excess <= 0:
                break
            excess -= weights[number]
            phases[number] = []
            self._lost = True
        self._keep([*phases, running])

    def _keep(self, phases: Sequence[list[Entry]]) -> None:
        self._first = phases[0]
        self._newest.clear()
        self._newest.extend(chain.from_iterable(phases[1:]))
        self._bytes = self.held_bytes

    def _watch(self, commands: Sequence[Command]) -> None:
        for command in commands:
            if isinstance(command, RecordEnd | RecordInit | RecordRestore):
                self._failed = self._failed or command.status is not Status.SUCCESS
            elif isinstance(command, Offer | Discard):
                self._suspect = False
        if self._failed and not self._suspect:
            self._report()

    def _report(self) -> None:
        self._failed = False
        if self._watcher is not None:
            self._watcher.failed(self)


def _phases(entries: Iterable[Entry]) -> list[list[Entry]]:
    """Split before each invocation. There is always at least one phase."""
    phases: list[list[Entry]] = [[]]
    for entry in entries:
        if isinstance(entry[1], InvocationAssigned) and phases[-1]:
            phases.append([])
        phases[-1].append(entry)
    return phases


def _is_over(phase: Sequence[Entry]) -> bool:
    """Whether the environment has become ready, or has come to its end, since the phase began."""
    return any(isinstance(command, Offer | Discard) for entry in phase for command in entry[2])


def _weight(phase: Iterable[Entry]) -> int:
    return sum(_size_of(entry[1]) for entry in phase)


def _size_of(event: Event | str) -> int:
    """Bytes of payloads and other texts that somebody else chose. Commands hold the same ones as the events before."""
    if isinstance(event, InvocationAssigned):
        return len(event.invocation.payload) + len(event.invocation.client_context)
    if isinstance(event, ResponsePosted):
        return len(event.payload) + len(event.content_type)
    return 0 if isinstance(event, str) or type(event) in _QUIET else sum(map(len, _texts(event)))


def _cut(phase: list[Entry]) -> list[Entry]:
    """Leave the beginnings of the payloads."""
    texts = {id(text): text for text in _texts(phase) if len(text) > KEPT_BYTES}
    # The same payload is held by an event and several commands: each gets the same cut one.
    cut: list[Entry] = _replaced(phase, {of: _beginning(text) for of, text in texts.items()})
    return cut


def _texts(value: object) -> Iterator[bytes | str]:
    """All strings of bytes or letters in entries, events and commands."""
    if isinstance(value, bytes | str):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _texts(item)
    elif dataclasses.is_dataclass(value):
        for name in value.__dataclass_fields__:
            yield from _texts(getattr(value, name))


def _replaced(value: Any, by_identity: Mapping[int, bytes | str]) -> Any:  # Any: whatever entries are made of
    """The same with some strings replaced; the very same if none of them is in it."""
    if isinstance(value, bytes | str):
        return by_identity.get(id(value), value)
    if isinstance(value, tuple | list):
        items = [_replaced(item, by_identity) for item in value]
        return value if all(map(operator.is_, items, value)) else type(value)(items)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        old = {name: getattr(value, name) for name in value.__dataclass_fields__}
        new = {name: _replaced(one, by_identity) for name, one in old.items()}
        changes = {name: one for name, one in new.items() if one is not old[name]}
        return dataclasses.replace(value, **changes) if changes else value
    return value


def _beginning(text: bytes | str) -> bytes | str:
    if isinstance(text, bytes):
        abridged = AbridgedBytes(text[:KEPT_BYTES])
        abridged.size_bytes = len(text)
        return abridged
    return text[:KEPT_BYTES] + "…"


def _shortened(value: object) -> object:
    return _beginning(value) if isinstance(value, str) and len(value) > KEPT_BYTES else value
