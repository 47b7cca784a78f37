"""`lamella trace`, as its users see it."""

import json
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.traces import ENVIRONMENT, Life

from lamella.lifecycle.events import NextPolled, ResponsePosted

# Any: the fixtures' classes live in conftest.py, which cannot be imported.


@pytest.fixture
def life() -> Life:
    life = Life().ready()
    life.invoked(b'{"a":1}', b'{"a":1}')
    return life


@pytest.fixture
def saved(life: Life, tmp_path: Path) -> Path:
    path = tmp_path / "saved.json"
    path.write_text(json.dumps(life.trace()))
    return path


def test_a_list_of_what_there_is(lamella: Any, server: Any) -> None:
    environment = {
        "environment_id": ENVIRONMENT,
        "function_name": "orders",
        "function_version": "7",
        "state": "live",
        "last_at": "2026-01-01T00:00:00.035000Z",
        "invocation_count": 3,
    }
    failure = {"environment_id": "f" * 32, "function_name": "broken", "failed_at": "2026-01-01T00:00:01.000000Z"}
    answer = {"environments": [environment], "failures": [failure]}
    server.will_reply(200, json.dumps(answer).encode())
    result = lamella.run("trace")
    assert result.returncode == 0
    lines = [line.split() for line in result.stdout.decode().splitlines()]
    assert ["2026-01-01", "00:00:00", "orders:7", ENVIRONMENT, "live,", "3", "invocations"] in lines
    assert ["2026-01-01", "00:00:01", "broken", "f" * 32] in lines
    assert server.requests[0].path == "/_lamella/traces"
    assert json.loads(lamella.run("trace", "--json").stdout) == answer


def test_nothing_yet(lamella: Any, server: Any) -> None:
    server.will_reply(200, b'{"environments": [], "failures": []}')
    result = lamella.run("trace")
    assert (result.returncode, result.stdout) == (0, b"")
    assert b"invoke a function first" in result.stderr


def test_a_time_line_fits_into_80_columns_and_has_no_colours(lamella: Any, server: Any, life: Life) -> None:
    trace = life.trace()
    server.will_reply(200, json.dumps(trace).encode())
    result = lamella.run("trace", trace["request_ids"][0])
    text = result.stdout.decode()
    assert result.returncode == 0
    assert server.requests[0].path == f"/_lamella/traces/{trace['request_ids'][0]}"
    assert f"Cold start and request {trace['request_ids'][0]}" in text
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "\x1b" not in text


def test_json_is_the_document_as_it_is(lamella: Any, server: Any, life: Life) -> None:
    server.will_reply(200, json.dumps(life.trace()).encode())
    assert json.loads(lamella.run("trace", ENVIRONMENT, "--json").stdout) == life.trace()


def test_what_is_saved_can_be_shown_without_a_server(lamella: Any, server: Any, life: Life, tmp_path: Path) -> None:
    server.will_reply(200, json.dumps(life.trace()).encode())
    files = tmp_path / "trace.json", tmp_path / "chrome.json"
    result = lamella.run("trace", ENVIRONMENT, "--output", str(files[0]), "--chrome", str(files[1]))
    assert (result.returncode, result.stdout) == (0, b"")
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(files[0].read_bytes()) == life.trace()
    assert json.loads(files[1].read_bytes())["displayTimeUnit"] == "ms"
    server.requests.clear()
    assert b"Cold start" in lamella.run("trace", "--file", str(files[0])).stdout
    assert server.requests == []


def test_an_unknown_id(lamella: Any, server: Any) -> None:
    server.will_reply(404, b'{"error": "No execution environment or request \'x\' is known, or no longer."}')
    result = lamella.run("trace", "x")
    assert result.returncode == 3
    assert result.stderr == b"lamella: No execution environment or request 'x' is known, or no longer.\n"


def test_a_damaged_file(lamella: Any, tmp_path: Path, life: Life) -> None:
    file = tmp_path / "x.json"
    trace = life.trace()
    for text, expected in [
        ("{", "is not JSON"),
        ("[]", "is not a trace of Lamella"),
        (json.dumps({**trace, "version": 99}), "has version 99 of the format; this program knows 1"),
        (json.dumps({**trace, "spans": [{}]}), "the trace is damaged"),
        (json.dumps({**trace, "phases": 3}), "the trace is damaged"),
    ]:
        file.write_text(text)
        result = lamella.run("trace", "--file", str(file))
        assert result.returncode == 2
        assert expected in result.stderr.decode()
        assert result.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["a", "b"], "one id at a time"),
        (["--replay"], "takes an id or --file"),
        (["--replay", "a"], "takes an id or --file"),
        (["--file", "/nonexistent"], "cannot read /nonexistent"),
    ],
)
def test_what_makes_no_sense(lamella: Any, words: list[str], expected: str) -> None:
    result = lamella.run("trace", *words)
    assert result.returncode == 2
    assert expected in result.stderr.decode()


PROGRAM = """\
import http.client, os, sys
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
while True:
    api.request("GET", "/2018-06-01/runtime/invocation/next")
    answer = api.getresponse()
    event = answer.read()
    print("served", flush=True)
    path = f"/2018-06-01/runtime/invocation/{answer.headers['Lambda-Runtime-Aws-Request-Id']}/response"
    api.request("POST", path, event)
    api.getresponse().read()
"""


def test_a_replay(lamella: Any, life: Life, saved: Path, tmp_path: Path) -> None:
    program = tmp_path / "bootstrap.py"
    program.write_text(PROGRAM)
    (request_id,) = life.trace()["request_ids"]
    same = lamella.run("trace", "--replay", "--file", str(saved), "--", sys.executable, str(program))
    assert same.returncode == 0
    assert same.stdout.decode().startswith(f"{request_id}  same after ")
    assert b"without a sandbox" in same.stderr
    assert b"served" in same.stderr  # what the program prints is no result

    second = life.assigned(b'{"b":2}')
    life.after(1, ResponsePosted(second, b'{"b":3}')).after(1, NextPolled())
    saved.write_text(json.dumps(life.trace()))
    different = lamella.run("trace", "--file", str(saved), "--replay", "--", sys.executable, str(program))
    assert different.returncode == 1
    assert f"{second}  different" in different.stdout.decode()
    assert '    + "b": 2\n' in different.stdout.decode()
    assert different.stderr.endswith(b"1 same, 1 different\n")
