"""What is in the projects that `lamella init` writes."""

import json
import re
import tomllib

import pytest
from samtranslator.yaml_helper import yaml_parse
from tests.support.server import ROOT

from lamella.layers.build import recipe
from lamella.scaffold import ProjectError, language_of, languages, make_project, name_from

ALL = pytest.mark.parametrize("language", list(languages()))


@ALL
def test_a_project_is_whole(language: str) -> None:
    project = make_project(language, "hello")
    assert {"Makefile", "README.md", "event.json", "layer.toml", "template.yaml", ".gitignore"} <= project.files.keys()
    assert any(path.startswith("function/") for path in project.files)
    assert any(path.startswith("layer/") for path in project.files)
    for path, file in project.files.items():
        assert not re.search(rb"@(name|runtime|[a-z]+)@", file.content), path
        assert file.content.endswith(b"\n"), path
        assert file.executable == (path == "layer/bootstrap")
    assert json.loads(project.files["event.json"].content) == {"name": "Ada", "language": "fr"}


@ALL
def test_its_template_and_its_makefile_say_the_same(language: str) -> None:
    project = make_project(language, "hello")
    makefile = project.files["Makefile"].content.decode()
    function = yaml_parse(project.files["template.yaml"].content.decode())["Resources"]["Function"]["Properties"]
    assert f"--handler {function['Handler']} " in makefile
    assert f"--memory-size {function['MemorySize']} " in makefile
    assert f"cd {function['CodeUri'].rstrip('/')} && zip" in makefile
    assert f"RUNTIME = {function['Runtime']}\n" in makefile
    assert function["FunctionName"] == "hello"


@ALL
def test_its_recipe_is_one(language: str) -> None:
    """All keys are known, and the archive is where the Makefile and the template look for it."""
    text = make_project(language, "hello").files["layer.toml"].content.decode()
    document = tomllib.loads(text)
    assert document["output"] == "build/layer.zip"
    assert document["runtimes"] == [languages()[language].runtime]
    assert set(document) <= {"name", "description", "runtimes", "output"} | set(recipe.TABLES) | set(recipe.ARRAYS)


@ALL
def test_its_readme_names_its_files_and_the_answer(language: str) -> None:
    project = make_project(language, "hello")
    readme = project.files["README.md"].content.decode()
    for path in project.language.files:
        assert any(name.startswith(path) for name in project.files), path
        assert f"| `{path}` |" in readme
    assert f'{{"greeting": "Bonjour, Ada!", "layer": "{project.language.layer}"}}' in readme
    assert ("lamella runtime add" in readme) is not project.language.is_custom


@pytest.mark.parametrize(
    ("said", "language", "runtime"),
    [
        ("go", "go", "provided.al2023"),
        ("Python3.12", "python", "python3.12"),
        ("nodejs24.x", "node", "nodejs24.x"),
        ("nodejs", "node", "nodejs22.x"),
        ("java21", "java", "java21"),
        ("ruby3.4", "ruby", "ruby3.4"),
        ("bash", "shell", "provided.al2023"),
    ],
)
def test_a_language_or_a_runtime(said: str, language: str, runtime: str) -> None:
    found, its_runtime = language_of(said)
    assert (found.name, its_runtime) == (language, runtime)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("provided.al2023", "functions on provided.al2023 can be in any language: name one of python, node"),
        ("rubby", "did you mean ruby?"),
        ("dotnet8", "there is no template for 'dotnet8'"),
        ("python2.7", "did you mean python?"),
        ("python3.19", "Lambda has no runtime 'python3.19'; of Python it has python3.6,"),
        ("../go", "there is no template for '../go'"),
        ("", "there is no template for ''"),
    ],
)
def test_what_there_is_no_template_for(said: str, words: str) -> None:
    with pytest.raises(ProjectError, match=re.escape(words)):
        make_project(said, "hello")


@pytest.mark.parametrize("name", ["", "two words", "a/b", "ä", "x" * 57, "a\nb", "$(id)"])
def test_names_that_no_function_has(name: str) -> None:
    with pytest.raises(ProjectError, match="a function cannot be named"):
        make_project("go", name)


@pytest.mark.parametrize(
    ("directory", "name"),
    [("greet", "greet"), ("my project (2)", "my-project-2"), ("Käse", "K-se"), ("...", "greet"), ("x" * 80, "x" * 56)],
)
def test_a_name_is_made_of_the_directory(directory: str, name: str) -> None:
    assert name_from(directory) == name
    make_project("go", name)


def test_java_is_compiled_for_its_runtime() -> None:
    assert b"\nRELEASE = 21\n" in make_project("java21", "hello").files["Makefile"].content


def test_runtimes_that_examples_have_as_well_are_the_same() -> None:
    """The examples and their page explain these files; a mended one is mended in both places."""
    for example, language, path in (
        ("php-runtime", "php", "layer/runtime.php"),
        ("shell-runtime", "shell", "layer/bootstrap"),
    ):
        content = (ROOT / "examples" / example / path).read_bytes()
        assert make_project(language, "hello").files[path].content == content


def test_every_language_has_a_row_in_the_measured_table() -> None:
    """`make languages` writes it; the titles are those of the projects."""
    for page in ("README.md", "docs/reference/languages.md"):
        block = re.search(r"<!-- measured: languages -->(.*?)<!-- end -->", (ROOT / page).read_text(), re.DOTALL)
        assert block is not None
        for language in languages().values():
            assert f"| {language.title}" in block[1], (page, language.name)
