"""What becomes of verdicts."""

import hashlib
import tomllib
from importlib import resources
from pathlib import Path

import pytest

from lamella.conformance.checks import Check, CheckTable, Weight
from lamella.conformance.extension_checks import EXTENSION_CHECKS
from lamella.conformance.report import Gathering, Report, Result, Verdict, last_words
from lamella.conformance.runtime_checks import RUNTIME_CHECKS

ONE = Check("one", "RT-21", "One is right.", "Why.", "Fix.")
TWO = Check("two", "RT-30", "Two is right.", "Why.", "Fix.", Weight.ADVICE)


def gathered(*results: dict[str, Result], skipped: frozenset[str] = frozenset()) -> Report:
    gathering = Gathering([ONE, TWO], skipped)
    for found in results:
        gathering.take(found, "last line\n")
    return gathering.report("it", "runtime", 1.23456)


def test_a_failure_stays_whatever_else_is_seen() -> None:
    report = gathered(
        {"one": Result(Verdict.PASS)}, {"one": Result(Verdict.FAIL, "seen")}, {"one": Result(Verdict.PASS)}
    )
    assert report.results["one"].seen == "seen"
    assert report.failures == (ONE,)
    assert report.output == "last line\n"


def test_what_nobody_spoke_of_is_untried_and_no_pass() -> None:
    report = gathered({"one": Result(Verdict.PASS)})
    assert report.with_verdict(Verdict.UNTRIED) == (TWO,)
    assert not report.passed


def test_advice_that_is_not_taken_is_no_failure() -> None:
    report = gathered({"one": Result(Verdict.PASS), "two": Result(Verdict.FAIL)})
    assert report.passed
    assert report.with_verdict(Verdict.FAIL) == (TWO,)


def test_what_is_skipped_is_not_spoken_of() -> None:
    report = gathered({"one": Result(Verdict.FAIL), "two": Result(Verdict.PASS)}, skipped=frozenset({"one"}))
    assert report.passed
    assert [row["id"] for row in report.to_dict()["checks"]] == ["two"]


def test_a_report_travels_as_json() -> None:
    report = gathered({"one": Result(Verdict.FAIL, "x" * 5000, "play"), "two": Result(Verdict.NOT_APPLICABLE, "no")})
    document = report.to_dict()
    assert Report.of_dict(document).to_dict() == document
    assert len(document["checks"][0]["seen"]) < 700


def test_a_table_has_each_check_once() -> None:
    assert list(CheckTable([ONE, TWO])) == ["one", "two"]
    with pytest.raises(ValueError, match="twice"):
        CheckTable([ONE, ONE])


def test_last_words_are_one_line() -> None:
    assert last_words(b"a\n\nb\rc\n  d \n") == "b | c | d"


def test_every_check_is_of_a_rule_that_is_known() -> None:
    rules = tomllib.loads((Path(__file__).parents[2] / "rules.toml").read_text())
    known = {rule for group in rules.values() for rule in group}
    known.add("5.3")  # a section of the contract, about what has no rule of its own: new types of records
    assert {check.rule for check in (*RUNTIME_CHECKS.values(), *EXTENSION_CHECKS.values())} <= known


def test_a_check_is_worded_as_the_others() -> None:
    for check in (*RUNTIME_CHECKS.values(), *EXTENSION_CHECKS.values()):
        assert all(text.endswith((".", ")", "`")) and text[0] != " " for text in (check.title, check.why, check.fix))
        assert check.id.islower()


def test_the_compiled_handler_is_that_of_its_source() -> None:
    handlers = resources.files("lamella.conformance") / "handlers"
    source = (handlers / "Verify.java").read_bytes()
    assert (handlers / "Verify.sha256").read_text().strip() == hashlib.sha256(source).hexdigest(), "make probes"
    assert (handlers / "Verify.class").read_bytes()[:4] == b"\xca\xfe\xba\xbe"


def test_a_rule_in_the_place_of_a_check_is_told_from_a_typing_error() -> None:
    table = CheckTable([ONE, TWO])
    assert table.unknown("RT-30") == "RT-30 is a rule; of checks it has two."
    assert table.unknown("three") == "There is no check 'three'; there is one, two."
