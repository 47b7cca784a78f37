"""What moto does not do, as AWS's clients hear of it."""

from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import ClientError
from werkzeug.test import Client

from lamella.neighbour.moto_main import _Services


class Raw:
    """The body of an answer, as botocore reads it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, *_: object, **__: object) -> list[bytes]:
        return [self._body]


def client_of(service: str, asked: list[str]) -> Any:  # Any: boto3's clients have no types
    """A client whose requests moto answers without a socket."""
    moto = Client(_Services())
    client = boto3.client(service, "us-east-1", aws_access_key_id="test", aws_secret_access_key="test")

    def answer(request: AWSPreparedRequest, **_: object) -> AWSResponse:
        asked.append(request.url)
        headers = {
            name: value.decode() if isinstance(value, bytes) else value for name, value in request.headers.items()
        }
        said = moto.open(request.url, method=request.method, data=request.body, headers=headers)
        return AWSResponse(request.url, said.status_code, dict(said.headers), Raw(said.get_data()))

    client.meta.events.register("before-send", answer)
    return client


@pytest.mark.parametrize(
    ("service", "operation", "arguments", "said"),
    [
        ("sqs", "list_message_move_tasks", {"SourceArn": "arn:aws:sqs:us-east-1:1:q"}, "which answers for sqs"),
        ("iam", "get_mfa_device", {"SerialNumber": "123456789"}, "The get_mfa_device action has not been implemented"),
        (
            "cloudcontrol",
            "get_resource",
            {"TypeName": "AWS::Lambda::Url", "Identifier": "x"},
            "does not have the service",
        ),
    ],
)
def test_clients_are_told_once(service: str, operation: str, arguments: dict[str, str], said: str) -> None:
    asked = list[str]()
    with pytest.raises(ClientError, match=said) as error:
        getattr(client_of(service, asked), operation)(**arguments)
    assert error.value.response["Error"]["Code"] == "NotImplementedException"
    assert len(asked) == 1
