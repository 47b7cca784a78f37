"""Events of other services are lost by nobody's end, and nobody gets in by the way that they take."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from tests.support.functions import Function, bash, create
from tests.support.server import LamellaServer
from tests.support.services import PRINTS, REGION, Account

pytestmark = pytest.mark.sandbox

OWN, OTHER = "111122223333", "444455556666"
EVENTS = "s3:ObjectCreated:*"


@pytest.fixture(scope="module")
def quick() -> Iterator[LamellaServer]:
    with LamellaServer(state_delay_s="0", async_retry_scale="0.002", drain_timeout_s="1") as running:
        yield running


@pytest.fixture(scope="module")
def own(quick: LamellaServer) -> Account:
    return Account(quick, OWN)


def key_of(event: dict[str, list[dict[str, dict[str, dict[str, str]]]]]) -> str:
    return event["Records"][0]["s3"]["object"]["key"]


def child_of(server: LamellaServer) -> int:
    """moto's process."""
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            words = (directory / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"lamella.neighbour.moto_main" in words and str(server.data / "neighbour").encode() in words:
            return int(directory.name)
    raise AssertionError("there is no such process")


HOLDS = """while true; do next; echo "GOT $BODY"
    case "$BODY" in *hold*) sleep 2 ;; esac
    respond "$BODY" >/dev/null
done
"""


def held(account: Account) -> Function:
    """A function that has one environment at most, which is busy."""
    function = bash(account.functions, HOLDS)
    account.functions.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=1)
    account.permit(function, "s3.amazonaws.com")
    function.invoke("hold", tail=False, InvocationType="Event")
    assert next(account.got(function)) == "hold"
    return function


def test_a_function_that_is_busy_gets_its_event_later(own: Account) -> None:
    function = held(own)
    with own.bucket() as bucket:
        own.notify(bucket, own.arn(function), EVENTS)
        own("s3").put_object(Bucket=bucket, Key="waits", Body=b"")
    got = own.got(function)
    assert next(got) == "hold"
    assert key_of(next(got)) == "waits"


def test_many_at_once_neither_wait_for_each_other_nor_get_lost(own: Account) -> None:
    """The server hands the request on to moto, which calls the server back before it answers."""
    function = own.function()
    own.permit(function, "s3.amazonaws.com")
    names = {f"k{number}" for number in range(40)}
    with own.bucket() as bucket:
        own.notify(bucket, own.arn(function), EVENTS)
        s3 = own("s3")
        with ThreadPoolExecutor(20) as pool:
            list(pool.map(lambda name: s3.put_object(Bucket=bucket, Key=name, Body=b""), names))
        events = own.got(function)
        assert {key_of(next(events)) for _ in names} == names


def test_what_is_answered_survives_a_server_that_is_killed() -> None:
    with LamellaServer(state_delay_s="0") as server:
        account = Account(server, OWN)
        function = held(account)
        with account.bucket() as bucket:
            account.notify(bucket, account.arn(function), EVENTS)
            account("s3").put_object(Bucket=bucket, Key="kept", Body=b"")
        server.kill()
        server.start()
        account = Account(server, OWN)
        account.functions.delete_function_concurrency(FunctionName=function.name)
        assert any("hold" not in event and key_of(event) == "kept" for event in account.got(function))


def test_a_neighbour_that_died_calls_again_when_it_is_back(own: Account) -> None:
    function = own.function()
    own.permit(function, "s3.amazonaws.com")
    with own.bucket():
        pass
    os.kill(child_of(own.server), signal.SIGKILL)
    for _ in range(100):  # connections of the dead one may be answered by 503
        try:
            own("s3").list_buckets()
            break
        except (ClientError, BotoCoreError):
            continue
    with own.bucket() as bucket:
        own.notify(bucket, own.arn(function), EVENTS)
        own("s3").put_object(Bucket=bucket, Key="k", Body=b"")
    assert key_of(next(own.got(function))) == "k"


def test_a_server_that_stops_leaves_no_call_of_the_neighbours_waiting() -> None:
    with LamellaServer(state_delay_s="0", drain_timeout_s="1") as server:
        account = Account(server, OWN)
        slow = bash(account.functions, 'while true; do next; echo "GOT $BODY"; sleep 60; done\n', Timeout=120)
        steps = account("stepfunctions")
        task = {"Type": "Task", "Resource": account.arn(slow), "End": True}
        machine = steps.create_state_machine(
            name="slow",
            definition=json.dumps({"StartAt": "Run", "States": {"Run": task}}),
            roleArn=f"arn:aws:iam::{OWN}:role/steps",
        )
        steps.start_execution(stateMachineArn=machine["stateMachineArn"], input="{}")
        next(account.got(slow))  # it runs
        begun_s = time.monotonic()
        server.stop(within_s=20)
        assert time.monotonic() - begun_s < 20


TRUSTED = {
    "X-Lamella-Bridge": "0" * 64,
    "X-Lamella-Account": OWN,
    "X-Lamella-Region": REGION,
    "X-Lamella-Principal": "s3.amazonaws.com",
    "X-Lamella-Source-Arn": "arn:aws:s3:::bucket",
    "X-Lamella-Source-Account": OWN,
}


def test_who_says_at_the_front_door_that_it_is_s3_is_not_believed(own: Account) -> None:
    function = own.function()
    own.permit(function, "s3.amazonaws.com")
    scope = f"Credential={OTHER}/20261120/{REGION}/lambda/aws4_request"
    signed = {"Authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0"}
    address = f"{own.server.url}/2015-03-31/functions/{own.arn(function)}/invocations"
    request = urllib.request.Request(address, data=b"{}", headers={**signed, **TRUSTED}, method="POST")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=30)
    assert caught.value.code == 403
    assert f"arn:aws:iam::{OTHER}:root is not authorized" in caught.value.read().decode()


_ASKS = """
import os, socket, urllib.error, urllib.request

def handler(event, context):
    try:
        socket.socket(socket.AF_UNIX).connect(event["socket"])
        reached = True
    except OSError:
        reached = False
    url = os.environ["AWS_ENDPOINT_URL"] + event["path"]
    request = urllib.request.Request(url, data=b"{}", headers=event["headers"], method="POST")
    try:
        with urllib.request.urlopen(request) as answer:
            return [reached, answer.status]
    except urllib.error.HTTPError as error:
        return [reached, error.code]
"""


def test_a_function_is_not_believed_either_and_does_not_reach_the_socket(own: Account) -> None:
    own("s3").list_buckets()
    function = own.function()
    own.permit(function, "s3.amazonaws.com")
    other = Account(own.server, OTHER)
    runtime = f"python3.{sys.version_info.minor}"
    adversary = create(other.functions, {"a.py": _ASKS}, runtime=runtime, handler="a.handler")
    scope = f"Credential={OWN}/20261120/{REGION}/lambda/aws4_request"
    signed = {"Authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0"}
    event = {
        "path": f"/2015-03-31/functions/{own.arn(function)}/invocations",
        "headers": {**TRUSTED, **signed},
        "socket": str(own.server.data / "neighbour" / "lambda"),
    }
    assert adversary.invoke(event).document == [False, 403]


def test_another_user_does_not_reach_the_socket_and_the_same_one_is_not_let_in(own: Account) -> None:
    own("s3").list_buckets()
    directory = own.server.data / "neighbour"
    code = (
        "import os, socket; os.setuid(65534); "
        f"socket.socket(socket.AF_UNIX).connect('/proc/{own.server.pid}/root{directory}/lambda')"
    )
    if os.geteuid() == 0:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert "PermissionError" in done.stderr
    place = os.open(directory, os.O_PATH)
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f"/proc/self/fd/{place}/lambda")
            head = "".join(f"{name}: {value}\r\n" for name, value in TRUSTED.items())
            client.sendall(f"GET /2015-03-31/functions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{head}\r\n".encode())
            answer = client.makefile("rb").read()
    finally:
        os.close(place)
    assert answer.startswith(b"HTTP/1.1 403 ")


_PUTS = """put() {
    SCOPE="Credential=$AWS_ACCESS_KEY_ID/20261120/us-east-1/s3/aws4_request"
    curl -sS -o /dev/null -w '%{http_code} ' -X PUT --data-binary "$2" "$AWS_ENDPOINT_URL$1" \\
        -H 'Content-Type: application/xml' -H "Authorization: AWS4-HMAC-SHA256 $SCOPE, SignedHeaders=host, Signature=0"
}
while true; do next
    CODES=$(put /signed-events ''; put '/signed-events?notification' '<NotificationConfiguration>
<CloudFunctionConfiguration><Id>i</Id><CloudFunction>ARN</CloudFunction><Event>s3:ObjectCreated:*</Event>
</CloudFunctionConfiguration></NotificationConfiguration>'; put /signed-events/key x)
    respond "\\"$CODES\\"" >/dev/null
done
"""


def test_where_signatures_are_required_the_services_still_invoke() -> None:
    """A function uses moto without a key of a client's, and what it does has its consequences."""
    with LamellaServer(state_delay_s="0", auth="sigv4") as server:
        printed = server.lamella("key", "create", LAMELLA_DATA=str(server.data)).stdout.splitlines()
        exported = [line.removeprefix("export ").split("=", 1) for line in printed if line.startswith("export ")]
        variables = {name: value.strip("'") for name, value in exported}
        functions = server.boto3(
            aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        )
        taker = bash(functions, PRINTS)
        made = functions.get_function_configuration(FunctionName=taker.name)
        functions.add_permission(
            FunctionName=taker.name, StatementId="s", Action="lambda:InvokeFunction", Principal="s3.amazonaws.com"
        )
        puts = bash(functions, _PUTS.replace("ARN", made["FunctionArn"]), Timeout=60)
        assert puts.invoke().document == "200 200 200 "
        listed = server.lamella("events", "list", "--function", taker.name, "--json", LAMELLA_DATA=str(server.data))
        assert len(json.loads(listed.stdout)["events"]) == 1
