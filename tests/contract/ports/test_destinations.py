"""What everything promises that sends messages; the real one to moto, in a server in this process."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from tests.support.moto import serving_moto

from lamella.adapters.destinations import AwsDestinations
from lamella.domain.function import FunctionKey
from lamella.neighbour.client import AwsClient
from lamella.neighbour.endpoint import Endpoint
from lamella.neighbour.proxy import Neighbours
from lamella.ports.destinations import DeliveryError, Destinations, Message
from lamella.testing.queue import MemoryDestinations

ACCOUNT, REGION = "123456789012", "eu-central-1"
KEY = FunctionKey(ACCOUNT, REGION, "f")
REQUEST_ID = "8f1c3a52-0f0e-4f0a-9d57-4b1de5bb3c11"


def message(target_arn: str, **members: Any) -> Message:
    return Message(
        **{
            "key": KEY,
            "function_arn": KEY.arn("$LATEST"),
            "target_arn": target_arn,
            "body": '{"text": "ünïcode"}'.encode(),
            "succeeded": False,
            "request_id": REQUEST_ID,
            "when_s": 1_800_000_000.5,
            **members,
        }
    )


async def test_the_fake_takes_and_refuses() -> None:
    fake = MemoryDestinations()
    await fake.send(message("arn:aws:sqs:eu-central-1:123456789012:q"))
    fake.refusing.add("arn:other")
    with pytest.raises(DeliveryError, match="arn:other"):
        await fake.send(message("arn:other"))
    assert [one.target_arn for one in fake.sent] == ["arn:aws:sqs:eu-central-1:123456789012:q"]
    with pytest.raises(DeliveryError, match="too large") as caught:
        await fake.send(message("arn:aws:sqs:eu-central-1:123456789012:q", body=b"x" * 1_000_001))
    assert caught.value.for_good


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving_moto() as url:
        yield url


class TestMoto:
    @pytest.fixture
    def destinations(self, url: str, tmp_path: Path) -> Destinations:
        return AwsDestinations(AwsClient(Neighbours({}, Endpoint.parse(url)), tmp_path / "downloads"))

    def client(self, url: str, service: str) -> Any:  # Any: boto3's clients have no types
        return boto3.Session(ACCOUNT, "x", region_name=REGION).client(service, endpoint_url=url)

    def queue(self, url: str, name: str) -> str:
        return str(self.client(url, "sqs").create_queue(QueueName=name)["QueueUrl"])

    def received(self, url: str, queue_url: str) -> dict[str, Any]:
        answer = self.client(url, "sqs").receive_message(QueueUrl=queue_url, MessageAttributeNames=["All"])
        (one,) = answer["Messages"]
        return dict(one)

    async def test_a_queue(self, url: str, destinations: Destinations) -> None:
        queue_url = self.queue(url, "q")
        for _ in range(2):  # the second time its address is known
            await destinations.send(message(f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"))
            assert self.received(url, queue_url)["Body"] == '{"text": "ünïcode"}'

    async def test_attributes(self, url: str, destinations: Destinations) -> None:
        queue_url = self.queue(url, "dlq")
        attributes = {"RequestID": ("String", REQUEST_ID), "ErrorCode": ("Number", "200")}
        await destinations.send(message(f"arn:aws:sqs:{REGION}:{ACCOUNT}:dlq", attributes=attributes))
        assert self.received(url, queue_url)["MessageAttributes"] == {
            "RequestID": {"StringValue": REQUEST_ID, "DataType": "String"},
            "ErrorCode": {"StringValue": "200", "DataType": "Number"},
        }

    async def test_a_topic(self, url: str, destinations: Destinations) -> None:
        queue_url = self.queue(url, "subscribed")
        sns = self.client(url, "sns")
        arn = sns.create_topic(Name="t")["TopicArn"]
        sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=f"arn:aws:sqs:{REGION}:{ACCOUNT}:subscribed")
        await destinations.send(message(arn, attributes={"RequestID": ("String", REQUEST_ID)}))
        told = json.loads(self.received(url, queue_url)["Body"])
        assert told["Message"] == '{"text": "ünïcode"}'
        assert told["MessageAttributes"]["RequestID"]["Value"] == REQUEST_ID

    async def test_an_event_bus(self, url: str, destinations: Destinations) -> None:
        queue_url = self.queue(url, "matched")
        events = self.client(url, "events")
        arn = events.create_event_bus(Name="b")["EventBusArn"]
        events.put_rule(Name="r", EventBusName="b", EventPattern='{"source": ["lambda"]}')
        target = {"Id": "1", "Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:matched"}
        events.put_targets(Rule="r", EventBusName="b", Targets=[target])
        for succeeded, word in ((True, "Success"), (False, "Failure")):
            await destinations.send(message(arn, succeeded=succeeded))
            told = json.loads(self.received(url, queue_url)["Body"])
            assert (told["detail-type"], told["detail"]) == (
                f"Lambda Function Invocation Result - {word}",
                {"text": "ünïcode"},
            )
            assert told["resources"] == [arn, KEY.arn("$LATEST")]

    async def test_a_bucket(self, url: str, destinations: Destinations) -> None:
        s3 = self.client(url, "s3")
        s3.create_bucket(Bucket="failures", CreateBucketConfiguration={"LocationConstraint": REGION})
        for _ in range(2):  # what comes twice is one object
            await destinations.send(message("arn:aws:s3:::failures"))
        (found,) = s3.list_objects_v2(Bucket="failures")["Contents"]
        assert found["Key"] == f"aws/lambda/async/f/2027/01/15/2027-01-15T08.00.00-{REQUEST_ID}"
        stored = s3.get_object(Bucket="failures", Key=found["Key"])
        assert (stored["Body"].read().decode(), stored["ContentType"]) == ('{"text": "ünïcode"}', "application/json")

    async def test_a_folder_of_a_bucket(self, url: str, destinations: Destinations) -> None:
        s3 = self.client(url, "s3")
        s3.create_bucket(Bucket="folders", CreateBucketConfiguration={"LocationConstraint": REGION})
        await destinations.send(message("arn:aws:s3:::folders", folder="mapping/shardId-1"))
        (found,) = s3.list_objects_v2(Bucket="folders")["Contents"]
        assert found["Key"] == f"aws/lambda/mapping/shardId-1/2027/01/15/2027-01-15T08.00.00-{REQUEST_ID}"

    @pytest.mark.parametrize(
        "arn",
        [
            f"arn:aws:sqs:{REGION}:{ACCOUNT}:nobody",
            f"arn:aws:sns:{REGION}:{ACCOUNT}:nobody",
            f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/nobody",
            "arn:aws:s3:::nobody",
            f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/t",
            "nonsense",
        ],
    )
    async def test_who_is_not_there(self, destinations: Destinations, arn: str) -> None:
        with pytest.raises(DeliveryError, match=arn) as caught:
            await destinations.send(message(arn))
        assert not caught.value.for_good  # it may come

    async def test_what_is_too_large_will_be_so_for_good(self, url: str, destinations: Destinations) -> None:
        self.client(url, "sqs").create_queue(QueueName="small", Attributes={"MaximumMessageSize": "1024"})
        topic = self.client(url, "sns").create_topic(Name="t")["TopicArn"]
        for arn, size in ((f"arn:aws:sqs:{REGION}:{ACCOUNT}:small", 1025), (topic, 262_145)):
            with pytest.raises(DeliveryError, match=arn) as caught:
                await destinations.send(message(arn, body=b"x" * size))
            assert caught.value.for_good


@pytest.mark.parametrize("other", [None, Endpoint.parse("http://127.0.0.1:9")])
@pytest.mark.parametrize("arn", [f"arn:aws:sqs:{REGION}:{ACCOUNT}:q", "arn:aws:s3:::failures"])
async def test_nobody_answers(other: Endpoint | None, arn: str, tmp_path: Path) -> None:
    destinations = AwsDestinations(AwsClient(Neighbours({}, other, "nobody is there"), tmp_path / "downloads"))
    with pytest.raises(DeliveryError, match=arn):
        await destinations.send(message(arn))
