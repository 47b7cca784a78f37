"""What the processes of an environment print, cut into log lines (rule LG-09)."""

import asyncio
import os
from collections.abc import Callable
from typing import Final

_READ_BYTES: Final = 65536
_MAX_READS: Final = 16
"""As much as an unprivileged process can make a pipe hold, 1 MiB: so much at most was there when reading began. Whoever
prints faster than we read must not keep the server from everything else."""
_MAX_LINE_BYTES: Final = 262144
"""A line without end is cut here, which bounds what one environment can make us hold. Source: CloudWatch Logs quotas,
event size."""


class Output:
    """A pipe that all processes of an environment write to, stdout and stderr alike."""

    def __init__(self, on_lines: Callable[[bytes], None]) -> None:
        """Open the pipe; `on_lines` gets complete lines, each with its line feed."""
        self._loop = asyncio.get_running_loop()
        self._on_lines = on_lines
        self._rest = b""
        self._read_end, self.write_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._read_end, False)
        self._loop.add_reader(self._read_end, self.drain)

    def drain(self) -> None:
        """Take what has been written so far. Called before anything that must come after those lines."""
        if self.write_end < 0:
            return  # the number of the pipe may be somebody else's by now
        for _ in range(_MAX_READS):
            try:
                data = os.read(self._read_end, _READ_BYTES)
            except BlockingIOError:
                return
            if not data:
                return
            lines, line_feed, rest = data.rpartition(b"\n")
            if line_feed:
                self._on_lines(self._rest + lines + b"\n")
                self._rest = rest
            else:
                self._rest += rest
            if len(self._rest) >= _MAX_LINE_BYTES:
                self.flush()
            if len(data) < _READ_BYTES:
                return

    def flush(self) -> None:
        """Make a line of what was written without a line feed, as at the end of an invocation or a process."""
        if self._rest:
            rest, self._rest = self._rest, b""
            self._on_lines(rest + b"\n")

    def close(self) -> None:
        """Read no more."""
        if self.write_end >= 0:
            self._loop.remove_reader(self._read_end)
            os.close(self._read_end)
            os.close(self.write_end)
            self.write_end = -1
