from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.contract.wire.control_server import ACCOUNT, REGION, ControlServer, zipped

from lamella.control.services import ControlSettings
from lamella.domain.network import Network, NetworkPolicy

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
        (
            f"arn:aws:lambda:us-east-1:{ACCOUNT}:code-signing-config:csc-0123456789abcdef0",
            "ResourceNotFoundException",
            "The resource you requested does not exist.",
        ),
        (
            f"arn:aws:lambda:{REGION}:111111111111:code-signing-config:csc-0123456789abcdef0",
            "AccessDeniedException",
            None,
        ),
        (
            f"arn:aws:lambda:{REGION}:{ACCOUNT}:event-source-mapping:14e0db71-5b02-4e16-8cc3-a44d4ba2b2f4",
            "ResourceNotFoundException",
            "The resource you requested does not exist.",
        ),
        (
            f"arn:aws:lambda:{REGION}:{ACCOUNT}:capacity-provider:c",
            "ResourceNotFoundException",
            "The resource you requested does not exist.",
        ),
        ("f", "ValidationException", None),
    ],
)
def test_what_has_no_tags_is_refused(client: Any, resource: str, code: str, text: str | None) -> None:
    for call, members in (
        (client.tag_resource, {"Tags": {"A": "1"}}),
        (client.untag_resource, {"TagKeys": ["A"]}),
        (client.list_tags, {}),
    ):
        answered, _, message = refused(call, Resource=resource, **members)
        assert answered == code
        assert text is None or message == text


def test_a_code_signing_configuration_has_tags(client: Any) -> None:
    publishers = {"SigningProfileVersionArns": [f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-profiles/p/abcdefghij"]}
    created = client.create_code_signing_config(AllowedPublishers=publishers, Tags={"A": "1"})["CodeSigningConfig"]
    arn = created["CodeSigningConfigArn"]
    client.tag_resource(Resource=arn, Tags={"A": "2", "B": "3", "lamella:network": "of functions only"})
    client.untag_resource(Resource=arn, TagKeys=["B", "never there"])
    assert client.list_tags(Resource=arn)["Tags"] == {"A": "2", "lamella:network": "of functions only"}
    assert client.get_code_signing_config(CodeSigningConfigArn=arn)["CodeSigningConfig"] == created
    answer = refused(client.tag_resource, Resource=arn, Tags={f"t{number}": "" for number in range(49)})
    assert answer == ("InvalidParameterValueException", 400, "Number of tags exceeds resource tag limit.")
    many = {f"t{number}": "" for number in range(51)}
    assert refused(client.create_code_signing_config, AllowedPublishers=publishers, Tags=many) == answer


def test_an_event_source_mapping_has_the_tags_of_its_record(server: ControlServer, client: Any) -> None:
    id_ = "14e0db71-5b02-4e16-8cc3-a44d4ba2b2f4"
    server.run(server.records.accounts.put(ACCOUNT, REGION, "event-source-mapping", id_, {"Kept": 1}))
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:event-source-mapping:{id_}"
    assert client.list_tags(Resource=arn)["Tags"] == {}
    client.tag_resource(Resource=arn.replace("4e0db", "4E0DB"), Tags={"A": "1"})
    assert client.list_tags(Resource=arn)["Tags"] == {"A": "1"}
    stored = server.run(server.records.accounts.get(ACCOUNT, REGION, "event-source-mapping", id_))
    assert stored == {"Kept": 1, "Tags": {"A": "1"}}


def test_not_none_and_not_more_than_fifty(client: Any) -> None:
    answer = refused(client.tag_resource, Resource=ARN, Tags={})
    assert answer[2] == "An error occurred and the request cannot be processed."
    client.tag_resource(Resource=ARN, Tags={f"t{number}": "" for number in range(50)})
    answer = refused(client.tag_resource, Resource=ARN, Tags={"one": "more"})
    assert answer == ("InvalidParameterValueException", 400, "Number of tags exceeds resource tag limit.")
    assert len(client.list_tags(Resource=ARN)["Tags"]) == 50


def test_who_follows_tags_is_told_all_of_them_each_time(server: ControlServer, client: Any) -> None:
    client.tag_resource(Resource=ARN, Tags={"A": "1"})
    client.tag_resource(Resource=ARN, Tags={"B": "2"})
    client.untag_resource(Resource=ARN, TagKeys=["A"])
    assert [tags for _, tags in server.observed.tagged] == [{}, {"A": "1"}, {"A": "1", "B": "2"}, {"B": "2"}]


@pytest.mark.parametrize("value", ["host", "all"])
def test_a_network_that_is_not_given_is_refused(server: ControlServer, client: Any, value: str) -> None:
    server.settings = ControlSettings(networks=NetworkPolicy(Network.NAT, frozenset({Network.NONE, Network.NAT})))
    tags = {"lamella:network": value}
    code, status, text = refused(client.tag_resource, Resource=ARN, Tags=tags)
    assert (code, status) == ("InvalidParameterValueException", 400)
    assert value in text
    assert text.endswith(" none, nat.")
    template = client.get_function_configuration(FunctionName="f")
    members = {name: template[name] for name in ("Runtime", "Role", "Handler")}
    answer = refused(client.create_function, FunctionName="g", Code={"ZipFile": zipped(i="1")}, Tags=tags, **members)
    assert answer == (code, status, text)
    client.tag_resource(Resource=ARN, Tags={"lamella:network": "none"})
