"""What differs between two layers, on the terminal and as JSON."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from lamella.cli import output as out
from lamella.cli.failure import CommandError, Status
from lamella.layers.contents import ContentEntry
from lamella.layers.findings import Finding, Severity
from lamella.layers.look.diff import FileChange, LayerDiff, PackageChange, SymbolChange

_SHOWN: Final = 15
_RANGE: Final = re.compile(r"(?P<layer>.+):(?P<old>\d+)\.\.(?P<new>\d+)")


def two_sources(old: str, new: str | None) -> tuple[str, str]:
    """The two layers that are meant: `NAME:7..8`, or one after the other.

    Raises:
        CommandError: It is one layer only.
    """
    if new is not None:
        return old, new
    match = _RANGE.fullmatch(old)
    if match is None:
        raise CommandError(
            f"name two layers, or two versions of one, such as {old.partition(':')[0]}:7..8", Status.USAGE
        )
    return f"{match['layer']}:{match['old']}", f"{match['layer']}:{match['new']}"


def diff_lines(old: str, new: str, diff: LayerDiff, *, all_files: bool) -> Iterator[str]:
    """What differs, the most important first."""
    most = None if all_files else _SHOWN
    yield f"--- {out.printable(old)}"
    yield f"+++ {out.printable(new)}"
    yield _sizes("unzipped", *diff.sizes)
    zipped = diff.zipped
    if zipped[0] is not None and zipped[1] is not None:
        yield _sizes("zipped", zipped[0], zipped[1])
    if diff.equal:
        yield "The files are the same."
    yield from _section("Packages", (_package(change) for change in diff.packages), None)
    yield from _section("Python modules that are gone", (f"- {name}" for name in diff.vanished_modules), None)
    yield from _section("Symbols of shared libraries", _symbols(diff.symbols, most), None)
    yield from _section("New findings", (_finding("+", finding) for finding in diff.new_findings), None)
    yield from _section("Findings that are gone", (_finding("-", finding) for finding in diff.gone_findings), None)
    yield from _section("Files removed", (_file("-", entry) for entry in diff.removed), most)
    yield from _section("Files added", (_file("+", entry) for entry in diff.added), most)
    yield from _section("Files changed", (_changed(change) for change in diff.changed), most)
    yield from _section(
        "Modes changed",
        (f"~ {out.printable(one.name)}  {one.old.mode:04o} -> {one.new.mode:04o}" for one in diff.modes),
        most,
    )


def _section(title: str, lines: Iterable[str], most: int | None) -> Iterator[str]:
    found = list(lines)
    if not found:
        return
    yield ""
    yield f"{title} ({len(found)})"
    yield from (f"  {line}" for line in found[:most])
    if most is not None and len(found) > most:
        yield f"  and {len(found) - most} more; --files lists all"


def _sizes(name: str, old: int, new: int) -> str:
    change = f"{'+' if new >= old else '-'}{out.size(abs(new - old))}" if new != old else "the same"
    return f"{name}: {out.size(old)} -> {out.size(new)} ({change})"


def _package(change: PackageChange) -> str:
    name = out.printable(f"{change.name} ({change.ecosystem.value})")
    old, new = (out.printable(", ".join(versions)) for versions in (change.old, change.new))
    match change.direction:
        case "added":
            return f"+ {name} {new}"
        case "removed":
            return f"- {name} {old}"
        case "down":
            return f"~ {name} {old} -> {new}, which is older"
        case _:
            return f"~ {name} {old} -> {new}"


def _symbols(changes: Sequence[SymbolChange], most: int | None) -> Iterator[str]:
    for change in changes:
        counts = f"{len(change.removed)} removed, {len(change.added)} added"
        yield f"~ {out.printable(change.name)}: {counts}"
        for sign, names in (("-", change.removed), ("+", change.added)):
            yield from (f"    {sign} {out.printable(name)}" for name in names[:most])
            if most is not None and len(names) > most:
                yield f"    {sign} and {len(names) - most} more"


def _finding(sign: str, finding: Finding) -> str:
    level, place = finding.severity.name.lower(), f" {out.printable(finding.place)}" if finding.place else ""
    # A note is worth knowing, and seldom worth three lines here; 'layer check' has them.
    reason = "" if finding.severity is Severity.NOTE else f": {out.printable(finding.reason)}"
    return f"{sign} {level} {finding.code}{place}{reason}"


def _file(sign: str, entry: ContentEntry) -> str:
    return f"{sign} {out.printable(entry.name)}  {out.size(entry.size_bytes)}"


def _changed(change: FileChange) -> str:
    name = out.printable(change.name)
    if change.old.target or change.new.target:
        return f"~ {name}  -> {out.printable(change.old.target)}, now -> {out.printable(change.new.target)}"
    old, new = out.size(change.old.size_bytes), out.size(change.new.size_bytes)
    return f"~ {name}  {new}" if old == new else f"~ {name}  {old} -> {new}"


def diff_document(old: str, new: str, diff: LayerDiff) -> dict[str, Any]:
    """The same as JSON-ready values, complete."""
    return {
        "old": {"label": old, "unzipped_bytes": diff.sizes[0], "zipped_bytes": diff.zipped[0]},
        "new": {"label": new, "unzipped_bytes": diff.sizes[1], "zipped_bytes": diff.zipped[1]},
        "equal": diff.equal,
        "packages": [
            {
                "ecosystem": change.ecosystem.value,
                "name": change.name,
                "old": list(change.old),
                "new": list(change.new),
                "change": change.direction,
            }
            for change in diff.packages
        ],
        "added": [_entry(entry) for entry in diff.added],
        "removed": [_entry(entry) for entry in diff.removed],
        "changed": [_change(change) for change in diff.changed],
        "modes": [_change(change) for change in diff.modes],
        "symbols": [
            {"name": change.name, "removed": list(change.removed), "added": list(change.added)}
            for change in diff.symbols
        ],
        "vanished_modules": list(diff.vanished_modules),
        "new_findings": [finding.to_dict() for finding in diff.new_findings],
        "gone_findings": [finding.to_dict() for finding in diff.gone_findings],
    }


def _entry(entry: ContentEntry) -> dict[str, Any]:
    known = {"name": entry.name, "kind": entry.kind.value, "mode": f"{entry.mode:04o}", "bytes": entry.size_bytes}
    return known | ({"target": entry.target} if entry.target else {})


def _change(change: FileChange) -> dict[str, Any]:
    return {"name": change.name, "old": _entry(change.old), "new": _entry(change.new)}
