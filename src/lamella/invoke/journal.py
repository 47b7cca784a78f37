"""What is said of an environment's life: log lines, in text or as JSON (section 7), and telemetry events (5.4).

A log event that has several lines is one line of the log, with carriage returns for its line feeds: that is what
runtime clients themselves do where there is no framed channel (LG-09). Telemetry gets it as it was written.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from time import monotonic, time
from typing import Any, Final, NoReturn, Protocol, assert_never

from lamella.domain.function import FunctionVersion
from lamella.domain.invocation import Invocation
from lamella.invoke import report
from lamella.invoke.envelope import milliseconds, render, span
from lamella.invoke.output import Frame
from lamella.lifecycle.commands import (
    InitPhase,
    Record,
    RecordEnd,
    RecordExtension,
    RecordInit,
    RecordInitRuntimeDone,
    RecordInitStart,
    RecordRestore,
    RecordRestoreStart,
    RecordRuntimeDone,
    RecordStart,
    Status,
)
from lamella.lifecycle.telemetry_events import Api, Entry, JsonObject, Lines, Schema, Subscription
from lamella.ports.runtimes import RuntimePack

ON_DEMAND: Final = "on-demand"
PROVISIONED: Final = "provisioned-concurrency"

_LEVELS: Final = {"TRACE": 1, "DEBUG": 2, "INFO": 3, "WARN": 4, "ERROR": 5, "FATAL": 6}
_DEBUG: Final = _LEVELS["DEBUG"]
_INFO: Final = _LEVELS["INFO"]
_WARN: Final = _LEVELS["WARN"]
_MIB: Final = 1024 * 1024


class Emitter(Protocol):
    """Where telemetry events go: `lamella.invoke.delivery.Telemetry`.

    Attributes:
        active: Whether an event would reach anybody.
    """

    active: bool

    def emit(self, when_s: float, kind: str, record: Mapping[str, object] | str) -> None:
        """Take an event; `when_s` is seconds since the epoch."""


class Journal:
    """Log and telemetry of one environment."""

    def __init__(
        self,
        version: FunctionVersion,
        pack: RuntimePack,
        *,
        log_stream: str,
        write: Callable[[bytes], None],
        telemetry: Emitter,
        initialization_type: str = ON_DEMAND,
    ) -> None:
        """Write nothing yet.

        Args:
            version: The function version that the environment is for.
            pack: What it runs on.
            log_stream: Name of the environment's log stream.
            write: Appends complete lines to the log.
            telemetry: Of the environment.
            initialization_type: As telemetry spells it, see 5.3.
        """
        config = version.config
        logging = config.other.get("LoggingConfig") or {}
        tracing = config.other.get("TracingConfig") or {}
        self._version = version
        self._pack = pack
        self._log_stream = log_stream
        self._write = write
        self._telemetry = telemetry
        self._initialization_type = initialization_type
        self._memory_mib = config.memory_mib
        self._number = version.version
        self._traced = tracing.get("Mode") == "Active"
        self._text = logging.get("LogFormat") != "JSON"
        self._level = _LEVELS.get(logging.get("ApplicationLogLevel", "INFO"), _INFO)
        self._system_level = _LEVELS.get(logging.get("SystemLogLevel", "INFO"), _INFO)

    def record(self, command: Record, *, memory_peak_bytes: int = 0) -> None:
        """Say what happened.

        Args:
            command: What it was.
            memory_peak_bytes: Highest memory use so far, for `RecordEnd`.
        """
        # The three of every invocation, where nothing but text is asked for, cost no more than the making of that text:
        # they are part of what a warm invocation costs.
        if self._text and not self._telemetry.active:
            if isinstance(command, RecordStart):
                self._write(report.start(command.invocation.request_id, self._number))
                return
            if isinstance(command, RecordRuntimeDone):
                return
            if isinstance(command, RecordEnd):
                lines = report.end(command, memory_mib=self._memory_mib, memory_peak_bytes=memory_peak_bytes)
                self._write(lines + report.xray(command.invocation.trace_id) if self._traced else lines)
                return
        if isinstance(command, RecordStart):
            self._start(command)
        elif isinstance(command, RecordRuntimeDone):
            self._runtime_done(command)
        elif isinstance(command, RecordEnd):
            self._end(command, memory_peak_bytes)
        else:
            self._rare(command)

    def subscribed(self, name: str, subscription: Subscription) -> None:
        """Log that an extension has subscribed to telemetry; the event of it is the business of `Telemetry`."""
        if self._text:
            self._write(report.subscription(name, subscription))
        elif self._system_level <= _INFO:
            kind = "telemetrySubscription" if subscription.api is Api.TELEMETRY else "logsSubscription"
            record = {"name": name, "state": "Subscribed", "types": list(subscription.types)}
            self._write(_line(Entry(time(), f"platform.{kind}", record)))

    def function_lines(self, lines: bytes) -> None:
        """Log complete lines that the runtime printed."""
        if not self._text:
            self._json_lines(lines)
            return
        self._write(lines)
        if self._telemetry.active:
            self._emit_lines("function", lines)

    def extension_lines(self, lines: bytes) -> None:
        """Log complete lines that extensions printed."""
        self._write(lines)
        if self._telemetry.active:
            self._emit_lines("extension", lines)

    def launch_failed(self, reason: str) -> None:
        """Log why the first program of a container image could not be started (EN-25)."""
        if self._text:
            shown = "".join(char if char.isprintable() or char == "\t" else "?" for char in reason)
            self._write(f"IMAGE\tLaunch error: {shown}\n".encode(errors="replace"))

    def framed(self, frames: Iterable[Frame]) -> None:
        """Log events of the framed log channel; the client has left out those below the log level (7.3)."""
        active = self._telemetry.active
        for frame in frames:
            if not frame.text:
                continue
            self._write(_one_line(frame.text))
            if active:
                text = frame.text.decode(errors="replace")
                document = _object_of(frame.text) if not self._text else None
                record = text if document is None else JsonObject(text)
                self._telemetry.emit(frame.time_us / 1_000_000, "function", record)

    # The three of every invocation, where they are not plain lines

    def _start(self, command: RecordStart) -> None:
        invocation = command.invocation
        record: dict[str, object] = {"requestId": invocation.request_id, "version": self._number}
        _add_tracing(record, invocation)
        self._say(_INFO, "start", record, report.start(invocation.request_id, self._number))

    def _runtime_done(self, command: RecordRuntimeDone) -> None:
        record: dict[str, object] = {"requestId": command.invocation.request_id}
        _add_status(record, command.status, command.error_type)
        metrics: dict[str, object] = {"durationMs": milliseconds(command.duration_s)}
        if command.produced_bytes is not None:
            metrics["producedBytes"] = command.produced_bytes
        record["metrics"] = metrics
        if command.response_s is not None:
            epoch_s = time() - monotonic()
            first_s, last_s = command.response_s
            spans = [
                span("responseLatency", command.given_s, first_s, epoch_s),
                span("responseDuration", first_s, last_s, epoch_s),
            ]
            if command.done_s >= last_s:
                spans.append(span("runtimeOverhead", last_s, command.done_s, epoch_s))
            record["spans"] = spans
        _add_tracing(record, command.invocation)
        self._say(_DEBUG if command.status is Status.SUCCESS else _WARN, "runtimeDone", record)

    def _end(self, command: RecordEnd, memory_peak_bytes: int) -> None:
        request_id = command.invocation.request_id
        record: dict[str, object] = {"requestId": request_id}
        _add_status(record, command.status, command.error_type)
        metrics: dict[str, object] = {
            "durationMs": milliseconds(command.duration_s),
            "billedDurationMs": report.billed_ms(command),
            "memorySizeMB": self._memory_mib,
            "maxMemoryUsedMB": report.used_mib(self._memory_mib, memory_peak_bytes),
        }
        if command.init_duration_s is not None:
            metrics["initDurationMs"] = milliseconds(command.init_duration_s)
        if command.restore_duration_s is not None:
            metrics["restoreDurationMs"] = milliseconds(command.restore_duration_s)
        record["metrics"] = metrics
        if command.overhead_s is not None:
            record["spans"] = [span("extensionOverhead", *command.overhead_s, time() - monotonic())]
        _add_tracing(record, command.invocation)
        if self._telemetry.active:  # two that the Logs API alone knows (5.5)
            if command.status is not Status.SUCCESS:
                self._telemetry.emit(time(), "platform.fault", f"RequestId: {request_id} {self._fault(command)}")
            self._telemetry.emit(time(), "platform.end", {"requestId": request_id})
        level = _INFO if command.status is Status.SUCCESS else _WARN
        lines = report.end(command, memory_mib=self._memory_mib, memory_peak_bytes=memory_peak_bytes)
        if self._traced:
            lines += report.xray(command.invocation.trace_id)
        self._say(level, "report", record, lines)

    def _fault(self, command: RecordEnd) -> str:
        """What went wrong, in the words that logs of the real service had when the Logs API was new."""
        if command.status is Status.TIMEOUT:
            return f"Task timed out after {self._version.config.timeout_s:.2f} seconds"
        return f"Error: {command.error_type}"

    # Init, extensions, restore

    def _rare(
        self,
        command: RecordInitStart
        | RecordInitRuntimeDone
        | RecordExtension
        | RecordInit
        | RecordRestoreStart
        | RecordRestore,
    ) -> None:
        region = self._version.key.region
        match command:
            case RecordInitStart(phase):
                record: dict[str, object] = {
                    "initializationType": self._initialization_type,
                    "phase": phase,
                    **self._runtime(),
                    "functionName": self._version.key.name,
                    "functionVersion": self._number,
                    "instanceId": self._log_stream,
                    "instanceMaxMemory": self._memory_mib * _MIB,
                }
                # In text it is the first line of a stream; an init inside an invocation has none (4.3), and where there
                # is no version of a runtime to be told, as with images, there is nothing to say (7.3).
                told = phase is not InitPhase.INVOKE and self._pack.version
                level = _INFO if self._pack.version else _DEBUG
                self._say(level, "initStart", record, report.init_start(self._pack, region) if told else b"")
            case RecordInitRuntimeDone(phase, status, error_type):
                record = {"initializationType": self._initialization_type, "phase": phase}
                _add_status(record, status, error_type)
                self._say(_DEBUG if status is Status.SUCCESS else _WARN, "initRuntimeDone", record)
            case RecordExtension(name, state, events, error_type):
                record = {"name": name, "state": state, "events": list(events)}
                if error_type:
                    record["errorType"] = error_type
                self._say(_WARN if error_type else _INFO, "extension", record, report.extension(command))
            case RecordInit(phase, duration_s, status, error_type):
                record = {"initializationType": self._initialization_type, "phase": phase}
                _add_status(record, status, error_type)
                record["metrics"] = {"durationMs": milliseconds(duration_s)}
                good = _DEBUG if self._initialization_type == ON_DEMAND else _INFO
                level = good if status is Status.SUCCESS else _WARN
                always = self._initialization_type == PROVISIONED
                self._say(level, "initReport", record, report.init_report(command, always=always))
            case RecordRestoreStart():
                record = {
                    **self._runtime(),
                    "functionName": self._version.key.name,
                    "functionVersion": self._number,
                }
                self._say(_INFO, "restoreStart", record, report.restore_start(self._pack, region))
            case RecordRestore(duration_s, status, error_type):
                done: dict[str, object] = {}
                _add_status(done, status, error_type)
                self._say(_DEBUG if status is Status.SUCCESS else _WARN, "restoreRuntimeDone", done)
                record = {**done, "metrics": {"durationMs": milliseconds(duration_s)}}
                level = _INFO if status is Status.SUCCESS else _WARN
                self._say(level, "restoreReport", record, report.restore_report(command))
            case _:
                assert_never(command)

    def _runtime(self) -> dict[str, object]:
        if not self._pack.version:
            return {}
        return {
            "runtimeVersion": self._pack.version,
            "runtimeVersionArn": report.runtime_arn(self._pack, self._version.key.region),
        }

    def _say(self, level: int, name: str, record: Mapping[str, object], text: bytes = b"") -> None:
        """Log a platform event and emit it.

        Args:
            level: From which a log in JSON shows it.
            name: Without `platform.`.
            record: Of the event.
            text: Lines of a log in text, if it has any.
        """
        entry = Entry(time(), f"platform.{name}", record)
        if not self._text:
            if level >= self._system_level:
                self._write(_line(entry))
        elif text:
            self._write(text)
        if self._telemetry.active:
            self._telemetry.emit(entry.when_s, entry.kind, record)

    # Lines of processes

    def _json_lines(self, lines: bytes) -> None:
        """Apply the log level (7.3), to the log alone: subscribers get everything."""
        active = self._telemetry.active
        kept: list[bytes] = []
        plain: list[bytes] = []  # lines that are no objects, one after the other
        for line in lines[:-1].split(b"\n"):  # other characters that may end a line do not (LG-09)
            document = _object_of(line)
            if document is None:
                kept.append(line + b"\n")
                plain.append(line + b"\n")
                continue
            if _level_of(document) >= self._level:
                kept.append(line + b"\n")
            if active:
                self._emit_lines("function", b"".join(plain))
                plain.clear()
                when_s = _time_of(document)
                text = JsonObject(line.decode(errors="replace") + "\n")
                self._telemetry.emit(time() if when_s is None else when_s, "function", text)
        if kept:
            self._write(b"".join(kept))
        if active:
            self._emit_lines("function", b"".join(plain))

    def _emit_lines(self, kind: str, lines: bytes) -> None:
        if lines:
            self._telemetry.emit(time(), kind, Lines(lines.decode(errors="replace")))


def _one_line(text: bytes) -> bytes:
    """An event as one line of the log, see above."""
    return text.removesuffix(b"\n").replace(b"\r\n", b"\r").replace(b"\n", b"\r") + b"\n"


def _line(entry: Entry) -> bytes:
    return b"".join(render(entry, Schema.TELEMETRY_2025_01_29)) + b"\n"


def _add_status(record: dict[str, object], status: Status, error_type: str) -> None:
    """Add status and error type (5.3): the type comes with every status but success and timeout (TL-48)."""
    record["status"] = status
    if status not in (Status.SUCCESS, Status.TIMEOUT):
        record["errorType"] = error_type or "Runtime.Unknown"


def _add_tracing(record: dict[str, object], invocation: Invocation) -> None:
    if invocation.trace_id:
        record["tracing"] = {"type": "X-Amzn-Trace-Id", "value": invocation.trace_id}


# Lines that functions print come as any JSON there is.


def _object_of(line: bytes) -> dict[str, Any] | None:
    """The JSON object that a line is; `None` if it is none."""
    if not line.lstrip().startswith(b"{"):
        return None
    try:
        document = _decode(line.decode(errors="replace"))
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_decode: Final = json.JSONDecoder(parse_constant=_refuse_constant).decode


def _level_of(document: Mapping[str, Any]) -> int:
    level = document.get("level")
    return _LEVELS.get(level.upper(), _INFO) if isinstance(level, str) else _INFO


def _time_of(document: Mapping[str, Any]) -> float | None:
    """Seconds since the epoch if there is a valid `timestamp` by RFC 3339."""
    given = document.get("timestamp")
    if not isinstance(given, str):
        return None
    try:
        moment = datetime.fromisoformat(given)
        return moment.timestamp() if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
