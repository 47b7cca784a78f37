"""What `lamella init` writes, built, deployed and invoked.

Node.js and Java are in `test_managed` and Ruby in `test_debian`, which have the runtimes. PHP, Deno and Bun are left to
`make languages`: to pack their programs takes several seconds each.
"""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.clients import archive_of
from tests.support.functions import Function
from tests.support.projects import begin, check_greetings, deploy, make
from tests.support.server import LamellaServer

pytestmark = [pytest.mark.sandbox, pytest.mark.network]

NEEDS = {"c": ("cc",), "go": ("go",), "lua": ("apt-get", "dpkg-deb")}


@pytest.mark.parametrize("language", ["c", "go", "lua", "python"])
def test_a_project_works_as_written(server: LamellaServer, client: Any, tmp_path: Path, language: str) -> None:
    missing = [program for program in NEEDS.get(language, ()) if shutil.which(program) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)} (scripts/setup.sh clients)")
    project = begin(server, language, tmp_path)
    make(server, project)
    check_greetings(deploy(client, project), language)


def test_a_project_in_rust_works(
    server: LamellaServer, client: Any, tmp_path: Path, layer: Callable[[str, str], str]
) -> None:
    """Its program is compiled with the other tests', whose libraries it has: alone it would take a minute."""
    project = begin(server, "rust", tmp_path)
    server.lamella("layer", "build", cwd=project)
    (project / "build" / "function").mkdir()
    (project / "build" / "function.zip").write_bytes(archive_of("rust", "project.zip"))
    check_greetings(deploy(client, project), "rust")


def test_the_commands_of_a_readme_work(server: LamellaServer, tmp_path: Path) -> None:
    project = begin(server, "shell", tmp_path)
    readme = (project / "README.md").read_text()
    commands = re.findall(r"^make (\w+)$", readme, re.MULTILINE)
    assert commands == ["deploy", "invoke"]
    said = make(server, project, *commands)
    printed = re.findall(r"^```\n(.*)\n```", readme, re.MULTILINE)
    assert printed[0] in said
    assert f"layer:{project.name}-layer:1\n" in said
    check_greetings(Function(server.boto3(), project.name), "shell")
