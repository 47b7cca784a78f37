"""Draws a trace as lines of text: one part for each phase that somebody asks about, each with a scale of its own.

One scale for a whole environment would show nothing: it lives for minutes and works for milliseconds.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

Trace = Mapping[str, Any]
"""A document as `GET /_lamella/traces/<id>` answers with; Any: JSON."""

_LABEL_WIDTH: Final = 24
_FIGURE_WIDTH: Final = 11
_SHOWN_INVOCATIONS: Final = 5
# Phases that are drawn together if one follows the other at once: a cold start, as the first caller sees it.
_COLD_START: Final = ("sandbox", "init", "invoke")
_AT_ONCE: Final = 0.1
_ORDER: Final = (
    "sandbox",
    "extension init",
    "runtime init",
    "restore",
    "invoke",
    "response",
    "runtime overhead",
    "extension event",
    "extension overhead",
    "extension shutdown",
    "shutdown",
    "reset",
    "frozen",
)


@dataclass(frozen=True, slots=True)
class Glyphs:
    """What bars are made of."""

    busy: str
    frozen: str
    moment: str
    ellipsis: str


UNICODE: Final = Glyphs("█", "░", "▏", "…")
ASCII: Final = Glyphs("#", ".", "|", "~")


def glyphs_for(encoding: str | None) -> Glyphs:
    """Blocks where the output can show them."""
    try:
        "█░▏…".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


@dataclass(slots=True)
class Part:
    """Phases on one scale.

    Attributes:
        phases: One, or those of a cold start.
        frozen: The frozen span that follows, which is cut where the part ends.
    """

    phases: list[Mapping[str, Any]] = field(default_factory=list)  # Any: JSON

    @property
    def request_id(self) -> str:
        """Of the invocation in it; empty if there is none."""
        return next((str(phase["request_id"]) for phase in self.phases if "request_id" in phase), "")

    @property
    def start_us(self) -> int:
        """Where the scale begins."""
        return int(self.phases[0]["start_us"])


def draw(trace: Trace, request_id: str = "", *, width: int = 80, glyphs: Glyphs = UNICODE) -> Iterator[str]:
    """Lines of text, none longer than `width`.

    Args:
        trace: What to draw.
        request_id: Draw this invocation and, if it waited for it, the cold start. Else the whole environment: its
            beginning and its newest phases.
        width: At least 60.
        glyphs: What bars are made of.
    """
    for line in map(_printable, _lines(trace, request_id, width, glyphs)):
        yield line if len(line) <= width else line[: width - 1] + glyphs.ellipsis


def _lines(trace: Trace, request_id: str, width: int, glyphs: Glyphs) -> Iterator[str]:
    yield f"Function     {trace['function_name']}, version {trace['function_version']}"
    yield f"Environment  {trace['environment_id']}, {trace['state']}"
    yield f"Began        {trace['began_at']}"
    parts = list(_parts(trace["phases"]))
    if request_id:
        chosen = [part for part in parts if part.request_id == request_id]
    else:
        chosen = [*parts[:1], *parts[1:][-_SHOWN_INVOCATIONS:]]
    if not chosen:
        yield ""
        yield "Nothing has happened yet."
    left_out = len(parts) - len(chosen)
    for number, part in enumerate(chosen):
        yield ""
        if left_out and number == 1 and not request_id:
            yield f"({left_out} others are not shown; name a request to see it)"
            yield ""
        yield from _draw_part(trace, part, width=width, glyphs=glyphs)
    if not trace["complete"]:
        yield ""
        yield "Older entries have been let go of: the record is not complete."


def _parts(phases: Sequence[Mapping[str, Any]]) -> Iterator[Part]:  # Any: JSON
    part = Part()
    for phase in phases:
        if part.phases and not _follows(part, phase):
            yield part
            part = Part()
        part.phases.append(phase)
    if part.phases:
        yield part


def _follows(part: Part, phase: Mapping[str, Any]) -> bool:  # Any: JSON
    """Whether a phase belongs to the same cold start as those before."""
    last = part.phases[-1]
    names = [one["name"] for one in (*part.phases, phase)]
    # In this order, and each of them once.
    if last["end_us"] is None or names != [name for name in _COLD_START if name in names]:
        return False
    pause_us = phase["start_us"] - last["end_us"]
    return bool(pause_us <= _AT_ONCE * (last["end_us"] - part.start_us))


def _draw_part(trace: Trace, part: Part, *, width: int, glyphs: Glyphs) -> Iterator[str]:
    start_us = part.start_us
    end_us = part.phases[-1]["end_us"]
    end_us = trace["taken_us"] if end_us is None else end_us
    spans = [span for span in trace["spans"] if span["row"] != "frozen" and start_us <= span["start_us"] <= end_us]
    end_us = max([end_us, *(span["end_us"] or 0 for span in spans)])
    frozen = _frozen_after(trace, end_us)
    errors = [mark for mark in trace["markers"] if mark["kind"] == "error" and start_us <= mark["us"] <= end_us]
    scale_end_us = end_us if frozen is None else frozen["start_us"] + (frozen["start_us"] - start_us) // 16
    bar_width = width - _LABEL_WIDTH - _FIGURE_WIDTH - 2
    scale = _Scale(start_us, max(scale_end_us, start_us + 1), bar_width)

    yield from _headings(trace, part, end_us)
    yield f"{'':{_LABEL_WIDTH}} {scale.ruler()}"
    for label, row in _rows(spans):
        cells = [" "] * bar_width
        for span in row:
            scale.paint(cells, span, glyphs)
        for mark in errors:
            if mark["row"] == row[0]["row"] and _is_nearest(mark, row, spans):
                cells[scale.column(mark["us"])] = "!"
        yield f"{_short(label, glyphs):{_LABEL_WIDTH}} {''.join(cells)} {_figure(row):>{_FIGURE_WIDTH}}".rstrip()
    if frozen is not None:
        cells = [" "] * bar_width
        scale.paint(cells, {**frozen, "end_us": scale_end_us}, glyphs)
        figure = "until now" if frozen["end_us"] is None else duration(frozen["end_us"] - frozen["start_us"])
        yield f"{'frozen':{_LABEL_WIDTH}} {''.join(cells)} {figure:>{_FIGURE_WIDTH}}".rstrip()
    for mark in errors:
        yield f"  ! at {duration(mark['us'] - start_us)}, {mark['row']}: {mark['text']}"


def _headings(trace: Trace, part: Part, end_us: int) -> Iterator[str]:
    names = [phase["name"] for phase in part.phases]
    request_id = part.request_id
    if not request_id:
        title = {"sandbox": "Sandbox, made ahead of need", "init": "Init", "shutdown": "Shutdown"}.get(
            names[-1], names[-1]
        )
        if names == ["sandbox", "init"]:
            title = "Sandbox and init"
        yield f"{title}: {_ended_how(part.phases[-1])}{duration(end_us - part.start_us)}"
        return
    yield f"{'Cold start and request' if len(names) > 1 else 'Request'} {request_id}"
    for invocation in trace["invocations"]:
        if invocation["request_id"] == request_id:
            yield f"  {_outcome(trace, invocation)}"


def _outcome(trace: Trace, invocation: Mapping[str, Any]) -> str:  # Any: JSON
    entries = trace["entries"]
    payload = entries[invocation["assigned_entry"]]["payload"]["size_bytes"]
    if "status" not in invocation:
        return f"still running, event of {size(payload)}"
    error = f" {invocation['error_type']}" if invocation["error_type"] else ""
    text = f"{invocation['status']}{error} in {duration(invocation['duration_us'])}, event of {size(payload)}"
    if "response_entry" in invocation:
        posted = entries[invocation["response_entry"]]
        if posted["event"] == "ErrorPosted":
            text += ", answered with an error"
        elif "size_bytes" in posted.get("payload", posted):
            text += f", response of {size(posted.get('payload', posted)['size_bytes'])}"
    else:
        text += ", no response"
    return text


def _ended_how(phase: Mapping[str, Any]) -> str:  # Any: JSON
    status = phase.get("status")
    if status is None:
        return ""
    error = f" {phase['error_type']}" if phase.get("error_type") else ""
    return f"{status}{error}, "


def _frozen_after(trace: Trace, end_us: int) -> Mapping[str, Any] | None:  # Any: JSON
    """The frozen span that comes next, unless another phase comes before it."""
    spans = [span for span in trace["spans"] if span["row"] == "frozen" and span["start_us"] >= end_us]
    later = [phase["start_us"] for phase in trace["phases"] if phase["start_us"] > end_us]
    if not spans or (later and min(later) < spans[0]["start_us"]):
        return None
    first: Mapping[str, Any] = spans[0]  # Any: JSON
    return first


def _rows(spans: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[Mapping[str, Any]]]]:  # Any: JSON
    rows: dict[str, list[Mapping[str, Any]]] = {}  # Any: JSON
    for span in spans:
        rows.setdefault(_label(span), []).append(span)
    return sorted(rows.items(), key=lambda item: _rank(item[1][0]))


def _label(span: Mapping[str, Any]) -> str:  # Any: JSON
    kind, _, name = span["row"].partition(" ")
    return f"ext. {name}: {span['name']}" if _is_extension(span) else f"{kind} {name}".rstrip()


def _is_extension(span: Mapping[str, Any]) -> bool:  # Any: JSON
    row: str = span["row"]
    return row != "extension overhead" and row.startswith("extension ")


def _rank(span: Mapping[str, Any]) -> tuple[int, int]:  # Any: JSON
    kind = f"extension {span['name']}" if _is_extension(span) else span["row"]
    return (_ORDER.index(kind) if kind in _ORDER else len(_ORDER)), span["start_us"]


def _is_nearest(mark: Mapping[str, Any], row: Sequence[Mapping[str, Any]], spans: Sequence[Mapping[str, Any]]) -> bool:
    """Whether an error goes to this line: an extension has one for each of its kinds of spans. Any: JSON."""
    before = [span for span in spans if span["row"] == mark["row"] and span["start_us"] <= mark["us"]]
    return not before or before[-1] in row


def _figure(row: Sequence[Mapping[str, Any]]) -> str:  # Any: JSON
    """What stands at the end of a line: how long, or how large."""
    if any(span["end_us"] is None for span in row):
        return "goes on"
    total_us = sum(span["end_us"] - span["start_us"] for span in row)
    if not total_us and "size_bytes" in row[-1]:
        return size(row[-1]["size_bytes"])
    return duration(total_us)


def _short(label: str, glyphs: Glyphs) -> str:
    return label if len(label) <= _LABEL_WIDTH else label[: _LABEL_WIDTH - 1] + glyphs.ellipsis


def _printable(text: str) -> str:
    """What functions and extensions chose may hold anything; a line stays a line."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def duration(us: int) -> str:
    """`1234` -> `1.2 ms`; the unit is milliseconds from a tenth of one up, seconds from ten of them up."""
    if us < 100:
        return f"{us} us"
    return f"{us / 1000:.1f} ms" if us < 10_000_000 else f"{us / 1e6:.1f} s"


def size(size_bytes: int) -> str:
    """`2048` -> `2.0 KiB`."""
    if size_bytes < 1024:
        return f"{size_bytes} bytes" if size_bytes != 1 else "1 byte"
    return f"{size_bytes / 1024:.1f} KiB" if size_bytes < 1024 * 1024 else f"{size_bytes / 1024 / 1024:.1f} MiB"


@dataclass(frozen=True, slots=True)
class _Scale:
    """Moments to columns."""

    start_us: int
    end_us: int
    width: int

    def column(self, us: int) -> int:
        """The column that a moment falls into."""
        at = (us - self.start_us) * self.width // (self.end_us - self.start_us)
        return max(0, min(self.width - 1, at))

    def ruler(self) -> str:
        """Round moments, with their unit at the first."""
        cells = [" "] * self.width
        length_us = self.end_us - self.start_us
        step_us = 1
        # At most five steps: 1, 2 or 5 times a power of ten.
        while length_us / step_us > 5:
            step_us = step_us * 5 // 2 if str(step_us)[0] == "2" else step_us * 2
        unit, name = (1000, "ms") if step_us < 1_000_000 else (1_000_000, "s")
        for us in range(0, length_us, step_us):
            text = f"{us / unit:g}" if us else f"0 {name}"
            column = self.column(self.start_us + us)
            if column + len(text) <= self.width:
                cells[column : column + len(text)] = text
        return "".join(cells).rstrip()

    def paint(self, cells: list[str], span: Mapping[str, Any], glyphs: Glyphs) -> None:  # Any: JSON
        """Fill the columns of a span, one at least."""
        first = self.column(span["start_us"])
        if span["start_us"] == span["end_us"]:
            cells[first] = glyphs.moment
            return
        last = self.column((self.end_us if span["end_us"] is None else span["end_us"]) - 1)
        for column in range(first, max(first, last) + 1):
            cells[column] = glyphs.frozen if span["row"] == "frozen" else glyphs.busy
