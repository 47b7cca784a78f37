"""Events of the Telemetry API and of the Logs API as JSON (sections 5.3 to 5.5)."""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from lamella.lifecycle.telemetry_events import Api, Entry, JsonObject, Lines, Schema

_LOGS_2020: Final = frozenset(
    {
        "platform.start",
        "platform.end",
        "platform.report",
        "platform.fault",
        "platform.extension",
        "platform.logsSubscription",
        "platform.logsDropped",
        "function",
        "extension",
    }
)
_LOGS_ALONE: Final = frozenset({"platform.end", "platform.fault"})
_LOGS_MEMBERS: Final[Mapping[str, tuple[str, ...]]] = {
    "platform.start": ("requestId", "version"),
    "platform.runtimeDone": ("requestId", "status"),
    "platform.report": ("requestId", "metrics"),
}
_LOGS_METRICS: Final = ("durationMs", "billedDurationMs", "memorySizeMB", "maxMemoryUsedMB", "initDurationMs")
_LAST_S: Final = datetime(9999, 12, 31, tzinfo=UTC).timestamp()

_quote: Final = json.encoder.encode_basestring
_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def render(entry: Entry, schema: Schema) -> Sequence[bytes]:
    """Events in a schema's form, without line feeds: one for each of `Lines`, none if the schema does not know it."""
    kind, record = entry.kind, entry.record
    if schema.api is Api.LOGS:
        if kind not in _LOGS_2020 and not (kind == "platform.runtimeDone" and schema is Schema.LOGS_2021_03_18):
            return ()
        if not isinstance(record, str) and kind in _LOGS_MEMBERS:
            record = _for_logs(kind, record)
    elif kind in _LOGS_ALONE:
        return ()
    if isinstance(record, Lines):
        return _render_lines(entry, record)
    if isinstance(record, JsonObject) and schema in (Schema.TELEMETRY_2022_12_13, Schema.TELEMETRY_2025_01_29):
        text = record.strip()  # an object already (TL-46); a carriage return in it is white space
    else:
        text = _encode(record)
    # `surrogatepass` would give UTF-8 that no client can read.
    return (f"{_head(entry)}{text}}}".encode(errors="replace"),)


def _render_lines(entry: Entry, lines: Lines) -> Sequence[bytes]:
    # All in one go, as there may be tens of thousands: 0.3 us for each. JSON has no line feeds of its own.
    head = _head(entry)
    return "\n".join([f'{head}{_quote(line)[:-1]}\\n"}}' for line in lines[:-1].split("\n")]).encode().split(b"\n")


def _head(entry: Entry) -> str:
    return f'{{"time":"{timestamp(entry.when_s)}","type":"{entry.kind}","record":'


def timestamp(when_s: float) -> str:
    """Seconds since the epoch as `2026-11-20T19:08:01.847Z` (5.3). Years over 9999 become 9999."""
    moment = datetime.fromtimestamp(min(max(when_s, 0.0), _LAST_S), UTC)
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"


def milliseconds(duration_s: float) -> float:
    """Seconds as milliseconds with at most three decimals (5.3); never below zero, never infinite."""
    return round(max(duration_s, 0.0) * 1000, 3) if math.isfinite(duration_s) else 0.0


def span(name: str, start_s: float, end_s: float, epoch_s: float) -> dict[str, object]:
    """A span between two monotonic moments; `epoch_s` is what turns them into seconds since the epoch."""
    return {"name": name, "start": timestamp(start_s + epoch_s), "durationMs": milliseconds(end_s - start_s)}


def _for_logs(kind: str, record: Mapping[str, object]) -> dict[str, object]:
    """The members that the Logs API knows (5.5)."""
    kept = {name: record[name] for name in _LOGS_MEMBERS[kind] if name in record}
    if kept.get("status") == "error":
        kept["status"] = "failure"
    metrics = kept.get("metrics")
    if isinstance(metrics, Mapping):
        kept["metrics"] = {name: metrics[name] for name in _LOGS_METRICS if name in metrics}
    return kept
