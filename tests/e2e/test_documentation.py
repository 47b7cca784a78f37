"""The tutorial's commands, as they are printed, against a real server."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.server import ROOT, LamellaServer

_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
# What the test does in its own way: the set-up, the server, and where it listens.
_NOT_RUN = ("make setup", "lamella serve", "export AWS_ENDPOINT_URL")


@pytest.mark.sandbox
@pytest.mark.network
def test_every_command_of_the_tutorial_works(server: LamellaServer, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LAMELLA_"))} | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ACCESS_KEY_ID": "777777777777",  # so that nothing of other tests is in the way
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_PAGER": "",
    }
    # A pack of this test run stands for the one that the text names.
    runtime = f"python3.{sys.version_info.minor}"
    output, statuses = "", []
    for block in _BLOCK.findall((ROOT / "docs" / "tutorial.md").read_text()):
        if any(word in block for word in _NOT_RUN):
            continue
        commands = block.replace(":000000000000:layer", ":777777777777:layer").replace("python3.11", runtime)
        result = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        output += result.stdout + result.stderr
        statuses.append(result.returncode)
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
