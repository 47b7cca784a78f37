"""Event source mappings through a real boto3 client. Texts are AWS's as LocalStack has recorded them."""

from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.contract.wire.control_server import ACCOUNT, REGION, ControlServer, zipped

from lamella.domain.mapping import KIND
from lamella.ports.aws import AwsError

QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"
FIFO = f"{QUEUE}.fifo"
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
FILTERS = {"Filters": [{"Pattern": '{"body": {"a": [1]}}'}]}


@pytest.fixture(autouse=True)
def _function(server: ControlServer, client: Any) -> None:
    def url(parameters: Any) -> Any:
        if parameters["QueueName"] == "gone":
            raise AwsError("AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.")
        return {"QueueUrl": f"http://queues/{parameters['QueueName']}"}

    server.aws.operations[("sqs", "GetQueueUrl")] = url
    server.aws.operations[("sqs", "GetQueueAttributes")] = lambda _: {"Attributes": {"VisibilityTimeout": "30"}}
    for name in ("f", "g"):
        client.create_function(
            FunctionName=name,
            Runtime="python3.11",
            Handler="f.handler",
            Role=f"arn:aws:iam::{ACCOUNT}:role/any",
            Timeout=30,
            Code={"ZipFile": zipped(f__py="")},
        )
    server.release()


def plain(answer: Any) -> Any:
    del answer["ResponseMetadata"]
    return answer


def settle(server: ControlServer, id_: str, state: str = "Enabled") -> None:
    """What the observer would do."""

    async def change() -> None:
        await server.records.accounts.change(
            ACCOUNT, REGION, KIND, id_, lambda document: {**(document or {}), "state": state}
        )

    server.run(change())


def test_a_new_mapping_has_the_members_of_aws(server: ControlServer, client: Any) -> None:
    created = client.create_event_source_mapping(EventSourceArn=QUEUE, FunctionName="f")
    assert created["ResponseMetadata"]["HTTPStatusCode"] == 202
    modified = created.pop("LastModified")
    assert modified.timestamp() == pytest.approx(server.clock.now().timestamp(), abs=0.001)
    id_ = created["UUID"]
    assert plain(created) == {
        "BatchSize": 10,
        "EventSourceArn": QUEUE,
        "EventSourceMappingArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:event-source-mapping:{id_}",
        "FunctionArn": FUNCTION,
        "FunctionResponseTypes": [],
        "MaximumBatchingWindowInSeconds": 0,
        "State": "Creating",
        "StateTransitionReason": "USER_INITIATED",
        "UUID": id_,
    }
    assert [mapping.uuid for mapping in server.observed.mappings] == [id_]


def test_an_alias_is_given_messages_by_its_own_name(client: Any) -> None:
    client.publish_version(FunctionName="f")
    client.create_alias(FunctionName="f", Name="live", FunctionVersion="1")
    created = client.create_event_source_mapping(EventSourceArn=QUEUE, FunctionName="f:live")
    assert created["FunctionArn"] == f"{FUNCTION}:live"
    with pytest.raises(ClientError, match="Function does not exist"):
        client.create_event_source_mapping(EventSourceArn=QUEUE, FunctionName="f:other")


def test_what_was_asked_for_is_shown(client: Any) -> None:
    asked = {
        "BatchSize": 100,
        "MaximumBatchingWindowInSeconds": 5,
        "FilterCriteria": FILTERS,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "ScalingConfig": {"MaximumConcurrency": 7},
    }
    created = client.create_event_source_mapping(EventSourceArn=QUEUE, FunctionName=f"{FUNCTION}:$LATEST", **asked)
    shown = client.get_event_source_mapping(UUID=created["UUID"])
    assert {name: shown[name] for name in asked} == asked
    assert shown["FunctionArn"] == f"{FUNCTION}:$LATEST"


def test_a_disabled_mapping_is_settled_at_once(server: ControlServer, client: Any) -> None:
    created = client.create_event_source_mapping(EventSourceArn=QUEUE, FunctionName="f", Enabled=False)
    assert created["State"] == "Disabled"
    assert server.observed.mappings == []
    enabling = client.update_event_source_mapping(UUID=created["UUID"], Enabled=True)
    assert enabling["State"] == "Enabling"


def test_the_life_of_a_mapping(server: ControlServer, client: Any) -> None:
    id_ = client.create_event_source_mapping(EventSourceArn=QUEUE, FunctionName="f", FilterCriteria=FILTERS)["UUID"]
    for call in (client.update_event_source_mapping, client.delete_event_source_mapping):
        with pytest.raises(ClientError, match="the event source mapping because it is in use") as caught:
            call(UUID=id_)
        assert caught.value.response["Error"]["Code"] == "ResourceInUseException"
    settle(server, id_)
    updated = client.update_event_source_mapping(UUID=id_, FunctionName="g", FilterCriteria={})
    assert (updated["State"], updated["FunctionArn"].rpartition(":")[2]) == ("Updating", "g")
    assert "FilterCriteria" not in updated
    settle(server, id_)
    assert client.update_event_source_mapping(UUID=id_, Enabled=False)["State"] == "Disabling"
    settle(server, id_, "Disabled")
    assert client.delete_event_source_mapping(UUID=id_)["State"] == "Deleting"
    assert client.get_event_source_mapping(UUID=id_)["State"] == "Deleting"
    assert [mapping.state for mapping in server.observed.mappings] == ["Creating", "Updating", "Disabling", "Deleting"]


def test_tags_stay_with_a_mapping_that_changes(server: ControlServer, client: Any) -> None:
    created = client.create_event_source_mapping(EventSourceArn=QUEUE, FunctionName="f", Tags={"team": "orders"})
    id_, arn = created["UUID"], created["EventSourceMappingArn"]
    settle(server, id_)
    client.tag_resource(Resource=arn, Tags={"stage": "live"})
    assert client.get_event_source_mapping(UUID=id_)["UUID"] == id_
    client.update_event_source_mapping(UUID=id_, BatchSize=5)
    assert client.list_tags(Resource=arn)["Tags"] == {"team": "orders", "stage": "live"}


def test_listings(server: ControlServer, client: Any) -> None:
    for queue, function in ((QUEUE, "f"), (QUEUE, "g"), (f"{QUEUE}2", "f")):
        client.create_event_source_mapping(EventSourceArn=queue, FunctionName=function)

    def listed(**arguments: Any) -> list[tuple[str, str]]:
        pages = client.get_paginator("list_event_source_mappings").paginate(**arguments)
        found = [mapping for page in pages for mapping in page["EventSourceMappings"]]
        return sorted((one["EventSourceArn"], one["FunctionArn"].rpartition(":")[2]) for one in found)

    everything = [(QUEUE, "f"), (QUEUE, "g"), (f"{QUEUE}2", "f")]
    assert listed() == everything == listed(PaginationConfig={"PageSize": 1})
    assert listed(EventSourceArn=QUEUE) == everything[:2]
    assert listed(FunctionName="f", EventSourceArn=QUEUE) == everything[:1]
    assert server.client(account="999988887777").list_event_source_mappings()["EventSourceMappings"] == []


@pytest.mark.parametrize(
    ("asked", "code", "text"),
    [
        ({"FunctionName": "f"}, "InvalidParameterValueException", "Unrecognized event source."),
        ({"FunctionName": "h", "EventSourceArn": QUEUE}, "InvalidParameterValueException", "Function does not exist"),
        (
            {"StartingPosition": "LATEST"},
            "InvalidParameterValueException",
            "StartingPosition is not valid for SQS event sources.",
        ),
        (
            {"BatchSize": 11},
            "InvalidParameterValueException",
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10",
        ),
        *(
            ({"FilterCriteria": {"Filters": [{"Pattern": text}]}}, "InvalidParameterValueException",
             "Invalid filter pattern definition.")
            for text in ("simple string", '{"eventSource": "aws:sqs"}', "{}")
        ),
        (
            {"EventSourceArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:gone"},
            "InvalidParameterValueException",
            ("Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. "
             "SQS Error Message: The specified queue does not exist."),
        ),
        ({"EventSourceArn": FIFO, "MaximumBatchingWindowInSeconds": 1}, "InvalidParameterValueException", None),
        ({"EventSourceArn": f"arn:aws:sqs:us-west-2:{ACCOUNT}:q"}, "InvalidParameterValueException", None),
        ({"EventSourceArn": f"arn:aws:kafka:{REGION}:{ACCOUNT}:cluster/c/1"}, "InvalidParameterValueException", None),
        ({"EventSourceArn": f"arn:aws:mq:{REGION}:{ACCOUNT}:broker:b:1"}, "InvalidParameterValueException", None),
        ({"EventSourceArn": f"arn:aws:rds:{REGION}:{ACCOUNT}:cluster:c"}, "InvalidParameterValueException", None),
        ({"ParallelizationFactor": 2}, "InvalidParameterValueException", None),
        ({"ProvisionedPollerConfig": {"MinimumPollers": 2}}, "InvalidParameterValueException", None),
        (
            {"DestinationConfig": {"OnFailure": {"Destination": QUEUE}}},
            "InvalidParameterValueException",
            "Unsupported DestinationConfig parameter for given event source mapping type.",
        ),
        ({"ScalingConfig": {"MaximumConcurrency": 1001}}, "ValidationException", None),
    ],
)  # fmt: skip
def test_what_is_refused(client: Any, asked: dict[str, Any], code: str, text: str | None) -> None:
    if "FunctionName" not in asked:
        asked = {"FunctionName": "f", "EventSourceArn": QUEUE, **asked}
    with pytest.raises(ClientError) as caught:
        client.create_event_source_mapping(**asked)
    error = caught.value.response["Error"]
    assert error["Code"] == code
    assert text is None or error["Message"] == text
    assert client.list_event_source_mappings()["EventSourceMappings"] == []


def test_a_queue_that_hides_messages_for_too_short(server: ControlServer, client: Any) -> None:
    server.aws.operations[("sqs", "GetQueueAttributes")] = lambda _: {"Attributes": {"VisibilityTimeout": "29"}}
    with pytest.raises(ClientError) as caught:
        client.create_event_source_mapping(EventSourceArn=QUEUE, FunctionName="f")
    text = "Queue visibility timeout: 29 seconds is less than Function timeout: 30 seconds"
    assert caught.value.response["Error"]["Message"] == text


def test_the_same_queue_twice_for_a_function(client: Any) -> None:
    id_ = client.create_event_source_mapping(EventSourceArn=QUEUE, FunctionName="f")["UUID"]
    with pytest.raises(ClientError) as caught:
        client.create_event_source_mapping(EventSourceArn=QUEUE, FunctionName="f")
    error = caught.value.response["Error"]
    assert error["Code"] == "ResourceConflictException"
    assert error["Message"] == (
        f'An event source mapping with SQS arn (" {QUEUE} ") and function (" f ") already exists. '
        f"Please update or delete the existing mapping with UUID {id_}"
    )


def test_what_is_not_there(client: Any) -> None:
    for call in (
        client.get_event_source_mapping,
        client.update_event_source_mapping,
        client.delete_event_source_mapping,
    ):
        with pytest.raises(ClientError) as caught:
            call(UUID="01234567-89ab-cdef-0123-456789abcdef")
        error = caught.value.response["Error"]
        assert (error["Code"], error["Message"]) == (
            "ResourceNotFoundException",
            "The resource you requested does not exist.",
        )
