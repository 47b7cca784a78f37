"""How plans and roll-outs look on a terminal."""

import re
import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from lamella.cli import output
from lamella.fleet.events import (
    Baked,
    Conflicted,
    Event,
    Failed,
    Probed,
    Published,
    Resumed,
    RollbackRequested,
    Shifted,
    Started,
    UndoFailed,
    Undone,
    Updated,
)
from lamella.fleet.function_machine import FunctionMachine, Phase
from lamella.fleet.machine import Direction, RolloutMachine, WaveStage
from lamella.fleet.plan import Plan, PlannedFunction

if TYPE_CHECKING:
    from rich.console import RenderableType

    from lamella.fleet.journal import Record

_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
_MOST: Final = 12
_ORDER: Final = list(Phase)


def clean(text: str) -> str:
    """Text of somebody else's on one line, without anything that a terminal takes for a command."""
    return _CONTROL.sub(" ", text)


def print_plan(plan: Plan) -> None:
    """Print what would be done."""
    moved = sum(len(one.aliases) for one in plan.functions.values())
    published = sum(one.publish for one in plan.functions.values())
    print(f"Roll-out {plan.id}: {plan.arn}")
    if not plan.functions:
        print("Nothing to do.")
    else:
        rows = [
            (str(number + 1), *_row(plan.functions[name])) for number, wave in enumerate(plan.waves) for name in wave
        ]
        output.write_table(("WAVE", "FUNCTION", "RUNTIME", "LAYERS", "VERSION", "ALIASES"), rows)
    _print_warnings(plan)
    if plan.skipped:
        print("Left as they are:")
        output.write_table(("FUNCTION", "WHY", ""), _skipped(plan))
    for text in plan.refused:
        print(f"refused: {clean(text)}")
    for note in plan.notes:
        output.say(f"note: {note}")
    print(
        f"{_count(len(plan.functions), 'function')} in {_count(len(plan.waves), 'wave')}: "
        f"{_count(published, 'version')} published, {_count(moved, 'alias', 'aliases')} moved; "
        f"{_count(len({one.name for one in plan.skipped if not one.alias}), 'function')} left as they are"
    )


def _row(one: PlannedFunction) -> tuple[str, ...]:
    aliases = ", ".join(f"{alias.name}: {alias.route}{' at once' if alias.at_once else ''}" for alias in one.aliases)
    runtime = one.runtime + ("" if one.architecture == "x86_64" else f" {one.architecture}")
    return one.name, runtime, _layers(one), "new" if one.publish else "-", aliases or "-"


def _layers(one: PlannedFunction) -> str:
    """Layers in their order; the one that changes with both versions."""
    words = []
    for before, after in zip(one.before, one.after, strict=True):
        name, _, number = before.rpartition(":")
        name = name.rpartition(":")[2]
        new = after.rpartition(":")[2]
        words.append(f"{name}:{number}" + ("" if number == new else f"->{new}"))
    return " ".join(words)


def _skipped(plan: Plan) -> list[tuple[str, str, str]]:
    """What is left as it is, each reason once."""
    names: dict[tuple[str, str], list[str]] = {}
    for one in plan.skipped:
        names.setdefault((one.code, clean(one.reason)), []).append(f"{one.name}:{one.alias}" if one.alias else one.name)
    return [(_some(functions), code, reason) for (code, reason), functions in names.items()]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _print_warnings(plan: Plan) -> None:
    """Warnings, those that many functions share once."""
    functions: dict[str, list[str]] = {}
    for one in plan.functions.values():
        for warning in one.warnings:
            functions.setdefault(warning, []).append(one.name)
    if functions:
        print("To think of:")
    for warning, names in functions.items():
        print(f"  {_some(names)}: {clean(warning)}")


def _count(number: int, word: str, words: str = "") -> str:
    return f"{number} {word if number == 1 else words or word + 's'}"


def worded(event: Event) -> list[str]:
    """What has happened, in lines for people."""
    match event:
        case Started():
            return ["the roll-out begins"]
        case Resumed():
            return ["taken up again"]
        case Updated(name):
            return [f"{name}: $LATEST has the layer"]
        case Published(name, version, created):
            return [f"{name}: version {version} " + ("is published" if created else "was there already")]
        case Probed(name):
            return [f"{name}: the probe went well"]
        case Shifted(name):
            return [f"{name}: aliases shifted"]
        case Baked(unhealthy, seen, invocations, errors):
            bad = [f"{name}: FAILED: {reason}" for name, reason in unhealthy.items()]
            return [*bad, _summed(len(seen), invocations, errors)]
        case Failed(name, reason):
            return [f"{name}: FAILED: {reason}"]
        case Conflicted(name, reason):
            return [f"{name}: left alone: {reason}"]
        case Undone(name, notes):
            return [f"{name}: as it was" + (f", but: {notes}" if notes else "")]
        case UndoFailed(name, reason):
            return [f"{name}: could NOT be put back: {reason}"]
        case RollbackRequested(reason):
            return [f"rolling back: {reason}"]


def _summed(functions: int, invocations: int, errors: int) -> str:
    if not functions:
        return "nothing was looked at"
    who = f"new versions of {_count(functions, 'function')}"
    return f"{who} were invoked {_count(invocations, 'time')}, and failed {_count(errors, 'time')}"


def print_rollout(record: "Record") -> None:
    """Print how far a roll-out is."""
    machine, plan = record.machine, record.plan
    print(f"Roll-out {plan.id}: {plan.arn}, {headline(machine, at_work=record.at_work)}")
    rows = [
        (str(number + 1), one.task.name, one.phase.value, one.version or "-", clean(_detail(one)))
        for number, wave in enumerate(plan.waves)
        for one in (machine.functions[name] for name in wave)
    ]
    output.write_table(("WAVE", "FUNCTION", "IS", "VERSION", ""), rows)


def _detail(one: FunctionMachine) -> str:
    return "; ".join(text for text in (one.reason, one.notes) if text) or one.seen


def headline(machine: RolloutMachine, *, at_work: bool) -> str:
    """How it is, in a few words."""
    stuck = sum(one.phase is Phase.STUCK for one in machine.functions.values())
    if not machine.began:
        return "not begun"
    if machine.finished:
        back = machine.direction is Direction.BACK
        text = "rolled back" if back else "done"
        return text + (f", but {_count(stuck, 'function')} could not be put back" if stuck else "")
    going = (
        "going back" if machine.direction is Direction.BACK else f"in wave {machine.wave + 1} of {len(machine.waves)}"
    )
    return going + ("" if at_work else ", nobody at work on it")


def stage(machine: RolloutMachine, shares: Sequence[float]) -> str:
    """What is being done, in a few words."""
    text = headline(machine, at_work=True)
    if not machine.began or machine.finished or machine.direction is Direction.BACK:
        return text
    moved = any(machine.functions[name].task.shift for name in machine.waves[machine.wave])
    share = f"{shares[machine.step]:.0%} of invocations" if moved else "$LATEST"
    match machine.stage:
        case WaveStage.PREPARING:
            return f"{text}: preparing"
        case WaveStage.SHIFTING:
            return f"{text}: shifting to {share}"
        case WaveStage.BAKING:
            return f"{text}: watching {share}"


def as_document(record: "Record") -> dict[str, Any]:  # Any: JSON
    """How far a roll-out is, as JSON."""
    machine, plan, policy = record.machine, record.plan, record.policy
    watching = record.watching if record.at_work else {}
    share = policy.steps[machine.step] if machine.began and not machine.finished else None
    return {
        "id": plan.id,
        "layer": plan.layer,
        "version": plan.version,
        "state": headline(machine, at_work=record.at_work),
        "began": machine.began,
        "finished": machine.finished,
        "direction": machine.direction.value,
        "reason": machine.reason,
        "at_work": record.at_work,
        "wave": min(machine.wave + 1, len(plan.waves)),
        "waves": len(plan.waves),
        "stage": machine.stage.value,
        "share": share,
        "watching": watching,
        "updated_at": record.history[-1].at if record.history else plan.created_at,
        "functions": [
            {
                "name": one.task.name,
                "wave": number + 1,
                "phase": one.phase.value,
                "version": one.version,
                "reason": one.reason,
                "notes": one.notes,
                "seen": watching.get("seen", {}).get(one.task.name, one.seen),
            }
            for number, wave in enumerate(plan.waves)
            for one in (machine.functions[name] for name in wave)
        ],
    }


def picture(plan: Plan, machine: RolloutMachine, shares: Sequence[float], seen: dict[str, str]) -> "RenderableType":
    """A roll-out as it goes: a bar for each wave, and the functions at which something is being done."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    bars = Table.grid(padding=(0, 1))
    for number, wave in enumerate(plan.waves):
        phases = Counter(machine.functions[name].phase for name in wave)
        done = sum(_progress(machine, machine.functions[name], len(shares)) for name in wave)
        now = stage(machine, shares).partition(": ")[2] if number == machine.wave else ""
        counts = ", ".join(f"{phases[phase]} {phase.value}" for phase in _ORDER if phases[phase])
        bars.add_row(
            Text(f"wave {number + 1}"),
            ProgressBar(total=len(wave), completed=done, width=30),
            Text(counts),
            Text(now),
        )
    busy = Table.grid(padding=(0, 2))
    lively = [one for one in machine.functions.values() if one.phase not in (Phase.WAITING, Phase.DONE)]
    for one in sorted(lively, key=lambda one: _ORDER.index(one.phase))[:_MOST]:
        detail = seen.get(one.task.name, "") or _detail(one)
        busy.add_row(
            Text(one.task.name),
            Text(one.phase.value),
            Text(one.version),
            Text(clean(detail), no_wrap=True, overflow="ellipsis"),
        )
    if len(lively) > _MOST:
        busy.add_row(Text(f"and {len(lively) - _MOST} more"), "", "", "")
    return Group(bars, busy)


def _progress(machine: RolloutMachine, one: FunctionMachine, steps: int) -> float:
    """How much of its way a function has behind it, from 0 to 1."""
    match one.phase:
        case Phase.DONE | Phase.LEFT:
            return 1.0
        case Phase.UPDATING | Phase.PUBLISHING | Phase.PROBING | Phase.READY:
            return 0.1 + 0.1 * _ORDER.index(one.phase)
        case Phase.SHIFTING | Phase.SHIFTED:
            return 0.5 + 0.5 * (machine.step + (one.phase is Phase.SHIFTED)) / (steps + 1)
        case _:
            return 0.0


def is_terminal() -> bool:
    """Whether a picture can be drawn."""
    return sys.stderr.isatty()
