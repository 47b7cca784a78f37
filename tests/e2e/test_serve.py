"""`lamella serve` as an operator sees it: start, stop, a killed server, two servers."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.functions import Function, archive, bash, create, wait_active
from tests.support.server import LamellaServer

pytestmark = pytest.mark.sandbox

LAMELLA = Path(sys.executable).parent / "lamella"
ECHO = 'while true; do next; respond "$BODY" >/dev/null; done\n'


@pytest.fixture
def own() -> Iterator[LamellaServer]:
    """A server that the test may stop and kill."""
    with LamellaServer(state_delay_s="0") as running:
        yield running


def get(url: str, **headers: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_health(own: LamellaServer) -> None:
    status, document = get(f"{own.url}/_lamella/health")
    assert status == 200
    assert document["status"] == "ok"
    assert (document["invocations_in_flight"], document["execution_environments"]) == (0, 0)


def test_sandboxes_are_made_ahead_of_need(own: LamellaServer) -> None:
    """One for each of the versions that were changed or started last, no more than the setting says."""
    own.settings["spare_sandboxes"] = "1"
    own.restart()

    def wait_health(**wanted: int) -> None:
        deadline = time.monotonic() + 30
        while True:
            _, found = get(f"{own.url}/_lamella/health")
            if all(found[name] == value for name, value in wanted.items()):
                return
            assert time.monotonic() < deadline, (wanted, found)

    first = bash(own.boto3(), ECHO)
    wait_health(spare_sandboxes=1, execution_environments=0)
    assert first.invoke(1).document == 1
    wait_health(spare_sandboxes=1, execution_environments=1)
    second = bash(own.boto3(), ECHO)
    second.invoke(1)
    wait_health(spare_sandboxes=1, execution_environments=2)
    first.client.delete_function(FunctionName=first.name)
    second.client.delete_function(FunctionName=second.name)
    wait_health(spare_sandboxes=0, execution_environments=0)


def test_a_second_server_on_the_same_data_is_refused(own: LamellaServer) -> None:
    second = subprocess.run(
        [LAMELLA, "serve", "--data", own.data, "--listen", "127.0.0.1:0"], capture_output=True, text=True, timeout=60
    )
    assert second.returncode == 1
    assert f"belongs to a server that is running (process {own.pid})" in second.stderr
    assert "--data" in second.stderr
    assert get(f"{own.url}/_lamella/health")[0] == 200


def test_a_port_in_use_is_named(own: LamellaServer, tmp_path: Path) -> None:
    (tmp_path / "runtimes").symlink_to(own.data / "runtimes")
    address = own.url.removeprefix("http://")
    second = subprocess.run(
        [LAMELLA, "serve", "--data", tmp_path, "--listen", address], capture_output=True, text=True, timeout=60
    )
    assert second.returncode == 1
    assert f"cannot listen on {address}: Address already in use" in second.stderr
    assert "--listen" in second.stderr
    assert "Traceback" not in second.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_running_invocation_ends_before_the_server_does(own: LamellaServer, number: signal.Signals) -> None:
    function = bash(own.boto3(), "while true; do next; echo began >&2; sleep 1; respond '\"whole\"' >/dev/null; done")
    answers: list[Any] = []
    caller = threading.Thread(target=lambda: answers.append(function.invoke(tail=False)))
    caller.start()
    with urllib.request.urlopen(f"{own.url}/_lamella/logs/{function.name}?follow=1", timeout=30) as lines:
        assert any(json.loads(line)["message"] == "began" for line in lines if line.strip())
        os.kill(own.pid, number)
        caller.join(30)
    assert [answer.document for answer in answers] == ["whole"]
    own.wait_stopped()
    assert own.leftovers() == []


def test_an_invocation_that_outlasts_the_grace_is_cut(own: LamellaServer) -> None:
    own.settings["drain_timeout_s"] = "0.5"
    own.restart()
    function = bash(own.boto3(), "while true; do next; echo began >&2; sleep 600; done", Timeout=900)
    failures: list[Exception] = []

    def call() -> None:
        try:
            function.invoke(tail=False)
        except Exception as error:  # noqa: BLE001  # whatever the client makes of a connection that is cut
            failures.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    with urllib.request.urlopen(f"{own.url}/_lamella/logs/{function.name}?follow=1", timeout=30) as lines:
        assert any(json.loads(line)["message"] == "began" for line in lines if line.strip())
    own.stop()
    caller.join(30)
    assert not caller.is_alive()
    assert own.leftovers() == []


def test_a_killed_server_loses_nothing_and_leaves_nothing_to_the_next(own: LamellaServer) -> None:
    client = own.boto3()
    function = bash(client, "( while true; do :; done ) & " + ECHO)
    arn = client.publish_layer_version(LayerName="kept", Content={"ZipFile": archive({"a": "b"})})["LayerVersionArn"]
    version = client.publish_version(FunctionName=function.name)["Version"]
    assert function.invoke(1, tail=False).document == 1
    own.kill()
    left = own.leftovers()
    assert any("bootstrap" in line for line in left), "a killed server cannot have tidied up"

    own.start()
    assert not [line for line in own.leftovers() if "bootstrap" in line]
    client = own.boto3()
    assert client.get_layer_version_by_arn(Arn=arn)["Version"] == 1
    assert client.get_function(FunctionName=function.name, Qualifier=version)["Configuration"]["Version"] == version
    assert Function(client, function.name).invoke(2, tail=False).document == 2


def test_a_kill_right_after_an_answer_loses_nothing(own: LamellaServer) -> None:
    """What was answered is on disk; what was under way is settled by the next start."""
    own.settings["state_delay_s"] = "60"
    own.restart()
    created = own.boto3().create_function(
        FunctionName="pending",
        Runtime="provided.al2023",
        Handler="h",
        Role="arn:aws:iam::000000000000:role/r",
        Code={"ZipFile": archive({"bootstrap": "#!/bin/sh\n"})},
    )
    assert created["State"] == "Pending"
    own.kill()
    own.start()
    client = own.boto3()
    wait_active(client, "pending")
    assert client.get_function(FunctionName="pending")["Configuration"]["CodeSha256"] == created["CodeSha256"]


def test_a_web_page_of_another_site_gets_nowhere(own: LamellaServer) -> None:
    status, document = get(f"{own.url}/2015-03-31/functions", Origin="http://evil.example")
    assert status == 403
    assert "evil.example" in document["error"]
    status, document = get(f"{own.url}/_lamella/health", Host="evil.example")
    assert status == 403


def test_a_function_finds_the_api_but_not_the_operators_pages(own: LamellaServer) -> None:
    """The endpoint inside a sandbox acts for the function's own account, whatever the function claims to be."""
    script = r"""
    while true; do
        next
        SIGNED='Authorization: AWS4-HMAC-SHA256 Credential=999999999999/20261120/us-east-1/lambda/aws4_request, '
        SIGNED+='SignedHeaders=host, Signature=00'
        A=$(curl -sS "$AWS_ENDPOINT_URL/2015-03-31/functions/$AWS_LAMBDA_FUNCTION_NAME/configuration" -H "$SIGNED")
        B=$(curl -sS -o /dev/null -w '%{http_code}' "$AWS_ENDPOINT_URL/_lamella/health")
        C=$(curl -sS -o /dev/null -w '%{http_code}' -d '{}' "$AWS_ENDPOINT_URL/_lamella/runtimes")
        respond "$(printf '%s\n' "$B" "$C" "$A")" >/dev/null
    done
    """
    function = bash(own.boto3(), script)
    health, runtimes, configuration = function.invoke(tail=False).payload.decode().split("\n", 2)
    assert (health, runtimes) == ("404", "404")
    assert json.loads(configuration)["FunctionArn"] == f"arn:aws:lambda:us-east-1:000000000000:function:{function.name}"


def test_the_managed_python_runtime(own: LamellaServer) -> None:
    """AWS's own client library, a handler with boto3, and the error payloads that it makes."""
    packs = json.loads(own.lamella("runtime", "list", "--json").stdout)["runtimes"]
    runtime = next(pack["name"] for pack in packs if pack["name"].startswith("python3."))
    code = """
import json, os, sys
import boto3
def handler(event, context):
    if event == "raise":
        raise KeyError("no")
    if event == "exit":
        os._exit(3)
    names = [f["FunctionName"] for f in boto3.client("lambda").list_functions()["Functions"]]
    return {"names": names, "left": context.get_remaining_time_in_millis() > 0, "path": sys.path[:2],
            "arn": context.invoked_function_arn, "id": context.aws_request_id}
"""
    function = create(own.boto3(), {"app.py": code}, runtime=runtime, handler="app.handler", MemorySize=1024)
    answer = function.invoke("good")
    assert answer.error is None, answer
    assert answer.document["names"] == [function.name]
    assert answer.document["left"] is True
    assert answer.document["path"][0] == "/var/task"
    assert answer.document["id"] == answer.request_id
    raised = function.invoke("raise")
    assert (raised.error, raised.document["errorType"], raised.document["errorMessage"]) == (
        "Unhandled",
        "KeyError",
        "'no'",
    )
    assert function.invoke("exit").document["errorType"] == "Runtime.ExitError"
    assert function.invoke("again").error is None


def test_a_handler_that_cannot_be_imported(own: LamellaServer) -> None:
    packs = json.loads(own.lamella("runtime", "list", "--json").stdout)["runtimes"]
    runtime = next(pack["name"] for pack in packs if pack["name"].startswith("python3."))
    function = create(own.boto3(), {"app.py": "import nothing_like_this\n"}, runtime=runtime, handler="app.handler")
    answer = function.invoke()
    assert answer.document["errorType"] == "Runtime.ImportModuleError"
    assert "nothing_like_this" in answer.document["errorMessage"]
