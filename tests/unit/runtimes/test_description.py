"""What a maker of packs may write, and what is told to him who wrote something else."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lamella.domain.function import Architecture
from lamella.domain.runtimes import RUNTIMES
from lamella.runtimes.description import Description, described, parse_description, release_of
from lamella.runtimes.errors import PackBuildError
from lamella.runtimes.images import base_image

ARM, INTEL = Architecture.ARM64, Architecture.X86_64


def parse(document: object, name: str = "python3.12", architecture: Architecture | None = None) -> Description:
    text = document if isinstance(document, str) else json.dumps(document)
    return parse_description(text, name=name, architecture=architecture, place="pack.json")


def test_the_least_that_can_be_said() -> None:
    assert parse({"format": 1, "architecture": "arm64"}) == described("python3.12", ARM)
    assert parse({"format": 1}, architecture=INTEL) == described("python3.12", INTEL)


def test_all_that_can_be_said() -> None:
    document = {
        "format": 1,
        "name": "provided.al2023",
        "architecture": "x86_64",
        "entrypoints": ["/opt/bootstrap", "/var/runtime/fallback"],
        "execution_env": "AWS_Lambda_mine",
        "env": {"GREETING": "hello"},
        "digest": "ab" * 32,
        "remarks": ["made by hand"],
        "derived": {"/var/cache/x": "cd" * 32},
        "version": "whatever else a pack of ours has",
    }
    assert parse(document, "provided.al2023") == Description(
        "provided.al2023",
        INTEL,
        ("/opt/bootstrap", "/var/runtime/fallback"),
        "AWS_Lambda_mine",
        env={"GREETING": "hello"},
        digest="ab" * 32,
        remarks=("made by hand",),
        derived={"/var/cache/x": "cd" * 32},
    )


def test_a_runtime_may_have_no_execution_environment() -> None:
    assert parse({"format": 1, "architecture": "arm64", "execution_env": None}).execution_env is None
    assert described("provided.al2", INTEL).entrypoints == ("/var/task/bootstrap", "/opt/bootstrap")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 2}, '"format": 1'),
        ({"name": "python3.13"}, "describes 'python3.13', not python3.12"),
        ({"name": "\x1b[31m"}, "'name' has to be a line of text"),
        ({"name": 7}, "'name' has to be a line of text"),
        ({"architecture": "sparc"}, "x86_64 or arm64"),
        ({"architecture": None}, "has to say the architecture"),
        ({"entrypoints": "/bin/sh"}, "a list of at most 100 texts"),
        ({"entrypoints": ["bin/sh"]}, "absolute paths"),
        ({"entrypoints": ["/bin/../sh"]}, "absolute paths"),
        ({"entrypoints": ["//bin/sh"]}, "absolute paths"),
        ({"entrypoints": ["/bin/\nsh"]}, "absolute paths"),
        ({"env": ["A=1"]}, "an object of texts"),
        ({"env": {"A": 1}}, "an object of texts"),
        ({"env": {"A=B": "1"}}, "an object of texts"),
        ({"env": {"A": "\0"}}, "an object of texts"),
        ({"env": {"AWS_REGION": "x"}}, "sets AWS_REGION, which Lambda sets itself"),
        ({"env": {"_HANDLER": "x"}}, "an object of texts"),
        ({"digest": "AB" * 32}, "64 hexadecimal digits"),
        ({"remarks": ["x"] * 101}, "at most 100"),
        ({"remarks": [1]}, "a list of texts"),
        ({"derived": {"/../etc/passwd": "ab" * 32}}, "absolute paths and SHA-256"),
        ({"derived": {"//etc/passwd": "ab" * 32}}, "absolute paths and SHA-256"),
        ({"derived": {"/x": "short"}}, "absolute paths and SHA-256"),
    ],
)
def test_what_is_wrong_is_said(change: dict[str, Any], words: str) -> None:
    with pytest.raises(PackBuildError, match=words) as caught:
        parse({"format": 1, "architecture": "x86_64", **change})
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", ["", "[]", "{", '"pack"', "[" * 100_000])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(PackBuildError, match=r"^pack\.json is not "):
        parse(text)


def test_a_pack_is_not_taken_for_another_architecture() -> None:
    with pytest.raises(PackBuildError, match="for arm64, not for x86_64"):
        parse({"format": 1, "architecture": "arm64"}, architecture=INTEL)


@pytest.mark.parametrize("name", ["custom", "python4", "../python3.12", "", "\x1b[2J"])
def test_a_name_that_no_function_can_have_is_refused(name: str) -> None:
    with pytest.raises(PackBuildError, match="Lambda has no runtime"):
        described(name, INTEL)


@pytest.mark.parametrize(
    ("name", "release"),
    [
        ("python3.12", ("python", "3.12")),
        ("nodejs20.x", ("nodejs", "20")),
        ("java8.al2", ("java", "8.al2")),
        ("provided.al2023", ("provided", "al2023")),
        ("dotnet8", ("dotnet", "8")),
        ("provided", ("provided", "")),
    ],
)
def test_versions_are_named_as_aws_names_them(name: str, release: tuple[str, str]) -> None:
    assert release_of(name) == release


@pytest.mark.parametrize("name", RUNTIMES)
def test_every_runtime_has_a_release(name: str) -> None:
    assert release_of(name)[0].isalpha()


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("python3.12", "python:3.12"),
        ("nodejs22.x", "nodejs:22"),
        ("java8.al2", "java:8.al2"),
        ("java21", "java:21"),
        ("dotnet10", "dotnet:10"),
        ("ruby3.4", "ruby:3.4"),
        ("provided.al2023", "provided:al2023"),
    ],
)
def test_base_images(name: str, image: str) -> None:
    assert base_image(name) == f"public.ecr.aws/lambda/{image}"


@pytest.mark.parametrize("name", ["go1.x", "custom", "provided", "nodejs", "python3.15", "python3.99"])
def test_some_runtimes_have_no_image(name: str) -> None:
    assert base_image(name) is None


def test_the_examples_of_the_documentation_are_right() -> None:
    page = (Path(__file__).parents[3] / "docs/reference/runtime-packs.md").read_text()
    (document,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    assert parse(document, "ruby3.4").remarks == ("Without Psych",)
    (label,) = re.findall(r"LABEL lamella\.runtime-pack='(.*)'", page)
    assert parse(label, "ruby3.4", INTEL).env == {"GEM_HOME": "/var/runtime"}
    for name, image in re.findall(r"^\| `([a-z0-9.]+)` \| `(public.*)` \|$", page, re.MULTILINE):
        assert base_image(name) == image
