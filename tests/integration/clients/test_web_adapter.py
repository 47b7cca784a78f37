"""The Lambda Web Adapter: an extension that drives the Runtime API in place of a runtime, before a web server."""

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.clients import sources
from tests.support.functions import Function, create

pytestmark = [pytest.mark.sandbox, pytest.mark.network]

PYTHON = f"python3.{sys.version_info.minor}"


@pytest.fixture
def deploy(client: Any, layer: Callable[[str, str], str]) -> Callable[..., Function]:
    """Makes a function of the web server, as the adapter's documentation says; keyword arguments are variables."""

    def make(**variables: str) -> Function:
        return create(
            client,
            {
                "run.sh": f"#!/bin/sh\nexec {PYTHON} app.py\n",
                "app.py": (sources("web-adapter") / "app.py").read_bytes(),
            },
            runtime=PYTHON,
            handler="run.sh",
            Layers=[layer("web-adapter", "layer.zip")],
            Environment={"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/bootstrap", **variables}},
            MemorySize=1769,
            Timeout=20,
        )

    return make


def request(method: str, path: str, query: str = "", body: str = "") -> dict[str, Any]:
    """An event of an HTTP API or of a function URL, payload format 2.0."""
    http = {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "test"}
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {"host": "example.lambda-url.us-east-1.on.aws", "x-mine": "yes"},
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "example",
            "domainName": "example.lambda-url.us-east-1.on.aws",
            "domainPrefix": "example",
            "http": http,
            "requestId": "r-1",
            "routeKey": "$default",
            "stage": "$default",
            "time": "26/Nov/2026:12:00:00 +0000",
            "timeEpoch": 1795694400000,
        },
        "body": body,
        "isBase64Encoded": False,
    }


def test_a_web_server_is_a_function(deploy: Callable[..., Function]) -> None:
    """RT-06, EX-11, EN-24: register, event/next and invocation/next all come from the extension's process."""
    function = deploy()
    answer = function.invoke(request("POST", "/teapot", "a=1", "tea"))
    assert answer.error is None, answer.payload
    assert answer.document["statusCode"] == 418
    said = json.loads(answer.document["body"])
    assert (said["method"], said["path"], said["body"]) == ("POST", "/teapot?a=1", "tea")
    headers = {name.lower(): value for name, value in said["headers"].items()}
    assert headers["x-mine"] == "yes"
    context = json.loads(headers["x-amzn-lambda-context"])
    assert context["request_id"] == answer.request_id
    assert context["invoked_function_arn"].endswith(f":function:{function.name}")
    assert function.invoke(request("GET", "/")).document["statusCode"] == 200


def test_other_events_are_posted_to_it(deploy: Callable[..., Function]) -> None:
    """RT-06."""
    answer = deploy().invoke({"Records": [{"eventSource": "aws:sqs", "body": "a message"}]})
    assert answer.error is None, answer.payload
    said = answer.document if "method" in answer.document else json.loads(answer.document["body"])
    assert (said["method"], said["path"]) == ("POST", "/events")
    assert json.loads(said["body"])["Records"][0]["body"] == "a message"


def test_it_streams(deploy: Callable[..., Function]) -> None:
    """RT-06, RT-45."""
    function = deploy(AWS_LWA_INVOKE_MODE="response_stream")
    answer = function.client.invoke_with_response_stream(
        FunctionName=function.name, Payload=json.dumps(request("GET", "/teapot")).encode()
    )
    *chunks, complete = list(answer["EventStream"])
    prelude, body = b"".join(chunk["PayloadChunk"]["Payload"] for chunk in chunks).split(bytes(8))
    assert "ErrorCode" not in complete["InvokeComplete"]
    assert json.loads(prelude)["statusCode"] == 418
    assert json.loads(body)["path"] == "/teapot"
