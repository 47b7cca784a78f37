"""Leads a roll-out in this process, and shows it: shared by `apply` and `rollback`."""

import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from lamella.cli import output
from lamella.cli.failure import CommandError, Status
from lamella.cli.fleet.reach import tell
from lamella.cli.fleet.show import as_document, headline, is_terminal, picture, stage, worded
from lamella.fleet.driver import Driver
from lamella.fleet.errors import JournalError, UnreachableError
from lamella.fleet.events import Event, Resumed, RollbackRequested, Started
from lamella.fleet.function_machine import Phase
from lamella.fleet.journal import Journal, Record, read_record
from lamella.fleet.lambda_api import FunctionApi
from lamella.fleet.machine import Direction
from lamella.fleet.work import Performer

if TYPE_CHECKING:
    from lamella.fleet.watching import Watcher


def go(directory: Path, client: Any, watcher: "Watcher", *, rollback: str = "", json_: bool = False) -> Status:
    """Lead a roll-out to its end, or until Ctrl-C.

    Args:
        directory: Of the roll-out.
        client: Of botocore, for Lambda.
        watcher: Who knows how invocations fare.
        rollback: Why to go back; empty to go on.
        json_: Whether to print how it ended as JSON.

    Returns:
        0 if it is done, 1 if a function failed or something could not be put back.

    Raises:
        CommandError: It was stopped.
        FleetError: Another process is at work on it, or the journal cannot be read or written.
    """
    name = directory.name
    with Journal(directory) as journal:
        record = read_record(directory)
        machine, shown = record.machine, _Shown(record)
        api = FunctionApi(client, settle_s=record.policy.settle_s)

        def watching(seen: dict[str, str], until: datetime) -> None:
            journal.show(seen, until)
            shown.watching(seen)

        performer = Performer(record.plan, record.policy, api, watcher, show=watching)
        driver = Driver(machine, record.policy, journal, performer)
        shown.follow(driver)
        with _stopped_by_signals(driver.stopping, name), shown:
            try:
                if rollback:
                    driver.take(RollbackRequested(rollback))
                driver.take(Resumed() if machine.began else Started())
                finished = driver.run()
            except UnreachableError as error:
                raise CommandError(f"the roll-out stopped: {error}; {_how_to_go_on(name)}", Status.API) from error
            except JournalError as error:
                raise CommandError(f"the roll-out stopped: {error}; {_how_to_go_on(name)}", Status.NEGATIVE) from error
    if not finished:
        raise CommandError(f"the roll-out stopped where it can go on: {_how_to_go_on(name)}", Status.INTERRUPTED)
    if json_:
        output.write_json(as_document(read_record(directory)))
    functions = machine.functions.values()
    phases = Counter(one.phase.value for one in functions)
    counts = ", ".join(f"{count} {phase}" for phase, count in phases.items())
    reason = f": {machine.reason}" if machine.reason and not rollback else ""
    tell(f"roll-out {name}: {headline(machine, at_work=False)} ({counts}){reason}")
    wanted = machine.direction is Direction.FORWARD or rollback
    failed = any(one.phase is Phase.STUCK or (one.failed and not rollback) for one in functions)
    return Status.OK if wanted and not failed else Status.NEGATIVE


def _how_to_go_on(name: str) -> str:
    return f"'lamella fleet apply --resume {name}' goes on, 'lamella fleet rollback {name}' takes it back"


@contextmanager
def _stopped_by_signals(stopping: threading.Event, name: str) -> Iterator[None]:
    """Let Ctrl-C, or SIGTERM, end what has been begun and begin nothing else. A second one ends the process."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        if stopping.is_set():
            os.write(2, f"\nlamella: ended at once; {_how_to_go_on(name)}\n".encode())
            os._exit(Status.INTERRUPTED)  # threads may hang in a call: the journal holds whatever they were at
        stopping.set()
        os.write(2, b"\nending what has been begun; once more to end at once\n")

    before: dict[signal.Signals, Any] = {
        number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Shown:
    """What is seen of the roll-out while it runs: a picture on a terminal, else a line for each event."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._seen: dict[str, str] = {}
        self._live: Any = None  # rich's Live
        self._redraw: Callable[[], None] = lambda: None
        self._stage: Callable[[], str] = lambda: ""
        self._last_stage = ""

    def __enter__(self) -> None:
        if self._live is not None:
            self._live.start()

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._redraw()
            self._live.stop()

    def follow(self, driver: Driver) -> None:
        """Have it tell."""
        driver.changed = self._changed
        self._stage = lambda: stage(driver.machine, self._record.policy.steps)
        if not is_terminal():
            return
        from rich.console import Console
        from rich.live import Live

        plan, shares = self._record.plan, self._record.policy.steps
        live = Live(console=Console(file=sys.stderr), auto_refresh=True, refresh_per_second=4, transient=False)
        self._live = live
        self._redraw = lambda: live.update(picture(plan, driver.machine, shares, self._seen))

    def watching(self, seen: dict[str, str]) -> None:
        """Take what is seen of functions; of another thread."""
        self._seen = seen

    def _changed(self, event: Event) -> None:
        if self._live is None:
            for line in worded(event):
                tell(line)
            if (now := self._stage()) != self._last_stage:
                tell(f"-- {now}")
                self._last_stage = now
        else:
            self._redraw()
