"""AWS's SDKs for other languages than Python, against a real server."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.clients import directory_of, sources
from tests.support.functions import ROLE, archive
from tests.support.server import LamellaServer

pytestmark = [pytest.mark.sandbox, pytest.mark.network]

PYTHON = f"python3.{sys.version_info.minor}"
CODE = """
def handler(event, context):
    return "Hello, " + event["name"]
"""


@pytest.fixture
def server() -> Iterator[LamellaServer]:
    with LamellaServer() as running:
        yield running


def test_javascript(server: LamellaServer, tmp_path: Path) -> None:
    """Waiters, pages, streams and typed errors are the SDK's own."""
    program = directory_of("sdk-javascript")
    shutil.copy(sources("sdk-javascript") / "life.mjs", tmp_path)
    (tmp_path / "node_modules").symlink_to(program / "node_modules")
    (tmp_path / "function.zip").write_bytes(archive({"function.py": CODE}))
    result = subprocess.run(
        [program / "bin" / "node", "life.mjs", "life", "function.zip", PYTHON, "function.handler", ROLE],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "NODE_NO_WARNINGS": "1",
            "AWS_ENDPOINT_URL": server.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert [json.loads(line) for line in result.stdout.splitlines()] == [
        ["created", "life", "Zip"],
        ["active", "SUCCESS"],
        ["invoked", 200, '"Hello, Ada"', True],
        ["failed", "Unhandled", "KeyError"],
        ["event", 202],
        ["chunk", '"Hello, Ada"'],
        ["complete", None],
        ["updated", "SUCCESS"],
        ["alias", "1", "live"],
        ["versions", ["$LATEST"]],
        ["versions", ["1"]],
        ["refused", True, 404],
    ]
