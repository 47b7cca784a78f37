"""Messages of a queue reach a function: real sandboxes, real SQS clients, and moto for the queue."""

import json
import sys
import uuid
from collections.abc import Mapping as Mapping_
from collections.abc import Sequence
from typing import Any

import pytest
from tests.support.functions import create
from tests.support.mapped import Mapping
from tests.support.server import LamellaServer

pytestmark = pytest.mark.sandbox

PYTHON = f"python3.{sys.version_info.minor}"
_CODE = """
import json

def handler(event, context):
    print("event:" + json.dumps(event))
    failed = [one["messageId"] for one in event["Records"] if "fail" in one["body"]]
    if "crash" in event["Records"][0]["body"]:
        raise RuntimeError("as asked")
    return {"batchItemFailures": [{"itemIdentifier": one} for one in failed]}
"""


class Mapped(Mapping):
    """A queue, a function, and the mapping between them.

    A message that the function did not do comes again when it has been hidden for as long as a call may take: 2 s.
    """

    def __init__(
        self,
        server: LamellaServer,
        client: Any,
        attributes: Mapping_[str, str] = {},
        *,
        bodies: Sequence[str] = (),
        **mapping: Any,
    ) -> None:
        """`bodies` are in the queue before anybody takes something from it."""
        self.sqs = server.boto3("sqs")
        name = f"q-{uuid.uuid4().hex[:8]}" + (".fifo" if "FifoQueue" in attributes else "")
        self.queue = self.sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "2", **attributes})[
            "QueueUrl"
        ]
        self.send(*bodies)
        self.arn = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])["Attributes"][
            "QueueArn"
        ]
        function = create(client, {"f.py": _CODE}, runtime=PYTHON, handler="f.handler", Timeout=2, MemorySize=512)
        super().__init__(server, client, self.arn, function, **mapping)

    def send(self, *bodies: str, **more: str) -> None:
        for start in range(0, len(bodies), 10):
            entries = [{"Id": str(i), "MessageBody": body, **more} for i, body in enumerate(bodies[start : start + 10])]
            self.sqs.send_message_batch(QueueUrl=self.queue, Entries=entries)

    def left(self) -> tuple[int, int]:
        """Messages that are visible, and that are hidden."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=names)["Attributes"]
        return int(found[names[0]]), int(found[names[1]])

    def wait_empty(self) -> None:
        self.wait(lambda: self.left() == (0, 0))


def test_a_message_reaches_the_function_and_leaves_the_queue(server: LamellaServer, client: Any) -> None:
    mapped = Mapped(server, client)
    sent = mapped.sqs.send_message(
        QueueUrl=mapped.queue,
        MessageBody='{"ü": 1}',
        MessageAttributes={"Author": {"StringValue": "Grisham", "DataType": "String"}},
    )
    (record,) = next(mapped.events())["Records"]
    attributes = record.pop("attributes")
    assert {"ApproximateReceiveCount", "SentTimestamp", "SenderId", "ApproximateFirstReceiveTimestamp"} <= set(
        attributes
    )
    assert record.pop("receiptHandle")
    assert record == {
        "messageId": sent["MessageId"],
        "body": '{"ü": 1}',
        "messageAttributes": {
            "Author": {
                "stringValue": "Grisham",
                "stringListValues": [],
                "binaryListValues": [],
                "dataType": "String",
            }
        },
        "md5OfMessageAttributes": sent["MD5OfMessageAttributes"],
        "md5OfBody": sent["MD5OfMessageBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": mapped.arn,
        "awsRegion": "us-east-1",
    }
    mapped.wait_empty()


def test_what_fails_comes_again_and_goes_to_the_dead_letters(server: LamellaServer, client: Any) -> None:
    dead = server.boto3("sqs").create_queue(QueueName=f"dead-{uuid.uuid4().hex[:8]}")["QueueUrl"]
    arn = f"arn:aws:sqs:us-east-1:000000000000:{dead.rpartition('/')[2]}"
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 2})
    mapped = Mapped(server, client, {"RedrivePolicy": policy})
    mapped.sqs.send_message(QueueUrl=mapped.queue, MessageBody="crash")
    events = mapped.events()
    counts = [next(events)["Records"][0]["attributes"]["ApproximateReceiveCount"] for _ in range(2)]
    assert counts == ["1", "2"]
    answer = mapped.sqs.receive_message(QueueUrl=dead, WaitTimeSeconds=20)
    assert answer["Messages"][0]["Body"] == "crash"


def test_of_a_batch_only_what_failed_comes_again(server: LamellaServer, client: Any) -> None:
    mapped = Mapped(
        server,
        client,
        bodies=("good", "fail", "good too"),
        MaximumBatchingWindowInSeconds=1,
        FunctionResponseTypes=["ReportBatchItemFailures"],
    )
    events = mapped.events()
    first = sorted(one["body"] for one in next(events)["Records"])
    assert first == ["fail", "good", "good too"]
    assert [one["body"] for one in next(events)["Records"]] == ["fail"]


def test_a_batch_larger_than_an_answer_of_the_queue_is_gathered(server: LamellaServer, client: Any) -> None:
    bodies = [str(number) for number in range(30)]
    mapped = Mapped(
        server, client, {"VisibilityTimeout": "60"}, bodies=bodies, BatchSize=25, MaximumBatchingWindowInSeconds=2
    )
    events = mapped.events()
    assert [len(next(events)["Records"]) for _ in range(2)] == [25, 5]
    mapped.wait_empty()


def test_what_the_filter_does_not_let_through_is_deleted(server: LamellaServer, client: Any) -> None:
    pattern = {"body": {"kind": ["order"], "total": [{"numeric": [">", 10]}]}}
    mapped = Mapped(server, client, FilterCriteria={"Filters": [{"Pattern": json.dumps(pattern)}]})
    mapped.send("plain", '{"kind": "order", "total": 5}', '{"kind": "order", "total": 50}')
    assert [one["body"] for one in next(mapped.events())["Records"]] == ['{"kind": "order", "total": 50}']
    mapped.wait_empty()


def test_a_fifo_queue_keeps_its_order(server: LamellaServer, client: Any) -> None:
    mapped = Mapped(server, client, {"FifoQueue": "true", "ContentBasedDeduplication": "true"}, BatchSize=2)
    mapped.send(*(str(number) for number in range(8)), MessageGroupId="g")
    seen: list[str] = []
    for event in mapped.events():
        seen += [one["body"] for one in event["Records"]]
        if len(seen) == 8:
            break
    assert seen == [str(number) for number in range(8)]


def test_a_disabled_mapping_takes_nothing_until_it_is_enabled(server: LamellaServer, client: Any) -> None:
    mapped = Mapped(server, client)
    client.update_event_source_mapping(UUID=mapped.id, Enabled=False)
    mapped.wait_state("Disabled")
    mapped.sqs.send_message(QueueUrl=mapped.queue, MessageBody="later")
    assert mapped.left() == (1, 0)
    client.update_event_source_mapping(UUID=mapped.id, Enabled=True)
    assert next(mapped.events())["Records"][0]["body"] == "later"
    mapped.wait_state("Enabled")
    client.delete_event_source_mapping(UUID=mapped.id)
    mapped.wait(lambda: client.list_event_source_mappings(EventSourceArn=mapped.arn)["EventSourceMappings"] == [])


def test_a_mapping_outlives_the_server_and_no_message_is_lost(server: LamellaServer) -> None:
    """The queue is elsewhere: with the other server's moto. The server dies while a batch is with the function."""
    with LamellaServer(neighbour=server.url, state_delay_s="0") as other:
        mapped = Mapped(other, other.boto3())
        mapped.sqs.send_message(QueueUrl=mapped.queue, MessageBody="crash")
        next(mapped.events())
        other.kill()
        server.boto3("sqs").send_message(QueueUrl=mapped.queue, MessageBody="while it was dead")
        other.start()
        bodies: set[str] = set()
        for event in mapped.events():
            bodies |= {one["body"] for one in event["Records"] if one["attributes"]["ApproximateReceiveCount"] != "0"}
            if "while it was dead" in bodies:
                break
        assert "while it was dead" in bodies
