"""Bring a state machine into a state by telling it what happened."""

from typing import Protocol, TypeVar

from lamella.lifecycle.commands import Command
from lamella.lifecycle.events import Event


class Machine(Protocol):
    """What `play` can drive."""

    def receive(self, event: Event, *, now_s: float) -> list[Command]:
        """Take one event."""


M = TypeVar("M", bound=Machine)


def play(machine: M, *events: Event, now_s: float = 0.0) -> M:
    """Feed the events, all at the same moment, and return the machine."""
    for event in events:
        machine.receive(event, now_s=now_s)
    return machine
