"""Function URLs, from curl to a function in a sandbox and back."""

import base64
import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import pytest
from tests.integration.invoke.test_streaming import function as streaming_function
from tests.integration.invoke.test_streaming import release
from tests.support.functions import Function, create
from tests.support.server import LamellaServer

pytestmark = pytest.mark.sandbox

HANDLER = """
import base64, os

def handler(event, context):
    match event["rawPath"]:
        case "/fail":
            raise RuntimeError("secret")
        case "/exit":
            os._exit(1)
        case "/picture":
            body = base64.b64encode(bytes(range(256))).decode()
            headers = {"Content-Type": "image/x-all", "X-Request": context.aws_request_id}
            return {"statusCode": 203, "headers": headers, "cookies": ["a=1; Path=/", "b=2"], "body": body,
                    "isBase64Encoded": True}
        case "/large":
            return "x" * int(event["rawQueryString"])
        case _:
            return event
"""


@pytest.fixture(scope="module")
def echo(client: Any) -> Function:
    return create(client, {"function.py": HANDLER}, runtime="python3.11", MemorySize=1769)


@pytest.fixture(scope="module")
def url(client: Any, echo: Function) -> str:
    cors = {"AllowOrigins": ["https://site.example"], "AllowMethods": ["POST"], "AllowHeaders": ["content-type"]}
    return str(client.create_function_url_config(FunctionName=echo.name, AuthType="NONE", Cors=cors)["FunctionUrl"])


def curl(*arguments: str, data: bytes | None = None) -> tuple[int, dict[str, list[str]], bytes]:
    """Status, headers by name in lower case, and body."""
    command = ["curl", "-sS", "-i", "--max-time", "60", "-H", "Expect:", *arguments]
    output = subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout
    head, _, body = output.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers: dict[str, list[str]] = {}
    for line in lines:
        name, value = line.split(": ", 1)
        headers.setdefault(name.lower(), []).append(value)
    return int(first.split()[1]), headers, body


def test_curl_finds_it_and_the_function_gets_the_event(url: str) -> None:
    arguments = ["-d", '{"snow": "☃"}', "-H", "Content-Type: application/json", "-b", "a=1; b=2", "-A", "test"]
    status, headers, body = curl(*arguments, f"{url}a%2Fb?x=1&x=%32")
    assert status == 200
    event = json.loads(body)
    assert event["rawPath"] == "/a%2Fb"
    assert event["queryStringParameters"] == {"x": "1,2"}
    assert event["cookies"] == ["a=1", "b=2"]
    assert (event["body"], event["isBase64Encoded"]) == ('{"snow": "☃"}', False)
    context = event["requestContext"]
    assert context["http"] == {
        "method": "POST",
        "path": "/a%2Fb",
        "protocol": "HTTP/1.1",
        "sourceIp": "127.0.0.1",
        "userAgent": "test",
    }
    assert headers["x-amzn-requestid"] == [context["requestId"]]
    assert url.startswith(f"http://{context['domainName']}:")


def test_bytes_go_both_ways(url: str) -> None:
    everything = bytes(range(256))
    _, _, body = curl("--data-binary", "@-", f"{url}", data=everything)
    event = json.loads(body)
    assert event["isBase64Encoded"] is True  # a form, as curl has it
    assert base64.b64decode(event["body"]) == everything
    status, headers, body = curl(f"{url}picture")
    assert (status, body) == (203, everything)
    assert headers["content-type"] == ["image/x-all"]
    assert headers["set-cookie"] == ["a=1; Path=/", "b=2"]
    assert headers["x-request"] == headers["x-amzn-requestid"]


@pytest.mark.parametrize("path", ["fail", "exit", "large?6291556"])
def test_failures_are_nobody_elses_business(url: str, path: str) -> None:
    status, _, body = curl(f"{url}{path}")
    assert (status, body) == (502, b"Internal Server Error")


def test_six_megabytes(url: str) -> None:
    _, _, body = curl(f"{url}large?6291554")
    assert body == b"x" * 6_291_554
    status, headers, _ = curl("--data-binary", "@-", "-H", "Content-Type: text/plain", url, data=b"x" * 6_291_557)
    assert (status, headers["x-amzn-errortype"]) == (413, ["RequestTooLargeException"])


def test_by_a_path_for_clients_that_do_not_know_the_name(server: LamellaServer, url: str) -> None:
    url_id = re.search(r"//([a-z0-9]{32})\.", url)
    assert url_id is not None
    address = f"{server.url}/_lamella/urls/{url_id[1]}/hooks/1?x=1"
    request = urllib.request.Request(address, b"<a/>", {"Content-Type": "text/xml", "Origin": "https://site.example"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        event = json.load(answer)
        assert answer.headers["Access-Control-Allow-Origin"] == "https://site.example"
    assert (event["rawPath"], event["rawQueryString"], event["body"]) == ("/hooks/1", "x=1", "<a/>")


def test_a_browser_asks_before_it_sends(echo: Function, url: str) -> None:
    asks = ["-X", "OPTIONS", "-H", "Access-Control-Request-Method: POST", "-H"]
    status, headers, _ = curl(*asks, "Origin: https://site.example", url)
    assert status == 200
    assert headers["access-control-allow-origin"] == ["https://site.example"]
    assert headers["access-control-allow-methods"] == ["POST"]
    _, headers, _ = curl(*asks, "Origin: https://other.example", url)
    assert "access-control-allow-origin" not in headers


def test_a_function_that_is_switched_off(client: Any) -> None:
    """Source: developer guide, "Throttling and deactivating function URLs"."""
    function = create(client, {"function.py": "def handler(*_): return 1"}, runtime="python3.11")
    url = client.create_function_url_config(FunctionName=function.name, AuthType="NONE")["FunctionUrl"]
    client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=0)
    assert curl(url)[0] == 429
    client.delete_function_concurrency(FunctionName=function.name)
    assert curl(url)[::2] == (200, b"1")
    client.delete_function_url_config(FunctionName=function.name)
    assert curl(url)[::2] == (403, b'{"Message":null}')


def test_a_url_that_wants_a_signature(client: Any, echo: Function) -> None:
    function = create(client, {"function.py": HANDLER}, runtime="python3.11")
    url = client.create_function_url_config(FunctionName=function.name, AuthType="AWS_IAM")["FunctionUrl"]
    assert curl(url)[0] == 403
    status, _, body = curl("--aws-sigv4", "aws:amz:us-east-1:lambda", "-u", "000000000000:secret", url)
    event = json.loads(body)
    assert (status, event["requestContext"]["authorizer"]["iam"]["accountId"]) == (200, "000000000000")
    assert "authorization" not in event["headers"]


@contextmanager
def reading(url: str) -> Iterator[IO[bytes]]:
    """What curl prints, as it comes."""
    command = ["curl", "-sS", "-N", "-i", "--max-time", "60", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        yield running.stdout
    assert running.returncode == 0


def streamed(client: Any, script: str) -> tuple[Function, str]:
    function = streaming_function(client, script)
    url = client.create_function_url_config(FunctionName=function.name, AuthType="NONE", InvokeMode="RESPONSE_STREAM")[
        "FunctionUrl"
    ]
    return function, url


def test_the_first_piece_arrives_before_the_last_is_sent(client: Any) -> None:
    """RT-41, RT-45: with a status, headers and cookies of the function's own."""
    prelude = (
        r'{"statusCode":418,"headers":{"Content-Type":"text/event-stream"},"cookies":["a=1"]}' + r"\0000" * 8
    ).replace('"', r"\"")
    begin = "begin application/vnd.awslambda.http-integration-response"
    function, url = streamed(
        client, f'{begin}; chunk "{prelude}"; chunk "data: 1\\n"; released; chunk "data: 2\\n"; finish'
    )
    with reading(url) as output:
        head = [line.strip().decode() for line in iter(output.readline, b"\r\n")]
        assert head[0].startswith("HTTP/1.1 418")
        assert "Content-Type: text/event-stream" in head
        assert "Set-Cookie: a=1" in head
        assert output.readline() == b"data: 1\n"
        release(function)
        assert output.read() == b"data: 2\n"


def test_a_stream_without_a_prelude(client: Any) -> None:
    """RT-41."""
    function, url = streamed(client, "begin text/x-plain; chunk 'one\\n'; released; chunk two; finish")
    with reading(url) as output:
        head = [line.strip().decode() for line in iter(output.readline, b"\r\n")]
        assert head[0] == "HTTP/1.1 200 OK"
        assert "Content-Type: text/x-plain" in head
        assert output.readline() == b"one\n"
        release(function)
        assert output.read() == b"two"


def test_urls_survive_a_restart() -> None:
    with LamellaServer(state_delay_s="0") as server:
        client = server.boto3()
        function = create(client, {"function.py": "def handler(*_): return 1"}, runtime="python3.11")
        url = client.create_function_url_config(FunctionName=function.name, AuthType="NONE")["FunctionUrl"]
        url_id = url.partition("//")[2].partition(".")[0]
        server.kill()
        server.start()
        assert curl(f"{server.url}/_lamella/urls/{url_id}/")[::2] == (200, b"1")
        host = url.partition("//")[2].partition(":")[0]
        assert curl("-H", f"Host: {host}", server.url)[::2] == (200, b"1")
