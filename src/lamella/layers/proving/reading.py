"""Follows what a probe prints, and decides what became of each target.

A probe works through a list of targets and prints a JSON line before and after each. What the layer's own code prints
lands in the same place, so lines bear a nonce. It keeps chance apart from results, not malice: the code runs as the
same user as the probe and could find the nonce. All it can gain is that its own layer is called sound; whoever is in
doubt about that must not attach the layer.

Whatever a probe does, each target gets a result, and each process that is started settles at least one of them. The
reader never waits and reads no clock; the host kills what is past `deadline_s` and starts again at `next_index`.
"""

import json
import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

LINE_MOST_BYTES: Final = 64 * 1024
"""A longer line is no result."""
OUTPUT_MOST_BYTES: Final = 4 * 1024 * 1024
"""What one process may print before it counts as one that prints without end."""
_TEXT_MOST: Final = 500
_NAME_MOST: Final = 200


class Outcome(StrEnum):
    """What became of a target."""

    OK = "ok"
    FAILED = "failed"
    """The language says so: an exception."""
    CRASHED = "crashed"
    """The process ended instead."""
    TIMED_OUT = "timed-out"
    SKIPPED = "skipped"
    """It turned out that there is nothing to try."""
    UNTRIED = "untried"
    """There was no time left."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a target.

    Attributes:
        error: The last line of the exception, or of what was printed. Of the layer's making: no control characters.
        missing: The module or package that was not found; empty if that was not the matter.
        at: Where it was raised, as far as that is in the layer.
    """

    outcome: Outcome
    error: str = ""
    missing: str = ""
    at: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Ending:
    """How a process ended.

    Attributes:
        code: Exit status; `None` if a signal ended it.
        killed_for: Why the host killed it: `time` or `output`; empty if it did not.
        out_of_memory: Whether the kernel killed something at the memory limit meanwhile.
    """

    code: int | None = None
    signal: int | None = None
    killed_for: str = ""
    out_of_memory: bool = False

    def __str__(self) -> str:
        """In words."""
        if self.out_of_memory:
            return "it was killed because it wanted more memory than the sandbox has"
        if self.killed_for == "output":
            return "it printed without end"
        if self.signal is not None:
            return f"the process was ended by signal {self.signal}{_SIGNALS.get(self.signal, '')}"
        return f"the process ended with status {self.code} in the middle of it"


_SIGNALS: Final = {
    4: " (illegal instruction: it may want a newer processor)",
    6: " (aborted)",
    7: " (bus error)",
    8: " (arithmetic error)",
    9: " (killed)",
    11: " (segmentation fault)",
    31: " (a system call that sandboxes forbid)",
}


def plain(text: object, most: int = _TEXT_MOST) -> str:
    """A text of the layer's making as one that can be shown: one line, bounded, no control characters."""
    line = " ".join(str(text).split())
    line = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in line)
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _small(value: object) -> int | None:
    return value if isinstance(value, int) and -255 <= value <= 255 else None


class ProbeReader:
    """What became of targets that one probe tries after each other."""

    def __init__(self, count: int, *, nonce: str, limit_s: float) -> None:
        """Nothing has been tried.

        Args:
            count: Of targets.
            nonce: What genuine lines bear.
            limit_s: For one target, the start of the process included.
        """
        self.results: dict[int, Result] = {}
        self.loaded: set[int] = set()
        """Targets that were found loaded after another one had been tried."""
        self._count = count
        self._nonce = nonce
        self._limit_s = limit_s
        self._next = 0
        self._current: int | None = None
        self._rest = b""
        self._began_s = 0.0
        self._printed_bytes = 0
        self._settled_before = 0
        self.oom_kills = 0
        """As of the last result."""

    @property
    def finished(self) -> bool:
        """Whether nothing is left to try."""
        return self._next >= self._count

    @property
    def next_index(self) -> int:
        """Where the next process begins."""
        return self._next

    @property
    def deadline_s(self) -> float:
        """When the process has to be killed, unless something comes before that; monotonic seconds."""
        return math.inf if self.finished else self._began_s + self._limit_s

    @property
    def floods(self) -> bool:
        """Whether the process has printed more than anybody should."""
        return self._printed_bytes > OUTPUT_MOST_BYTES

    def started(self, now_s: float) -> None:
        """A process was started at `next_index`."""
        self._current, self._rest, self._printed_bytes = None, b"", 0
        self._began_s = now_s
        self._settled_before = len(self.results)

    def feed(self, data: bytes, now_s: float, *, oom_kills: int = 0) -> None:
        """It has printed something.

        Args:
            data: The next of it.
            now_s: Monotonic seconds.
            oom_kills: How many processes the kernel has killed in the sandbox so far, at the memory limit.
        """
        self._printed_bytes += len(data)
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[-LINE_MOST_BYTES:]
        for line in lines:
            # A print without a line feed may stand before it.
            start = line.rfind(b'{"nonce"')
            if start >= 0 and len(line) - start <= LINE_MOST_BYTES:
                self._line(line[start:], now_s, oom_kills)

    def ended(self, ending: Ending, now_s: float) -> None:
        """The process is gone, of itself or killed."""
        if self.finished:
            return
        if self._current is None and len(self.results) > self._settled_before and not ending.killed_for:
            return  # between two targets: the next process goes on there
        # One that never got as far as a target would never: its target is given up, lest it go on for ever.
        index = self._next if self._current is None else self._current
        seconds = now_s - self._began_s
        if ending.killed_for == "time" and not ending.out_of_memory:
            self._settle(index, Result(Outcome.TIMED_OUT, seconds=seconds), now_s)
        else:
            self._settle(index, Result(Outcome.CRASHED, str(ending), seconds=seconds), now_s)

    def give_up(self) -> None:
        """There is no time for what is left."""
        for index in range(self._next, self._count):
            self.results[index] = Result(Outcome.UNTRIED)
        self._next = self._count

    def _line(self, line: bytes, now_s: float, oom_kills: int) -> None:
        try:
            document: Any = json.loads(line)  # Any: JSON, looked at member by member
        except (ValueError, RecursionError):
            return
        if not isinstance(document, dict) or document.get("nonce") != self._nonce:
            return
        index = document.get("index")
        if not isinstance(index, int) or isinstance(index, bool) or index != self._next or self.finished:
            return
        if document.get("event") == "begin":
            self._current, self._began_s = index, now_s
        elif document.get("event") == "end" and self._current == index:
            loaded = document.get("loaded")
            if isinstance(loaded, list):
                self.loaded.update(other for other in loaded if isinstance(other, int) and 0 <= other < self._count)
            result = self._result(document, now_s - self._began_s)
            if result.outcome is Outcome.CRASHED and oom_kills > self.oom_kills:
                result = replace(result, error=str(Ending(signal=9, out_of_memory=True)))
            self.oom_kills = oom_kills
            self._settle(index, result, now_s)

    @staticmethod
    def _result(document: dict[str, Any], seconds: float) -> Result:  # Any: JSON
        known = {outcome.value: outcome for outcome in (Outcome.OK, Outcome.FAILED, Outcome.CRASHED, Outcome.SKIPPED)}
        outcome = known.get(str(document.get("outcome")), Outcome.CRASHED)
        error = plain(document.get("error", ""))
        signal = document.get("signal")
        if outcome is Outcome.CRASHED:
            status = document.get("status")
            # Both are of the layer's making, and an integer may have a thousand digits.
            ending = str(Ending(code=_small(status), signal=_small(signal)))
            error = f"{ending}; it printed: {error}" if error else ending
        return Result(
            outcome,
            error,
            plain(document.get("missing", ""), _NAME_MOST),
            plain(document.get("at", ""), _NAME_MOST),
            seconds,
        )

    def _settle(self, index: int, result: Result, now_s: float) -> None:
        self.results[index] = result
        self._next = index + 1
        self._current = None
        self._began_s = now_s


def judge_program(ending: Ending, printed: str, seconds: float) -> Result:
    """What the dynamic loader, or the check of a script, makes of one file.

    Args:
        ending: Of the process, which is not the layer's own.
        printed: By it.
        seconds: That it took.
    """
    if ending.killed_for == "time":
        return Result(Outcome.TIMED_OUT, seconds=seconds)
    if ending.code == 0 and "not found" not in printed:
        return Result(Outcome.OK, seconds=seconds)
    lines = [line for line in printed.splitlines() if "not found" in line or "error" in line.lower()] or [printed]
    error = plain(lines[0]) or str(ending)
    kind = Outcome.FAILED if ending.signal is None else Outcome.CRASHED
    return Result(kind, error, seconds=seconds)
