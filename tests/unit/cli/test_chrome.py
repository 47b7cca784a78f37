"""The export for chrome://tracing and Perfetto."""

import json
from itertools import pairwise

from tests.support.traces import Life

from lamella.cli.chrome import export
from lamella.lifecycle.events import (
    ExtensionExited,
    ExtensionPolled,
    NextPolled,
    ProcessesGone,
    ResponsePosted,
    RuntimeExited,
    TelemetryFlushed,
)


def exported() -> dict[str, list[dict[str, object]]]:
    life = Life("metrics").ready_with("metrics")
    request_id = life.assigned()
    life.after(13, ResponsePosted(request_id, b"1")).after(1, NextPolled()).after(13, ExtensionPolled("x-metrics"))
    life.mark(1, "frozen").mark(100, "thawed")
    life.assigned()
    life.after(2, RuntimeExited("Runtime exited with error: exit status 1"), TelemetryFlushed())
    life.after(1, ExtensionPolled("x-metrics"))
    life.after(1, ExtensionExited("metrics", "exit status 0")).after(2, ProcessesGone()).mark(1, "frozen")
    document: dict[str, list[dict[str, object]]] = json.loads(json.dumps(export(life.trace())))
    return document


def test_every_event_has_what_its_kind_needs() -> None:
    events = exported()["traceEvents"]
    assert {event["ph"] for event in events} == {"X", "M", "i"}
    for event in events:
        assert isinstance(event["name"], str)
        assert isinstance(event["pid"], int)
        assert isinstance(event["tid"], int)
        assert isinstance(event["args"], dict)
        if event["ph"] != "M":
            assert isinstance(event["ts"], int)
            assert isinstance(event["cat"], str)
        if event["ph"] == "X":
            assert isinstance(event["dur"], int)
            assert event["dur"] >= 0
        if event["ph"] == "i":
            assert event["s"] == "t"


def test_each_row_is_a_thread_with_its_name() -> None:
    events = exported()["traceEvents"]
    names = {event["tid"]: event["args"] for event in events if event["name"] == "thread_name"}
    rows = {args["name"] for args in names.values() if isinstance(args, dict)}
    assert {"phases", "sandbox", "extension metrics", "runtime init", "invoke", "frozen"} <= rows
    assert {event["tid"] for event in events if event["ph"] == "X"} <= names.keys()


def test_what_happened_is_there_with_its_times() -> None:
    events = exported()["traceEvents"]
    (init,) = [event for event in events if event.get("cat") == "runtime init" and event["ph"] == "X"]
    assert (init["ts"], init["dur"]) == (20_000, 20_000)
    errors = [event["name"] for event in events if event["ph"] == "i" and event["cat"] == "error"]
    assert errors == ["Runtime exited with error: exit status 1"]
    frozen = [event for event in events if event.get("cat") == "frozen"]
    assert [event["dur"] for event in frozen] == [100_000, 0]  # the last one lasts until the trace was taken


def test_what_is_in_one_thread_does_not_overlap() -> None:
    """The format asks for nesting, and an overlap would be drawn wrong."""
    events = [event for event in exported()["traceEvents"] if event["ph"] == "X"]
    for thread in {event["tid"] for event in events}:
        times = sorted((event["ts"], event["dur"]) for event in events if event["tid"] == thread)
        for (ts, dur), (following, _) in pairwise(times):
            assert ts + dur <= following  # type: ignore[operator]  # numbers, as tested above
