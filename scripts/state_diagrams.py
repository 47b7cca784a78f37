"""Draws the state machines of `lamella.lifecycle` into docs/design/state-machines.md, from the code itself.

    python scripts/state_diagrams.py [--check]

The page is written by hand; what stands between `<!-- drawn: NAME -->` and `<!-- end -->` is replaced. The diagrams of
runtime and function are their transition tables. The environment has no such table, because where an event leads
depends on the runtime inside: so its machine is led through every legal event from every state it can reach.
"""

import copy
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from lamella.domain.invocation import Invocation
from lamella.lifecycle import function, runtime
from lamella.lifecycle.environment import LEGAL, EnvironmentMachine, Phase
from lamella.lifecycle.events import (
    DeadlinePassed,
    ErrorPosted,
    Event,
    InitErrorPosted,
    InitRequested,
    InvocationAssigned,
    LaunchFailed,
    NextPolled,
    ProcessesGone,
    ProtocolError,
    ResponsePosted,
    ResponseRefused,
    RuntimeExited,
    ShutdownRequested,
    TransitionError,
)

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "design" / "state-machines.md"
_BLOCK: Final = re.compile(r"(<!-- drawn: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_ID: Final = "0"
_EVENTS: Final[tuple[Event, ...]] = (
    InitRequested(),
    LaunchFailed("Runtime.InvalidEntrypoint", ""),
    NextPolled(),
    InvocationAssigned(Invocation(_ID, b"", "", "", ""), 1.0),
    ResponsePosted(_ID, b""),
    ErrorPosted(_ID, b"", ""),
    ResponseRefused(_ID, "", ""),
    InitErrorPosted(b"", ""),
    RuntimeExited(""),
    DeadlinePassed(),
    ProcessesGone(),
    ShutdownRequested(),
)
Edge = tuple[str, str, str]  # from, to, event


def runtime_edges() -> Iterable[Edge]:
    """The table of the Runtime API."""
    for (state, event), target in runtime.TRANSITIONS.items():
        yield state.value, target.value, event.__name__


def function_edges() -> Iterable[Edge]:
    """The table of `State` and `LastUpdateStatus`."""
    for (status, event), target in function.TRANSITIONS.items():
        yield "_".join(status), "_".join(target), event.__name__


def environment_edges() -> Iterable[Edge]:
    """Where each event leads from each phase, found by trying."""
    start = EnvironmentMachine(init_timeout_s=1.0)
    seen = {_state(start)}
    todo = [start]
    edges: dict[Edge, None] = {}
    while todo:
        machine = todo.pop(0)
        for event in _EVENTS:
            after = copy.deepcopy(machine)
            try:
                after.receive(event, now_s=0.0)
            except (TransitionError, ProtocolError):
                continue
            edges[machine.phase.value, after.phase.value, type(event).__name__] = None
            if _state(after) not in seen:
                seen.add(_state(after))
                todo.append(after)
    order = list(Phase)
    return sorted(edges, key=lambda edge: (order.index(Phase(edge[0])), order.index(Phase(edge[1]))))


def _state(machine: EnvironmentMachine) -> tuple[object, ...]:
    """What decides about later events; times and payloads do not."""
    names = ("_replied", "_start_recorded", "_failure", "_invocation")
    inside = [bool(getattr(machine, name)) for name in names]
    return (machine.phase, getattr(machine, "_runtime").state, *inside)  # noqa: B009  # a private member, on purpose


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
    for event in _EVENTS:
        marks = ["●" if type(event) in LEGAL[phase] else "" for phase in Phase]
        lines.append(f"| `{type(event).__name__}` | {' | '.join(marks)} |")
    return "\n".join([*lines, ""])


BLOCKS: Final[Mapping[str, Callable[[], str]]] = {
    "runtime": lambda: diagram(runtime_edges(), first="Started"),
    "environment": lambda: diagram(environment_edges(), first="cold"),
    "legal": legal_table,
    "function": lambda: diagram(function_edges(), first="Pending_InProgress"),
}


def drawn(text: str) -> str:
    """The page with its blocks as they should be."""
    return _BLOCK.sub(lambda match: f"{match[1]}\n{BLOCKS[match[2]]()}\n{match[3]}", text)


def main(arguments: list[str]) -> int:
    """Write the page, or with `--check` compare it; returns the exit status."""
    text = PAGE.read_text(encoding="utf-8")
    missing = BLOCKS.keys() - {match[2] for match in _BLOCK.finditer(text)}
    if missing:
        print(f"{PAGE} has no place for: {', '.join(sorted(missing))}", file=sys.stderr)
        return 1
    if (new := drawn(text)) == text:
        return 0
    if "--check" in arguments:
        print(f"{PAGE} is not as `python scripts/state_diagrams.py` draws it", file=sys.stderr)
        return 1
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
