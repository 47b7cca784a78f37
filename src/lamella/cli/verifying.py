"""What `lamella runtime verify` and `lamella extension verify` have in common: asking the server, and showing reports.

A report is the JSON document of `lamella.conformance.report`.
"""

import os
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import typer

from lamella.cli import output as out
from lamella.cli.client import Client
from lamella.cli.failure import CommandError, Status

Report = Mapping[str, Any]  # Any: JSON

_LABELS: Final = {
    ("fail", "error"): ("FAIL", "31"),
    ("fail", "advice"): ("advice", "33"),
    ("untried", "error"): ("untried", "35"),
    ("untried", "advice"): ("untried", "35"),
    ("pass", "error"): ("pass", "32"),
    ("pass", "advice"): ("pass", "32"),
    ("not-applicable", "error"): ("n/a", "2"),
    ("not-applicable", "advice"): ("n/a", "2"),
}
_WIDTH: Final = 110

Only = Annotated[
    str, typer.Option("--only", metavar="CHECKS", help="Only these, with commas between.", show_default=False)
]
Skip = Annotated[
    str, typer.Option("--skip", metavar="CHECKS", help="Not these, with commas between.", show_default=False)
]
Everything = Annotated[bool, typer.Option("--all", help="Show what passed as well.")]
Junit = Annotated[
    Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit's XML, for CI.", show_default=False)
]


def check_writable(file: Path | None) -> None:
    """Before anything that takes its time.

    Raises:
        CommandError: The file could not be written.
    """
    if file is not None and not file.absolute().parent.is_dir():
        raise CommandError(f"cannot write {file}: there is no directory {file.absolute().parent}", Status.USAGE)


def examine(client: Client, kind: str, query: Sequence[tuple[str, str]], archive: bytes) -> Report:
    """Have the server examine something; each scenario is told on stderr when it begins.

    Args:
        client: Of the server.
        kind: `runtime` or `extension`: which page is asked.
        query: What the page knows.
        archive: A zip archive, or nothing.

    Raises:
        CommandError: The server cannot, or its answer ended too early.
    """
    from lamella.cli.layer.progress import telling

    with telling() as tell:
        for document in client.verify(f"conformance/{kind}?{urlencode(query)}", archive):
            if "scenario" in document:
                tell(f"Playing: {document['scenario']}")
            elif "error" in document:
                raise CommandError(out.printable(str(document["error"])))
            elif isinstance(document.get("report"), dict):
                report: Report = document["report"]
                return report
    raise CommandError("the server's answer ended before the report; look into its log")


def show(report: Report, *, everything: bool) -> None:
    """Print a report: what failed with its reason and remedy, what was untried, and the counts.

    Args:
        report: As `examine` returns it.
        everything: Print what passed as well.
    """
    for note in report["notes"]:
        out.say(out.printable(str(note)))
    untried: dict[str, list[str]] = {}
    for row in report["checks"]:
        if row["verdict"] == "fail" or everything:
            _show_row(row, whole=row["verdict"] == "fail")
        elif row["verdict"] == "untried":
            untried.setdefault(str(row["seen"]), []).append(str(row["id"]))
    for reason, checks in untried.items():
        print(f"{_coloured('untried ', _LABELS['untried', 'error'][1])}{out.printable(reason)}")
        print(_folded("ids", ", ".join(checks)))
        print()
    if report["output"] and not report["passed"]:
        print("The last that it printed:")
        for line in str(report["output"]).splitlines()[-8:]:
            print(f"    {out.printable(line)}")
        print()
    print(_summary(report))


def _show_row(row: Report, *, whole: bool) -> None:
    label, colour = _LABELS[row["verdict"], row["weight"]]
    print(f"{_coloured(f'{label:<8}', colour)}{row['rule']}  {row['id']}: {row['title']}")
    if row["seen"] and (whole or row["verdict"] != "pass"):
        print(_folded("seen", out.printable(str(row["seen"]))))
    if whole:
        print(_folded("why", row["why"]))
        print(_folded("fix", row["fix"]))
        print()


def _folded(label: str, text: str) -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=f"        {label + ':':<6}",
        subsequent_indent=" " * 14,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _summary(report: Report) -> str:
    errors = [row for row in report["checks"] if row["verdict"] == "fail" and row["weight"] == "error"]
    advice = [row for row in report["checks"] if row["verdict"] == "fail" and row["weight"] == "advice"]
    counts = report["counts"]
    parts = [f"{counts['pass']} passed", f"{len(errors)} failed"]
    if advice:
        parts.append(f"{len(advice)} {'piece' if len(advice) == 1 else 'pieces'} of advice")
    parts += [f"{counts[name]} {name.replace('-', ' ')}" for name in ("not-applicable", "untried") if counts[name]]
    verdict = "No fault was found."  # and no more than that: --only may have left most out
    if errors:
        verdict = "It has faults."
    elif counts["untried"]:
        verdict = "Not everything could be tried."
    return f"{out.printable(str(report['patient']))}: {', '.join(parts)} in {report['seconds']:.1f} s. {verdict}"


def _coloured(text: str, colour: str) -> str:
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        return f"\x1b[{colour}m{text}\x1b[0m"
    return text


def junit(report: Report) -> bytes:
    """A report as JUnit's XML, which CI systems read: advice is no failure there, and what was untried is an error."""
    rows = report["checks"]
    failures = [row for row in rows if row["verdict"] == "fail" and row["weight"] == "error"]
    counts = {
        "tests": str(len(rows)),
        "failures": str(len(failures)),
        "errors": str(report["counts"]["untried"]),
        "skipped": str(report["counts"]["not-applicable"]),
    }
    suite = ET.Element("testsuite", {"name": _text(f"lamella {report['kind']} verify {report['patient']}"), **counts})
    suite.set("time", f"{report['seconds']:.3f}")
    for row in rows:
        case = ET.SubElement(suite, "testcase", {"classname": f"{report['kind']}.{row['rule']}", "name": row["id"]})
        text = _text(f"{row['title']}\nSeen: {row['seen']}\nWhy: {row['why']}\nFix: {row['fix']}")
        if row["verdict"] == "fail" and row["weight"] == "error":
            ET.SubElement(case, "failure", {"message": _text(row["seen"]) or row["title"]}).text = text
        elif row["verdict"] == "untried":
            ET.SubElement(case, "error", {"message": _text(row["seen"])})
        elif row["verdict"] == "not-applicable":
            ET.SubElement(case, "skipped", {"message": _text(row["seen"])})
        elif row["verdict"] == "fail":
            ET.SubElement(case, "system-out").text = text
    suites = ET.Element("testsuites")
    suites.append(suite)
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(suites, "unicode").encode()


def _text(text: str) -> str:
    """A text that XML can hold: control characters are written out."""
    return "".join(letter if letter == "\n" or letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def finish(report: Report, *, json_: bool, junit_: Path | None, everything: bool) -> None:
    """Print and write a report, and end the command with the status that goes with it.

    Raises:
        CommandError: Something failed, or the file could not be written.
    """
    if junit_ is not None:
        try:
            junit_.write_bytes(junit(report))
        except OSError as error:
            raise CommandError(f"cannot write {junit_}: {error.strerror}", Status.USAGE) from error
    if json_:
        out.write_json(report)
    else:
        show(report, everything=everything)
    if not report["passed"]:
        failed = [row["id"] for row in report["checks"] if row["verdict"] == "fail" and row["weight"] == "error"]
        what = f"failed: {', '.join(failed)}" if failed else "not everything could be tried"
        raise CommandError(what, Status.NEGATIVE)
