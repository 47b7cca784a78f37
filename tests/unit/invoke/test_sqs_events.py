"""Messages as records, and what a function says of them."""

import json
from dataclasses import replace
from typing import Any

import pytest

from lamella.domain.event_filter import compile_pattern
from lamella.domain.mapping import EventSourceMapping
from lamella.invoke.sqs_events import failures, record, wanted

MAPPING = EventSourceMapping(
    uuid="u",
    account="111122223333",
    region="eu-west-1",
    source_arn="arn:aws:sqs:eu-west-1:111122223333:q",
    function_arn="arn:aws:lambda:eu-west-1:111122223333:function:f",
    batch_size=10,
    window_s=0,
    enabled=True,
    state="Enabled",
    modified_at=0.0,
)
MESSAGE: dict[str, Any] = {
    "MessageId": "m",
    "ReceiptHandle": "r",
    "Body": '{"a": 1}',
    "MD5OfBody": "d",
    "Attributes": {"ApproximateReceiveCount": "1"},
}
ALL = frozenset({"a", "b"})


def test_a_record_is_as_aws_writes_it() -> None:
    """Source: an event of AWS recorded in LocalStack's tests, 17 March 2023; members in that order."""
    message = {
        **MESSAGE,
        "MessageAttributes": {
            "Title": {"StringValue": "The Whistler", "DataType": "String"},
            "Picture": {"BinaryValue": b"\xff\x00", "DataType": "Binary"},
        },
        "MD5OfMessageAttributes": "e",
    }
    empty: dict[str, Any] = {"stringListValues": [], "binaryListValues": []}
    expected = {
        "messageId": "m",
        "receiptHandle": "r",
        "body": '{"a": 1}',
        "attributes": {"ApproximateReceiveCount": "1"},
        "messageAttributes": {
            "Title": {"stringValue": "The Whistler", **empty, "dataType": "String"},
            "Picture": {"binaryValue": "/wA=", **empty, "dataType": "Binary"},
        },
        "md5OfMessageAttributes": "e",
        "md5OfBody": "d",
        "eventSource": "aws:sqs",
        "eventSourceARN": MAPPING.source_arn,
        "awsRegion": "eu-west-1",
    }
    assert json.dumps(record(message, MAPPING)) == json.dumps(expected)


def test_the_digest_of_no_attributes_is_named_where_batches_are_gathered() -> None:
    assert "md5OfMessageAttributes" not in record(MESSAGE, MAPPING)
    assert record(MESSAGE, replace(MAPPING, window_s=1))["md5OfMessageAttributes"] is None


@pytest.mark.parametrize(
    ("body", "pattern", "expected"),
    [
        ('{"a": 1}', {"body": {"a": [1]}}, True),
        ('{"a": 2}', {"body": {"a": [1]}}, False),
        ("plain", {"body": {"a": [1]}}, False),
        ("plain", {"body": ["plain"]}, True),
        ('{"a": 1}', {"body": ["plain"]}, False),
        ("[" * 100_000, {"body": {"a": [1]}}, False),
        ("plain", {"awsRegion": ["eu-west-1"]}, True),
    ],
)
def test_filters_look_into_bodies(body: str, pattern: Any, expected: bool) -> None:
    made = record({**MESSAGE, "Body": body}, MAPPING)
    assert wanted(made, [compile_pattern(json.dumps(pattern))]) is expected
    assert wanted(made, [])


@pytest.mark.parametrize(
    ("answer", "failed"),
    [
        (b"", frozenset()),
        (b"null", frozenset()),
        (b"{}", frozenset()),
        (b'{"batchItemFailures": null}', frozenset()),
        (b'{"batchItemFailures": []}', frozenset()),
        (b'{"batchItemFailures": [{"itemIdentifier": "a"}]}', frozenset({"a"})),
        (b'{"batchItemFailures": [{"itemIdentifier": "c"}]}', ALL),
        (b'{"batchItemFailures": [{"itemIdentifier": ""}]}', ALL),
        (b'{"batchItemFailures": [{"itemIdentifier": null}]}', ALL),
        (b'{"batchItemFailures": [{"itemIdentifier": {}}]}', ALL),
        (b'{"batchItemFailures": [{"wrong": "a"}]}', ALL),
        (b'{"batchItemFailures": ["a"]}', ALL),
        (b'{"batchItemFailures": "a"}', ALL),
        (b'{"batchItemFailures": ""}', ALL),
        (b'"text"', ALL),
        (b"no JSON", ALL),
        (b"[" * 100_000, ALL),
    ],
)
def test_what_a_function_says_has_failed(answer: bytes, failed: frozenset[str]) -> None:
    assert failures(answer, ALL) == failed
