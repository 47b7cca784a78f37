from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.contract.wire.control_server import ACCOUNT, REGION, ControlServer, zipped

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"


@pytest.fixture
def client(server: ControlServer) -> Any:
    client = server.client()
    client.create_function(
        FunctionName="f",
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


def test_tags_come_and_go(client: Any) -> None:
    revision = client.get_function_configuration(FunctionName="f")["RevisionId"]
    answer = client.tag_resource(Resource=ARN, Tags={"A": "1", "B": "2"})
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    client.tag_resource(Resource=ARN, Tags={"B": "3", "C": "4"})
    assert client.list_tags(Resource=ARN)["Tags"] == {"A": "1", "B": "3", "C": "4"}
    client.untag_resource(Resource=ARN, TagKeys=["A", "C", "never there"])
    assert client.list_tags(Resource=ARN)["Tags"] == {"B": "3"}
    assert client.get_function(FunctionName="f")["Tags"] == {"B": "3"}
    assert client.get_function_configuration(FunctionName="f")["RevisionId"] != revision


def test_tagging_does_not_hinder_a_transition(server: ControlServer, client: Any) -> None:
    server.hold()
    client.update_function_configuration(FunctionName="f", Description="d")
    client.tag_resource(Resource=ARN, Tags={"A": "1"})
    server.release()
    assert client.get_function_configuration(FunctionName="f")["LastUpdateStatus"] == "Successful"


@pytest.mark.parametrize(
    ("resource", "code", "text"),
    [
        (f"{ARN[:-1]}g", "ResourceNotFoundException", f"Function not found: {ARN[:-1]}g"),
        (
            f"{ARN}:1",
            "InvalidParameterValueException",
            "Tags on function aliases and versions are not supported. Please specify a function ARN.",
        ),
        (
            f"arn:aws:lambda:{REGION}:{ACCOUNT}:code-signing-config:csc-0123456789abcdef0",
            "ResourceNotFoundException",
            "The resource you requested does not exist.",
        ),
        ("f", "ValidationException", None),
    ],
)
def test_only_functions_have_tags(client: Any, resource: str, code: str, text: str | None) -> None:
    for call, members in (
        (client.tag_resource, {"Tags": {"A": "1"}}),
        (client.untag_resource, {"TagKeys": ["A"]}),
        (client.list_tags, {}),
    ):
        answered, _, message = refused(call, Resource=resource, **members)
        assert answered == code
        assert text is None or message == text


def test_not_none_and_not_more_than_fifty(client: Any) -> None:
    answer = refused(client.tag_resource, Resource=ARN, Tags={})
    assert answer[2] == "An error occurred and the request cannot be processed."
    client.tag_resource(Resource=ARN, Tags={f"t{number}": "" for number in range(50)})
    answer = refused(client.tag_resource, Resource=ARN, Tags={"one": "more"})
    assert answer == ("InvalidParameterValueException", 400, "Number of tags exceeds resource tag limit.")
    assert len(client.list_tags(Resource=ARN)["Tags"]) == 50
