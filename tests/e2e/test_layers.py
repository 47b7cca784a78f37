"""Layers as AWS's command line client publishes, attaches, lists and deletes them, and as functions see them."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.support.functions import ROLE, Function, archive, create, wait_active
from tests.support.layers import publish
from tests.support.server import LamellaServer

ACCOUNT = "000000000000"
PREFIX = f"arn:aws:lambda:us-east-1:{ACCOUNT}:layer:"
UPDATING = "when calling the UpdateFunctionConfiguration operation:"
LISTS_OPT = """#!/bin/bash
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
while curl -sS -D /tmp/head -o /dev/null "$api/next"; do
    id=$(sed -n 's/^Lambda-Runtime-Aws-Request-Id: \\(.*\\)\\r$/\\1/ip' /tmp/head)
    cd /opt && found=$(find . -type f -printf '%P\\n' | while read -r f; do printf '"%s": "%s",' "$f" "$(<"$f")"; done)
    curl -sS -o /dev/null -X POST "$api/$id/response" -d "{${found%,}}"
done
"""
"""Answers with the names and contents of the files below /opt."""


def opt(client: Any, layers: Sequence[str]) -> Any:
    """What a function with these layers finds in /opt."""
    return create(client, {"bootstrap": LISTS_OPT}, Layers=list(layers)).invoke().document


@pytest.mark.sandbox
def test_a_later_layer_wins_file_by_file_and_directories_merge(client: Any) -> None:
    first = publish(client, {"a/b": "first", "a/only-first": "1", "c": "first"})
    second = publish(client, {"a/b": "second", "a/only-second": "2"})
    merged = {"a/only-first": "1", "a/only-second": "2", "c": "first"}
    assert opt(client, [first, second]) == {"a/b": "second", **merged}
    assert opt(client, [second, first]) == {"a/b": "first", **merged}


@pytest.mark.sandbox
def test_a_file_of_a_later_layer_replaces_a_directory(client: Any) -> None:
    directory = publish(client, {"x/below": "1", "y": "2"})
    file = publish(client, {"x": "file"})
    assert opt(client, [directory, file]) == {"x": "file", "y": "2"}
    assert opt(client, [file, directory]) == {"x/below": "1", "y": "2"}


@pytest.mark.sandbox
def test_five_layers_are_seen_in_their_order(client: Any) -> None:
    layers = [publish(client, {"who": str(number), f"file-{number}": "x"}) for number in range(5)]
    assert opt(client, layers) == {"who": "4", **{f"file-{number}": "x" for number in range(5)}}


@pytest.mark.sandbox
def test_a_function_without_layers_has_an_empty_opt(client: Any) -> None:
    assert opt(client, []) == {}


@pytest.mark.sandbox
def test_layers_can_be_changed_and_taken_away(client: Any) -> None:
    one, two = publish(client, {"f": "one"}), publish(client, {"f": "two"})
    function = create(client, {"bootstrap": LISTS_OPT}, Layers=[one])
    assert function.invoke().document == {"f": "one"}
    for layers, expected in (([two], {"f": "two"}), ([], {})):
        client.update_function_configuration(FunctionName=function.name, Layers=layers)
        wait_active(client, function.name)
        assert function.invoke().document == expected


@pytest.mark.sandbox
def test_a_function_keeps_a_layer_version_that_has_been_deleted(client: Any, server: LamellaServer) -> None:
    arn = publish(client, {"f": "kept"}, name="short-lived")
    function = create(client, {"bootstrap": LISTS_OPT}, Layers=[arn])
    server.aws("lambda", "delete-layer-version", "--layer-name", "short-lived", "--version-number", "1")
    assert function.invoke().document == {"f": "kept"}
    refused = attach(server, function, arn)
    assert refused.returncode != 0
    assert f"(InvalidParameterValueException) {UPDATING} Layer version {arn} does not exist." in refused.stderr


def test_the_commands_of_the_guides(server: LamellaServer, tmp_path: Path) -> None:
    """Each with the options that tutorials use, in the order that they give them."""
    (tmp_path / "layer.zip").write_bytes(archive({"python/lib/python3.11/site-packages/mine.py": "x = 1"}))
    (tmp_path / "function.zip").write_bytes(archive({"bootstrap": LISTS_OPT}))

    published = run(
        server,
        tmp_path,
        "publish-layer-version --layer-name image-processing --compatible-runtimes python3.11 python3.12 "
        "--compatible-architectures x86_64 --zip-file fileb://layer.zip --region us-east-1",
        "--description",
        "Pillow + numpy for image processing",
    )
    arn = f"{PREFIX}image-processing:1"
    assert (published["LayerVersionArn"], published["LayerArn"]) == (arn, arn.removesuffix(":1"))
    assert (published["Version"], published["Description"]) == (1, "Pillow + numpy for image processing")
    assert published["CompatibleRuntimes"] == ["python3.11", "python3.12"]
    assert published["CompatibleArchitectures"] == ["x86_64"]
    assert published["Content"]["CodeSize"] == (tmp_path / "layer.zip").stat().st_size

    again = run(server, tmp_path, "publish-layer-version --layer-name image-processing --zip-file fileb://layer.zip")
    assert again["LayerVersionArn"] == f"{PREFIX}image-processing:2"
    assert again["Content"]["CodeSha256"] == published["Content"]["CodeSha256"]

    by_arn = run(server, tmp_path, "get-layer-version-by-arn --arn", arn)
    by_name = run(server, tmp_path, "get-layer-version --layer-name image-processing --version-number 1")
    for answer in (by_arn, by_name):
        assert answer["Content"].pop("Location").startswith(server.url)
    assert (
        by_arn
        == by_name
        == {**published, "Content": {k: v for k, v in published["Content"].items() if k != "Location"}}
    )

    layers = run(server, tmp_path, "list-layers --compatible-runtime python3.12")["Layers"]
    # Other tests have layers on the server as well.
    assert [layer for layer in layers if layer["LayerName"] == "image-processing"] != []
    others = run(server, tmp_path, "list-layers --compatible-runtime python3.13")["Layers"]
    assert [layer for layer in others if layer["LayerName"] == "image-processing"] == []
    versions = run(server, tmp_path, "list-layer-versions --layer-name image-processing")["LayerVersions"]
    assert [version["Version"] for version in versions] == [2, 1]

    created = run(
        server,
        tmp_path,
        "create-function --function-name my-image-function --zip-file fileb://function.zip --handler function.handler "
        f"--runtime provided.al2023 --role {ROLE}",
    )
    assert (created["State"], created["StateReasonCode"], created["Version"]) == ("Pending", "Creating", "$LATEST")
    assert "Layers" not in created
    assert server.aws("lambda", "wait", "function-active-v2", "--function-name", "my-image-function").stdout == ""

    updated = run(server, tmp_path, "update-function-configuration --function-name my-image-function --layers", arn)
    assert updated["LastUpdateStatus"] == "InProgress"
    assert updated["Layers"] == [{"Arn": arn, "CodeSize": published["Content"]["CodeSize"]}]
    server.aws("lambda", "wait", "function-updated-v2", "--function-name", "my-image-function")

    listed = {function["FunctionName"]: function for function in run(server, tmp_path, "list-functions")["Functions"]}
    assert listed["my-image-function"]["Layers"] == updated["Layers"]


@pytest.mark.sandbox
def test_the_command_that_invokes(server: LamellaServer, client: Any, tmp_path: Path) -> None:
    function = create(client, {"bootstrap": LISTS_OPT}, Layers=[publish(client, {"f": "seen"})])
    answer = run(server, tmp_path, f"invoke --function-name {function.name} --log-type Tail answer.json")
    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
    assert "LogResult" in answer
    assert json.loads((tmp_path / "answer.json").read_text()) == {"f": "seen"}


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([f"{PREFIX}nowhere:7"], f"Layer version {PREFIX}nowhere:7 does not exist."),
        (["{0}", "{1}", "{2}", "{3}", "{4}", "{5}"], "Cannot reference more than 5 layers."),
        (
            ["{0}", "{again}"],
            "Two different versions of the same layer are not allowed to be referenced in the same function.",
        ),
    ],
)
def test_layers_that_cannot_be_attached(
    server: LamellaServer, client: Any, six_layers: dict[str, str], function: Function, layers: list[str], message: str
) -> None:
    arns = [fill(arn, six_layers) for arn in layers]
    refused = attach(server, function, *arns)
    assert refused.returncode != 0
    assert f"(InvalidParameterValueException) {UPDATING} {fill(message, six_layers)}" in refused.stderr
    after = client.get_function_configuration(FunctionName=function.name)
    assert (after["LastUpdateStatus"], "Layers" in after) == ("Successful", False)


def test_runtimes_that_aws_no_longer_takes(server: LamellaServer, tmp_path: Path) -> None:
    (tmp_path / "function.zip").write_bytes(archive({"bootstrap": "#!/bin/sh\n"}))
    command = (
        f"create-function --function-name old --zip-file fileb://function.zip --handler function.handler --role {ROLE}"
    )
    refused = server.aws("lambda", *command.split(), "--runtime", "provided", check=False, cwd=tmp_path)
    assert refused.returncode != 0
    assert (
        "An error occurred (InvalidParameterValueException) when calling the CreateFunction operation: The runtime "
        "parameter of provided is no longer supported for creating or updating AWS Lambda functions." in refused.stderr
    )


def test_what_is_not_there(server: LamellaServer) -> None:
    commands = (
        ("get-layer-version", "--layer-name", "nowhere", "--version-number", "1"),
        ("get-layer-version-by-arn", "--arn", f"{PREFIX}nowhere:1"),
        ("get-function", "--function-name", "nowhere"),
        ("invoke", "--function-name", "nowhere", "answer.json"),
    )
    for command in commands:
        refused = server.aws("lambda", *command, check=False)
        assert refused.returncode != 0
        assert "(ResourceNotFoundException)" in refused.stderr, command


@pytest.fixture(scope="session")
def six_layers(client: Any) -> dict[str, str]:
    """ARNs by number, and `again`: a second version of layer 0."""
    found = {str(number): publish(client, {"f": str(number)}, name=f"six-{number}") for number in range(6)}
    return {**found, "again": publish(client, {"f": "again"}, name="six-0")}


@pytest.fixture
def function(client: Any) -> Function:
    return create(client, {"bootstrap": LISTS_OPT})


def fill(text: str, arns: dict[str, str]) -> str:
    for name, arn in arns.items():
        text = text.replace("{" + name + "}", arn)
    return text


def attach(server: LamellaServer, function: Function, *arns: str) -> subprocess.CompletedProcess[str]:
    command = ("lambda", "update-function-configuration", "--function-name", function.name, "--layers", *arns)
    return server.aws(*command, check=False)


def run(server: LamellaServer, directory: Path, command: str, *more: str) -> Any:
    """The JSON answer of a command of `aws lambda`, run in a directory."""
    return json.loads(server.aws("lambda", *command.split(), *more, cwd=directory).stdout)
