"""What an environment went through, as data: the record as it is taken, and the document that is made of it.

Pure: nothing here reads a clock or a file. A record is taken on the hot path and hardly ever looked at, so all the work
is here, at the time of looking.

The document (`FORMAT`) is what the page shows, what is written after a failure, and what `lamella trace` draws and
replays. Times are whole microseconds since `began_at`. It has the same facts twice: `entries` are what was recorded,
one for each exchange; `phases`, `spans`, `markers` and `invocations` are what they mean, so that no reader has to know
the state machines.
"""

import base64
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

from lamella.domain.function import FunctionKey
from lamella.domain.invocation import Invocation
from lamella.lifecycle.commands import (
    Command,
    Discard,
    EndReply,
    GiveEvent,
    GiveInvoke,
    GiveShutdown,
    KillExtension,
    KillProcesses,
    KillRuntime,
    LaunchExtension,
    LaunchRuntime,
    Offer,
    RecordEnd,
    RecordInit,
    RecordRestore,
    RecordRestoreStart,
    RecordRuntimeDone,
    Reply,
    Status,
    TerminateRuntime,
)
from lamella.lifecycle.events import (
    DeadlinePassed,
    ErrorPosted,
    Event,
    ExtensionExited,
    ExtensionExitErrorPosted,
    ExtensionInitErrorPosted,
    ExtensionLaunchFailed,
    ExtensionPolled,
    ExtensionRegistered,
    InitErrorPosted,
    InitRequested,
    InvocationAssigned,
    LaunchFailed,
    NextPolled,
    ProcessesGone,
    ResponseEnded,
    ResponsePosted,
    ResponseRefused,
    ResponseStarted,
    RestoreErrorPosted,
    RuntimeExited,
    ShutdownRequested,
)

FORMAT: Final = "lamella-trace"
FORMAT_VERSION: Final = 1
"""Changes when a reader of the old format would misunderstand the new one; members may be added at any time."""

Entry: TypeAlias = tuple[float, Event | str, Sequence[Command] | Mapping[str, Any]]  # Any: JSON
"""Monotonic seconds; an event and what the state machine commanded, or the name of what is no event and its details."""

# Of the numbers in events and commands whose names end in `_s`, these are moments; all others are durations.
_MOMENTS: Final = frozenset({"deadline_s", "given_s", "response_s", "done_s", "overhead_s"})
_REPEATED_BYTES: Final = 64
"""A payload of this size or more is shown once; where commands repeat it, they say in which entry it stands."""


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
        now_s: That moment, in monotonic seconds.
        wall_s: The same, in seconds since the epoch.
        entries: In the order of time.
        gap: Number of the entry before which others have been let go of; `None` if none has.
        invocations: How many the environment has been given so far, those included that the entries no longer show.
        ended: Whether the environment has come to its end.
    """

    environment_id: str
    key: FunctionKey
    version: str
    log_stream: str
    now_s: float
    wall_s: float
    entries: Sequence[Entry]
    gap: int | None
    invocations: int
    ended: bool


def document(record: Record) -> dict[str, Any]:  # Any: JSON
    """The record as a JSON document."""
    zero_s = record.entries[0][0] if record.entries else record.now_s
    began_at = datetime.fromtimestamp(record.wall_s - (record.now_s - zero_s), UTC)
    events = _Events(zero_s)
    meaning = _Meaning(zero_s)
    for number, entry in enumerate(record.entries):
        if number == record.gap:
            meaning.skip()
        meaning.take(number, entry)
    return {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "environment_id": record.environment_id,
        "function": record.key.arn(),
        "function_name": record.key.name,
        "function_version": record.version,
        "log_stream": record.log_stream,
        "state": "ended" if record.ended else "live",
        "began_at": iso(began_at),
        "taken_us": _us(record.now_s, zero_s),
        "complete": record.gap is None,
        "gap_entry": record.gap,
        "invocation_count": record.invocations,
        "request_ids": [invocation["request_id"] for invocation in meaning.invocations],
        "phases": meaning.phases,
        "spans": sorted(meaning.spans, key=lambda span: span["start_us"]),
        "markers": meaning.markers,
        "invocations": meaning.invocations,
        "entries": [events.entry(number, entry, began_at) for number, entry in enumerate(record.entries)],
    }


class _Events:
    """Turns entries into JSON."""

    def __init__(self, zero_s: float) -> None:
        self._zero_s = zero_s
        self._shown: dict[int, int] = {}

    def entry(self, number: int, entry: Entry, began_at: datetime) -> dict[str, Any]:  # Any: JSON
        at_s, what, rest = entry
        us = _us(at_s, self._zero_s)
        shown: dict[str, Any] = {"us": us, "at": iso(began_at + timedelta(microseconds=us))}  # Any: JSON
        if isinstance(what, str):
            return {**shown, "mark": what, **({"detail": dict(rest)} if isinstance(rest, Mapping) else {})}
        members = self._members(what, number)  # before the commands, so that a payload is shown where it came from
        commands = [
            {"command": type(command).__name__, **self._members(command, number)}
            for command in rest
            if not isinstance(command, str)
        ]
        return {**shown, "event": type(what).__name__, **members, "commands": commands}

    def _members(self, value: Event | Command, number: int) -> dict[str, Any]:  # Any: JSON
        members: dict[str, Any] = {}  # Any: JSON
        for field in dataclasses.fields(value):
            name, one = field.name, getattr(value, field.name)
            if isinstance(one, Invocation):
                if isinstance(value, InvocationAssigned):
                    members.update(self._invocation(one, number))
                else:
                    members["request_id"] = one.request_id
            elif isinstance(one, bytes):
                members[name] = self._payload(one, number)
            elif name.endswith("_s"):
                members[name[:-2] + "_us"] = self._time(one, moment=name in _MOMENTS)
            else:
                members[name] = list(one) if isinstance(one, tuple) else one
        return members

    def _invocation(self, invocation: Invocation, number: int) -> dict[str, Any]:  # Any: JSON
        return {
            "request_id": invocation.request_id,
            "payload": self._payload(invocation.payload, number),
            "content_type": invocation.content_type,
            "function_arn": invocation.function_arn,
            "trace_id": invocation.trace_id,
            "client_context": invocation.client_context,
            **({"tenant_id": invocation.tenant_id} if invocation.tenant_id else {}),
        }

    def _payload(self, payload: bytes, number: int) -> dict[str, Any]:  # Any: JSON
        abridged = isinstance(payload, AbridgedBytes)
        size_bytes = _size_of(payload)
        if len(payload) >= _REPEATED_BYTES:
            if id(payload) in self._shown:
                return {"size_bytes": size_bytes, "entry": self._shown[id(payload)]}
            self._shown[id(payload)] = number
        shown: dict[str, Any] = {"size_bytes": size_bytes}  # Any: JSON
        try:
            # The end of what was cut may be half a letter.
            shown["text"] = payload.decode(errors="ignore" if abridged else "strict")
        except UnicodeDecodeError:
            shown["base64"] = base64.b64encode(payload).decode()
        return {**shown, "abridged": True} if abridged else shown

    def _time(self, value: object, *, moment: bool) -> object:
        zero_s = self._zero_s if moment else 0.0
        if isinstance(value, tuple):
            return [_us(one, zero_s) for one in value]
        return _us(value, zero_s) if isinstance(value, int | float) else None


class _Meaning:
    """What the entries say of phases, spans, errors and invocations.

    Spans lie on rows, and those of one row that can be open at a time have different names.
    """

    def __init__(self, zero_s: float) -> None:
        self.phases: list[dict[str, Any]] = []  # Any: JSON; as in all of them
        self.spans: list[dict[str, Any]] = []
        self.markers: list[dict[str, Any]] = []
        self.invocations: list[dict[str, Any]] = []
        self._zero_s = zero_s
        self._now_us = 0
        self._open: dict[tuple[str, str], dict[str, Any]] = {}
        self._phase: dict[str, Any] | None = None
        self._invocation: dict[str, Any] | None = None
        self._names: dict[str, str] = {}
        self._ending = False  # processes are being told to end, so that it is no news when they do

    def take(self, number: int, entry: Entry) -> None:
        """Take the next entry."""
        at_s, what, rest = entry
        self._now_us = _us(at_s, self._zero_s)
        if isinstance(what, str):
            self._mark(what, rest if isinstance(rest, Mapping) else {})
            return
        self._event(number, what)
        for command in rest:
            if not isinstance(command, str):
                self._command(number, command)

    def skip(self) -> None:
        """Entries are missing here: nothing that is open can be followed further."""
        self._end_all(but=())
        self._leave()
        self._invocation = None

    def _mark(self, name: str, detail: Mapping[str, Any]) -> None:
        match name:
            case "sandbox.asked":
                self._enter("sandbox")
                self._begin("sandbox", "make")
            case "sandbox.made":
                self._end("sandbox", "make")
                self._leave("sandbox")
            case "frozen":
                self._begin("frozen", "frozen")
            case "thawed":
                self._end("frozen", "frozen")
            case "process.started":
                self._note(_row_of_program(detail), f"process {detail.get('pid', '')} started")
            case "refused":
                call = f"{detail.get('method', '')} {detail.get('path', '')}"
                self._error("refused", f"{call} refused: {detail.get('status', '')} {detail.get('error_type', '')}")
            case "telemetry.delivered":
                row = self._row(str(detail.get("extension", "")))
                self._note(row, f"{detail.get('records', '')} telemetry records delivered")
            case _:
                self._note("sandbox", name)

    def _event(self, number: int, event: Event) -> None:
        match event:
            case InitRequested():
                self._ending = False
                self._enter("init")
            case InvocationAssigned(invocation=invocation, timeout_s=timeout_s):
                self._ending = False
                self._invocation = {
                    "request_id": invocation.request_id,
                    "start_us": self._now_us,
                    "timeout_us": _us(timeout_s),
                    "assigned_entry": number,
                }
                self.invocations.append(self._invocation)
                self._enter("invoke")
            case NextPolled():
                self._end("runtime init", "init")
                self._end("runtime overhead", "overhead")
            case ResponsePosted(payload=payload):
                self._end("invoke", "invoke")
                self._begin("response", "response")["size_bytes"] = _size_of(payload)
                self._responded(number)
            case ResponseStarted():
                self._end("invoke", "invoke")
                self._begin("response", "response")
            case ResponseEnded(size_bytes=size_bytes, error_type=error_type):
                self._begin("response", "response")["size_bytes"] = size_bytes
                if error_type:
                    self._error("response", f"the response broke off: {error_type}")
                self._responded(number)
            case ErrorPosted(payload=payload, error_type=error_type):
                self._end("invoke", "invoke")
                self._begin("response", "response")["size_bytes"] = _size_of(payload)
                self._error("response", f"the function returned an error: {error_type}")
                self._responded(number)
            case ResponseRefused(error_type=error_type, message=message):
                self._end("invoke", "invoke")
                self._error("response", f"{error_type}: {message}")
                self._responded(number)
            case ProcessesGone():
                self._end("reset", "reset")
                self._end_all(but=("sandbox", "frozen"))
            case ShutdownRequested():
                self._ending = True
                if self._phase is None or self._phase["name"] != "invoke":
                    self._enter("shutdown")
                self._begin("shutdown", "shutdown")
            case _:
                self._event_of_process(event)

    def _event_of_process(self, event: Event) -> None:
        """What extensions do, and what goes wrong."""
        match event:
            case ExtensionRegistered(identifier=identifier, name=name):
                self._names[identifier] = name
                row = f"extension {name}"
                self._begin(row, "init")  # an internal one was not launched
                self._note(row, "registered")
            case ExtensionPolled(identifier=identifier):
                self._end(self._row(identifier), "init")
                self._end(self._row(identifier), "event")
            case ExtensionInitErrorPosted(identifier=identifier, error_type=error_type):
                self._error(self._row(identifier), f"its init failed: {error_type}")
            case ExtensionExitErrorPosted(identifier=identifier, error_type=error_type):
                self._error(self._row(identifier), f"it exits with an error: {error_type}")
            case ExtensionExited(name=name, message=message):
                self._exited(f"extension {name}", message)
                for span in ("init", "event", "shutdown"):
                    self._end(f"extension {name}", span)
            case ExtensionLaunchFailed(name=name, message=message):
                self._error(f"extension {name}", f"it could not be started: {message}")
                self._end(f"extension {name}", "init")
            case InitErrorPosted(error_type=error_type):
                self._error("runtime init", f"the init failed: {error_type}")
            case RestoreErrorPosted(error_type=error_type):
                self._error("restore", f"the restore failed: {error_type}")
            case LaunchFailed(error_type=error_type, message=message):
                self._error("runtime init", f"{error_type}: {message}")
                self._end("runtime init", "init")
            case RuntimeExited(message=message, out_of_memory=out_of_memory):
                in_init = ("runtime init", "init") in self._open
                self._exited("runtime init" if in_init else "invoke", message + " (out of memory)" * out_of_memory)
                self._end_runtime()
            case DeadlinePassed():
                in_init = self._phase is not None and self._phase["name"] == "init"
                self._error("runtime init" if in_init else "invoke", "the deadline passed")
            case _:
                pass  # the rest only asks for what the commands then say

    def _command(self, number: int, command: Command) -> None:
        match command:
            case LaunchExtension(name=name):
                self._begin(f"extension {name}", "init")
            case LaunchRuntime():
                self._begin("runtime init", "init")
            case GiveInvoke(identifier=identifier):
                self._begin(self._row(identifier), "event")
            case GiveShutdown(identifier=identifier):
                self._ending = True
                self._begin(self._row(identifier), "shutdown")
            case TerminateRuntime() | KillRuntime() | KillExtension():
                self._ending = True
            case GiveEvent():
                self._begin("invoke", "invoke")
            case RecordRestoreStart():
                self._begin("restore", "restore")
            case RecordRestore():
                self._end("restore", "restore")
            case Reply() | EndReply():
                if self._invocation is not None:
                    self._invocation["replied_us"] = self._now_us
                    self._invocation["reply_entry"] = number
            case RecordRuntimeDone(response_s=response_s):
                if response_s is not None:
                    self._response_lasted(response_s)
            case RecordInit(status=status, error_type=error_type):
                if self._phase is not None and self._phase["name"] == "init":
                    self._phase.update(status=status.value, **({"error_type": error_type} if error_type else {}))
                if status is not Status.SUCCESS:
                    self._end_runtime()
            case RecordEnd():
                self._ended(command)
            case KillProcesses():
                self._ending = True
                self._begin("reset", "reset")
            case Offer():
                self._leave()
                self._ending = False
            case Discard():
                self._end_all(but=("frozen",))
                self._leave()
            case _:
                pass  # not seen in a time line

    def _responded(self, number: int) -> None:
        self._end("response", "response")
        self._begin("runtime overhead", "overhead")
        if self._invocation is not None:
            self._invocation["response_entry"] = number

    def _response_lasted(self, response_s: tuple[float, float]) -> None:
        """The moments at which a response began to come and was complete, better known than from when it was fed."""
        for span in reversed(self.spans):
            if span["row"] == "response" and self._invocation and span["start_us"] >= self._invocation["start_us"]:
                span["start_us"] = min(span["start_us"], _us(response_s[0], self._zero_s))
                return

    def _ended(self, end: RecordEnd) -> None:
        self._end_runtime()
        if end.overhead_s is not None:
            start_us, end_us = (_us(at_s, self._zero_s) for at_s in end.overhead_s)
            self._begin("extension overhead", "overhead")["start_us"] = start_us
            self._end("extension overhead", "overhead", at_us=end_us)
        if self._invocation is not None:
            self._invocation.update(
                end_us=self._now_us,
                status=end.status.value,
                error_type=end.error_type,
                duration_us=_us(end.duration_s),
                init_duration_us=None if end.init_duration_s is None else _us(end.init_duration_s),
            )
        if self._phase is not None:
            self._phase.update(status=end.status.value, **({"error_type": end.error_type} if end.error_type else {}))
        self._invocation = None

    def _exited(self, row: str, message: str) -> None:
        if self._ending:
            self._note(row, f"it ended: {message}")
        else:
            self._error(row, message)

    def _row(self, identifier: str) -> str:
        return f"extension {self._names.get(identifier, identifier)}"

    def _enter(self, name: str) -> None:
        self._leave()
        self._phase = {"name": name, "start_us": self._now_us, "end_us": None, **self._of_request()}
        self.phases.append(self._phase)

    def _leave(self, name: str = "") -> None:
        if self._phase is not None and name in ("", self._phase["name"]):
            self._phase["end_us"] = self._now_us
            self._phase = None

    def _begin(self, row: str, name: str) -> dict[str, Any]:
        """Open a span, or return the one that is open already."""
        span = self._open.get((row, name))
        if span is None:
            span = {"row": row, "name": name, "start_us": self._now_us, "end_us": None, **self._of_request()}
            self._open[row, name] = span
            self.spans.append(span)
        return span

    def _end(self, row: str, name: str, *, at_us: int | None = None) -> None:
        span = self._open.pop((row, name), None)
        if span is not None:
            span["end_us"] = self._now_us if at_us is None else at_us

    def _end_runtime(self) -> None:
        for key in (("runtime init", "init"), ("invoke", "invoke"), ("response", "response")):
            self._end(*key)
        self._end("runtime overhead", "overhead")

    def _end_all(self, *, but: Sequence[str]) -> None:
        for row, name in list(self._open):
            if row not in but:
                self._end(row, name)

    def _error(self, row: str, text: str) -> None:
        self._note(row, text, kind="error")

    def _note(self, row: str, text: str, kind: str = "note") -> None:
        self.markers.append({"us": self._now_us, "row": row, "kind": kind, "text": text, **self._of_request()})

    def _of_request(self) -> dict[str, str]:
        return {} if self._invocation is None else {"request_id": self._invocation["request_id"]}


def _row_of_program(detail: Mapping[str, Any]) -> str:  # Any: JSON
    program = str(detail.get("program", ""))
    folder, _, name = program.rpartition("/")
    return f"extension {name}" if folder == "/opt/extensions" else "runtime init"


def _size_of(payload: bytes) -> int:
    return payload.size_bytes if isinstance(payload, AbridgedBytes) else len(payload)


def _us(at_s: float, zero_s: float = 0.0) -> int:
    return round((at_s - zero_s) * 1e6)


def iso(moment: datetime) -> str:
    """A moment in UTC as documents show it, to the microsecond."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}Z"
