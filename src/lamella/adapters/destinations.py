"""Destinations among the other services of AWS: SQS, SNS, EventBridge and S3."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from lamella.ports.aws import AwsError, AwsServices, AwsUnavailableError
from lamella.ports.destinations import DeliveryError, Message

_UNFIT: Final = frozenset(
    {
        "InvalidMessageContents",
        "InvalidParameter",
        "InvalidParameterValue",
        "MalformedDetail",
        "ValidationError",
        "ValidationException",
    }
)
"""What SQS, SNS and EventBridge answer to a message that they would never take. There is no code for one too large."""


class AwsDestinations:
    """Implements `lamella.ports.destinations.Destinations`.

    Nothing is tried twice: the queue has retries, which can be seen.

    Args:
        aws: Where they are.
    """

    def __init__(self, aws: AwsServices) -> None:
        self._aws: Final = aws
        self._queue_urls: Final[dict[tuple[str, str], str]] = {}
        self._senders: Final[Mapping[str, Callable[[Message, str, str, str], Awaitable[None]]]] = {
            "sqs": self._to_queue,
            "sns": self._to_topic,
            "events": self._to_bus,
            "s3": self._to_bucket,
        }

    async def send(self, message: Message) -> None:
        """See the port."""
        parts = message.target_arn.split(":", 5)
        if len(parts) != 6 or parts[2] not in self._senders:
            raise DeliveryError(f"{message.target_arn}: there is no way to send to this")
        _, _, service, region, account, resource = parts
        try:
            await self._senders[service](message, region or message.key.region, account, resource)
        except AwsError as error:
            raise DeliveryError(f"{message.target_arn}: {error}", for_good=error.code in _UNFIT) from error
        except AwsUnavailableError as error:
            raise DeliveryError(f"{message.target_arn}: {error}") from error

    async def _to_queue(self, message: Message, region: str, owner: str, name: str) -> None:
        account = message.key.account
        url = self._queue_urls.get((account, message.target_arn))
        if url is None:
            queue = {"QueueName": name, "QueueOwnerAWSAccountId": owner}
            found = await self._aws.call("sqs", "GetQueueUrl", queue, account=account, region=region)
            url = str(found["QueueUrl"])
        parameters = {
            "QueueUrl": url,
            "MessageBody": message.body.decode(),
            "MessageAttributes": _attributes(message.attributes),
        }
        await self._aws.call("sqs", "SendMessage", parameters, account=account, region=region)
        self._queue_urls[account, message.target_arn] = url

    async def _to_topic(self, message: Message, region: str, _owner: str, _name: str) -> None:
        parameters = {
            "TopicArn": message.target_arn,
            "Message": message.body.decode(),
            "MessageAttributes": _attributes(message.attributes),
        }
        await self._aws.call("sns", "Publish", parameters, account=message.key.account, region=region)

    async def _to_bus(self, message: Message, region: str, _owner: str, _name: str) -> None:
        """Source: CDK's documentation of Lambda destinations, which says `lambda`; the guide of 2026 `aws.lambda`."""
        result = "Success" if message.succeeded else "Failure"
        entry = {
            "Time": datetime.fromtimestamp(message.when_s, UTC),
            "Source": "lambda",
            "Resources": [message.target_arn, message.function_arn],
            "DetailType": f"Lambda Function Invocation Result - {result}",
            "Detail": message.body.decode(),
            "EventBusName": message.target_arn,
        }
        account = message.key.account
        answer = await self._aws.call("events", "PutEvents", {"Entries": [entry]}, account=account, region=region)
        if answer.get("FailedEntryCount"):
            failed = answer["Entries"][0]
            text = f"{message.target_arn}: {failed.get('ErrorMessage', 'refused')}"
            raise DeliveryError(text, for_good=failed.get("ErrorCode") in _UNFIT)

    async def _to_bucket(self, message: Message, region: str, _owner: str, name: str) -> None:
        """`aws/lambda/async/<function>/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-<UUID>`; a random one, as request ids are.

        Of records of streams it is `aws/lambda/<mapping>/<shard>/...`. Source: developer guide, "Capturing records of
        Lambda asynchronous invocations" and "Retain discarded batch records for a Kinesis Data Streams event source".
        """
        when = datetime.fromtimestamp(message.when_s, UTC)
        folder = message.folder or f"async/{message.key.name}"
        key = f"aws/lambda/{folder}/{when:%Y/%m/%d/%Y-%m-%dT%H.%M.%S}-{message.request_id}"
        account = message.key.account
        await self._aws.store(name, key, message.body, content_type="application/json", account=account, region=region)


def _attributes(given: Mapping[str, tuple[str, str]]) -> dict[str, dict[str, str]]:
    return {name: {"DataType": kind, "StringValue": value} for name, (kind, value) in given.items()}
