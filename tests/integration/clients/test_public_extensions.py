"""Extensions that others wrote for AWS, as layers: none of them knows that it is not there."""

import json
import re
import sys
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.clients import archive_of, sources
from tests.support.functions import create
from tests.support.server import LamellaServer

pytestmark = [pytest.mark.sandbox, pytest.mark.network]


def test_opentelemetry(server: LamellaServer, client: Any, layer: Callable[[str, str], str]) -> None:
    """EX-33, EX-63, EX-83, TL-20, TL-21, TL-43: it collects spans of the function, and makes metrics of reports.

    It asks for the next event only when telemetry has told it that the runtime is done, so that nothing of it is
    frozen, and sends the last metrics at the shutdown. Its exports find no collector, so it prints them.
    """
    function = create(
        client,
        {"function.py": (sources("opentelemetry-extension") / "function.py").read_bytes()},
        runtime=f"python3.{sys.version_info.minor}",
        Layers=[layer("opentelemetry-extension", "layer.zip")],
        Environment={"Variables": {"LAMBDA_OTEL_EXPORTER_ENDPOINT": "http://127.0.0.1:9"}},
        MemorySize=1024,
        Timeout=20,
    )
    answer = function.invoke()
    assert answer.error is None, answer.payload
    exported = [json.loads(line)["otlp_fallback"] for line in answer.tail.splitlines() if line.startswith("{")]
    assert [one["type"] for one in exported] == ["traces"]
    assert '"name": "a span of the function"' in json.dumps(exported)

    client.update_function_configuration(FunctionName=function.name, Description="another")
    metrics = next(line for line in server.follow(function.name) if "aws.lambda.billed_duration" in line)
    points = {
        metric["name"]: metric["gauge"]["dataPoints"][0]
        for resource in json.loads(metrics)["otlp_fallback"]["request"]["resourceMetrics"]
        for scope in resource["scopeMetrics"]
        for metric in scope["metrics"]
    }
    values = {name: point.get("asDouble") for name, point in points.items()}
    report = answer.tail.splitlines()[-1]
    reported = [float(number) for number in re.findall(r"Duration: ([\d.]+) ms", report)]
    assert [
        pytest.approx(values[name], abs=0.01)
        for name in ("faas.invocation.duration", "aws.lambda.billed_duration", "aws.lambda.init_duration")
    ] == reported
    identity = points["aws.lambda.billed_duration"]["attributes"]
    assert identity == [{"key": "faas.invocation_id", "value": {"stringValue": answer.request_id}}]


def test_serverless(server: LamellaServer, client: Any, layer: Callable[[str, str], str]) -> None:
    """EX-30, TL-09, TL-20, section 5.5: a Node.js program of 2022, which binds `sandbox` and asks for logs."""
    function = create(
        client,
        archive_of("node", "function.zip"),
        handler="function.handler",
        Layers=[layer("node", name) for name in ("layer.zip", "greeting.zip", "serverless.zip")],
        Environment={
            "Variables": {"DEBUG_SLS_OTEL_LAYER": "yes", "DO_NOT_WAIT": "yes", "SLS_OTEL_REPORT_TYPE": "json"}
        },
        MemorySize=1769,
        Timeout=20,
    )
    answer = function.invoke({"value": 1})
    assert answer.error is None, answer.payload
    assert "Processing event:  INVOKE" in answer.tail
    client.update_function_configuration(FunctionName=function.name, Description="another")
    wanted = {"Processing event:  SHUTDOWN"}
    batches: list[Any] = []
    for line in server.follow(function.name):
        wanted.discard(line)
        if line.startswith("LOGS:  "):
            batches += json.loads(line.removeprefix("LOGS:  "))
        if not wanted and any(batches):
            break
    reports = [record["record"] for batch in batches for record in batch if record["type"] == "platform.report"]
    assert {report["requestId"] for report in reports} == {answer.request_id}
    assert reports[0]["metrics"]["memorySizeMB"] == 1769
