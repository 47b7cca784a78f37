"""A roll-out as a state machine: what has happened goes in, what is to be done next comes out.

Each function has a machine of its own; `RolloutMachine` leads them in waves. Within a wave all functions go in step:
first each gets the new layer, a version and a probe; then, share by share, all their aliases are shifted, and the wave
is watched as a whole before the next share. So the fewest invocations have met the new layer when it turns out to be
bad, and one look at the metrics serves all functions of the wave.

What is to be done is a function of the state (`commands`), not something that `receive` says once: after a crash the
journal is played into a new machine, and what it then asks for is exactly what may or may not have been done already.
Every command is safe to repeat.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from lamella.fleet.events import (
    Baked,
    Command,
    Event,
    Failed,
    Probe,
    Publish,
    Resumed,
    RollbackRequested,
    ShiftAliases,
    Started,
    Undo,
    UpdateLayers,
    Watch,
)
from lamella.fleet.function_machine import (
    AT_WORK,
    CHANGED,
    RESTING,
    SETTLED,
    Begun,
    Finished,
    FunctionMachine,
    Phase,
    RolloutTransitionError,
    ShiftBegun,
    Task,
    UndoBegun,
)


class Direction(StrEnum):
    """Where a roll-out goes."""

    FORWARD = "forward"
    BACK = "back"


class WaveStage(StrEnum):
    """What the functions of a wave are at."""

    PREPARING = "preparing"
    SHIFTING = "shifting"
    BAKING = "baking"


@dataclass(frozen=True, slots=True)
class Rules:
    """How a roll-out goes on when something happens to one function.

    Attributes:
        steps: How many shares an alias goes through.
        max_failures: So many functions may fail; with one more everything is rolled back.
        conflict_stops: Whether a function that somebody else has changed counts as a failure.
    """

    steps: int
    max_failures: int = 0
    conflict_stops: bool = False


@dataclass(slots=True)
class RolloutMachine:
    """A whole roll-out.

    Attributes:
        waves: Names of functions.
        wave: Which one's turn it is, from 0; past the end if all have had it.
        step: Which share its aliases have, or get, from 0.
        reason: Why it goes back; empty while it goes forward.
    """

    waves: Sequence[Sequence[str]]
    functions: Mapping[str, FunctionMachine]
    rules: Rules
    direction: Direction = Direction.FORWARD
    wave: int = -1
    stage: WaveStage = WaveStage.PREPARING
    step: int = 0
    reason: str = ""

    @classmethod
    def of(cls, waves: Sequence[Sequence[str]], tasks: Iterable[Task], rules: Rules) -> "RolloutMachine":
        """A roll-out that has not begun."""
        return cls(waves, {task.name: FunctionMachine(task) for task in tasks}, rules)

    @property
    def began(self) -> bool:
        """Whether anything can have been changed."""
        return self.wave >= 0

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do: all waves had their turn, or all is as it was."""
        if self.direction is Direction.BACK:
            return all(machine.phase in SETTLED | {Phase.WAITING} for machine in self.functions.values())
        return self.wave >= len(self.waves)

    @property
    def failures(self) -> int:
        """Functions that count against `max_failures`."""
        return sum(
            machine.failed or (self.rules.conflict_stops and bool(machine.reason))
            for machine in self.functions.values()
        )

    def receive(self, event: Event) -> None:
        """Take one event, and go as far as it leads.

        Raises:
            RolloutTransitionError: Not legal now, and nothing has changed.
        """
        match event:
            case Started():
                if self.began:
                    raise RolloutTransitionError("it has been started already")
                self.wave = 0
                self._begin_wave()
            case Resumed():
                self._resume()
            case RollbackRequested(reason):
                if not self.began:
                    raise RolloutTransitionError("it has not been started")
                self._go_back(reason)
            case Baked():
                self._baked(event)
            case _:
                if event.function not in self.functions:
                    raise RolloutTransitionError(f"{event.function} is no function of this roll-out")
                machine = self.functions[event.function]
                machine.receive(event)
                if self.direction is Direction.FORWARD:
                    self._contain()
                elif machine.phase in (*CHANGED, Phase.DONE):
                    machine.receive(UndoBegun())  # it was on its way when the others turned back
        self._advance()

    def commands(self) -> list[Command]:
        """What is to be done now; what is being done already is among it until its event arrives."""
        if not self.began:
            return []
        found = [command for machine in self.functions.values() for command in self._of_function(machine)]
        if self.direction is Direction.FORWARD and not self.finished and self.stage is WaveStage.BAKING:
            versions = tuple((one.task.name, one.version) for one in self._active())
            if versions:  # else the last of them is being undone
                found.append(Watch(versions, self.wave, self.step))
        return found

    def _of_function(self, machine: FunctionMachine) -> Iterable[Command]:
        name = machine.task.name
        match machine.phase:
            case Phase.UPDATING:
                yield UpdateLayers(name)
            case Phase.PUBLISHING:
                yield Publish(name)
            case Phase.PROBING:
                yield Probe(name, machine.version)
            case Phase.SHIFTING:
                yield ShiftAliases(name, machine.version, self.step)
            case Phase.UNDOING:
                yield Undo(name, machine.version, machine.touched)
            case _:
                pass

    def _active(self) -> list[FunctionMachine]:
        """Those of the wave whose way goes on."""
        wave = self.waves[self.wave] if self.wave < len(self.waves) else ()
        machines = [self.functions[name] for name in wave]
        return [one for one in machines if one.phase not in SETTLED | {Phase.UNDOING}]

    def _begin_wave(self) -> None:
        self.stage, self.step = WaveStage.PREPARING, 0
        for name in self.waves[self.wave] if self.wave < len(self.waves) else ():
            self.functions[name].receive(Begun())

    def _resume(self) -> None:
        """What was going on when the process died goes on, or, if the roll-out goes back, is undone."""
        if self.direction is Direction.BACK:
            for machine in self.functions.values():
                if machine.phase in AT_WORK:
                    machine.receive(UndoBegun())

    def _baked(self, event: Baked) -> None:
        if self.direction is not Direction.FORWARD or self.finished or self.stage is not WaveStage.BAKING:
            raise RolloutTransitionError("nothing is being watched")
        for machine in self._active():
            machine.seen = event.seen.get(machine.task.name, machine.seen)
            if machine.task.name in event.unhealthy:
                machine.receive(Failed(machine.task.name, event.unhealthy[machine.task.name]))
        if self._contain():
            return
        if self.step + 1 < self.rules.steps and any(one.task.shift for one in self._active()):
            self.step += 1
            self._begin_shift()
        else:
            for machine in self._active():
                machine.receive(Finished())

    def _contain(self) -> bool:
        """Go back with everything if too much has gone wrong; says whether."""
        if self.failures <= self.rules.max_failures:
            return False
        reasons = [f"{one.task.name}: {one.reason}" for one in self.functions.values() if one.reason]
        self._go_back("; ".join(reasons[:3]) + (f"; and {len(reasons) - 3} more" if len(reasons) > 3 else ""))
        return True

    def _go_back(self, reason: str) -> None:
        """Undo what no command is at work on; the others follow when theirs has ended."""
        self.direction = Direction.BACK
        self.reason = self.reason or reason
        for machine in self.functions.values():
            if machine.phase in RESTING:
                machine.receive(UndoBegun())

    def _begin_shift(self) -> None:
        self.stage = WaveStage.SHIFTING
        for machine in self._active():
            if machine.task.shift:
                machine.receive(ShiftBegun())

    def _advance(self) -> None:
        """Go on as far as no command has to be waited for."""
        while self.direction is Direction.FORWARD and self.began and not self.finished:
            wave = [self.functions[name] for name in self.waves[self.wave]]
            if any(one.phase in (*AT_WORK, Phase.UNDOING) for one in wave):
                return
            active = self._active()
            if not active:
                self.wave += 1
                self._begin_wave()
            elif self.stage is WaveStage.PREPARING and any(one.task.shift for one in active):
                self._begin_shift()
            elif self.stage is not WaveStage.BAKING:
                self.stage = WaveStage.BAKING
                return
            else:
                return
