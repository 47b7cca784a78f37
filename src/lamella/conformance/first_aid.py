"""Why a runtime does not start, and what it can be given so that its other faults come to light as well.

What is given is named in the report, and the fault that it hides counts as failed.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from lamella.conformance.runtime_scenario import Beginning, Opening

START_CHECKS: Final = ("start-program", "start-interpreter", "start-modules", "start-code", "start-ready")
"""In the order in which a start comes by them."""

STAND_INS: Final = frozenset({"requests"})
"""Modules that the kit can stand in for."""

_NO_INTERPRETER: Final = re.compile(r"env: .?(?P<name>[A-Za-z0-9._-]+).?: No such file or directory")
_NO_MODULE: Final = re.compile(
    r"ModuleNotFoundError: No module named '(?P<python>[^']+)'"
    r"|Cannot find module '(?P<node>[^']+)'"
    r"|cannot load such file -- (?P<ruby>\S+)"
    r"|Class \"(?P<php>[^\"]+)\" not found"
)


class Kind(Enum):
    """What can be given."""

    INTERPRETER = auto()
    MODULE = auto()
    SEARCH_PATH = auto()


@dataclass(frozen=True, slots=True)
class Aid:
    """What a runtime is given.

    Attributes:
        name: Of the interpreter or the module.
    """

    kind: Kind
    name: str = ""

    def describe(self) -> str:
        """For the report."""
        match self.kind:
            case Kind.INTERPRETER:
                return f"To see further, the runtime was given the {self.name} of an installed runtime."
            case Kind.MODULE:
                return f"To see further, the runtime was given a stand-in for the module {self.name}."
            case Kind.SEARCH_PATH:
                return "To see further, the runtime was given PYTHONPATH=/var/task."


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why it does not start.

    Attributes:
        check: Which check failed.
        seen: What was seen.
        aid: What to try; `None` if there is nothing.
    """

    check: str
    seen: str
    aid: Aid | None = None


def diagnose(opening: Opening, *, interpreter: str, handler: str, has: Callable[[str], bool]) -> Diagnosis:
    """Say why a runtime did not ask for an event.

    Args:
        opening: Which is not `READY`.
        interpreter: Path in the first line of its program; empty if it is no script.
        handler: Value of `_HANDLER`.
        has: Whether a file exists in the sandbox, by its path there.
    """
    output = opening.output.decode("utf-8", "replace")
    if opening.beginning is Beginning.NOT_STARTED:
        if interpreter and not has(interpreter) and "no such file" in opening.detail:
            if interpreter.endswith("\r"):
                seen = f"Its first line ends in a carriage return, so it asks for {interpreter!r}: {opening.detail}."
                return Diagnosis("start-program", seen)
            name = interpreter.rpartition("/")[2]
            seen = f"Its first line names {interpreter}, which is not there: {opening.detail}."
            return Diagnosis("start-interpreter", seen, Aid(Kind.INTERPRETER, name))
        return Diagnosis("start-program", f"{opening.describe()}.")
    if (match := _NO_INTERPRETER.search(output)) is not None:
        seen = f"{opening.describe()}."
        return Diagnosis("start-interpreter", seen, Aid(Kind.INTERPRETER, match["name"]))
    if (match := _NO_MODULE.search(output)) is not None and opening.beginning is Beginning.ENDED:
        name = next(found for found in match.groups() if found)
        own = handler.rpartition(".")[0].replace("/", ".")
        if name.rpartition("/")[2] in (own, own.rpartition(".")[2]):
            aid = Aid(Kind.SEARCH_PATH) if match["python"] else None
            return Diagnosis("start-code", f"{opening.describe()}.", aid)
        aid = Aid(Kind.MODULE, name) if match["python"] and name in STAND_INS else None
        return Diagnosis("start-modules", f"{opening.describe()}.", aid)
    return Diagnosis("start-ready", f"{opening.describe()}.")
