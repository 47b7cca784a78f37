"""Logs of functions as plain files: one directory for a function, one file for a log stream.

A line of a file is the time in milliseconds, a space, and the line as it was printed. Everything that is appended
within a short while is written in one go: at thousands of invocations a second a system call for each is too dear.
"""

import asyncio
import contextlib
import heapq
import itertools
import logging
import os
from collections import deque
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

from lamella.domain.function import FunctionKey
from lamella.ports.logs import LogEvent

_log = logging.getLogger(__name__)

_FLUSH_S: Final = 0.05
_MAX_STREAM_BYTES: Final = 64 * 1024 * 1024
_MAX_FUNCTION_BYTES: Final = 512 * 1024 * 1024
"""What one function may fill the disk with; its oldest streams go first."""
_MAX_STREAMS: Final = 1000
"""Of one function: each is a file that a reader opens, so an old function must not have them without end."""
_PRUNE_EVERY: Final = 16
"""Looking at all the files costs a millisecond or two, which most cold starts need not pay."""
_BATCH_EVENTS: Final = 500

_Offsets = dict[tuple[str, int], int]
"""Where reading goes on, by stream and number of the file: a long stream gives its file another name."""


class FileLogStream:
    """The file of one execution environment."""

    __slots__ = ("_file", "_path", "_pending", "_store", "size_bytes")

    def __init__(self, store: "FileLogStore", path: Path) -> None:
        self._store = store
        self._path = path
        self._file = -1
        self._pending: list[bytes] = []
        self.size_bytes = 0

    def append(self, timestamp_ms: int, lines: bytes) -> None:
        """Add complete lines, each ended by a line feed."""
        stamp = b"%d " % timestamp_ms
        if lines.find(b"\n") != len(lines) - 1:
            lines = lines[:-1].replace(b"\n", b"\n" + stamp) + b"\n"
        if not self._pending:
            self._store.schedule(self)
        self._pending.append(stamp + lines)

    def flush(self) -> None:
        """Write what has been appended."""
        if not self._pending:
            return
        data, self._pending = b"".join(self._pending), []
        try:
            if self.size_bytes > _MAX_STREAM_BYTES:
                self._roll()
            if self._file < 0:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
                self._store.being_written.add(self._path)
            view = memoryview(data)
            while view:
                view = view[os.write(self._file, view) :]
            self.size_bytes += len(data)
        except OSError as error:
            # A full disk must not stop the functions; the operator is told, and what follows may fit again.
            _log.error("log lines were lost: %s: %s", self._path, error)

    def close(self) -> None:
        """Write what is left and close the file. Idempotent."""
        self.flush()
        self._shut()
        self._store.being_written.discard(self._path)

    def _roll(self) -> None:
        """Keep the file under another name; the next write begins it anew."""
        self._shut()
        self._path.replace(self._path.with_suffix(".old"))
        self.size_bytes = 0
        self._store.prune(self._path.parent)

    def _shut(self) -> None:
        if self._file >= 0:
            file, self._file = self._file, -1
            os.close(file)


class FileLogStore:
    """All log streams of a node, below one directory.

    Attributes:
        being_written: Files of streams that are open: whoever made room by deleting one would lose its later lines.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._dirty: list[FileLogStream] = []
        self._timer: asyncio.TimerHandle | None = None
        self._flushed = asyncio.Event()
        self._opened = 0
        self.being_written: set[Path] = set()

    def open_stream(self, key: FunctionKey, stream: str) -> FileLogStream:
        """Begin a stream; its file appears with the first line."""
        folder = self._folder(key)
        if self._opened % _PRUNE_EVERY == 0:
            with contextlib.suppress(FileNotFoundError):
                self.prune(folder)
        self._opened += 1
        # A stream's name has slashes, and sorts by time only to the day: the file's own time decides the order.
        return FileLogStream(self, folder / (stream.replace("/", "_") + ".log"))

    def schedule(self, stream: FileLogStream) -> None:
        """Have a stream flushed soon."""
        self._dirty.append(stream)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_FLUSH_S, self.flush)

    def flush(self) -> None:
        """Write everything that has been appended."""
        self._timer = None
        dirty, self._dirty = self._dirty, []
        for stream in dirty:
            stream.flush()
        flushed, self._flushed = self._flushed, asyncio.Event()
        flushed.set()

    def close(self) -> None:
        """Write everything that has been appended; nothing more will come."""
        if self._timer is not None:
            self._timer.cancel()
        self.flush()

    async def read(
        self, key: FunctionKey, *, since_ms: int = 0, limit: int | None = None, follow: bool = False
    ) -> AsyncIterator[LogEvent]:
        """Events of all the function's streams by time; the newest `limit` of those that are there, then new ones.

        Files are read in a worker thread: there may be half a gigabyte, and nothing else must wait for that.
        """
        self.flush()
        folder = self._folder(key)
        offsets: _Offsets = {}
        events = await asyncio.to_thread(_merged, folder, offsets, since_ms, limit)
        while batch := await asyncio.to_thread(_take, events):
            for event in batch:
                yield event
        while follow:
            flushed = self._flushed
            fresh = await asyncio.to_thread(_take, _merged(folder, offsets, since_ms))
            for event in fresh:
                yield event
            if not fresh:
                await flushed.wait()

    def _folder(self, key: FunctionKey) -> Path:
        return self._root / key.account / key.region / key.name

    def prune(self, folder: Path) -> None:
        """Delete the oldest streams of a function that has filled its share."""
        files = sorted(((path.stat(), path) for path in folder.iterdir()), key=lambda item: item[0].st_mtime)
        total_bytes = sum(status.st_size for status, _ in files)
        for number, (status, path) in enumerate(files):
            if total_bytes <= _MAX_FUNCTION_BYTES and len(files) - number <= _MAX_STREAMS:
                return
            if path in self.being_written:
                continue
            path.unlink()
            total_bytes -= status.st_size


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []


def _merged(folder: Path, offsets: _Offsets, since_ms: int, limit: int | None = None) -> Iterator[LogEvent]:
    """Events of all files by time, or the newest `limit` of them. Reads files, at once if there is a limit."""
    events = heapq.merge(*(_events(path, offsets, since_ms) for path in _files(folder)), key=_time_of)
    return events if limit is None else iter(deque(events, limit))


def _take(events: Iterator[LogEvent]) -> list[LogEvent]:
    """The next few events, none at the end. Reads files."""
    return list(itertools.islice(events, _BATCH_EVENTS))


def _events(path: Path, offsets: _Offsets, since_ms: int) -> Iterator[LogEvent]:
    """Complete lines of one file after the offset reached before, which is moved on."""
    stream = path.stem.replace("_", "/", 3)
    try:
        with path.open("rb") as file:
            place = (stream, os.fstat(file.fileno()).st_ino)
            file.seek(offsets.get(place, 0))
            for line in file:
                if not line.endswith(b"\n"):
                    return  # still being written
                offsets[place] = offsets.get(place, 0) + len(line)
                stamp, _, message = line[:-1].partition(b" ")
                if int(stamp) >= since_ms:
                    yield LogEvent(int(stamp), stream, message.decode(errors="replace"))
    except FileNotFoundError:
        return  # pruned meanwhile


def _time_of(event: LogEvent) -> int:
    return event.timestamp_ms
