"""The server as a process: it starts, stops, survives being killed, and keeps its data to itself."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.functions import Function, create, wait_active
from tests.support.server import LamellaServer

pytestmark = pytest.mark.sandbox

BOOTSTRAP = """#!/bin/bash
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
while curl -sS -D /tmp/head -o /dev/null "$api/next"; do
    id=$(sed -n 's/^Lambda-Runtime-Aws-Request-Id: \\(.*\\)\\r$/\\1/ip' /tmp/head)
    curl -sS -o /dev/null -X POST "$api/$id/response" -d '"here"'
done
"""


def test_what_was_acknowledged_survives_sigkill_and_nothing_of_the_dead_server_stays() -> None:
    with LamellaServer() as server:
        function = create(server.boto3(), {"bootstrap": BOOTSTRAP})
        assert function.invoke().document == "here"
        server.kill()
        server.start()
        client = server.boto3()
        wait_active(client, function.name)
        again = Function(client, function.name).invoke()
        assert again.document == "here"
        assert "Init Duration" in again.tail
    # Leaving has checked that no process, mount, cgroup or sandbox is left, of the killed server either.


def test_functions_and_layers_survive_a_restart() -> None:
    with LamellaServer() as server:
        function = create(server.boto3(), {"bootstrap": BOOTSTRAP})
        before = server.boto3().get_function_configuration(FunctionName=function.name)
        server.restart()
        after = server.boto3().get_function_configuration(FunctionName=function.name)
        for answer in (before, after):
            del answer["ResponseMetadata"]
        assert after == before
        assert Function(server.boto3(), function.name).invoke().document == "here"


def test_a_data_directory_belongs_to_one_server(server: LamellaServer) -> None:
    program = Path(sys.executable).parent / "lamella"
    second = subprocess.run(
        [program, "serve", "--listen", "127.0.0.1:0", "--data", server.data],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (second.returncode, second.stdout) == (1, "")
    assert f"belongs to a server that is running (process {server.pid})" in second.stderr


def test_without_the_privileges_for_sandboxes_the_server_says_what_to_do(tmp_path: Path) -> None:
    # Root without CAP_SYS_ADMIN, because other users may not be able to read where this is installed.
    program = Path(sys.executable).parent / "lamella"
    result = subprocess.run(
        ["setpriv", "--bounding-set", "-sys_admin", program, "serve", "--listen", "127.0.0.1:0", "--data", tmp_path],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("lamella: making sandboxes takes root: use sudo")
    assert list(tmp_path.iterdir()) == []
