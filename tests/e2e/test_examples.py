"""The custom runtimes of `examples/`, beyond what the demo shows: what they do when something goes wrong."""

import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from examples import packing
from tests.support.functions import Answer, create
from tests.support.layers import publish, tree
from tests.support.server import ROOT, LamellaServer

pytestmark = pytest.mark.sandbox

EXAMPLES = ROOT / "examples"
LOOPS = "    $lambdaRuntime->flushResponse();\n"


def cold(answer: Answer) -> bool:
    """Whether it took a new execution environment."""
    return "Init Duration" in answer.tail


@pytest.fixture(scope="session")
def shell_layer(client: Any) -> str:
    return publish(client, tree(EXAMPLES / "shell-runtime" / "layer"))


@pytest.fixture(scope="session")
def php_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("php") / "layer.zip"
    packing.php_layer(output)
    return output


@pytest.fixture(scope="session")
def php_layer(client: Any, php_archive: Path) -> str:
    return publish(client, php_archive.read_bytes())


@pytest.fixture(scope="session")
def python_layers(client: Any, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    interpreter = tmp_path_factory.mktemp("python") / "layer.zip"
    packing.python_layer(interpreter)
    return [publish(client, interpreter.read_bytes()), publish(client, tree(EXAMPLES / "python-bootstrap" / "layer"))]


def test_one_shell_layer_serves_functions_whose_code_is_elsewhere(client: Any, shell_layer: str) -> None:
    functions = EXAMPLES / "shell-runtime" / "functions"
    words = create(client, tree(functions / "words"), handler="words.count", Layers=[shell_layer])
    greet = create(client, tree(functions / "greet"), handler="greet.handler", Layers=[shell_layer])
    assert words.invoke({"text": "to be or not to be"}).document == {"words": 6, "different": 4}
    first, second = greet.invoke({"name": "Ada"}), greet.invoke({"name": "Alan"})
    assert [first.document, second.document] == [{"greeting": "Hello, Ada!"}, {"greeting": "Hello, Alan!"}]
    assert (cold(first), cold(second)) == (True, False)


def test_a_failing_shell_handler_is_a_function_error_and_the_next_event_works(client: Any, shell_layer: str) -> None:
    greet = create(
        client, tree(EXAMPLES / "shell-runtime/functions/greet"), handler="greet.handler", Layers=[shell_layer]
    )
    failed = greet.invoke({"nobody": True})
    assert failed.error == "Unhandled"
    assert failed.document == {"errorMessage": "handler ended with status 1", "errorType": "Runtime.HandlerError"}
    assert "The event has no name\n" in failed.tail
    after = greet.invoke({"name": "Ada"})
    assert after.document == {"greeting": "Hello, Ada!"}
    assert not cold(after)


def test_a_shell_handler_that_is_not_there_is_an_init_error(client: Any, shell_layer: str) -> None:
    function = create(client, {"greet.sh": "handler() { echo {}; }"}, handler="greet.nothing", Layers=[shell_layer])
    answer = function.invoke()
    assert answer.error == "Unhandled"
    assert answer.document["errorMessage"] == "There is no function nothing in /var/task/greet.sh"


def test_large_events_and_answers_pass_the_shell_runtime(client: Any, shell_layer: str) -> None:
    function = create(
        client, {"echo.sh": 'handler() { printf %s "$1"; }'}, handler="echo.handler", Layers=[shell_layer]
    )
    event = {"text": "x" * 1_000_000}
    assert function.invoke(event).document == event


def test_the_php_layer_has_its_files_at_the_root_with_their_modes(php_archive: Path) -> None:
    with zipfile.ZipFile(php_archive) as archive:
        modes = {info.filename: info.external_attr >> 16 & 0o777 for info in archive.infolist()}
    assert {name: mode for name, mode in modes.items() if "/" not in name} == {
        "bootstrap": 0o755,
        "php": 0o755,
        "runtime.php": 0o644,
    }
    assert all(name.startswith("lib/lib") for name in modes if "/" in name)


def test_php_sorts_logs_and_reports_exceptions(client: Any, php_layer: str) -> None:
    function = create(client, tree(EXAMPLES / "php-runtime" / "function"), Layers=[php_layer])
    good = function.invoke({"numbers": [3, 1, 2]})
    assert {key: good.document[key] for key in ("sorted", "sum")} == {"sorted": [1, 2, 3], "sum": 6}
    assert "Sorting 3 numbers" in good.tail
    bad = function.invoke({})
    assert bad.error == "Unhandled"
    assert (bad.document["errorType"], bad.document["errorMessage"]) == (
        "InvalidArgumentException",
        "The event has no numbers",
    )
    assert not cold(function.invoke({"numbers": [1]}))


def test_the_answer_of_php_is_what_it_prints_and_then_what_it_returns(client: Any, php_layer: str) -> None:
    code = "<?php function handler($event) { echo '{\"printed\": 1, '; return '\"returned\": 2}'; }"
    function = create(client, {"function.php": code}, Layers=[php_layer])
    assert function.invoke().document == {"printed": 1, "returned": 2}


def test_a_php_file_that_is_not_there_is_an_init_error(client: Any, php_layer: str) -> None:
    function = create(client, {"other.php": "<?php"}, Layers=[php_layer])
    answer = function.invoke()
    assert answer.error == "Unhandled"
    assert answer.document["errorMessage"] == "There is no function.php in /var/task"


def test_an_event_without_answer_comes_again_until_the_timeout(client: Any, php_layer: str) -> None:
    # The later layer's runtime.php hides the other's; php and its libraries are the other's still.
    runtime = (EXAMPLES / "php-runtime" / "layer" / "runtime.php").read_text()
    assert LOOPS in runtime
    silent = publish(client, {"runtime.php": runtime.replace(LOOPS, "    //$lambdaRuntime->flushResponse();\n")})
    code = "<?php function handler($event) { error_log('run for ' . $event['who']); return 'lost'; }"
    function = create(client, {"function.php": code}, Layers=[php_layer, silent], Timeout=1)
    answer = function.invoke({"who": "Ada"})
    assert answer.error == "Unhandled"
    assert answer.document["errorType"] == "Sandbox.Timedout"
    assert answer.document["errorMessage"].endswith("Task timed out after 1.00 seconds")
    assert answer.tail.rstrip().endswith("Status: timeout")
    # The tail of the log holds at most 4 KB: more than a few runs.
    assert len(re.findall("run for Ada", answer.tail)) > 3


def test_the_python_bootstrap_runs_code_that_is_elsewhere(client: Any, python_layers: list[str]) -> None:
    code = tree(EXAMPLES / "python-bootstrap" / "function")
    function = create(client, code, handler="orders.total", Layers=python_layers)
    good = function.invoke({"prices": [1.5, 2]})
    assert (good.document["total"], good.document["interpreter"]) == (3.5, "/opt/bin/python3")
    assert good.document["function"] == function.name
    bad = function.invoke({})
    assert bad.error == "Unhandled"
    assert (bad.document["errorType"], bad.document["errorMessage"]) == ("KeyError", "'prices'")
    assert any("orders.py" in line for line in bad.document["stackTrace"])
    assert not cold(function.invoke({"prices": []}))


def test_the_python_bootstrap_sets_the_trace_id_of_each_event(client: Any, python_layers: list[str]) -> None:
    code = "import os\ndef handler(event, context):\n    return os.environ['_X_AMZN_TRACE_ID']\n"
    function = create(client, {"function.py": code}, Layers=python_layers)
    first, second = function.invoke().document, function.invoke().document
    assert first != second
    assert first.startswith("Root=1-")
    assert second.startswith("Root=1-")


@pytest.mark.parametrize(
    ("handler", "kind", "message"),
    [
        ("missing.handler", "ModuleNotFoundError", "No module named 'missing'"),
        ("function.missing", "AttributeError", "module 'function' has no attribute 'missing'"),
    ],
)
def test_the_python_bootstrap_says_why_it_cannot_start(
    client: Any, python_layers: list[str], handler: str, kind: str, message: str
) -> None:
    function = create(client, {"function.py": ""}, handler=handler, Layers=python_layers)
    answer = function.invoke()
    assert answer.error == "Unhandled"
    assert (answer.document["errorType"], answer.document["errorMessage"]) == (kind, message)


def test_without_an_interpreter_layer_the_python_bootstrap_cannot_start(
    server: LamellaServer, client: Any, python_layers: list[str]
) -> None:
    function = create(client, {"function.py": ""}, Layers=python_layers[1:])
    answer = function.invoke()
    assert answer.document["errorType"] == "Runtime.ExitError"
    assert "exit status 127" in answer.document["errorMessage"]
    assert "python3" in server.lamella("logs", function.name).stdout
