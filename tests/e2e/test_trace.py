"""The flight recorder of a real server, and `lamella trace`."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.extensions import ECHO, PYTHON, WELL, extended
from tests.support.functions import Function, bash, create
from tests.support.server import LamellaServer

pytestmark = pytest.mark.sandbox

REPLAYED = """\
#!/usr/bin/env python3
import http.client, os
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
while True:
    api.request("GET", "/2018-06-01/runtime/invocation/next")
    answer = api.getresponse()
    event = answer.read()
    request_id = answer.headers["Lambda-Runtime-Aws-Request-Id"]
    api.request("POST", f"/2018-06-01/runtime/invocation/{request_id}/response", event)
    api.getresponse().read()
"""


def traced(server: LamellaServer, name: str) -> dict[str, Any]:  # Any: JSON
    document: dict[str, Any] = json.loads(server.lamella("trace", name, "--json").stdout)  # Any: JSON
    return document


@pytest.fixture(scope="module")
def invoked(client: Any) -> tuple[Function, str]:
    """A function with an extension, and the request id of its first invocation."""
    function = extended(client, {"metrics": WELL}, ECHO)
    return function, function.invoke({"order": 1}).request_id


def test_a_cold_start_shows_every_step(server: LamellaServer, invoked: tuple[Function, str]) -> None:
    function, request_id = invoked
    trace = traced(server, request_id)
    assert trace["function_name"] == function.name
    rows = {(span["row"], span["name"]): span for span in trace["spans"]}
    steps = [
        rows["sandbox", "make"],
        rows["extension metrics", "init"],
        rows["runtime init", "init"],
        rows["invoke", "invoke"],
        rows["response", "response"],
        rows["runtime overhead", "overhead"],
    ]
    starts = [step["start_us"] for step in steps]
    assert starts == sorted(starts)
    assert all(step["end_us"] is not None for step in steps)
    (invocation,) = trace["invocations"]
    assert invocation["status"] == "success"
    assert trace["entries"][invocation["assigned_entry"]]["payload"]["text"] == '{"order": 1}'
    assert [mark for mark in trace["markers"] if mark["kind"] == "error"] == []


def test_the_time_line_is_for_people(server: LamellaServer, invoked: tuple[Function, str]) -> None:
    text = server.lamella("trace", invoked[1]).stdout
    assert f"request {invoked[1]}" in text.lower()
    for row in ("ext. metrics: init", "runtime init", "invoke", "response"):
        assert any(line.startswith(row) for line in text.splitlines())
    assert all(len(line) <= 80 for line in text.splitlines())


def test_everything_is_listed(server: LamellaServer, invoked: tuple[Function, str]) -> None:
    assert invoked[0].name in server.lamella("trace").stdout


def test_secrets_of_the_configuration_are_not_recorded(server: LamellaServer, client: Any) -> None:
    function = create(
        client,
        {"function.py": ECHO},
        runtime=PYTHON,
        Environment={"Variables": {"PASSWORD": "correct horse battery"}},
    )
    request_id = function.invoke({}).request_id
    text = server.lamella("trace", request_id, "--json").stdout
    assert request_id in text
    assert "correct horse" not in text
    assert "AWS_SECRET_ACCESS_KEY" not in text


def test_a_crash_is_kept_and_survives_the_server(tmp_path: Path) -> None:
    with LamellaServer() as server:
        function = bash(server.boto3(), "next; exit 3")
        answer = function.invoke({"order": 2})
        assert answer.error == "Unhandled"
        server.restart()  # which waits for what is being written
        (file,) = (server.data / "traces").iterdir()
        assert file.stat().st_mode & 0o777 == 0o600
        trace = traced(server, answer.request_id)
        assert trace == json.loads(file.read_bytes())
        assert [mark["text"] for mark in trace["markers"] if mark["kind"] == "error"] == [
            "Runtime exited with error: exit status 3"
        ]
        chrome = tmp_path / "chrome.json"
        server.lamella("trace", answer.request_id, "--chrome", chrome)
        assert {event["ph"] for event in json.loads(chrome.read_bytes())["traceEvents"]} == {"M", "X", "i"}


def test_a_recorded_invocation_is_replayed(
    server: LamellaServer, invoked: tuple[Function, str], tmp_path: Path
) -> None:
    bootstrap = tmp_path / "bootstrap"
    bootstrap.write_text(REPLAYED)
    bootstrap.chmod(0o755)
    result = server.lamella("trace", "--replay", invoked[1], "--", bootstrap)
    assert result.stdout.startswith(f"{invoked[1]}  same")


def test_a_function_does_not_see_traces(client: Any) -> None:
    function = bash(
        client,
        'next; respond "$(curl -sS -o /dev/null -w %{http_code} http://169.254.100.1:4566/_lamella/traces)"; next',
    )
    assert function.invoke({}).document == 404


def test_recording_can_be_turned_off() -> None:
    with LamellaServer(flight_recorder="false") as server:
        function = bash(server.boto3(), "next; exit 3")
        function.invoke({})
        result = server.lamella("trace", check=False)
        assert result.returncode == 3
        assert "flight_recorder = false" in result.stderr
        assert not (server.data / "traces").exists()
