"""Provisioned concurrency through boto3. Texts: LocalStack's handlers and recorded answers of AWS, 2023 to 2025."""

from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.contract.wire.control_server import ACCOUNT, REGION, ControlServer, zipped

from lamella.control.provisioned import load_provisions
from lamella.domain.alias import Alias
from lamella.domain.function import FunctionKey
from lamella.ports.provisioning import Provisioned

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
F = FunctionKey(ACCOUNT, REGION, "f")
MODIFIED = "2026-11-20T20:01:02.123+0000"


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
            Publish=True,
        )
    server.release()
    server.run(server.aliases.create(Alias(F, "live", "1", "r")))
    return client


def put(client: Any, count: int, qualifier: str = "1", name: str = "f") -> dict[str, Any]:
    answer = client.put_provisioned_concurrency_config(
        FunctionName=name, Qualifier=qualifier, ProvisionedConcurrentExecutions=count
    )
    assert answer.pop("ResponseMetadata")["HTTPStatusCode"] == 202
    return dict(answer)


def get(client: Any, qualifier: str = "1") -> dict[str, Any]:
    answer = client.get_provisioned_concurrency_config(FunctionName="f", Qualifier=qualifier)
    assert answer.pop("ResponseMetadata")["HTTPStatusCode"] == 200
    return dict(answer)


def refused(call: Any, *arguments: Any, **members: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(*arguments, **members)
    error = caught.value.response
    return error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Message"]


def publish_another(server: ControlServer, client: Any) -> None:
    client.update_function_configuration(FunctionName="f", Description="another")
    server.release()
    client.publish_version(FunctionName="f")
    server.release()


def shown(requested: int, allocated: int, status: str) -> dict[str, Any]:
    return {
        "RequestedProvisionedConcurrentExecutions": requested,
        "AllocatedProvisionedConcurrentExecutions": allocated,
        "AvailableProvisionedConcurrentExecutions": allocated,
        "Status": status,
        "LastModified": MODIFIED,
    }


NONE = (
    "ProvisionedConcurrencyConfigNotFoundException",
    404,
    "No Provisioned Concurrency Config found for this function",
)


def test_the_life_of_a_configuration(server: ControlServer, client: Any) -> None:
    assert refused(get, client) == NONE
    assert put(client, 5) == get(client) == shown(5, 0, "IN_PROGRESS")
    server.provisioner.found = Provisioned(5, 5)
    assert get(client) == shown(5, 5, "READY")
    server.provisioner.found = Provisioned(2, 2, "FUNCTION_ERROR_INIT_FAILURE")
    assert get(client) == shown(5, 2, "FAILED") | {"StatusReason": "FUNCTION_ERROR_INIT_FAILURE"}
    put(client, 2)
    assert get(client) == shown(2, 2, "READY")
    for _ in range(2):  # that there is none is no error
        answer = client.delete_provisioned_concurrency_config(FunctionName="f", Qualifier="1")
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refused(get, client) == NONE
    assert server.provisioner.asked == [("f", "1", 5), ("f", "1", 2), ("f", "1", None), ("f", "1", None)]


def test_a_list(server: ControlServer, client: Any) -> None:
    put(client, 1, "live")
    publish_another(server, client)
    put(client, 3, "2")
    paginator = client.get_paginator("list_provisioned_concurrency_configs")
    for size in (1, 2, 50):
        pages = list(paginator.paginate(FunctionName="f", PaginationConfig={"PageSize": size}))
        items = [item for page in pages for item in page["ProvisionedConcurrencyConfigs"]]
        assert items == [
            {"FunctionArn": f"{ARN}:2"} | shown(3, 0, "IN_PROGRESS"),
            {"FunctionArn": f"{ARN}:live"} | shown(1, 0, "IN_PROGRESS"),
        ]


@pytest.mark.parametrize(
    ("qualifier", "error"),
    [
        ("9", ("ResourceNotFoundException", 404, f"Function not found: {ARN}:9")),
        ("gone", ("ResourceNotFoundException", 404, f"Cannot find alias arn: {ARN}:gone")),
    ],
)
def test_what_is_not_there(client: Any, qualifier: str, error: tuple[str, int, str]) -> None:
    assert refused(put, client, 1, qualifier) == error
    assert refused(get, client, qualifier) == error
    name = {"FunctionName": "f", "Qualifier": qualifier}
    assert refused(client.delete_provisioned_concurrency_config, **name) == error


def test_what_is_not_published(client: Any) -> None:
    text = "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
    assert refused(put, client, 1, "$LATEST") == ("InvalidParameterValueException", 400, text)
    text = "The function resource provided must be an alias or a published version."
    assert refused(get, client, "$LATEST") == ("InvalidParameterValueException", 400, text)
    found = refused(client.delete_provisioned_concurrency_config, FunctionName="f", Qualifier="$LATEST")
    assert found == ("InvalidParameterValueException", 400, text)


def test_a_version_has_it_by_itself_or_by_an_alias(client: Any) -> None:
    put(client, 1, "live")
    conflict = refused(put, client, 1, "1")
    assert conflict == ("ResourceConflictException", 409, "Version is pointed by a Provisioned Concurrency alias")
    client.delete_provisioned_concurrency_config(FunctionName="f", Qualifier="live")
    put(client, 1, "1")
    text = "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version"
    assert refused(put, client, 1, "live") == ("ResourceConflictException", 409, text)


def unreserved(client: Any) -> int:
    return int(client.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"])


def test_it_is_taken_from_what_the_account_has(client: Any) -> None:
    text = "Specified ConcurrentExecutions for function is greater than account's unreserved concurrency [1000]."
    assert refused(put, client, 1001) == ("InvalidParameterValueException", 400, text)
    put(client, 900)
    assert unreserved(client) == 100
    text = (
        "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its "
        "minimum value of [100]."
    )
    assert refused(put, client, 1, name="g") == ("InvalidParameterValueException", 400, text)
    assert refused(put, client, 901)[2] == text
    put(client, 899)
    put(client, 1, name="g")
    code, _, text = refused(client.put_function_concurrency, FunctionName="g", ReservedConcurrentExecutions=2)
    assert (code, "below its minimum value of [100]" in text) == ("InvalidParameterValueException", True)


def test_it_is_part_of_a_reservation(client: Any) -> None:
    client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=2)
    text = "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for function"
    assert refused(put, client, 3) == ("InvalidParameterValueException", 400, text)
    put(client, 2)
    assert unreserved(client) == 998
    lower = refused(client.put_function_concurrency, FunctionName="f", ReservedConcurrentExecutions=1)
    text = " ReservedConcurrentExecutions  1 should not be lower than function's total provisioned concurrency [2]."
    assert lower == ("InvalidParameterValueException", 400, text)
    client.delete_function_concurrency(FunctionName="f")
    assert unreserved(client) == 998


def test_it_goes_with_its_version_and_is_asked_for_again_at_the_start(server: ControlServer, client: Any) -> None:
    publish_another(server, client)
    for qualifier, count in (("live", 2), ("2", 3)):
        put(client, count, qualifier)
    server.provisioner.asked.clear()
    server.run(load_provisions(server.records.functions, server.provisioner))
    assert server.provisioner.asked == [("f", "2", 3), ("f", "live", 2)]
    client.delete_function(FunctionName="f", Qualifier="2")
    server.provisioner.asked.clear()
    server.run(load_provisions(server.records.functions, server.provisioner))
    assert server.provisioner.asked == [("f", "live", 2)]
