from pathlib import Path

import pytest

from lamella.domain.function import Architecture
from lamella.runtimes.errors import InterpreterMissingError, PackBuildError
from lamella.runtimes.recipes import language_of, recipe_digest, recipe_for, remedy
from lamella.runtimes.system import host_architecture


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("provided.al2", "provided"),
        ("provided", None),
        ("python3.11", "python"),
        ("python3", None),
        ("nodejs20.x", "node"),
        ("nodejs20", None),
        ("nodejs8.10", None),
        ("java17", "java"),
        ("java8.al2", None),
        ("ruby3.3", "ruby"),
        ("ruby3.4", None),
        ("java17/../../etc", None),
    ],
)
def test_names_that_can_be_built(name: str, language: str | None) -> None:
    assert language_of(name) == language


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("python3.12", " Add it with: lamella runtime add python3.12 [--from /path/to/python3.12]"),
        ("nodejs24.x", " Add it with: lamella runtime add nodejs24.x [--from /path/to/node]"),
        ("java21", " Add it with: lamella runtime add java21 [--from /path/to/jdk]"),
        ("provided.al2023", " Add it with: lamella runtime add provided.al2023"),
        (
            "dotnet8",
            " AWS's own image has it: lamella runtime add dotnet8 --image public.ecr.aws/lambda/dotnet:8",
        ),
        ("go1.x", ""),
    ],
)
def test_the_remedy_is_a_command_that_works(name: str, words: str) -> None:
    assert remedy(name, host_architecture()) == words


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("python3.11", " Add it with: lamella runtime add python3.11 --architecture {}"),
        (
            "nodejs22.x",
            (
                " AWS's own image has it: lamella runtime add nodejs22.x --architecture {} "
                "--image public.ecr.aws/lambda/nodejs:22"
            ),
        ),
        ("go1.x", ""),
    ],
)
def test_the_remedy_for_the_other_architecture_says_so(name: str, words: str) -> None:
    other = next(one for one in Architecture if one is not host_architecture())
    assert remedy(name, other) == words.format(other)


def test_a_python_that_is_too_old_is_neither_looked_for_nor_fetched(tmp_path: Path) -> None:
    with pytest.raises(PackBuildError, match=r"the oldest Python that AWS's runtime client supports is 3\.8") as raised:
        recipe_for("python3.7", None, tmp_path, host_architecture())
    assert not isinstance(raised.value, InterpreterMissingError)  # for which one would be fetched


def test_a_recipe_is_that_of_its_language() -> None:
    names = ["provided.al2", "python3.11", "nodejs20.x", "java17"]
    assert len({recipe_digest(name) for name in names}) == 4
    assert recipe_digest("java17") == recipe_digest("java21")
