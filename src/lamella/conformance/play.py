"""What a patient can do and what can be done to it: the events and commands of scenarios.

A *patient* is the runtime or extension that is examined. The *referee* stands in for the service: it hands every event
to a scenario, and performs the commands that the scenario answers with.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from lamella.lifecycle.telemetry_events import Destination
from lamella.ports.sandbox import ExitStatus

RUNTIME: Final = "runtime"
"""Name of the process that is the runtime; an extension's is its file name."""

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request of the patient, whole.

    Attributes:
        id: Counts from 1 in each sandbox.
        connection: Tells connections apart: the patient's port.
        path: Without the query, not decoded.
        headers: Names in lower case.
        chunked: Whether the body came in chunks.
    """

    id: int
    connection: int
    method: str
    path: str
    headers: Headers = ()
    body: bytes = b""
    trailers: Headers = ()

    def header(self, name: str) -> str:
        """The first value of a header, empty if there is none; the name in lower case."""
        return next((value for known, value in self.headers if known == name), "")

    @property
    def chunked(self) -> bool:
        """Whether the body came in chunks."""
        return "chunked" in self.header("transfer-encoding").lower()


# Events


@dataclass(frozen=True, slots=True)
class Called:
    """The patient asks for something and waits for an answer."""

    call: Call


@dataclass(frozen=True, slots=True)
class Abandoned:
    """The patient has closed the connection of a call that was not answered."""

    call: Call


@dataclass(frozen=True, slots=True)
class Printed:
    """A process wrote whole lines to stdout or stderr."""

    process: str
    text: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """A process has ended, but not because of `KillAll`."""

    process: str
    status: ExitStatus


@dataclass(frozen=True, slots=True)
class NotStarted:
    """A process could not be started; the reason is worded as the service words it."""

    process: str
    reason: str


@dataclass(frozen=True, slots=True)
class Measured:
    """What `Measure` found.

    Attributes:
        cpu_s: Used so far, or wanted, by the process, its living children, and those that it has waited for.
        files: Open descriptors of all of them.
        processes: How many they are.
        limit_s: How long the one that has the connection is willing to wait there; `None` if there is no end to it, or
            none can be seen.
    """

    process: str
    cpu_s: float
    files: int
    processes: int
    limit_s: float | None = None


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of a `Deliver`.

    Attributes:
        id: Of the `Deliver`.
        status: What an HTTP listener answered; 0 by TCP, where having been written is all there is; `None` if it could
            not be delivered.
        problem: Why not, in words.
        took_s: Until the answer, or the failure.
    """

    id: int
    status: int | None
    problem: str
    took_s: float


@dataclass(frozen=True, slots=True)
class Collected:
    """The patient sent something to the collector, at the place of AWS's endpoint; it was answered 200.

    Attributes:
        body: As it came, but unpacked if it was compressed by gzip or deflate.
    """

    path: str
    body: bytes


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The scenario's own `deadline_s` has come."""


Event = Called | Abandoned | Printed | Ended | NotStarted | Measured | Delivered | Collected | DeadlinePassed

# Commands


@dataclass(frozen=True, slots=True)
class Start:
    """Start a process of the patient.

    Attributes:
        variables: Beside those it has anyway, or in their place.
    """

    process: str
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer a call. One that has been answered or abandoned is left alone.

    Attributes:
        headers: As they are to be sent; `Content-Length` is added unless `chunked`.
        chunked: Send the body in two chunks.
        close: Close the connection after it, and say so.
    """

    call: Call
    status: int
    headers: Headers = ()
    body: bytes = b""
    chunked: bool = False
    close: bool = False


@dataclass(frozen=True, slots=True)
class Cut:
    """Cut the connection of a call in place of an answer."""

    call: Call


@dataclass(frozen=True, slots=True)
class Signal:
    """Send a signal to the group of a process."""

    process: str
    number: int


@dataclass(frozen=True, slots=True)
class KillAll:
    """Kill all processes and cut all connections; nothing of them is heard any more. `/tmp` stays."""


@dataclass(frozen=True, slots=True)
class Freeze:
    """Stop all processes, as the service does between invocations."""


@dataclass(frozen=True, slots=True)
class Thaw:
    """Let them run again."""


@dataclass(frozen=True, slots=True)
class Measure:
    """Find out what a process uses; answered by `Measured`.

    Attributes:
        connection: That it waits on, as of `Call`; 0 for none.
    """

    process: str
    connection: int = 0


@dataclass(frozen=True, slots=True)
class Deliver:
    """Send telemetry to a listener of the patient; answered by `Delivered`.

    Attributes:
        id: Counts up in each scenario. A connection is kept for the next one where the listener lets it be.
    """

    id: int
    destination: Destination
    body: bytes


@dataclass(frozen=True, slots=True)
class StopDelivery:
    """Break off the `Deliver` that is on its way, and drop the connection; nothing is heard of it any more."""


Command = Start | Answer | Cut | Signal | KillAll | Freeze | Thaw | Measure | Deliver | StopDelivery
