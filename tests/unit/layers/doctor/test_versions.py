import itertools

import pytest

from lamella.layers.doctor.versions import less, maven_key, pypi_key, satisfies, semver_key


@pytest.mark.parametrize(
    "ordered",
    [
        ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0"],
        ["1.2.3", "1.2.10", "1.10.0", "2.0.0"],
    ],
)
def test_versions_of_npm_are_ordered(ordered: list[str]) -> None:
    keys = [semver_key(text) for text in ordered]
    assert all(first and second and less(first, second) for first, second in itertools.pairwise(keys))


@pytest.mark.parametrize(
    "ordered",
    [
        ["1.0-alpha-1", "1.0-beta", "1.0-rc1", "1.0-SNAPSHOT", "1.0", "1.0-sp1", "1.0.1", "1.1", "1.10"],
        ["2.9.10", "2.9.10.1", "2.9.10.8", "2.10.0"],
    ],
)
def test_versions_of_maven_are_ordered(ordered: list[str]) -> None:
    keys = [maven_key(text) for text in ordered]
    assert all(first and second and less(first, second) for first, second in itertools.pairwise(keys))


def test_versions_that_mean_the_same_are_the_same() -> None:
    assert maven_key("1.0.0") == maven_key("1") == maven_key("1.0.Final") == maven_key("1-ga")
    assert pypi_key("1.0") == pypi_key("1.0.0")


def test_what_is_no_version_is_told_apart() -> None:
    assert pypi_key("one") is None
    assert semver_key("one") is None


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        (">=20", True),
        (">= 14.17.0 < 23", True),
        ("^18 || ^20.9 || >=22", True),
        ("^20.9.0", False),
        ("<22", False),
        ("~22.1", False),
        ("22.x", True),
        ("22", True),
        ("*", True),
        ("", True),
        (">22", False),
        ("12 - 20", False),
        ("18 - 22", True),
        ("lts/*", True),
        ("<=22", True),
    ],
)
def test_ranges_of_engines(wanted: str, fits: bool) -> None:
    assert satisfies((22, 9999, 0), wanted) is fits
