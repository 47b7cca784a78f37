"""What has happened in a roll-out, on the disk before anything else is done.

A directory for each roll-out: `rollout.json` (the plan, and how carefully it is done), `journal.jsonl` (a line for each
event), `lock`, and `watching.json` (what is being seen, for those who look on). An event is on the disk before the
commands that follow from it are carried out; so what was being done when the process died follows from the journal.
"""

import fcntl
import json
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from lamella.durable import sync_directory
from lamella.fleet.errors import JournalError
from lamella.fleet.events import Event, of_document, to_document
from lamella.fleet.function_machine import RolloutTransitionError
from lamella.fleet.machine import RolloutMachine
from lamella.fleet.plan import Plan
from lamella.fleet.policy import Policy

_ROLLOUT: Final = "rollout.json"
_EVENTS: Final = "journal.jsonl"
_LOCK: Final = "lock"
_WATCHING: Final = "watching.json"
_VERSION: Final = 1


def state_directory(given: Path | None = None) -> Path:
    """Where roll-outs are kept: as given, else below `$XDG_STATE_HOME`, else below `~/.local/state`."""
    if given is not None:
        return given
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "lamella" / "rollouts"


@dataclass(frozen=True, slots=True)
class Happened:
    """An event, and when; in ISO 8601."""

    at: str
    event: Event


@dataclass(frozen=True, slots=True)
class Record:
    """All that is kept about a roll-out."""

    directory: Path
    plan: Plan
    policy: Policy
    history: tuple[Happened, ...]

    @property
    def machine(self) -> RolloutMachine:
        """The roll-out as far as it has got.

        Raises:
            JournalError: What is written cannot have happened.
        """
        policy = self.policy
        machine = self.plan.machine(
            steps=len(policy.steps),
            probe=policy.probe is not None,
            max_failures=policy.max_failures,
            conflict_stops=policy.conflict_stops,
        )
        try:
            for happened in self.history:
                machine.receive(happened.event)
        except RolloutTransitionError as error:
            raise JournalError(f"{self.directory / _EVENTS} is damaged: {error}") from error
        return machine

    @property
    def watching(self) -> dict[str, Any]:  # Any: JSON
        """What is being seen by the process at work: `{"seen": {FUNCTION: TEXT}, "until": ISO 8601}`, or nothing."""
        try:
            found = json.loads((self.directory / _WATCHING).read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def at_work(self) -> bool:
        """Whether some process is at work on it."""
        try:
            with (self.directory / _LOCK).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False


def read_record(directory: Path) -> Record:
    """What is kept about a roll-out.

    Raises:
        JournalError: There is none, or it cannot be read.
    """
    try:
        document = json.loads((directory / _ROLLOUT).read_bytes())
        if document.get("version") != _VERSION:
            raise JournalError(f"{directory} is of another version of this program: {document.get('version')!r}")
        plan = Plan.of_document(document["plan"], str(directory / _ROLLOUT))
        policy = Policy.of_document(document["policy"])
        lines = (directory / _EVENTS).read_bytes().split(b"\n")
    except FileNotFoundError as error:
        raise JournalError(
            f"there is no roll-out in {directory}; 'lamella fleet status' lists those there are"
        ) from error
    except OSError as error:
        raise JournalError(f"cannot read {directory}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise JournalError(f"{directory / _ROLLOUT} is damaged: {error!r}") from error
    history = []
    # What stands after the last line end was being written when the process died: nothing has followed from it.
    for number, line in enumerate(lines[:-1]):
        try:
            one = json.loads(line)
            history.append(Happened(str(one["at"]), of_document(one)))
        except (ValueError, KeyError, TypeError) as error:
            raise JournalError(f"{directory / _EVENTS} is damaged at line {number + 1}: {error!r}") from error
    return Record(directory, plan, policy, tuple(history))


def rollouts(state: Path) -> list[Path]:
    """Directories of all roll-outs, the oldest first."""
    try:
        return sorted(path for path in state.iterdir() if (path / _ROLLOUT).exists())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise JournalError(f"cannot read {state}: {error.strerror}") from error


class Journal:
    """The journal of a roll-out, for the one process that is at work on it. Use as a context manager."""

    def __init__(self, directory: Path) -> None:
        """Of a roll-out that has been kept with `create`."""
        self._directory = directory
        self._lock = -1
        self._events = -1

    @classmethod
    def create(cls, state: Path, plan: Plan, policy: Policy) -> "Journal":
        """Begin to keep a roll-out.

        Raises:
            JournalError: It is kept already, or cannot be.
        """
        directory = state / plan.id
        document = {"version": _VERSION, "plan": plan.to_document(), "policy": policy.to_document()}
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if (directory / _ROLLOUT).exists():
                raise JournalError(f"roll-out {plan.id} has been begun: 'lamella fleet apply --resume {plan.id}'")
            _write(directory / _EVENTS, b"")
            _write(directory / _ROLLOUT, json.dumps(document, indent=1).encode())  # last: what has it is whole
            sync_directory(directory)
            sync_directory(state)
        except OSError as error:
            raise JournalError(f"cannot keep the roll-out in {directory}: {error.strerror}") from error
        return cls(directory)

    def __enter__(self) -> Self:
        """Take the roll-out for this process.

        Raises:
            JournalError: Another process has it.
        """
        try:
            self._lock = os.open(self._directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            _take(self._lock)
            self._events = os.open(self._directory / _EVENTS, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
            self._mend()
        except BlockingIOError:
            self.close()
            name = self._directory.name
            raise JournalError(
                f"another process is at work on roll-out {name}: 'lamella fleet status {name} --watch' looks on"
            ) from None
        except OSError as error:
            self.close()
            raise JournalError(f"cannot open {self._directory}: {error.strerror}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back."""
        self.close()

    def close(self) -> None:
        """Give it back."""
        for descriptor in (self._events, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._events = self._lock = -1

    def append(self, event: Event) -> None:
        """Write an event; it is on the disk when this returns.

        Raises:
            JournalError: It is not.
        """
        line = json.dumps({"at": datetime.now(UTC).isoformat(timespec="milliseconds"), **to_document(event)})
        data = f"{line}\n".encode()
        try:
            if os.write(self._events, data) != len(data):
                raise JournalError(f"the disk with {self._directory} is full; make room and resume")
            os.fsync(self._events)
        except OSError as error:
            raise JournalError(f"cannot write to {self._directory}: {error.strerror}; mend that and resume") from error

    def show(self, seen: dict[str, str], until: datetime) -> None:
        """Let others see what is being watched. It is worth no error, nor waiting for the disk."""
        path = self._directory / _WATCHING
        unfinished = path.with_suffix(".new")
        try:
            unfinished.write_text(json.dumps({"seen": seen, "until": until.isoformat()}), encoding="utf-8")
            unfinished.replace(path)
        except OSError:
            return

    def _mend(self) -> None:
        """Cut off a line that was not written to its end, as the next would be appended to it."""
        size = os.fstat(self._events).st_size
        text = os.pread(self._events, size, 0)
        whole = text.rfind(b"\n") + 1
        if whole < size:
            os.ftruncate(self._events, whole)
            os.fsync(self._events)


def _take(descriptor: int) -> None:
    """Lock a file. Who only looks whether it is locked has it for a moment, so once more than once."""
    for _ in range(10):
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.01)
    return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _write(path: Path, content: bytes) -> None:
    unfinished = path.with_suffix(".new")
    with unfinished.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
