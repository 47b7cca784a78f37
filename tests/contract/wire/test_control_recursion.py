from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.contract.wire.control_server import ACCOUNT, REGION, zipped

GONE = f"Function not found: arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"


def create(client: Any) -> None:
    client.create_function(
        FunctionName="f",
        Runtime="python3.11",
        Role=f"arn:aws:iam::{ACCOUNT}:role/r",
        Handler="index.handler",
        Code={"ZipFile": zipped(index__py="1")},
    )


def test_loops_end_unless_somebody_allows_them(client: Any) -> None:
    create(client)
    assert client.get_function_recursion_config(FunctionName="f")["RecursiveLoop"] == "Terminate"
    for wanted in ("Allow", "Terminate", "Allow"):
        answer = client.put_function_recursion_config(FunctionName="f", RecursiveLoop=wanted)
        assert answer["RecursiveLoop"] == wanted
        assert client.get_function_recursion_config(FunctionName="f")["RecursiveLoop"] == wanted
    client.delete_function(FunctionName="f")
    create(client)
    assert client.get_function_recursion_config(FunctionName="f")["RecursiveLoop"] == "Terminate"


def test_a_function_that_is_not_there_is_said(client: Any) -> None:
    for call, members in (
        (client.get_function_recursion_config, {}),
        (client.put_function_recursion_config, {"RecursiveLoop": "Allow"}),
    ):
        with pytest.raises(ClientError) as caught:
            call(FunctionName="f", **members)
        assert caught.value.response["Error"] == {"Code": "ResourceNotFoundException", "Message": GONE}
