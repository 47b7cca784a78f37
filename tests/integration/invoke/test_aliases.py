"""Which version an invocation runs, and by which name the function is told that it was called; in real sandboxes."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.support.functions import Function, bash, wait_active
from tests.support.server import LamellaServer

pytestmark = pytest.mark.sandbox

WHO = """
while true; do
    next
    ARN=$(sed -n 's/^Lambda-Runtime-Invoked-Function-Arn: \\(.*\\)\\r$/\\1/ip' /tmp/head)
    respond "[\\"$AWS_LAMBDA_FUNCTION_VERSION\\", \\"$ARN\\", \\"$STAGE\\"]" >/dev/null
done
"""
"""Answers with the version it is, the ARN it was called by, and a variable that tells the versions apart."""


@pytest.fixture(scope="module")
def function(client: Any) -> Function:
    """Versions 1 and 2, and a `$LATEST` that differs from both."""
    made = bash(client, WHO, Environment={"Variables": {"STAGE": "one"}})
    client.publish_version(FunctionName=made.name)
    for stage in ("two", "three"):
        client.update_function_configuration(FunctionName=made.name, Environment={"Variables": {"STAGE": stage}})
        wait_active(client, made.name)
        if stage == "two":
            client.publish_version(FunctionName=made.name)
    return made


@pytest.fixture
def alias(function: Function) -> Iterator[str]:
    function.client.create_alias(FunctionName=function.name, Name="live", FunctionVersion="1")
    yield "live"
    function.client.delete_alias(FunctionName=function.name, Name="live")


def asked(client: Any, name: str, qualifier: str | None = None) -> tuple[str, list[str]]:
    """`ExecutedVersion`, and what the function said."""
    options = {} if qualifier is None else {"Qualifier": qualifier}
    answer = client.invoke(FunctionName=name, Payload=b"{}", **options)
    return answer["ExecutedVersion"], json.load(answer["Payload"])


def arn(function: Function, qualifier: str = "") -> str:
    return f"arn:aws:lambda:us-east-1:000000000000:function:{function.name}{qualifier and ':'}{qualifier}"


@pytest.mark.parametrize(
    ("qualifier", "version", "stage"),
    [(None, "$LATEST", "three"), ("$LATEST", "$LATEST", "three"), ("1", "1", "one"), ("2", "2", "two")],
)
def test_versions(function: Function, qualifier: str | None, version: str, stage: str) -> None:
    """RT-21, EN-01: the ARN ends as the caller's, the version is the one that runs."""
    expected = (version, [version, arn(function, qualifier or ""), stage])
    assert asked(function.client, function.name, qualifier) == expected


def test_an_alias_is_a_name_for_a_version(function: Function, alias: str) -> None:
    """RT-21, EN-01: the ARN carries the alias, while the version is the number."""
    expected = ("1", ["1", arn(function, alias), "one"])
    assert asked(function.client, function.name, alias) == expected
    assert asked(function.client, f"{function.name}:{alias}") == expected
    assert asked(function.client, arn(function, alias)) == expected


def test_a_streamed_response_too(function: Function, alias: str) -> None:
    answer = function.client.invoke_with_response_stream(FunctionName=function.name, Qualifier=alias, Payload=b"{}")
    assert answer["ExecutedVersion"] == "1"
    with closing(answer["EventStream"]) as events:
        said = b"".join(event["PayloadChunk"]["Payload"] for event in events if "PayloadChunk" in event)
    assert json.loads(said) == ["1", arn(function, alias), "one"]


def test_a_dry_run_too(function: Function, alias: str) -> None:
    answer = function.client.invoke(FunctionName=function.name, Qualifier=alias, InvocationType="DryRun")
    assert answer["StatusCode"] == 204


def test_a_change_counts_for_the_next_invocation(function: Function, alias: str) -> None:
    for version, stage in [("1", "one"), ("2", "two"), ("$LATEST", "three")] * 3:
        function.client.update_alias(FunctionName=function.name, Name=alias, FunctionVersion=version)
        assert asked(function.client, function.name, alias) == (version, [version, arn(function, alias), stage])
    function.client.delete_alias(FunctionName=function.name, Name=alias)
    with pytest.raises(ClientError) as refused:
        asked(function.client, function.name, alias)
    assert refused.value.response["Error"] == {
        "Code": "ResourceNotFoundException",
        "Message": f"Function not found: {arn(function, alias)}",
    }


def test_weights_share_invocations(function: Function, alias: str) -> None:
    def shares(weight: float, times: int) -> Counter[str]:
        function.client.update_alias(
            FunctionName=function.name, Name=alias, RoutingConfig={"AdditionalVersionWeights": {"2": weight}}
        )
        runs = [asked(function.client, function.name, alias) for _ in range(times)]
        assert all(version == said[0] for version, said in runs)
        return Counter(version for version, _ in runs)

    assert shares(0.0, 10) == {"1": 10}
    assert shares(1.0, 10) == {"2": 10}
    mixed = shares(0.5, 40)
    assert set(mixed) == {"1", "2"}  # that one is missing has a chance of one in 5e11


def test_aliases_are_there_after_a_restart() -> None:
    with LamellaServer(state_delay_s="0") as server:
        made = bash(server.boto3(), WHO)
        server.boto3().publish_version(FunctionName=made.name)
        server.boto3().create_alias(FunctionName=made.name, Name="live", FunctionVersion="1")
        server.kill()
        server.start()
        assert asked(server.boto3(), made.name, "live")[0] == "1"
