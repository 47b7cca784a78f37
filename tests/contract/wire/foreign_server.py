"""boto3 and plain HTTP against a front door whose neighbour is moto."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from tests.contract.wire.front_server import REGION, FrontServer

from lamella.neighbour.endpoint import Endpoint
from lamella.neighbour.proxy import Neighbours
from lamella.ports.credentials import AccessKey


class Moto:
    """One that counts as our own child."""

    def __init__(self, url: str) -> None:
        self._endpoint = Endpoint.parse(url)

    async def wait_ready(self) -> Endpoint:
        return self._endpoint


def client(server: FrontServer, service: str, key: AccessKey, **options: Any) -> Any:  # Any: boto3 has no types
    return _session().client(
        service,
        region_name=REGION,
        endpoint_url=server.url,
        aws_access_key_id=key.id,
        aws_secret_access_key=key.secret,
        aws_session_token=key.session_token or None,
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, **options),
    )


@cache
def _session() -> boto3.session.Session:
    return boto3.session.Session()  # reads each model once


def bucket(server: FrontServer, key: AccessKey, name: str, **options: Any) -> Any:
    s3 = client(server, "s3", key, **options)
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    return s3


def stored(s3: Any, name: str) -> dict[str, bytes]:
    keys = [found["Key"] for found in s3.list_objects_v2(Bucket=name).get("Contents", ())]
    return {key: s3.get_object(Bucket=name, Key=key)["Body"].read() for key in keys}


def failure(caught: pytest.ExceptionInfo[ClientError]) -> tuple[int, str, str]:
    answer: Any = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"], answer["Error"]["Message"]


def send(method: str, url: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """Ask as a program does that knows nothing of AWS."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, body, names, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@contextmanager
def in_front_of(moto: str) -> Iterator[FrontServer]:
    """A server that verifies signatures, with this moto for its child, and as that child is told to be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTO_S3_ALLOW_CROSSACCOUNT_ACCESS", "false")
        server = FrontServer(neighbours=Neighbours({}, Moto(moto)))
        try:
            yield server
        finally:
            server.close()
