"""What the processes of an environment print, cut into log events (rule LG-09, section 6.5)."""

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic, time_ns
from typing import Final

_READ_BYTES: Final = 65536
_MAX_READS: Final = 16
"""As much as an unprivileged process can make a pipe hold, 1 MiB: so much at most was there when reading began. Whoever
prints faster than we read must not keep the server from everything else."""
_MAX_DRAIN_S: Final = 0.05
_SLOW_S: Final = 0.01
_FEW_BYTES: Final = 4096
"""For the same reason: lines of a byte or two, for a log in JSON or for subscribers to telemetry, take a hundred times
as long as others. Where they do, less is read at a time, and the rest in later turns of the loop."""
_MAX_LINE_BYTES: Final = 262144
"""A line without end is cut here, which bounds what one environment can make us hold. Source: CloudWatch Logs quotas,
event size."""
_MAGIC: Final = b"\xa5\x5a\x00"
_HEADER_BYTES: Final = 16
_TEXT: Final = 0b11
_JSON: Final = 0b10
# The first form of the header, in use by AWS's client for Ruby: type 1, no level, no time.
_FIRST_FORM: Final = 0b01
_FIRST_FORM_BYTES: Final = 8


class _Pipe(ABC):
    """A pipe that processes of an environment write to."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._read_bytes = _READ_BYTES
        self._read_end, self.write_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._read_end, False)
        self._loop.add_reader(self._read_end, self.drain)

    def drain(self) -> None:
        """Take what has been written so far. Called before anything that must come after it."""
        if self.write_end < 0:
            return  # the number of the pipe may be somebody else's by now
        spent_s = 0.0
        for _ in range(_MAX_READS):
            asked_bytes = self._read_bytes
            try:
                data = os.read(self._read_end, asked_bytes)
            except BlockingIOError:
                return
            if not data:
                return
            if len(data) < _FEW_BYTES:  # nearly always
                self._take(data)
                return
            began_s = monotonic()
            self._take(data)
            took_s = monotonic() - began_s
            spent_s += took_s
            if took_s > _SLOW_S:
                self._read_bytes = max(asked_bytes // 2, _FEW_BYTES)
            elif asked_bytes < _READ_BYTES:
                self._read_bytes = asked_bytes * 2
            if len(data) < asked_bytes or spent_s > _MAX_DRAIN_S:
                return

    def close(self) -> None:
        """Read no more."""
        if self.write_end >= 0:
            self._loop.remove_reader(self._read_end)
            os.close(self._read_end)
            os.close(self.write_end)
            self.write_end = -1

    @abstractmethod
    def _take(self, data: bytes) -> None:
        """Take what was read; not empty."""

    @abstractmethod
    def flush(self) -> None:
        """Hand on what is incomplete, as at the end of an invocation or a process."""


class Output(_Pipe):
    """The pipe that is stdout and stderr of processes."""

    def __init__(self, on_lines: Callable[[bytes], None]) -> None:
        """Open the pipe; `on_lines` gets complete lines, each with its line feed."""
        self._on_lines = on_lines
        self._rest = b""
        super().__init__()

    def _take(self, data: bytes) -> None:
        lines, line_feed, rest = data.rpartition(b"\n")
        if line_feed:
            self._on_lines(self._rest + lines + b"\n")
            self._rest = rest
        else:
            self._rest += rest
        if len(self._rest) >= _MAX_LINE_BYTES:
            self.flush()

    def flush(self) -> None:
        """Make a line of what was written without a line feed."""
        if self._rest:
            rest, self._rest = self._rest, b""
            self._on_lines(rest + b"\n")


@dataclass(frozen=True, slots=True)
class Frame:
    """One log event of a runtime client, which may have many lines.

    Attributes:
        level: 0 none, 1 trace, 2 debug, 3 info, 4 warn, 5 error, 6 fatal; up to 63 from a client that makes up its own.
        is_json: Whether the client says that the text is JSON.
        time_us: Microseconds since the epoch, as the client says.
        text: As written, usually with a line feed at its end.
    """

    level: int
    is_json: bool
    time_us: int
    text: bytes


class FramedOutput(_Pipe):
    """The framed log channel (6.5): a header of 16 or 8 bytes before each event, so that it may have many lines.

    Whatever is not framed counts as plain lines, and reading goes on at the next thing that looks like a header: the
    function's own code can write here too.
    """

    def __init__(self, on_frames: Callable[[list[Frame]], None], on_lines: Callable[[bytes], None]) -> None:
        """Open the pipe; `on_frames` gets events in order, `on_lines` complete lines of what is none."""
        self._on_frames = on_frames
        self._on_lines = on_lines
        self._rest = b""
        super().__init__()

    def _take(self, data: bytes) -> None:
        data = self._rest + data
        frames: list[Frame] = []
        at = 0
        while at < len(data):
            if not _may_begin(data, at):
                at = self._plain(data, at, frames)
                continue
            header_end = at + _header_bytes(data, at)
            if len(data) < header_end:
                break
            header = data[at:header_end]
            length = int.from_bytes(header[4:8], "big")
            end = header_end + min(length, _MAX_LINE_BYTES)
            if len(data) < end:
                break
            frames.append(_frame(header, data[header_end:end]))
            at = end
            if length > _MAX_LINE_BYTES:
                # An event that is too long goes on as another one.
                rest_length = (length - _MAX_LINE_BYTES).to_bytes(4, "big")
                data, at = header[:4] + rest_length + header[8:] + data[end:], 0
        self._rest = data[at:]
        if frames:
            self._on_frames(frames)

    def _plain(self, data: bytes, at: int, frames: list[Frame]) -> int:
        """Hand on what is no frame, up to where one may begin again; everything if none does."""
        end = at + 1
        while end < len(data) and not _may_begin(data, end):
            found = data.find(_MAGIC[:1], end + 1)
            end = len(data) if found < 0 else found
        if frames:
            self._on_frames(frames[:])
            frames.clear()
        text = data[at:end]
        self._on_lines(text if text.endswith(b"\n") else text + b"\n")
        return end

    def flush(self) -> None:
        """Make an event of a frame that is incomplete; only after the process that writes has ended."""
        if self._rest:
            rest, self._rest = self._rest, b""
            size = _header_bytes(rest, 0)
            if len(rest) > size:
                self._on_frames([_frame(rest[:size], rest[size:])])


def _may_begin(data: bytes, at: int) -> bool:
    """Whether what is there of a header looks like one."""
    start = data[at : at + 4]
    return _MAGIC.startswith(start[:3]) and (
        len(start) < 4 or start[3] & 0b11 in (_TEXT, _JSON) or start[3] == _FIRST_FORM
    )


def _header_bytes(data: bytes, at: int) -> int:
    """The size of the header that begins there, as far as it has come."""
    return _FIRST_FORM_BYTES if data[at + 3 : at + 4] == bytes((_FIRST_FORM,)) else _HEADER_BYTES


def _frame(header: bytes, text: bytes) -> Frame:
    kind = header[3]
    if kind == _FIRST_FORM:
        return Frame(0, False, time_ns() // 1000, text)
    return Frame(kind >> 2, kind & 0b11 == _JSON, int.from_bytes(header[8:16], "big"), text)
