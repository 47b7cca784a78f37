"""Events as JSON, in the forms of the two APIs: sections 5.3 to 5.5."""

import json
from typing import Any

import pytest

from lamella.invoke.envelope import milliseconds, render, span, timestamp
from lamella.lifecycle.telemetry_events import Api, Entry, JsonObject, Lines, Schema

WHEN_S = 1795201681.8476
TELEMETRY = [schema for schema in Schema if schema.api is Api.TELEMETRY]
LOGS = [schema for schema in Schema if schema.api is Api.LOGS]
REPORT = {
    "requestId": "r",
    "status": "error",
    "errorType": "Runtime.ExitError",
    "metrics": {
        "durationMs": 13.9,
        "billedDurationMs": 148,
        "memorySizeMB": 128,
        "maxMemoryUsedMB": 36,
        "initDurationMs": 133.29,
        "restoreDurationMs": 1.0,
    },
    "tracing": {"type": "X-Amzn-Trace-Id", "value": "Root=1"},
}


def form(schema: Schema, kind: str, record: Any) -> Any:
    rendered = render(Entry(WHEN_S, kind, record), schema)
    assert not rendered or b"\n" not in rendered[0]
    return json.loads(rendered[0]) if rendered else None


@pytest.mark.parametrize("schema", TELEMETRY)
def test_the_envelope(schema: Schema) -> None:
    """TL-40: key order, and time with three decimals."""
    assert render(Entry(WHEN_S, "platform.start", {"requestId": "r"}), schema) == (
        b'{"time":"2026-11-20T19:08:01.847Z","type":"platform.start","record":{"requestId":"r"}}',
    )


@pytest.mark.parametrize(
    ("when_s", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (-5.0, "1970-01-01T00:00:00.000Z"),
        (1795201681.9999, "2026-11-20T19:08:01.999Z"),
        (2.0**64 / 1e6, "9999-12-31T00:00:00.000Z"),
        (float("inf"), "9999-12-31T00:00:00.000Z"),
    ],
)
def test_any_time_has_a_form(when_s: float, text: str) -> None:
    """A runtime client may claim any."""
    assert timestamp(when_s) == text


def test_numbers_have_three_decimals_at_most() -> None:
    assert [milliseconds(s) for s in (0.0128044, 3.0, -0.1)] == [12.804, 3000.0, 0.0]
    assert span("responseLatency", 1.0, 1.0112, WHEN_S - 1.0) == {
        "name": "responseLatency",
        "start": "2026-11-20T19:08:01.847Z",
        "durationMs": 11.2,
    }


@pytest.mark.parametrize("schema", Schema)
def test_a_text_keeps_its_line_feed(schema: Schema) -> None:
    """TL-46: as written, whatever it holds."""
    for text in ("hello\n", 'a "b"\tc\r\u2028\u00e9\n', "Zwei\nZeilen\n", "\x00\x1b[0m\n"):
        assert form(schema, "function", text)["record"] == text
    assert form(schema, "extension", "\ud800\n")["record"] == "?\n"


@pytest.mark.parametrize("schema", Schema)
def test_lines_are_events_of_their_own(schema: Schema) -> None:
    """TL-46, LG-09: each as if it had come by itself."""
    texts = ["hello\n", "\n", 'a "b"\tc\r\u2028\u00e9\\\n', "\x00\x1b[0m\n"]
    assert render(Entry(WHEN_S, "function", Lines("".join(texts))), schema) == [
        data for text in texts for data in render(Entry(WHEN_S, "function", text), schema)
    ]


def test_json_objects() -> None:
    """TL-46: objects from 2022-12-13 on, texts before and for the Logs API."""
    line = JsonObject('{"level":"INFO",\t"a":[1.50,{"b":null}]}\r\n')
    for schema in Schema:
        record = form(schema, "function", line)["record"]
        if schema in (Schema.TELEMETRY_2022_12_13, Schema.TELEMETRY_2025_01_29):
            assert record == {"level": "INFO", "a": [1.5, {"b": None}]}
        else:
            assert record == line


@pytest.mark.parametrize("schema", TELEMETRY)
def test_telemetry_knows_no_events_of_the_logs_api(schema: Schema) -> None:
    assert form(schema, "platform.end", {"requestId": "r"}) is None
    assert form(schema, "platform.fault", "RequestId: r Error") is None
    assert form(schema, "platform.report", REPORT)["record"] == REPORT


@pytest.mark.parametrize("schema", LOGS)
def test_the_logs_api_shows_less(schema: Schema) -> None:
    """Section 5.5."""
    start = {"requestId": "r", "version": "$LATEST", "tracing": {"value": "Root=1"}}
    assert form(schema, "platform.start", start)["record"] == {"requestId": "r", "version": "$LATEST"}
    metrics = dict(REPORT["metrics"])  # type: ignore[call-overload]  # a mapping
    del metrics["restoreDurationMs"]
    assert form(schema, "platform.report", REPORT)["record"] == {"requestId": "r", "metrics": metrics}
    assert form(schema, "platform.fault", "RequestId: r gone")["record"] == "RequestId: r gone"
    assert form(schema, "platform.extension", {"name": "e"})["record"] == {"name": "e"}
    for kind in ("initStart", "initRuntimeDone", "initReport", "restoreStart", "telemetrySubscription"):
        assert form(schema, f"platform.{kind}", {}) is None


def test_runtime_done_of_the_logs_api() -> None:
    """Section 5.5: with 2021-03-18 alone, and with words of its own for the status."""
    assert form(Schema.LOGS_2020_08_15, "platform.runtimeDone", {"requestId": "r", "status": "success"}) is None
    for status, shown in [("success", "success"), ("error", "failure"), ("failure", "failure"), ("timeout", "timeout")]:
        record = {"requestId": "r", "status": status, "metrics": {"durationMs": 1.0}}
        found = form(Schema.LOGS_2021_03_18, "platform.runtimeDone", record)
        assert found["record"] == {"requestId": "r", "status": shown}
