"""A server whose functions and layers are in PostgreSQL."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.support.functions import Function, archive, create, wait_active
from tests.support.postgres import PASSWORD, PostgresDatabase
from tests.support.server import LamellaServer

pytestmark = [pytest.mark.sandbox, pytest.mark.postgres]

BOOTSTRAP = """#!/bin/bash
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
while curl -sS -D /tmp/head -o /dev/null "$api/next"; do
    id=$(sed -n 's/^Lambda-Runtime-Aws-Request-Id: \\(.*\\)\\r$/\\1/ip' /tmp/head)
    curl -sS -o /dev/null -X POST "$api/$id/response" -d "$(cat /opt/word)"
done
"""


@pytest.fixture
def server(postgres: PostgresDatabase) -> Iterator[LamellaServer]:
    with LamellaServer(database=postgres.url, log_level="debug") as running:
        yield running
        assert PASSWORD not in running.log


def described(client: Any, name: str) -> dict[str, Any]:  # Any: botocore makes its clients at run time; JSON
    answer: dict[str, Any] = client.get_function(FunctionName=name)
    del answer["ResponseMetadata"], answer["Code"]["Location"]
    return answer


def make(client: Any) -> Function:
    """A function with a layer and a tag, and one published version."""
    layer = client.publish_layer_version(LayerName="word", Content={"ZipFile": archive({"word": '"here"'})})
    function = create(client, {"bootstrap": BOOTSTRAP}, Layers=[layer["LayerVersionArn"]], Tags={"team": "a"})
    client.publish_version(FunctionName=function.name)
    wait_active(client, f"{function.name}:1")
    return function


def test_a_restart_and_a_kill_lose_nothing(server: LamellaServer) -> None:
    function = make(server.boto3())
    assert function.invoke().document == "here"
    before = described(server.boto3(), function.name)
    assert before["Tags"] == {"team": "a"}
    server.restart()
    assert described(server.boto3(), function.name) == before
    server.boto3().tag_resource(Resource=before["Configuration"]["FunctionArn"], Tags={"team": "b"})
    server.kill()
    server.start()
    client = server.boto3()
    assert client.list_tags(Resource=before["Configuration"]["FunctionArn"])["Tags"] == {"team": "b"}
    for qualifier in ("$LATEST", "1"):
        assert Function(client, function.name).invoke(Qualifier=qualifier).document == "here"
    assert [layer["LayerName"] for layer in client.list_layers()["Layers"]] == ["word"]
    assert not (server.data / "lamella.db").exists()


def test_while_the_database_is_away_functions_run_and_changes_are_refused(
    server: LamellaServer, postgres: PostgresDatabase
) -> None:
    client = server.boto3()
    function = make(client)
    assert function.invoke().document == "here"
    postgres.shut()
    assert function.invoke().document == "here"
    for call in (
        lambda: client.get_function(FunctionName=function.name),
        lambda: client.update_function_configuration(FunctionName=function.name, Timeout=5),
        lambda: client.invoke(FunctionName="of-which-nothing-is-known-yet"),
    ):
        told = server.log.count("Traceback")
        failures = server.log.count(" failed\n")
        with pytest.raises(ClientError) as caught:
            call()
        assert caught.value.response["Error"]["Code"] == "ServiceException"
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
        assert server.log.count(" failed\n") == failures + 1
        assert server.log.count("Traceback") > told
    postgres.open()
    client.update_function_configuration(FunctionName=function.name, Timeout=5)
    wait_active(client, function.name)
    assert client.get_function_configuration(FunctionName=function.name)["Timeout"] == 5
    assert function.invoke().document == "here"


def serve(data: Path, database: str) -> "subprocess.CompletedProcess[str]":
    """A server that is to end at once."""
    program = Path(sys.executable).parent / "lamella"
    command = [program, "serve", "--listen", "127.0.0.1:0", "--data", data, "--database", database]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_directory_and_a_database_that_do_not_belong_together_are_refused(
    server: LamellaServer, postgres: PostgresDatabase, tmp_path: Path
) -> None:
    """Archives that no database names are deleted; so no wrong one may be asked."""
    function = make(server.boto3())
    second = serve(tmp_path / "other", postgres.url)
    assert (second.returncode, second.stdout) == (1, "")
    assert "belongs to a server that is running" in second.stderr
    server.stop()
    for data, database, expected in (
        (tmp_path / "other", postgres.url, "belongs to another data directory"),
        (server.data, "sqlite", "has been used with a database of another kind (postgresql, not sqlite)"),
        (server.data, f"postgresql://u:{PASSWORD}@127.0.0.1:1/x", "PostgreSQL database x at 127.0.0.1:1: "),
    ):
        refused = serve(data, database)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert expected in refused.stderr
        assert PASSWORD not in refused.stderr
    server.start()
    assert Function(server.boto3(), function.name).invoke().document == "here"
