from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError
from tests.contract.wire.control_server import ACCOUNT, REGION, ControlServer, zipped

from lamella.domain.function import Architecture
from lamella.domain.quotas import LimitProfile
from lamella.ports.images import ImageError

ROLE = f"arn:aws:iam::{ACCOUNT}:role/r"
REPOSITORY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/team/shop"
TAGGED = f"{REPOSITORY}:v1.2"
SHA = "0123456789abcdef" * 4
BY_DIGEST = f"{REPOSITORY}@sha256:{SHA}"
ZIP = zipped(index__py="1")
OVERRIDES = {"EntryPoint": ["/lambda-entrypoint.sh"], "Command": ["app.handler", "-v"], "WorkingDirectory": "/srv"}
OTHER = "fedcba9876543210" * 4
MOVED = f"{REPOSITORY}:v2"
DENIED = "The function does not have permission to access the specified image. The registry wants a password."


@pytest.fixture(autouse=True)
def offered(server: ControlServer) -> dict[str, Any]:
    """What the registry has."""
    server.images.offered |= {TAGGED: SHA, BY_DIGEST: SHA, MOVED: OTHER}
    return server.images.offered


def create(client: Any, uri: str = TAGGED, **members: Any) -> Any:
    given = {"FunctionName": "f", "Role": ROLE, "PackageType": "Image", "Code": {"ImageUri": uri}, **members}
    return client.create_function(**{name: value for name, value in given.items() if value is not None})


def refused(call: Any, **members: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**members)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] in {400, 403, 409}
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def update(server: ControlServer, client: Any, uri: str, **members: Any) -> Any:
    client.update_function_code(FunctionName="f", ImageUri=uri, **members)
    server.release()
    return client.get_function(FunctionName="f")


def test_it_is_pending_until_the_image_is_here(server: ControlServer, client: Any) -> None:
    server.loop.call_soon_threadsafe(server.images.held.clear)
    made = create(client, ImageConfig=OVERRIDES, Architectures=["arm64"], Timeout=9)
    assert (made["State"], made["StateReasonCode"]) == ("Pending", "Creating")
    assert not {"Runtime", "Handler", "Layers", "RuntimeVersionConfig"} & set(made)
    assert (made["PackageType"], made["CodeSize"], made["Timeout"], made["CodeSha256"]) == ("Image", 0, 9, SHA)
    assert made["ImageConfigResponse"] == {"ImageConfig": OVERRIDES}
    assert client.get_function(FunctionName="f")["Configuration"]["State"] == "Pending"
    server.loop.call_soon_threadsafe(server.images.held.set)
    server.release()
    found = client.get_function(FunctionName="f")
    by_digest = f"{REPOSITORY}@sha256:{SHA}"
    assert found["Code"] == {"RepositoryType": "ECR", "ImageUri": TAGGED, "ResolvedImageUri": by_digest}
    shown = found["Configuration"]
    assert (shown["State"], shown["LastUpdateStatus"], shown["CodeSha256"]) == ("Active", "Successful", SHA)
    assert (shown["Architectures"], shown["ImageConfigResponse"]) == (["arm64"], {"ImageConfig": OVERRIDES})
    (listed,) = client.list_functions()["Functions"]
    assert (listed["PackageType"], listed["ImageConfigResponse"]) == ("Image", {"ImageConfig": OVERRIDES})
    assert server.images.fetched == [SHA]
    assert [version.state.value for version in server.observed.settled] == ["Active"]


def test_a_tag_that_is_moved_changes_nothing_until_the_code_is_updated(
    server: ControlServer, client: Any, offered: dict[str, Any]
) -> None:
    create(client)
    server.release()
    offered[TAGGED] = OTHER
    client.update_function_configuration(FunctionName="f", Timeout=5)
    server.release()
    assert client.get_function(FunctionName="f")["Configuration"]["CodeSha256"] == SHA
    found = update(server, client, TAGGED)
    assert found["Configuration"]["CodeSha256"] == OTHER
    assert found["Code"]["ResolvedImageUri"] == f"{REPOSITORY}@sha256:{OTHER}"
    assert found["Configuration"]["LastUpdateStatus"] == "Successful"


@pytest.mark.parametrize(
    ("code", "text", "reason"),
    [
        ("ImageAccessDenied", "The registry wants a password.", DENIED),
        (
            "ImageDeleted",
            "The registry has none.",
            "The function is trying to use a deleted image. The registry has none.",
        ),
        ("InvalidImage", "A layer is no archive.", "A layer is no archive."),
    ],
)
def test_it_fails_if_the_image_cannot_be_fetched(
    server: ControlServer, client: Any, code: str, text: str, reason: str
) -> None:
    server.images.failures[SHA] = ImageError(text, code)
    create(client)
    server.release()
    shown = client.get_function_configuration(FunctionName="f")
    assert (shown["State"], shown["StateReasonCode"], shown["StateReason"]) == ("Failed", code, reason)
    assert (shown["LastUpdateStatus"], shown["LastUpdateStatusReason"]) == ("Failed", reason)
    for waiter in ("function_active_v2", "function_updated_v2"):
        with pytest.raises(WaiterError, match="Failed"):
            client.get_waiter(waiter).wait(FunctionName="f")
    mended = update(server, client, MOVED)["Configuration"]
    assert (mended["State"], mended["LastUpdateStatus"], mended["CodeSha256"]) == ("Active", "Successful", OTHER)
    assert not {"StateReason", "StateReasonCode", "LastUpdateStatusReason"} & set(mended)


def test_a_fault_of_ours_does_not_leave_it_pending(server: ControlServer, client: Any) -> None:
    server.images.failures[SHA] = RuntimeError("disk on fire")  # type: ignore[assignment]  # what nobody expects
    create(client)
    server.release()
    shown = client.get_function_configuration(FunctionName="f")
    assert (shown["State"], shown["StateReasonCode"]) == ("Failed", "InternalError")
    assert "fire" not in shown["StateReason"]


def test_an_update_that_fails_leaves_the_image_that_runs(server: ControlServer, client: Any) -> None:
    server.images.failures[OTHER] = ImageError("The registry wants a password.", "ImageAccessDenied")
    create(client)
    server.release()
    found = update(server, client, MOVED, Architectures=["arm64"], Publish=True)
    shown = found["Configuration"]
    assert (shown["State"], shown["LastUpdateStatus"]) == ("Active", "Failed")
    assert (shown["LastUpdateStatusReasonCode"], shown["LastUpdateStatusReason"]) == ("ImageAccessDenied", DENIED)
    assert (shown["CodeSha256"], shown["Architectures"], found["Code"]["ImageUri"]) == (SHA, ["x86_64"], TAGGED)
    assert server.observed.settled[-1].artifact.code_sha256 in {SHA, OTHER}
    published = client.get_function(FunctionName="f", Qualifier="1")["Configuration"]
    assert (published["State"], published["StateReasonCode"]) == ("Failed", "ImageAccessDenied")
    del server.images.failures[OTHER]
    assert update(server, client, MOVED)["Configuration"]["CodeSha256"] == OTHER


def test_code_and_configuration_are_updated(server: ControlServer, client: Any) -> None:
    create(client, ImageConfig=OVERRIDES)
    server.release()
    dry = client.update_function_code(FunctionName="f", ImageUri=MOVED, DryRun=True)
    assert dry["CodeSha256"] == OTHER
    assert client.get_function_configuration(FunctionName="f")["CodeSha256"] == SHA
    server.hold()
    updating = client.update_function_code(FunctionName="f", ImageUri=MOVED, Architectures=["arm64"])
    assert (updating["State"], updating["LastUpdateStatus"]) == ("Active", "InProgress")
    assert server.run(server.functions.images()) == {SHA: TAGGED, OTHER: MOVED}  # one runs, one is on its way
    assert refused(client.update_function_code, FunctionName="f", ImageUri=TAGGED)[0] == "ResourceConflictException"
    server.release()
    assert server.run(server.functions.images()) == {OTHER: MOVED}
    changed = client.update_function_configuration(FunctionName="f", ImageConfig={"Command": ["other"]}, Timeout=5)
    assert (changed["ImageConfigResponse"], changed["Timeout"]) == ({"ImageConfig": {"Command": ["other"]}}, 5)
    server.release()
    emptied = client.update_function_configuration(
        FunctionName="f", ImageConfig={"Command": [], "WorkingDirectory": ""}
    )
    assert emptied["ImageConfigResponse"] == {}
    server.release()
    shown = client.get_function_configuration(FunctionName="f")
    assert (shown["State"], shown["LastUpdateStatus"]) == ("Active", "Successful")
    assert (shown["CodeSha256"], shown["Architectures"]) == (OTHER, ["arm64"])


def test_versions_and_aliases(server: ControlServer, client: Any) -> None:
    assert create(client, Publish=True, ImageConfig=OVERRIDES)["Version"] == "1"
    server.release()
    update(server, client, MOVED)
    published = client.publish_version(FunctionName="f", CodeSha256=OTHER)
    assert (published["Version"], published["State"], published["CodeSha256"]) == ("2", "Active", OTHER)
    assert client.publish_version(FunctionName="f")["Version"] == "2"  # nothing has changed
    client.create_alias(FunctionName="f", Name="live", FunctionVersion="1")
    assert client.get_function(FunctionName="f", Qualifier="live")["Code"]["ImageUri"] == TAGGED
    assert client.get_function(FunctionName="f", Qualifier="2")["Code"]["ImageUri"] == MOVED
    versions = client.list_versions_by_function(FunctionName="f")["Versions"]
    assert [version["ImageConfigResponse"] for version in versions] == [{"ImageConfig": OVERRIDES}] * 3
    assert server.run(server.functions.digests()) == frozenset()
    assert server.run(server.functions.images()) == {SHA: TAGGED, OTHER: MOVED}
    client.delete_alias(FunctionName="f", Name="live")
    client.delete_function(FunctionName="f", Qualifier="1")
    assert server.run(server.garbage.collect_images()) == [SHA]
    client.delete_function(FunctionName="f")
    assert client.list_functions()["Functions"] == []
    assert server.run(server.garbage.collect_images()) == [OTHER]


def test_images_that_others_use_are_kept(server: ControlServer, client: Any) -> None:
    create(client)
    server.release()
    client.delete_function(FunctionName="f")

    server.garbage.keep_images(lambda: [SHA])
    assert server.run(server.garbage.collect_images()) == []


def test_an_index_is_for_aws_no_image(server: ControlServer, client: Any, offered: dict[str, Any]) -> None:
    offered[TAGGED] = {Architecture.X86_64: SHA, Architecture.ARM64: OTHER}
    code, text = refused(create, client=client)
    assert code == "InvalidParameterValueException"
    assert text.startswith(
        f"The image manifest, config or layer media type for the source image {TAGGED} is not supported."
    )
    assert "--provenance=false" in text
    server.settings = replace(server.settings, limits=LimitProfile.RELAXED)
    made = create(client, Architectures=["arm64"])
    assert made["CodeSha256"] == OTHER
    server.release()
    resolved = client.get_function(FunctionName="f")["Code"]["ResolvedImageUri"]
    assert resolved == f"{REPOSITORY}@sha256:{OTHER}"
    offered[TAGGED] = {Architecture.ARM64: OTHER}
    assert refused(create, client=client, FunctionName="g")[1] == (
        f"The image {TAGGED} is not for x86_64, the architecture of the function, but for arm64."
    )


@pytest.mark.parametrize("uri", ["localhost:5000/team/shop:v1", "oci:/srv/shop:v1", "registry.example.com/shop:v1"])
def test_images_by_names_that_aws_does_not_have(
    server: ControlServer, client: Any, offered: dict[str, Any], uri: str
) -> None:
    assert refused(create, client=client, uri=uri) == (
        "InvalidParameterValueException",
        f"The registry has no {uri}.",
    )
    offered[uri] = {Architecture.X86_64: SHA}
    create(client, uri)
    server.release()
    found = client.get_function(FunctionName="f")
    assert found["Configuration"]["State"] == "Active"
    assert found["Code"]["ResolvedImageUri"] == f"{uri.removesuffix(':v1')}@sha256:{SHA}"


def test_what_the_registry_refuses(server: ControlServer, client: Any) -> None:
    missing = f"{REPOSITORY}:none"
    invalid = "InvalidParameterValueException"
    assert refused(create, client=client, uri=missing) == (invalid, f"The registry has no {missing}.")
    server.images.refusal = ImageError("No.", "InvalidImage")
    assert refused(create, client=client) == (invalid, "No.")
    server.images.refusal = ImageError("No.", "ImageAccessDenied")
    assert refused(create, client=client) == ("AccessDeniedException", "No.")
    server.images.refusal = ImageError("The registry cannot be asked.", "InternalError")
    assert refused(create, client=client) == (invalid, "The registry cannot be asked.")
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
    assert refused(create, client=client, ImageConfig={"Command": ["a\0b"]}) == (
        "InvalidParameterValueException",
        "ImageConfig cannot have zero bytes in it.",
    )


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
