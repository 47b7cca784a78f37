"""Runtimes made of Debian's packages: Ruby, which brings a C library of its own, and another architecture than ours."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.debian import OTHER, add_of_debian, skip_unless_emulated
from tests.support.functions import PRELUDE, Answer, Function, create
from tests.support.languages import post_runtime
from tests.support.layers import publish
from tests.support.projects import begin, check_greetings, deploy, make
from tests.support.server import LamellaServer

from lamella.runtimes.foreign import trial_program
from lamella.runtimes.system import MACHINES, host_architecture

pytestmark = [pytest.mark.sandbox, pytest.mark.network]

FUNCTION = """
require 'shared'
require 'greeting'
$count = 0

def handler(event:, context:)
  $count += 1
  case event['do']
  when 'fail' then raise ArgumentError, 'not that ☃'
  when 'log'
    puts "one\\ntwo ☃ ä"
    Logger.new($stdout).warn('careful')
  when 'tell'
    { event: event, count: $count, shared: Shared::VALUE, greeting: GREETING, text: File.read(__FILE__).encoding,
      loaded: [Net::HTTP.name, JSON.name], trace: ENV.fetch('_X_AMZN_TRACE_ID', nil), gems: Gem.path,
      paths: ENV.values_at('GEM_HOME', 'GEM_PATH', 'RUBYLIB'), left: context.get_remaining_time_in_millis,
      context: [context.function_name, context.memory_limit_in_mb, context.aws_request_id], version: RUBY_VERSION }
  else event
  end
end

def raw(event:, context:) = StringIO.new("\\x00\\xff".b)
def mistake(event:, context:) = nonsense
module Nested
  class Handler
    def self.process(event:, context:) = "nested #{event}"
  end
end
"""
LAYER: dict[str, str | bytes] = {
    "ruby/lib/shared.rb": "module Shared; VALUE = 'of the layer'; end\n",
    "ruby/gems/3.3.0/gems/greeting-1.0/lib/greeting.rb": "GREETING = 'of a gem'\n",
    "ruby/gems/3.3.0/specifications/greeting-1.0.gemspec": (
        "Gem::Specification.new { |s| s.name = 'greeting'; s.version = '1.0'; s.summary = s.author = '-' }\n"
    ),
}


@pytest.fixture(scope="module")
def ruby(server: LamellaServer, client: Any) -> Callable[..., Function]:
    add_of_debian(server, "ruby3.3", host_architecture())
    layer = publish(client, LAYER)

    def make(handler: str, **options: Any) -> Function:
        code = {"function.rb": FUNCTION, "broken.rb": "require 'nowhere'\n"}
        return create(client, code, runtime="ruby3.3", handler=handler, Layers=[layer], MemorySize=1769, **options)

    return make


@pytest.fixture(scope="module")
def handler(ruby: Callable[..., Function]) -> Function:
    return ruby("function.handler")


def test_a_ruby_function_is_started_as_on_aws_and_finds_what_layers_bring(handler: Function) -> None:
    """EN-01; on AWS nobody requires `json` or `net/http`, since the client has."""
    told = handler.invoke({"do": "tell", "say": "ä"}).document
    left = told.pop("left")
    request = told["context"].pop()
    assert told == {
        "event": {"do": "tell", "say": "ä"},
        "count": told["count"],
        "shared": "of the layer",
        "greeting": "of a gem",
        "text": "UTF-8",
        "loaded": ["Net::HTTP", "JSON"],
        "trace": told["trace"],
        "gems": [
            "/var/task/vendor/bundle/ruby/3.3.0",
            "/opt/ruby/gems/3.3.0",
            "/var/runtime",
            "/usr/lib/ruby/gems/3.3.0",  # what /var/runtime/ruby/3.3.0 links to
        ],
        "paths": [
            "/var/runtime",
            "/var/task/vendor/bundle/ruby/3.3.0:/opt/ruby/gems/3.3.0:/var/runtime:/var/runtime/ruby/3.3.0",
            "/var/task:/var/runtime/lib:/opt/ruby/lib",
        ],
        "context": [handler.name, "1769"],
        "version": told["version"],
    }
    assert told["version"].startswith("3.3.")
    assert told["trace"].startswith("Root=")
    assert 0 < left <= 10_000
    assert len(request) == 36


def test_a_project_works_as_written(
    ruby: Callable[..., Function], server: LamellaServer, client: Any, tmp_path: Path
) -> None:
    """What `lamella init` writes, built, deployed and invoked; the fixture has added the runtime."""
    project = begin(server, "ruby3.3", tmp_path)
    make(server, project)
    check_greetings(deploy(client, project), "ruby")


def test_records_of_several_lines_are_one_event_and_loggers_name_the_request(handler: Function) -> None:
    answer = handler.invoke({"do": "log"})
    assert "one\rtwo ☃ ä\n" in answer.tail or "one\ntwo ☃ ä\n" in answer.tail
    assert f" WARN {answer.request_id} -- : careful\n" in answer.tail


def test_an_error_of_the_code_is_the_answer_and_the_function_goes_on(handler: Function) -> None:
    before = handler.invoke({"do": "tell"}).document["count"]
    answer = handler.invoke({"do": "fail"})
    assert answer.error == "Unhandled"
    assert answer.document == {
        "errorMessage": "not that ☃",
        "errorType": "Function<ArgumentError>",
        "stackTrace": ["/var/task/function.rb:9:in `handler'"],
    }
    assert "Error raised from handler method" in answer.tail
    assert handler.invoke({"do": "tell"}).document["count"] == before + 2


@pytest.mark.parametrize("event", ["ä", 7, None, [], {"a": "☃" * 100_000}])
def test_ruby_echoes_any_event(handler: Function, event: object) -> None:
    raw = json.dumps({"do": "echo", "value": event}).encode()
    assert handler.invoke(raw=raw, tail=False).document == {"do": "echo", "value": event}


def test_a_mistake_in_the_code_ends_the_process_as_aws_client_does(ruby: Callable[..., Function]) -> None:
    answer = ruby("function.mistake").invoke()
    assert _error(answer) == (
        "Function<NameError>",
        "undefined local variable or method `nonsense' for an instance of LambdaHandler",
    )
    assert "Error Type: Runtime.ExitError" in answer.tail


@pytest.mark.parametrize(
    ("handler_name", "kind", "message"),
    [
        ("broken.handler", "Init<LoadError>", "cannot load such file -- nowhere"),
        ("function", "Init<ArgumentError>", "Invalid handler function, must be of form FILENAME.METHOD"),
    ],
)
def test_what_cannot_be_loaded_is_an_error_of_init(
    ruby: Callable[..., Function], handler_name: str, kind: str, message: str
) -> None:
    found, text = _error(ruby(handler_name).invoke())
    assert found == kind
    assert text.startswith(message)


def test_responses_that_are_read_are_no_json(ruby: Callable[..., Function]) -> None:
    assert ruby("function.raw").invoke().payload == b"\x00\xff"


def test_a_method_of_a_class_is_a_handler(ruby: Callable[..., Function]) -> None:
    assert ruby("function.Nested::Handler.process").invoke({"a": 1}).document == 'nested {"a"=>1}'


def test_loggers_write_json_for_functions_that_want_it(ruby: Callable[..., Function]) -> None:
    logging = {"LogFormat": "JSON", "ApplicationLogLevel": "WARN"}
    answer = ruby("function.handler", LoggingConfig=logging).invoke({"do": "log"})
    records = [json.loads(line) for line in answer.tail.splitlines() if '"careful"' in line]
    assert [(one["level"], one["message"], one["requestId"]) for one in records] == [
        ("WARN", "careful", answer.request_id)
    ]


def _error(answer: Answer) -> tuple[str, str]:
    assert answer.error == "Unhandled"
    return answer.document["errorType"], answer.document["errorMessage"]


@pytest.fixture(scope="module")
def other(server: LamellaServer, client: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """AWS's SDK for a server with two runtimes for the other architecture, whose files are the same."""
    skip_unless_emulated()
    built = add_of_debian(server, "python3.11", OTHER)
    directory = tmp_path_factory.mktemp("pack")
    subprocess.run(["cp", "--archive", built / "rootfs", directory], check=True)
    description = {"format": 1, "name": "provided.al2023", "architecture": OTHER}
    (directory / "pack.json").write_text(json.dumps(description))
    post_runtime(server, {"name": "provided.al2023", "from": str(directory)})
    return client


PYTHON = """
import json, platform, subprocess
import boto3, greeting

def handler(event, context):
    started = subprocess.run(["bash", "-c", "uname -m; curl -sS --version"], capture_output=True, text=True, check=True)
    return [event, platform.machine(), started.stdout.split()[:2], greeting.NAME, boto3.__name__]
"""


def test_python_for_the_other_architecture_runs_with_all_that_it_starts(other: Any) -> None:
    """AWS's client, its native part and the seccomp filter included; a layer is found as ever."""
    layer = publish(other, {"python/greeting.py": "NAME = 'of the layer'\n"})
    options = {"MemorySize": 1769, "Timeout": 60, "Architectures": [OTHER], "Layers": [layer]}
    function = create(other, {"index.py": PYTHON}, runtime="python3.11", handler="index.handler", **options)
    machine = MACHINES[OTHER]
    assert function.invoke({"say": "ä"}).document == [
        {"say": "ä"},
        machine,
        [machine, "curl"],
        "of the layer",
        "boto3",
    ]


def test_a_custom_runtime_for_the_other_architecture(other: Any) -> None:
    script = PRELUDE + 'while true; do next; respond "[\\"$(uname -m)\\", $BODY]"; done\n'
    function = create(other, {"bootstrap": script}, MemorySize=1769, Timeout=30, Architectures=[OTHER])
    for number in (1, 2):
        assert function.invoke({"number": number}).document == [MACHINES[OTHER], {"number": number}]


def test_a_program_for_this_machine_is_none_in_a_function_for_the_other(other: Any) -> None:
    """EN-22, as on AWS."""
    function = create(other, {"bootstrap": trial_program(host_architecture())}, Architectures=[OTHER])
    kind, message = _error(function.invoke())
    assert kind == "Runtime.InvalidEntrypoint"
    assert message.endswith("Error: fork/exec /var/task/bootstrap: exec format error")


def test_a_runtime_that_is_not_there_for_an_architecture_is_refused_with_the_remedy(client: Any) -> None:
    with pytest.raises(client.exceptions.InvalidParameterValueException) as caught:
        create(client, {"bootstrap": "x"}, runtime="provided.al2", Architectures=[OTHER])
    assert f"not for {OTHER}. Add it with: lamella runtime add provided.al2 --architecture {OTHER}" in str(caught.value)
