"""What a real stand-in for the other services says of destinations: moto, in a server in this process."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from tests.contract.wire.control_server import ACCOUNT, REGION, ControlServer, zipped
from tests.support.moto import serving_moto

from lamella.neighbour.client import AwsClient
from lamella.neighbour.endpoint import Endpoint
from lamella.neighbour.proxy import Neighbours


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving_moto() as url:
        yield url


@pytest.fixture
def client(server: ControlServer, url: str, tmp_path: Path) -> Any:
    server.aws = AwsClient(Neighbours({}, Endpoint.parse(url)), tmp_path / "downloads")
    client = server.client()
    client.create_function(
        FunctionName="f",
        Role=f"arn:aws:iam::{ACCOUNT}:role/r",
        Runtime="python3.11",
        Handler="h.h",
        Code={"ZipFile": zipped(index__py="1")},
    )
    server.release()
    return client


def make(url: str, service: str) -> None:
    aws = boto3.Session(ACCOUNT, "x", region_name=REGION).client(service, endpoint_url=url)
    match service:
        case "sqs":
            aws.create_queue(QueueName="reachable")
        case "sns":
            aws.create_topic(Name="reachable")
        case "events":
            aws.create_event_bus(Name="reachable")
        case _:
            aws.create_bucket(Bucket="reachable", CreateBucketConfiguration={"LocationConstraint": REGION})


@pytest.mark.parametrize(
    ("service", "arn"),
    [
        ("sqs", f"arn:aws:sqs:{REGION}:{ACCOUNT}:reachable"),
        ("sns", f"arn:aws:sns:{REGION}:{ACCOUNT}:reachable"),
        ("events", f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/reachable"),
        ("s3", "arn:aws:s3:::reachable"),
    ],
)
def test_what_is_there_is_taken_and_what_is_not_is_refused(
    client: Any, url: str, service: str, arn: str, caplog: pytest.LogCaptureFixture
) -> None:
    config = {"FunctionName": "f", "DestinationConfig": {"OnFailure": {"Destination": arn}}}
    with pytest.raises(ClientError, match=f"does not have permissions to call .* on {arn}"):
        client.put_function_event_invoke_config(**config)
    make(url, service)
    shown = client.put_function_event_invoke_config(**config)
    assert shown["DestinationConfig"]["OnFailure"] == {"Destination": arn}
    assert "cannot be looked up" not in caplog.text
