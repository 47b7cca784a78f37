"""The process at work on a roll-out: takes commands from the machine, has them carried out, writes events down."""

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Protocol

from lamella.fleet.errors import UnreachableError
from lamella.fleet.events import Command, Event, Watch
from lamella.fleet.machine import RolloutMachine
from lamella.fleet.policy import Policy

_TICK_S = 0.2


class EventLog(Protocol):
    """Where events are written."""

    def append(self, event: Event) -> None:
        """Write an event; it is on the disk when this returns."""
        ...


class CommandPerformer(Protocol):
    """Who carries out commands."""

    def perform(self, command: Command, cancelled: threading.Event) -> Event | None:
        """Carry one out; `None` if it was cancelled."""
        ...


@dataclass
class Driver:
    """Leads a roll-out to its end, or to a place where it can be resumed.

    Attributes:
        changed: Told after each event.
        stopping: Set it to have what was begun ended, and nothing else begun.
    """

    machine: RolloutMachine
    policy: Policy
    journal: EventLog
    performer: CommandPerformer
    changed: Callable[[Event], None] = lambda _event: None
    stopping: threading.Event = field(default_factory=threading.Event)

    def take(self, event: Event) -> None:
        """Have something happen: to the journal first, then to the machine."""
        self.journal.append(event)
        self.machine.receive(event)
        self.changed(event)

    def run(self) -> bool:
        """Go on until nothing is left to do; returns whether that is so, or it was stopped.

        Raises:
            UnreachableError: The API cannot be reached. What had been begun is in the journal.
            JournalError: The journal cannot be written.
        """
        running: dict[Command, tuple[Future[Event | None], threading.Event]] = {}
        unreachable: UnreachableError | None = None
        with ThreadPoolExecutor(max(1, self.policy.parallel)) as pool:
            try:
                while True:
                    wanted = self.machine.commands()
                    halted = self.stopping.is_set() or unreachable is not None
                    for command, (_, cancelled) in running.items():
                        if command not in wanted or (halted and isinstance(command, Watch)):
                            cancelled.set()
                    # No more at a time than can be worked on, so that little is left to be ended when it is stopped.
                    for command in [] if halted else [one for one in wanted if one not in running]:
                        if len(running) < self.policy.parallel:
                            cancelled = threading.Event()
                            running[command] = (pool.submit(self.performer.perform, command, cancelled), cancelled)
                    if not running:
                        break
                    done, _ = wait([one for one, _ in running.values()], _TICK_S, FIRST_COMPLETED)
                    for command in [one for one, (future, _) in running.items() if future in done]:
                        future, _ = running.pop(command)
                        try:
                            event = future.result()
                        except UnreachableError as error:
                            unreachable = error
                            continue
                        if event is not None and command in self.machine.commands():
                            self.take(event)
            except BaseException:
                for _, cancelled in running.values():
                    cancelled.set()
                raise
        if unreachable is not None:
            raise unreachable
        return self.machine.finished
