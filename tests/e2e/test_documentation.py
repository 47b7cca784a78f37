"""Commands of the documentation, as they are printed, against a real server."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.server import ROOT, LamellaServer

_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
# What the test does in its own way: the set-up, the server, and where it listens.
_NOT_RUN = ("make setup", "lamella serve", "export AWS_ENDPOINT_URL", "cd workshop")


def run(page: Path, server: LamellaServer, account: str, directory: Path) -> tuple[str, list[int]]:
    """Run every block of commands of a page; returns what they print, and how each block ended."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LAMELLA_"))} | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ACCESS_KEY_ID": account,  # so that nothing of other tests is in the way
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_PAGER": "",
        "XDG_STATE_HOME": str(directory / "state"),
    }
    # A pack of this test run stands for the one that the text names.
    runtime = f"python3.{sys.version_info.minor}"
    output, statuses = "", []
    for block in _BLOCK.findall(page.read_text()):
        if any(word in block for word in _NOT_RUN):
            continue
        commands = block.replace(":000000000000:layer", f":{account}:layer").replace("python3.11", runtime)
        result = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands.replace("--bake 10", "--bake 0.1")],
            cwd=directory,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        output += result.stdout + result.stderr
        statuses.append(result.returncode)
    return output, statuses


@pytest.mark.sandbox
@pytest.mark.network
def test_every_command_of_the_tutorial_works(server: LamellaServer, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    output, statuses = run(ROOT / "docs" / "tutorial.md", server, "777777777777", tmp_path)
    # One function is invoked before it has its layer, on purpose, by the last command of its block.
    assert sorted(statuses) == [0] * (len(statuses) - 1) + [1], output
    for answer in (
        '{"greeting": "Hello, Ada!"',
        '{"greeting": "Hello, Grace!"',
        "No module named 'numpy'",
        '"shape": [300, 451, 3], "mean_colour": "#946f57"',
        '{"hello": "from hello", "user": "sbx_user1051"}',
    ):
        assert answer in output


@pytest.mark.sandbox
@pytest.mark.network
def test_every_command_of_the_walk_through_the_layer_workshop_works(server: LamellaServer, tmp_path: Path) -> None:
    page = ROOT / "docs" / "how-to" / "layers-end-to-end.md"
    output, statuses = run(page, server, "666666666666", tmp_path)
    # A layer for another machine is found faulty, and two versions are found to differ.
    assert sorted(statuses) == [0] * (len(statuses) - 2) + [1, 1], output
    for answer in (
        '{"pillow": "11.3.0"}',
        '{"pillow": "12.2.0"}',
        "wrong-architecture",
        "~ pillow (pypi) 11.3.0 -> 12.2.0",
        "2 of 2 functions are behind: receipt, thumbnail",
        "done (2 done)",
        "2 versions that no alias invokes",
        "the way back of channel imaging:next",
    ):
        assert answer in output
