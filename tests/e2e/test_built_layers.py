"""Layers of recipes, in functions: whatever a recipe can bring is where Lambda looks for it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.functions import PRELUDE, archive, create
from tests.support.layers import publish
from tests.support.recipes import write_package

pytestmark = pytest.mark.sandbox

RUNTIME = f"python3.{sys.version_info.minor}"

HANDLER = """
import os, sys, mine
def handler(event, context):
    with open("/opt/etc/current") as file:
        text = file.read()
    return [mine.ANSWER, mine.__file__, text, os.readlink("/opt/etc/current"), os.path.exists("/tmp/extended")]
"""

# It does nothing but show that it was started: it registers, and waits for events.
EXTENSION = """#!/bin/bash
API="http://$AWS_LAMBDA_RUNTIME_API/2020-01-01/extension"
touch /tmp/extended
ID=$(curl -sS -D - -o /dev/null -X POST "$API/register" -H "Lambda-Extension-Name: telemetry" \\
    -d '{"events": ["SHUTDOWN"]}' | sed -n 's/^Lambda-Extension-Identifier: \\(.*\\)\\r$/\\1/ip')
curl -sS -o /dev/null "$API/event/next" -H "Lambda-Extension-Identifier: $ID"
"""

RECIPE = """
name = "all"
slim = true
output = "{name}.zip"
runtimes = ["%s"]
architectures = ["%s"]
[python]
packages = ["mine"]
[[files]]
from = "conf"
to = "etc"
[[extensions]]
from = "extension.sh"
name = "telemetry"
"""

BOOTSTRAP = PRELUDE + 'while true; do next; respond "$(/opt/bin/hello)"; done\n'


def built(directory: Path) -> bytes:
    lamella = Path(sys.executable).parent / "lamella"
    subprocess.run([lamella, "layer", "build"], cwd=directory, check=True, capture_output=True, umask=0o077)
    return (directory / "all.zip").read_bytes()


def machine() -> str:
    return {"x86_64": "x86_64", "aarch64": "arm64"}[os.uname().machine]


def test_packages_files_links_and_extensions_are_there(client: Any, tmp_path: Path) -> None:
    write_package(tmp_path / "mine")
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/v1").write_text("one")
    (tmp_path / "conf/current").symlink_to("v1")
    (tmp_path / "extension.sh").write_text(EXTENSION)
    (tmp_path / "layer.toml").write_text(RECIPE % (RUNTIME, machine()))
    layer = publish(client, built(tmp_path))
    function = create(client, archive({"function.py": HANDLER}), runtime=RUNTIME, Layers=[layer])
    answer = function.invoke()
    assert answer.error is None, answer.payload
    assert answer.document == [42, f"/opt/python/lib/{RUNTIME}/site-packages/mine.py", "one", "v1", True]


def test_a_runtime_of_its_own_starts_and_finds_its_programs(client: Any, tmp_path: Path) -> None:
    (tmp_path / "boot.sh").write_text(BOOTSTRAP)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/hello").write_text("#!/bin/sh\necho '\"hello\"'\n")
    (tmp_path / "bin/hello").chmod(0o700)
    (tmp_path / "layer.toml").write_text(
        f'output = "all.zip"\narchitectures = ["{machine()}"]\n[bootstrap]\nfrom = "boot.sh"\n'
        '[[files]]\nfrom = "bin"\nto = "bin"\n'
    )
    layer = publish(client, built(tmp_path))
    function = create(client, archive({"nothing": ""}), runtime="provided.al2023", Layers=[layer])
    assert function.invoke().document == "hello"
