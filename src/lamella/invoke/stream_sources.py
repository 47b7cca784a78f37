"""Streams of Kinesis and of DynamoDB, with the little in which reading one differs from reading the other."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from lamella.domain.mapping import DYNAMODB, EventSourceMapping
from lamella.domain.stream import AT_TIMESTAMP, TRIM_HORIZON, Shard, StreamRecord
from lamella.invoke.stream_events import dynamodb_record, kinesis_record
from lamella.ports.aws import AwsServices

AFTER: Final = "AFTER_SEQUENCE_NUMBER"


@dataclass(frozen=True, slots=True)
class Position:
    """Where in a shard reading begins.

    Attributes:
        kind: As the services call it.
        sequence: With `AFTER`.
        at_s: With `AT_TIMESTAMP`; seconds since the epoch.
    """

    kind: str
    sequence: str = ""
    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Stream:
    """What a stream is made of now.

    Attributes:
        created: Tells it from one of the same name that was there before or comes later.
        shards: All that are listed, closed ones as well.
    """

    created: str
    shards: tuple[Shard, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """One answer.

    Attributes:
        iterator: For what follows; `None` if the shard is closed and this was the end.
        tip: Whether nothing was behind these records when they were read, as far as the service says so.
    """

    records: list[StreamRecord]
    iterator: str | None
    tip: bool


class StreamSource(Protocol):
    """A stream that is read for a mapping. Everything raises what `AwsServices.call` does.

    Attributes:
        most: Records in one answer.
        idle_s: How long to wait after an answer without any.
    """

    most: int
    idle_s: float

    async def look(self) -> Stream:
        """What it is made of."""

    async def open(self, shard: str, position: Position) -> str:
        """Begin to read; returns an iterator, which is good for five minutes. May begin earlier than asked for."""

    async def read(self, shard: str, iterator: str, most: int) -> Page:
        """What follows."""


def source_of(mapping: EventSourceMapping, aws: AwsServices) -> StreamSource:
    """The stream of a mapping."""
    return DynamodbSource(mapping, aws) if mapping.service == DYNAMODB else KinesisSource(mapping, aws)


class KinesisSource:
    """A data stream.

    Source of the figures: developer guide, "Polling and batching streams"; API reference, GetRecords.
    """

    most = 10_000
    idle_s = 1.0

    def __init__(self, mapping: EventSourceMapping, aws: AwsServices) -> None:
        self._mapping = mapping
        self._aws = aws
        self._stream = {"StreamARN": mapping.source_arn}

    async def look(self) -> Stream:
        """See the protocol."""
        summary = await self._call("DescribeStreamSummary", self._stream)
        shards: list[Shard] = []
        asked: Mapping[str, Any] = self._stream
        while True:
            answer = await self._call("ListShards", asked)
            shards += [_kinesis_shard(shard) for shard in answer["Shards"]]
            if not (token := answer.get("NextToken")):
                break
            asked = {"NextToken": token}
        created = summary["StreamDescriptionSummary"]["StreamCreationTimestamp"]
        return Stream(created.astimezone(UTC).isoformat(), tuple(shards))

    async def open(self, shard: str, position: Position) -> str:
        """See the protocol."""
        asked: dict[str, Any] = {**self._stream, "ShardId": shard, "ShardIteratorType": position.kind}
        if position.kind == AFTER:
            asked["StartingSequenceNumber"] = position.sequence
        if position.kind == AT_TIMESTAMP:
            asked["Timestamp"] = datetime.fromtimestamp(position.at_s, UTC)
        return str((await self._call("GetShardIterator", asked))["ShardIterator"])

    async def read(self, shard: str, iterator: str, most: int) -> Page:
        """See the protocol."""
        asked = {**self._stream, "ShardIterator": iterator, "Limit": min(most, self.most)}
        answer = await self._call("GetRecords", asked)
        records = [kinesis_record(raw, shard, self._mapping) for raw in answer["Records"]]
        return Page(records, answer.get("NextShardIterator"), answer.get("MillisBehindLatest") == 0)

    async def _call(self, operation: str, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        mapping = self._mapping
        return await self._aws.call("kinesis", operation, asked, account=mapping.account, region=mapping.region)


class DynamodbSource:
    """The stream of a table.

    Source of the figures: developer guide, "Polling and batching streams"; API reference, GetRecords.
    """

    most = 1000
    idle_s = 0.25

    def __init__(self, mapping: EventSourceMapping, aws: AwsServices) -> None:
        self._mapping = mapping
        self._aws = aws

    async def look(self) -> Stream:
        """See the protocol."""
        shards: list[Shard] = []
        asked = {"StreamArn": self._mapping.source_arn}
        while True:
            found = (await self._call("DescribeStream", asked))["StreamDescription"]
            shards += [_dynamodb_shard(shard) for shard in found["Shards"]]
            if not (last := found.get("LastEvaluatedShardId")):
                # AWS has the label in the ARN as well; moto answers for any label with the stream that the table has.
                return Stream(found.get("StreamLabel", ""), tuple(shards))
            asked = {**asked, "ExclusiveStartShardId": last}

    async def open(self, shard: str, position: Position) -> str:
        """See the protocol. It cannot begin at a time, so it begins at the beginning then."""
        kind = TRIM_HORIZON if position.kind == AT_TIMESTAMP else position.kind
        asked = {"StreamArn": self._mapping.source_arn, "ShardId": shard, "ShardIteratorType": kind}
        if kind == AFTER:
            asked["SequenceNumber"] = position.sequence
        return str((await self._call("GetShardIterator", asked))["ShardIterator"])

    async def read(self, shard: str, iterator: str, most: int) -> Page:  # noqa: ARG002  # the protocol's; in its records
        """See the protocol."""
        answer = await self._call("GetRecords", {"ShardIterator": iterator, "Limit": min(most, self.most)})
        records = [dynamodb_record(raw, self._mapping) for raw in answer["Records"]]
        return Page(records, answer.get("NextShardIterator"), tip=False)

    async def _call(self, operation: str, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        mapping = self._mapping
        return await self._aws.call("dynamodbstreams", operation, asked, account=mapping.account, region=mapping.region)


def _kinesis_shard(raw: Mapping[str, Any]) -> Shard:
    parents = (raw.get("ParentShardId"), raw.get("AdjacentParentShardId"))
    return Shard(raw["ShardId"], tuple(one for one in parents if one), _closed(raw))


def _dynamodb_shard(raw: Mapping[str, Any]) -> Shard:
    parent = raw.get("ParentShardId")
    return Shard(raw["ShardId"], (parent,) if parent else (), _closed(raw))


def _closed(raw: Mapping[str, Any]) -> bool:
    return bool(raw.get("SequenceNumberRange", {}).get("EndingSequenceNumber"))
