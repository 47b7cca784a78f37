"""Findings about layers, as people read them."""

import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from lamella.cli import output as out

if TYPE_CHECKING:
    from lamella.layers.findings import Finding

LEVELS: Final = ("error", "warning", "note")
"""Severities by name, the worst first."""

_LABELS: Final = {"error": "31", "warning": "33", "note": "36"}  # as terminals number colours


def write_findings(findings: "Sequence[Finding]") -> None:
    """The findings by severity, the worst first; each with its place, its reason and what mends it."""
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    width = min(shutil.get_terminal_size().columns, 120) if sys.stdout.isatty() else 0
    for level in LEVELS:
        chosen = [finding for finding in findings if finding.severity.name.lower() == level]
        if not chosen:
            continue
        title = f"{len(chosen)} {level}{'s' if len(chosen) > 1 else ''}"
        print(f"\x1b[1;{_LABELS[level]}m{title}\x1b[0m" if colour else title)
        for finding in chosen:
            runtime = f" [{finding.runtime}]" if finding.runtime else ""
            where = ": ".join(out.printable(part) for part in (finding.layer, finding.place) if part)
            code = f"\x1b[1m{finding.code}\x1b[0m" if colour else finding.code
            print(f"\n  {code}{runtime}  {where}".rstrip())
            print(_wrapped(finding.reason, "    ", width))
            print(_wrapped(finding.remedy, "    mend: ", width, more="          "))
        print()


def _wrapped(text: str, before: str, width: int, more: str | None = None) -> str:
    line = out.printable(text)
    if not width:
        return before + line
    return textwrap.fill(
        line,
        width,
        initial_indent=before,
        subsequent_indent=more or before,
        break_long_words=False,
        break_on_hyphens=False,
    )
