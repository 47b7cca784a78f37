from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.contract.wire.control_server import ACCOUNT, REGION, ControlServer, zipped

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
SCALING = {"MinExecutionEnvironments": 1, "MaxExecutionEnvironments": 2}


def answers(client: Any, **members: Any) -> list[tuple[str, int, str]]:
    found = []
    for call, more in (
        (client.put_function_scaling_config, {"FunctionScalingConfig": SCALING}),
        (client.get_function_scaling_config, {}),
    ):
        with pytest.raises(ClientError) as caught:
            call(**{**more, **members})
        error = caught.value.response
        found.append((error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Message"]))
    return found


def test_functions_without_a_capacity_provider_have_none(server: ControlServer, client: Any) -> None:
    missing = "Function not found: " + ARN
    assert answers(client, FunctionName="f", Qualifier="1") == [("ResourceNotFoundException", 404, missing + ":1")] * 2
    client.create_function(
        FunctionName="f",
        Role=f"arn:aws:iam::{ACCOUNT}:role/r",
        Runtime="python3.11",
        Handler="h.h",
        Code={"ZipFile": zipped(index__py="1")},
        Publish=True,
    )
    server.release()
    text = "The function provided by the arn does not contain a capacity provider configuration"
    for qualifier in ("1", "$LATEST.PUBLISHED"):
        assert answers(client, FunctionName="f", Qualifier=qualifier) == [("AccessDeniedException", 403, text)] * 2
    assert answers(client, FunctionName=ARN, Qualifier="2") == [("ResourceNotFoundException", 404, missing + ":2")] * 2


def test_what_the_model_does_not_allow_is_refused_first(client: Any) -> None:
    for qualifier in ("$LATEST", "alias"):
        assert {code for code, _, _ in answers(client, FunctionName="f", Qualifier=qualifier)} == {
            "ValidationException"
        }
    with pytest.raises(ClientError, match="less than or equal to 15000"):
        client.put_function_scaling_config(
            FunctionName="f", Qualifier="1", FunctionScalingConfig={"MaxExecutionEnvironments": 15001}
        )
