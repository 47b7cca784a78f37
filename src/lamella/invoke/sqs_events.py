"""Messages of SQS as the function sees them, and what it says of them.

Source: events of AWS recorded in LocalStack's tests, 2023; Lambda developer guide, "Handling errors for an SQS event
source", for partial failures.
"""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from lamella.domain.mapping import EventSourceMapping


def record(message: Mapping[str, Any], mapping: EventSourceMapping) -> dict[str, Any]:
    """One record of the event, from a message as ReceiveMessage has it."""
    made: dict[str, Any] = {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message.get("Body", ""),
        "attributes": dict(message.get("Attributes", {})),
        "messageAttributes": {name: _attribute(value) for name, value in message.get("MessageAttributes", {}).items()},
    }
    digest = message.get("MD5OfMessageAttributes")
    # Where batches are gathered, AWS has the member without a value as well.
    if digest is not None or mapping.window_s:
        made["md5OfMessageAttributes"] = digest
    made["md5OfBody"] = message.get("MD5OfBody", "")
    made["eventSource"] = "aws:sqs"
    made["eventSourceARN"] = mapping.source_arn
    made["awsRegion"] = mapping.region
    return made


def _attribute(value: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if "StringValue" in value:
        made["stringValue"] = value["StringValue"]
    if "BinaryValue" in value:
        binary = value["BinaryValue"]
        # botocore's parser gives bytes; the event has base64.
        made["binaryValue"] = base64.b64encode(binary).decode() if isinstance(binary, bytes) else binary
    return {**made, "stringListValues": [], "binaryListValues": [], "dataType": value["DataType"]}


def wanted(made: Mapping[str, Any], matchers: Sequence[Callable[[Any], bool]]) -> bool:
    """Whether one of the filters matches; a body that is JSON is looked into, another is a text."""
    if not matchers:
        return True
    body = made["body"]
    with suppress(ValueError, RecursionError):
        body = json.loads(body)
    event = {**made, "body": body}
    return any(matches(event) for matches in matchers)


def failures(payload: bytes, sent: frozenset[str]) -> frozenset[str]:
    """Ids of the messages that a function says have failed; all of them if what it says makes no sense.

    Nothing, null and an empty list mean that all went well.
    """
    try:
        answer = json.loads(payload) if payload else None
    except (ValueError, RecursionError):
        return sent
    if answer is None:
        return frozenset()
    if not isinstance(answer, dict):
        return sent
    items = answer.get("batchItemFailures")
    if not items and isinstance(items, list | None):
        return frozenset()
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        return sent
    failed = [item.get("itemIdentifier") for item in items]
    return frozenset(failed) if all(isinstance(one, str) and one in sent for one in failed) else sent
