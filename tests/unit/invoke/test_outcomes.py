"""What destinations and dead-letter queues are told."""

import json
from dataclasses import replace

import pytest

from lamella.domain.event import AcceptedEvent, Condition, EventRecord, Progress, Response, Stage, Target
from lamella.domain.function import FunctionKey
from lamella.invoke.outcomes import error_message, invocation_record, message

KEY = FunctionKey("123456789012", "us-east-1", "f")
EVENT = AcceptedEvent("e4b46cbf-b738-4c5a-8880-a18cdf61200e", KEY, None, 1_573_755_365.0, b' {"n": 1e400, "a": [1]} ')
FAILED = Progress(
    accepted_s=EVENT.accepted_s,
    due_s=0.0,
    stage=Stage.DELIVERING,
    attempts=3,
    condition=Condition.RETRIES_EXHAUSTED,
    decided_s=1_573_755_365.568,
)
ERROR = Response(b'{"errorMessage": "it broke", "errorType": "E"}', "Unhandled", "$LATEST")
DLQ = Target("arn:aws:sqs:us-east-1:123456789012:dlq", dead_letter=True)
QUEUE = Target("arn:aws:sqs:us-east-1:123456789012:q")


def test_the_record_of_a_failure() -> None:
    """As in the developer guide's example."""
    record = EventRecord(EVENT, FAILED, ERROR)
    assert json.loads(invocation_record(record)) == {
        "version": "1.0",
        "timestamp": "2019-11-14T18:16:05.568Z",
        "requestContext": {
            "requestId": EVENT.request_id,
            "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:f:$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": 3,
        },
        "requestPayload": {"n": float("inf"), "a": [1]},
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "responsePayload": {"errorMessage": "it broke", "errorType": "E"},
    }
    assert b'"requestPayload":{"n": 1e400, "a": [1]}' in invocation_record(record)  # digit for digit


def test_the_record_of_a_success() -> None:
    event = replace(EVENT, qualifier="live")
    progress = replace(FAILED, condition=Condition.SUCCESS, attempts=1)
    record = json.loads(invocation_record(EventRecord(event, progress, Response(b"null", None, "7"))))
    assert record["requestContext"]["condition"] == "Success"
    assert record["requestContext"]["functionArn"].endswith(":f:live")
    assert record["responseContext"] == {"statusCode": 200, "executedVersion": "7"}
    assert record["responsePayload"] is None


def test_the_record_of_what_no_function_has_seen() -> None:
    progress = replace(FAILED, condition=Condition.AGE_EXCEEDED, attempts=0)
    record = json.loads(invocation_record(EventRecord(EVENT, progress)))
    assert record["requestContext"]["approximateInvokeCount"] == 0
    assert not {"responseContext", "responsePayload"} & record.keys()


@pytest.mark.parametrize("payload", [b"plain text", b"\xff", b"", b"[" * 100_000])
def test_responses_that_are_not_json(payload: bytes) -> None:
    record = json.loads(invocation_record(EventRecord(EVENT, FAILED, Response(payload, None, "1"))))
    assert record["responsePayload"] == payload.decode(errors="replace")


def test_a_destination_gets_the_record() -> None:
    record = EventRecord(EVENT, FAILED, ERROR)
    told = message(record, QUEUE)
    assert (told.target_arn, told.body, told.attributes) == (QUEUE.arn, invocation_record(record), {})
    assert (told.succeeded, told.request_id, told.when_s) == (False, EVENT.request_id, FAILED.decided_s)


def test_a_dead_letter_queue_gets_the_event() -> None:
    """As a message of AWS that LocalStack recorded in 2024."""
    told = message(EventRecord(EVENT, FAILED, ERROR), DLQ)
    assert told.body == EVENT.payload
    assert told.attributes == {
        "RequestID": ("String", EVENT.request_id),
        "ErrorCode": ("Number", "200"),
        "ErrorMessage": ("String", "it broke"),
    }


def test_a_dead_letter_of_what_no_function_has_seen() -> None:
    old = message(EventRecord(EVENT, replace(FAILED, condition=Condition.AGE_EXCEEDED)), DLQ).attributes
    assert (old["ErrorCode"], old["ErrorMessage"]) == (("Number", "429"), ("String", "Rate Exceeded."))
    zero = message(EventRecord(EVENT, replace(FAILED, condition=Condition.ZERO_CONCURRENCY)), DLQ).attributes
    assert "ErrorCode" not in zero
    assert "zero reserved concurrent executions" in zero["ErrorMessage"][1]


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b'{"errorMessage": "it broke"}', "it broke"),
        (b'{"errorMessage": "' + "ä".encode() * 1000 + b'"}', "ä" * 512),
        (b'{"errorMessage": 7}', ""),
        (b'{"errorMessage": "\\ud800"}', "?"),
        (b"[]", ""),
        (b"text", ""),
    ],
)
def test_error_messages(payload: bytes, text: str) -> None:
    assert error_message(Response(payload, "Unhandled", "1")) == text
    attributes = message(EventRecord(EVENT, FAILED, Response(payload, "Unhandled", "1")), DLQ).attributes
    assert ("ErrorMessage" in attributes) == bool(text)  # queues refuse an empty one
