"""Event source mappings of streams through a real boto3 client. Texts are AWS's as LocalStack has recorded them."""

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.contract.wire.control_server import ACCOUNT, REGION, ControlServer, zipped

from lamella.domain.mapping import KIND
from lamella.ports.aws import AwsError, AwsUnavailableError

STREAM = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/s"
TABLE = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/t/stream/2026-11-20T20:01:02.123"
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
LOST = f"arn:aws:sqs:{REGION}:{ACCOUNT}:lost"
PAST = datetime(2026, 11, 1, tzinfo=UTC)
INVALID = "InvalidParameterValueException"


@pytest.fixture(autouse=True)
def _function(server: ControlServer, client: Any) -> None:
    def described(parameters: Any) -> Any:
        (arn,) = parameters.values()
        if "gone" in arn:
            raise AwsError("ResourceNotFoundException", "Stream gone under account 1 not found.")
        if "broken" in arn:
            raise AwsError("InternalFailure", "it broke")
        if "away" in arn:
            raise AwsUnavailableError("Nobody answers for kinesis.")
        return {}

    server.aws.operations[("kinesis", "DescribeStreamSummary")] = described
    server.aws.operations[("dynamodbstreams", "DescribeStream")] = described
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


def create(client: Any, **asked: Any) -> Any:
    return client.create_event_source_mapping(
        **{"FunctionName": "f", "EventSourceArn": STREAM, "StartingPosition": "LATEST", **asked}
    )


def settle(server: ControlServer, id_: str) -> None:
    """What the observer would do."""

    async def change() -> None:
        await server.records.accounts.change(
            ACCOUNT, REGION, KIND, id_, lambda document: {**(document or {}), "state": "Enabled"}
        )

    server.run(change())


@pytest.mark.parametrize("arn", [STREAM, TABLE])
def test_a_new_mapping_has_the_members_of_aws(server: ControlServer, client: Any, arn: str) -> None:
    created = create(client, EventSourceArn=arn)
    assert created.pop("ResponseMetadata")["HTTPStatusCode"] == 202
    assert created.pop("LastModified").timestamp() == pytest.approx(server.clock.now().timestamp(), abs=0.001)
    id_ = created["UUID"]
    assert created == {
        "BatchSize": 100,
        "BisectBatchOnFunctionError": False,
        "DestinationConfig": {"OnFailure": {}},
        "EventSourceArn": arn,
        "EventSourceMappingArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:event-source-mapping:{id_}",
        "FunctionArn": FUNCTION,
        "FunctionResponseTypes": [],
        "LastProcessingResult": "No records processed",
        "MaximumBatchingWindowInSeconds": 0,
        "MaximumRecordAgeInSeconds": -1,
        "MaximumRetryAttempts": -1,
        "ParallelizationFactor": 1,
        "StartingPosition": "LATEST",
        "State": "Creating",
        "StateTransitionReason": "User action",
        "TumblingWindowInSeconds": 0,
        "UUID": id_,
    }
    assert [mapping.uuid for mapping in server.observed.mappings] == [id_]


def test_what_was_asked_for_is_shown_and_can_be_changed(server: ControlServer, client: Any) -> None:
    asked = {
        "BatchSize": 10_000,
        "MaximumBatchingWindowInSeconds": 5,
        "FilterCriteria": {"Filters": [{"Pattern": '{"data": {"a": [1]}}'}]},
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "ParallelizationFactor": 10,
        "MaximumRetryAttempts": 3,
        "MaximumRecordAgeInSeconds": 60,
        "BisectBatchOnFunctionError": True,
        "DestinationConfig": {"OnFailure": {"Destination": LOST}},
    }
    id_ = create(client, StartingPosition="AT_TIMESTAMP", StartingPositionTimestamp=PAST, **asked)["UUID"]
    shown = client.get_event_source_mapping(UUID=id_)
    assert {name: shown[name] for name in asked} == asked
    assert (shown["StartingPosition"], shown["StartingPositionTimestamp"]) == ("AT_TIMESTAMP", PAST)
    settle(server, id_)
    changes = {
        "ParallelizationFactor": 1,
        "MaximumRetryAttempts": -1,
        "BisectBatchOnFunctionError": False,
        "DestinationConfig": {"OnFailure": {}},
        "FunctionResponseTypes": [],
    }
    updated = client.update_event_source_mapping(UUID=id_, **changes)
    assert updated["State"] == "Updating"
    kept = {name: value for name, value in asked.items() if name not in changes}
    assert {name: updated[name] for name in (*changes, *kept)} == {**changes, **kept}


def test_the_last_result_is_shown(server: ControlServer, client: Any) -> None:
    id_ = create(client)["UUID"]
    server.observed.results[id_] = "PROBLEM: Function call failed"
    (shown,) = client.list_event_source_mappings(EventSourceArn=STREAM)["EventSourceMappings"]
    assert shown["LastProcessingResult"] == "PROBLEM: Function call failed"


def test_a_destination_is_taken_away_with_an_empty_name(server: ControlServer, client: Any) -> None:
    id_ = create(client, DestinationConfig={"OnFailure": {"Destination": LOST}})["UUID"]
    settle(server, id_)
    updated = client.update_event_source_mapping(UUID=id_, DestinationConfig={"OnFailure": {"Destination": ""}})
    assert updated["DestinationConfig"] == {"OnFailure": {}}


def test_the_same_stream_twice_for_a_function(client: Any) -> None:
    id_ = create(client)["UUID"]
    create(client, FunctionName="g")
    with pytest.raises(ClientError) as caught:
        create(client, StartingPosition="TRIM_HORIZON")
    error = caught.value.response["Error"]
    assert error["Code"] == "ResourceConflictException"
    assert error["Message"] == (
        f'The event source arn (" {STREAM} ") and function (" f ") provided mapping already exists. '
        f"Please update or delete the existing mapping with UUID {id_}"
    )


def test_listings_tell_sources_apart(client: Any) -> None:
    for arn, function in ((STREAM, "f"), (STREAM, "g"), (TABLE, "f")):
        create(client, EventSourceArn=arn, FunctionName=function)

    def listed(**arguments: Any) -> list[tuple[str, str]]:
        found = client.list_event_source_mappings(**arguments)["EventSourceMappings"]
        return sorted((one["EventSourceArn"], one["FunctionArn"].rpartition(":")[2]) for one in found)

    assert listed(EventSourceArn=STREAM) == [(STREAM, "f"), (STREAM, "g")]
    assert listed(FunctionName="f") == [(TABLE, "f"), (STREAM, "f")]


@pytest.mark.parametrize(
    ("asked", "code", "text"),
    [
        (
            {"StartingPosition": None},
            INVALID,
            ("1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: "
             "Member must not be null."),
        ),
        (
            {"StartingPosition": "0"},
            "ValidationException",
            ("1 validation error detected: Value '0' at 'startingPosition' failed to satisfy constraint: "
             "Member must satisfy enum value set: [TRIM_HORIZON, LATEST, AT_TIMESTAMP]"),  # in the order of the model
        ),
        (
            {"StartingPositionTimestamp": PAST},
            INVALID,
            "Timestamp only valid with StartingPosition AT_TIMESTAMP",
        ),
        ({"StartingPosition": "AT_TIMESTAMP"}, INVALID, "Need to specify a timestamp"),
        (
            {"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": -1},
            INVALID,
            ("Received Exception while reading from provided stream. "
             "class java.lang.Long can not be converted to a Timestamp"),
        ),
        ({"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": datetime(2030, 1, 1, tzinfo=UTC)},
         INVALID, None),
        (
            {"EventSourceArn": TABLE, "StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": PAST},
            INVALID,
            f"Unsupported starting position for arn type: {TABLE}",
        ),
        ({"EventSourceArn": f"{STREAM}-gone"}, INVALID, f"Stream not found: {STREAM}-gone"),
        ({"EventSourceArn": TABLE.replace("/t/", "/gone/")}, INVALID,
         f"Stream not found: {TABLE.replace('/t/', '/gone/')}"),
        ({"EventSourceArn": f"{STREAM}-broken"}, INVALID,
         "Received Exception while reading from provided stream. it broke"),
        ({"EventSourceArn": f"{STREAM}-away"}, INVALID, None),
        ({"EventSourceArn": TABLE.partition("/stream")[0]}, INVALID, "Unrecognized event source."),
        ({"EventSourceArn": f"{STREAM}/consumer/c:1"}, INVALID, None),
        ({"EventSourceArn": STREAM.replace(REGION, "us-west-2")}, INVALID, None),
        ({"FunctionName": "none"}, INVALID, "Function does not exist"),
        *(
            ({"FilterCriteria": {"Filters": [{"Pattern": text}]}}, INVALID, "Invalid filter pattern definition.")
            for text in ("single-string", '[{"eventName": ["INSERT"=123}]')
        ),
        (
            {"DestinationConfig": {"OnSuccess": {"Destination": LOST}}},
            INVALID,
            "Unsupported DestinationConfig parameter for given event source mapping type.",
        ),
        ({"DestinationConfig": {"OnFailure": {"Destination": FUNCTION}}}, INVALID, None),
        ({"DestinationConfig": {"OnFailure": {"Destination": f"{LOST}.fifo"}}}, INVALID, None),
        ({"DestinationConfig": {"OnFailure": {"Destination": "kafka://topic"}}}, INVALID, None),
        ({"MaximumRecordAgeInSeconds": 59}, INVALID, None),
        ({"MaximumRecordAgeInSeconds": 604_801}, "ValidationException", None),
        ({"MaximumRetryAttempts": 10_001}, "ValidationException", None),
        ({"ParallelizationFactor": 11}, "ValidationException", None),
        ({"BatchSize": 10_001}, "ValidationException", None),
        ({"TumblingWindowInSeconds": 30, "ParallelizationFactor": 2}, INVALID, None),
        ({"TumblingWindowInSeconds": 901}, "ValidationException", None),
        ({"ScalingConfig": {"MaximumConcurrency": 2}}, INVALID, None),
        ({"ProvisionedPollerConfig": {"MinimumPollers": 2}}, INVALID, None),
    ],
)  # fmt: skip
def test_what_is_refused(client: Any, asked: dict[str, Any], code: str, text: str | None) -> None:
    asked = {"FunctionName": "f", "EventSourceArn": STREAM, "StartingPosition": "LATEST", **asked}
    with pytest.raises(ClientError) as caught:
        client.create_event_source_mapping(**{name: value for name, value in asked.items() if value is not None})
    error = caught.value.response["Error"]
    assert error["Code"] == code
    assert text is None or error["Message"] == text
    assert client.list_event_source_mappings()["EventSourceMappings"] == []


def test_windows_come_and_go(server: ControlServer, client: Any) -> None:
    created = create(client, TumblingWindowInSeconds=30)
    assert created["TumblingWindowInSeconds"] == 30
    settle(server, created["UUID"])
    with pytest.raises(ClientError, match="ParallelizationFactor must be 1"):
        client.update_event_source_mapping(UUID=created["UUID"], ParallelizationFactor=2)
    updated = client.update_event_source_mapping(
        UUID=created["UUID"], ParallelizationFactor=2, TumblingWindowInSeconds=0
    )
    assert (updated["TumblingWindowInSeconds"], updated["ParallelizationFactor"]) == (0, 2)
