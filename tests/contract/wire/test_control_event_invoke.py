"""Configuration of asynchronous invocations. The answers are those of AWS that LocalStack recorded in 2023."""

from datetime import UTC
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.contract.wire.control_server import ACCOUNT, NOW, REGION, ControlServer, zipped

from lamella.domain.function import FunctionKey
from lamella.ports.aws import AwsError

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
F = FunctionKey(ACCOUNT, REGION, "f")
QUEUE, TOPIC, BUS = (
    f"arn:aws:{service}:{REGION}:{ACCOUNT}:{name}"
    for service, name in (("sqs", "q"), ("sns", "t"), ("events", "event-bus/b"))
)
NO_FUNCTION = ("ResourceNotFoundException", 404, "The function doesn't exist.")
NOTHING = ("ResourceNotFoundException", 404, f"The function {ARN}:$LATEST doesn't have an EventInvokeConfig")


@pytest.fixture
def client(server: ControlServer) -> Any:
    client = server.client()
    for name in ("f", "g"):
        client.create_function(
            FunctionName=name,
            Runtime="python3.11",
            Role=f"arn:aws:iam::{ACCOUNT}:role/r",
            Handler="index.handler",
            Code={"ZipFile": zipped(index__py="1")},
        )
    server.release()
    client.publish_version(FunctionName="f")
    server.release()
    return client


def refused(call: Any, **members: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(**members)
    error = caught.value.response
    return error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Message"]


def shown(answer: dict[str, Any]) -> dict[str, Any]:
    assert answer.pop("ResponseMetadata")["HTTPStatusCode"] == 200
    return answer


def test_an_alias_has_its_own_until_it_is_deleted(server: ControlServer, client: Any) -> None:
    members = {"FunctionName": "f", "Qualifier": "live"}
    assert refused(client.put_function_event_invoke_config, **members, MaximumRetryAttempts=1) == NO_FUNCTION
    client.create_alias(FunctionName="f", Name="live", FunctionVersion="1")
    put = shown(client.put_function_event_invoke_config(**members, MaximumRetryAttempts=1))
    assert put["FunctionArn"] == f"{ARN}:live"
    client.delete_alias(FunctionName="f", Name="live")
    assert refused(client.get_function_event_invoke_config, **members)[0] == "ResourceNotFoundException"


def test_put_get_list_delete(server: ControlServer, client: Any) -> None:
    put = shown(client.put_function_event_invoke_config(FunctionName="f", MaximumRetryAttempts=1))
    assert put["LastModified"].astimezone(UTC) == NOW.replace(microsecond=123000)
    assert {name: put[name] for name in put if name != "LastModified"} == {
        "FunctionArn": f"{ARN}:$LATEST",
        "MaximumRetryAttempts": 1,
        "DestinationConfig": {"OnSuccess": {}, "OnFailure": {}},
    }
    assert shown(client.get_function_event_invoke_config(FunctionName="f")) == put
    listed = client.list_function_event_invoke_configs(FunctionName="f")
    assert listed["FunctionEventInvokeConfigs"] == [put]
    assert "NextMarker" not in listed
    deleted = client.delete_function_event_invoke_config(FunctionName="f")
    assert deleted["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert client.list_function_event_invoke_configs(FunctionName="f")["FunctionEventInvokeConfigs"] == []
    assert [(key, qualifier, config is None) for key, qualifier, config in server.observed.event_configs] == [
        (F, "$LATEST", False),
        (F, "$LATEST", True),
    ]


def test_put_replaces_and_update_adds(client: Any) -> None:
    client.put_function_event_invoke_config(FunctionName="f", MaximumRetryAttempts=2, MaximumEventAgeInSeconds=60)
    put = client.put_function_event_invoke_config(
        FunctionName="f", MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": QUEUE}}
    )
    assert "MaximumEventAgeInSeconds" not in put
    updated = client.update_function_event_invoke_config(FunctionName="f", MaximumEventAgeInSeconds=21_600)
    assert (updated["MaximumRetryAttempts"], updated["MaximumEventAgeInSeconds"]) == (0, 21_600)
    assert updated["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {"Destination": QUEUE}}
    gone = client.update_function_event_invoke_config(FunctionName="f", DestinationConfig={"OnFailure": {}})
    assert gone["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {}}
    assert gone["MaximumEventAgeInSeconds"] == 21_600


def test_each_qualifier_has_its_own(server: ControlServer, client: Any) -> None:
    for number, name in enumerate(("f", "f:1", "f:$LATEST")):
        client.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=number)
    by_parameter = client.get_function_event_invoke_config(FunctionName="f", Qualifier="1")
    assert (by_parameter["FunctionArn"], by_parameter["MaximumRetryAttempts"]) == (f"{ARN}:1", 1)
    pages = client.get_paginator("list_function_event_invoke_configs").paginate(
        FunctionName="f", PaginationConfig={"PageSize": 1}
    )
    found = [one for page in pages for one in page["FunctionEventInvokeConfigs"]]
    assert [(one["FunctionArn"], one["MaximumRetryAttempts"]) for one in found] == [
        (f"{ARN}:$LATEST", 2),
        (f"{ARN}:1", 1),
    ]
    client.delete_function(FunctionName="f", Qualifier="1")
    assert len(client.list_function_event_invoke_configs(FunctionName="f")["FunctionEventInvokeConfigs"]) == 1


def test_accounts_and_regions_are_apart(server: ControlServer, client: Any) -> None:
    client.put_function_event_invoke_config(FunctionName="f", MaximumRetryAttempts=1)
    for other in (server.client(account="999999999999"), server.client(region="us-east-1")):
        assert refused(other.put_function_event_invoke_config, FunctionName="f", MaximumRetryAttempts=1) == NO_FUNCTION
        assert refused(other.get_function_event_invoke_config, FunctionName="f")[0] == "ResourceNotFoundException"


def test_what_is_not_there(client: Any) -> None:
    for call in (client.put_function_event_invoke_config, client.update_function_event_invoke_config):
        assert refused(call, FunctionName="none", MaximumRetryAttempts=1) == NO_FUNCTION
        assert refused(call, FunctionName="f:2", MaximumRetryAttempts=1) == NO_FUNCTION
    assert refused(client.list_function_event_invoke_configs, FunctionName="none") == NO_FUNCTION
    assert refused(client.update_function_event_invoke_config, FunctionName="f", MaximumRetryAttempts=1) == NOTHING
    for call in (client.get_function_event_invoke_config, client.delete_function_event_invoke_config):
        assert refused(call, FunctionName="f") == NOTHING
        missing = f"The function {ARN}:none doesn't have an EventInvokeConfig"
        assert refused(call, FunctionName="f", Qualifier="none") == ("ResourceNotFoundException", 404, missing)


def test_it_goes_with_the_function(server: ControlServer, client: Any) -> None:
    client.put_function_event_invoke_config(FunctionName="f", MaximumRetryAttempts=1)
    client.delete_function(FunctionName="f")
    assert refused(client.get_function_event_invoke_config, FunctionName="f") == NOTHING


@pytest.mark.parametrize("call", ["put_function_event_invoke_config", "update_function_event_invoke_config"])
def test_nothing_to_configure(client: Any, call: str) -> None:
    text = "You must specify at least one of error handling or destination setting."
    client.put_function_event_invoke_config(FunctionName="f", MaximumRetryAttempts=1)
    assert refused(getattr(client, call), FunctionName="f") == ("InvalidParameterValueException", 400, text)


@pytest.mark.parametrize(
    ("members", "place"),
    [
        ({"MaximumRetryAttempts": 3}, "maximumRetryAttempts"),
        ({"MaximumEventAgeInSeconds": 21_601}, "maximumEventAgeInSeconds"),
        (
            {"DestinationConfig": {"OnFailure": {"Destination": "arn:aws:_-/!lambda:x:1:function:f"}}},
            "destinationConfig.onFailure.destination",
        ),
    ],
)
def test_values_outside_of_their_range(client: Any, members: dict[str, Any], place: str) -> None:
    code, status, text = refused(client.put_function_event_invoke_config, FunctionName="f", **members)
    assert (code, status) == ("ValidationException", 400)
    assert f"at '{place}' failed to satisfy constraint" in text


@pytest.mark.parametrize("arn", [QUEUE, TOPIC, BUS, f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:g"])
@pytest.mark.parametrize("name", ["OnSuccess", "OnFailure"])
def test_destinations(client: Any, name: str, arn: str) -> None:
    put = client.put_function_event_invoke_config(FunctionName="f", DestinationConfig={name: {"Destination": arn}})
    assert put["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {}, name: {"Destination": arn}}


def test_buckets_take_failures_only(server: ControlServer, client: Any) -> None:
    server.aws.objects["b", "object", None] = b""
    bucket = {"Destination": "arn:aws:s3:::b"}
    put = client.put_function_event_invoke_config(FunctionName="f", DestinationConfig={"OnFailure": bucket})
    assert put["DestinationConfig"]["OnFailure"] == bucket
    code, status, text = refused(
        client.put_function_event_invoke_config, FunctionName="f", DestinationConfig={"OnSuccess": bucket}
    )
    assert (code, status) == ("InvalidParameterValueException", 400)
    assert "onSuccess=OnSuccess(destination=arn:aws:s3:::b), onFailure=null) is invalid" in text


@pytest.mark.parametrize(
    ("arn", "text"),
    [
        (
            f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:none",
            f"The destination ARN arn:aws:lambda:{REGION}:{ACCOUNT}:function:none is invalid.",
        ),
        (
            f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:g:7",
            f"The destination ARN arn:aws:lambda:{REGION}:{ACCOUNT}:function:g:7 is invalid.",
        ),
        (
            f"arn:aws:lambda:{REGION}:999999999999:function:g",
            f"The destination ARN arn:aws:lambda:{REGION}:999999999999:function:g is invalid.",
        ),
        (ARN, "You can't specify the function as a destination for itself."),
        (f"{ARN}:1", "You can't specify the function as a destination for itself."),
        (
            f"arn:aws:iam:{REGION}:{ACCOUNT}:function:f",
            (
                "The provided destination config DestinationConfig(onSuccess=OnSuccess(destination="
                f"arn:aws:iam:{REGION}:{ACCOUNT}:function:f), onFailure=null) is invalid."
            ),
        ),
        (
            "kafka://topic",
            (
                "The provided destination config DestinationConfig(onSuccess=OnSuccess(destination=kafka://topic), "
                "onFailure=null) is invalid."
            ),
        ),
    ],
)
def test_destinations_that_nothing_is_sent_to(client: Any, arn: str, text: str) -> None:
    config = {"OnSuccess": {"Destination": arn}}
    answer = refused(client.put_function_event_invoke_config, FunctionName="f", DestinationConfig=config)
    assert answer == ("InvalidParameterValueException", 400, text)


def absent(code: str) -> Any:
    def answer(_: object) -> Any:
        raise AwsError(code, "it is not there")

    return answer


@pytest.mark.parametrize(
    ("arn", "call", "code", "action"),
    [
        (QUEUE, ("sqs", "GetQueueUrl"), "AWS.SimpleQueueService.NonExistentQueue", "SendMessage"),
        (TOPIC, ("sns", "GetTopicAttributes"), "NotFound", "Publish"),
        (BUS, ("events", "DescribeEventBus"), "ResourceNotFoundException", "PutEvents"),
        ("arn:aws:s3:::none", None, "", "PutObject"),
    ],
)
def test_what_is_not_there_is_refused(
    server: ControlServer, client: Any, arn: str, call: tuple[str, str] | None, code: str, action: str
) -> None:
    config = {"FunctionName": "f", "DestinationConfig": {"OnFailure": {"Destination": arn}}}
    text = f"The function's execution role does not have permissions to call {action} on {arn}"
    if call is None:
        answer = refused(client.put_function_event_invoke_config, **config)
        server.aws.objects["none", "object", None] = b""
    else:
        server.aws.operations[call] = absent(code)
        answer = refused(client.put_function_event_invoke_config, **config)
        server.aws.operations[call] = lambda _: {}
    assert answer == ("InvalidParameterValueException", 400, text)
    client.put_function_event_invoke_config(**config)


def test_what_nobody_can_say_is_let_in(server: ControlServer, client: Any, caplog: pytest.LogCaptureFixture) -> None:
    config = {"FunctionName": "f", "DestinationConfig": {"OnFailure": {"Destination": QUEUE}}}
    client.put_function_event_invoke_config(**config)
    server.aws.operations["sqs", "GetQueueUrl"] = absent("NotImplemented")
    client.put_function_event_invoke_config(**config)
    assert caplog.text.count(f"{QUEUE} cannot be looked up, and is taken as it is") == 2


def test_dead_letter_queues(server: ControlServer, client: Any) -> None:
    def update(arn: str) -> tuple[str, int, str]:
        return refused(client.update_function_configuration, FunctionName="f", DeadLetterConfig={"TargetArn": arn})

    text = "The provided execution role does not have permissions to call"
    server.aws.operations["sqs", "GetQueueUrl"] = absent("QueueDoesNotExist")
    assert update(QUEUE) == ("InvalidParameterValueException", 400, f"{text} SendMessage on SQS")
    server.aws.operations["sns", "GetTopicAttributes"] = absent("NotFound")
    assert update(TOPIC) == ("InvalidParameterValueException", 400, f"{text} Publish on SNS")
    for arn in (BUS, "arn:aws:sqs:q"):
        assert update(arn)[2] == f"The dead-letter target {arn} is neither a queue nor a topic."
    server.aws.operations["sqs", "GetQueueUrl"] = lambda _: {"QueueUrl": "u"}
    answer = client.update_function_configuration(FunctionName="f", DeadLetterConfig={"TargetArn": QUEUE})
    assert answer["DeadLetterConfig"] == {"TargetArn": QUEUE}


def test_two_qualifiers(client: Any) -> None:
    text = "The derived qualifier from the function name does not match the specified qualifier."
    for call in (client.put_function_event_invoke_config, client.update_function_event_invoke_config):
        answer = refused(call, FunctionName="f:1", Qualifier="2", MaximumRetryAttempts=1)
        assert answer == ("InvalidParameterValueException", 400, text)


def test_a_forged_marker(client: Any) -> None:
    answer = refused(client.list_function_event_invoke_configs, FunctionName="f", Marker="x")
    assert answer == ("InvalidParameterValueException", 400, "Invalid Marker.")
