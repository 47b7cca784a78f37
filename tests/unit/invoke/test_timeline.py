"""What a record is turned into: entries as they were, and what they mean."""

import base64
import random
from typing import Any

import pytest
from tests.support.events import SAMPLES
from tests.support.traces import BEGAN_S, KEY, Life

from lamella.invoke.timeline import FORMAT, FORMAT_VERSION, Entry, Record, document
from lamella.lifecycle.commands import Command
from lamella.lifecycle.events import (
    DeadlinePassed,
    ErrorPosted,
    ExtensionExited,
    ExtensionPolled,
    InitErrorPosted,
    InitRequested,
    NextPolled,
    ProcessesGone,
    ResponsePosted,
    ResponseRefused,
    RuntimeExited,
    ShutdownRequested,
)

Trace = dict[str, Any]  # Any: JSON


def spans(trace: Trace) -> list[tuple[str, str, int, int | None]]:
    """Row, name, beginning and end in ms."""
    return [
        (span["row"], span["name"], span["start_us"] // 1000, span["end_us"] and span["end_us"] // 1000)
        for span in trace["spans"]
    ]


def phases(trace: Trace) -> list[tuple[str, int, int | None, str | None]]:
    return [
        (one["name"], one["start_us"] // 1000, one["end_us"] and one["end_us"] // 1000, one.get("status"))
        for one in trace["phases"]
    ]


def errors(trace: Trace) -> list[tuple[str, str]]:
    return [(mark["row"], mark["text"]) for mark in trace["markers"] if mark["kind"] == "error"]


def test_a_cold_start_without_extensions() -> None:
    life = Life().ready()
    request_id = life.invoked(b'{"a":1}', b"[2]")
    trace = life.mark(1, "frozen").after(100).mark(0, "thawed").trace()
    assert spans(trace) == [
        ("sandbox", "make", 0, 10),
        ("runtime init", "init", 10, 30),
        ("invoke", "invoke", 30, 34),
        ("response", "response", 34, 34),
        ("runtime overhead", "overhead", 34, 35),
        ("frozen", "frozen", 36, 136),
    ]
    assert phases(trace) == [("sandbox", 0, 10, None), ("init", 10, 30, "success"), ("invoke", 30, 35, "success")]
    assert errors(trace) == []
    (invocation,) = trace["invocations"]
    assert invocation["request_id"] == request_id
    assert invocation["timeout_us"] == 3_000_000
    assert invocation["duration_us"] == 5000
    assert invocation["init_duration_us"] == 20_000
    assert trace["entries"][invocation["assigned_entry"]]["payload"] == {"size_bytes": 7, "text": '{"a":1}'}
    assert trace["entries"][invocation["response_entry"]]["payload"] == {"size_bytes": 3, "text": "[2]"}


def test_the_head_of_a_document_says_what_it_is() -> None:
    life = Life().ready()
    request_id = life.invoked()
    trace = life.trace()
    assert (trace["format"], trace["version"]) == (FORMAT, FORMAT_VERSION)
    assert trace["function"] == KEY.arn()
    assert trace["function_version"] == "7"
    assert trace["state"] == "live"
    assert trace["began_at"] == "2026-01-01T00:00:00.000000Z"
    assert trace["taken_us"] == 35_000
    assert trace["complete"] is True
    assert trace["request_ids"] == [request_id]


def test_entries_have_relative_and_wall_clock_times() -> None:
    trace = Life().ready().trace()
    assert [(entry["us"], entry["at"][17:]) for entry in trace["entries"]] == [
        (0, "00.000000Z"),
        (10_000, "00.010000Z"),
        (10_000, "00.010000Z"),
        (30_000, "00.030000Z"),
    ]
    assert trace["entries"][0] == {"us": 0, "at": "2026-01-01T00:00:00.000000Z", "mark": "sandbox.asked", "detail": {}}
    assert trace["entries"][2]["event"] == "InitRequested"
    assert {"command": "LaunchRuntime", "phase": "init"} in trace["entries"][2]["commands"]


def test_extensions_have_an_init_and_an_event_each() -> None:
    life = Life("metrics").ready_with("metrics")
    request_id = life.assigned()
    life.after(5, ResponsePosted(request_id, b"1"), NextPolled()).after(7, ExtensionPolled("x-metrics"))
    trace = life.trace()
    found = spans(trace)
    assert ("extension metrics", "init", 10, 25) in found
    assert ("runtime init", "init", 20, 40) in found  # the runtime starts when all have registered
    assert ("extension metrics", "event", 40, 52) in found
    assert ("extension overhead", "overhead", 45, 52) in found
    assert phases(trace)[-1] == ("invoke", 40, 52, "success")
    notes = [(mark["us"], mark["row"], mark["text"]) for mark in trace["markers"]]
    assert (12_000, "extension metrics", "process 41 started") in notes
    assert (20_000, "extension metrics", "registered") in notes


def test_a_timeout_ends_with_a_reset() -> None:
    life = Life("metrics").ready_with("metrics")
    request_id = life.assigned()
    life.after(3000, DeadlinePassed()).after(1, RuntimeExited("Runtime exited with error: signal: terminated"))
    life.after(1, ExtensionPolled("x-metrics")).after(2, ExtensionExited("metrics", "exit status 0"))
    life.after(3, ProcessesGone())
    trace = life.trace()
    assert errors(trace) == [("invoke", "the deadline passed")]  # what is told to end and does is no error
    assert phases(trace)[-1] == ("invoke", 40, 3047, "timeout")
    assert ("invoke", "invoke", 40, 3040) in spans(trace)
    assert ("reset", "reset", 3044, 3047) in spans(trace)
    (invocation,) = trace["invocations"]
    assert invocation["request_id"] == request_id
    assert invocation["status"] == "timeout"
    assert "response_entry" not in invocation


def test_a_crash_is_an_error_of_the_invocation() -> None:
    life = Life().ready()
    life.assigned()
    trace = life.after(2, RuntimeExited("Runtime exited with error: exit status 1")).after(1, ProcessesGone()).trace()
    assert errors(trace) == [("invoke", "Runtime exited with error: exit status 1")]
    assert trace["phases"][-1]["error_type"] == "Runtime.ExitError"


def test_an_init_that_fails() -> None:
    life = Life().mark(0, "sandbox.asked").mark(10, "sandbox.made").after(0, InitRequested())
    life.after(5, InitErrorPosted(b"{}", "Runtime.NoSuchModule"))
    trace = life.after(1, RuntimeExited("Runtime exited with error: exit status 1")).after(1, ProcessesGone()).trace()
    assert errors(trace) == [
        ("runtime init", "the init failed: Runtime.NoSuchModule"),
        ("runtime init", "Runtime exited with error: exit status 1"),
    ]
    assert phases(trace)[-1] == ("init", 10, 17, "error")
    assert all(span["end_us"] is not None for span in trace["spans"])


def test_a_function_error_and_a_refused_response_are_marked() -> None:
    life = Life().ready()
    life.after(1, ErrorPosted(life.assigned(), b'{"errorType":"E"}', "Function.E"), NextPolled())
    refused = ResponseRefused(life.assigned(), "Function.ResponseSizeTooLarge", "too large")
    trace = life.after(1, refused, NextPolled()).trace()
    assert errors(trace) == [
        ("response", "the function returned an error: Function.E"),
        ("response", "Function.ResponseSizeTooLarge: too large"),
    ]
    assert [invocation["status"] for invocation in trace["invocations"]] == ["success", "error"]


def test_a_refused_call_is_marked() -> None:
    trace = Life().ready().mark(1, "refused", method="POST", path="/x", status=403, error_type="Bad").trace()
    assert errors(trace) == [("refused", "POST /x refused: 403 Bad")]


def test_deliveries_are_noted_with_the_name_of_the_extension() -> None:
    trace = (
        Life("metrics").ready_with("metrics").mark(1, "telemetry.delivered", extension="x-metrics", records=3).trace()
    )
    last = trace["markers"][-1]
    assert (last["row"], last["text"]) == ("extension metrics", "3 telemetry records delivered")


def test_the_end_of_an_environment() -> None:
    life = Life().ready().after(50, ShutdownRequested())
    life.after(2, RuntimeExited("Runtime exited with error: signal: terminated"), ProcessesGone())
    life.recorder.ended()
    trace = life.trace()
    assert trace["state"] == "ended"
    assert phases(trace)[-1][:2] == ("shutdown", 80)
    assert errors(trace) == []
    assert all(span["end_us"] is not None for span in trace["spans"])


def test_what_still_goes_on_has_no_end() -> None:
    life = Life().ready()
    life.assigned()
    trace = life.trace()
    assert spans(trace)[-1] == ("invoke", "invoke", 30, None)
    assert phases(trace)[-1] == ("invoke", 30, None, None)
    assert "status" not in trace["invocations"][0]


def test_a_large_payload_is_shown_once_and_bytes_survive() -> None:
    life = Life().ready()
    answer = bytes(range(256))
    life.invoked(b"{}", answer)
    trace = life.trace()
    number = trace["invocations"][0]["response_entry"]
    entry = trace["entries"][number]
    assert base64.b64decode(entry["payload"]["base64"]) == answer
    (reply,) = [command for command in entry["commands"] if command["command"] == "Reply"]
    assert reply["payload"] == {"size_bytes": 256, "entry": number}


def test_what_was_cut_says_so() -> None:
    life = Life().ready()
    life.invoked("ö".encode() * 1_000_000, bytes(3_000_000))
    while not life.recorder.shrink():
        pass
    trace = life.trace()
    shown = trace["entries"][trace["invocations"][0]["assigned_entry"]]["payload"]
    assert shown == {"size_bytes": 2_000_000, "text": "ö" * 128, "abridged": True}
    assert [span["size_bytes"] for span in trace["spans"] if span["row"] == "response"] == [3_000_000]


def test_nothing_is_followed_over_a_gap() -> None:
    life = Life().ready()
    life.invoked()
    life.mark(1, "frozen")
    for _ in range(200):
        life.invoked(ms=1000)
    trace = life.trace()
    assert trace["complete"] is False
    assert trace["invocation_count"] == 201
    assert max(end - start for _, _, start, end in spans(trace) if end is not None) < 1000


def test_an_empty_record_is_a_document() -> None:
    trace = Life().trace()
    assert trace["entries"] == trace["spans"] == trace["phases"] == []


@pytest.mark.parametrize("seed", range(5))
def test_any_order_of_anything_can_be_shown(seed: int) -> None:
    """Entries may begin anywhere, since the first ones are let go of."""
    chance = random.Random(seed)
    names = ["sandbox.asked", "sandbox.made", "frozen", "thawed", "refused", "process.started", "news"]
    what: list[Any] = [*SAMPLES, *names]  # Any: events and names
    commands: list[Command] = []
    entries: list[Entry] = []
    for number in range(500):
        one = chance.choice(what)
        entries.append((float(number), one, {} if isinstance(one, str) else commands))
    trace = document(Record("e", KEY, "1", "s", 500.0, BEGAN_S, entries, 3, 1, ended=False))
    assert len(trace["entries"]) == 500
    assert all(span["end_us"] is None or span["end_us"] >= span["start_us"] for span in trace["spans"])
