"""Asynchronous invocations on a real server: nothing is lost, whoever is to be told is told."""

import json
import random
import time
import urllib.request
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from tests.support.functions import ROLE, Function, archive, bash, wait_active
from tests.support.moto import serving_moto
from tests.support.server import LamellaServer
from tests.support.storm import storm

pytestmark = pytest.mark.sandbox

ACCOUNT, REGION = "123456789012", "us-east-1"
ECHO = 'while true; do next; respond "$BODY" >/dev/null; done\n'
TAKES = "while true; do next; respond 1 >/dev/null; done\n"
FAILING = """while true; do next
    call POST "/invocation/$ID/error" -H 'Expect:' --data '{"errorMessage":"it broke","errorType":"E"}' >/dev/null
done
"""


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """Where moto serves."""
    with serving_moto() as url:
        yield url


@pytest.fixture(scope="module")
def quick(moto: str) -> Iterator[LamellaServer]:
    """A server whose minutes last a tenth of a second, and whose destinations are moto's."""
    with LamellaServer(
        state_delay_s="0", async_retry_scale="0.002", neighbour=moto, account_id=ACCOUNT, drain_timeout_s="1"
    ) as running:
        yield running


def event_of(server: LamellaServer, request_id: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{server.url}/_lamella/events/{request_id}", timeout=30) as answer:
        shown: dict[str, Any] = json.load(answer)
    return shown


def wait_state(server: LamellaServer, request_id: str, *states: str) -> dict[str, Any]:
    deadline_s = time.monotonic() + 60
    while (found := event_of(server, request_id))["state"] not in states:
        assert found["due_at"] is not None, found  # else it has ended otherwise
        assert time.monotonic() < deadline_s, found
    return found


def wait_message(receive: Callable[[], list[Any]]) -> Any:
    deadline_s = time.monotonic() + 60
    while not (found := receive()):
        assert time.monotonic() < deadline_s
    return found[0]


def accept(function: Function, event: Any, **members: Any) -> str:
    answer = function.invoke(event, tail=False, InvocationType="Event", **members)
    assert (answer.status, answer.payload) == (202, b"")
    return answer.request_id


def test_none_is_lost_by_a_server_that_is_killed() -> None:
    """The full storm is `python -m tests.support.storm`: 20,000 events, ten kills."""
    seed = random.randrange(10**6)
    report = storm(events=2000, kills=3, seed=seed)
    print(f"seed {seed}: {report}")
    assert len(report.accepted) >= 2000
    assert report.lost == []
    assert report.unexplained == []
    assert set(report.counts) == {"succeeded"}


def test_what_the_caller_gets(quick: LamellaServer) -> None:
    client = quick.boto3()
    function = bash(client, ECHO)
    answer = client.invoke(FunctionName=function.name, InvocationType="Event", Payload=b'{"a": 1}')
    assert (answer["StatusCode"], answer["Payload"].read()) == (202, b"")
    assert not {"ExecutedVersion", "FunctionError", "LogResult"} & answer.keys()
    shown = wait_state(quick, answer["ResponseMetadata"]["RequestId"], "succeeded")
    assert [step["result"] for step in shown["steps"]] == ["succeeded"]
    old = client.invoke_async(FunctionName=function.name, InvokeArgs=b"{}")
    assert old["Status"] == 202
    wait_state(quick, old["ResponseMetadata"]["RequestId"], "succeeded")


@pytest.mark.parametrize("call", ["invoke", "invoke_async"])
def test_events_over_the_limit(quick: LamellaServer, call: str) -> None:
    """In AWS's words of 2026."""
    client = quick.boto3()
    function = bash(client, TAKES)

    def send(size: int) -> Any:
        payload = b'"' + b"x" * (size - 2) + b'"'
        if call == "invoke":
            return client.invoke(FunctionName=function.name, InvocationType="Event", Payload=payload)
        return client.invoke_async(FunctionName=function.name, InvokeArgs=payload)

    wait_state(quick, send(1_048_576)["ResponseMetadata"]["RequestId"], "succeeded")
    with pytest.raises(ClientError) as caught:
        send(1_048_577)
    error = caught.value.response
    assert (error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]) == (
        "RequestEntityTooLargeException",
        413,
    )
    assert error["Error"]["Message"] == (
        "1048577 byte payload is too large for the Event invocation type (limit 1048576 bytes)"
    )


def test_events_that_are_refused(quick: LamellaServer) -> None:
    client = quick.boto3()
    function = bash(client, ECHO)
    for members, code in (
        ({"FunctionName": "none"}, "ResourceNotFoundException"),
        ({"FunctionName": f"{function.name}:7"}, "ResourceNotFoundException"),
        ({"FunctionName": function.name, "Payload": b"{"}, "InvalidRequestContentException"),
        ({"FunctionName": function.name, "ClientContext": "!"}, "InvalidRequestContentException"),
    ):
        with pytest.raises(ClientError) as caught:
            client.invoke(InvocationType="Event", **members)
        assert caught.value.response["Error"]["Code"] == code


def test_the_command_line(quick: LamellaServer) -> None:
    function = bash(quick.boto3(), FAILING)
    request_id = quick.lamella("invoke", function.name, "--event", "--payload", '{"a": 1}').stdout.strip()
    wait_state(quick, request_id, "failed")
    listed = quick.lamella("events", "list", "--function", function.name, "--state", "failed")
    assert request_id in listed.stdout
    assert "1 failed" in listed.stderr
    shown = quick.lamella("events", "show", request_id).stdout
    assert shown.count("invoke  function error: it broke") == 3
    assert "RetriesExhausted" in shown
    missing = quick.lamella("events", "show", "8f1c3a52-0f0e-4f0a-9d57-4b1de5bb3c11", check=False)
    assert (missing.returncode, "No event" in missing.stderr) == (3, True)


def test_a_function_is_told(quick: LamellaServer) -> None:
    client = quick.boto3()
    first, second = bash(client, ECHO), bash(client, ECHO)
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{second.name}"
    client.put_function_event_invoke_config(
        FunctionName=first.name, DestinationConfig={"OnSuccess": {"Destination": arn}}
    )
    wait_state(quick, accept(first, {"a": 1}), "succeeded")
    log = quick.lamella("events", "list", "--function", second.name, "--json")
    (told,) = json.loads(log.stdout)["events"]
    wait_state(quick, told["request_id"], "succeeded")


def test_queue_topic_bus_and_bucket_of_moto_are_told(quick: LamellaServer, moto: str) -> None:
    session = boto3.Session(ACCOUNT, "x", region_name=REGION)
    sqs, s3 = (session.client(service, endpoint_url=moto) for service in ("sqs", "s3"))
    urls = {name: sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("dead", "done")}
    s3.create_bucket(Bucket="failures")

    def receive(name: str) -> Any:
        return wait_message(
            lambda: sqs.receive_message(QueueUrl=urls[name], MessageAttributeNames=["All"]).get("Messages", [])
        )

    client = quick.boto3()
    failing, working = bash(client, FAILING), bash(client, ECHO)
    client.update_function_configuration(
        FunctionName=failing.name, DeadLetterConfig={"TargetArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead"}
    )
    client.get_waiter("function_updated_v2").wait(FunctionName=failing.name)
    client.put_function_event_invoke_config(
        FunctionName=failing.name,
        MaximumRetryAttempts=1,
        DestinationConfig={"OnFailure": {"Destination": "arn:aws:s3:::failures"}},
    )
    client.put_function_event_invoke_config(
        FunctionName=working.name,
        DestinationConfig={"OnSuccess": {"Destination": f"arn:aws:sqs:{REGION}:{ACCOUNT}:done"}},
    )
    failed, worked = accept(failing, {"a": 1}), accept(working, {"b": 2})

    dead = receive("dead")
    assert dead["Body"] == '{"a": 1}'
    assert {name: value["StringValue"] for name, value in dead["MessageAttributes"].items()} == {
        "RequestID": failed,
        "ErrorCode": "200",
        "ErrorMessage": "it broke",
    }
    record = json.loads(receive("done")["Body"])
    assert record["requestContext"]["requestId"] == worked
    assert (record["requestContext"]["condition"], record["responsePayload"]) == ("Success", {"b": 2})

    assert wait_state(quick, failed, "failed")["attempts"] == 2
    (stored,) = s3.list_objects_v2(Bucket="failures")["Contents"]
    document = json.loads(s3.get_object(Bucket="failures", Key=stored["Key"])["Body"].read())
    assert stored["Key"].startswith(f"aws/lambda/async/{failing.name}/")
    assert document["requestContext"]["condition"] == "RetriesExhausted"
    assert document["responseContext"]["functionError"] == "Unhandled"


def test_a_queue_that_is_gone_loses_nothing(quick: LamellaServer, moto: str) -> None:
    """Each failed delivery shows, and goes on until it works."""
    client = quick.boto3()
    function = bash(client, ECHO)
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:later"
    sqs = boto3.Session(ACCOUNT, "x", region_name=REGION).client("sqs", endpoint_url=moto)
    with pytest.raises(client.exceptions.InvalidParameterValueException, match="SendMessage on arn:aws:sqs"):
        client.put_function_event_invoke_config(
            FunctionName=function.name, DestinationConfig={"OnSuccess": {"Destination": arn}}
        )
    url = sqs.create_queue(QueueName="later")["QueueUrl"]
    client.put_function_event_invoke_config(
        FunctionName=function.name, DestinationConfig={"OnSuccess": {"Destination": arn}}
    )
    sqs.delete_queue(QueueUrl=url)
    request_id = accept(function, {"a": 1})
    deadline_s = time.monotonic() + 30
    while not any(step["result"] == "refused" for step in event_of(quick, request_id)["steps"]):
        assert time.monotonic() < deadline_s
    url = sqs.create_queue(QueueName="later")["QueueUrl"]
    shown = wait_state(quick, request_id, "succeeded")
    assert shown["steps"][-1]["result"] == "delivered"
    assert json.loads(wait_message(lambda: sqs.receive_message(QueueUrl=url).get("Messages", []))["Body"])


def test_one_at_a_time(quick: LamellaServer) -> None:
    """A reservation of 1: no two events run side by side, and none is thrown away for it."""
    client = quick.boto3()
    name = "one-at-a-time"
    code = archive({"m.py": "import time\ndef handler(event, context):\n    time.sleep(0.02)\n"})
    client.create_function(
        FunctionName=name, Runtime="python3.11", Handler="m.handler", Role=ROLE, Code={"ZipFile": code}
    )
    wait_active(client, name)
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    ids = [accept(Function(client, name), {"n": number}) for number in range(20)]
    shown = [wait_state(quick, request_id, "succeeded") for request_id in ids]
    spans = sorted((step["began_at"], step["ended_at"]) for one in shown for step in one["steps"])
    assert len(spans) == 20
    assert all(ended <= began for (_, ended), (began, _) in pairwise(spans))


def test_a_reservation_of_nothing(quick: LamellaServer) -> None:
    client = quick.boto3()
    function = bash(client, ECHO)
    client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=0)
    assert wait_state(quick, accept(function, {}), "failed")["condition"] == "ZeroReservedConcurrency"


def test_a_function_that_is_deleted_drops_its_events(quick: LamellaServer) -> None:
    client = quick.boto3()
    function = bash(client, "while true; do next; sleep 600; done\n")
    client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=1)
    waiting = [accept(function, {"n": number}) for number in range(3)][1:]
    client.delete_function(FunctionName=function.name)
    for request_id in waiting:
        wait_state(quick, request_id, "dropped")
    assert "events that it had not run are dropped" in quick.log
