"""Invocations and layers across accounts, with real sandboxes."""

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.support.functions import archive, create, wait_active
from tests.support.server import LamellaServer

pytestmark = pytest.mark.sandbox

OWNER, OTHER, MEMBER = "111122223333", "444455556666", "777788889999"
ORGANIZATION = "o-a1b2c3d4e5"
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
HANDLER = """
import boto3, botocore.exceptions, importlib, json

def handler(event, context):
    if "module" in event:
        return importlib.import_module(event["module"]).WORD
    if "arn" in event:
        try:
            answer = boto3.client("lambda").invoke(FunctionName=event["arn"], Payload=b"{}")
        except botocore.exceptions.ClientError as error:
            return error.response["Error"]["Code"]
        return json.load(answer["Payload"])
    return context.invoked_function_arn
"""


@pytest.fixture(scope="module")
def server() -> Iterator[LamellaServer]:
    """One of its own: it is restarted, and knows an organisation."""
    with LamellaServer(state_delay_s="0", organizations=f"{MEMBER}={ORGANIZATION}") as running:
        yield running


def client_of(server: LamellaServer, account: str) -> Any:
    return server.boto3(aws_access_key_id=account, aws_secret_access_key="test")


def echo(client: Any, **options: Any) -> str:
    """A function of an account; its ARN."""
    made = create(client, {"function.py": HANDLER}, runtime=PYTHON, MemorySize=1769, **{"Timeout": 30, **options})
    return str(client.get_function_configuration(FunctionName=made.name)["FunctionArn"])


def invoke(client: Any, arn: str, event: Any = None) -> Any:
    """What a function answers, or the code of the refusal."""
    try:
        answer = client.invoke(FunctionName=arn, Payload=json.dumps(event or {}).encode())
    except ClientError as error:
        return error.response["Error"]["Code"]
    assert "FunctionError" not in answer, answer["Payload"].read()
    return json.load(answer["Payload"])


def test_an_invocation_is_granted_and_refused_again(server: LamellaServer) -> None:
    owner, other = client_of(server, OWNER), client_of(server, OTHER)
    arn = echo(owner)
    with pytest.raises(ClientError) as refused:
        other.invoke(FunctionName=arn)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert refused.value.response["Error"] == {
        "Code": "AccessDeniedException",
        "Message": f"User: arn:aws:iam::{OTHER}:root is not authorized to perform: lambda:InvokeFunction on resource: "
        f"{arn} because no resource-based policy allows the lambda:InvokeFunction action",
    }
    for call in (
        lambda: other.invoke(FunctionName=arn, InvocationType="DryRun"),
        lambda: other.invoke_with_response_stream(FunctionName=arn),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            call()
    owner.add_permission(FunctionName=arn, StatementId="s", Action="lambda:InvokeFunction", Principal=OTHER)
    assert invoke(other, arn) == arn
    assert other.invoke(FunctionName=arn, InvocationType="DryRun")["StatusCode"] == 204
    assert list(other.invoke_with_response_stream(FunctionName=arn)["EventStream"])
    assert invoke(client_of(server, MEMBER), arn) == "AccessDeniedException"
    owner.remove_permission(FunctionName=arn, StatementId="s")
    assert invoke(other, arn) == "AccessDeniedException"
    assert invoke(owner, arn) == arn


def test_a_function_calls_one_of_another_account(server: LamellaServer) -> None:
    """The caller is the function's account, whatever it says."""
    owner, other = client_of(server, OWNER), client_of(server, OTHER)
    arn, caller = echo(owner), echo(other)
    assert invoke(other, caller, {"arn": arn}) == "AccessDeniedException"
    owner.add_permission(FunctionName=arn, StatementId="s", Action="lambda:InvokeFunction", Principal=OTHER)
    assert invoke(other, caller, {"arn": arn}) == arn


def test_versions_documents_and_organizations(server: LamellaServer) -> None:
    owner, other, member = (client_of(server, account) for account in (OWNER, OTHER, MEMBER))
    arn = echo(owner, Publish=True)
    owner.add_permission(
        FunctionName=arn,
        Qualifier="1",
        StatementId="s",
        Action="lambda:InvokeFunction",
        Principal="*",
        PrincipalOrgID=ORGANIZATION,
    )
    assert invoke(member, f"{arn}:1") == f"{arn}:1"
    assert [invoke(one, name) for one, name in ((member, arn), (other, f"{arn}:1"))] == ["AccessDeniedException"] * 2
    statement = {"Effect": "Deny", "Principal": "*", "Action": "lambda:InvokeFunction", "Resource": f"{arn}:*"}
    owner.put_resource_policy(ResourceArn=arn, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    assert [invoke(one, f"{arn}:1") for one in (member, owner)] == ["AccessDeniedException"] * 2
    assert invoke(owner, arn) == arn
    owner.delete_resource_policy(ResourceArn=arn)
    assert [invoke(one, f"{arn}:1") for one in (member, owner)] == [f"{arn}:1"] * 2


def test_policies_are_kept_over_a_restart(server: LamellaServer) -> None:
    owner = client_of(server, OWNER)
    arn, closed = echo(owner), echo(owner)
    owner.add_permission(FunctionName=arn, StatementId="s", Action="lambda:InvokeFunction", Principal=OTHER)
    server.restart()
    other = client_of(server, OTHER)
    assert [invoke(other, name) for name in (arn, closed)] == [arn, "AccessDeniedException"]


def test_a_function_keeps_a_layer_of_another_account(server: LamellaServer) -> None:
    """After the permission is gone, and the layer version too: warm, cold, changed, published, and after a restart."""
    owner, other = client_of(server, OWNER), client_of(server, OTHER)
    published = owner.publish_layer_version(
        LayerName="words", Content={"ZipFile": archive({"python/words.py": "WORD = 'of the other account'"})}
    )
    layer, version = published["LayerVersionArn"], {"LayerName": "words", "VersionNumber": published["Version"]}
    with pytest.raises(ClientError, match="no resource-based policy allows the lambda:GetLayerVersion action"):
        echo(other, Layers=[layer])
    owner.add_layer_version_permission(**version, StatementId="s", Action="lambda:GetLayerVersion", Principal=OTHER)
    arn, event = echo(other, Layers=[layer]), {"module": "words"}
    assert invoke(other, arn, event) == "of the other account"
    owner.remove_layer_version_permission(**version, StatementId="s")
    with pytest.raises(ClientError, match="no resource-based policy allows the lambda:GetLayerVersion action"):
        echo(other, Layers=[layer])
    assert invoke(other, arn, event) == "of the other account"
    owner.delete_layer_version(**version)
    other.update_function_configuration(FunctionName=arn, Timeout=29)  # retires the environments
    wait_active(other, arn)
    assert invoke(other, arn, event) == "of the other account"
    number = other.publish_version(FunctionName=arn)["Version"]
    assert invoke(other, f"{arn}:{number}", event) == "of the other account"
    server.restart()
    other = client_of(server, OTHER)
    assert invoke(other, arn, event) == "of the other account"
