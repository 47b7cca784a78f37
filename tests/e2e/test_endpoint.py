"""Lambda's API inside a sandbox: there the caller is the function, whatever it signs as."""

import io
import json
import sys
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.server import LamellaServer

# Of this file alone: other tests leave functions in the accounts that they use.
_OWN, _OTHER = "717171717171", "727272727272"
_CODE = """
import urllib.error, urllib.request

def handler(event, context):
    request = urllib.request.Request("http://169.254.100.1:4566" + event["path"], headers=event["headers"])
    try:
        with urllib.request.urlopen(request) as answer:
            return [answer.status, answer.read().decode()]
    except urllib.error.HTTPError as error:
        return [error.code, error.read().decode()]
"""

Ask = Callable[[str, str], tuple[int, Any]]


@pytest.fixture(scope="module")
def ask(server: LamellaServer) -> Iterator[Ask]:
    """Has a function of one account make a request, signed as any account; another account has a function as well."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        entry = zipfile.ZipInfo("asks.py")
        entry.external_attr = 0o644 << 16  # the default, 0600, would keep the sandbox's user from reading it
        file.writestr(entry, _CODE)
    clients = {
        account: server.boto3(aws_access_key_id=account, aws_secret_access_key="test") for account in (_OWN, _OTHER)
    }
    for account, client in clients.items():
        client.create_function(
            FunctionName=f"of-{account}",
            Runtime=f"python3.{sys.version_info.minor}",
            Handler="asks.handler",
            Role=f"arn:aws:iam::{account}:role/any",
            MemorySize=1024,
            Timeout=30,
            Code={"ZipFile": archive.getvalue()},
        )
        client.get_waiter("function_active_v2").wait(FunctionName=f"of-{account}", WaiterConfig={"Delay": 1})

    def ask(path: str, key: str) -> tuple[int, Any]:
        scope = f"Credential={key}/20261120/us-east-1/lambda/aws4_request"
        headers = {"Authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0"}
        event = json.dumps({"path": path, "headers": headers}).encode()
        status, body = json.load(clients[_OWN].invoke(FunctionName=f"of-{_OWN}", Payload=event)["Payload"])
        return status, json.loads(body)

    yield ask
    for account, client in clients.items():
        client.delete_function(FunctionName=f"of-{account}")


@pytest.mark.sandbox
@pytest.mark.parametrize("key", [_OWN, _OTHER, "AKIAIOSFODNN7EXAMPLE"])
def test_a_function_acts_for_its_own_account_whatever_its_key_says(ask: Ask, key: str) -> None:
    status, answer = ask("/2015-03-31/functions", key)
    assert status == 200
    assert [function["FunctionName"] for function in answer["Functions"]] == [f"of-{_OWN}"]


@pytest.mark.sandbox
@pytest.mark.parametrize("page", ["health", "runtimes", f"logs/of-{_OTHER}?account={_OTHER}"])
def test_a_function_finds_none_of_the_servers_own_pages(ask: Ask, page: str) -> None:
    status, answer = ask(f"/_lamella/{page}", _OTHER)
    assert status == 404
    assert "There is no GET /_lamella/" in answer["error"]


@pytest.mark.sandbox
def test_a_function_cannot_reach_another_accounts_function(ask: Ask) -> None:
    arn = f"arn:aws:lambda:us-east-1:{_OTHER}:function:of-{_OTHER}"
    status, answer = ask(f"/2015-03-31/functions/{arn}", _OTHER)
    assert status == 403
    assert "is not authorized to perform: lambda:GetFunction" in answer["Message"]
