"""What deployment tools ask for, in their order, with their waits and retries.

Source: terraform-provider-aws, `internal/service/lambda` (function.go, alias.go; 2026); CloudFormation's handlers of
`AWS::Lambda::Function`, `Version` and `Alias`, as their requests are told in public issues; the waiters of botocore.
"""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError
from tests.contract.wire.control_server import ACCOUNT, REGION, ControlServer, zipped

from lamella.awsapi.registry import OPERATIONS

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
ONE, TWO = zipped(index__py="1"), zipped(index__py="2")
QUICKLY = {"Delay": 0, "MaxAttempts": 10}


def refused(call: Callable[..., Any], **members: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**members)
    return caught.value.response["Error"]["Code"], caught.value.response["ResponseMetadata"]["HTTPStatusCode"]


class Terraform:
    """The requests of the resources `aws_lambda_function` and `aws_lambda_alias`."""

    def __init__(self, server: ControlServer) -> None:
        self.server = server
        self.client = server.client()

    def create_function(self, **arguments: Any) -> dict[str, Any]:
        self.server.hold()
        self.client.create_function(
            FunctionName="f",
            Role=f"arn:aws:iam::{ACCOUNT}:role/r",
            Runtime="python3.11",
            Handler="index.handler",
            Code={"ZipFile": ONE},
            Description="",
            MemorySize=128,
            PackageType="Zip",
            Timeout=3,
            **arguments,
        )
        self._wait("State")
        return self.read_function()

    def _wait(self, member: str) -> None:
        """Poll, see that it is under way, and poll again."""
        before = self.client.get_function(FunctionName="f")["Configuration"][member]
        assert before in {"Pending", "InProgress"}
        self.server.release()
        after = self.client.get_function(FunctionName="f")["Configuration"][member]
        assert after in {"Active", "Successful"}

    def read_function(self) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get_function(FunctionName="f")
        pages = self.client.get_paginator("list_versions_by_function").paginate(
            FunctionName="f", PaginationConfig={"MaxItems": 10000}
        )
        newest = [version for page in pages for version in page["Versions"]][-1]
        found["qualified_arn"], found["version"] = newest["FunctionArn"], newest["Version"]
        if "GetFunctionCodeSigningConfig" in OPERATIONS:
            signing = self.client.get_function_code_signing_config(FunctionName="f")
            assert not signing.get("CodeSigningConfigArn")
        return found

    def update_function(self, *, publish: bool, code: bytes | None = None, **configuration: Any) -> dict[str, Any]:
        self.server.clock.advance(1)
        if configuration:
            self.server.hold()
            self.client.update_function_configuration(FunctionName="f", **configuration)
            self._wait("LastUpdateStatus")
        if code is not None:
            self.server.hold()
            # Another request meets the update that is under way, as when two tools deploy at once, and is repeated.
            self.client.update_function_code(FunctionName="f", ZipFile=code)
            again = refused(self.client.update_function_code, FunctionName="f", ZipFile=code)
            assert again == ("ResourceConflictException", 409)
            self._wait("LastUpdateStatus")
        if publish:
            published = self.client.publish_version(FunctionName="f")
            self.client.get_waiter("published_version_active").wait(
                FunctionName="f", Qualifier=published["Version"], WaiterConfig=QUICKLY
            )
        return self.read_function()

    def delete_function(self) -> None:
        self.client.delete_function(FunctionName="f")
        assert refused(self.client.get_function, FunctionName="f") == ("ResourceNotFoundException", 404)
        assert refused(self.client.delete_function, FunctionName="f") == ("ResourceNotFoundException", 404)

    def create_alias(self, version: str) -> dict[str, Any]:
        self.client.create_alias(
            FunctionName=ARN, Name="live", FunctionVersion=version, Description="", RoutingConfig={}
        )
        return self.read_alias()

    def read_alias(self) -> dict[str, Any]:
        alias: dict[str, Any] = self.client.get_alias(FunctionName=ARN, Name="live")
        return alias

    def update_alias(self, version: str, **weights: float) -> dict[str, Any]:
        routing = {"AdditionalVersionWeights": weights} if weights else {}
        self.client.update_alias(
            FunctionName=ARN, Name="live", FunctionVersion=version, Description="", RoutingConfig=routing
        )
        if not weights:
            assert "RoutingConfig" not in self.read_alias()  # waits for that
        return self.read_alias()

    def delete_alias(self) -> None:
        self.client.delete_alias(FunctionName=ARN, Name="live")
        assert refused(self.client.get_alias, FunctionName=ARN, Name="live") == ("ResourceNotFoundException", 404)


def test_terraform_from_create_to_delete(server: ControlServer) -> None:
    terraform = Terraform(server)
    created = terraform.create_function(Publish=True, Tags={"a": "1"})
    assert (created["version"], created["qualified_arn"], created["Tags"]) == ("1", f"{ARN}:1", {"a": "1"})
    assert "Concurrency" not in created
    assert terraform.create_alias("1")["AliasArn"] == f"{ARN}:live"
    if "GetPolicy" in OPERATIONS:  # of `aws_lambda_permission`, which takes it for not there yet
        for members in ({}, {"Qualifier": "live"}):
            answer = refused(terraform.client.get_policy, FunctionName="f", **members)
            assert answer == ("ResourceNotFoundException", 404)

    updated = terraform.update_function(publish=True, code=TWO, Timeout=9, Environment={"Variables": {"STAGE": "1"}})
    assert (updated["version"], updated["Configuration"]["Timeout"]) == ("2", 9)
    assert updated["Configuration"]["CodeSha256"] != created["Configuration"]["CodeSha256"]
    alias = terraform.update_alias("1", **{"2": 0.1})
    assert alias["RoutingConfig"] == {"AdditionalVersionWeights": {"2": 0.1}}
    assert terraform.update_alias("2")["FunctionVersion"] == "2"

    same = terraform.read_function(), terraform.read_alias()  # a plan that finds nothing to do
    for read, expected in zip(same, (updated, terraform.read_alias()), strict=True):
        assert {**read, "ResponseMetadata": 0, "Code": 0} == {**expected, "ResponseMetadata": 0, "Code": 0}

    terraform.delete_alias()
    terraform.delete_function()


def test_terraform_with_reserved_concurrency_and_without_versions(server: ControlServer) -> None:
    terraform = Terraform(server)
    assert terraform.create_function()["version"] == "$LATEST"
    terraform.client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=5)
    assert terraform.read_function()["Concurrency"] == {"ReservedConcurrentExecutions": 5}
    terraform.client.delete_function_concurrency(FunctionName="f")
    assert "Concurrency" not in terraform.update_function(publish=False, Description="d")
    terraform.client.tag_resource(Resource=ARN, Tags={"a": "1"})
    assert terraform.client.list_tags(Resource=ARN)["Tags"] == {"a": "1"}
    terraform.delete_function()


def test_terraform_s_data_source_of_an_alias(server: ControlServer) -> None:
    """It asks with a qualifier, and for what the answer lacks then."""
    terraform = Terraform(server)
    terraform.create_function(Publish=True)
    terraform.create_alias("1")
    terraform.client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=5)
    found = terraform.client.get_function(FunctionName="f", Qualifier="live")
    assert (found["Configuration"]["FunctionArn"], found["Configuration"]["Version"]) == (f"{ARN}:live", "1")
    assert "Concurrency" not in found
    assert terraform.client.get_function_concurrency(FunctionName="f")["ReservedConcurrentExecutions"] == 5


def test_cloudformation_replaces_versions_behind_an_alias(server: ControlServer) -> None:
    """What `cdk deploy` of a function with `currentVersion` and an alias comes to, twice, and `cdk destroy`."""
    client = server.client()
    client.create_function(
        FunctionName="f",
        Role=f"arn:aws:iam::{ACCOUNT}:role/r",
        Runtime="python3.11",
        Handler="index.handler",
        Code={"ZipFile": ONE},
        Tags={"aws-cdk": "1"},
    )
    client.get_waiter("function_active_v2").wait(FunctionName="f", WaiterConfig=QUICKLY)
    first = client.publish_version(FunctionName="f", Description="")["Version"]
    client.create_alias(FunctionName="f", Name="live", FunctionVersion=first)
    assert client.get_alias(FunctionName="f", Name="live")["FunctionVersion"] == first

    server.clock.advance(1)
    client.update_function_code(FunctionName="f", ZipFile=TWO, Publish=False)
    client.get_waiter("function_updated_v2").wait(FunctionName="f", WaiterConfig=QUICKLY)
    sha256 = client.get_function(FunctionName="f")["Configuration"]["CodeSha256"]
    second = client.publish_version(FunctionName="f", CodeSha256=sha256)["Version"]
    client.update_alias(FunctionName="f", Name="live", FunctionVersion=second)
    # Clean-up: versions that were replaced go once nothing refers to them.
    client.delete_function(FunctionName="f", Qualifier=first)
    versions = client.list_versions_by_function(FunctionName=ARN)["Versions"]
    assert [version["Version"] for version in versions] == ["$LATEST", second]
    # A version that fails to be replaced: it is in use.
    assert refused(client.delete_function, FunctionName=f"{ARN}:{second}") == ("ResourceConflictException", 409)

    client.delete_alias(FunctionName="f", Name="live")
    client.delete_function(FunctionName=f"{ARN}:{second}")
    client.delete_function(FunctionName="f")
    assert client.list_functions()["Functions"] == []


@pytest.mark.parametrize(
    ("waiter", "operation", "members"),
    [
        ("function_active", "GetFunctionConfiguration", {}),
        ("function_active_v2", "GetFunction", {}),
        ("function_updated", "GetFunctionConfiguration", {}),
        ("function_updated_v2", "GetFunction", {}),
        ("published_version_active", "GetFunctionConfiguration", {"Qualifier": "1"}),
    ],
)
def test_waiters_wait(server: ControlServer, waiter: str, operation: str, members: dict[str, str]) -> None:
    client = server.client()
    server.hold()
    client.create_function(
        FunctionName="f",
        Role=f"arn:aws:iam::{ACCOUNT}:role/r",
        Runtime="python3.11",
        Handler="index.handler",
        Code={"ZipFile": ONE},
        Publish=True,
    )
    client.get_waiter("function_exists").wait(FunctionName="f", WaiterConfig=QUICKLY)
    if "updated" in waiter:
        server.release()
        server.hold()
        client.update_function_code(FunctionName="f", ZipFile=TWO)
    with pytest.raises(WaiterError, match="Max attempts exceeded"):
        client.get_waiter(waiter).wait(FunctionName="f", **members, WaiterConfig={"Delay": 0, "MaxAttempts": 3})
    polls = []

    def polled(parsed: dict[str, Any], **_: object) -> None:
        polls.append(parsed)
        server.release()

    client.meta.events.register(f"after-call.lambda.{operation}", polled)
    client.get_waiter(waiter).wait(FunctionName="f", **members, WaiterConfig=QUICKLY)
    assert len(polls) == 2


def test_a_waiter_for_an_alias(server: ControlServer) -> None:
    client = server.client()
    terraform = Terraform(server)
    terraform.create_function(Publish=True)
    with pytest.raises(WaiterError, match="Max attempts exceeded"):
        client.get_waiter("function_exists").wait(
            FunctionName="f", Qualifier="live", WaiterConfig={"Delay": 0, "MaxAttempts": 2}
        )
    terraform.create_alias("1")
    for waiter in ("function_exists", "function_active_v2", "function_updated_v2", "published_version_active"):
        client.get_waiter(waiter).wait(FunctionName="f", Qualifier="live", WaiterConfig=QUICKLY)
