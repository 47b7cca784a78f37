"""Lamella's own calls, against servers that answer well and ill."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from lamella.httpserver import Answer, Buffered, Exchange, HttpServer, Refusal, Request, refusal_status
from lamella.neighbour.client import AwsClient
from lamella.neighbour.endpoint import Endpoint
from lamella.neighbour.proxy import Neighbours
from lamella.ports.aws import AwsError, AwsUnavailableError, ObjectTooLargeError

PATIENCE_S = 20.0  # of a test with a server that hangs; never waited for otherwise
ACCOUNT, REGION = "111122223333", "eu-west-1"
Serve = Callable[[Exchange], Awaitable[None]]


class _App:
    def __init__(self, serve: Serve) -> None:
        self._serve = serve

    def head(self, request: Request) -> Buffered:
        return Buffered(1_000_000)

    def handle(self, exchange: Exchange) -> None:
        async def serve() -> None:
            await self._serve(exchange)

        exchange.start(serve())

    def refuse(self, request: Request | None, refusal: Refusal) -> Answer:
        return Answer(refusal_status(request, refusal))

    def failed(self, exchange: Exchange, error: BaseException) -> Answer:
        return Answer(500)


@contextlib.asynccontextmanager
async def asking(serve: Serve, tmp_path: Path) -> AsyncIterator[AwsClient]:
    server = HttpServer(_App(serve))
    await server.start(host="127.0.0.1")
    endpoint = Endpoint.parse(f"http://127.0.0.1:{server.addresses[0][1]}")
    try:
        async with asyncio.timeout(PATIENCE_S):
            yield AwsClient(Neighbours({}, endpoint), tmp_path / "downloads", credentials=("AKIA1", "secret"))
    finally:
        await server.close(grace_s=0)


def left(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "downloads").iterdir())


async def test_a_call_is_signed_and_read_by_the_model(tmp_path: Path) -> None:
    seen: list[Request] = []

    async def serve(exchange: Exchange) -> None:
        seen.append(exchange.request)
        exchange.respond(200, [("Content-Type", "application/x-amz-json-1.0")], b'{"QueueUrl": "http://q"}')

    async with asking(serve, tmp_path) as client:
        answer = await client.call("sqs", "GetQueueUrl", {"QueueName": "q"}, account=ACCOUNT, region=REGION)
    assert answer["QueueUrl"] == "http://q"
    (request,) = seen
    assert request.header("x-amz-target") == "AmazonSQS.GetQueueUrl"
    assert request.body == b'{"QueueName": "q"}'
    assert "Credential=AKIA1/" in request.header("authorization")
    assert "/eu-west-1/sqs/aws4_request" in request.header("authorization")
    assert request.header("x-moto-account-id") == ACCOUNT


async def test_a_query_service_gets_a_form(tmp_path: Path) -> None:
    seen: list[Request] = []

    async def serve(exchange: Exchange) -> None:
        seen.append(exchange.request)
        body = b"<PublishResponse><PublishResult><MessageId>m</MessageId></PublishResult></PublishResponse>"
        exchange.respond(200, [("Content-Type", "text/xml")], body)

    async with asking(serve, tmp_path) as client:
        parameters = {"TopicArn": "arn:a", "Message": "a b&c"}
        answer = await client.call("sns", "Publish", parameters, account=ACCOUNT, region=REGION)
    assert answer["MessageId"] == "m"
    assert b"Message=a%20b%26c" in seen[0].body
    assert seen[0].header("content-type").startswith("application/x-www-form-urlencoded")


async def test_what_the_service_refuses_is_told(tmp_path: Path) -> None:
    async def serve(exchange: Exchange) -> None:
        body = b'{"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "no such queue"}'
        exchange.respond(400, [("Content-Type", "application/x-amz-json-1.0")], body)

    async with asking(serve, tmp_path) as client:
        with pytest.raises(AwsError, match="no such queue") as caught:
            await client.call("sqs", "GetQueueUrl", {"QueueName": "q"}, account=ACCOUNT, region=REGION)
    assert caught.value.code in ("QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue")


async def test_an_object_is_a_file_for_as_long_as_it_is_wanted(tmp_path: Path) -> None:
    seen: list[Request] = []

    async def serve(exchange: Exchange) -> None:
        seen.append(exchange.request)
        exchange.start_response(200, [])
        for _ in range(40):
            await exchange.write(bytes(100_000))
        exchange.finish()

    async with asking(serve, tmp_path) as client:
        fetching = client.fetch("bucket", "a b/ü+.zip", "v 1", account=ACCOUNT, region=REGION, limit_bytes=4_000_000)
        async with fetching as path:
            assert path.stat().st_size == 4_000_000
    assert left(tmp_path) == []
    assert (seen[0].path, seen[0].query) == ("/bucket/a%20b/%C3%BC%2B.zip", "versionId=v%201")


@pytest.mark.parametrize("announced", [True, False])
async def test_an_object_that_is_too_long_is_not_fetched(tmp_path: Path, announced: bool) -> None:
    """Whether it says so, or has no end."""

    async def serve(exchange: Exchange) -> None:
        exchange.start_response(200, [("Content-Length", "1000000000000")] if announced else [])
        while True:
            await exchange.write(bytes(100_000))

    async with asking(serve, tmp_path) as client:
        with pytest.raises(ObjectTooLargeError):
            async with client.fetch("b", "k", None, account=ACCOUNT, region=REGION, limit_bytes=5_000_000):
                pass
    assert left(tmp_path) == []


async def test_an_object_that_is_cut_off_is_none(tmp_path: Path) -> None:
    async def serve(exchange: Exchange) -> None:
        exchange.start_response(200, [("Content-Length", "1000")])
        await exchange.write(bytes(10))
        exchange.abort()

    async with asking(serve, tmp_path) as client:
        with pytest.raises(AwsUnavailableError, match="before its answer was complete"):
            async with client.fetch("b", "k", None, account=ACCOUNT, region=REGION, limit_bytes=5_000_000):
                pass
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (404, b"<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>", AwsError),
        (301, b"<Error><Code>PermanentRedirect</Code><Message>elsewhere</Message></Error>", AwsError),
        (500, b"<html>", AwsError),
        (404, b"x" * 100_000, AwsUnavailableError),
    ],
)
async def test_what_s3_refuses_is_told(tmp_path: Path, status: int, body: bytes, error: type[Exception]) -> None:
    async def serve(exchange: Exchange) -> None:
        exchange.respond(status, [("Content-Type", "application/xml")], body)

    async with asking(serve, tmp_path) as client:
        with pytest.raises(error):
            async with client.fetch("b", "k", None, account=ACCOUNT, region=REGION, limit_bytes=5_000_000):
                pass


async def test_without_a_neighbour_it_says_so(tmp_path: Path) -> None:
    client = AwsClient(Neighbours({}, None, "its neighbour is turned off"), tmp_path / "downloads")
    with pytest.raises(AwsUnavailableError, match="does not answer for sqs itself, and its neighbour is turned off"):
        await client.call("sqs", "ListQueues", {}, account=ACCOUNT, region=REGION)
