"""Destinations behind an AWS endpoint, by AWS's own SDK in threads: SQS, SNS, EventBridge and S3.

Requests are signed with the number of the function's account as access key, which is how endpoints of this kind tell
accounts apart; what is behind the endpoint decides whether it looks at signatures.
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from lamella.ports.destinations import DeliveryError, Message

if TYPE_CHECKING:
    from botocore.session import Session

_THREADS: Final = 8
_CONNECT_S: Final = 5.0
_READ_S: Final = 20.0
_SECRET: Final = "lamella"  # noqa: S105  # no secret: see above
_KINDS: Final = frozenset({"sqs", "sns", "events", "s3"})

_Client = Any  # botocore makes its clients at run time


class AwsDestinations:
    """Implements `lamella.ports.destinations.Destinations`.

    Args:
        endpoint_url: Where all services are; empty if there is none, and then nothing can be delivered.
    """

    def __init__(self, endpoint_url: str) -> None:
        self._endpoint_url: Final = endpoint_url
        self._pool: Final = ThreadPoolExecutor(_THREADS, "destinations")
        self._session: Session | None = None
        self._clients: dict[tuple[str, str, str], _Client] = {}
        self._queue_urls: dict[tuple[str, str], str] = {}
        self._lock: Final = Lock()  # over the dictionaries and the session, which threads share

    def close(self) -> None:
        """Wait for what is being sent. Nothing may be asked for afterwards."""
        self._pool.shutdown()

    async def send(self, message: Message) -> None:
        """See the port."""
        if not self._endpoint_url:
            raise DeliveryError(f"{message.target_arn}: the server has no aws_endpoint_url")
        parts = message.target_arn.split(":", 5)
        if len(parts) != 6 or parts[2] not in _KINDS:
            raise DeliveryError(f"{message.target_arn}: there is no way to send to this")
        await asyncio.get_running_loop().run_in_executor(self._pool, self._send, parts, message)

    def _send(self, parts: list[str], message: Message) -> None:
        # Imported here, in the thread that needs it: it takes half a second and 20 MiB, and most nodes never send.
        from botocore.exceptions import BotoCoreError, ClientError

        _, _, service, region, account, resource = parts
        client = self._client(service, message.key.account, region or message.key.region)
        try:
            _SENDERS[service](self, client, account, resource, message)
        except (BotoCoreError, ClientError) as error:
            raise DeliveryError(f"{message.target_arn}: {error}") from error

    def _client(self, service: str, account: str, region: str) -> _Client:
        from botocore.config import Config
        from botocore.session import Session

        with self._lock:
            if self._session is None:
                self._session = Session()
            known = self._clients.get((service, account, region))
            if known is None:
                known = self._clients[service, account, region] = self._session.create_client(
                    service,
                    region_name=region,
                    endpoint_url=self._endpoint_url,
                    aws_access_key_id=account,
                    aws_secret_access_key=_SECRET,
                    # Once: the queue has its own retries, which can be seen.
                    config=Config(
                        connect_timeout=_CONNECT_S,
                        read_timeout=_READ_S,
                        retries={"total_max_attempts": 1},
                        s3={"addressing_style": "path"},
                    ),
                )
        return known

    def _to_queue(self, client: _Client, account: str, name: str, message: Message) -> None:
        place = (message.key.account, message.target_arn)
        url = self._queue_urls.get(place)
        if url is None:
            url = client.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"]
        client.send_message(
            QueueUrl=url, MessageBody=message.body.decode(), MessageAttributes=_attributes(message.attributes)
        )
        with self._lock:
            self._queue_urls[place] = url

    def _to_topic(self, client: _Client, _account: str, _name: str, message: Message) -> None:
        client.publish(
            TopicArn=message.target_arn,
            Message=message.body.decode(),
            MessageAttributes=_attributes(message.attributes),
        )

    def _to_bus(self, client: _Client, _account: str, _name: str, message: Message) -> None:
        """Source: CDK's documentation of Lambda destinations, which says `lambda`; the guide of 2026 `aws.lambda`."""
        result = "Success" if message.succeeded else "Failure"
        answer = client.put_events(
            Entries=[
                {
                    "Time": datetime.fromtimestamp(message.when_s, UTC),
                    "Source": "lambda",
                    "Resources": [message.target_arn, message.function_arn],
                    "DetailType": f"Lambda Function Invocation Result - {result}",
                    "Detail": message.body.decode(),
                    "EventBusName": message.target_arn,
                }
            ]
        )
        if answer.get("FailedEntryCount"):
            raise DeliveryError(f"{message.target_arn}: {answer['Entries'][0].get('ErrorMessage', 'refused')}")

    def _to_bucket(self, client: _Client, _account: str, name: str, message: Message) -> None:
        """`aws/lambda/async/<function>/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-<UUID>`; a random one, as request ids are.

        Source: developer guide, "Capturing records of Lambda asynchronous invocations".
        """
        when = datetime.fromtimestamp(message.when_s, UTC)
        key = f"aws/lambda/async/{message.key.name}/{when:%Y/%m/%d/%Y-%m-%dT%H.%M.%S}-{message.request_id}"
        client.put_object(Bucket=name, Key=key, Body=message.body, ContentType="application/json")


_SENDERS: Final[Mapping[str, Callable[[AwsDestinations, _Client, str, str, Message], None]]] = {
    "sqs": AwsDestinations._to_queue,  # noqa: SLF001  # of this module
    "sns": AwsDestinations._to_topic,  # noqa: SLF001
    "events": AwsDestinations._to_bus,  # noqa: SLF001
    "s3": AwsDestinations._to_bucket,  # noqa: SLF001
}


def _attributes(given: Mapping[str, tuple[str, str]]) -> dict[str, dict[str, str]]:
    return {name: {"DataType": kind, "StringValue": value} for name, (kind, value) in given.items()}
