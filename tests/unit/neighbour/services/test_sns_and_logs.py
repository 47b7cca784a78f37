"""What a function is told of a message and of lines of a log."""

import base64
import gzip
import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from moto.sns.models import Subscription

from lamella.neighbour.services.functions import Service
from lamella.neighbour.services.logs import logs_event
from lamella.neighbour.services.patching import UnknownMotoError, replace
from lamella.neighbour.services.sns import sns_event

TOPIC = "arn:aws:sns:eu-west-1:111122223333:news"


def told(subject: str | None = None, attributes: dict[str, Any] | None = None) -> dict[str, Any]:
    subscription = cast("Subscription", SimpleNamespace(arn=f"{TOPIC}:1", topic_arn=TOPIC))
    (record,) = sns_event(subscription, "hello", "m-1", subject, attributes)["Records"]
    return record  # type: ignore[no-any-return]  # JSON


def test_a_message_has_the_members_that_aws_sends_in_its_order() -> None:
    record = told()
    assert list(record) == ["EventSource", "EventVersion", "EventSubscriptionArn", "Sns"]
    assert record["EventSubscriptionArn"] == f"{TOPIC}:1"
    assert list(record["Sns"]) == [
        "Type",
        "MessageId",
        "TopicArn",
        "Subject",
        "Message",
        "Timestamp",
        "SignatureVersion",
        "Signature",
        "SigningCertUrl",
        "UnsubscribeUrl",
        "MessageAttributes",
    ]
    assert record["Sns"]["Subject"] is None
    assert record["Sns"]["MessageAttributes"] == {}


def test_a_message_has_its_subject_and_attributes() -> None:
    record = told("about", {"n": {"Type": "Number", "Value": 7}, "s": {"Type": "String", "Value": "x"}})
    assert record["Sns"]["Subject"] == "about"
    assert record["Sns"]["MessageAttributes"] == {
        "n": {"Type": "Number", "Value": "7"},
        "s": {"Type": "String", "Value": "x"},
    }


def test_lines_are_packed() -> None:
    event = logs_event("111122223333", "/g", "s", "f", [{"id": 7, "timestamp": 1, "message": "ü"}])
    document = json.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"])))
    assert document == {
        "messageType": "DATA_MESSAGE",
        "owner": "111122223333",
        "logGroup": "/g",
        "logStream": "s",
        "subscriptionFilters": ["f"],
        "logEvents": [{"id": "7".zfill(56), "timestamp": 1, "message": "ü"}],
    }


def test_a_moto_that_is_built_differently_is_told_so() -> None:
    owner = SimpleNamespace(known=1)
    replace(owner, "known", lambda before: before + 1)
    assert owner.known == 2
    with pytest.raises(UnknownMotoError, match=r"moto .* cannot be used: it has no"):
        replace(owner, "unknown", lambda before: before)


def test_without_a_bridge_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lamella.neighbour.bridge._opened", [])
    service = Service("s3.amazonaws.com", "arn:aws:s3:::b", "111122223333", "eu-west-1")
    with pytest.raises(RuntimeError, match="no bridge"):
        service.send("arn:aws:lambda:eu-west-1:111122223333:function:f", {})
