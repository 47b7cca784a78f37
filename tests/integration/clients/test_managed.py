"""What is particular to the server's runtimes of Node.js and Java; what all runtimes do is in `test_runtimes`."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.clients import archive_of
from tests.support.functions import Answer, Function, create
from tests.support.languages import NODES, host_java
from tests.support.layers import publish
from tests.support.projects import begin, check_greetings, deploy, make
from tests.support.server import LamellaServer

pytestmark = [pytest.mark.sandbox, pytest.mark.network]

Create = Callable[..., Function]
CALLBACKS, MODULES = NODES  # AWS's client 3, that of Node.js up to 22, and 4, which takes no callbacks

NODE_FILES: dict[str, str | bytes] = {
    "index.mjs": """
import { createRequire } from 'node:module';
const require = createRequire(import.meta.url);

export const echo = async (event, context) => {
  console.log('first\\nsecond', { a: 1 });
  return { event, name: context.functionName, flags: process.execArgv, paths: process.env.NODE_PATH };
};
export const versions = async () => ['both', 'special', 'common'].map((name) => require(name));
export const large = async (event) => 'x'.repeat(event);
export const nothing = async () => undefined;
export const unsayable = async () => () => 1;
export const late = async () => {
  setImmediate(() => { throw new RangeError('afterwards'); });
  await new Promise((resolve) => setTimeout(resolve, 1000));
};
""",
    "callback.js": """
exports.handler = (event, context, callback) => {
  context.callbackWaitsForEmptyEventLoop = event.wait;
  setTimeout(() => { exports.fired = true; }, 100);
  callback(null, exports.fired ?? false);
};
""",
    "broken.js": "this is not JavaScript",
    "module.js": "export const handler = async () => 'module';",
    "throws.js": "throw new RangeError('while it loads');",
    "wrapper": '#!/bin/bash\nexec "${@/-Xshare:auto/-Xshare:on}"\n',
}


@pytest.fixture(scope="module")
def node(client: Any, installed: Callable[[str], str]) -> Create:
    def make(runtime: str, handler: str, **options: Any) -> Function:
        options = {"MemorySize": 1024, **options}
        return create(client, NODE_FILES, runtime=installed(runtime), handler=handler, **options)

    return make


@pytest.fixture(scope="module")
def java(client: Any, installed: Callable[[str], str]) -> Create:
    def make(method: str, **options: Any) -> Function:
        code, handler = archive_of("java", "function.zip"), f"example.Handlers::{method}"
        layers = [publish(client, {"wrapper": NODE_FILES["wrapper"]})]
        options = {"MemorySize": 1024, "Timeout": 20, **options}
        return create(client, code, runtime=installed(host_java()), handler=handler, Layers=layers, **options)

    return make


def error(answer: Answer) -> tuple[str, str]:
    assert answer.error == "Unhandled"
    return answer.document["errorType"], answer.document["errorMessage"]


@pytest.mark.parametrize("runtime", NODES)
def test_node_is_started_as_on_aws(node: Create, runtime: str) -> None:
    """EN-01; memory and flags as in the bootstrap of AWS's image; LG-09: a record of several lines is one event."""
    function = node(runtime, "index.echo", MemorySize=512)
    answer = function.invoke({"say": "ä"})
    number = runtime.removeprefix("nodejs").removesuffix(".x")
    flags = ["--expose-gc", "--max-http-header-size", "81920", "--max-semi-space-size=25", "--max-old-space-size=461"]
    if runtime == CALLBACKS:
        flags += ["--no-experimental-require-module", "--no-experimental-detect-module"]
    assert answer.document == {
        "event": {"say": "ä"},
        "name": function.name,
        "flags": flags,
        "paths": f"/opt/nodejs/node{number}/node_modules:/opt/nodejs/node_modules:/var/runtime/node_modules"
        ":/var/runtime:/var/task",
    }
    assert f"\t{answer.request_id}\tINFO\tfirst\nsecond {{ a: 1 }}\n" in answer.tail.replace("\r", "\n")


@pytest.mark.parametrize("runtime", NODES)
def test_modules_of_a_version_come_before_those_of_all(client: Any, node: Create, runtime: str) -> None:
    """EN-01, EN-10: by NODE_PATH, which only `require` looks at."""
    special = f"nodejs/node{runtime.removeprefix('nodejs').removesuffix('.x')}/node_modules"
    common = "nodejs/node_modules"
    modules = {f"{special}/both.js": "special", f"{special}/special.js": "special"}
    modules |= {f"{common}/both.js": "common", f"{common}/common.js": "common"}
    layer = publish(client, {name: f"module.exports = '{value}';" for name, value in modules.items()})
    function = node(runtime, "index.versions", Layers=[layer])
    assert function.invoke().document == ["special", "special", "common"]


@pytest.mark.parametrize("runtime", NODES)
def test_results_that_are_no_json(node: Create, runtime: str) -> None:
    assert node(runtime, "index.nothing").invoke().payload == b"null"
    kind, message = error(node(runtime, "index.unsayable").invoke())
    assert (kind, message) == ("TypeError", "Wrong arguments")


@pytest.mark.parametrize("runtime", NODES)
def test_a_result_that_is_too_large(node: Create, runtime: str) -> None:
    """RT-34: refused, and the environment is used again."""
    function = node(runtime, "index.large")
    kind, _ = error(function.invoke(7 * 1024 * 1024))
    assert kind == "Function.ResponseSizeTooLarge"
    assert len(function.invoke(5 * 1024 * 1024, tail=False).document) == 5 * 1024 * 1024


def test_what_is_thrown_later_ends_the_process_and_is_told(node: Create) -> None:
    """RT-57: the client reports it and exits at once; the report must not be lost to the exit."""
    function = node(CALLBACKS, "index.late")
    for _ in range(3):
        assert error(function.invoke()) == ("RangeError", "afterwards")


@pytest.mark.parametrize(
    ("runtime", "handler", "kind", "message"),
    [
        (CALLBACKS, "throws.handler", "RangeError", "while it loads"),
        (MODULES, "throws.handler", "RangeError", "while it loads"),
        (CALLBACKS, "broken.handler", "Runtime.UserCodeSyntaxError", "SyntaxError: "),
        (CALLBACKS, "module.handler", "Runtime.UserCodeSyntaxError", "SyntaxError: Unexpected token 'export'"),
        (CALLBACKS, "index.gone", "Runtime.HandlerNotFound", "index.gone is undefined or not exported"),
        (MODULES, "nowhere.handler", "Runtime.ImportModuleError", "Error: Cannot find module 'nowhere'"),
        (MODULES, "callback.handler", "Runtime.CallbackHandlerDeprecated", "ERROR: AWS Lambda has removed support"),
    ],
)
def test_node_functions_that_do_not_load(node: Create, runtime: str, handler: str, kind: str, message: str) -> None:
    """RT-60 to RT-63: with the type and the text that AWS's runtime gives."""
    found, text = error(node(runtime, handler).invoke())
    assert found == kind
    assert text.startswith(message)


def test_an_override_turns_features_on_again(node: Create) -> None:
    """Source: developer guide, lambda-nodejs, "experimental features"."""
    options = {"Variables": {"NODE_OPTIONS": "--experimental-detect-module --experimental-require-module"}}
    assert node(CALLBACKS, "module.handler", Environment=options).invoke().document == "module"


def test_a_callback_waits_for_the_event_loop_if_told_to(node: Create) -> None:
    function = node(CALLBACKS, "callback.handler")
    assert function.invoke({"wait": True}).document is False
    assert function.invoke({"wait": False}).document is True  # what it started before has run


@pytest.mark.parametrize("runtime", NODES)
def test_node_streams(node: Create, client: Any, installed: Callable[[str], str], runtime: str) -> None:
    """RT-40 to RT-42."""
    layer = publish(client, {"nodejs/node_modules/greeting/index.js": "exports.greet = (name) => name;"})
    code = archive_of("node", "function.zip")
    function = create(client, code, runtime=installed(runtime), handler="function.stream", Layers=[layer])
    for event, error_type in (({"value": ["a", "b"]}, None), ({"value": ["a", "b"], "fail": "enough"}, "Refused")):
        answer = client.invoke_with_response_stream(FunctionName=function.name, Payload=json.dumps(event).encode())
        *chunks, end = list(answer["EventStream"])
        assert b"".join(chunk["PayloadChunk"]["Payload"] for chunk in chunks) == b"ab"
        assert end["InvokeComplete"].get("ErrorCode") == error_type


PYTHON_LOGS = {
    "function.py": """
import logging
def handler(event, context):
    logging.getLogger("mine").warning("first\\nsecond %s", {"a": 1})
"""
}


@pytest.mark.parametrize("language", [*NODES, "java", "python"])
def test_logs_are_json_if_the_function_wants_them_so(client: Any, node: Create, java: Create, language: str) -> None:
    """EN-01, `AWS_LAMBDA_LOG_FORMAT`: a record of several lines is one object, with the request's id."""
    options = {"LoggingConfig": {"LogFormat": "JSON"}}
    if language == "java":
        answer, level, name = java("stream", **options).invoke(), "UNDEFINED", "AWSRequestId"
        message = "got {}\nand that is all"
    else:
        message = "first\nsecond { a: 1 }" if language in NODES else "first\nsecond {'a': 1}"
        level, name = ("INFO" if language in NODES else "WARNING"), "requestId"
        if language in NODES:
            answer = node(language, "index.echo", **options).invoke()
        else:
            answer = create(client, PYTHON_LOGS, runtime=f"python3.{sys.version_info.minor}", **options).invoke()
    records = [json.loads(line) for line in answer.tail.splitlines() if line.startswith("{")]
    (record,) = [record for record in records if record.get("message") == message]
    assert (record["level"], record[name]) == (level, answer.request_id)
    assert record["timestamp"].endswith("Z")


def test_java_takes_and_gives_objects(java: Create) -> None:
    assert java("pojo").invoke({"item": "tea ☕", "count": 2}).document == {"text": "2 x tea ☕"}


def test_java_takes_and_gives_streams(java: Create) -> None:
    """RT-30; LG-09: a record of several lines is one event, as the client frames it (6.5)."""
    answer = java("stream").invoke({"question": "ü"})
    assert answer.payload == '{"answer": "ü"}'.encode() or answer.document == {"answer": "ü"}
    assert "and that is all" in answer.tail


def test_java_is_started_as_on_aws_and_from_its_archive(server: LamellaServer, java: Create) -> None:
    """EN-24: the wrapper sees the command line. It insists on the archive, without which Java would not start.

    The archive is not the same each time it is made, and so is no part of the runtime's digest.
    """
    wrapped = {"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrapper", "JAVA_TOOL_OPTIONS": "-Dmine=1"}}
    found = java("options", MemorySize=512, Environment=wrapped).invoke().document
    assert found[:4] == ["-Dmine=1", "-XX:MaxHeapSize=445645k", "-XX:+UseSerialGC", "-Xshare:on"]
    assert "-XX:SharedArchiveFile=/var/lang/lib/server/runtime.jsa" in found
    assert "-XX:TieredStopAtLevel=1" in found
    manifest = json.loads((server.data / f"runtimes/{host_java()}/current/pack.json").read_text())
    assert list(manifest["derived"]) == ["/var/lang/lib/server/runtime.jsa"]
    assert "-XX:MaxHeapSize=2834432k" in java("options", MemorySize=3008).invoke().document


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        ("example.Gone::handle", "Class not found: example.Gone"),
        ("example.Handlers::gone", "No public method named gone"),
    ],
)
def test_java_functions_that_do_not_load(
    client: Any, installed: Callable[[str], str], handler: str, words: str
) -> None:
    function = create(
        client, archive_of("java", "function.zip"), runtime=installed(host_java()), handler=handler, MemorySize=1024
    )
    answer = function.invoke()
    assert answer.error == "Unhandled"
    assert words in answer.document["errorMessage"]  # the client names no type for a method


@pytest.mark.parametrize(("runtime", "language"), [(MODULES, "node"), (host_java(), "java")])
def test_a_project_works_as_written(
    server: LamellaServer, client: Any, installed: Callable[[str], str], tmp_path: Path, runtime: str, language: str
) -> None:
    """What `lamella init` writes, built, deployed and invoked."""
    project = begin(server, installed(runtime), tmp_path)
    make(server, project)
    check_greetings(deploy(client, project), language)
