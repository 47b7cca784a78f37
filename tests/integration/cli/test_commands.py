"""What a user of the command line sees: stdout, stderr, exit status, and the request that was sent."""

import base64
import hashlib
import json
import signal
import socket
import threading
import time
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from lamella.awsapi.eventstream import EventEncoder
from lamella.awsapi.spec import ServiceSpec

# Any: the fixtures' classes live in conftest.py, which cannot be imported.
REPORT = b"START RequestId: 1\nhello\nREPORT RequestId: 1\tDuration: 1.00 ms\n"
LOG_HEADER = {"X-Amz-Executed-Version": "$LATEST", "X-Amz-Log-Result": base64.b64encode(REPORT).decode()}


def assert_one_line_of_prose(stderr: bytes) -> str:
    text = stderr.decode()
    assert text.startswith("lamella: ")
    assert text.count("\n") == 1
    return text


def wait_asleep(pid: int) -> None:
    """Until a process with one thread waits in the kernel.

    A signal that comes in the microsecond between Python's look for signals and its wait is seen after the wait only.
    """
    limit_s = time.monotonic() + 60
    while Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "S":
        assert time.monotonic() < limit_s, "it does not come to rest"
        time.sleep(0.01)


class TestInvoke:
    def test_payload_on_stdout_and_log_on_stderr(self, lamella: Any, server: Any) -> None:
        server.will_reply(200, b'{"picture": [1, 2]}', LOG_HEADER)
        result = lamella.run("invoke", "hello", "--payload", '{"a": 1}')
        assert (result.returncode, result.stdout) == (0, b'{"picture": [1, 2]}\n')
        assert REPORT in result.stderr
        assert b"version $LATEST answered within" in result.stderr
        (request,) = server.requests
        assert (request.method, request.path) == ("POST", "/2015-03-31/functions/hello/invocations")
        assert request.body == b'{"a": 1}'
        assert request.headers["x-amz-log-type"] == "Tail"
        assert "authorization" not in request.headers

    def test_a_tenant(self, lamella: Any, server: Any) -> None:
        for more in ((), ("--event",)):
            server.will_reply(200, b"1", LOG_HEADER)
            lamella.run("invoke", "hello", "--tenant-id", "blue team", *more)
        assert [request.headers["x-amz-tenant-id"] for request in server.requests] == ["blue team"] * 2
        assert lamella.run("invoke", "hello", "--tenant-id", "a\nb").returncode == 2
        assert len(server.requests) == 2

    def test_bytes_that_are_no_text_pass_through(self, lamella: Any, server: Any) -> None:
        server.will_reply(200, b"\xff\x00\x1b", LOG_HEADER)
        assert lamella.run("invoke", "hello").stdout == b"\xff\x00\x1b\n"

    def test_a_function_error_is_status_1(self, lamella: Any, server: Any) -> None:
        server.will_reply(200, {"errorMessage": "no"}, {**LOG_HEADER, "X-Amz-Function-Error": "Unhandled"})
        result = lamella.run("invoke", "hello")
        assert result.returncode == 1
        assert json.loads(result.stdout) == {"errorMessage": "no"}
        assert b"function error Unhandled" in result.stderr

    def test_json_has_the_members_of_invoke(self, lamella: Any, server: Any) -> None:
        server.will_reply(200, b"[1]", {**LOG_HEADER, "X-Amz-Function-Error": "Handled"})
        result = lamella.run("invoke", "hello", "--json")
        assert json.loads(result.stdout) == {
            "StatusCode": 200,
            "ExecutedVersion": "$LATEST",
            "FunctionError": "Handled",
            "LogResult": REPORT.decode(),
            "Payload": [1],
        }

    def test_an_api_error_is_status_3_and_one_line(self, lamella: Any, server: Any) -> None:
        body = {"Type": "User", "Message": "Function not found: arn:aws:lambda:us-east-1:000000000000:function:nope"}
        server.will_reply(404, body, {"x-amzn-ErrorType": "ResourceNotFoundException"})
        result = lamella.run("invoke", "nope")
        assert (result.returncode, result.stdout) == (3, b"")
        assert assert_one_line_of_prose(result.stderr) == (f"lamella: ResourceNotFoundException: {body['Message']}\n")

    def test_a_server_that_is_not_there_is_status_3_and_says_what_to_start(self, lamella: Any) -> None:
        with socket.socket() as bound:  # and not listening, so that connections are refused
            bound.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{bound.getsockname()[1]}"
            result = lamella.run("invoke", "hello", "--endpoint-url", url)
        assert result.returncode == 3
        text = assert_one_line_of_prose(result.stderr)
        assert f"cannot reach {url} (Connection refused)" in text
        assert "lamella serve" in text

    def test_a_connection_that_breaks_is_status_3(self, lamella: Any, server: Any) -> None:
        def hang_up(handler: Any) -> None:
            handler.send_response(200)
            handler.send_header("content-length", "100")
            handler.end_headers()
            handler.wfile.write(b"half")
            handler.close_connection = True

        server.answer = hang_up
        result = lamella.run("invoke", "hello")
        assert (result.returncode, result.stdout) == (3, b"")
        assert "broke" in assert_one_line_of_prose(result.stderr)

    def test_something_else_than_lambda_is_named_by_its_status(self, lamella: Any, server: Any) -> None:
        server.will_reply(502, b"<html>")
        result = lamella.run("invoke", "hello")
        assert result.returncode == 3
        assert "HTTP status 502, Bad Gateway" in assert_one_line_of_prose(result.stderr)

    def test_qualifier_region_account_and_arn_reach_the_server(self, lamella: Any, server: Any) -> None:
        server.will_reply(200, b"1", LOG_HEADER)
        lamella.environ["AWS_ACCESS_KEY_ID"] = "123456789012"
        arn = "arn:aws:lambda:eu-west-1:123456789012:function:a"
        lamella.run("invoke", arn, "--qualifier", "a b", "--region", "eu-west-1")
        (request,) = server.requests
        assert request.path == f"/2015-03-31/functions/{arn.replace(':', '%3A')}/invocations?Qualifier=a+b"
        assert "Credential=123456789012/" in request.headers["authorization"]
        assert "/eu-west-1/lambda/" in request.headers["authorization"]

    def test_the_event_comes_from_stdin_or_a_file(self, lamella: Any, server: Any, tmp_path: Path) -> None:
        server.will_reply(200, b"1", LOG_HEADER)
        (tmp_path / "event.json").write_bytes(b'"file"')
        lamella.run("invoke", "hello", "--payload", "-", stdin=b'"stdin"')
        lamella.run("invoke", "hello", "--payload", f"@{tmp_path / 'event.json'}")
        lamella.run("invoke", "hello")
        assert [request.body for request in server.requests] == [b'"stdin"', b'"file"', b"{}"]


def event(name: str, members: dict[str, Any]) -> bytes:
    shape = ServiceSpec.load().operations["InvokeWithResponseStream"].output_shape.members["EventStream"]
    return EventEncoder(shape, lambda shape: lambda value: value).encode({name: members})


class TestInvokeStreamed:
    def stream(self, server: Any, *events: bytes, end: bool = True) -> None:
        """Let the server answer with these events, one chunk each."""

        def answer(handler: Any) -> None:
            handler.begin_chunks({"X-Amz-Executed-Version": "7"})
            for data in events:
                handler.chunk(data)
            if end:
                handler.chunk(b"")
            else:
                handler.close_connection = True

        server.answer = answer

    def test_chunks_come_on_stdout_byte_for_byte_and_the_log_on_stderr(self, lamella: Any, server: Any) -> None:
        log = base64.b64encode(REPORT).decode()
        chunks = [event("PayloadChunk", {"Payload": piece}) for piece in (b"one\n", b"\xff\x00")]
        self.stream(server, *chunks, event("InvokeComplete", {"LogResult": log}))
        result = lamella.run("invoke", "hello", "--stream", "--payload", "[1]", "--qualifier", "live")
        assert (result.returncode, result.stdout) == (0, b"one\n\xff\x00")
        assert REPORT in result.stderr
        assert b"version 7 began to answer within" in result.stderr
        (request,) = server.requests
        path = "/2021-11-15/functions/hello/response-streaming-invocations?Qualifier=live"
        assert (request.method, request.path, request.body) == ("POST", path, b"[1]")
        assert request.headers["x-amz-log-type"] == "Tail"

    def test_a_chunk_is_printed_before_the_next_one_comes(self, lamella: Any, server: Any) -> None:
        read = threading.Event()

        def answer(handler: Any) -> None:
            handler.begin_chunks()
            handler.chunk(event("PayloadChunk", {"Payload": b"first\n"}))
            assert read.wait(30)
            handler.chunk(event("InvokeComplete", {}))
            handler.chunk(b"")

        server.answer = answer
        with lamella.start("invoke", "hello", "--stream") as process:
            assert process.stdout.readline() == b"first\n"
            read.set()
            assert process.stdout.read() == b""
            process.stderr.read()
        assert process.returncode == 0

    def test_an_error_in_the_stream_is_status_1(self, lamella: Any, server: Any) -> None:
        complete = {"ErrorCode": "Function.Broke", "ErrorDetails": '{"errorMessage":"no"}'}
        self.stream(server, event("PayloadChunk", {"Payload": b"half"}), event("InvokeComplete", complete))
        result = lamella.run("invoke", "hello", "--stream")
        assert (result.returncode, result.stdout) == (1, b"half")
        assert b'{"errorMessage":"no"}\n' in result.stderr
        assert b"function error Function.Broke" in result.stderr

    def test_json_is_a_line_for_each_event(self, lamella: Any, server: Any) -> None:
        self.stream(server, event("PayloadChunk", {"Payload": "ä".encode()}), event("InvokeComplete", {}))
        result = lamella.run("invoke", "hello", "--stream", "--json")
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        assert lines == [{"PayloadChunk": {"Payload": "ä"}}, {"InvokeComplete": {}}]

    @pytest.mark.parametrize("end", [True, False], ids=["closed", "cut"])
    def test_a_stream_that_breaks_off_is_status_3(self, lamella: Any, server: Any, end: bool) -> None:
        self.stream(server, event("PayloadChunk", {"Payload": b"half"}), end=end)
        result = lamella.run("invoke", "hello", "--stream")
        assert (result.returncode, result.stdout) == (3, b"half")
        assert "broke" in assert_one_line_of_prose(result.stderr)

    def test_what_is_no_event_stream_is_status_3(self, lamella: Any, server: Any) -> None:
        server.will_reply(200, b'{"this is": "something else"}')
        result = lamella.run("invoke", "hello", "--stream")
        assert result.returncode == 3
        assert "did not answer as Lamella does" in assert_one_line_of_prose(result.stderr)

    def test_an_api_error_is_status_3(self, lamella: Any, server: Any) -> None:
        server.will_reply(404, {"Message": "Function not found: x"}, {"x-amzn-ErrorType": "ResourceNotFoundException"})
        result = lamella.run("invoke", "nope", "--stream")
        assert result.returncode == 3
        assert "Function not found: x" in assert_one_line_of_prose(result.stderr)


class TestEvents:
    @pytest.mark.parametrize(
        ("asked", "said"),
        [((), b"Nothing has been invoked"), (("--function", "typo"), b"typo has not been invoked asynchronously; is")],
    )
    def test_nothing_is_said_to_be_nothing(
        self, lamella: Any, server: Any, asked: tuple[str, ...], said: bytes
    ) -> None:
        server.will_reply(200, b'{"counts": {}, "events": []}')
        result = lamella.run("events", "list", *asked)
        assert (result.returncode, result.stdout) == (0, b"")
        assert said in result.stderr

    @pytest.mark.parametrize(("attempts", "said"), [(1, b", 1 attempt, Success"), (2, b", 2 attempts, Success")])
    def test_one_event(self, lamella: Any, server: Any, attempts: int, said: bytes) -> None:
        told = {"request_id": "r", "function_arn": "a", "state": "succeeded", "accepted_at": "t", "due_at": None}
        told |= {"attempts": attempts, "condition": "Success", "steps": [], "undelivered_to": []}
        server.will_reply(200, told | {"payload": "", "response": None})
        result = lamella.run("events", "show", "r")
        assert result.returncode == 0
        assert said in result.stdout


def log_line(message: str) -> bytes:
    return json.dumps({"timestamp": 1_700_000_000_000, "stream": "s", "message": message}).encode() + b"\n"


class TestLogs:
    def test_lines_with_their_time(self, lamella: Any, server: Any) -> None:
        server.will_reply(200, log_line("one") + log_line("two"))
        result = lamella.run("logs", "hello", "--limit", "2", "--region", "eu-west-1")
        assert result.returncode == 0
        assert result.stdout == b"2023-11-14T22:13:20.000Z one\n2023-11-14T22:13:20.000Z two\n"
        parts = urlsplit(server.requests[0].path)
        assert parts.path == "/_lamella/logs/hello"
        assert parse_qs(parts.query) == {"region": ["eu-west-1"], "since_ms": ["0"], "limit": ["2"]}

    def test_json_is_what_the_server_said(self, lamella: Any, server: Any) -> None:
        server.will_reply(200, log_line("one") + log_line("two"))
        assert lamella.run("logs", "hello", "--json").stdout == log_line("one") + log_line("two")

    def test_nothing_is_said_to_be_nothing(self, lamella: Any, server: Any) -> None:
        server.will_reply(200, b"")
        result = lamella.run("logs", "hello")
        assert (result.returncode, result.stdout) == (0, b"")
        assert b"hello has written nothing" in result.stderr

    def test_since_is_a_time_in_the_past(self, lamella: Any, server: Any) -> None:
        server.will_reply(200, b"")
        assert lamella.run("logs", "hello", "--since", "1w").returncode == 0
        assert lamella.run("logs", "hello", "--since", "1s").returncode == 0
        first, second = (int(parse_qs(urlsplit(r.path).query)["since_ms"][0]) for r in server.requests)
        assert 1_700_000_000_000 < first < second - 600_000_000

    def test_following_prints_each_line_as_it_comes_and_ends_with_ctrl_c(self, lamella: Any, server: Any) -> None:
        seen, over = threading.Event(), threading.Event()

        def follow(handler: Any) -> None:
            handler.begin_chunks()
            handler.chunk(log_line("one"))
            seen.wait(60)
            line = log_line("two")
            handler.chunk(line[:9])  # a line may come in pieces
            handler.chunk(line[9:])
            over.wait(60)
            handler.close_connection = True

        server.answer = follow
        with lamella.start("logs", "hello", "--follow") as process:
            try:
                assert process.stdout.readline().endswith(b" one\n")
                seen.set()  # only now is there a second line
                assert process.stdout.readline().endswith(b" two\n")
                wait_asleep(process.pid)
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=60)
            finally:
                seen.set()
                over.set()
        assert (process.returncode, out, err) == (0, b"", b"")
        assert "follow=1" in server.requests[0].path

    def test_a_server_that_ends_the_answer_ends_the_command(self, lamella: Any, server: Any) -> None:
        def follow(handler: Any) -> None:
            handler.begin_chunks()
            handler.chunk(log_line("one"))
            handler.wfile.write(b"0\r\n\r\n")

        server.answer = follow
        result = lamella.run("logs", "hello", "--follow")
        assert (result.returncode, result.stdout.count(b"\n"), result.stderr) == (0, 1, b"")

    def test_a_server_that_dies_is_status_3(self, lamella: Any, server: Any) -> None:
        def follow(handler: Any) -> None:
            handler.begin_chunks()
            handler.chunk(log_line("one"))
            handler.wfile.write(b"40\r\n{")
            handler.close_connection = True

        server.answer = follow
        result = lamella.run("logs", "hello", "--follow")
        assert result.returncode == 3
        assert result.stdout.startswith(b"2023-11-14T22:13:20.000Z one\n")
        assert "broke" in assert_one_line_of_prose(result.stderr)


PACKS = {
    "runtimes": [
        {
            "name": "python3.11",
            "architecture": "x86_64",
            "version": "python:3.11.v1a2b3c4d",
            "digest": "ab" * 32,
            "entrypoints": ["/var/runtime/bootstrap"],
            "path": "/var/lib/lamella/runtimes/python3.11",
        }
    ]
}


def ndjson(*lines: dict[str, Any]) -> Any:
    """An answer of these lines."""
    body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    return lambda handler: handler.reply(200, body, {"content-type": "application/x-ndjson"})


class TestRuntime:
    def test_list(self, lamella: Any, server: Any) -> None:
        server.will_reply(200, PACKS)
        result = lamella.run("runtime", "list")
        assert result.returncode == 0
        assert b"python3.11" in result.stdout
        assert b"python:3.11.v1a2b3c4d" in result.stdout
        assert json.loads(lamella.run("runtime", "list", "--json").stdout) == PACKS

    def test_show(self, lamella: Any, server: Any) -> None:
        server.will_reply(200, PACKS)
        shown = lamella.run("runtime", "show", "python3.11").stdout.decode()
        assert "ab" * 32 in shown
        assert "/var/runtime/bootstrap" in shown
        assert json.loads(lamella.run("runtime", "show", "python3.11", "--json").stdout) == PACKS

    def test_show_names_those_that_are_there(self, lamella: Any, server: Any) -> None:
        server.will_reply(200, PACKS)
        result = lamella.run("runtime", "show", "python3.12")
        assert result.returncode == 3
        text = assert_one_line_of_prose(result.stderr)
        assert "it has: python3.11" in text
        assert "lamella runtime list --available" in text

    def test_add_sends_an_absolute_path(self, lamella: Any, server: Any) -> None:
        server.will_reply(200, PACKS["runtimes"][0])
        assert lamella.run("runtime", "add", "python3.12", "--from", "py/bin/python3").returncode == 0
        (request,) = server.requests
        assert (request.method, request.path) == ("POST", "/_lamella/runtimes")
        assert json.loads(request.body) == {"name": "python3.12", "from": str(Path.cwd() / "py/bin/python3")}

    def test_add_tells_of_progress(self, lamella: Any, server: Any) -> None:
        lines = [{"progress": "Building \x1b[2J"}, {"runtime": {**PACKS["runtimes"][0], "remarks": ["no curses"]}}]
        server.answer = ndjson(*lines)
        result = lamella.run("runtime", "add", "python3.11", "--architecture", "arm64", "--json")
        assert (result.returncode, result.stderr) == (0, b"Building \\x1b[2J\n")
        assert json.loads(result.stdout) == lines[1]["runtime"]
        assert json.loads(server.requests[0].body) == {"name": "python3.11", "architecture": "arm64"}
        assert server.requests[0].headers["accept"].startswith("application/x-ndjson")
        assert b"Remark: no curses\n" in lamella.run("runtime", "add", "python3.11").stderr

    def test_add_that_fails_late_says_why(self, lamella: Any, server: Any) -> None:
        server.answer = ndjson({"progress": "Fetching"}, {"error": "no such image"})
        result = lamella.run("runtime", "add", "dotnet8", "--image", "r/d:8")
        assert (result.returncode, result.stderr) == (3, b"Fetching\nlamella: no such image\n")
        server.answer = ndjson({"progress": "Fetching"})
        result = lamella.run("runtime", "add", "dotnet8", "--image", "r/d:8")
        assert (result.returncode, b"broke off before the runtime was there" in result.stderr) == (3, True)

    def test_a_path_and_an_image_are_too_much(self, lamella: Any, server: Any) -> None:
        result = lamella.run("runtime", "add", "dotnet8", "--image", "r/d:8", "--from", "/p")
        assert (result.returncode, server.requests) == (2, [])

    def test_what_could_be_added(self, lamella: Any, server: Any) -> None:
        offer = {"name": "java21", "kind": "network", "from": "", "version": "", "problem": "", "installed": False}
        server.will_reply(200, {**PACKS, "available": [offer, {**offer, "problem": "not \x1b[31mroot's"}]})
        result = lamella.run("runtime", "list", "--available")
        assert b"java21   fetched" in result.stdout
        assert b"not \\x1b[31mroot's" in result.stdout
        assert server.requests[0].path == "/_lamella/runtimes?available=1"

    def test_remove(self, lamella: Any, server: Any) -> None:
        server.will_reply(200, {"name": "java21", "architecture": "arm64"})
        result = lamella.run("runtime", "remove", "java21", "--architecture", "arm64")
        assert result.stderr.startswith(b"java21 for arm64 is gone.")
        assert (server.requests[0].method, server.requests[0].path) == (
            "DELETE",
            "/_lamella/runtimes/java21?architecture=arm64",
        )

    def test_export_takes_a_machine_that_has_it(self, lamella: Any, server: Any, tmp_path: Path) -> None:
        server.will_reply(200, PACKS)
        result = lamella.run("runtime", "export", "python3.11", str(tmp_path / "new"))
        assert "run this where the server runs" in assert_one_line_of_prose(result.stderr)

    def test_add_that_is_refused_says_why(self, lamella: Any, server: Any) -> None:
        server.will_reply(400, {"error": "python3.99 is not on this machine"})
        result = lamella.run("runtime", "add", "python3.99")
        assert result.returncode == 3
        assert result.stderr.decode().endswith("lamella: python3.99 is not on this machine\n")
        assert json.loads(server.requests[0].body) == {"name": "python3.99"}

    @pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}"])
    def test_another_server_is_not_taken_for_ours(self, body: bytes, lamella: Any, server: Any) -> None:
        server.will_reply(200, body)
        result = lamella.run("runtime", "list")
        assert result.returncode == 3
        assert "is another server listening there?" in assert_one_line_of_prose(result.stderr)


class TestTheCommandItself:
    def test_version(self, lamella: Any) -> None:
        assert lamella.run("--version").stdout.startswith(b"lamella 0.")

    @pytest.mark.parametrize(
        "arguments",
        [("nothing",), ("invoke",), ("logs", "x", "--limit", "0"), ("layer", "build"), ("serve", "--nothing")],
    )
    def test_wrong_usage_is_status_2(self, arguments: tuple[str, ...], lamella: Any) -> None:
        result = lamella.run(*arguments)
        assert (result.returncode, result.stdout) == (2, b"")
        assert result.stderr

    def test_an_unfit_setting_is_status_2_and_one_line(self, lamella: Any) -> None:
        result = lamella.run("serve", "--listen", "0.0.0.0:4566")
        assert result.returncode == 2
        assert "listen = 0.0.0.0:4566 would let other machines in" in assert_one_line_of_prose(result.stderr)

    @pytest.mark.parametrize("by_flag", [True, False])
    def test_debug_shows_the_traceback(self, by_flag: bool, lamella: Any) -> None:
        if not by_flag:
            lamella.environ["LAMELLA_DEBUG"] = "1"
        result = lamella.run(*(["--debug"] if by_flag else []), "serve", "--region", "Mars")
        assert result.returncode != 0
        assert b"Traceback" in result.stderr
        assert b"SettingsError" in result.stderr

    def test_shells_can_complete_it(self, lamella: Any) -> None:
        lamella.environ |= {"_LAMELLA_COMPLETE": "complete_bash", "COMP_WORDS": "lamella inv", "COMP_CWORD": "1"}
        assert lamella.run().stdout.split() == [b"invoke"]


def write_wheel(directory: Path) -> Path:
    """A package of one line, so that nothing has to be fetched."""
    path = directory / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("tiny.py", "ANSWER = 42\n")
        wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        wheel.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("tiny-1.0.dist-info/RECORD", "")
    return path


class TestLayerBuild:
    def test_a_wheel_becomes_a_layer(self, lamella: Any, tmp_path: Path) -> None:
        zip_path = tmp_path / "layer.zip"
        result = lamella.run("layer", "build", str(write_wheel(tmp_path)), "--output", str(zip_path), "--json")
        assert result.returncode == 0, result.stderr
        (report,) = json.loads(result.stdout)["archives"]
        assert [(one["name"], one["version"]) for one in report["packages"]] == [("tiny", "1.0")]
        assert report["output"] == str(zip_path)
        assert report["sha256"] == hashlib.sha256(zip_path.read_bytes()).hexdigest()
        with zipfile.ZipFile(zip_path) as layer:
            assert layer.read("python/lib/python3.11/site-packages/tiny.py") == b"ANSWER = 42\n"

    def test_the_prose_says_how_to_publish_it(self, lamella: Any, tmp_path: Path) -> None:
        zip_path = tmp_path / "layer.zip"
        result = lamella.run(
            "layer", "build", str(write_wheel(tmp_path)), "-o", str(zip_path), "--runtime", "python3.12"
        )
        assert (
            f"--zip-file fileb://{zip_path} --compatible-runtimes python3.12".encode() in result.stdout.splitlines()[-1]
        )
        assert b"tiny.zip" not in result.stderr

    def test_a_recipe_in_the_working_directory_is_taken(self, lamella: Any, tmp_path: Path, monkeypatch: Any) -> None:
        write_wheel(tmp_path)
        (tmp_path / "layer.toml").write_text(
            'name = "tiny"\nruntimes = ["python3.12"]\narchitectures = ["x86_64", "arm64"]\nsbom = "{name}.json"\n'
            '[python]\nrequirements = ["./tiny-1.0-py3-none-any.whl"]\n'
        )
        monkeypatch.chdir(tmp_path)
        result = lamella.run("layer", "build", "--json", "--architecture", "arm64", "--runtime", "python3.13")
        assert result.returncode == 0, result.stderr
        (report,) = json.loads(result.stdout)["archives"]
        assert (report["output"], report["sbom"]) == ("tiny.zip", "tiny.json")
        assert (report["runtimes"], report["architecture"]) == (["python3.13"], "arm64")
        assert json.loads((tmp_path / "tiny.json").read_text())["components"][0]["purl"] == "pkg:pypi/tiny@1.0"

    def test_a_fault_of_the_recipe_is_status_2_and_names_its_line(self, lamella: Any, tmp_path: Path) -> None:
        (tmp_path / "layer.toml").write_text('[python]\nrequirement = ["six"]\n')
        result = lamella.run("layer", "build", "--recipe", str(tmp_path / "layer.toml"))
        assert (result.returncode, result.stdout) == (2, b"")
        assert "layer.toml:2: [python] requirement: there is no such key" in assert_one_line_of_prose(result.stderr)
        result = lamella.run("layer", "build", "six", "--recipe", str(tmp_path / "layer.toml"))
        assert result.returncode == 2
        assert "from --recipe or from flags, not from both" in assert_one_line_of_prose(result.stderr)

    def test_a_layer_over_its_budget_is_status_1(self, lamella: Any, tmp_path: Path) -> None:
        result = lamella.run(
            *("layer", "build", str(write_wheel(tmp_path)), "--output", str(tmp_path / "a.zip"), "--max-zipped", "10")
        )
        assert result.returncode == 1
        assert b"are allowed. Biggest, unzipped: tiny 1.0 " in result.stderr
        assert not (tmp_path / "a.zip").exists()

    def test_what_cannot_be_built_is_status_1_and_leaves_nothing(self, lamella: Any, tmp_path: Path) -> None:
        zip_path = tmp_path / "layer.zip"
        result = lamella.run("layer", "build", "tiny", "--runtime", "nodejs22.x", "--output", str(zip_path))
        assert result.returncode == 1
        assert "nodejs22.x" in assert_one_line_of_prose(result.stderr)
        assert not zip_path.exists()
