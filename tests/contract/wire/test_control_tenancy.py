from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.contract.wire.control_server import ACCOUNT, REGION, ControlServer, zipped


@pytest.fixture
def client(server: ControlServer) -> Any:
    client = server.client()
    client.create_function(
        FunctionName="f",
        Role=f"arn:aws:iam::{ACCOUNT}:role/r",
        Runtime="python3.11",
        Handler="h.h",
        Code={"ZipFile": zipped(index__py="1")},
        TenancyConfig={"TenantIsolationMode": "PER_TENANT"},
        Publish=True,
    )
    server.release()
    return client


def refused(call: Any, **members: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**members)
    assert caught.value.response["Error"]["Code"] == "InvalidParameterValueException"
    return str(caught.value.response["Error"]["Message"])


def test_what_such_functions_cannot_have(client: Any) -> None:
    end = "is not supported for functions with tenant isolation mode."
    assert (
        refused(
            client.put_provisioned_concurrency_config,
            FunctionName="f",
            Qualifier="1",
            ProvisionedConcurrentExecutions=1,
        )
        == f"Provisioned Concurrency {end}"
    )
    assert refused(client.create_function_url_config, FunctionName="f", AuthType="NONE") == f"A function URL {end}"
    queue = f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"
    text = refused(client.create_event_source_mapping, FunctionName="f", EventSourceArn=queue)
    assert text == f"An event source mapping {end}"


def test_no_snapshots(server: ControlServer, client: Any) -> None:
    text = refused(
        client.create_function,
        FunctionName="g",
        Role=f"arn:aws:iam::{ACCOUNT}:role/r",
        Runtime="provided.al2023",
        Handler="h.h",
        Code={"ZipFile": zipped(index__py="1")},
        TenancyConfig={"TenantIsolationMode": "PER_TENANT"},
        SnapStart={"ApplyOn": "PublishedVersions"},
    )
    assert "SnapStart" in text
