"""The server's pages of the layer workshop."""

import json
import time
import urllib.error
import urllib.request
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from tests.support.server import LamellaServer


def ask(
    server: LamellaServer, path: str, body: bytes | None = None, *, key: tuple[str, str] | None = None
) -> tuple[int, Any]:
    """Status and document of a page below `/_lamella/`, signed if a key is given."""
    method = "GET" if body is None else "POST"
    request = AWSRequest(
        method, f"{server.url}/_lamella/{path}", data=body, headers={"Content-Type": "application/zip"}
    )
    if key is not None:
        SigV4Auth(Credentials(*key), "lambda", "us-east-1").add_auth(request)
    prepared = urllib.request.Request(request.url, body, dict(request.headers.items()), method=method)
    try:
        with urllib.request.urlopen(prepared, timeout=120) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def wait_checked(server: LamellaServer, arn: str, *, within_s: float = 60.0) -> dict[str, Any]:
    """What the gate says of a layer version, once it has looked at it."""
    end_s = time.monotonic() + within_s
    while time.monotonic() < end_s:
        status, document = ask(server, f"layers/findings?arn={arn}")
        assert status == 200, document
        if document["state"] != "waiting":
            return dict(document)
        time.sleep(0.05)
    raise AssertionError(f"{arn} was not checked within {within_s:g} s")
