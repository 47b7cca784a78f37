"""moto beside the server: what is not Lambda's goes to it, and it is there whenever it is needed."""

import io
import json
import os
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.support.functions import Function, archive, create, wait_active
from tests.support.server import LamellaServer

pytestmark = pytest.mark.sandbox

PYTHON = f"python3.{sys.version_info.minor}"
OWN, OTHER = "111122223333", "444455556666"
_ASKS = """
import urllib.error, urllib.request

def handler(event, context):
    body = event.get("body")
    url = "http://169.254.100.1:4566" + event["path"]
    request = urllib.request.Request(url, data=body and body.encode(), headers=event["headers"], method=event["method"])
    try:
        with urllib.request.urlopen(request) as answer:
            return [answer.status, answer.read().decode()]
    except urllib.error.HTTPError as error:
        return [error.code, error.read().decode()]
"""
Ask = Callable[..., tuple[int, str]]


def children(server: LamellaServer) -> list[int]:
    """Processes of moto that belong to the server."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            words = (directory / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"lamella.neighbour.moto_main" in words and str(server.data / "neighbour").encode() in words:
            found.append(int(directory.name))
    return found


def test_it_is_not_there_until_somebody_needs_it() -> None:
    with LamellaServer() as server:
        server.boto3().list_functions()
        assert children(server) == []
        server.boto3("sqs").list_queues()
        assert len(children(server)) == 1
    # Leaving has checked that it ended with the server.


def test_objects_go_through_whole_in_both_directions(server: LamellaServer) -> None:
    s3 = server.boto3("s3")
    s3.create_bucket(Bucket="objects")
    body = os.urandom(12 * 1024 * 1024)
    s3.put_object(Bucket="objects", Key="a b/ü/invocations", Body=body)
    assert s3.get_object(Bucket="objects", Key="a b/ü/invocations")["Body"].read() == body
    assert s3.head_object(Bucket="objects", Key="a b/ü/invocations")["ContentLength"] == len(body)
    s3.upload_fileobj(io.BytesIO(body), "objects", "in parts")
    address = s3.generate_presigned_url("get_object", Params={"Bucket": "objects", "Key": "in parts"})
    with urllib.request.urlopen(address) as answer:
        assert answer.read() == body
    with pytest.raises(ClientError, match="NoSuchKey"):
        s3.get_object(Bucket="objects", Key="none")


def test_the_usual_services_answer(server: LamellaServer) -> None:
    queue = server.boto3("sqs").create_queue(QueueName="usual")["QueueUrl"]
    assert queue == f"{server.url}/000000000000/usual"
    assert server.boto3("dynamodb").list_tables()["TableNames"] == []
    assert server.boto3("sns").create_topic(Name="usual")["TopicArn"].endswith(":000000000000:usual")
    assert server.boto3("events").list_rules()["Rules"] == []
    assert server.boto3("iam").list_users()["Users"] == []
    assert server.boto3("stepfunctions").list_state_machines()["stateMachines"] == []


def test_accounts_and_regions_are_kept_apart(server: LamellaServer) -> None:
    def sqs(account: str, region: str) -> Any:
        return server.boto3("sqs", aws_access_key_id=account, aws_secret_access_key="x", region_name=region)

    sqs(OWN, "eu-west-1").create_queue(QueueName="apart")
    assert sqs(OWN, "eu-west-1").list_queues()["QueueUrls"] == [f"{server.url}/{OWN}/apart"]
    assert "QueueUrls" not in sqs(OWN, "eu-west-2").list_queues()
    assert "QueueUrls" not in sqs(OTHER, "eu-west-1").list_queues()


def test_an_assumed_role_acts_for_its_own_account(server: LamellaServer) -> None:
    role = f"arn:aws:iam::{OTHER}:role/any"
    given = server.boto3("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    sts = server.boto3(
        "sts",
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )
    assert sts.get_caller_identity()["Account"] == OTHER


def test_it_is_made_again_when_it_dies(server: LamellaServer) -> None:
    sqs = server.boto3("sqs")
    sqs.create_queue(QueueName="forgotten")
    (child,) = children(server)
    os.kill(child, signal.SIGKILL)
    # At once, or after the connections of the dead one: it is made again either way, empty.
    sqs = server.boto3("sqs", config={"retries": {"total_max_attempts": 10, "mode": "standard"}})
    assert "QueueUrls" not in sqs.list_queues(QueueNamePrefix="forgotten")
    assert children(server) != [child]


def test_it_dies_with_a_server_that_is_killed() -> None:
    with LamellaServer() as server:
        server.boto3("sqs").list_queues()
        server.kill()
        server.start()
        assert children(server) == []


def test_without_a_neighbour_each_client_is_told_what_to_do() -> None:
    with LamellaServer(neighbour="off") as server:
        for service, call in (("s3", "list_buckets"), ("sqs", "list_queues"), ("sts", "get_caller_identity")):
            with pytest.raises(ClientError, match=r"NotImplemented.*neighbour = off.*docs/how-to/neighbour") as caught:
                getattr(server.boto3(service), call)()
            assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501
        with pytest.raises(urllib.error.HTTPError) as unsigned:
            urllib.request.urlopen(f"{server.url}/bucket/key")
        assert unsigned.value.code == 403  # as before: nobody could want it


def test_a_service_can_be_pointed_elsewhere(server: LamellaServer) -> None:
    with LamellaServer(neighbour="off", neighbour_services=f"sqs={server.url}") as other:
        other.boto3("sqs", region_name="eu-north-1").create_queue(QueueName="elsewhere")
        with pytest.raises(ClientError, match="NotImplemented"):
            other.boto3("s3").list_buckets()
    found = server.boto3("sqs", region_name="eu-north-1").list_queues()["QueueUrls"]
    assert [url.rpartition("/")[2] for url in found] == ["elsewhere"]


@pytest.fixture(scope="module")
def ask(server: LamellaServer) -> Iterator[Ask]:
    """Has a function make a request, signed as whoever."""
    client = server.boto3(aws_access_key_id=OWN, aws_secret_access_key="x")
    function = create(client, {"asks.py": _ASKS}, runtime=PYTHON, handler="asks.handler", MemorySize=1024, Timeout=60)

    def ask(
        path: str, *, service: str = "sqs", key: str = OWN, method: str = "POST", **headers: str
    ) -> tuple[int, str]:
        scope = f"Credential={key}/20261120/us-east-1/{service}/aws4_request"
        signed = {"Authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0"}
        body = headers.pop("body", None)
        event = {"path": path, "method": method, "body": body}
        answer = function.invoke({**event, "headers": {**signed, **headers}}).document
        return answer[0], answer[1]

    yield ask
    client.delete_function(FunctionName=function.name)


def target(name: str, **parameters: str) -> dict[str, str]:
    return {"X-Amz-Target": name, "Content-Type": "application/x-amz-json-1.0", "body": json.dumps(parameters)}


@pytest.mark.parametrize(
    ("key", "headers"),
    [
        (OWN, {}),
        (OTHER, {}),
        ("AKIAIOSFODNN7EXAMPLE", {}),
        (OTHER, {"X-Moto-Account-Id": OTHER}),
        (OTHER, {"X_Moto_Account_Id": OTHER}),
        (OTHER, {"X-Lamella-Sandbox": "", "X-Moto-Account-Id": OTHER}),
    ],
)
def test_a_function_acts_for_its_own_account_whatever_it_says(
    server: LamellaServer, ask: Ask, key: str, headers: dict[str, str]
) -> None:
    for account in (OWN, OTHER):
        sqs = server.boto3("sqs", aws_access_key_id=account, aws_secret_access_key="x")
        sqs.create_queue(QueueName=f"of-{account}")
    status, body = ask("/", key=key, **headers, **target("AmazonSQS.ListQueues", QueueNamePrefix="of-"))
    assert status == 200
    assert [url.rpartition("/")[2] for url in json.loads(body)["QueueUrls"]] == [f"of-{OWN}"]


@pytest.mark.parametrize("path", ["/moto-api/reset", "/%6doto-api/reset", "//moto-api/reset", "/latest/meta-data/iam/"])
def test_a_function_does_not_reach_what_is_the_operators(server: LamellaServer, ask: Ask, path: str) -> None:
    server.boto3("sqs").create_queue(QueueName="kept")
    status, _ = ask(path, service="s3")
    assert status in (403, 404, 405)
    assert server.boto3("sqs").list_queues(QueueNamePrefix="kept")["QueueUrls"]


def test_no_container_is_started_for_a_function(ask: Ask) -> None:
    """Its lambda is not reached by another spelling; if it were, it would have no engine."""
    status, body = ask("/2015-03-31/functions", service="LAMBDA", method="GET")
    assert status != 200 or json.loads(body)["Functions"] == []


def test_it_has_no_network(server: LamellaServer) -> None:
    """What functions make it call (subscriptions of SNS, say) cannot be this machine's loopback."""
    server.boto3("sqs").list_queues()
    (child,) = children(server)
    assert Path(f"/proc/{child}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()
    lines = Path(f"/proc/{child}/net/route").read_text().splitlines()
    assert len(lines) <= 1  # a heading, at most


def test_nobody_else_reaches_its_socket(server: LamellaServer) -> None:
    server.boto3("sqs").list_queues()
    assert (server.data / "neighbour").stat().st_mode & 0o077 == 0


def test_functions_of_a_killed_neighbour_are_there(client: Any) -> None:
    """Lambda itself depends on nothing of it."""
    function: Function = create(
        client, {"asks.py": "def handler(e, c): return 1"}, runtime=PYTHON, handler="asks.handler"
    )
    assert function.invoke().document == 1


def test_a_function_and_a_layer_whose_archives_are_in_a_bucket(server: LamellaServer, client: Any) -> None:
    """The layer is larger than may be uploaded directly."""
    s3 = server.boto3("s3")
    s3.create_bucket(Bucket="archives")
    s3.put_bucket_versioning(Bucket="archives", VersioningConfiguration={"Status": "Enabled"})
    code = "import os\ndef handler(e, c): return os.path.getsize('/opt/random')"
    first = s3.put_object(Bucket="archives", Key="code.zip", Body=archive({"f.py": code}))["VersionId"]
    s3.put_object(Bucket="archives", Key="code.zip", Body=b"no zip")
    size = 60 * 1024 * 1024
    s3.upload_fileobj(io.BytesIO(archive({"random": os.urandom(size)})), "archives", "layer.zip")
    layer = client.publish_layer_version(LayerName="large", Content={"S3Bucket": "archives", "S3Key": "layer.zip"})
    client.create_function(
        FunctionName="from-bucket",
        Runtime=PYTHON,
        Handler="f.handler",
        Role="arn:aws:iam::000000000000:role/any",
        Layers=[layer["LayerVersionArn"]],
        Code={"S3Bucket": "archives", "S3Key": "code.zip", "S3ObjectVersion": first},
    )
    wait_active(client, "from-bucket")
    assert Function(client, "from-bucket").invoke().document == size
    for key, text in (("none", "S3 Error Code: NoSuchKey"), ("code.zip", "Could not unzip uploaded file")):
        with pytest.raises(ClientError, match=text):
            client.update_function_code(FunctionName="from-bucket", S3Bucket="archives", S3Key=key)
    assert list((server.data / "downloads").iterdir()) == []


def test_nobodys_pattern_holds_the_others_up(server: LamellaServer) -> None:
    """As a regular expression each of these would take longer than the machine lasts, and hold all threads up."""
    letters = "a" * 76
    events = server.boto3("events", region_name="ap-south-1")
    events.put_rule(Name="patient", EventPattern=json.dumps({"detail-type": [{"wildcard": "*a" * 20 + "*b"}]}))
    entry = {"Source": "tests", "DetailType": letters, "Detail": "{}"}
    assert events.put_events(Entries=[entry])["FailedEntryCount"] == 0
    events.put_rule(Name=letters[:60], EventPattern='{"source": ["none"]}')
    assert events.list_rules(NamePrefix="(a|aa)+-")["Rules"] == []
    assert [rule["Name"] for rule in events.list_rules(NamePrefix="aaa")["Rules"]] == [letters[:60]]
    sqs = server.boto3("sqs", region_name="ap-south-1")
    url = sqs.create_queue(QueueName=letters)["QueueUrl"]
    assert "QueueUrls" not in sqs.list_queues(QueueNamePrefix="(a|aa)+-")
    assert sqs.list_queues(QueueNamePrefix="aaaa")["QueueUrls"] == [url]
