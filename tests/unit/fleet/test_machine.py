"""The state machine of a roll-out: every state with every event, and the order of waves and steps."""

import copy
from itertools import product
from typing import Any

import pytest

from lamella.fleet.events import (
    EVENTS,
    Baked,
    Conflicted,
    Event,
    Failed,
    Probe,
    Probed,
    Publish,
    Published,
    Resumed,
    RollbackRequested,
    ShiftAliases,
    Shifted,
    Started,
    Undo,
    UndoFailed,
    Undone,
    Updated,
    UpdateLayers,
    Watch,
    of_document,
    to_document,
)
from lamella.fleet.function_machine import (
    TRANSITIONS,
    Begun,
    Finished,
    FunctionMachine,
    Phase,
    RolloutTransitionError,
    ShiftBegun,
    Task,
    UndoBegun,
)
from lamella.fleet.machine import Direction, RolloutMachine, Rules

HEALTHY = Baked({}, {})
FUNCTION_EVENTS: tuple[Any, ...] = (
    *(Begun(), ShiftBegun(), Finished(), UndoBegun()),
    *(Updated("f"), Published("f", "2", created=True), Probed("f"), Shifted("f")),
    *(Failed("f", "why"), Conflicted("f", "who"), Undone("f"), UndoFailed("f", "why")),
)


def task(name: str, *, update: bool = True, publish: bool = True, shift: bool = True, probe: bool = True) -> Task:
    return Task(name, update, publish, shift, probe)


def rollout(*waves: tuple[str, ...], steps: int = 2, max_failures: int = 0, **options: Any) -> RolloutMachine:
    tasks = [task(name, **options) for wave in waves for name in wave]
    return RolloutMachine.of(waves, tasks, Rules(steps, max_failures))


def play(machine: RolloutMachine, *events: Event) -> RolloutMachine:
    for event in events:
        machine.receive(event)
    return machine


def prepared(name: str) -> tuple[Event, ...]:
    return Updated(name), Published(name, "2", created=True), Probed(name)


@pytest.mark.parametrize(("phase", "event"), list(product(Phase, FUNCTION_EVENTS)))
def test_each_event_in_each_phase_is_in_the_table_or_refused(phase: Phase, event: Any) -> None:
    for wishes in product((True, False), repeat=4):
        machine = FunctionMachine(Task("f", *wishes), phase=phase)
        before = copy.copy(machine)
        targets = TRANSITIONS.get((phase, type(event)))
        if targets is None:
            with pytest.raises(RolloutTransitionError):
                machine.receive(event)
            assert machine == before
        else:
            machine.receive(event)
            assert machine.phase in targets


def test_one_function_goes_through_all_its_phases() -> None:
    machine = rollout(("a",))
    assert machine.commands() == []
    expected: list[tuple[Event, Any]] = [
        (Started(), UpdateLayers("a")),
        (Updated("a"), Publish("a")),
        (Published("a", "2", created=True), Probe("a", "2")),
        (Probed("a"), ShiftAliases("a", "2", 0)),
        (Shifted("a"), Watch((("a", "2"),), 0, 0)),
        (HEALTHY, ShiftAliases("a", "2", 1)),
        (Shifted("a"), Watch((("a", "2"),), 0, 1)),
    ]
    for event, command in expected:
        assert play(machine, event).commands() == [command]
    assert play(machine, HEALTHY).finished
    assert machine.commands() == []
    assert machine.functions["a"].phase is Phase.DONE


def test_a_function_without_aliases_is_watched_and_not_shifted() -> None:
    machine = play(rollout(("a",), publish=False, shift=False, probe=False), Started(), Updated("a"))
    assert machine.commands() == [Watch((("a", ""),), 0, 0)]
    assert play(machine, HEALTHY).finished


def test_a_wave_waits_for_the_one_before() -> None:
    machine = play(rollout(("a",), ("b", "c"), steps=1), Started(), *prepared("a"), Shifted("a"))
    assert machine.functions["b"].phase is Phase.WAITING
    assert play(machine, HEALTHY).commands() == [UpdateLayers("b"), UpdateLayers("c")]


def test_nobody_is_shifted_before_all_of_the_wave_are_ready() -> None:
    machine = play(rollout(("a", "b")), Started(), *prepared("a"))
    assert machine.commands() == [UpdateLayers("b")]
    play(machine, *prepared("b"))
    assert machine.commands() == [ShiftAliases("a", "2", 0), ShiftAliases("b", "2", 0)]


def test_a_failure_brings_everything_back_also_what_earlier_waves_did() -> None:
    machine = play(rollout(("a",), ("b", "c"), steps=1), Started(), *prepared("a"), Shifted("a"), HEALTHY)
    play(machine, Updated("b"), Failed("b", "broken"))
    assert machine.direction is Direction.BACK
    assert machine.reason == "b: broken"
    # `c` is being updated by somebody: it is undone when that has ended.
    assert machine.commands() == [Undo("a", "2", True), Undo("b", "", True), UpdateLayers("c")]
    play(machine, Updated("c"))
    assert Undo("c", "", True) in machine.commands()
    assert not machine.finished
    assert play(machine, Undone("a"), Undone("b"), Undone("c")).finished


def test_what_was_under_way_when_the_process_died_is_undone_if_it_goes_back() -> None:
    machine = play(rollout(("a", "b")), Started(), Failed("a", "broken"), Resumed())
    assert machine.commands() == [Undo("a", "", False), Undo("b", "", False)]


def test_what_was_under_way_when_the_process_died_is_done_again_if_it_goes_on() -> None:
    machine = play(rollout(("a",)), Started(), Updated("a"))
    assert play(machine, Resumed()).commands() == [Publish("a")]


def test_some_failures_can_be_allowed() -> None:
    machine = play(rollout(("a", "b"), steps=1, max_failures=1), Started(), Failed("a", "broken"), *prepared("b"))
    assert machine.direction is Direction.FORWARD
    assert machine.commands() == [Undo("a", "", False)]  # the wave waits for it
    play(machine, Undone("a"), Shifted("b"))
    assert machine.commands() == [Watch((("b", "2"),), 0, 0)]
    assert play(machine, HEALTHY).finished
    assert [one.phase for one in machine.functions.values()] == [Phase.UNDONE, Phase.DONE]


def test_a_function_that_is_unhealthy_counts_as_failed() -> None:
    machine = play(rollout(("a", "b"), steps=2, max_failures=1), Started(), *prepared("a"), *prepared("b"))
    play(machine, Shifted("a"), Shifted("b"), Baked({"a": "half of it failed"}, {"b": "fine"}))
    assert machine.commands() == [Undo("a", "2", True), ShiftAliases("b", "2", 1)]
    assert machine.functions["b"].seen == "fine"


def test_a_conflict_leaves_the_function_alone_and_goes_on() -> None:
    machine = play(rollout(("a", "b"), steps=1), Started(), Conflicted("a", "changed"), *prepared("b"))
    assert machine.functions["a"].phase is Phase.LEFT
    assert machine.commands() == [ShiftAliases("b", "2", 0)]


def test_a_conflict_after_a_change_puts_back_what_is_ours() -> None:
    machine = play(rollout(("a",), ("b",), steps=1), Started(), Updated("a"), Conflicted("a", "changed"))
    assert machine.commands() == [Undo("a", "", True)]
    assert play(machine, Undone("a")).commands() == [UpdateLayers("b")]


def test_conflicts_can_count_as_failures() -> None:
    machine = RolloutMachine.of((("a", "b"),), [task("a"), task("b")], Rules(1, conflict_stops=True))
    play(machine, Started(), *prepared("b"), Conflicted("a", "changed"))
    assert machine.direction is Direction.BACK


def test_a_finished_rollout_can_be_rolled_back_and_what_stuck_tried_again() -> None:
    machine = play(rollout(("a",), steps=1), Started(), *prepared("a"), Shifted("a"), HEALTHY)
    play(machine, RollbackRequested("wanted"), UndoFailed("a", "not allowed"))
    assert machine.finished
    assert machine.functions["a"].phase is Phase.STUCK
    assert play(machine, RollbackRequested("wanted")).commands() == [Undo("a", "2", True)]


def test_a_rollout_of_nothing_is_finished_at_once() -> None:
    assert play(rollout(), Started()).finished


@pytest.mark.parametrize("event", [Resumed(), RollbackRequested("x"), HEALTHY, Updated("a"), Updated("stranger")])
def test_before_it_is_started_nothing_happens(event: Event) -> None:
    machine = rollout(("a",))
    if not isinstance(event, Resumed):
        with pytest.raises(RolloutTransitionError):
            machine.receive(event)
    assert not machine.began
    assert machine.commands() == []


def test_events_survive_the_journal() -> None:
    events: list[Event] = [
        *(Started(), Resumed(), *prepared("f"), Shifted("f"), Baked({"f": "bad"}, {"g": "good"})),
        *(Failed("f", "r"), Conflicted("f", "r"), Undone("f", "n"), UndoFailed("f", "r"), RollbackRequested("r")),
    ]
    assert {type(event) for event in events} == set(EVENTS)
    assert [of_document(to_document(event)) for event in events] == events


def test_every_walk_ends() -> None:
    """Whatever becomes of each command, in whatever order, there is always something to do until it is finished."""
    outcomes: dict[type, tuple[Any, ...]] = {
        UpdateLayers: (Updated, Failed, Conflicted),
        Publish: (Published, Failed),
        Probe: (Probed, Failed),
        ShiftAliases: (Shifted, Conflicted),
        Undo: (Undone, UndoFailed),
        Watch: (Baked,),
    }

    def events_of(command: Any) -> list[Event]:
        if isinstance(command, Watch):
            return [HEALTHY, Baked({command.versions[0][0]: "bad"}, {})]
        made = []
        for kind in outcomes[type(command)]:
            more = {Published: ("2", True), Failed: ("r",), Conflicted: ("r",), UndoFailed: ("r",)}.get(kind, ())
            made.append(kind(command.function, *more))
        return made

    seen: set[str] = set()
    todo = [play(rollout(("a",), ("b", "c"), steps=1, max_failures=1), Started())]
    while todo:
        machine = todo.pop()
        if repr(machine) in seen:
            continue
        seen.add(repr(machine))
        commands = machine.commands()
        assert bool(commands) != machine.finished
        for command in commands:
            for event in events_of(command):
                after = copy.deepcopy(machine)
                after.receive(event)
                todo.append(after)
    assert len(seen) > 100
