"""How streams are asked for what they have."""

from datetime import UTC, datetime
from typing import Any

import pytest

from lamella.domain.mapping import EventSourceMapping
from lamella.domain.stream import Shard
from lamella.invoke.stream_sources import AFTER, DynamodbSource, KinesisSource, Position, source_of
from lamella.testing.aws import MemoryAws

STREAM = "arn:aws:kinesis:eu-west-1:111122223333:stream/s"
TABLE = "arn:aws:dynamodb:eu-west-1:111122223333:table/t/stream/2026-11-20T20:01:02.123"
NOW = datetime(2026, 11, 20, 20, 1, 2, tzinfo=UTC)
OPEN, CLOSED = ({"StartingSequenceNumber": "1"}, {"StartingSequenceNumber": "1", "EndingSequenceNumber": "2"})


def mapping(arn: str) -> EventSourceMapping:
    return EventSourceMapping(
        uuid="u",
        account="111122223333",
        region="eu-west-1",
        source_arn=arn,
        function_arn="arn:aws:lambda:eu-west-1:111122223333:function:f",
        batch_size=10,
        window_s=0,
        enabled=True,
        state="Enabled",
        modified_at=0.0,
    )


def pages(*answers: dict[str, Any]) -> Any:
    rest = list(answers)
    return lambda _: rest.pop(0)


def description(shards: list[Any], **more: str) -> dict[str, Any]:
    return {"StreamDescription": {"StreamLabel": "2026-11-20", "Shards": shards, **more}}


async def test_all_shards_of_kinesis_are_listed() -> None:
    aws = MemoryAws()
    aws.operations[("kinesis", "DescribeStreamSummary")] = lambda _: {
        "StreamDescriptionSummary": {"StreamCreationTimestamp": NOW}
    }
    joined = {"ShardId": "c", "ParentShardId": "a", "AdjacentParentShardId": "b", "SequenceNumberRange": OPEN}
    aws.operations[("kinesis", "ListShards")] = pages(
        {"Shards": [{"ShardId": "a", "SequenceNumberRange": CLOSED}], "NextToken": "more"}, {"Shards": [joined]}
    )
    stream = await source_of(mapping(STREAM), aws).look()
    assert stream.shards == (Shard("a", closed=True), Shard("c", ("a", "b")))
    assert stream.created == "2026-11-20T20:01:02+00:00"
    assert [call[2] for call in aws.calls] == [{"StreamARN": STREAM}, {"StreamARN": STREAM}, {"NextToken": "more"}]
    assert {call[3:] for call in aws.calls} == {("111122223333", "eu-west-1")}


async def test_all_shards_of_a_table_are_listed() -> None:
    aws = MemoryAws()
    aws.operations[("dynamodbstreams", "DescribeStream")] = pages(
        description([{"ShardId": "a", "SequenceNumberRange": CLOSED}], LastEvaluatedShardId="a"),
        description([{"ShardId": "b", "ParentShardId": "a", "SequenceNumberRange": OPEN}]),
    )
    stream = await source_of(mapping(TABLE), aws).look()
    assert stream.shards == (Shard("a", closed=True), Shard("b", ("a",)))
    assert stream.created == "2026-11-20"
    assert aws.calls[1][2] == {"StreamArn": TABLE, "ExclusiveStartShardId": "a"}


KINESIS = {"StreamARN": STREAM, "ShardId": "a"}
DYNAMODB = {"StreamArn": TABLE, "ShardId": "a"}


@pytest.mark.parametrize(
    ("position", "of_kinesis", "of_dynamodb"),
    [
        (Position("LATEST"), {"ShardIteratorType": "LATEST"}, {"ShardIteratorType": "LATEST"}),
        (
            Position(AFTER, "49"),
            {"ShardIteratorType": AFTER, "StartingSequenceNumber": "49"},
            {"ShardIteratorType": AFTER, "SequenceNumber": "49"},
        ),
        (
            Position("AT_TIMESTAMP", at_s=NOW.timestamp()),
            {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": NOW},
            {"ShardIteratorType": "TRIM_HORIZON"},
        ),
    ],
)
async def test_where_reading_begins(position: Position, of_kinesis: Any, of_dynamodb: Any) -> None:
    aws = MemoryAws()
    for service in ("kinesis", "dynamodbstreams"):
        aws.operations[(service, "GetShardIterator")] = lambda _: {"ShardIterator": "i"}
    assert await KinesisSource(mapping(STREAM), aws).open("a", position) == "i"
    assert await DynamodbSource(mapping(TABLE), aws).open("a", position) == "i"
    assert [call[2] for call in aws.calls] == [{**KINESIS, **of_kinesis}, {**DYNAMODB, **of_dynamodb}]


async def test_records_are_read_page_by_page() -> None:
    aws = MemoryAws()
    raw = {"SequenceNumber": "1", "ApproximateArrivalTimestamp": NOW, "Data": b"", "PartitionKey": "k"}
    aws.operations[("kinesis", "GetRecords")] = pages(
        {"Records": [raw], "NextShardIterator": "j", "MillisBehindLatest": 5},
        {"Records": [], "MillisBehindLatest": 0},
    )
    source = KinesisSource(mapping(STREAM), aws)
    first, last = await source.read("a", "i", 100), await source.read("a", "j", 20_000)
    assert ([one.sequence for one in first.records], first.iterator, first.tip) == (["1"], "j", False)
    assert (last.records, last.iterator, last.tip) == ([], None, True)
    assert [call[2]["Limit"] for call in aws.calls] == [100, 10_000]


async def test_of_a_table_it_is_not_said_whether_more_follows() -> None:
    aws = MemoryAws()
    aws.operations[("dynamodbstreams", "GetRecords")] = lambda _: {"Records": [], "NextShardIterator": "j"}
    page = await DynamodbSource(mapping(TABLE), aws).read("a", "i", 5000)
    assert (page.records, page.iterator, page.tip) == ([], "j", False)
    assert aws.calls[0][2] == {"ShardIterator": "i", "Limit": 1000}
