"""A function keeps the version of its runtime through a start of the server that finds another one."""

import json
import shutil
from pathlib import Path

import pytest
from tests.support.functions import Function, create
from tests.support.server import LamellaServer

pytestmark = pytest.mark.sandbox

# Says which version of the runtime it runs on.
BOOTSTRAP = """#!/bin/bash
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
while curl -sS -D /tmp/head -o /dev/null "$api/next"; do
    id=$(sed -n 's/^Lambda-Runtime-Aws-Request-Id: \\(.*\\)\\r$/\\1/ip' /tmp/head)
    version=old; [ -e /etc/superseded ] && version=new
    curl -sS -o /dev/null -X POST "$api/$id/response" -d "\\"$version\\""
done
"""


def supersede(home: Path) -> None:
    """Put another version of a runtime where a build would: the same with one file more."""
    current = home / "current"
    other = home / ("f" * 64)
    # The tree itself, which other servers have too.
    shutil.copytree((current / "rootfs").resolve(), other / "rootfs", symlinks=True)
    (other / "rootfs/etc/superseded").write_text("")
    manifest = json.loads((current / "pack.json").read_text())
    (other / "pack.json").write_text(json.dumps({**manifest, "digest": other.name}))
    current.unlink()
    current.symlink_to(other.name)


def test_an_update_of_a_runtime_leaves_alone_who_keeps_the_version_before() -> None:
    with LamellaServer() as server:
        client = server.boto3()
        names = {mode: create(client, {"bootstrap": BOOTSTRAP}).name for mode in ("Auto", "FunctionUpdate", "Manual")}
        arn = client.get_function_configuration(FunctionName=names["Manual"])["RuntimeVersionConfig"][
            "RuntimeVersionArn"
        ]
        client.put_runtime_management_config(FunctionName=names["FunctionUpdate"], UpdateRuntimeOn="FunctionUpdate")
        manual = {"UpdateRuntimeOn": "Manual", "RuntimeVersionArn": arn}
        client.put_runtime_management_config(FunctionName=names["Manual"], **manual)
        server.stop()
        supersede(server.data / "runtimes/provided.al2023")
        server.start()
        client = server.boto3()

        def versions() -> dict[str, str]:
            return {mode: Function(client, name).invoke().document for mode, name in names.items()}

        assert versions() == {"Auto": "new", "FunctionUpdate": "old", "Manual": "old"}
        for mode in ("FunctionUpdate", "Manual"):
            client.update_function_configuration(FunctionName=names[mode], Description="updated")
            client.get_waiter("function_updated_v2").wait(FunctionName=names[mode], WaiterConfig={"Delay": 1})
        assert versions() == {"Auto": "new", "FunctionUpdate": "new", "Manual": "old"}
        client.put_runtime_management_config(FunctionName=names["Manual"], UpdateRuntimeOn="Auto")
        assert versions() == {"Auto": "new", "FunctionUpdate": "new", "Manual": "new"}
        server.restart()
        assert arn.rpartition(":")[2] not in {
            path.name for path in (server.data / "runtimes/provided.al2023").iterdir()
        }
