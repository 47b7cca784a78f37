import json
from typing import Any

import pytest

from lamella.layers.doctor.advisories import Advisories
from lamella.layers.packages import Ecosystem, Package


def record(ecosystem: str, name: str, *events: dict[str, str], **more: Any) -> dict[str, Any]:
    kind = "SEMVER" if ecosystem == "npm" else "ECOSYSTEM"
    affected = {"package": {"ecosystem": ecosystem, "name": name}, "ranges": [{"type": kind, "events": list(events)}]}
    return {"id": "X-1", "affected": [affected | more.pop("affected", {})], **more}


def fixes(found: Advisories, ecosystem: Ecosystem, name: str, version: str) -> list[str]:
    return [fixed for _, fixed in found.of(Package(ecosystem, name, version))]


def test_a_version_in_a_range_is_affected() -> None:
    found = Advisories.of_records([record("PyPI", "Flask_Thing", {"introduced": "1.0"}, {"fixed": "1.10"})])
    assert fixes(found, Ecosystem.PYPI, "flask-thing", "1.9") == ["1.10"]
    for version in ("0.9", "1.10", "1.10.1"):
        assert fixes(found, Ecosystem.PYPI, "flask-thing", version) == []


def test_a_vulnerability_that_came_back() -> None:
    found = Advisories.of_records(
        [record("npm", "a", {"introduced": "0"}, {"fixed": "1.2.0"}, {"introduced": "2.0.0"}, {"fixed": "2.1.0"})]
    )
    assert fixes(found, Ecosystem.NPM, "a", "1.0.0") == ["1.2.0"]
    assert fixes(found, Ecosystem.NPM, "a", "2.0.0") == ["2.1.0"]
    assert fixes(found, Ecosystem.NPM, "a", "1.5.0") == []


def test_the_last_affected_version_is_affected() -> None:
    found = Advisories.of_records([record("Maven", "g:a", {"introduced": "0"}, {"last_affected": "2.14.1"})])
    assert fixes(found, Ecosystem.MAVEN, "g:a", "2.14.1") == [""]
    assert fixes(found, Ecosystem.MAVEN, "g:a", "2.15.0") == []


def test_a_version_that_is_listed_is_affected() -> None:
    found = Advisories.of_records([record("PyPI", "a", affected={"versions": ["1.0", "1.1"], "ranges": []})])
    assert fixes(found, Ecosystem.PYPI, "a", "1.1") == [""]
    assert fixes(found, Ecosystem.PYPI, "a", "1.2") == []


def test_what_was_withdrawn_does_not_count() -> None:
    found = Advisories.of_records([record("PyPI", "a", {"introduced": "0"}, withdrawn="2024-01-01T00:00:00Z")])
    assert fixes(found, Ecosystem.PYPI, "a", "1.0") == []


@pytest.mark.parametrize(
    "broken",
    [
        None,
        1,
        [],
        {},
        {"id": 5},
        {"id": "x", "affected": "no"},
        {"id": "x", "affected": [{"package": 1}, 2]},
        record("PyPI", "a", {"introduced": "nonsense"}),
        {"id": "x", "affected": [{"package": {"name": 1}}]},
    ],
)
def test_records_that_make_no_sense_are_passed_over(broken: object) -> None:
    sound = record("PyPI", "a", {"introduced": "0"}, {"fixed": "2"})
    found = Advisories.of_records([broken, json.loads(json.dumps(sound))])
    assert fixes(found, Ecosystem.PYPI, "a", "1.0") == ["2"]
