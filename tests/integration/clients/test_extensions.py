"""An extension on AWS's Rust client, as a layer, and runtime clients that register one of their own."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.clients import archive_of
from tests.support.functions import Function, create
from tests.support.server import LamellaServer

pytestmark = [pytest.mark.sandbox, pytest.mark.network]

NAME = "telemetry"
"""Of the extension's file."""


def documents(lines: Iterator[str]) -> Iterator[Any]:
    """What the extension printed: each line is a document."""
    return (json.loads(line) for line in lines if line.startswith("{"))


def until(found: Iterator[Any], *wanted: Callable[[Any], bool]) -> list[Any]:
    """All that came until each of the wanted had come."""
    seen, missing = [], list(wanted)
    for one in found:
        seen.append(one)
        missing = [is_it for is_it in missing if not is_it(one)]
        if not missing:
            return seen
    raise AssertionError(seen)


def is_shutdown(document: Any) -> bool:
    return bool(document.get("event") == "SHUTDOWN")


def is_telemetry(kind: str) -> Callable[[Any], bool]:
    return lambda document: document.get("telemetry", {}).get("type") == kind


def end_environments(function: Function) -> None:
    """Change the function: what runs its old code is shut down."""
    function.client.update_function_configuration(FunctionName=function.name, Description="another")


@pytest.fixture
def deploy(client: Any, layer: Callable[[str, str], str]) -> Callable[..., Function]:
    """Makes a function in Rust with the extension; keyword arguments are its variables."""

    def make(*, timeout_s: int = 20, **variables: str) -> Function:
        return create(
            client,
            archive_of("rust", "function.zip"),
            Layers=[layer("rust", "extension.zip")],
            Environment={"Variables": variables},
            MemorySize=512,
            Timeout=timeout_s,
        )

    return make


def test_events_and_telemetry(server: LamellaServer, deploy: Callable[..., Function]) -> None:
    """EX-10, EX-30, EX-31, EX-83, TL-01, TL-09, TL-20, TL-23, TL-26, TL-40 to TL-47: AWS's client reads them all.

    It binds its listener anew for each connection, and knows no other words than those of the contract.
    """
    function = deploy()
    answer = function.invoke({"action": "echo", "value": 1, "print": "hello"})
    assert answer.error is None, answer.payload
    end_environments(function)
    seen = until(documents(server.follow(function.name)), is_shutdown, is_telemetry("platform.report"))

    invoked, ended = [document for document in seen if "event" in document]
    context = answer.document["context"]
    assert (invoked["request_id"], invoked["arn"]) == (answer.request_id, context["arn"])
    assert (invoked["trace_id"], invoked["deadline_ms"]) == (context["trace_id"], context["deadline_ms"])
    assert ended["reason"] == "spindown"

    records = [document["telemetry"] for document in seen if "telemetry" in document]
    kinds = [record["type"] for record in records]
    # Rule TL-47; `initRuntimeDone` and `extension` may change places.
    assert sorted(kinds[2:4]) == ["platform.extension", "platform.initRuntimeDone"]
    assert kinds[:2] + kinds[4:] == [
        "platform.initStart",
        "platform.telemetrySubscription",
        "platform.initReport",
        "platform.start",
        "function",
        "platform.runtimeDone",
        "platform.report",
    ]
    by_kind = {record["type"]: record["record"] for record in records}
    assert by_kind["function"] == "hello\n"
    assert by_kind["platform.initStart"]["initializationType"] == "on-demand"
    assert by_kind["platform.extension"] == {"name": NAME, "state": "Ready", "events": ["INVOKE", "SHUTDOWN"]}
    subscribed = {"name": NAME, "state": "Subscribed", "types": ["platform", "function"]}
    assert by_kind["platform.telemetrySubscription"] == subscribed
    for kind in ("platform.start", "platform.runtimeDone", "platform.report"):
        assert by_kind[kind]["requestId"] == answer.request_id
    assert by_kind["platform.runtimeDone"]["metrics"]["producedBytes"] == len(answer.payload)
    assert {span["name"] for span in by_kind["platform.runtimeDone"]["spans"]} == {
        "responseLatency",
        "responseDuration",
        "runtimeOverhead",
    }
    assert by_kind["platform.report"]["metrics"]["memorySizeMB"] == 512


def test_the_older_logs_api(server: LamellaServer, deploy: Callable[..., Function]) -> None:
    """TL-20, section 5.5: the same client with its other listener, which asks for the schema of 2021."""
    function = deploy(LISTENER="logs")
    answer = function.invoke({"action": "echo", "value": 1, "print": "hello"})
    assert answer.error is None, answer.payload
    end_environments(function)

    def is_report(document: Any) -> bool:
        return bool(document.get("log", "").startswith("PlatformReport "))

    seen = until(documents(server.follow(function.name)), is_shutdown, is_report)
    kinds = [document["log"].split("(")[0].split(" ")[0] for document in seen if "log" in document]
    assert [kind for kind in kinds if kind not in ("PlatformExtension", "PlatformLogsSubscription")] == [
        "PlatformStart",
        "Function",
        "PlatformRuntimeDone",
        "PlatformEnd",
        "PlatformReport",
    ]
    assert {"PlatformExtension", "PlatformLogsSubscription"} <= set(kinds)
    assert {"log": 'Function("hello\\n")'} in seen


def test_a_timeout_is_the_reason_of_a_shutdown(server: LamellaServer, deploy: Callable[..., Function]) -> None:
    """EX-31, EX-73, TL-48, TL-49: the extension is told why, and how the invocation ended."""
    function = deploy(timeout_s=1)
    answer = function.invoke({"action": "hang"})
    assert answer.document["errorType"] == "Sandbox.Timedout"
    seen = until(documents(server.follow(function.name)), is_shutdown, is_telemetry("platform.report"))
    assert [document["reason"] for document in seen if is_shutdown(document)] == ["timeout"]
    for kind in ("platform.runtimeDone", "platform.report"):
        (record,) = [document["telemetry"]["record"] for document in seen if is_telemetry(kind)(document)]
        assert (record["requestId"], record["status"]) == (answer.request_id, "timeout")


def test_a_crash_is_the_reason_of_a_shutdown(server: LamellaServer, deploy: Callable[..., Function]) -> None:
    """EX-31, EX-84, TL-49."""
    function = deploy()
    answer = function.invoke({"action": "exit"})
    assert answer.document["errorType"] == "Runtime.ExitError"
    seen = until(documents(server.follow(function.name)), is_shutdown, is_telemetry("platform.report"))
    assert [document["reason"] for document in seen if is_shutdown(document)] == ["failure"]
    (done,) = [document["telemetry"]["record"] for document in seen if is_telemetry("platform.runtimeDone")(document)]
    assert (done["status"], done["errorType"]) == ("error", "Runtime.ExitError")


@pytest.mark.parametrize(
    ("runtime", "extension"),
    [("go", "GoLangEnableSIGTERM"), ("rust", "_lambda-rust-runtime-no-op-graceful-shutdown-helper")],
)
def test_a_runtime_client_asks_for_sigterm(server: LamellaServer, client: Any, runtime: str, extension: str) -> None:
    """EX-04, EX-32, EX-81: by an internal extension that subscribes to nothing."""
    function = create(
        client, archive_of(runtime, "function.zip"), Environment={"Variables": {"GRACEFUL": "yes"}}, MemorySize=512
    )
    assert function.invoke({"action": "echo", "value": 1}).document["count"] == 1
    assert function.invoke({"action": "echo", "value": 1}).document["count"] == 2  # nothing waits for it
    end_environments(function)
    seen = until(server.follow(function.name), lambda line: line == "the hook has run")
    assert f"EXTENSION\tName: {extension}\tState: Ready\tEvents: []" in seen


def test_the_hook_runs_beside_an_external_extension(server: LamellaServer, deploy: Callable[..., Function]) -> None:
    """EX-80: the runtime ends first, then the extension hears of it."""
    function = deploy(GRACEFUL="yes")
    function.invoke({"action": "echo", "value": 1})
    end_environments(function)
    seen = until(server.follow(function.name), lambda line: line.startswith("{") and is_shutdown(json.loads(line)))
    assert "the hook has run" in seen
