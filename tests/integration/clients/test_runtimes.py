"""AWS's runtime clients, from their registries: each drives the same function, written in its language."""

import base64
import json
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from tests.support.clients import archive_of, sources
from tests.support.functions import Function, archive, create
from tests.support.languages import NODES, host_java
from tests.support.layers import publish

pytestmark = [pytest.mark.sandbox, pytest.mark.network]

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Runtime:
    """How a runtime client is deployed, and what is its own in what its callers see.

    Attributes:
        layers: Archives of its `build.sh`: the runtime, if the function does not carry it, and the module `greeting`.
        managed: The runtime of the server's own that takes the place of the one from a layer.
        error: Type of an error of its own, as the caller sees it.
        trace: Key of the stack trace in it; empty if the client sends none.
        place: Where that trace must lead.
    """

    name: str
    handler: str = "unused"
    layers: tuple[str, ...] = ()
    managed: str = ""
    error: str = "Refused"
    trace: str = ""
    place: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.managed or self.name


GO = Runtime("go")
JAVA = Runtime(
    "java",
    "example.Function::handleRequest",
    ("layer.zip", "greeting.zip"),
    error="example.Function$Refused",
    trace="stackTrace",
    place="example.Function.handleRequest(Function.java:",
    options={"MemorySize": 1024},  # a processor's share with it: to start takes it most of a second
)
NODE = Runtime(
    "node",
    "function.handler",
    ("layer.zip", "greeting.zip"),
    trace="trace",
    place=".handler (/var/task/function.js:",
)
PYTHON = Runtime("python", "function.handler", trace="stackTrace", place='File "/var/task/function.py", line ')
RUST = Runtime("rust")

# The same functions on runtimes that the server has, made by `lamella runtime add`.
JAVA_MANAGED = replace(JAVA, layers=("greeting.zip",), managed=host_java())
NODE_MANAGED = tuple(replace(NODE, layers=("greeting.zip",), managed=name) for name in NODES)

ALL = (GO, JAVA, JAVA_MANAGED, NODE, *NODE_MANAGED, PYTHON, RUST)


@pytest.fixture(scope="module")
def deployed(
    client: Any, layer: Callable[[str, str], str], installed: Callable[[str], str]
) -> Callable[[Runtime], Function]:
    """The function of a runtime client; one for all tests of this module."""
    functions: dict[str, Function] = {}

    def deploy(runtime: Runtime) -> Function:
        if str(runtime) not in functions:
            options = {"runtime": installed(runtime.managed)} if runtime.managed else {}
            functions[str(runtime)] = _create(client, layer, runtime, options)
        return functions[str(runtime)]

    return deploy


def _create(client: Any, layer: Callable[[str, str], str], runtime: Runtime, managed: Mapping[str, str]) -> Function:
    options = {"Timeout": 20, "MemorySize": 512, "handler": runtime.handler, **runtime.options, **managed}
    if runtime is PYTHON:
        layers = [publish(client, {"python/greeting.py": (sources("python") / "greeting.py").read_bytes()})]
        code = archive({"function.py": (sources("python") / "function.py").read_bytes()})
        options["runtime"] = f"python3.{sys.version_info.minor}"
    else:
        code = archive_of(runtime.name, "function.zip")
        layers = [layer(runtime.name, name) for name in runtime.layers]
    return create(client, code, Layers=layers, **options)


@pytest.fixture(params=ALL, ids=str)
def runtime(request: pytest.FixtureRequest) -> Runtime:
    return request.param  # type: ignore[no-any-return]  # pytest's own type


@pytest.fixture
def function(runtime: Runtime, deployed: Callable[[Runtime], Function]) -> Function:
    return deployed(runtime)


def test_payload_and_context(function: Function) -> None:
    """RT-21, RT-30: all that the headers say reaches the handler."""
    value = {"text": "snö ☃ \u0000", "numbers": [1, -2.5, None, True], "empty": {}}
    sent = {"custom": {"tenant": "ä"}}  # the clients disagree about the names of the rest
    before_ms = time.time() * 1000
    answer = function.invoke(
        {"action": "echo", "value": value}, ClientContext=base64.b64encode(json.dumps(sent).encode()).decode()
    )
    assert answer.error is None, answer.payload
    assert answer.document["value"] == value
    context = answer.document["context"]
    assert context["request_id"] == answer.request_id
    assert context["arn"] == f"arn:aws:lambda:us-east-1:000000000000:function:{function.name}"
    assert (context["name"], context["version"]) == (function.name, "$LATEST")
    assert 0 < context["deadline_ms"] - before_ms <= 30_000
    assert context["client_context"]["custom"] == sent["custom"]
    assert re.match(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=[01]", context["trace_id"])


def test_a_qualifier_is_part_of_the_arn(client: Any, function: Function) -> None:
    """RT-21: the ARN as the caller named it, and the version that runs."""
    version = client.publish_version(FunctionName=function.name)["Version"]
    answer = function.invoke({"action": "echo", "value": 1}, Qualifier=version)
    context = answer.document["context"]
    assert context["arn"] == f"arn:aws:lambda:us-east-1:000000000000:function:{function.name}:{version}"
    assert context["version"] == version


def test_an_environment_is_used_again(function: Function) -> None:
    """RT-02: the client asks for the next event, and the process keeps its state."""
    # With the log's tail the answer comes when the environment is idle, so the second finds it so.
    first = function.invoke({"action": "echo", "value": 1}).document["count"]
    second = function.invoke({"action": "echo", "value": 1}).document["count"]
    assert second == first + 1


def test_an_error_of_the_handler(runtime: Runtime, function: Function) -> None:
    """RT-50 to RT-52, RT-57: type, message and stack trace reach the caller as the client wrote them."""
    answer = function.invoke({"action": "fail", "value": "no <b>luck</b> & öl"})
    assert (answer.status, answer.error) == (200, "Unhandled")
    assert answer.document["errorType"] == runtime.error
    assert answer.document["errorMessage"] == "no <b>luck</b> & öl"
    if runtime.trace:
        assert runtime.place in "\n".join(answer.document[runtime.trace])
    assert function.invoke({"action": "echo", "value": 2}).document["value"] == 2


@pytest.mark.parametrize("runtime", [GO, RUST], ids=str, indirect=False)
def test_a_panic(runtime: Runtime, deployed: Callable[[Runtime], Function]) -> None:
    """RT-57: whatever the client makes of it, the next invocation works."""
    function = deployed(runtime)
    answer = function.invoke({"action": "panic", "value": "at the disco"})
    assert answer.error == "Unhandled"
    assert "at the disco" in answer.document["errorMessage"]
    assert function.invoke({"action": "echo", "value": 2}).document["value"] == 2


def test_five_megabytes_there_and_back(function: Function) -> None:
    """RT-03, RT-30: sent with a length or chunked, as the client likes."""
    text = "x" * (5 * MIB)
    answer = function.invoke({"action": "echo", "value": text}, tail=False)
    assert answer.error is None, answer.payload[:1000]
    assert answer.document["value"] == text


@pytest.mark.parametrize("runtime", [JAVA, JAVA_MANAGED, NODE, *NODE_MANAGED, PYTHON], ids=str, indirect=False)
def test_a_module_from_a_layer(runtime: Runtime, deployed: Callable[[Runtime], Function]) -> None:
    """EN-10: found below /opt, beside a runtime that comes from another layer."""
    answer = deployed(runtime).invoke({"action": "greet", "value": "Ada"})
    assert answer.document == "Hello, Ada"
