"""`lamella layer check` with layer versions and functions of a real server."""

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

from tests.support.functions import ROLE, archive
from tests.support.layers import publish
from tests.support.server import LamellaServer
from tests.unit.layers.doctor.elves import elf


def check(server: LamellaServer, cache: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [Path(sys.executable).with_name("lamella"), "layer", "check", *arguments, "--no-prove", "--json"],
        capture_output=True,
        env={**os.environ, "AWS_ENDPOINT_URL": server.url, "XDG_CACHE_HOME": str(cache)},
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_layer_versions_are_checked_for_what_they_and_a_function_declare(
    server: LamellaServer, client: Any, tmp_path: Path
) -> None:
    name = f"layer-{uuid.uuid4().hex[:12]}"
    client.publish_layer_version(
        LayerName=name,
        Content={"ZipFile": archive({"python/fast.cpython-312-aarch64-linux-gnu.so": elf("arm64")})},
        CompatibleRuntimes=["python3.11"],
        CompatibleArchitectures=["x86_64"],
    )
    status, answer = check(server, tmp_path, f"{name}:1")
    assert status == 1
    assert (answer["runtimes"], answer["architectures"]) == (["python3.11"], ["x86_64"])
    assert [finding["code"] for finding in answer["findings"]] == ["wrong-architecture", "wrong-python-abi"]

    sound = publish(client, {"python/fast.cpython-311-x86_64-linux-gnu.so": elf("x86_64")})
    function = f"function-{uuid.uuid4().hex[:12]}"
    client.create_function(
        FunctionName=function,
        Runtime="python3.11",
        Handler="app.handler",
        Role=ROLE,
        Layers=[sound],
        Code={"ZipFile": archive({"app.py": "def handler(event, context): pass\n"})},
    )
    status, answer = check(server, tmp_path, "--function", function)
    assert (status, answer["findings"]) == (0, [])
    assert (answer["runtimes"], answer["architectures"]) == (["python3.11"], ["x86_64"])
