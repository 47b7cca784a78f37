"""Powertools for AWS Lambda (Python), from a layer that `lamella layer build` makes of a locked list."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.clients import sources
from tests.support.functions import Function, archive, create
from tests.support.layers import publish
from tests.support.server import ROOT, LamellaServer

pytestmark = [pytest.mark.sandbox, pytest.mark.network]

RUNTIME = f"python3.{sys.version_info.minor}"
TRACE = "Root=1-6746d1a2-0123456789abcdef01234567;Parent=89abcdef01234567;Sampled=1"


@pytest.fixture(scope="module")
def function(server: LamellaServer, tmp_path_factory: pytest.TempPathFactory) -> Function:
    client = server.boto3()
    built = tmp_path_factory.mktemp("powertools") / "layer.zip"
    # With the environment of the tests, as it is the tester's own configuration that finds the registry.
    subprocess.run(
        [
            *(Path(sys.executable).parent / "lamella", "layer", "build", "--runtime", RUNTIME, "--output", built),
            *("--requirements", sources("powertools") / "requirements.txt"),
        ],
        env=os.environ | {"UV_CACHE_DIR": str(ROOT / ".cache" / "uv")},  # kept for offline runs
        check=True,
    )
    variables = {
        "POWERTOOLS_SERVICE_NAME": "shop",
        "POWERTOOLS_METRICS_NAMESPACE": "Corner",
        "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:2000",
        "AWS_ENDPOINT_URL_SSM": "http://127.0.0.1:8080",
    }
    client.meta.events.register("before-call.lambda.Invoke", _be_sampled)
    return create(
        client,
        archive({"function.py": (sources("powertools") / "function.py").read_bytes()}),
        runtime=RUNTIME,
        Layers=[publish(client, built.read_bytes())],
        Environment={"Variables": variables},
        MemorySize=1769,
        Timeout=30,
    )


def _be_sampled(params: dict[str, Any], **_: object) -> None:
    params["headers"]["X-Amzn-Trace-Id"] = TRACE


def test_log_traces_metrics_and_parameters(function: Function) -> None:
    """RT-21, EN-01: what the library takes from headers and variables, it finds."""
    answer = function.invoke({"order": 7})
    assert answer.error is None, answer.payload
    documents = [json.loads(line) for line in _lines(answer.tail)]
    _check_log(documents, answer.request_id, function)
    _check_metrics(documents, function)
    assert (answer.document["price"], answer.document["parameter"]) == (21, "from the store")
    assert answer.document["asked"] == [
        {"target": "AmazonSSM.GetParameter", "Name": "/shop/name", "WithDecryption": False}
    ]
    _check_segments(answer.document["segments"])

    warm = function.invoke({"order": 8})
    assert [record["cold_start"] for record in map(json.loads, _lines(warm.tail)) if "level" in record] == [False]
    assert warm.document["asked"] == answer.document["asked"]  # the library's cache outlives the invocation


def _lines(tail: str) -> list[str]:
    return [line for line in tail.splitlines() if line.startswith("{")]


def _check_log(documents: list[Any], request_id: str, function: Function) -> None:
    (record,) = [document for document in documents if "level" in document]
    assert record["message"] == "priced"
    assert record["order"] == 7
    assert record["service"] == "shop"
    assert record["cold_start"] is True
    assert record["function_request_id"] == request_id
    assert record["function_name"] == function.name
    assert record["function_memory_size"] == "1769"
    assert record["function_arn"].endswith(f":function:{function.name}")
    assert record["xray_trace_id"] == "1-6746d1a2-0123456789abcdef01234567"


def _check_metrics(documents: list[Any], function: Function) -> None:
    cold, orders = [document for document in documents if "_aws" in document]
    assert (cold["ColdStart"], cold["function_name"], cold["service"]) == ([1.0], function.name, "shop")
    assert (orders["Orders"], orders["shop"], orders["service"]) == ([1.0], "corner", "shop")
    assert orders["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Corner"


def _check_segments(segments: list[Any]) -> None:
    priced, asked, handler = segments
    assert (handler["trace_id"], handler["parent_id"]) == ("1-6746d1a2-0123456789abcdef01234567", "89abcdef01234567")
    assert handler["annotations"] == {"ColdStart": True, "Service": "shop"}
    assert (priced["name"], priced["annotations"]) == ("## function.price", {"order": 7})
    assert (asked["name"], asked["aws"]["operation"]) == ("ssm", "GetParameter")
    assert {segment["parent_id"] for segment in (priced, asked)} == {handler["id"]}
