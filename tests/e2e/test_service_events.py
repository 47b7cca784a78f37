"""What happens in other services reaches functions: moto's services, the real client, real sandboxes."""

import base64
import gzip
import json
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.support.functions import Function, bash
from tests.support.server import LamellaServer
from tests.support.services import REGION, Account

pytestmark = pytest.mark.sandbox

OWN, OTHER = "111122223333", "444455556666"


@pytest.fixture(scope="module")
def quick() -> Iterator[LamellaServer]:
    """A server whose functions are ready at once, and whose retries do not wait for minutes."""
    with LamellaServer(state_delay_s="0", async_retry_scale="0.002", drain_timeout_s="1") as running:
        yield running


@pytest.fixture(scope="module")
def own(quick: LamellaServer) -> Account:
    return Account(quick, OWN)


def test_an_object_reaches_a_function_which_reads_it(own: Account) -> None:
    script = """while true; do next
        key=$(sed 's/.*"object":{"key":"\\([^"]*\\)".*/\\1/' <<< "$BODY")
        echo "READ $(curl -sS "$AWS_ENDPOINT_URL/BUCKET/$key")"
        echo "GOT $BODY"; respond 1 >/dev/null
    done\n"""
    with own.bucket() as bucket:
        function = bash(own.functions, script.replace("BUCKET", bucket))
        own.permit(function, "s3.amazonaws.com", SourceArn=f"arn:aws:s3:::{bucket}", SourceAccount=OWN)
        own.notify(bucket, own.arn(function), "s3:ObjectCreated:*", rules={"prefix": "in/", "suffix": ".txt"})
        s3 = own("s3")
        s3.put_object(Bucket=bucket, Key="out/a.txt", Body=b"not this")
        s3.put_object(Bucket=bucket, Key="in/a.bin", Body=b"nor this")
        s3.put_object(Bucket=bucket, Key="in/a.txt", Body=b"contents", ACL="public-read")
        record = next(own.got(function))["Records"][0]
        assert "READ contents" in "".join(_lines(own, function))
    assert (record["eventName"], record["s3"]["object"]["key"]) == ("ObjectCreated:Put", "in/a.txt")
    assert record["s3"]["bucket"]["name"] == bucket


def _lines(account: Account, function: Function) -> Iterator[str]:
    address = f"{account.server.url}/_lamella/logs/{function.name}?account={account.number}"
    with urllib.request.urlopen(address, timeout=60) as lines:
        yield from (line.decode() for line in lines)


def test_each_kind_of_event_is_told_as_aws_tells_it(own: Account) -> None:
    with own.bucket() as bucket:
        function = own.function()
        own.permit(function, "s3.amazonaws.com")
        s3 = own("s3")
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        own.notify(
            bucket,
            own.arn(function),
            "s3:ObjectCreated:*",
            "s3:ObjectRemoved:*",
            "s3:ObjectTagging:*",
            "s3:ObjectAcl:Put",
        )
        put = s3.put_object(Bucket=bucket, Key="a b/ü+.txt", Body=b"12345", Tagging="k=v", ACL="public-read")
        s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "a b/ü+.txt"})
        upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
        part = s3.upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=1, Body=b"p")
        parts = {"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
        s3.complete_multipart_upload(Bucket=bucket, Key="parts", UploadId=upload, MultipartUpload=parts)
        s3.put_object_tagging(Bucket=bucket, Key="copy", Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
        s3.delete_object(Bucket=bucket, Key="copy")
        s3.delete_object(Bucket=bucket, Key="is not there")
        events = own.got(function)
        found = {record["eventName"]: record for record in (next(events)["Records"][0] for _ in range(5))}
    created = found["ObjectCreated:Put"]
    assert created["eventVersion"] == "2.1"
    assert created["s3"]["object"]["key"] == "a+b/%C3%BC%2B.txt"
    assert created["s3"]["object"]["size"] == 5
    assert created["s3"]["object"]["versionId"] == put["VersionId"]
    assert created["s3"]["object"]["eTag"] == put["ETag"].strip('"')
    assert created["s3"]["bucket"]["ownerIdentity"]["principalId"]
    assert created["s3"]["configurationId"] == "test"
    assert set(created["responseElements"]) == {"x-amz-request-id", "x-amz-id-2"}
    assert "ObjectCreated:Copy" in found
    assert found["ObjectCreated:CompleteMultipartUpload"]["s3"]["object"]["size"] == 1
    assert found["ObjectTagging:Put"]["eventVersion"] == "2.3"
    assert set(found["ObjectTagging:Put"]["s3"]["object"]) == {"key", "eTag", "versionId"}
    assert "size" not in found["ObjectRemoved:DeleteMarkerCreated"]["s3"]["object"]


def test_who_may_not_be_invoked_is_no_destination(own: Account) -> None:
    with own.bucket() as bucket:
        function = own.function()
        arn = own.arn(function)

        def refused() -> Any:
            with pytest.raises(ClientError, match="Unable to validate the following destination") as caught:
                own.notify(bucket, arn, "s3:ObjectCreated:*")
            return caught.value.response["Error"]

        error = refused()
        assert error["Code"] == "InvalidArgument"
        assert error["ArgumentName1"] == f"{arn}, null"
        assert error["ArgumentValue1"] == f"Not authorized to invoke function [{arn}]"
        own.permit(function, "s3.amazonaws.com", SourceArn="arn:aws:s3:::another")
        refused()
        own.functions.remove_permission(FunctionName=function.name, StatementId="permit")
        own.permit(function, "s3.amazonaws.com", SourceAccount=OTHER)
        refused()
        own.functions.remove_permission(FunctionName=function.name, StatementId="permit")
        own.permit(function, "sns.amazonaws.com")
        refused()
        own.notify(bucket, arn, "s3:ObjectCreated:*", SkipDestinationValidation=True)
        own.functions.remove_permission(FunctionName=function.name, StatementId="permit")
        # Refused, permitted, refused again: what came meanwhile is in the log and nowhere else.
        s3 = own("s3")
        s3.put_object(Bucket=bucket, Key="before", Body=b"")
        own.permit(function, "s3.amazonaws.com", SourceArn=f"arn:aws:s3:::{bucket}")
        s3.put_object(Bucket=bucket, Key="permitted", Body=b"")
        own.functions.remove_permission(FunctionName=function.name, StatementId="permit")
        s3.put_object(Bucket=bucket, Key="after", Body=b"")
        own.permit(function, "s3.amazonaws.com")
        s3.put_object(Bucket=bucket, Key="again", Body=b"")
        events = own.got(function)
        keys = {next(events)["Records"][0]["s3"]["object"]["key"] for _ in range(2)}
        assert keys == {"permitted", "again"}
    lost = [line for line in own.server.log.splitlines() if f"an event of arn:aws:s3:::{bucket} is lost" in line]
    assert len(lost) == 2
    assert all("no resource-based policy allows it" in line for line in lost)


def test_the_cli_sets_it_up_as_the_page_says(own: Account) -> None:
    function, server = own.function(), own.server
    keys = {"AWS_ACCESS_KEY_ID": OWN}
    wanted = {
        "LambdaFunctionConfigurations": [{"LambdaFunctionArn": own.arn(function), "Events": ["s3:ObjectCreated:*"]}]
    }
    with own.bucket() as bucket:
        notify = ("s3api", "put-bucket-notification-configuration", "--bucket", bucket)
        configure = (*notify, "--notification-configuration", json.dumps(wanted))
        refused = server.aws(*configure, check=False, **keys)
        assert "(InvalidArgument) when calling the PutBucketNotificationConfiguration operation" in refused.stderr
        permit = ("lambda", "add-permission", "--function-name", function.name, "--statement-id", "uploads")
        action = ("--action", "lambda:InvokeFunction", "--principal", "s3.amazonaws.com")
        server.aws(*permit, *action, "--source-arn", f"arn:aws:s3:::{bucket}", **keys)
        server.aws(*configure, **keys)
        file = server.data / "home" / "in.txt"
        file.write_text("contents")
        server.aws("s3", "cp", file, f"s3://{bucket}/in/", **keys)
        record = next(own.got(function))["Records"][0]
    assert record["s3"]["object"]["key"] == "in/in.txt"


def test_a_bucket_of_another_account_is_let_in_by_its_account(quick: LamellaServer, own: Account) -> None:
    other = Account(quick, OTHER)
    function = own.function()
    with other.bucket() as bucket:
        own.permit(function, "s3.amazonaws.com", SourceAccount=OWN)
        with pytest.raises(ClientError, match="Unable to validate"):
            other.notify(bucket, own.arn(function), "s3:ObjectCreated:*")
        own.functions.remove_permission(FunctionName=function.name, StatementId="permit")
        own.permit(function, "s3.amazonaws.com", SourceAccount=OTHER)
        other.notify(bucket, own.arn(function), "s3:ObjectCreated:*")
        other("s3").put_object(Bucket=bucket, Key="k", Body=b"")
        assert next(own.got(function))["Records"][0]["s3"]["bucket"]["name"] == bucket


def test_a_message_of_a_topic(own: Account) -> None:
    function = own.function()
    sns = own("sns")
    topic = sns.create_topic(Name=f"t-{function.name}")["TopicArn"]
    wanted = {"FilterPolicy": json.dumps({"kind": ["wanted"]})}
    subscription = sns.subscribe(
        TopicArn=topic, Protocol="lambda", Endpoint=own.arn(function), Attributes=wanted, ReturnSubscriptionArn=True
    )["SubscriptionArn"]
    own.permit(function, "sns.amazonaws.com", SourceArn=topic)

    def publish(kind: str, **more: Any) -> str:
        attributes = {
            "kind": {"DataType": "String", "StringValue": kind},
            "number": {"DataType": "Number", "StringValue": "7"},
            "bytes": {"DataType": "Binary", "BinaryValue": b"\0\1"},
        }
        identifier: str = sns.publish(TopicArn=topic, Message="hello", MessageAttributes=attributes, **more)[
            "MessageId"
        ]
        return identifier

    publish("other")
    first, second = publish("wanted"), publish("wanted", Subject="about")
    events = own.got(function)
    records = {record["Sns"]["MessageId"]: record for record in (next(events)["Records"][0] for _ in range(2))}
    record = records[first]
    assert (record["EventSource"], record["EventVersion"]) == ("aws:sns", "1.0")
    assert record["EventSubscriptionArn"] == subscription
    message = record["Sns"]
    assert (message["Type"], message["TopicArn"], message["Message"]) == ("Notification", topic, "hello")
    assert message["Subject"] is None
    assert message["MessageAttributes"] == {
        "kind": {"Type": "String", "Value": "wanted"},
        "number": {"Type": "Number", "Value": "7"},
        "bytes": {"Type": "Binary", "Value": "AAE="},
    }
    assert message["UnsubscribeUrl"].endswith(f"SubscriptionArn={subscription}")
    assert {"Timestamp", "SignatureVersion", "Signature", "SigningCertUrl"} <= set(message)
    assert records[second]["Sns"]["Subject"] == "about"


def test_an_event_that_a_rule_looks_for(own: Account) -> None:
    function, events = own.function(), own("events")
    rule = events.put_rule(Name=f"r-{function.name}", EventPattern=json.dumps({"source": [f"test.{function.name}"]}))
    chosen = {"InputPathsMap": {"n": "$.detail.n", "s": "$.source"}, "InputTemplate": '{"text": "n=<n>", "s": <s>}'}
    events.put_targets(
        Rule=f"r-{function.name}",
        Targets=[
            {"Id": "missing", "Arn": own.arn(function, "-is-missing")},
            {"Id": "all", "Arn": own.arn(function)},
            {"Id": "constant", "Arn": own.arn(function), "Input": '{"constant": true}'},
            {"Id": "path", "Arn": own.arn(function), "InputPath": "$.detail"},
            {"Id": "made", "Arn": own.arn(function), "InputTransformer": chosen},
        ],
    )
    own.permit(function, "events.amazonaws.com", SourceArn=rule["RuleArn"])
    entry = {"Source": f"test.{function.name}", "DetailType": "tested", "Detail": '{"n": 1}', "Resources": ["arn:a"]}
    put = events.put_events(Entries=[{**entry, "Source": "another"}, entry])
    assert put["FailedEntryCount"] == 0
    stream = own.got(function)
    found = [next(stream) for _ in range(4)]
    for smaller in ({"constant": True}, {"n": 1}, {"text": "n=1", "s": f"test.{function.name}"}):
        found.remove(smaller)
    (whole,) = found
    assert whole.pop("time").endswith("Z")
    assert whole == {
        "version": "0",
        "id": put["Entries"][1]["EventId"],
        "detail-type": "tested",
        "source": f"test.{function.name}",
        "account": OWN,
        "region": REGION,
        "resources": ["arn:a"],
        "detail": {"n": 1},
    }
    assert f"Function not found: {own.arn(function, '-is-missing')}" in own.server.log


def test_an_object_is_told_to_rules_as_well(own: Account) -> None:
    function, events = own.function(), own("events")
    own.permit(function, "events.amazonaws.com", SourceAccount=OWN)
    with own.bucket() as bucket:
        pattern = {"source": ["aws.s3"], "detail-type": ["Object Created"], "detail": {"bucket": {"name": [bucket]}}}
        events.put_rule(Name=f"r-{function.name}", EventPattern=json.dumps(pattern))
        events.put_targets(Rule=f"r-{function.name}", Targets=[{"Id": "1", "Arn": own.arn(function)}])
        own("s3").put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}}
        )
        etag = own("s3").put_object(Bucket=bucket, Key="a b", Body=b"1234")["ETag"].strip('"')
        detail = next(own.got(function))["detail"]
    assert detail["reason"] == "PutObject"
    assert detail["object"].pop("sequencer")
    assert detail["object"] == {"key": "a b", "size": 4, "etag": etag}


def test_lines_of_a_log_group(own: Account) -> None:
    function, logs = own.function(), own("logs")
    group = f"/test/{function.name}"
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    wanted = {"logGroupName": group, "filterName": "f", "filterPattern": "ERROR", "destinationArn": own.arn(function)}
    with pytest.raises(ClientError, match="Make sure you have given CloudWatch Logs permission"):
        logs.put_subscription_filter(**wanted)
    source = f"arn:aws:logs:{REGION}:{OWN}:log-group:{group}:*"
    own.permit(function, f"logs.{REGION}.amazonaws.com", SourceArn=source, SourceAccount=OWN)
    logs.put_subscription_filter(**wanted)
    now = int(time.time() * 1000)
    lines = [{"timestamp": now, "message": "all is well"}, {"timestamp": now + 1, "message": "an ERROR: it broke"}]
    logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=lines)
    event = next(own.got(function))
    told = json.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"])))
    (line,) = told.pop("logEvents")
    assert told == {
        "messageType": "DATA_MESSAGE",
        "owner": OWN,
        "logGroup": group,
        "logStream": "s",
        "subscriptionFilters": ["f"],
    }
    assert (len(line["id"]), line["timestamp"], line["message"]) == (56, now + 1, "an ERROR: it broke")


def test_a_secret_is_rotated(own: Account) -> None:
    function, secrets = own.function(), own("secretsmanager")
    arn = secrets.create_secret(Name=f"s-{function.name}", SecretString="old")["ARN"]
    rotate = {"SecretId": arn, "RotationLambdaARN": own.arn(function), "RotationRules": {"AutomaticallyAfterDays": 1}}
    with pytest.raises(ClientError, match="Secrets Manager cannot invoke the specified Lambda function"):
        secrets.rotate_secret(**rotate)
    own.permit(function, "secretsmanager.amazonaws.com", SourceArn=arn)
    token = secrets.rotate_secret(**rotate)["VersionId"]
    events = own.got(function)
    told = [next(events) for _ in range(4)]
    assert [event["Step"] for event in told] == ["createSecret", "setSecret", "testSecret", "finishSecret"]
    assert all((event["SecretId"], event["ClientRequestToken"]) == (arn, token) for event in told)


def test_a_receipt_rule_names_a_function_that_may_be_invoked(own: Account) -> None:
    function, ses = own.function(), own("ses")
    ses.create_receipt_rule_set(RuleSetName=function.name)
    rule = {"Name": "r", "Actions": [{"LambdaAction": {"FunctionArn": own.arn(function)}}]}
    with pytest.raises(ClientError, match="InvalidLambdaFunction"):
        ses.create_receipt_rule(RuleSetName=function.name, Rule=rule)
    own.permit(function, "ses.amazonaws.com", SourceAccount=OWN)
    ses.create_receipt_rule(RuleSetName=function.name, Rule=rule)


def test_a_task_of_a_state_machine(own: Account) -> None:
    function, steps = own.function(), own("stepfunctions")
    role = f"arn:aws:iam::{OWN}:role/steps"
    queue = own("sqs").create_queue(QueueName=f"q-{function.name}")["QueueUrl"]
    definition = {
        "StartAt": "Run",
        "States": {
            "Run": {
                "Type": "Task",
                "Resource": "arn:aws:states:::lambda:invoke",
                "Parameters": {"FunctionName": own.arn(function), "Payload": {"from": "steps"}},
                "ResultPath": "$.answer",
                "Next": "Plain",
            },
            "Plain": {"Type": "Task", "Resource": own.arn(function), "ResultPath": "$.plain", "Next": "Send"},
            "Send": {
                "Type": "Task",
                "Resource": "arn:aws:states:::sqs:sendMessage",
                "Parameters": {"QueueUrl": queue, "MessageBody": "done"},
                "ResultPath": "$.sent",
                "End": True,
            },
        },
    }
    machine = steps.create_state_machine(name=f"m-{function.name}", definition=json.dumps(definition), roleArn=role)
    run = steps.start_execution(stateMachineArn=machine["stateMachineArn"], input="{}")["executionArn"]
    message = own("sqs").receive_message(QueueUrl=queue, WaitTimeSeconds=20)["Messages"][0]
    assert message["Body"] == "done"
    found = json.loads(_ended(steps, run)["output"])
    assert found["answer"]["Payload"] == {"from": "steps"}
    assert found["plain"]["answer"]["StatusCode"] == 200


def test_a_state_machine_acts_for_its_own_account_whatever_its_roles_say(own: Account) -> None:
    """Else whoever can make one could do in any account whatever that can do itself."""
    function, steps = own.function(), Account(own.server, OTHER)("stepfunctions")
    theirs, mine = f"arn:aws:iam::{OWN}:role/steps", f"arn:aws:iam::{OTHER}:role/steps"
    invoke = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": own.arn(function)},
        "End": True,
    }
    plain = json.dumps({"StartAt": "Run", "States": {"Run": invoke}})
    with pytest.raises(ClientError, match="Cross-account pass role is not allowed"):
        steps.create_state_machine(name=f"a-{function.name}", definition=plain, roleArn=theirs)
    arn = steps.create_state_machine(name=f"b-{function.name}", definition=plain, roleArn=mine)["stateMachineArn"]
    with pytest.raises(ClientError, match="Cross-account pass role is not allowed"):
        steps.update_state_machine(stateMachineArn=arn, roleArn=theirs)
    taken = {"StartAt": "Run", "States": {"Run": {**invoke, "Credentials": {"RoleArn": theirs}}}}
    steps.update_state_machine(stateMachineArn=arn, definition=json.dumps(taken))
    run = steps.start_execution(stateMachineArn=arn, input="{}")["executionArn"]
    assert _ended(steps, run, "FAILED")["status"] == "FAILED"
    own.functions.invoke(FunctionName=function.name, Payload=b'"mine"')
    assert next(own.got(function)) == "mine"


def test_what_leads_back_to_itself_goes_round_once(own: Account) -> None:
    """Twice over, so that it would be more each time."""
    function, events, logs = own.function(), own("events"), own("logs")
    bus = events.create_event_bus(Name=f"bus-{function.name}")["EventBusArn"]
    pattern = json.dumps({"source": ["round"]})
    for name in ("one", "two"):
        events.put_rule(Name=name, EventBusName=bus, EventPattern=pattern)
        events.put_targets(Rule=name, EventBusName=bus, Targets=[{"Id": "a", "Arn": bus}])
    rule = events.put_rule(Name="told", EventBusName=bus, EventPattern=pattern)["RuleArn"]
    own.permit(function, "events.amazonaws.com", SourceArn=rule)
    events.put_targets(Rule="told", EventBusName=bus, Targets=[{"Id": "a", "Arn": own.arn(function)}])
    entry = {"Source": "round", "DetailType": "d", "Detail": "{}", "EventBusName": bus}
    assert events.put_events(Entries=[entry])["FailedEntryCount"] == 0
    told = own.got(function)
    assert [next(told)["source"] for _ in range(3)] == ["round"] * 3
    group, stream = f"g-{function.name}", {"logGroupName": f"g-{function.name}", "logStreamName": "s"}
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(**stream)
    arn = f"arn:aws:logs:{REGION}:{OWN}:log-group:{group}:*"
    for name in ("one", "two"):
        logs.put_subscription_filter(logGroupName=group, filterName=name, filterPattern="", destinationArn=arn)
    logs.put_log_events(**stream, logEvents=[{"timestamp": int(time.time() * 1000), "message": "m"}])
    assert len(logs.get_log_events(**stream)["events"]) == 3


def _ended(steps: Any, run: str, status: str = "SUCCEEDED") -> Any:
    while (described := steps.describe_execution(executionArn=run))["status"] == "RUNNING":
        pass
    assert described["status"] == status, described
    return described
