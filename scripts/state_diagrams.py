"""Draws the state machines of `lamella.lifecycle` and of roll-outs into docs/design, from the code itself.

    python scripts/state_diagrams.py [--check]

The pages are written by hand; what stands between `<!-- drawn: NAME -->` and `<!-- end -->` is replaced. The diagrams
of runtime, extension, function, event and roll-out are their transition tables. Environment and shutdown have no such
table, because where an event leads depends on the runtime and the extensions inside: so an environment is led through
every legal event from every state it can reach, with at most one extension, external or internal.
"""

import copy
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from lamella.domain.invocation import Invocation
from lamella.fleet import function_machine as rollout
from lamella.lifecycle import extension, function, retry, runtime, stream_batches
from lamella.lifecycle.course import Course
from lamella.lifecycle.environment import LEGAL, EnvironmentMachine, Phase
from lamella.lifecycle.events import (
    DeadlinePassed,
    ErrorPosted,
    Event,
    ExtensionExited,
    ExtensionExitErrorPosted,
    ExtensionInitErrorPosted,
    ExtensionLaunchFailed,
    ExtensionPolled,
    ExtensionRefusedError,
    ExtensionRegistered,
    InitErrorPosted,
    InitRequested,
    InvocationAssigned,
    LaunchFailed,
    NextPolled,
    ProcessesGone,
    ProtocolError,
    ResponseEnded,
    ResponsePosted,
    ResponseRefused,
    ResponseStarted,
    RestoreErrorPosted,
    RestorePolled,
    RuntimeExited,
    ShutdownRequested,
    TelemetryFlushed,
    TransitionError,
)
from lamella.lifecycle.extension import ExtensionState
from lamella.lifecycle.shutdown import Step

DESIGN: Final = Path(__file__).resolve().parent.parent / "docs" / "design"
_BLOCK: Final = re.compile(r"(<!-- drawn: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_ID: Final = "0"
_NAME: Final = "x"
_EVENTS: Final[tuple[Event, ...]] = (
    InitRequested(),
    ExtensionRegistered(_ID, _NAME, ("INVOKE", "SHUTDOWN")),
    ExtensionRegistered(_ID, _NAME, ("INVOKE",)),
    ExtensionPolled(_ID),
    ExtensionInitErrorPosted(_ID, ""),
    ExtensionExitErrorPosted(_ID, ""),
    ExtensionLaunchFailed(_NAME, ""),
    ExtensionExited(_NAME, ""),
    NextPolled(),
    RestorePolled(),
    RestoreErrorPosted(b"", ""),
    InitErrorPosted(b"", ""),
    LaunchFailed("Runtime.InvalidEntrypoint", ""),
    RuntimeExited(""),
    InvocationAssigned(Invocation(_ID, b"", "", "", ""), 1.0),
    ResponsePosted(_ID, b""),
    ResponseStarted(_ID),
    ResponseEnded(_ID, 0),
    ErrorPosted(_ID, b"", ""),
    ResponseRefused(_ID, "", ""),
    DeadlinePassed(),
    TelemetryFlushed(),
    ProcessesGone(),
    ShutdownRequested(),
)
Edge = tuple[str, str, str]  # from, to, event


def runtime_edges() -> Iterable[Edge]:
    """The table of the Runtime API."""
    for (state, event), target in runtime.TRANSITIONS.items():
        yield state.value, target.value, event.__name__


def extension_edges() -> Iterable[Edge]:
    """The table of the Extensions API; a process that ends leaves its extension where it was."""
    for (state, event), target in extension.TRANSITIONS.items():
        if state is ExtensionState.LAUNCH_ERROR or event is ExtensionExited:
            continue
        if event is ExtensionLaunchFailed and state is not ExtensionState.STARTED:
            continue  # only by the hand of another process, which says it were this one
        yield state.value, target.value, event.__name__


def function_edges() -> Iterable[Edge]:
    """The table of `State` and `LastUpdateStatus`."""
    for (status, event), target in function.TRANSITIONS.items():
        yield "_".join(status), "_".join(target), event.__name__


def retry_edges() -> Iterable[Edge]:
    """The table of asynchronous events, with each stage that one may lead to."""
    for (stage, event), targets in retry.TRANSITIONS.items():
        for target in sorted(targets):
            yield stage.value, target.value, event.__name__


def batch_edges() -> Iterable[Edge]:
    """The table of a stream's batches, with each stage that an event may lead to."""
    order = list(stream_batches.Stage)
    for (stage, event), targets in stream_batches.TRANSITIONS.items():
        for target in sorted(targets, key=order.index):
            yield stage.name.lower(), target.name.lower(), event.__name__


def rollout_edges() -> Iterable[Edge]:
    """The table of one function in a roll-out, with each phase that an event may lead to."""
    order = list(rollout.Phase)
    for (phase, event), targets in rollout.TRANSITIONS.items():
        for target in sorted(targets, key=order.index):
            yield phase.value, target.value, event.__name__


def environment_edges() -> Iterable[Edge]:
    """Where each event leads from each phase, found by trying; what leads nowhere is left out."""
    order = list(Phase)
    found = {
        (before.phase, after.phase, type(event).__name__)
        for before, event, after in _journeys()
        if before.phase is not after.phase
    }
    for source, target, event in sorted(found, key=lambda edge: (order.index(edge[0]), order.index(edge[1]), edge[2])):
        yield source.value, target.value, event


def shutdown_edges() -> Iterable[Edge]:
    """The same of the steps within a shutdown."""
    order = list(Step)
    found = {
        (_step(before), _step(after), type(event).__name__)
        for before, event, after in _journeys()
        if before.phase is Phase.SHUTDOWN and _step(before) is not _step(after)
    }
    for source, target, event in sorted(found, key=lambda edge: (order.index(edge[0]), order.index(edge[1]), edge[2])):
        yield source.value, target.value, event


@cache
def _journeys() -> Sequence[tuple[EnvironmentMachine, Event, EnvironmentMachine]]:
    """Every legal event in every state that can be reached."""
    journeys = []
    seen = set()
    todo = [EnvironmentMachine(init_timeout_s=1.0), EnvironmentMachine(init_timeout_s=1.0, extensions=[_NAME])]
    while todo:
        machine = todo.pop()
        external = bool(getattr(machine, "_extension_names"))  # noqa: B009  # a private member, on purpose
        for event in _EVENTS:
            if isinstance(event, ExtensionExited | ExtensionLaunchFailed) and not external:
                continue  # an internal extension has no process of its own
            after = copy.deepcopy(machine)
            try:
                after.receive(event, now_s=0.0)
            except (TransitionError, ProtocolError, ExtensionRefusedError):
                continue
            journeys.append((machine, event, after))
            if (state := (external, *_state(after))) not in seen:
                seen.add(state)
                todo.append(after)
    return journeys


def _step(machine: EnvironmentMachine) -> Step:
    """How far its shutdown has got."""
    step: Step = getattr(machine, "_shutdown").step  # noqa: B009  # a private member, on purpose
    return step


def _state(machine: EnvironmentMachine) -> tuple[object, ...]:
    """What decides about later events; times and payloads do not, nor what an earlier phase has left."""
    if machine.phase in (Phase.COLD, Phase.RESET, Phase.ENDED):
        return (machine.phase,)
    extensions = [
        (one.state, one.alive, one.told, one.events, one.external)
        for one in getattr(machine, "_extensions")  # noqa: B009
    ]
    if machine.phase is Phase.SHUTDOWN:
        return (machine.phase, _step(machine), getattr(machine, "_ending"), *extensions)  # noqa: B009
    names = ["_runtime_alive", "_initialising", "_failure_posted"]
    inside = [bool(getattr(machine, name)) for name in names]
    if machine.phase is Phase.INVOKE:
        course: Course = getattr(machine, "_course")  # noqa: B009
        failed = getattr(machine, "_failure") is not None  # noqa: B009
        inside += [course.replied, course.started, failed, course.runtime_done_s is not None]
    return (machine.phase, getattr(machine, "_runtime").state, *inside, *extensions)  # noqa: B009


def diagram(edges: Iterable[Edge], *, first: str) -> str:
    """A Mermaid state diagram; events that lead the same way share an arrow."""
    labels: dict[tuple[str, str], list[str]] = {}
    for source, target, event in edges:
        labels.setdefault((source, target), []).append(event)
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {first}"]
    for (source, target), events in labels.items():
        lines.append(f"    {source} --> {target}: {', '.join(events)}")
    return "\n".join([*lines, "```", ""])


def legal_table() -> str:
    """Which events each phase takes."""
    lines = ["| Event | " + " | ".join(phase.name for phase in Phase) + " |", "|---" * (len(Phase) + 1) + "|"]
    for event in dict.fromkeys(type(event) for event in _EVENTS):
        marks = ["●" if event in LEGAL[phase] else "" for phase in Phase]
        lines.append(f"| `{event.__name__}` | {' | '.join(marks)} |")
    return "\n".join([*lines, ""])


BLOCKS: Final[Mapping[str, Mapping[str, Callable[[], str]]]] = {
    "state-machines.md": {
        "runtime": lambda: diagram(runtime_edges(), first="Started"),
        "extension": lambda: diagram(extension_edges(), first="Started"),
        "shutdown": lambda: diagram(shutdown_edges(), first="runtime"),
        "environment": lambda: diagram(environment_edges(), first="cold"),
        "legal": legal_table,
        "event": lambda: diagram(retry_edges(), first="waiting"),
        "batch": lambda: diagram(batch_edges(), first="waiting"),
        "function": lambda: diagram(function_edges(), first="Pending_InProgress"),
    },
    "roll-out.md": {"rollout": lambda: diagram(rollout_edges(), first="waiting")},
}
"""By page, and by name of the block on it."""


def drawn(text: str, blocks: Mapping[str, Callable[[], str]]) -> str:
    """The page with its blocks as they should be."""
    return _BLOCK.sub(lambda match: f"{match[1]}\n{blocks[match[2]]()}\n{match[3]}", text)


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` compare them; returns the exit status."""
    status = 0
    for name, blocks in BLOCKS.items():
        page = DESIGN / name
        text = page.read_text(encoding="utf-8")
        missing = blocks.keys() - {match[2] for match in _BLOCK.finditer(text)}
        if missing:
            print(f"{page} has no place for: {', '.join(sorted(missing))}", file=sys.stderr)
            return 1
        if (new := drawn(text, blocks)) == text:
            continue
        if "--check" in arguments:
            print(f"{page} is not as `python scripts/state_diagrams.py` draws it", file=sys.stderr)
            status = 1
        else:
            page.write_text(new, encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
