"""A trace in Chrome's trace event format, for chrome://tracing and https://ui.perfetto.dev.

Source: "Trace Event Format", the document that both link to: complete events (`X`), instants (`i`), metadata (`M`).
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

_PROCESS: Final = 1
_OWN: Final = frozenset({"row", "name", "start_us", "end_us"})


def export(trace: Mapping[str, Any]) -> dict[str, Any]:  # Any: JSON
    """The document; times are microseconds since the environment's beginning, as in the trace."""
    return {
        "traceEvents": list(_events(trace)),
        "displayTimeUnit": "ms",
        "otherData": {
            name: trace[name] for name in ("environment_id", "function", "function_version", "log_stream", "began_at")
        },
    }


def _events(trace: Mapping[str, Any]) -> Iterator[dict[str, Any]]:  # Any: JSON
    title = f"{trace['function_name']}:{trace['function_version']} {trace['environment_id']}"
    yield _event("M", "process_name", 0, args={"name": title})
    rows: dict[str, int] = {"phases": 1}
    for item in (*trace["spans"], *trace["markers"]):
        rows.setdefault(item["row"], len(rows) + 1)
    for row, number in rows.items():
        yield _event("M", "thread_name", number, args={"name": row})
        yield _event("M", "thread_sort_index", number, args={"sort_index": number})
    for span in (*({**phase, "row": "phases"} for phase in trace["phases"]), *trace["spans"]):
        end_us = trace["taken_us"] if span["end_us"] is None else span["end_us"]
        args = {name: value for name, value in span.items() if name not in _OWN}
        times = {"ts": span["start_us"], "dur": max(0, end_us - span["start_us"])}
        yield _event("X", span["name"], rows[span["row"]], cat=span["row"], args=args, **times)
    for mark in trace["markers"]:
        kind = {"cat": mark["kind"], "ts": mark["us"], "s": "t"}  # an instant of its thread
        yield _event("i", mark["text"], rows[mark["row"]], args={}, **kind)


def _event(kind: str, name: str, thread: int, **more: Any) -> dict[str, Any]:  # Any: JSON
    return {"ph": kind, "name": name, "pid": _PROCESS, "tid": thread, **more}
