"""Every fault is found and told with the right words, and its mended twin is sound."""

import io
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.unit.layers.doctor.cases import CASES, Case
from tests.unit.layers.doctor.elves import elf
from tests.unit.layers.doctor.making import check, codes, errors, zipped

from lamella.layers.contents import open_contents
from lamella.layers.doctor import Survey, check_layers
from lamella.layers.doctor.rules import PROVED, RULES
from lamella.layers.findings import Finding


def bad(case: Case) -> list[Finding]:
    return check(
        *case.bad,
        runtimes=case.runtimes,
        architectures=case.architectures,
        advisories=case.advisories,
        code_bytes=case.code_bytes,
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_fault_is_found(case: Case) -> None:
    findings = [finding for finding in bad(case) if finding.code == case.code]
    assert findings, codes(bad(case))
    text = f"{findings[0].place} {findings[0].reason} {findings[0].remedy} {findings[0].runtime}"
    for words in case.words:
        assert words in text
    assert findings[0].remedy


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_its_mended_twin_is_sound(case: Case) -> None:
    findings = check(
        *case.good,
        runtimes=case.runtimes if case.good_runtimes is None else case.good_runtimes,
        architectures=case.architectures if case.good_architectures is None else case.good_architectures,
        advisories=case.advisories,
        code_bytes=case.good_code_bytes,
    )
    assert case.code not in codes(findings), [finding for finding in findings if finding.code == case.code]
    assert errors(findings) == []


def test_every_code_has_a_layer_that_shows_it() -> None:
    assert set(RULES) - PROVED == {case.code for case in CASES} | {"two-versions"}


def test_every_code_is_explained_on_the_reference_page() -> None:
    page = (Path(__file__).parents[4] / "docs" / "reference" / "findings.md").read_text()
    for code, rule in RULES.items():
        assert f"### {code}\n\n**{rule.severity.name.lower()}**: {rule.title}.\n\n{rule.explanation}\n" in page


def test_what_was_read_before_is_not_read_again() -> None:
    surveys: dict[str, Survey] = {}
    with open_contents(io.BytesIO(zipped({"lib/a.so": elf("arm64")})), label="a") as first:
        before = check_layers([first], architectures=["x86_64"], surveys=surveys)
    assert codes(before) == ["wrong-architecture"]
    assert list(surveys) == ["a"]
    told: list[int] = []
    # It is closed, and could not be read.
    again = check_layers([first], architectures=["x86_64"], surveys=surveys, progress=lambda done, _: told.append(done))
    assert again == before
    assert told == []


def test_two_versions_of_one_layer() -> None:
    arn = "arn:aws:lambda:us-east-1:123456789012:layer:imaging"
    with ExitStack() as stack:
        layers = [
            stack.enter_context(open_contents(io.BytesIO(zipped({f"lib/{number}": ""})), label=f"{arn}:{number}"))
            for number in (1, 2)
        ]
        findings = check_layers(layers)
    assert [(finding.code, finding.layer) for finding in findings] == [("two-versions", f"{arn}:2")]
