"""What is said of an environment's life: sections 5.4 and 7 of the contract."""

import json
import re
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lamella.domain.function import Architecture, Artifact, FunctionConfig, FunctionKey, FunctionVersion
from lamella.domain.invocation import Invocation
from lamella.invoke.envelope import render
from lamella.invoke.journal import Journal
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
from lamella.lifecycle.telemetry_events import Destination, Entry, Schema, Subscription
from lamella.ports.runtimes import RuntimePack

PACK = RuntimePack("python3.13", Architecture.X86_64, Path("/"), "ab" * 32, "python:3.13.v10", ())
ARN = f"arn:aws:lambda:eu-west-1::runtime:{'ab' * 32}"
TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
INVOCATION = Invocation("r-1", b"", "application/json", "arn", TRACE)
TRACING = {"type": "X-Amzn-Trace-Id", "value": TRACE}
SUBSCRIPTION = Subscription(Schema.TELEMETRY_2022_07_01, ("platform", "function"), Destination("HTTP", 4243))
MIB = 1024 * 1024


class Listener:
    """Stands for the subscribers."""

    def __init__(self, *, active: bool = True) -> None:
        self.active = active
        self.entries: list[Entry] = []

    def emit(self, when_s: float, kind: str, record: Any) -> None:
        assert self.active, "made for nobody"
        self.entries.append(Entry(when_s, kind, record))

    def events(self, schema: Schema = Schema.TELEMETRY_2025_01_29) -> list[tuple[str, Any]]:
        """Type and record, as a subscriber gets them."""
        rendered = [json.loads(data) for entry in self.entries for data in render(entry, schema)]
        return [(event["type"], event["record"]) for event in rendered]


class Desk:
    """A journal, its log and its listener."""

    def __init__(
        self, *, active: bool = True, initialization_type: str = "on-demand", pack: RuntimePack = PACK, **other: Any
    ) -> None:
        config = FunctionConfig("role", "python3.13", "f.h", timeout_s=3, other=other)
        version = FunctionVersion(
            FunctionKey("123456789012", "eu-west-1", "f"),
            "$LATEST",
            Artifact("d", "c", 1, 1),
            config,
            "revision",
            datetime(2026, 11, 20, tzinfo=UTC),
        )
        self.listener = Listener(active=active)
        self.written: list[bytes] = []
        self.journal = Journal(
            version,
            pack,
            log_stream="2026/11/20/[$LATEST]0d5c",
            write=self.written.append,
            telemetry=self.listener,
            initialization_type=initialization_type,
        )

    @property
    def log(self) -> str:
        text = b"".join(self.written).decode()
        assert not text or text.endswith("\n")
        return text

    def record(self, *commands: Record, memory_peak_bytes: int = 36 * MIB) -> "Desk":
        for command in commands:
            self.journal.record(command, memory_peak_bytes=memory_peak_bytes)
        return self


def json_desk(**logging: str) -> Desk:
    return Desk(LoggingConfig={"LogFormat": "JSON", **logging})


COLD_START: tuple[Record, ...] = (
    RecordInitStart(InitPhase.INIT),
    RecordInitRuntimeDone(InitPhase.INIT, Status.SUCCESS),
    RecordExtension("ext.py", "Ready", ("INVOKE", "SHUTDOWN")),
    RecordInit(InitPhase.INIT, 0.13329, Status.SUCCESS),
    RecordStart(INVOCATION),
    RecordRuntimeDone(INVOCATION, 0.0128044, Status.SUCCESS, "", 16, 10.0, (10.0112, 10.011216), 10.0128044),
    RecordEnd(INVOCATION, 0.0139, Status.SUCCESS, "", 0.13329, overhead_s=(10.0128044, 10.0139)),
)


# Text


def test_lines_of_a_cold_start() -> None:
    """LG-01, LG-07, LG-08: each line in full, and none for what has none in text."""
    assert Desk().record(*COLD_START).log == (
        f"INIT_START Runtime Version: python:3.13.v10\tRuntime Version ARN: {ARN}\n"
        "EXTENSION\tName: ext.py\tState: Ready\tEvents: [INVOKE, SHUTDOWN]\n"
        "START RequestId: r-1 Version: $LATEST\n"
        "END RequestId: r-1\n"
        "REPORT RequestId: r-1\tDuration: 13.90 ms\tBilled Duration: 148 ms\tMemory Size: 128 MB"
        "\tMax Memory Used: 36 MB\tInit Duration: 133.29 ms\t\n"
    )


def test_what_runs_on_no_runtime_has_no_version_of_one() -> None:
    desk = Desk(pack=replace(PACK, version=""))
    assert desk.record(*COLD_START).log.startswith("EXTENSION")
    (start,) = [record for kind, record in desk.listener.events() if kind == "platform.initStart"]
    assert not {"runtimeVersion", "runtimeVersionArn"} & set(start)
    desk = Desk(pack=replace(PACK, version=""), LoggingConfig={"LogFormat": "JSON", "SystemLogLevel": "INFO"})
    assert "initStart" not in desk.record(*COLD_START).log  # 7.3: it is told to those who want to know everything


def test_why_an_image_could_not_be_started() -> None:
    """EN-25: one line, whatever the image calls its program."""
    desk = Desk()
    desk.journal.launch_failed("fork/exec /a\x1b[31m\nREPORT: no\tEntrypoint: []")
    assert desk.log == "IMAGE\tLaunch error: fork/exec /a?[31m?REPORT: no\tEntrypoint: []\n"
    desk = json_desk()
    desk.journal.launch_failed("no")
    assert desk.log == ""


def test_the_log_is_the_same_when_nobody_listens() -> None:
    silent = Desk(active=False).record(*COLD_START)
    assert silent.log == Desk().record(*COLD_START).log
    assert silent.listener.entries == []


def test_extensions_without_events_and_with_errors() -> None:
    """LG-08."""
    desk = Desk().record(
        RecordExtension("a", "Ready", ()),
        RecordExtension("b", "LaunchError", (), "Extension.LaunchError"),
        RecordExtension("c\nSTART RequestId: forged", "Registered", ("INVOKE",), "Extension.\tX\n"),
    )
    assert desk.log == (
        "EXTENSION\tName: a\tState: Ready\tEvents: []\n"
        "EXTENSION\tName: b\tState: LaunchError\tEvents: []\tError Type: Extension.LaunchError\n"
        "EXTENSION\tName: c?START RequestId: forged\tState: Registered\tEvents: [INVOKE]\tError Type: Extension.?X?\n"
    )


def test_lines_of_subscriptions() -> None:
    desk = Desk()
    desk.journal.subscribed("ext.py", SUBSCRIPTION)
    desk.journal.subscribed("old", Subscription(Schema.LOGS_2020_08_15, ("platform",), Destination("TCP", 80)))
    assert desk.log == (
        "TELEMETRY\tName: ext.py\tState: Subscribed\tTypes: [Platform, Function]\n"
        "LOGS\tName: old\tState: Subscribed\tTypes: [Platform]\n"
    )
    assert desk.listener.entries == [], "that event is the telemetry's own"


def test_lines_of_a_restore() -> None:
    """LG-06, and the REPORT after it (LG-01), in the form of recordings of 2023."""
    desk = Desk().record(
        RecordRestoreStart(),
        RecordRestore(0.01519, Status.SUCCESS),
        RecordRestore(1.23604, Status.ERROR, "Runtime.ExitError"),
        RecordRestore(10.0, Status.TIMEOUT),
        RecordEnd(INVOCATION, 0.0139, Status.SUCCESS, restore_duration_s=0.01519),
    )
    assert desk.log == (
        f"RESTORE_START Runtime Version: python:3.13.v10\tRuntime Version ARN: {ARN}\n"
        "RESTORE_REPORT Restore Duration: 15.19 ms\n"
        "RESTORE_REPORT Restore Duration: 1236.04 ms\tStatus: error\tError Type: Runtime.ExitError\n"
        "RESTORE_REPORT Restore Duration: 10000.00 ms\tStatus: timeout\n"
        "END RequestId: r-1\n"
        "REPORT RequestId: r-1\tDuration: 13.90 ms\tBilled Duration: 30 ms\tMemory Size: 128 MB"
        "\tMax Memory Used: 36 MB\tRestore Duration: 15.19 ms\tBilled Restore Duration: 16 ms\t\n"
    )


def test_an_init_inside_an_invocation_has_no_first_line() -> None:
    """LG-05 and section 4.3."""
    desk = Desk().record(
        RecordInitStart(InitPhase.INVOKE), RecordInit(InitPhase.INVOKE, 0.5, Status.ERROR, "Runtime.Unknown")
    )
    assert (
        desk.log == "INIT_REPORT Init Duration: 500.00 ms\tPhase: invoke\tStatus: error\tError Type: Runtime.Unknown\n"
    )


@pytest.mark.parametrize(
    ("mode", "trace_id", "line"),
    [
        (
            "Active",
            TRACE,
            "XRAY TraceId: 1-5759e988-bd862e3fe1be46a994272793\tSegmentId: 53995c3f42cd8ad8\tSampled: true\t",
        ),
        ("Active", TRACE.replace("Sampled=1", "Sampled=0"), None),
        ("Active", "nonsense;=;", None),
        ("PassThrough", TRACE, None),
    ],
)
def test_the_line_of_a_sampled_trace(mode: str, trace_id: str, line: str | None) -> None:
    """LG-03: with active tracing, after REPORT."""
    invocation = Invocation("r-1", b"", "application/json", "arn", trace_id)
    for active in (True, False):
        desk = Desk(active=active, TracingConfig={"Mode": mode}).record(RecordEnd(invocation, 0.001, Status.SUCCESS))
        report, *rest = desk.log.splitlines()[1:]
        assert report.startswith("REPORT ")
        assert rest == ([] if line is None else [line])


# Telemetry


def test_events_of_a_cold_start() -> None:
    """TL-40, TL-42, TL-43, TL-44, TL-45, TL-47: all members, in order."""
    desk = Desk()
    before_s = time.time()
    desk.record(*COLD_START)
    events = desk.listener.events()
    assert [kind.removeprefix("platform.") for kind, _ in events] == [
        "initStart",
        "initRuntimeDone",
        "extension",
        "initReport",
        "start",
        "runtimeDone",
        "report",
    ]
    start, done, extension, init, began, runtime_done, report = [record for _, record in events]
    assert list(start.items()) == [
        ("initializationType", "on-demand"),
        ("phase", "init"),
        ("runtimeVersion", "python:3.13.v10"),
        ("runtimeVersionArn", ARN),
        ("functionName", "f"),
        ("functionVersion", "$LATEST"),
        ("instanceId", "2026/11/20/[$LATEST]0d5c"),
        ("instanceMaxMemory", 134217728),
    ]
    assert list(done.items()) == [("initializationType", "on-demand"), ("phase", "init"), ("status", "success")]
    assert extension == {"name": "ext.py", "state": "Ready", "events": ["INVOKE", "SHUTDOWN"]}
    assert init == {
        "initializationType": "on-demand",
        "phase": "init",
        "status": "success",
        "metrics": {"durationMs": 133.29},
    }
    assert list(began.items()) == [("requestId", "r-1"), ("version", "$LATEST"), ("tracing", TRACING)]
    assert list(runtime_done) == ["requestId", "status", "metrics", "spans", "tracing"]
    assert runtime_done["metrics"] == {"durationMs": 12.804, "producedBytes": 16}
    assert [(one["name"], one["durationMs"]) for one in runtime_done["spans"]] == [
        ("responseLatency", 11.2),
        ("responseDuration", 0.016),
        ("runtimeOverhead", 1.588),
    ]
    assert list(report) == ["requestId", "status", "metrics", "spans", "tracing"]
    assert report["metrics"] == {
        "durationMs": 13.9,
        "billedDurationMs": 148,
        "memorySizeMB": 128,
        "maxMemoryUsedMB": 36,
        "initDurationMs": 133.29,
    }
    assert [(one["name"], one["durationMs"]) for one in report["spans"]] == [("extensionOverhead", 1.096)]
    assert all(before_s <= entry.when_s <= time.time() for entry in desk.listener.entries)


def test_spans_are_on_the_clock_of_the_world() -> None:
    """TL-43: monotonic moments become times of day."""
    now_s = time.monotonic()
    desk = Desk().record(
        RecordRuntimeDone(INVOCATION, 3.0, Status.SUCCESS, "", 1, now_s - 3.0, (now_s - 2.0, now_s - 1.0), now_s)
    )
    ((_, record),) = desk.listener.events()
    starts = [datetime.fromisoformat(one["start"]).timestamp() - time.time() for one in record["spans"]]
    assert starts == pytest.approx([-3.0, -2.0, -1.0], abs=0.5)


def test_a_runtime_that_does_not_come_back_has_no_overhead() -> None:
    """TL-43: it answered, and then its time was up."""
    desk = Desk().record(RecordRuntimeDone(INVOCATION, 3.0, Status.TIMEOUT, "", 1, 10.0, (11.0, 12.0)))
    ((_, record),) = desk.listener.events()
    assert [one["name"] for one in record["spans"]] == ["responseLatency", "responseDuration"]


def test_events_of_a_timeout() -> None:
    """TL-42, TL-49: nothing produced, no spans, no error type."""
    desk = Desk().record(RecordRuntimeDone(INVOCATION, 3.0, Status.TIMEOUT), RecordEnd(INVOCATION, 3.0, Status.TIMEOUT))
    (_, done), (_, report) = desk.listener.events()
    assert done == {"requestId": "r-1", "status": "timeout", "metrics": {"durationMs": 3000.0}, "tracing": TRACING}
    assert report["status"] == "timeout"
    assert "errorType" not in report
    assert "spans" not in report


def test_events_of_a_crash() -> None:
    """TL-49: both with the type."""
    desk = Desk().record(
        RecordRuntimeDone(INVOCATION, 0.041, Status.ERROR, "Runtime.ExitError"),
        RecordEnd(INVOCATION, 0.041, Status.ERROR, "Runtime.ExitError"),
    )
    for _, record in desk.listener.events():
        assert list(record)[:3] == ["requestId", "status", "errorType"]
        assert (record["status"], record["errorType"]) == ("error", "Runtime.ExitError")


def test_events_of_a_failed_init() -> None:
    """TL-48: `Runtime.Unknown` if there is no type, none for a timeout; phase `invoke` for the second try."""
    desk = Desk().record(
        RecordInitRuntimeDone(InitPhase.INIT, Status.ERROR),
        RecordInit(InitPhase.INIT, 1.0, Status.ERROR, "Runtime.ExitError"),
        RecordInitStart(InitPhase.INVOKE),
        RecordInitRuntimeDone(InitPhase.INVOKE, Status.TIMEOUT),
        RecordInit(InitPhase.INVOKE, 1.0, Status.TIMEOUT),
    )
    seen = [(r["phase"], r.get("status"), r.get("errorType")) for _, r in desk.listener.events()]
    assert seen == [
        ("init", "error", "Runtime.Unknown"),
        ("init", "error", "Runtime.ExitError"),
        ("invoke", None, None),
        ("invoke", "timeout", None),
        ("invoke", "timeout", None),
    ]


def test_events_of_a_failed_extension() -> None:
    """TL-45."""
    desk = Desk().record(RecordExtension("x", "LaunchError", (), "Extension.LaunchError"))
    assert desk.listener.events() == [
        (
            "platform.extension",
            {"name": "x", "state": "LaunchError", "events": [], "errorType": "Extension.LaunchError"},
        )
    ]


def test_events_of_a_restore() -> None:
    """TL-44: its duration is in the report of the first invocation."""
    desk = Desk(initialization_type="snap-start").record(
        RecordRestoreStart(),
        RecordRestore(0.01519, Status.SUCCESS),
        RecordEnd(INVOCATION, 0.001, Status.SUCCESS, restore_duration_s=0.01519),
    )
    start, done, restore, report = desk.listener.events()
    assert start == (
        "platform.restoreStart",
        {"runtimeVersion": PACK.version, "runtimeVersionArn": ARN, "functionName": "f", "functionVersion": "$LATEST"},
    )
    assert done == ("platform.restoreRuntimeDone", {"status": "success"})
    assert restore == ("platform.restoreReport", {"status": "success", "metrics": {"durationMs": 15.19}})
    assert report[1]["metrics"]["restoreDurationMs"] == 15.19


def test_events_of_the_logs_api() -> None:
    """Section 5.5: END, and what went wrong in words."""
    desk = Desk().record(RecordStart(INVOCATION), RecordEnd(INVOCATION, 3.0, Status.TIMEOUT))
    assert [kind for kind, _ in desk.listener.events(Schema.LOGS_2020_08_15)] == [
        "platform.start",
        "platform.fault",
        "platform.end",
        "platform.report",
    ]
    assert desk.listener.events(Schema.LOGS_2020_08_15)[1][1] == "RequestId: r-1 Task timed out after 3.00 seconds"
    crash = Desk().record(RecordEnd(INVOCATION, 1.0, Status.ERROR, "Runtime.ExitError"))
    assert crash.listener.events(Schema.LOGS_2020_08_15)[0] == (
        "platform.fault",
        "RequestId: r-1 Error: Runtime.ExitError",
    )
    good = Desk().record(RecordEnd(INVOCATION, 1.0, Status.SUCCESS))
    assert "platform.fault" not in [kind for kind, _ in good.listener.events(Schema.LOGS_2020_08_15)]


def test_an_invocation_without_a_trace_has_no_tracing() -> None:
    """TL-41: absent values are left out."""
    desk = Desk().record(RecordStart(Invocation("r-1", b"", "application/json", "arn", "")))
    assert desk.listener.events() == [("platform.start", {"requestId": "r-1", "version": "$LATEST"})]


# JSON


def test_platform_lines_in_json() -> None:
    """Section 7.3: the telemetry objects, one to a line."""
    desk = json_desk(SystemLogLevel="DEBUG").record(*COLD_START)
    lines = [json.loads(line) for line in desk.log.splitlines()]
    assert [line["type"] for line in lines] == [
        "platform.initStart",
        "platform.initRuntimeDone",
        "platform.extension",
        "platform.initReport",
        "platform.start",
        "platform.runtimeDone",
        "platform.report",
    ]
    assert [(line["type"], line["record"]) for line in lines] == desk.listener.events()
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"]) for line in lines)


GOOD_INFO = ["initStart", "extension", "start", "report"]


@pytest.mark.parametrize(
    ("level", "good", "bad"),
    [
        (
            "DEBUG",
            ["initStart", "initRuntimeDone", "extension", "initReport", "start", "runtimeDone", "report"],
            ["initRuntimeDone", "extension", "initReport", "runtimeDone", "report"],
        ),
        ("INFO", GOOD_INFO, ["initRuntimeDone", "extension", "initReport", "runtimeDone", "report"]),
        ("WARN", [], ["initRuntimeDone", "extension", "initReport", "runtimeDone", "report"]),
    ],
)
def test_the_system_log_level(level: str, good: list[str], bad: list[str]) -> None:
    """Section 7.3: the table of levels; subscribers get everything."""
    desk = json_desk(SystemLogLevel=level).record(*COLD_START)
    assert _kinds(desk) == good
    assert len(desk.listener.events()) == len(COLD_START)
    failed = json_desk(SystemLogLevel=level).record(
        RecordInitRuntimeDone(InitPhase.INIT, Status.ERROR),
        RecordExtension("x", "Started", (), "Extension.Crash"),
        RecordInit(InitPhase.INIT, 1.0, Status.ERROR),
        RecordRuntimeDone(INVOCATION, 1.0, Status.TIMEOUT),
        RecordEnd(INVOCATION, 1.0, Status.TIMEOUT),
    )
    assert _kinds(failed) == bad


def test_levels_of_a_restore_and_of_init_ahead_of_time() -> None:
    """Section 7.3."""
    logging = {"LogFormat": "JSON", "SystemLogLevel": "INFO"}
    desk = Desk(initialization_type="snap-start", LoggingConfig=logging).record(
        RecordInit(InitPhase.INIT, 1.0, Status.SUCCESS), RecordRestoreStart(), RecordRestore(1.0, Status.SUCCESS)
    )
    assert _kinds(desk) == ["initReport", "restoreStart", "restoreReport"]


def _kinds(desk: Desk) -> list[str]:
    return [json.loads(line)["type"].removeprefix("platform.") for line in desk.log.splitlines()]


@pytest.mark.parametrize(("level", "shown"), [("INFO", True), ("WARN", False)])
def test_subscriptions_in_json(level: str, *, shown: bool) -> None:
    desk = json_desk(SystemLogLevel=level)
    desk.journal.subscribed("ext.py", SUBSCRIPTION)
    assert bool(desk.log) is shown
    if shown:
        line = json.loads(desk.log)
        assert line["type"] == "platform.telemetrySubscription"
        assert line["record"] == {"name": "ext.py", "state": "Subscribed", "types": ["platform", "function"]}


# Lines of processes


def test_lines_are_one_event_each() -> None:
    """TL-46, LG-09: only a line feed ends a line; a carriage return is kept."""
    desk = Desk()
    desk.journal.function_lines(b"one\r\ntw\ro\n\n\xff\x85\n")
    desk.journal.extension_lines(b"of an extension\n")
    assert desk.written == [b"one\r\ntw\ro\n\n\xff\x85\n", b"of an extension\n"]
    assert desk.listener.events() == [
        ("function", "one\r\n"),
        ("function", "tw\ro\n"),
        ("function", "\n"),
        ("function", "\ufffd\ufffd\n"),
        ("extension", "of an extension\n"),
    ]


def test_json_lines_of_a_text_log_are_texts() -> None:
    """TL-46."""
    desk = Desk()
    desk.journal.function_lines(b'{"level":"DEBUG"}\n')
    assert desk.log == '{"level":"DEBUG"}\n'
    assert desk.listener.events() == [("function", '{"level":"DEBUG"}\n')]


def test_lines_of_a_silent_environment_make_no_events() -> None:
    for desk in (Desk(active=False), Desk(active=False, LoggingConfig={"LogFormat": "JSON"})):
        desk.journal.function_lines(b"a\n{}\n")
        desk.journal.extension_lines(b"b\n")
        desk.journal.framed([Frame(3, False, 0, b"c\n")])
        assert desk.log == "a\n{}\nb\nc\n"


LEVELS = ["trace", "Debug", "INFO", "warn", "ERROR", "FATAL"]


@pytest.mark.parametrize("place", range(len(LEVELS)))
def test_the_application_log_level(place: int) -> None:
    """Section 7.3: any case; subscribers get everything (TL-46)."""
    desk = json_desk(ApplicationLogLevel=LEVELS[place].upper())
    desk.journal.function_lines(b"".join(b'{"level":"%s"}\n' % level.encode() for level in LEVELS))
    assert [json.loads(line)["level"] for line in desk.log.splitlines()] == LEVELS[place:]
    assert [record["level"] for _, record in desk.listener.events()] == LEVELS


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (b"plain text\n", True),
        (b'{"level":"debug"\n', True),  # not JSON
        (b'["level"]\n', True),
        (b'{"message":"m"}\n', False),  # counts as INFO
        (b'{"level":"LOUD"}\n', False),
        (b'{"level":7}\n', False),
        (b'{"level":"ERROR"}\n', True),
        (b'  {"level":"error"} \r\n', True),
        (b'{"level":"DEBUG","x":NaN}\n', True),  # not JSON, though Python reads it
        (b'{"level":"DEBUG","x":' + b"[" * 100_000 + b"\n", True),
        (b'{"level":"DEBUG","x":' + b"9" * 5000 + b"}\n", True),
        (b"\n", True),
    ],
)
def test_which_lines_have_a_level(line: bytes, *, kept: bool) -> None:
    """Section 7.3: applied to JSON objects; missing and unknown levels count as INFO."""
    desk = json_desk(ApplicationLogLevel="WARN")
    desk.journal.function_lines(line)
    assert desk.written == ([line] if kept else [])
    assert len(desk.listener.events()) == 1, "whatever it is, a subscriber can read it"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2026-11-20T19:08:01.847Z", "2026-11-20T19:08:01.847Z"),
        ("2026-11-20T20:08:01+01:00", "2026-11-20T19:08:01.000Z"),
        ("2026-11-20T19:08:01", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("yesterday", None),
        (5, None),
    ],
)
def test_the_time_of_a_json_line(given: Any, expected: str | None) -> None:
    """Section 7.3: a valid RFC 3339 timestamp counts."""
    desk = json_desk()
    before_s = time.time()
    desk.journal.function_lines(json.dumps({"timestamp": given}).encode() + b"\n")
    (entry,) = desk.listener.entries
    shown = json.loads(render(entry, Schema.TELEMETRY_2025_01_29)[0])["time"]
    if expected is not None:
        assert shown == expected
    else:
        assert entry.when_s >= before_s or shown.startswith("1970-")


# Framed


def test_an_event_of_many_lines() -> None:
    """Section 6.5: one line of the log, with the carriage returns that clients use otherwise (LG-09); telemetry gets
    it as it was written."""
    desk = Desk()
    desk.journal.framed(
        [Frame(5, False, 1_795_201_681_847_000, b"[ERROR] x\nTraceback\r\n  line\n"), Frame(3, False, 0, b"")]
    )
    assert desk.log == "[ERROR] x\rTraceback\r  line\n"
    assert desk.listener.entries == [Entry(1795201681.847, "function", "[ERROR] x\nTraceback\r\n  line\n")]


def test_a_framed_json_object() -> None:
    """TL-46."""
    desk = json_desk(ApplicationLogLevel="ERROR")
    desk.journal.framed([Frame(3, True, 0, b'{"level":"INFO"}\n'), Frame(3, True, 2**64 - 1, b"no object")])
    assert desk.log == '{"level":"INFO"}\nno object\n', "its client has applied the level"
    assert desk.listener.events() == [("function", {"level": "INFO"}), ("function", "no object")]
