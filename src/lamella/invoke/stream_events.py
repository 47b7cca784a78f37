"""Records of streams as the function sees them, what it says of them, and what a destination is told.

Source: events and messages of AWS recorded in LocalStack's tests, 2024 and 2025; developer guide, "Configuring partial
batch response with Kinesis Data Streams" and "Retain discarded batch records for a Kinesis Data Streams event source".
"""

import base64
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import NAMESPACE_OID, uuid5

from lamella.domain.event_filter import Matcher
from lamella.domain.invocation import Outcome
from lamella.domain.mapping import DYNAMODB, EventSourceMapping
from lamella.domain.names import FunctionReference
from lamella.domain.stream import StreamRecord
from lamella.invoke.callee import dump
from lamella.invoke.envelope import timestamp
from lamella.lifecycle.stream_batches import Condition, Discard, Failed, Succeeded
from lamella.lifecycle.windows import Windows
from lamella.ports.destinations import Message

_IDENTITY: Final = "invokeIdentityArn"


def kinesis_record(raw: Mapping[str, Any], shard: str, mapping: EventSourceMapping) -> StreamRecord:
    """From a record as Kinesis' GetRecords has it, by botocore. The role follows with `event`."""
    arrived_s = raw["ApproximateArrivalTimestamp"].timestamp()
    data: bytes = raw["Data"]
    event = {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": raw["PartitionKey"],
            "sequenceNumber": raw["SequenceNumber"],
            "data": base64.b64encode(data).decode(),
            "approximateArrivalTimestamp": round(arrived_s, 3),
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{shard}:{raw['SequenceNumber']}",
        "eventName": "aws:kinesis:record",
        _IDENTITY: "",
        "awsRegion": mapping.region,
        "eventSourceARN": mapping.source_arn,
    }
    return StreamRecord(raw["SequenceNumber"], arrived_s, raw["PartitionKey"], event, {"data": _content(data)})


def dynamodb_record(raw: Mapping[str, Any], mapping: EventSourceMapping) -> StreamRecord:
    """From a record as DynamoDB Streams' GetRecords has it, by botocore."""
    change: Mapping[str, Any] = raw["dynamodb"]
    arrived_s = change["ApproximateCreationDateTime"].timestamp()
    keys = _plain(change["Keys"])
    shown: dict[str, Any] = {"ApproximateCreationDateTime": float(int(arrived_s)), "Keys": keys}
    shown |= {name: _plain(change[name]) for name in ("NewImage", "OldImage") if name in change}
    shown |= {name: change[name] for name in ("SequenceNumber", "SizeBytes", "StreamViewType")}
    event: dict[str, Any] = {
        "eventID": raw["eventID"],
        "eventName": raw["eventName"],
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": mapping.region,
        "dynamodb": shown,
        "eventSourceARN": mapping.source_arn,
    }
    if identity := raw.get("userIdentity"):  # of deletions by time to live
        event["userIdentity"] = {"principalId": identity["PrincipalId"], "type": identity["Type"]}
    return StreamRecord(change["SequenceNumber"], arrived_s, json.dumps(keys, sort_keys=True), event, event)


def event(records: Sequence[StreamRecord], role: str) -> dict[str, Any]:
    """What the function gets, whose role this is."""
    identity = {_IDENTITY: role}
    return {"Records": [{**one.event, **(identity if _IDENTITY in one.event else {})} for one in records]}


def window_event(
    records: Sequence[StreamRecord], role: str, windows: Windows, place: tuple[str, str], *, final: bool
) -> dict[str, Any]:
    """What the function gets of a window.

    Args:
        records: Those of one batch; none if the window is over, or ended early.
        role: Of the function.
        windows: With the open one.
        place: Shard and stream.
        final: Whether the function sees the state for the last time.
    """
    assert windows.start_s is not None
    return {
        **event(records, role),
        "window": {"start": _seconds(windows.start_s), "end": _seconds(windows.end_s)},
        "state": windows.state,
        "shardId": place[0],
        "eventSourceARN": place[1],
        "isFinalInvokeForWindow": final and not windows.early,
        "isWindowTerminatedEarly": final and windows.early,
    }


def state_of(outcome: Outcome) -> tuple[Any, int] | None:
    """The state that a function has returned, and its size; `None` if it has not, which is an error of it."""
    try:
        answer = json.loads(outcome.payload, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None
    if outcome.function_error is not None or not isinstance(answer, dict) or answer.get("state") is None:
        return None
    return answer["state"], len(dump(answer["state"]))


def size_bytes(record: StreamRecord, role: str) -> int:
    """Of a record in an event, with the comma behind it."""
    return len(dump(record.event)) + 1 + (len(role) if _IDENTITY in record.event else 0)


def wanted(record: StreamRecord, matchers: Sequence[Matcher]) -> bool:
    """Whether one of the filters matches, if there are any."""
    return not matchers or any(matches(record.filtered) for matches in matchers)


def verdict(outcome: Outcome, records: Sequence[StreamRecord], first: int, *, partial: bool) -> Succeeded | Failed:
    """What came of a call.

    Args:
        outcome: Of the call.
        records: What the function got.
        first: Index of the first of them in the batch.
        partial: Whether the function says which records have failed.
    """
    if outcome.function_error is not None:
        return Failed()
    if not partial:
        return Succeeded()
    try:
        answer = json.loads(outcome.payload) if outcome.payload else None
    except (ValueError, RecursionError):
        return Failed()
    if answer in (None, "", []):
        return Succeeded()
    items = answer.get("batchItemFailures") if isinstance(answer, dict) else answer
    if items in (None, []):
        return Succeeded()
    if not isinstance(answer, dict) or not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        return Failed()
    places = {one.sequence: first + index for index, one in enumerate(records)}
    failed = [item.get("itemIdentifier") for item in items]
    if not all(isinstance(one, str) and one in places for one in failed):
        return Failed()
    return Failed(min(places[one] for one in failed))


@dataclass(frozen=True, slots=True)
class LastCall:
    """The last call with a batch's records, or what would have been one.

    Attributes:
        version: Number of the version, or `$LATEST`.
        outcome: `None` if the function never saw them.
    """

    request_id: str
    version: str
    role: str
    outcome: Outcome | None


def discarded(
    mapping: EventSourceMapping,
    shard: str,
    records: Sequence[StreamRecord],
    given_up: Discard,
    call: LastCall,
    when_s: float,
) -> Message:
    """What the destination is told of records that are given up; a bucket gets the records as well."""
    told: dict[str, Any] = {
        "requestContext": {
            "requestId": call.request_id,
            "functionArn": mapping.function_arn,
            "condition": given_up.condition,
            "approximateInvokeCount": given_up.attempts,
        }
    }
    if given_up.condition is Condition.RETRIES_EXHAUSTED:
        error = None if call.outcome is None else call.outcome.function_error
        told["responseContext"] = {"statusCode": 200, "executedVersion": call.version, "functionError": error}
    is_table = mapping.service == DYNAMODB
    time = _seconds if is_table else timestamp
    told |= {
        "version": "1.0",
        "timestamp": timestamp(when_s),
        "DDBStreamBatchInfo" if is_table else "KinesisBatchInfo": {
            "shardId": shard,
            "startSequenceNumber": records[0].sequence,
            "endSequenceNumber": records[-1].sequence,
            "approximateArrivalOfFirstRecord": time(records[0].arrived_s),
            "approximateArrivalOfLastRecord": time(records[-1].arrived_s),
            "batchSize": len(records),
            "streamArn": mapping.source_arn,
        },
    }
    if mapping.on_failure.split(":")[2] == "s3":
        told["payload"] = event(records, call.role)
    # Two objects of one second are told apart by this; the same records have the same one, should they be told twice.
    name = f"{mapping.uuid}/{shard}/{records[0].sequence}/{records[-1].sequence}"
    return Message(
        key=FunctionReference.parse(mapping.function_arn, account=mapping.account, region=mapping.region).key,
        function_arn=mapping.function_arn,
        target_arn=mapping.on_failure,
        body=dump(told),
        succeeded=False,
        request_id=str(uuid5(NAMESPACE_OID, name)),
        when_s=when_s,
        folder=f"{mapping.uuid}/{shard}",
    )


def _no_number(name: str) -> Any:
    """NaN and Infinity, which Python reads: a state is kept in a database that may take JSON at its word."""
    raise ValueError(name)


def _content(data: bytes) -> Any:  # Any: JSON
    """JSON is looked into, anything else is a text."""
    with suppress(ValueError, RecursionError):
        return json.loads(data)
    return data.decode(errors="replace")


def _plain(value: Any) -> Any:
    """Attribute values with binary ones in base64, as the wire has them: botocore's parser gives bytes."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def _seconds(when_s: float) -> str:
    return f"{datetime.fromtimestamp(int(when_s), UTC):%Y-%m-%dT%H:%M:%SZ}"
