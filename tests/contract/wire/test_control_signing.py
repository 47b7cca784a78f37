import re
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.contract.wire.control_server import ACCOUNT, REGION, ControlServer, zipped

PROFILE = f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-profiles/p/abcdefghij"
PUBLISHERS = {"SigningProfileVersionArns": [PROFILE]}
ROLE = f"arn:aws:iam::{ACCOUNT}:role/r"
ZIP = zipped(index__py="1")
NO_CONFIG = f"arn:aws:lambda:{REGION}:{ACCOUNT}:code-signing-config:csc-0123456789abcdef0"
ENFORCE = {"UntrustedArtifactOnDeployment": "Enforce"}
NOT_VERIFIED = (
    "Lambda cannot deploy the function. The function or layer might be signed using a signature that the client is not "
    "configured to accept. Check the provided signature for f."
)


def create_function(client: Any, name: str = "f", **members: Any) -> None:
    given = {"Runtime": "python3.11", "Role": ROLE, "Handler": "index.handler", "Code": {"ZipFile": ZIP}}
    client.create_function(FunctionName=name, **{**given, **members})


def create(client: Any, **members: Any) -> Any:
    return client.create_code_signing_config(AllowedPublishers=PUBLISHERS, **members)["CodeSigningConfig"]


def refused(call: Any, **members: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(**members)
    error = caught.value.response
    return error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Message"]


def test_a_configuration_comes_changes_and_goes(server: ControlServer, client: Any) -> None:
    created = create(client)
    id_ = created["CodeSigningConfigId"]
    assert re.fullmatch(r"csc-[a-z0-9]{17}", id_)
    assert created == {
        "CodeSigningConfigId": id_,
        "CodeSigningConfigArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:code-signing-config:{id_}",
        "AllowedPublishers": PUBLISHERS,
        "CodeSigningPolicies": {"UntrustedArtifactOnDeployment": "Warn"},
        "LastModified": "2026-11-20T20:01:02.123+0000",
    }
    arn = created["CodeSigningConfigArn"]
    assert client.get_code_signing_config(CodeSigningConfigArn=arn)["CodeSigningConfig"] == created
    server.clock.advance(10)
    updated = client.update_code_signing_config(CodeSigningConfigArn=arn, Description="d", CodeSigningPolicies=ENFORCE)[
        "CodeSigningConfig"
    ]
    assert updated == {
        **created,
        "Description": "d",
        "CodeSigningPolicies": ENFORCE,
        "LastModified": "2026-11-20T20:01:12.123+0000",
    }
    others = {"SigningProfileVersionArns": [f"{PROFILE}2"]}
    client.update_code_signing_config(CodeSigningConfigArn=arn, AllowedPublishers=others)
    found = client.get_code_signing_config(CodeSigningConfigArn=arn)["CodeSigningConfig"]
    assert (found["AllowedPublishers"], found["Description"]) == (others, "d")
    assert client.delete_code_signing_config(CodeSigningConfigArn=arn)["ResponseMetadata"]["HTTPStatusCode"] == 204
    for call in (
        client.get_code_signing_config,
        client.update_code_signing_config,
        client.delete_code_signing_config,
        client.list_functions_by_code_signing_config,
    ):
        text = f"The Lambda code signing configuration {arn} can not be found."
        assert refused(call, CodeSigningConfigArn=arn) == ("ResourceNotFoundException", 404, text)


def test_configurations_are_listed_in_pages(client: Any) -> None:
    made = sorted(create(client)["CodeSigningConfigArn"] for _ in range(3))
    pages = client.get_paginator("list_code_signing_configs").paginate(PaginationConfig={"PageSize": 2})
    found = [[one["CodeSigningConfigArn"] for one in page["CodeSigningConfigs"]] for page in pages]
    assert found == [made[:2], made[2:]]
    assert refused(client.list_code_signing_configs, Marker="x")[2] == "Invalid Marker."


def test_a_function_has_a_configuration_or_none(server: ControlServer, client: Any) -> None:
    arn, other = (create(client)["CodeSigningConfigArn"] for _ in range(2))
    create_function(client)
    create_function(client, "g", CodeSigningConfigArn=arn)
    empty = client.get_function_code_signing_config(FunctionName="f")
    assert empty.keys() == {"ResponseMetadata"}
    answer = client.put_function_code_signing_config(FunctionName="f", CodeSigningConfigArn=arn)
    for shown in (answer, client.get_function_code_signing_config(FunctionName="f")):
        assert (shown["CodeSigningConfigArn"], shown["FunctionName"]) == (arn, "f")
    assert client.get_function_code_signing_config(FunctionName="g")["CodeSigningConfigArn"] == arn

    listed = client.list_functions_by_code_signing_config
    first = listed(CodeSigningConfigArn=arn, MaxItems=1)
    second = listed(CodeSigningConfigArn=arn, MaxItems=1, Marker=first["NextMarker"])
    functions = [f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}" for name in "fg"]
    assert first["FunctionArns"] + second["FunctionArns"] == functions
    assert refused(listed, CodeSigningConfigArn=arn, Marker="x")[2] == "Invalid Marker."

    code, status, _ = refused(client.delete_code_signing_config, CodeSigningConfigArn=arn)
    assert (code, status) == ("ResourceConflictException", 409)
    client.put_function_code_signing_config(FunctionName="f", CodeSigningConfigArn=other)
    for _ in range(2):
        answer = client.delete_function_code_signing_config(FunctionName="g")
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert listed(CodeSigningConfigArn=arn)["FunctionArns"] == []
    client.delete_code_signing_config(CodeSigningConfigArn=arn)
    client.delete_function(FunctionName="f")
    client.delete_code_signing_config(CodeSigningConfigArn=other)


def test_what_is_not_there_is_said(client: Any) -> None:
    create_function(client)
    text = (
        "The code signing configuration cannot be found. "
        f"Check that the provided configuration is not deleted: {NO_CONFIG}."
    )
    missing = ("CodeSigningConfigNotFoundException", 404, text)
    put = client.put_function_code_signing_config
    assert refused(put, FunctionName="f", CodeSigningConfigArn=NO_CONFIG) == missing
    with pytest.raises(ClientError, match="Check that the provided configuration is not deleted"):
        create_function(client, "g", CodeSigningConfigArn=NO_CONFIG)
    arn = create(client)["CodeSigningConfigArn"]
    for call, members in (
        (put, {"CodeSigningConfigArn": arn}),
        (client.get_function_code_signing_config, {}),
        (client.delete_function_code_signing_config, {}),
    ):
        gone = f"Function not found: arn:aws:lambda:{REGION}:{ACCOUNT}:function:g"
        assert refused(call, FunctionName="g", **members) == ("ResourceNotFoundException", 404, gone)


def test_another_account_and_region_see_nothing(server: ControlServer, client: Any) -> None:
    arn = create(client)["CodeSigningConfigArn"]
    for stranger in (server.client(account="111111111111"), server.client(region="us-east-1")):
        create_function(stranger)
        assert stranger.list_code_signing_configs()["CodeSigningConfigs"] == []
        for call in (
            stranger.get_code_signing_config,
            stranger.update_code_signing_config,
            stranger.delete_code_signing_config,
            stranger.list_functions_by_code_signing_config,
        ):
            assert refused(call, CodeSigningConfigArn=arn)[0] == "ResourceNotFoundException"
        answer = refused(stranger.put_function_code_signing_config, FunctionName="f", CodeSigningConfigArn=arn)
        assert answer[0] == "CodeSigningConfigNotFoundException"
    assert client.get_code_signing_config(CodeSigningConfigArn=arn)


def test_enforce_lets_nothing_through(server: ControlServer, client: Any) -> None:
    layer = client.publish_layer_version(LayerName="l", Content={"ZipFile": ZIP})["LayerVersionArn"]
    arn = create(client, CodeSigningPolicies=ENFORCE)["CodeSigningConfigArn"]
    with pytest.raises(ClientError) as caught:
        create_function(client, CodeSigningConfigArn=arn)
    error = caught.value.response
    assert error["Error"] == {"Code": "CodeVerificationFailedException", "Message": NOT_VERIFIED}
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 400
    create_function(client)
    client.put_function_code_signing_config(FunctionName="f", CodeSigningConfigArn=arn)
    server.release()
    for call, members in (
        (client.update_function_code, {"ZipFile": ZIP}),
        (client.update_function_configuration, {"Layers": [layer]}),
    ):
        answer = refused(call, FunctionName="f", **members)
        assert answer == ("CodeVerificationFailedException", 400, NOT_VERIFIED)
    client.update_function_configuration(FunctionName="f", Description="no code", Layers=[])
    client.update_code_signing_config(
        CodeSigningConfigArn=arn, CodeSigningPolicies={"UntrustedArtifactOnDeployment": "Warn"}
    )
    server.release()
    client.update_function_code(FunctionName="f", ZipFile=ZIP)
