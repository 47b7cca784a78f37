from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError
from tests.contract.wire.control_server import ACCOUNT, REGION, ControlServer, zipped

ROLE = f"arn:aws:iam::{ACCOUNT}:role/r"
REPOSITORY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/team/shop"
TAGGED = f"{REPOSITORY}:v1.2"
SHA = "0123456789abcdef" * 4
BY_DIGEST = f"{REPOSITORY}@sha256:{SHA}"
ZIP = zipped(index__py="1")
OVERRIDES = {"EntryPoint": ["/lambda-entrypoint.sh"], "Command": ["app.handler", "-v"], "WorkingDirectory": "/srv"}
FAILED = {
    "State": "Failed",
    "StateReasonCode": "InvalidConfiguration",
    "LastUpdateStatus": "Failed",
    "LastUpdateStatusReasonCode": "InvalidConfiguration",
}
NOT_RUN = "Lamella does not run container images yet."


def create(client: Any, uri: str = TAGGED, **members: Any) -> Any:
    given = {"FunctionName": "f", "Role": ROLE, "PackageType": "Image", "Code": {"ImageUri": uri}, **members}
    return client.create_function(**{name: value for name, value in given.items() if value is not None})


def refused(call: Any, **members: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**members)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] in {400, 409}
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def test_its_configuration_is_kept_and_it_says_that_it_cannot_run(server: ControlServer, client: Any) -> None:
    server.hold()
    made = create(client, ImageConfig=OVERRIDES, Architectures=["arm64"], Timeout=9)
    assert (made["State"], made["StateReasonCode"]) == ("Pending", "Creating")
    assert not {"Runtime", "Handler", "Layers", "CodeSha256", "RuntimeVersionConfig"} & set(made)
    assert (made["PackageType"], made["CodeSize"], made["Timeout"]) == ("Image", 0, 9)
    assert made["ImageConfigResponse"] == {"ImageConfig": OVERRIDES}
    server.release()
    found = client.get_function(FunctionName="f")
    assert found["Code"] == {"RepositoryType": "ECR", "ImageUri": TAGGED}
    shown = found["Configuration"]
    assert {name: shown[name] for name in FAILED} == FAILED
    assert shown["StateReason"].startswith(NOT_RUN)
    assert shown["LastUpdateStatusReason"] == shown["StateReason"]
    assert (shown["Architectures"], shown["ImageConfigResponse"]) == (["arm64"], {"ImageConfig": OVERRIDES})
    (listed,) = client.list_functions()["Functions"]
    assert (listed["PackageType"], listed["ImageConfigResponse"]) == ("Image", {"ImageConfig": OVERRIDES})
    for waiter in ("function_active_v2", "function_updated_v2"):
        with pytest.raises(WaiterError, match="Failed"):
            client.get_waiter(waiter).wait(FunctionName="f")


def test_a_digest_is_shown_as_what_it_resolves_to(server: ControlServer, client: Any) -> None:
    made = create(client, BY_DIGEST)
    assert (made["CodeSha256"], made["ImageConfigResponse"]) == (SHA, {})
    server.release()
    assert client.get_function(FunctionName="f")["Code"] == {
        "RepositoryType": "ECR",
        "ImageUri": BY_DIGEST,
        "ResolvedImageUri": BY_DIGEST,
    }


def test_code_and_configuration_are_updated(server: ControlServer, client: Any) -> None:
    create(client, ImageConfig=OVERRIDES)
    server.release()
    dry = client.update_function_code(FunctionName="f", ImageUri=BY_DIGEST, DryRun=True)
    assert dry["CodeSha256"] == SHA
    assert "CodeSha256" not in client.get_function_configuration(FunctionName="f")
    server.hold()
    updating = client.update_function_code(FunctionName="f", ImageUri=BY_DIGEST, Architectures=["arm64"])
    assert (updating["State"], updating["LastUpdateStatus"]) == ("Failed", "InProgress")
    assert updating["StateReason"].startswith(NOT_RUN)
    assert refused(client.update_function_code, FunctionName="f", ImageUri=TAGGED)[0] == "ResourceConflictException"
    server.release()
    changed = client.update_function_configuration(FunctionName="f", ImageConfig={"Command": ["other"]}, Timeout=5)
    assert (changed["ImageConfigResponse"], changed["Timeout"]) == ({"ImageConfig": {"Command": ["other"]}}, 5)
    server.release()
    emptied = client.update_function_configuration(
        FunctionName="f", ImageConfig={"Command": [], "WorkingDirectory": ""}
    )
    assert emptied["ImageConfigResponse"] == {}
    server.release()
    shown = client.get_function_configuration(FunctionName="f")
    assert {name: shown[name] for name in FAILED} == FAILED
    assert (shown["CodeSha256"], shown["Architectures"]) == (SHA, ["arm64"])


def test_versions_and_aliases(server: ControlServer, client: Any) -> None:
    assert create(client, Publish=True, ImageConfig=OVERRIDES)["Version"] == "1"
    server.release()
    client.update_function_code(FunctionName="f", ImageUri=BY_DIGEST)
    server.release()
    published = client.publish_version(FunctionName="f", CodeSha256=SHA)
    assert (published["Version"], published["State"], published["CodeSha256"]) == ("2", "Failed", SHA)
    client.create_alias(FunctionName="f", Name="live", FunctionVersion="1")
    assert client.get_function(FunctionName="f", Qualifier="live")["Code"]["ImageUri"] == TAGGED
    assert client.get_function(FunctionName="f", Qualifier="2")["Code"]["ImageUri"] == BY_DIGEST
    versions = client.list_versions_by_function(FunctionName="f")["Versions"]
    assert [version["ImageConfigResponse"] for version in versions] == [{"ImageConfig": OVERRIDES}] * 3
    assert server.run(server.functions.digests()) == frozenset()
    client.delete_function(FunctionName="f")
    assert client.list_functions()["Functions"] == []


@pytest.mark.parametrize(
    "uri",
    [
        "shop:latest",
        REPOSITORY,  # no tag
        f"{REPOSITORY}:",
        f"{REPOSITORY}@sha256:{SHA[:-1]}",
        f"{REPOSITORY}@sha512:{SHA}",
        TAGGED.replace(REGION, "us-east-1"),
        "public.ecr.aws/lambda/python:3.12",
        f"https://{TAGGED}",
        TAGGED + "\n",
        TAGGED.replace("shop", "Shop"),
        TAGGED.replace(ACCOUNT, "1234"),
        "",
    ],
)
def test_what_is_no_image_of_this_region_is_refused(client: Any, uri: str) -> None:
    assert refused(create, client=client, uri=uri) == (
        "InvalidParameterValueException",
        f"Source image {uri} is not valid. Provide a valid source image.",
    )
    assert client.list_functions()["Functions"] == []


HANDLER = "Please don't provide Handler or Runtime or Layer when the intended function PackageType is Image."
LAYER = "Lambda layers are not supported for functions created with container images."


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"Handler": "index.handler"}, HANDLER),
        ({"Runtime": "python3.11"}, HANDLER),
        ({"Layers": [f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:l:1"]}, LAYER),
        (
            {"SnapStart": {"ApplyOn": "PublishedVersions"}},
            "SnapStart is not supported for functions created with container images.",
        ),
    ],
)
def test_members_of_archives_are_refused(
    server: ControlServer, client: Any, members: dict[str, Any], text: str
) -> None:
    assert refused(create, client=client, **members) == ("InvalidParameterValueException", text)
    create(client)
    server.release()
    assert refused(client.update_function_configuration, FunctionName="f", **members)[1] == text


def test_one_kind_of_code_is_not_replaced_by_the_other(server: ControlServer, client: Any) -> None:
    create(client)
    client.create_function(FunctionName="z", Role=ROLE, Runtime="python3.11", Handler="h.h", Code={"ZipFile": ZIP})
    server.release()
    to_image = "Please provide ImageUri when updating a function with packageType Image."
    assert refused(client.update_function_code, FunctionName="f", ZipFile=ZIP)[1] == to_image
    assert refused(client.update_function_code, FunctionName="f", S3Bucket="bucket", S3Key="k")[1] == to_image
    assert (
        refused(client.update_function_code, FunctionName="z", ImageUri=TAGGED)[1]
        == "Please don't provide ImageUri when updating a function with packageType Zip."
    )
    assert (
        refused(client.update_function_configuration, FunctionName="z", ImageConfig=OVERRIDES)[1]
        == "Please don't provide ImageConfig when the intended function PackageType is Zip."
    )
    assert refused(create, client=client, FunctionName="n", Code={"ZipFile": ZIP})[1] == (
        "Please provide ImageUri when creating a function with packageType Image."
    )
    assert refused(create, client=client, FunctionName="n", PackageType=None)[1] == (
        "Runtime and Handler are mandatory parameters for functions created with deployment packages."
    )
    assert refused(create, client=client, FunctionName="n", PackageType=None, Runtime="python3.11", Handler="h.h")[
        1
    ] == ("Please provide a source for function code.")


def test_the_bounds_of_overrides_are_those_of_the_model(client: Any) -> None:
    code, text = refused(create, client=client, ImageConfig={"WorkingDirectory": "d" * 1001})
    assert code == "ValidationException"
    assert text.endswith(
        "at 'imageConfig.workingDirectory' failed to satisfy constraint: "
        "Member must have length less than or equal to 1000"
    )
    code, text = refused(create, client=client, ImageConfig={"Command": ["c"] * 1501})
    assert (code, text.endswith("Member must have length less than or equal to 1500")) == ("ValidationException", True)


def test_neither_signing_nor_runtime_management(server: ControlServer, client: Any) -> None:
    create(client)
    server.release()
    signing = client.create_code_signing_config(
        AllowedPublishers={
            "SigningProfileVersionArns": [f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-profiles/p/0123456789"]
        }
    )["CodeSigningConfig"]["CodeSigningConfigArn"]
    text = "Code signing is not supported for functions created with container images."
    assert refused(client.get_function_code_signing_config, FunctionName="f")[1] == text
    assert refused(client.put_function_code_signing_config, FunctionName="f", CodeSigningConfigArn=signing)[1] == text
    assert refused(create, client=client, FunctionName="n", CodeSigningConfigArn=signing)[1] == text
    text = "Runtime management is not supported for functions created with container images."
    assert refused(client.get_runtime_management_config, FunctionName="f")[1] == text
    assert refused(client.put_runtime_management_config, FunctionName="f", UpdateRuntimeOn="Auto")[1] == text
