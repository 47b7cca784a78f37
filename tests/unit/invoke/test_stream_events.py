"""Records of streams as events, and what a function says of them."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.pollers import ROLE

from lamella.domain.event_filter import compile_pattern
from lamella.domain.invocation import Outcome
from lamella.domain.mapping import EventSourceMapping
from lamella.domain.stream import StreamRecord
from lamella.invoke.stream_events import (
    LastCall,
    discarded,
    dynamodb_record,
    event,
    kinesis_record,
    verdict,
    wanted,
)
from lamella.lifecycle.stream_batches import Condition, Discard, Failed, Succeeded

STREAM = "arn:aws:kinesis:eu-west-1:111122223333:stream/s"
TABLE = "arn:aws:dynamodb:eu-west-1:111122223333:table/t/stream/2026-11-20T20:01:02.123"
MAPPING = EventSourceMapping(
    uuid="u",
    account="111122223333",
    region="eu-west-1",
    source_arn=STREAM,
    function_arn="arn:aws:lambda:eu-west-1:111122223333:function:f:live",
    batch_size=10,
    window_s=0,
    enabled=True,
    state="Enabled",
    modified_at=0.0,
    on_failure="arn:aws:sqs:eu-west-1:111122223333:lost",
)
ARRIVED = datetime(2026, 11, 20, 20, 1, 2, 123456, tzinfo=UTC)
RAW = {"SequenceNumber": "49", "ApproximateArrivalTimestamp": ARRIVED, "Data": b"hello", "PartitionKey": "k"}
CHANGE = {
    "eventID": "e",
    "eventName": "MODIFY",
    "eventVersion": "1.0",
    "eventSource": "aws:dynamodb",
    "awsRegion": "us-east-1",
    "dynamodb": {
        "ApproximateCreationDateTime": ARRIVED,
        "Keys": {"id": {"S": "1"}},
        "NewImage": {"id": {"S": "1"}, "raw": {"B": b"foobar"}, "set": {"BS": [b"a"]}, "in": {"M": {"b": {"B": b"a"}}}},
        "OldImage": {"id": {"S": "1"}, "n": {"N": "5"}, "is": {"BOOL": True}},
        "SequenceNumber": "100",
        "SizeBytes": 46,
        "StreamViewType": "NEW_AND_OLD_IMAGES",
    },
}


def test_a_record_of_kinesis_is_as_aws_writes_it() -> None:
    """Source: an event of AWS recorded in LocalStack's tests, 11 December 2024; members in that order."""
    made = event([kinesis_record(RAW, "shardId-000000000000", MAPPING)], ROLE)
    expected = {
        "Records": [
            {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": "k",
                    "sequenceNumber": "49",
                    "data": "aGVsbG8=",
                    "approximateArrivalTimestamp": 1795204862.123,
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": "shardId-000000000000:49",
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": ROLE,
                "awsRegion": "eu-west-1",
                "eventSourceARN": STREAM,
            }
        ]
    }
    assert json.dumps(made) == json.dumps(expected)


def test_a_record_of_dynamodb_is_as_aws_writes_it() -> None:
    """Source: an event of AWS recorded in LocalStack's tests, 22 February 2025; members in that order."""
    record = dynamodb_record(CHANGE, replace(MAPPING, source_arn=TABLE))
    expected = {
        "eventID": "e",
        "eventName": "MODIFY",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-west-1",
        "dynamodb": {
            "ApproximateCreationDateTime": 1795204862.0,
            "Keys": {"id": {"S": "1"}},
            "NewImage": {
                "id": {"S": "1"},
                "raw": {"B": "Zm9vYmFy"},
                "set": {"BS": ["YQ=="]},
                "in": {"M": {"b": {"B": "YQ=="}}},
            },
            "OldImage": {"id": {"S": "1"}, "n": {"N": "5"}, "is": {"BOOL": True}},
            "SequenceNumber": "100",
            "SizeBytes": 46,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
        "eventSourceARN": TABLE,
    }
    assert json.dumps(event([record], ROLE)) == json.dumps({"Records": [expected]})
    assert (record.sequence, record.key) == ("100", '{"id": {"S": "1"}}')


def test_a_deletion_by_time_to_live_says_so() -> None:
    identity = {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}
    record = dynamodb_record({**CHANGE, "userIdentity": identity}, MAPPING)
    assert record.event["userIdentity"] == {"principalId": "dynamodb.amazonaws.com", "type": "Service"}


@pytest.mark.parametrize(
    ("data", "pattern", "taken"),
    [
        (b'{"a": 1}', {"data": {"a": [1]}}, True),
        (b'{"a": 2}', {"data": {"a": [1]}}, False),
        (b"plain", {"data": {"a": [1]}}, False),
        (b"plain", {"data": ["plain"]}, True),
        (b"\xff\xfe", {"data": ["plain"]}, False),
        (b'{"a": 1}', {"kinesis": {"partitionKey": ["k"]}}, False),  # filters see the data alone
    ],
)
def test_filters_of_kinesis_look_into_the_data(data: bytes, pattern: Any, taken: bool) -> None:
    record = kinesis_record({**RAW, "Data": data}, "s", MAPPING)
    assert wanted(record, [compile_pattern(json.dumps(pattern))]) is taken
    assert wanted(record, [])


@pytest.mark.parametrize(
    ("pattern", "taken"),
    [
        ({"eventName": ["MODIFY"]}, True),
        ({"eventName": ["REMOVE"]}, False),
        ({"dynamodb": {"OldImage": {"n": {"N": ["5"]}}}}, True),
        ({"dynamodb": {"OldImage": {"n": {"N": [{"numeric": [">", 1]}]}}}}, False),  # numbers are texts there
        ({"dynamodb": {"NewImage": {"n": {"N": [{"exists": False}]}}}}, True),
    ],
)
def test_filters_of_dynamodb_look_at_the_record(pattern: Any, taken: bool) -> None:
    assert wanted(dynamodb_record(CHANGE, MAPPING), [compile_pattern(json.dumps(pattern))]) is taken


def records(*sequences: str) -> Sequence[StreamRecord]:
    return [StreamRecord(one, 1_800_000_000.25 + index, "k", {}, {}) for index, one in enumerate(sequences)]


def items(*identifiers: object) -> str:
    return json.dumps({"batchItemFailures": [{"itemIdentifier": one} for one in identifiers]})


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        # Source: LocalStack's tests of success and failure scenarios, recorded at AWS, October 2024.
        *((text, Succeeded()) for text in ("", "null", '""', "[]", "{}", '{"batchItemFailures": []}', items())),
        ('{"batchItemFailures": null}', Succeeded()),
        (items("c"), Failed(6)),
        (items("c", "b"), Failed(5)),
        *((items(one), Failed()) for one in ("", None, "not-there", 5)),
        (items("b", "not-there"), Failed()),
        *(
            (text, Failed())
            for text in ('"text"', '[{"itemIdentifier": "b"}]', "5", "not JSON", '{"batchItemFailures": "b"}')
        ),
        ('{"batchItemFailures": [{"foo": "b"}]}', Failed()),
        ('{"batchItemFailures": ["b"]}', Failed()),
    ],
)
def test_what_a_function_reports(answer: str, expected: Succeeded | Failed) -> None:
    """The records are the fifth to the seventh of a batch."""
    assert verdict(Outcome(answer.encode()), records("a", "b", "c"), 4, partial=True) == expected


def test_a_report_that_nobody_asked_for_is_a_success_and_an_error_is_one_anyway() -> None:
    assert verdict(Outcome(items("a").encode()), records("a"), 0, partial=False) == Succeeded()
    for partial in (False, True):
        assert verdict(Outcome(b"{}", "Unhandled"), records("a"), 0, partial=partial) == Failed()


CALL = LastCall("r", "$LATEST", ROLE, Outcome(b"{}", "Unhandled"))


def told(mapping: EventSourceMapping, condition: Condition, call: LastCall = CALL) -> dict[str, Any]:
    given_up = Discard(0, 2, condition, 3)
    message = discarded(mapping, "shard", records("a", "b"), given_up, call, 1_800_000_009.5)
    assert (message.target_arn, message.function_arn) == (mapping.on_failure, MAPPING.function_arn)
    assert message.folder == "u/shard"
    document: dict[str, Any] = json.loads(message.body)
    return document


def test_what_a_destination_is_told() -> None:
    """Source: messages of AWS recorded in LocalStack's tests, 12 October 2024."""
    assert told(MAPPING, Condition.RETRIES_EXHAUSTED) == {
        "requestContext": {
            "requestId": "r",
            "functionArn": MAPPING.function_arn,
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 3,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "version": "1.0",
        "timestamp": "2027-01-15T08:00:09.500Z",
        "KinesisBatchInfo": {
            "shardId": "shard",
            "startSequenceNumber": "a",
            "endSequenceNumber": "b",
            "approximateArrivalOfFirstRecord": "2027-01-15T08:00:00.250Z",
            "approximateArrivalOfLastRecord": "2027-01-15T08:00:01.250Z",
            "batchSize": 2,
            "streamArn": STREAM,
        },
    }


def test_a_report_of_failures_is_no_error_of_the_function() -> None:
    document = told(MAPPING, Condition.RETRIES_EXHAUSTED, replace(CALL, outcome=Outcome(b"{}")))
    assert document["responseContext"]["functionError"] is None


def test_of_records_that_were_too_old_no_response_is_told() -> None:
    document = told(MAPPING, Condition.AGE_EXCEEDED)
    assert document["requestContext"]["condition"] == "RecordAgeExceeded"
    assert "responseContext" not in document


def test_times_of_a_table_are_whole_seconds() -> None:
    document = told(replace(MAPPING, source_arn=TABLE), Condition.RETRIES_EXHAUSTED)
    info = document["DDBStreamBatchInfo"]
    assert info["approximateArrivalOfLastRecord"] == "2027-01-15T08:00:01Z"
    assert document["timestamp"] == "2027-01-15T08:00:09.500Z"


def test_a_bucket_gets_the_records_as_well() -> None:
    assert "payload" not in told(MAPPING, Condition.RETRIES_EXHAUSTED)
    document = told(replace(MAPPING, on_failure="arn:aws:s3:::lost"), Condition.RETRIES_EXHAUSTED)
    assert document["payload"] == {"Records": [{}, {}]}
