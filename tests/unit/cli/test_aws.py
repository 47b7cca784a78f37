"""What is said of errors of botocore's, and of servers that are not there."""

import socket

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)

from lamella.cli.aws import refused, service_client
from lamella.cli.failure import CommandError, Status


def test_an_error_of_the_api() -> None:
    error = refused(
        ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "Not there"}}, "GetFunction")
    )
    assert (str(error), error.status) == ("ResourceNotFoundException: Not there", Status.API)


@pytest.mark.parametrize("kind", [EndpointConnectionError, ConnectTimeoutError, ReadTimeoutError])
def test_a_server_that_was_not_reached(kind: type[Exception]) -> None:
    error = refused(kind(endpoint_url="http://127.0.0.1:1", error="no"))  # type: ignore[call-arg]  # botocore's own
    assert "lamella serve" in str(error)
    assert error.status is Status.API


def test_no_credentials() -> None:
    error = refused(NoCredentialsError())
    assert (str(error), error.status) == ("Unable to locate credentials", Status.USAGE)


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.delenv("http_proxy", raising=False)
    monkeypatch.delenv("HTTP_PROXY", raising=False)
    with pytest.raises(CommandError, match=r"Connection refused.; start the server"):
        service_client("http://127.0.0.1:1", None, environ={})
