"""Other services on a server that asks for signatures: AWS's clients with the server's keys, moto as its child."""

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from tests.support.functions import archive
from tests.support.server import LamellaServer
from tests.support.stacks import Deployment

pytestmark = pytest.mark.sandbox

MIB = 1024 * 1024
Variables = dict[str, str]


@pytest.fixture(scope="module")
def signed() -> Iterator[LamellaServer]:
    with LamellaServer(auth="sigv4", state_delay_s="0") as server:
        yield server


def new_account(server: LamellaServer) -> tuple[str, Variables]:
    """An account and variables with its key, as the operator's commands print them."""
    data = str(server.data)
    account = server.lamella("account", "create", LAMELLA_DATA=data).stdout.strip()
    lines = server.lamella("key", "create", "--account", account, LAMELLA_DATA=data).stdout.splitlines()
    exported = [line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export ")]
    return account, {name: value.strip("'") for name, value in exported}


def client(server: LamellaServer, service: str, variables: Variables) -> Any:  # Any: boto3's clients have no types
    return server.boto3(
        service,
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=variables.get("AWS_SESSION_TOKEN"),
    )


def test_the_cli_copies_large_files_both_ways(signed: LamellaServer, tmp_path: Path) -> None:
    _, variables = new_account(signed)
    file, back = tmp_path / "file", tmp_path / "back"
    file.write_bytes(os.urandom(20 * MIB))
    signed.aws("s3", "mb", "s3://copied", **variables)
    signed.aws("s3", "cp", str(file), "s3://copied/a b/ü", **variables)
    signed.aws("s3", "cp", "s3://copied/a b/ü", str(back), **variables)
    assert back.read_bytes() == file.read_bytes()
    wrong = variables | {"AWS_SECRET_ACCESS_KEY": "guessed"}
    refused = signed.aws("s3", "cp", str(file), "s3://copied/other", check=False, **wrong)
    assert "SignatureDoesNotMatch" in refused.stderr
    listed = client(signed, "s3", variables).list_objects_v2(Bucket="copied")["Contents"]
    assert [found["Key"] for found in listed] == ["a b/ü"]


def test_each_account_has_its_own(signed: LamellaServer) -> None:
    (own, mine), (_, others) = new_account(signed), new_account(signed)
    s3, strange = client(signed, "s3", mine), client(signed, "s3", others)
    s3.create_bucket(Bucket="apart")
    s3.put_object(Bucket="apart", Key="k", Body=b"mine")
    for call, options in (
        ("get_object", {"Key": "k"}),
        ("put_object", {"Key": "k", "Body": b"theirs"}),
        ("list_objects_v2", {}),
        ("delete_bucket", {}),
    ):
        with pytest.raises(ClientError) as caught:
            getattr(strange, call)(Bucket="apart", **options)
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403  # type: ignore[typeddict-item]
    assert s3.get_object(Bucket="apart", Key="k")["Body"].read() == b"mine"
    client(signed, "sqs", mine).create_queue(QueueName="apart")
    assert client(signed, "sqs", others).list_queues().get("QueueUrls", []) == []
    assert client(signed, "sqs", mine).list_queues()["QueueUrls"] == [f"{signed.url}/{own}/apart"]


def test_a_role_is_assumed_and_deploys(signed: LamellaServer) -> None:
    """As deployment tools do: with the keys of STS, code in S3, and a function made of it."""
    account, variables = new_account(signed)
    role = f"arn:aws:iam::{account}:role/deploy"
    given = json.loads(
        signed.aws("sts", "assume-role", "--role-arn", role, "--role-session-name", "deploy", **variables).stdout
    )["Credentials"]
    lent = {
        "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
        "AWS_SESSION_TOKEN": given["SessionToken"],
    }
    s3, made = client(signed, "s3", lent), client(signed, "lambda", lent)
    s3.create_bucket(Bucket="deployed")
    s3.put_object(Bucket="deployed", Key="code.zip", Body=archive({"m.py": CODE}))
    made.create_function(
        FunctionName="deployed",
        Runtime=f"python3.{sys.version_info.minor}",
        Handler="m.handler",
        Role=role,
        Timeout=30,
        Code={"S3Bucket": "deployed", "S3Key": "code.zip"},
    )
    made.get_waiter("function_active_v2").wait(FunctionName="deployed", WaiterConfig={"Delay": 1})
    found = json.load(made.invoke(FunctionName="deployed", Payload=b"{}")["Payload"])
    assert found == "code.zip"
    signed.lamella("key", "delete", variables["AWS_ACCESS_KEY_ID"], LAMELLA_DATA=str(signed.data))
    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        s3.list_buckets()


# Asks for what S3 holds, in its account, with what its environment says.
CODE = """
import os, urllib.request

def handler(event, context):
    scope = os.environ["AWS_ACCESS_KEY_ID"] + "/20261120/" + os.environ["AWS_REGION"] + "/s3/aws4_request"
    headers = {"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"}
    request = urllib.request.Request(os.environ["AWS_ENDPOINT_URL"] + "/deployed", headers=headers)
    with urllib.request.urlopen(request) as answer:
        return answer.read().decode().partition("<Key>")[2].partition("</Key>")[0]
"""


def test_motos_own_pages_are_nobodys(signed: LamellaServer) -> None:
    _, variables = new_account(signed)
    s3 = client(signed, "s3", variables)
    s3.create_bucket(Bucket="kept")
    request = AWSRequest("POST", f"{signed.url}/moto-api/reset", data=b"")
    keys = Credentials(variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"])
    S3SigV4Auth(keys, "s3", "us-east-1").add_auth(request)
    for headers in (dict(request.headers.items()), {}):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(urllib.request.Request(request.url, b"", headers, method="POST"))
        assert caught.value.code == (404 if headers else 403)
        caught.value.close()
    assert [found["Name"] for found in s3.list_buckets()["Buckets"]] == ["kept"]


def test_a_stack_is_its_keys_account(signed: LamellaServer) -> None:
    """A function answers for its custom resource without a signature, from within its sandbox."""
    (own, mine), (_, others) = new_account(signed), new_account(signed)
    source = """
import cfnresponse

def handler(event, context):
    cfnresponse.send(event, context, cfnresponse.SUCCESS, {"Account": context.invoked_function_arn.split(":")[4]}, "it")
"""
    maker = {
        "Runtime": f"python3.{sys.version_info.minor}",
        "Handler": "index.handler",
        "Role": f"arn:aws:iam::{own}:role/any",
        "Timeout": 20,
        "Code": {"ZipFile": source},
    }
    template = {
        "Resources": {
            "Maker": {"Type": "AWS::Lambda::Function", "Properties": maker},
            "It": {"Type": "Custom::It", "Properties": {"ServiceToken": {"Fn::GetAtt": ["Maker", "Arn"]}}},
        },
        "Outputs": {"Account": {"Value": {"Fn::GetAtt": ["It", "Account"]}}},
    }
    stack = Deployment(client(signed, "cloudformation", mine), "signed")
    assert stack.create(template) == "CREATE_COMPLETE", stack.failures
    assert stack.outputs == {"Account": own}
    with pytest.raises(ClientError, match="does not exist"):
        Deployment(client(signed, "cloudformation", others), "signed").describe()
    assert stack.delete() == "DELETE_COMPLETE"


def test_no_arn_leads_into_another_account(signed: LamellaServer) -> None:
    """Neither that of a stack's resource, nor a function's, nor a client's; the front door looks at the last alone."""
    (own, mine), (other, others) = new_account(signed), new_account(signed)
    topic = client(signed, "sns", others).create_topic(Name="theirs")["TopicArn"]
    queue = client(signed, "sqs", others)
    url = queue.create_queue(QueueName="theirs")["QueueUrl"]
    client(signed, "logs", others).create_log_group(logGroupName="theirs")
    stack = Deployment(client(signed, "cloudformation", mine), "reaching")
    to_queue = {"Protocol": "sqs", "TopicArn": {"Ref": "Topic"}, "Endpoint": f"arn:aws:sqs:us-east-1:{other}:theirs"}
    to_own = {**to_queue, "Endpoint": f"arn:aws:sqs:us-east-1:{own}:mine"}
    for resource, said in (
        ({"Type": "AWS::SNS::Subscription", "Properties": {**to_own, "TopicArn": topic}}, "Topic does not exist"),
        ({"Type": "AWS::SNS::Subscription", "Properties": to_queue}, "kept apart"),
        ({"Type": "AWS::SNS::TopicPolicy", "Properties": {"Topics": [topic], "PolicyDocument": {}}}, "does not exist"),
        ({"Type": "Custom::Told", "Properties": {"ServiceToken": topic}}, "Endpoint does not exist"),
    ):
        resources = {"Topic": {"Type": "AWS::SNS::Topic"}, "Reaching": resource}
        assert stack.create({"Resources": resources}) == "ROLLBACK_COMPLETE"
        assert said in str(stack.failures)
        assert stack.delete() == "DELETE_COMPLETE"
    events = client(signed, "events", mine)
    events.put_rule(Name="reaching", EventPattern='{"source": ["mine"]}')
    bus = f"arn:aws:events:us-east-1:{other}:event-bus/default"
    with pytest.raises(ClientError, match="kept apart"):
        events.put_targets(Rule="reaching", Targets=[{"Id": "a", "Arn": bus}])
    logs = client(signed, "logs", mine)
    logs.create_log_group(logGroupName="mine")
    group = f"arn:aws:logs:us-east-1:{other}:log-group:theirs:*"
    with pytest.raises(ClientError, match="kept apart"):
        logs.put_subscription_filter(logGroupName="mine", filterName="f", filterPattern="", destinationArn=group)
    assert function_says(signed, own, mine, PUBLISH, {"topic": topic}) == {"status": 404}
    assert client(signed, "sns", others).publish(TopicArn=topic, Message="m")["MessageId"]
    assert "Messages" not in queue.receive_message(QueueUrl=url)


PUBLISH = """
import os
import urllib.error
import urllib.parse
import urllib.request

def handler(event, context):
    scope = os.environ["AWS_ACCESS_KEY_ID"] + "/20261120/" + os.environ["AWS_REGION"] + "/sns/aws4_request"
    headers = {"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"}
    asked = urllib.parse.urlencode({"Action": "Publish", "TopicArn": event["topic"], "Message": "m"}).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(os.environ["AWS_ENDPOINT_URL"], asked, headers)) as answer:
            return {"status": answer.status}
    except urllib.error.HTTPError as error:
        return {"status": error.code}
"""


def function_says(server: LamellaServer, account: str, variables: Variables, source: str, event: object) -> Any:
    api = client(server, "lambda", variables)
    api.create_function(
        FunctionName="reaching",
        Runtime=f"python3.{sys.version_info.minor}",
        Handler="index.handler",
        Role=f"arn:aws:iam::{account}:role/any",
        Timeout=20,
        Code={"ZipFile": archive({"index.py": source})},
    )
    api.get_waiter("function_active_v2").wait(FunctionName="reaching")
    return json.loads(api.invoke(FunctionName="reaching", Payload=json.dumps(event))["Payload"].read())
