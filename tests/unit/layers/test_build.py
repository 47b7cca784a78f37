from pathlib import Path

import pytest

from lamella.layers.build.builder import build_layers
from lamella.layers.build.recipe import PythonTable, Recipe
from lamella.layers.build.report import size_warnings
from lamella.layers.build.wheels import explain
from lamella.layers.errors import LayerBuildError
from lamella.layers.targets import PythonTarget

TARGET = PythonTarget.of("python3.11", "x86_64")
MIB = 1024 * 1024

# What uv 0.13 prints.
NO_WHEEL = """Using CPython 3.11.7 interpreter at: /usr/bin/python3.11
error: No solution found when resolving dependencies
  cause: Because all versions of psycopg2 have no usable wheels and you require psycopg2, we can conclude that ...

hint: Wheels are required for `psycopg2` because building from source is disabled for all packages
"""
CONFLICT = "error: No solution found when resolving dependencies\n  cause: you require numpy<1 and numpy>=2"
UNREACHABLE = "error: Failed to fetch: https://index.example/simple/six/\n  cause: error sending request for url"


def test_a_package_without_a_wheel_is_named_with_the_target() -> None:
    text = explain(NO_WHEEL, TARGET)
    assert text.startswith("There is no wheel of psycopg2 that runs on python3.11 on x86_64 (x86_64-manylinux_2_17")
    assert "Using CPython" not in text


def test_requirements_that_conflict_are_told_with_the_reason() -> None:
    text = explain(CONFLICT, TARGET)
    assert text.startswith("The requirements cannot be met for python3.11 on x86_64")
    assert "you require numpy<1 and numpy>=2" in text


def test_an_unreachable_index_is_not_blamed_on_the_requirements() -> None:
    assert explain(UNREACHABLE, TARGET).startswith("The package index cannot be reached")


def test_source_code_is_refused_with_the_way_out() -> None:
    assert "uv build --wheel" in explain("error: Building source distributions is disabled", TARGET)


def test_anything_else_is_passed_on() -> None:
    assert "Failed to parse: `foo bar`" in explain("error: Failed to parse: `foo bar`", TARGET)


@pytest.mark.parametrize(
    ("zipped", "unzipped", "words"),
    [
        (50 * MIB, 200 * MIB, []),
        (50 * MIB + 1, 100 * MIB, ["through S3"]),
        (40 * MIB, 201 * MIB, ["share"]),
        (40 * MIB, 250 * MIB, ["share"]),
        (60 * MIB, 250 * MIB + 1, ["through S3", "no function can use it"]),
    ],
)
def test_sizes_are_compared_with_what_lambda_takes(zipped: int, unzipped: int, words: list[str]) -> None:
    warnings = size_warnings(zipped, unzipped)
    assert len(warnings) == len(words)
    assert all(word in warning for word, warning in zip(words, warnings, strict=True))


def test_no_requirement_at_all_is_an_error() -> None:
    with pytest.raises(LayerBuildError, match="Nothing to build a layer from"):
        build_layers(Recipe())


def test_a_missing_requirements_file_is_named() -> None:
    table = PythonTable(requirements_files=(Path("/nowhere/requirements.txt"),))
    with pytest.raises(LayerBuildError, match="no requirements file /nowhere/requirements"):
        build_layers(Recipe(runtimes=("python3.11",), python=table))
