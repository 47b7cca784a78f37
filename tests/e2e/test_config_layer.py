"""The layer of `examples/config-layer`: parameters that a client has put are a function's environment variables."""

import sys
from typing import Any

import pytest
from tests.support.functions import create, wait_active
from tests.support.layers import publish, tree
from tests.support.server import ROOT, LamellaServer

pytestmark = pytest.mark.sandbox

EXAMPLE = ROOT / "examples" / "config-layer"
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"


def shop(client: Any, path: str) -> Any:
    return create(
        client,
        tree(EXAMPLE / "function"),
        runtime=PYTHON,
        handler="shop.handler",
        MemorySize=1769,
        Timeout=30,
        Layers=[publish(client, tree(EXAMPLE / "layer"))],
        Environment={"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/config-wrapper", "CONFIG_PATH": path}},
    )


def test_parameters_are_environment_variables(server: LamellaServer, client: Any) -> None:
    """More than a page of them, some deeper, some secret, one whose name is Lambda's own."""
    ssm = server.boto3("ssm")
    values = {
        "/shop/prod/database_url": "postgres://first",
        "/shop/prod/logging/log_level": "debug",
        "/shop/prod/AWS_SECRET_ACCESS_KEY": "stolen",
        **{f"/shop/prod/filler_{number}": "x" for number in range(25)},
        "/shop/test/database_url": "postgres://test",
    }
    for name, value in values.items():
        ssm.put_parameter(Name=name, Value=value, Type="SecureString" if name.endswith("url") else "String")
    function = shop(client, "/shop/prod/")
    answer = function.invoke()
    assert answer.document == {"database": "postgres://first", "level": "debug"}
    log = server.lamella("logs", function.name).stdout
    assert "/shop/prod/AWS_SECRET_ACCESS_KEY is not set" in log

    ssm.put_parameter(Name="/shop/prod/database_url", Value="postgres://second", Overwrite=True)
    assert function.invoke().document["database"] == "postgres://first"  # as on AWS: until the environment is retired
    client.update_function_configuration(FunctionName=function.name, Description="retires the environment")
    wait_active(client, function.name)
    assert function.invoke().document["database"] == "postgres://second"


def test_a_function_sees_the_parameters_of_its_own_account(server: LamellaServer) -> None:
    accounts = {"111122223333": "postgres://one", "444455556666": "postgres://two"}
    for account, value in accounts.items():
        own = {"aws_access_key_id": account, "aws_secret_access_key": "x"}
        server.boto3("ssm", **own).put_parameter(Name="/own/database_url", Value=value, Type="String")
    for account, value in accounts.items():
        client = server.boto3(aws_access_key_id=account, aws_secret_access_key="x")
        assert shop(client, "/own/").invoke().document["database"] == value


def test_without_parameters_the_function_runs_without_them(client: Any) -> None:
    assert shop(client, "/nothing/here/").invoke().document == {"database": None, "level": None}
