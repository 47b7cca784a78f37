"""The extension of `examples/telemetry-extension`: every line and report of a function arrives, none is lost."""

import json
import sys
import time
import urllib.request
from typing import Any

import pytest
from tests.support.functions import create
from tests.support.layers import publish, tree
from tests.support.server import ROOT, LamellaServer

pytestmark = pytest.mark.sandbox

EXAMPLE = ROOT / "examples" / "telemetry-extension"
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
ORDERS = 60


def collected(server: LamellaServer, collector: str, *, reports: int) -> list[str]:
    """What the collector has printed, until it has had so many reports."""
    lines = []
    url = f"{server.url}/_lamella/logs/{collector}?follow=1"
    deadline = time.monotonic() + 60
    with urllib.request.urlopen(url, timeout=60) as answer:
        for raw in answer:
            if raw.strip():
                lines.append(json.loads(raw)["message"])
            if sum(line.startswith("report:") for line in lines) == reports:
                return [line for line in lines if line.startswith(("line:", "report:"))]
            assert time.monotonic() < deadline, lines
    raise AssertionError(lines)


def test_every_line_and_report_reaches_the_collector_once_and_in_order(server: LamellaServer, client: Any) -> None:
    """TL-20, TL-26, EX-83: also those of the last invocation, which come at shutdown."""
    collector = create(client, tree(EXAMPLE / "collector"), runtime=PYTHON, handler="collector.collect")
    endpoint = f"http://169.254.100.1:4566/2015-03-31/functions/{collector.name}/invocations"
    layer = publish(client, tree(EXAMPLE / "layer"))
    orders = create(
        client,
        tree(EXAMPLE / "function"),
        runtime=PYTHON,
        handler="orders.total",
        MemorySize=1769,
        Layers=[layer],
        Environment={"Variables": {"TELEMETRY_ENDPOINT": endpoint}},
    )
    request_ids = []
    for number in range(ORDERS):
        answer = orders.invoke({"order": number, "prices": [1.5, 2]}, tail=False)
        assert answer.document == {"total": 3.5}
        request_ids.append(answer.request_id)
    client.update_function_configuration(FunctionName=orders.name, Description="retires the environment")
    lines = collected(server, collector.name, reports=ORDERS)
    assert [line.split()[1] for line in lines if line.startswith("report:")] == request_ids
    assert [line for line in lines if line.startswith("line:")] == [
        f"line: order {number}: item {item} costs {price}"
        for number in range(ORDERS)
        for item, price in ((1, 1.5), (2, 2))
    ]


def test_a_backend_that_does_not_answer_costs_the_function_nothing(client: Any) -> None:
    """The records wait for the next batch; the extension says so in the function's own log.

    When the extension tries to ship what it has, and in whose log it says so, is open.
    """
    layer = publish(client, tree(EXAMPLE / "layer"))
    orders = create(
        client,
        tree(EXAMPLE / "function"),
        runtime=PYTHON,
        handler="orders.total",
        Layers=[layer],
        Environment={"Variables": {"TELEMETRY_ENDPOINT": "http://169.254.100.1:1/"}},
    )
    for number in range(100):
        answer = orders.invoke({"order": number, "prices": [1]})
        assert answer.document == {"total": 1}
        if "could not be shipped" in answer.tail:
            return
    raise AssertionError
