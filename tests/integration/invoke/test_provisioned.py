"""Provisioned concurrency with real sandboxes."""

import json
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.support.functions import Function, create
from tests.support.server import LamellaServer

pytestmark = pytest.mark.sandbox

HANDLER = """
import os, time, uuid
ME = uuid.uuid4().hex
def handler(event, context):
    if event.get("exit"):
        os._exit(1)
    time.sleep(event.get("sleep", 0))
    return {"me": ME, "type": os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"], "version": context.function_version}
"""


def published(client: Any, source: str = HANDLER, **options: Any) -> Function:
    function = create(client, {"function.py": source}, runtime="python3.11", MemorySize=1769, **options)
    client.publish_version(FunctionName=function.name)
    return function


def provision(function: Function, count: int, *, qualifier: str = "1") -> dict[str, Any]:
    answer = function.client.put_provisioned_concurrency_config(
        FunctionName=function.name, Qualifier=qualifier, ProvisionedConcurrentExecutions=count
    )
    assert (answer["Status"], answer["ResponseMetadata"]["HTTPStatusCode"]) == ("IN_PROGRESS", 202)
    return settled(function, qualifier=qualifier)


def settled(function: Function, *, qualifier: str = "1", within_s: float = 30.0) -> dict[str, Any]:
    """As a waiter looks, without its seconds in between."""
    deadline_s = time.monotonic() + within_s
    while True:
        found = function.client.get_provisioned_concurrency_config(FunctionName=function.name, Qualifier=qualifier)
        if found["Status"] != "IN_PROGRESS":
            del found["ResponseMetadata"]
            return dict(found)
        assert time.monotonic() < deadline_s, found


def wait_available(function: Function, count: int, *, qualifier: str = "1", within_s: float = 30.0) -> None:
    deadline_s = time.monotonic() + within_s
    while True:
        found = function.client.get_provisioned_concurrency_config(FunctionName=function.name, Qualifier=qualifier)
        if found["AvailableProvisionedConcurrentExecutions"] == count:
            return
        assert time.monotonic() < deadline_s, found


def environments(server: LamellaServer) -> int:
    with urllib.request.urlopen(f"{server.url}/_lamella/health", timeout=30) as answer:
        return int(json.load(answer)["execution_environments"])


def wait_environments(server: LamellaServer, count: int, within_s: float = 30.0) -> None:
    deadline_s = time.monotonic() + within_s
    while environments(server) != count:
        assert time.monotonic() < deadline_s, environments(server)


@pytest.fixture(scope="module")
def server() -> Iterator[LamellaServer]:
    """Environments on demand go as soon as they are idle: what stays is kept."""
    with LamellaServer(state_delay_s="0", idle_timeout_s="0", spare_sandboxes="0") as running:
        yield running


@pytest.fixture(scope="module")
def client(server: LamellaServer) -> Any:
    return server.boto3()


@pytest.fixture
def function(server: LamellaServer, client: Any) -> Iterator[Function]:
    function = published(client)
    yield function
    client.delete_function(FunctionName=function.name)
    wait_environments(server, 0)


def test_environments_are_initialised_ahead_and_stay(server: LamellaServer, function: Function) -> None:
    """EX-61, LG-05."""
    ready = provision(function, 2)
    assert ready.pop("LastModified")
    assert ready == {
        "RequestedProvisionedConcurrentExecutions": 2,
        "AllocatedProvisionedConcurrentExecutions": 2,
        "AvailableProvisionedConcurrentExecutions": 2,
        "Status": "READY",
    }
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: function.invoke({"sleep": 1}, Qualifier="1").document, range(4)))
    kinds = [answer["type"] for answer in answers]
    assert sorted(kinds) == ["on-demand"] * 2 + ["provisioned-concurrency"] * 2  # the others spilled over
    kept = {answer["me"] for answer in answers if answer["type"] == "provisioned-concurrency"}
    wait_environments(server, 2)  # those on demand are gone
    again = function.invoke(Qualifier="1").document
    assert again["me"] in kept
    assert function.invoke().document["type"] == "on-demand"  # $LATEST has none


def test_fewer_more_and_none(server: LamellaServer, function: Function) -> None:
    for count in (1, 3, 2):
        assert provision(function, count)["AllocatedProvisionedConcurrentExecutions"] == count
        wait_environments(server, count)
    function.client.delete_provisioned_concurrency_config(FunctionName=function.name, Qualifier="1")
    wait_environments(server, 0)
    assert function.invoke(Qualifier="1").document["type"] == "on-demand"


def test_one_that_crashes_is_replaced(function: Function) -> None:
    provision(function, 1)
    first = function.invoke(Qualifier="1").document["me"]
    assert function.invoke({"exit": True}, Qualifier="1").error == "Unhandled"
    wait_available(function, 1)
    second = function.invoke(Qualifier="1").document
    assert (second["type"], second["me"] != first) == ("provisioned-concurrency", True)


def test_an_init_that_fails(server: LamellaServer, client: Any) -> None:
    """EX-61."""
    function = published(client, "raise RuntimeError('never')")
    failed = provision(function, 2)
    assert (failed["Status"], failed["StatusReason"]) == ("FAILED", "FUNCTION_ERROR_INIT_FAILURE")
    assert failed["AllocatedProvisionedConcurrentExecutions"] == 0
    wait_environments(server, 0)
    client.delete_function(FunctionName=function.name)


def test_a_replacement_is_not_available_yet(server: LamellaServer, client: Any) -> None:
    slow = HANDLER.replace("import os, time, uuid", "import os, time, uuid\ntime.sleep(1)")
    function = published(client, slow)
    provision(function, 1)
    assert function.invoke({"exit": True}, Qualifier="1").error == "Unhandled"
    wait_available(function, 0)
    found = client.get_provisioned_concurrency_config(FunctionName=function.name, Qualifier="1")
    assert (found["AllocatedProvisionedConcurrentExecutions"], found["Status"]) == (1, "READY")
    wait_available(function, 1)
    client.delete_function(FunctionName=function.name)
    wait_environments(server, 0)


def test_nothing_is_left_for_latest_where_all_that_is_reserved_is_provisioned(
    server: LamellaServer, function: Function
) -> None:
    function.client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=1)
    assert function.invoke().document["type"] == "on-demand"
    provision(function, 1)
    with pytest.raises(function.client.exceptions.TooManyRequestsException) as caught:
        function.invoke()
    assert caught.value.response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert function.invoke(Qualifier="1").document["type"] == "provisioned-concurrency"
    event = function.invoke(Qualifier="1", InvocationType="Event", tail=False)
    report = f"REPORT RequestId: {event.request_id}".encode()
    with urllib.request.urlopen(f"{server.url}/_lamella/logs/{function.name}?follow=1", timeout=30) as lines:
        assert any(report in line for line in lines)


def test_the_log_says_so(server: LamellaServer, function: Function) -> None:
    """LG-05: with provisioned concurrency always."""
    provision(function, 1)
    with urllib.request.urlopen(f"{server.url}/_lamella/logs/{function.name}?follow=1", timeout=30) as lines:
        for line in lines:
            if line.strip() and (message := json.loads(line)["message"]).startswith("INIT_REPORT"):
                assert "Phase: init" in message
                return


def test_it_survives_a_restart_and_more_than_the_node_has_room_for() -> None:
    with LamellaServer(state_delay_s="0", spare_sandboxes="0", max_environments="2") as server:
        client = server.boto3()
        other = create(client, {"function.py": HANDLER}, runtime="python3.11", MemorySize=1769)
        other.invoke()
        function = published(client)
        assert provision(function, 2)["Status"] == "READY"  # the idle one gave way
        wait_environments(server, 2)
        client.put_provisioned_concurrency_config(
            FunctionName=function.name, Qualifier="1", ProvisionedConcurrentExecutions=3
        )
        found = client.get_provisioned_concurrency_config(FunctionName=function.name, Qualifier="1")
        assert found["Status"] == "IN_PROGRESS"
        provision(function, 1)
        server.kill()
        server.start()
        function = Function(server.boto3(), function.name)
        assert settled(function)["AllocatedProvisionedConcurrentExecutions"] == 1
        assert function.invoke(Qualifier="1").document["type"] == "provisioned-concurrency"
