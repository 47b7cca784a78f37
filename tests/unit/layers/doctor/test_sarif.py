"""The members that the schema of SARIF 2.1.0 and GitHub's code scanning want."""

from lamella.layers.doctor.rules import RULES
from lamella.layers.doctor.sarif import to_sarif
from lamella.layers.findings import Finding, Severity

FINDING = Finding("wrong-architecture", Severity.ERROR, "lib/a b.so", "It is for arm64.", "Build it.", "", "python3.12")


def test_every_result_has_a_rule_a_place_and_a_fingerprint() -> None:
    log = to_sarif([FINDING, Finding("unheard-of", Severity.NOTE, "", "Why.", "How.")], version="1.0", source="./l.zip")
    assert (log["version"], len(log["runs"])) == ("2.1.0", 1)
    run = log["runs"][0]
    rules = run["tool"]["driver"]["rules"]
    assert {rule["id"] for rule in rules} == {*RULES, "unheard-of"}
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["message"]["text"]
        assert result["partialFingerprints"]["primaryLocationLineHash"]
    first = run["results"][0]
    assert first["level"] == "error"
    physical = first["locations"][0]["physicalLocation"]
    assert physical["artifactLocation"]["uri"] == "./l.zip/lib/a%20b.so"
    assert physical["region"]["startLine"] == 1
    assert "python3.12" in first["message"]["text"]


def test_the_same_fault_is_the_same_alert_whatever_its_numbers() -> None:
    other = Finding("wrong-architecture", Severity.ERROR, "lib/a b.so", "Other words.", "x", "", "python3.12")
    first, second = (
        to_sarif([finding], version="1", source="l.zip")["runs"][0]["results"][0]["partialFingerprints"]
        for finding in (FINDING, other)
    )
    assert first == second
