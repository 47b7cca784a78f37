"""A server that asks for signatures, with AWS's clients and the operator's commands."""

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.support.functions import archive
from tests.support.server import LamellaServer
from tests.support.world import HOST, world

pytestmark = pytest.mark.sandbox

LAMELLA = Path(sys.executable).parent / "lamella"
# Calls Lambda's API as its SDK would find it, with what its environment says.
CODE = """
import json, os, urllib.request

def handler(event, context):
    scope = os.environ["AWS_ACCESS_KEY_ID"] + "/20261120/" + os.environ["AWS_REGION"] + "/lambda/aws4_request"
    headers = {"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"}
    request = urllib.request.Request(os.environ["AWS_ENDPOINT_URL"] + "/2015-03-31/functions/", headers=headers)
    with urllib.request.urlopen(request) as answer:
        return [function["FunctionName"] for function in json.load(answer)["Functions"]]
"""


@pytest.fixture(scope="module")
def signed() -> Iterator[LamellaServer]:
    with LamellaServer(auth="sigv4", state_delay_s="0") as server:
        yield server


def key(server: LamellaServer, *arguments: str) -> dict[str, str]:
    """Variables for clients, as the operator's command prints them."""
    lines = server.lamella("key", "create", *arguments, LAMELLA_DATA=str(server.data)).stdout.splitlines()
    exported = [line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export ")]
    return {name: value.strip("'") for name, value in exported}


def client(server: LamellaServer, variables: dict[str, str]) -> Any:  # Any: boto3's clients have no types
    return server.boto3(
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=variables.get("AWS_SESSION_TOKEN"),
    )


def test_a_function_is_made_and_invoked_with_a_key_and_reaches_its_own_account(signed: LamellaServer) -> None:
    account = signed.lamella("account", "create", "--name", "team", LAMELLA_DATA=str(signed.data)).stdout.strip()
    variables = key(signed, "--account", account)
    made = client(signed, variables)
    made.create_function(
        FunctionName="own",
        Runtime=f"python3.{sys.version_info.minor}",
        Handler="asks.handler",
        Role=f"arn:aws:iam::{account}:role/any",
        Timeout=30,
        Code={"ZipFile": archive({"asks.py": CODE})},
    )
    made.get_waiter("function_active_v2").wait(FunctionName="own", WaiterConfig={"Delay": 1})
    assert json.load(made.invoke(FunctionName="own", Payload=b"{}")["Payload"]) == ["own"]
    assert json.loads(signed.lamella("invoke", "own", **variables).stdout) == ["own"]
    assert "REPORT RequestId" in signed.lamella("logs", "own", **variables).stdout
    assert json.loads(signed.aws("lambda", "list-functions", **variables).stdout)["Functions"]
    others = key(signed)
    assert json.loads(signed.aws("lambda", "list-functions", **others).stdout)["Functions"] == []
    assert signed.lamella("logs", "own", **others).stdout == ""


def test_keys_outlive_the_server_until_they_are_deleted(signed: LamellaServer) -> None:
    lasting, temporary = key(signed), key(signed, "--duration", "3600")
    signed.restart()
    for variables in (lasting, temporary):
        assert client(signed, variables).list_functions()["Functions"] == []
    listed = signed.lamella("key", "list", LAMELLA_DATA=str(signed.data)).stdout
    assert lasting["AWS_ACCESS_KEY_ID"] in listed
    assert lasting["AWS_SECRET_ACCESS_KEY"] not in listed
    signed.lamella("key", "delete", lasting["AWS_ACCESS_KEY_ID"], LAMELLA_DATA=str(signed.data))
    with pytest.raises(ClientError, match="UnrecognizedClientException"):
        client(signed, lasting).list_functions()


def test_who_has_no_key(signed: LamellaServer, tmp_path: Path) -> None:
    refused = signed.aws("lambda", "list-functions", check=False)
    assert "UnrecognizedClientException" in refused.stderr
    refused = signed.lamella("invoke", "own", check=False, AWS_ACCESS_KEY_ID="", LAMELLA_DATA=str(tmp_path))
    assert "the server wants requests to be signed" in refused.stderr
    assert "lamella key create" in refused.stderr
    refused = signed.lamella("key", "create", check=False, AWS_ACCESS_KEY_ID="", LAMELLA_DATA=str(tmp_path))
    assert (refused.returncode, refused.stdout) == (3, "")
    assert "LAMELLA_OPERATOR_KEY" in refused.stderr


def test_the_operators_key_is_for_its_owner_alone(signed: LamellaServer) -> None:
    for name in ("operator-key", "lamella.db"):
        assert (signed.data / name).stat().st_mode & 0o777 == 0o600
    elsewhere = (signed.data / "operator-key").read_text().strip()
    assert "AKIA" in signed.lamella("key", "create", LAMELLA_OPERATOR_KEY=elsewhere, LAMELLA_DATA="/nowhere").stdout


def test_other_machines_are_not_let_in_unasked(tmp_path: Path) -> None:
    refused = subprocess.run(
        [LAMELLA, "serve", "--data", tmp_path, "--listen", f"{HOST}:0"], capture_output=True, text=True, timeout=60
    )
    assert refused.returncode == 2
    assert "without asking who they are" in refused.stderr


def test_other_machines_with_a_key() -> None:
    with world(), LamellaServer(auth="sigv4", listen=f"{HOST}:0", hosts="lambda.example.com") as server:
        assert server.url.startswith(f"http://{HOST}:")
        assert client(server, key(server)).list_functions()["Functions"] == []
        assert "plain HTTP" in server.log
        for host, status in (("lambda.example.com", 200), (HOST, 200), ("evil.example", 403)):
            connection = http.client.HTTPConnection(HOST, int(server.url.rpartition(":")[2]), timeout=30)
            connection.request("GET", "/_lamella/health", headers={"Host": host})
            assert connection.getresponse().status == status
            connection.close()


def test_a_url_that_wants_a_signature_verifies_it(signed: LamellaServer) -> None:
    own, other = (signed.lamella("account", "create", LAMELLA_DATA=str(signed.data)).stdout.strip() for _ in range(2))
    variables, others = key(signed, "--account", own), key(signed, "--account", other)
    made = client(signed, variables)
    made.create_function(
        FunctionName="called",
        Runtime=f"python3.{sys.version_info.minor}",
        Handler="called.handler",
        Role=f"arn:aws:iam::{own}:role/any",
        Code={"ZipFile": archive({"called.py": "def handler(event, context): return event['requestContext']"})},
    )
    made.get_waiter("function_active_v2").wait(FunctionName="called", WaiterConfig={"Delay": 1})
    url = made.create_function_url_config(FunctionName="called", AuthType="AWS_IAM")["FunctionUrl"]

    def ask(key_id: str, secret: str, *more: str) -> tuple[str, bytes]:
        sign = ("--aws-sigv4", f"aws:amz:{made.meta.region_name}:lambda", "-u", f"{key_id}:{secret}")
        ran = subprocess.run(["curl", "-sS", "-w", "%{http_code}", *sign, *more, url], capture_output=True, check=True)
        return ran.stdout[-3:].decode(), ran.stdout[:-3]

    key_id, secret = variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"]
    status, body = ask(key_id, secret, "-d", "a=1")
    assert status == "200"
    assert json.loads(body)["authorizer"]["iam"]["accessKey"] == key_id
    assert ask(key_id, "a secret that is not its")[0] == "403"
    assert ask(own, secret)[0] == "403"  # an account number is no key here
    assert ask(others["AWS_ACCESS_KEY_ID"], others["AWS_SECRET_ACCESS_KEY"])[0] == "403"
