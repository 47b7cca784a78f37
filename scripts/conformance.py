"""The conformance page: each rule of the execution environment, the tests that cite it, and how their last run ended.

Rules are in tests/rules.toml; tests cite them by id; `make conformance` runs those tests and keeps how they ended in
tests/outcomes.json. `reference_pages.py` makes the page of the three.
"""

import ast
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
OUTCOMES: Final = ROOT / "tests" / "outcomes.json"
_CITED: Final = re.compile(r"\b(RT|EX|EN|LG|TL)-(\d\d|3A)(?: to \1-(\d\d))?\b")

Place = tuple[str, str]  # file, and name of the test; the name is empty for a whole file


def page() -> str:
    """The page's text."""
    with (ROOT / "tests" / "rules.toml").open("rb") as file:
        rules = tomllib.load(file)
    run: Mapping[str, Any] = json.loads(OUTCOMES.read_text(encoding="utf-8"))  # Any: JSON
    tests = citations()
    claimed: Mapping[str, str] = rules["claimed"]
    rows = []
    for rule, text in claimed.items():
        places = _named(tests.get(rule, ()))
        rows.append(f"| {rule} | {text} | {_linked(places)} | {_result(places, run['tests'])} |")
    untested = [rule for rule in claimed if rule not in tests]
    return "\n".join(
        [
            "# Conformance of the execution environment",
            "",
            "What a runtime, an extension and their function can rely on, rule by rule, and the tests that cite each",
            "rule. Comments in the code cite them by the same ids. A test that cites a rule shows it at work; it may",
            "cover a part.",
            "",
            f"{len(claimed)} rules are kept; tests cite {len(claimed) - len(untested)} of them.",
            *([f"No test cites: {', '.join(untested)}."] if untested else []),
            f"Results are those of the run of {run['date']} on {run['host']}; `make conformance` makes them anew.",
            "A test with several cases counts once, and passes if all of them do.",
            "",
            "| Rule | What it says | Tests | Result |",
            "|---|---|---|---|",
            *rows,
            "",
            "## Not in this version",
            "",
            "| Rule | What it is about |",
            "|---|---|",
            *(f"| {rule} | {text} |" for rule, text in rules["later"].items()),
            "",
        ]
    )


def citations() -> dict[str, list[Place]]:
    """File and name of the tests that cite each rule."""
    found: dict[str, list[Place]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        spans = [
            (min([node.lineno, *(item.lineno for item in node.decorator_list)]), node.end_lineno or 0, node.name)
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
        ]
        for number, line in enumerate(text.splitlines(), start=1):
            name = next((name for first, last, name in spans if first <= number <= last), "")
            for rule in _rules_in(line):
                place = (path.relative_to(ROOT).as_posix(), name)
                if place not in found.setdefault(rule, []):
                    found[rule].append(place)
    return found


def _rules_in(line: str) -> Iterator[str]:
    for family, first, last in _CITED.findall(line):
        if last:
            yield from (f"{family}-{number:02d}" for number in range(int(first), int(last) + 1))
        else:
            yield f"{family}-{first}"


def _named(places: Iterable[Place]) -> list[Place]:
    # A whole file that cites a rule in its opening words says less than its tests that do.
    return [place for place in places if place[1]] or list(places)


def _linked(places: Iterable[Place]) -> str:
    return "<br>".join(f"[{name or Path(path).name}](../../{path})" for path, name in places) or "none"


def _result(places: Iterable[Place], outcomes: Mapping[str, str]) -> str:
    """`passed`, or what there is to say against it."""
    found = [_outcome(place, outcomes) for place in places]
    worst = sorted({outcome for outcome in found if outcome != "passed"})
    if not worst:
        return "passed" if found else "no test"
    return ", ".join(f"{found.count(outcome)} {outcome}" for outcome in worst) + f" of {len(found)}"


def _outcome(place: Place, outcomes: Mapping[str, str]) -> str:
    """That of a test, be it in a class or not, or of a whole file; the bad one, if there are several of the name."""
    path, name = place
    tail = f"::{name}" if name else ""
    ended = {outcome for test, outcome in outcomes.items() if test.startswith(f"{path}::") and test.endswith(tail)}
    return next(iter(sorted(ended - {"passed"})), "passed") if ended else "not run"
