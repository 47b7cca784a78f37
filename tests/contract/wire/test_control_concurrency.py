from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.contract.wire.control_server import ACCOUNT, REGION, ControlServer, zipped

from lamella.domain.function import FunctionKey

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
F = FunctionKey(ACCOUNT, REGION, "f")
TOO_MUCH = (
    "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its "
    "minimum value of [100]."
)
QUALIFIED = (
    "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. "
    "Please specify either a function name or an unqualified function ARN."
)


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
    return client


def refused(call: Any, **members: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(**members)
    error = caught.value.response
    return error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Message"]


def unreserved(client: Any) -> int:
    limit = client.get_account_settings()["AccountLimit"]
    assert limit["ConcurrentExecutions"] == 1000
    return int(limit["UnreservedConcurrentExecutions"])


def reserved(client: Any, name: str = "f") -> int | None:
    found = client.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions")
    assert client.get_function(FunctionName=name).get("Concurrency", {}).get("ReservedConcurrentExecutions") == found
    return None if found is None else int(found)


def test_a_reservation_comes_and_goes(server: ControlServer, client: Any) -> None:
    assert (reserved(client), unreserved(client)) == (None, 1000)
    for executions in (0, 1, 900):
        answer = client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=executions)
        assert (answer["ReservedConcurrentExecutions"], answer["ResponseMetadata"]["HTTPStatusCode"]) == (
            executions,
            200,
        )
        assert (reserved(client), unreserved(client)) == (executions, 1000 - executions)
    for _ in range(2):
        answer = client.delete_function_concurrency(FunctionName=ARN)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
        assert (reserved(client), unreserved(client)) == (None, 1000)
    assert server.observed.reserved == [(F, 0), (F, 1), (F, 900), (F, None), (F, None)]


def test_a_hundred_stay_unreserved(server: ControlServer, client: Any) -> None:
    client.put_function_concurrency(FunctionName="g", ReservedConcurrentExecutions=300)
    for executions in (601, 1000, 1001, 2**31 - 1):
        assert refused(client.put_function_concurrency, FunctionName="f", ReservedConcurrentExecutions=executions) == (
            "InvalidParameterValueException",
            400,
            TOO_MUCH,
        )
    assert reserved(client) is None
    client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=600)
    client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=600)
    assert unreserved(client) == 100
    assert [executions for _, executions in server.observed.reserved] == [300, 600, 600]


def test_deleting_a_function_frees_what_it_had_reserved(client: Any) -> None:
    client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=900)
    client.delete_function(FunctionName="f")
    assert unreserved(client) == 1000


def test_accounts_and_regions_reserve_for_themselves(server: ControlServer, client: Any) -> None:
    client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=900)
    for other in (server.client(account="111111111111"), server.client(region="us-east-1")):
        assert unreserved(other) == 1000
        assert refused(other.get_function_concurrency, FunctionName="f")[0] == "ResourceNotFoundException"


def test_only_the_function_as_a_whole_shows_it(client: Any) -> None:
    """Source: see `lamella.control.functions`."""
    client.publish_version(FunctionName="f")
    client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=4)
    assert client.get_function(FunctionName="f")["Concurrency"] == {"ReservedConcurrentExecutions": 4}
    for qualifier in ("$LATEST", "1"):
        assert "Concurrency" not in client.get_function(FunctionName="f", Qualifier=qualifier)


@pytest.mark.parametrize("operation", ["put", "get", "delete"])
@pytest.mark.parametrize(
    ("name", "code", "status", "text"),
    [
        (f"{ARN}:$LATEST", "InvalidParameterValueException", 400, QUALIFIED),
        (f"{ARN}:1", "InvalidParameterValueException", 400, QUALIFIED),
        (f"{ARN[:-1]}h", "ResourceNotFoundException", 404, f"Function not found: {ARN[:-1]}h"),
        ("h", "ResourceNotFoundException", 404, f"Function not found: {ARN[:-1]}h"),
    ],
)
def test_what_has_no_concurrency_of_its_own(
    client: Any, operation: str, name: str, code: str, status: int, text: str
) -> None:
    call = getattr(client, f"{operation}_function_concurrency")
    members = {"ReservedConcurrentExecutions": 1} if operation == "put" else {}
    if operation == "put" and status == 404:
        text += ":$LATEST"  # as AWS says it; recorded in LocalStack's tests, 2023
    assert refused(call, FunctionName=name, **members) == (code, status, text)
