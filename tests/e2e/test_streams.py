"""Records of Kinesis and DynamoDB streams reach a function: real sandboxes, real clients, and moto for the streams."""

import base64
import json
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from tests.support.functions import create
from tests.support.mapped import Mapping
from tests.support.server import LamellaServer

pytestmark = pytest.mark.sandbox

PYTHON = f"python3.{sys.version_info.minor}"
_CODE = """
import base64
import json

def text(record):
    return base64.b64decode(record["kinesis"]["data"]).decode() if "kinesis" in record else ""

def handler(event, context):
    print("event:" + json.dumps(event))
    records = event["Records"]
    if any("crash" in text(one) for one in records):
        raise RuntimeError("as asked")
    failed = [one["kinesis"]["sequenceNumber"] for one in records if "fail" in text(one)]
    return {"batchItemFailures": [{"itemIdentifier": one} for one in failed]}
"""


class Stream:
    """A Kinesis stream, and what is mapped to it."""

    def __init__(self, server: LamellaServer, *, shards: int = 1, streams: LamellaServer | None = None) -> None:
        self.server = server
        self.kinesis = (streams or server).boto3("kinesis")
        self.name = f"s-{uuid.uuid4().hex[:8]}"
        self.kinesis.create_stream(StreamName=self.name, ShardCount=shards)
        self.arn: str = self.kinesis.describe_stream_summary(StreamName=self.name)["StreamDescriptionSummary"][
            "StreamARN"
        ]

    def put(self, *texts: str, key: str = "k") -> None:
        records = [{"Data": text.encode(), "PartitionKey": key} for text in texts]
        assert self.kinesis.put_records(StreamName=self.name, Records=records)["FailedRecordCount"] == 0

    def map(self, *, code: str = _CODE, **options: Any) -> Mapping:
        client = self.server.boto3()
        function = create(client, {"f.py": code}, runtime=PYTHON, handler="f.handler", Timeout=5, MemorySize=512)
        return Mapping(self.server, client, self.arn, function, **{"StartingPosition": "TRIM_HORIZON", **options})


def texts(event: dict[str, Any]) -> list[str]:
    return [base64.b64decode(one["kinesis"]["data"]).decode() for one in event["Records"]]


def take(events: Iterator[dict[str, Any]], count: int) -> list[list[str]]:
    return [texts(next(events)) for _ in range(count)]


def test_records_of_a_shard_come_in_order_and_as_aws_has_them(server: LamellaServer) -> None:
    stream = Stream(server)
    stream.put(*(str(number) for number in range(10)))
    mapping = stream.map(BatchSize=4)
    events = mapping.events()
    first = next(events)
    assert [texts(first), *take(events, 2)] == [["0", "1", "2", "3"], ["4", "5", "6", "7"], ["8", "9"]]
    record = first["Records"][0]
    arrived = record["kinesis"].pop("approximateArrivalTimestamp")
    assert isinstance(arrived, float)
    assert record == {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": "k",
            "sequenceNumber": "1",
            "data": "MA==",
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": "shardId-000000000000:1",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": "arn:aws:iam::000000000000:role/lambda-role",
        "awsRegion": "us-east-1",
        "eventSourceARN": stream.arn,
    }
    mapping.wait(lambda: mapping.shown()["LastProcessingResult"] == "OK")


def test_latest_is_what_comes_after_the_mapping_is_enabled(server: LamellaServer) -> None:
    stream = Stream(server)
    stream.put("before")
    mapping = stream.map(StartingPosition="LATEST")
    assert mapping.shown()["LastProcessingResult"] == "No records processed"
    stream.put("after")
    assert take(mapping.events(), 1) == [["after"]]


def test_from_a_time_on(server: LamellaServer) -> None:
    stream = Stream(server)
    stream.put("before")
    iterator = stream.kinesis.get_shard_iterator(
        StreamName=stream.name, ShardId="shardId-000000000000", ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    (record,) = stream.kinesis.get_records(ShardIterator=iterator)["Records"]
    moment = record["ApproximateArrivalTimestamp"].timestamp() + 0.001
    stream.put("after")
    mapping = stream.map(StartingPosition="AT_TIMESTAMP", StartingPositionTimestamp=moment)
    assert take(mapping.events(), 1) == [["after"]]


def test_a_batch_is_cut_in_halves_and_what_is_left_goes_to_a_queue(server: LamellaServer) -> None:
    sqs = server.boto3("sqs")
    queue = sqs.create_queue(QueueName=f"lost-{uuid.uuid4().hex[:8]}")["QueueUrl"]
    arn = f"arn:aws:sqs:us-east-1:000000000000:{queue.rpartition('/')[2]}"
    stream = Stream(server)
    stream.put("a", "crash", "c", "d")
    mapping = stream.map(
        BisectBatchOnFunctionError=True, MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": arn}}
    )
    assert take(mapping.events(), 5) == [["a", "crash", "c", "d"], ["a", "crash"], ["a"], ["crash"], ["c", "d"]]
    (message,) = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=10)["Messages"]
    told = json.loads(message["Body"])
    assert told["requestContext"].pop("requestId")
    batch = told["KinesisBatchInfo"]
    assert batch.pop("approximateArrivalOfFirstRecord") == batch.pop("approximateArrivalOfLastRecord")
    assert told.pop("timestamp")
    assert told == {
        "requestContext": {
            "functionArn": f"arn:aws:lambda:us-east-1:000000000000:function:{mapping.function.name}",
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 1,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "version": "1.0",
        "KinesisBatchInfo": {
            "shardId": "shardId-000000000000",
            "startSequenceNumber": "2",
            "endSequenceNumber": "2",
            "batchSize": 1,
            "streamArn": stream.arn,
        },
    }


def test_what_a_function_reports_is_tried_again_from_there(server: LamellaServer) -> None:
    """As AWS was seen to do: with one retry, once with the others, and twice alone."""
    bucket = f"lost-{uuid.uuid4().hex[:8]}"
    s3 = server.boto3("s3")
    s3.create_bucket(Bucket=bucket)
    stream = Stream(server)
    stream.put("a", "b", "fail")
    mapping = stream.map(
        FunctionResponseTypes=["ReportBatchItemFailures"],
        MaximumRetryAttempts=1,
        DestinationConfig={"OnFailure": {"Destination": f"arn:aws:s3:::{bucket}"}},
    )
    events = mapping.events()
    assert take(events, 3) == [["a", "b", "fail"], ["fail"], ["fail"]]
    stream.put("next")
    assert take(events, 1) == [["next"]]
    (found,) = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert found["Key"].startswith(f"aws/lambda/{mapping.id}/shardId-000000000000/")
    told = json.loads(s3.get_object(Bucket=bucket, Key=found["Key"])["Body"].read())
    assert told["requestContext"]["approximateInvokeCount"] == 2
    assert told["responseContext"]["functionError"] is None
    assert texts(told["payload"]) == ["fail"]


def test_a_filter_skips_records_for_good(server: LamellaServer) -> None:
    stream = Stream(server)
    pattern = json.dumps({"data": {"kind": ["order"]}})
    mapping = stream.map(FilterCriteria={"Filters": [{"Pattern": pattern}]})
    stream.put("plain", '{"kind": "visit"}', '{"kind": "order"}')
    assert take(mapping.events(), 1) == [['{"kind": "order"}']]


def test_children_of_shards_are_read_after_them(server: LamellaServer) -> None:
    """A shard is split in two, and these are joined again."""
    stream = Stream(server)
    stream.put("1", "2", "3")
    ids = [f"shardId-00000000000{number}" for number in range(4)]
    stream.kinesis.split_shard(StreamName=stream.name, ShardToSplit=ids[0], NewStartingHashKey=str(2**127))
    for hash_key, text in (("0", "low"), (str(2**127), "high")):
        stream.kinesis.put_record(StreamName=stream.name, Data=text, PartitionKey="k", ExplicitHashKey=hash_key)
    mapping = stream.map(BatchSize=2)
    seen: list[tuple[str, str]] = []
    for event in mapping.events():
        shards = [one["eventID"].partition(":")[0] for one in event["Records"]]
        seen += zip(shards, texts(event), strict=True)
        if len(seen) == 5:  # while the mapping reads the children
            stream.kinesis.merge_shards(StreamName=stream.name, ShardToMerge=ids[1], AdjacentShardToMerge=ids[2])
            stream.put("joined")
        if len(seen) == 6:
            break
    assert seen[:3] == [(ids[0], "1"), (ids[0], "2"), (ids[0], "3")]
    assert sorted(seen[3:5]) == [(ids[1], "low"), (ids[2], "high")]
    assert seen[5] == (ids[3], "joined")


def test_a_server_that_is_killed_loses_no_record(server: LamellaServer) -> None:
    """The stream is elsewhere: with the other server's moto. The server dies while a batch is with the function."""
    with LamellaServer(neighbour=server.url, state_delay_s="0") as other:
        stream = Stream(other, streams=server)
        mapping = stream.map(StartingPosition="LATEST", BatchSize=1)
        stream.put("first", "crash")
        assert take(mapping.events(), 2) == [["first"], ["crash"]]
        other.kill()
        stream.put("while it was dead")
        other.start()
        mapping.client = other.boto3()
        seen: list[str] = []
        for event in mapping.events():
            seen += texts(event)
            if seen[-1] == "while it was dead":
                break
            if seen.count("crash") == 4:  # more than before it was killed: what ran then is run again
                mapping.client.update_event_source_mapping(UUID=mapping.id, MaximumRetryAttempts=0)
        assert seen.count("first") == 1  # it was done, and is not


def test_a_window_is_added_up_and_handed_over_at_its_end(server: LamellaServer) -> None:
    code = """
import json

def handler(event, context):
    print("event:" + json.dumps({**event, "Records": len(event["Records"])}))
    return {"state": {"count": event["state"].get("count", 0) + len(event["Records"])}}
"""
    stream = Stream(server)
    mapping = stream.map(code=code, TumblingWindowInSeconds=1, BatchSize=2)
    stream.put("a", "b", "c")
    seen = added = 0
    for event in mapping.events():
        assert (event["shardId"], event["isWindowTerminatedEarly"]) == ("shardId-000000000000", False)
        seen += event["Records"]
        if event["isFinalInvokeForWindow"]:
            assert event["Records"] == 0
            added += event["state"]["count"]
        if added == 3:  # of one window, or of two if they came just as one ended
            break
        if seen == 3 and event["Records"]:
            end_s = datetime.fromisoformat(event["window"]["end"]).timestamp()
            time.sleep(max(0.0, end_s - time.time()))  # a record of another window is what ends this one
            stream.put("later")
    assert mapping.shown()["TumblingWindowInSeconds"] == 1


def test_a_function_that_is_throttled_is_called_again_and_that_is_no_attempt(server: LamellaServer) -> None:
    stream = Stream(server)
    mapping = stream.map(MaximumRetryAttempts=0)
    name = mapping.function.name
    mapping.client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    stream.put("a")
    mapping.wait(lambda: mapping.shown()["LastProcessingResult"] == "PROBLEM: Function call failed")
    mapping.client.delete_function_concurrency(FunctionName=name)
    assert take(mapping.events(), 1) == [["a"]]
    mapping.wait(lambda: mapping.shown()["LastProcessingResult"] == "OK")


def test_changes_of_a_table_reach_a_function(server: LamellaServer) -> None:
    client, dynamodb = server.boto3(), server.boto3("dynamodb")
    table = f"t-{uuid.uuid4().hex[:8]}"
    arn = dynamodb.create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )["TableDescription"]["LatestStreamArn"]
    function = create(client, {"f.py": _CODE}, runtime=PYTHON, handler="f.handler", Timeout=5, MemorySize=512)
    mapping = Mapping(server, client, arn, function, StartingPosition="LATEST", BatchSize=1)
    key = {"id": {"S": "1"}}
    dynamodb.put_item(TableName=table, Item={**key, "raw": {"B": b"foobar"}})
    dynamodb.update_item(
        TableName=table,
        Key=key,
        UpdateExpression="SET n = :n",
        ExpressionAttributeValues={":n": {"N": "5"}},
    )
    dynamodb.delete_item(TableName=table, Key=key)
    events = mapping.events()
    records = [next(events)["Records"][0] for _ in range(3)]
    raw = {"raw": {"B": "Zm9vYmFy"}}
    images = [(one["eventName"], one["dynamodb"].get("OldImage"), one["dynamodb"].get("NewImage")) for one in records]
    changed = {**key, **raw, "n": {"N": "5"}}
    assert images == [
        ("INSERT", None, {**key, **raw}),
        ("MODIFY", {**key, **raw}, changed),
        ("REMOVE", changed, None),
    ]
    first = records[0]
    assert isinstance(first["dynamodb"].pop("ApproximateCreationDateTime"), float)
    assert first["dynamodb"].keys() == {"Keys", "NewImage", "SequenceNumber", "SizeBytes", "StreamViewType"}
    assert first["dynamodb"]["Keys"] == key
    assert {name: first[name] for name in ("eventVersion", "eventSource", "awsRegion", "eventSourceARN")} == {
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
        "eventSourceARN": arn,
    }
