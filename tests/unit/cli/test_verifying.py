"""Reports for people and for CI."""

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from lamella.cli.failure import CommandError, Status
from lamella.cli.main import app
from lamella.cli.verifying import finish, junit

ROW = {"title": "It is right.", "why": "Because.", "fix": "Mend it.", "scenario": "play", "seen": "What was seen."}


def report(*rows: tuple[str, str, str], passed: bool = False, **members: Any) -> dict[str, Any]:
    verdicts = [verdict for _, verdict, _ in rows]
    return {
        "patient": "\x1b[31mred",
        "kind": "runtime",
        "passed": passed,
        "counts": {name: verdicts.count(name) for name in ("pass", "fail", "not-applicable", "untried")},
        "seconds": 1.5,
        "notes": [],
        "checks": [
            {**ROW, "id": name, "rule": "RT-21", "verdict": verdict, "weight": weight} for name, verdict, weight in rows
        ],
        "output": "\x1b[2Jlast words\n",
        **members,
    }


MIXED = report(
    ("good", "pass", "error"),
    ("bad", "fail", "error"),
    ("fragile", "fail", "advice"),
    ("absent", "not-applicable", "error"),
    ("later", "untried", "error"),
)


def test_what_failed_comes_with_reason_and_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CommandError, match="failed: bad") as caught:
        finish(MIXED, json_=False, junit_=None, everything=False)
    assert caught.value.status is Status.NEGATIVE
    shown = capsys.readouterr().out
    assert "FAIL    RT-21  bad: It is right.\n        seen: What was seen.\n        why:  Because." in shown
    assert "advice  RT-21  fragile" in shown
    assert "untried What was seen.\n        ids:  later\n" in shown
    assert "good" not in shown
    assert shown.rstrip().endswith(
        "1 passed, 1 failed, 1 piece of advice, 1 not applicable, 1 untried in 1.5 s. It has faults."
    )
    assert "\x1b" not in shown


def test_all_of_it_can_be_seen(capsys: pytest.CaptureFixture[str]) -> None:
    finish(report(("good", "pass", "error"), passed=True), json_=False, junit_=None, everything=True)
    shown = capsys.readouterr().out
    assert "pass    RT-21  good" in shown
    assert shown.rstrip().endswith("1 passed, 0 failed in 1.5 s. No fault was found.")


def test_what_could_not_be_tried_is_no_success() -> None:
    with pytest.raises(CommandError, match="not everything could be tried"):
        finish(report(("later", "untried", "error")), json_=True, junit_=None, everything=False)


def test_ci_sees_failures_and_no_advice() -> None:
    suite = ET.fromstring(junit(MIXED))[0]
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped", "time")} == {
        "tests": "5",
        "failures": "1",
        "errors": "1",
        "skipped": "1",
        "time": "1.500",
    }
    assert [(case.get("name"), [child.tag for child in case]) for case in suite] == [
        ("good", []),
        ("bad", ["failure"]),
        ("fragile", ["system-out"]),
        ("absent", ["skipped"]),
        ("later", ["error"]),
    ]
    assert suite.get("name") == "lamella runtime verify \\x1b[31mred"


def test_a_file_that_cannot_be_written_is_a_mistake_of_usage(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot write") as caught:
        finish(MIXED, json_=True, junit_=tmp_path / "none" / "verify.xml", everything=False)
    assert caught.value.status is Status.USAGE


@pytest.mark.parametrize("noun", ["runtime", "extension"])
def test_a_report_that_could_not_be_written_is_told_before_anything_is_examined(noun: str) -> None:
    with pytest.raises(CommandError, match="there is no directory") as caught:
        app([noun, "verify", "nothing", "--junit", "nowhere/verify.xml"], standalone_mode=False)
    assert caught.value.status is Status.USAGE
