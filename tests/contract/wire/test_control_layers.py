import dataclasses
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.contract.wire.control_server import ACCOUNT, REGION, ControlServer, zipped

LAYER = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:l"
ZIP = zipped(a="1")
FUNCTION = {
    "FunctionName": "f",
    "Runtime": "python3.11",
    "Role": f"arn:aws:iam::{ACCOUNT}:role/r",
    "Handler": "index.handler",
    "Code": {"ZipFile": ZIP},
}
MISSING = ("ResourceNotFoundException", 404, "The resource you requested does not exist.")

# What AWS answers: LocalStack's test_lambda_api.snapshot.json, TestLambdaLayer::test_layer_lifecycle, recorded against
# AWS on 20 November 2023.
SHOWN = {
    "CompatibleArchitectures", "CompatibleRuntimes", "Content", "CreatedDate", "Description", "LayerArn",
    "LayerVersionArn", "LicenseInfo", "Version",
}  # fmt: skip


def publish(client: Any, name: str = "l", **members: Any) -> dict[str, Any]:
    answer = client.publish_layer_version(LayerName=name, **{"Content": {"ZipFile": ZIP}, **members})
    return {member: value for member, value in answer.items() if member != "ResponseMetadata"}


def refused(call: Any, **members: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(**members)
    error = caught.value.response
    return error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Message"]


class TestVersions:
    def test_the_answers_are_those_of_aws(self, server: ControlServer, client: Any) -> None:
        given = {
            "Description": "d",
            "CompatibleRuntimes": ["python3.11", "provided"],
            "CompatibleArchitectures": ["x86_64", "arm64"],
            "LicenseInfo": "MIT",
        }
        published = publish(client, **given)
        assert published.keys() == SHOWN
        content = published.pop("Content")
        assert content.keys() == {"CodeSha256", "CodeSize", "Location"}
        path, _, query = content["Location"].removeprefix("http://lamella.test:4566").partition("?")
        assert server.signer.verify(path, query, server.clock.now()) is not None
        listed = {
            **given, "CreatedDate": "2026-11-20T20:01:02.123+0000", "LayerVersionArn": f"{LAYER}:1", "Version": 1,
        }  # fmt: skip
        assert published == {**listed, "LayerArn": LAYER}
        for answer in (
            client.get_layer_version(LayerName="l", VersionNumber=1),
            client.get_layer_version(LayerName=LAYER, VersionNumber=1),
            client.get_layer_version_by_arn(Arn=f"{LAYER}:1"),
        ):
            assert {name: answer[name] for name in published} == published
            assert answer["Content"]["CodeSha256"] == content["CodeSha256"]
        assert client.list_layer_versions(LayerName="l")["LayerVersions"] == [listed]
        assert client.list_layers()["Layers"] == [
            {"LayerName": "l", "LayerArn": LAYER, "LatestMatchingVersion": listed}
        ]

    def test_nothing_is_shown_that_was_not_declared(self, client: Any) -> None:
        absent = {"CompatibleArchitectures", "CompatibleRuntimes", "LicenseInfo"}
        assert publish(client).keys() == SHOWN - absent

    def test_numbers_go_on_after_deletion(self, client: Any) -> None:
        assert [publish(client)["Version"], publish(client)["Version"]] == [1, 2]
        for _ in range(2):
            answer = client.delete_layer_version(LayerName="l", VersionNumber=2)
            assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
        assert publish(client)["Version"] == 3
        versions = client.list_layer_versions(LayerName="l")["LayerVersions"]
        assert [version["Version"] for version in versions] == [3, 1]

    def test_what_is_not_there(self, client: Any) -> None:
        publish(client)
        assert refused(client.get_layer_version, LayerName="l", VersionNumber=2) == MISSING
        assert refused(client.get_layer_version, LayerName="m", VersionNumber=1) == MISSING
        assert refused(client.get_layer_version_by_arn, Arn=f"{LAYER}:2") == MISSING
        assert refused(client.get_layer_version_by_arn, Arn="arn:aws:lambda:::awslayer:AmazonLinux") == MISSING
        assert refused(client.get_layer_version_by_arn, Arn=LAYER)[0] == "ValidationException"
        assert client.list_layer_versions(LayerName="m")["LayerVersions"] == []
        for call in (client.get_layer_version, client.delete_layer_version):
            answer = refused(call, LayerName="l", VersionNumber=0)
            assert answer == ("InvalidParameterValueException", 400, "Layer Version Cannot be less than 1")

    def test_bad_archives(self, server: ControlServer, client: Any) -> None:
        text = "Could not unzip uploaded file. Please check your file, then try to upload again."
        answer = refused(client.publish_layer_version, LayerName="l", Content={"ZipFile": b"no zip"})
        assert answer == ("InvalidParameterValueException", 400, text)
        assert client.list_layers()["Layers"] == []
        assert server.artifacts.protected == {}

    def test_filters_and_pages(self, client: Any) -> None:
        for name, runtimes, architectures in (
            ("a", ["python3.11"], ["x86_64"]),
            ("a", ["python3.12"], ["x86_64"]),
            ("b", ["python3.11"], ["arm64"]),
        ):
            publish(client, name, CompatibleRuntimes=runtimes, CompatibleArchitectures=architectures)

        def found(**members: str) -> list[str]:
            layers = client.list_layers(**members)["Layers"]
            return [layer["LatestMatchingVersion"]["LayerVersionArn"].split(":layer:")[1] for layer in layers]

        assert found() == ["a:2", "b:1"]
        assert found(CompatibleRuntime="python3.11") == ["a:1", "b:1"]
        assert found(CompatibleRuntime="python3.11", CompatibleArchitecture="arm64") == ["b:1"]
        versions = client.list_layer_versions(LayerName="a", CompatibleRuntime="python3.12")["LayerVersions"]
        assert [version["Version"] for version in versions] == [2]
        pages = list(client.get_paginator("list_layers").paginate(PaginationConfig={"PageSize": 1}))
        assert [page["Layers"][0]["LayerName"] for page in pages] == ["a", "b"]
        for call in (client.list_layers, lambda **members: client.list_layer_versions(LayerName="a", **members)):
            assert refused(call, Marker="x")[0] == "InvalidParameterValueException"

    def test_other_accounts_are_refused(self, server: ControlServer, client: Any) -> None:
        publish(client)
        other = server.client(account="210987654321")
        text = (
            "User: arn:aws:iam::210987654321:root is not authorized to perform: lambda:GetLayerVersion on resource: "
            f"{LAYER}:1 because no resource-based policy allows the lambda:GetLayerVersion action"
        )
        assert refused(other.get_layer_version_by_arn, Arn=f"{LAYER}:1") == ("AccessDeniedException", 403, text)
        assert refused(other.create_function, **{**FUNCTION, "Layers": [f"{LAYER}:1"]})[2] == text
        assert refused(other.delete_layer_version, LayerName=LAYER, VersionNumber=1)[0] == "AccessDeniedException"
        assert other.list_layers()["Layers"] == []


class TestFunctionsWithLayers:
    def test_a_function_keeps_a_deleted_version(self, server: ControlServer, client: Any) -> None:
        arns = [publish(client, name)["LayerVersionArn"] for name in ("b", "a")]
        answer = client.create_function(**FUNCTION, Layers=arns)
        assert answer["Layers"] == [{"Arn": arn, "CodeSize": len(ZIP)} for arn in arns]
        server.release()
        client.delete_layer_version(LayerName="b", VersionNumber=1)
        assert server.run(server.garbage.collect()) == 0
        assert client.update_function_configuration(FunctionName="f", Timeout=9)["Layers"] == answer["Layers"]
        server.release()
        refusal = refused(client.update_function_configuration, FunctionName="f", Layers=arns)
        assert refusal == ("InvalidParameterValueException", 400, f"Layer version {arns[0]} does not exist.")
        assert "Layers" not in client.update_function_configuration(FunctionName="f", Layers=[])

    def test_what_is_declared_as_compatible_is_not_enforced(self, client: Any) -> None:
        arn = publish(client, CompatibleRuntimes=["nodejs22.x"], CompatibleArchitectures=["arm64"])["LayerVersionArn"]
        assert client.create_function(**FUNCTION, Layers=[arn])["Layers"][0]["Arn"] == arn

    def test_what_is_refused(self, server: ControlServer, client: Any) -> None:
        one, two = publish(client)["LayerVersionArn"], publish(client)["LayerVersionArn"]
        elsewhere = server.client(region="us-east-1")
        far = publish(elsewhere)["LayerVersionArn"]
        for layers, text in (
            ([one] * 6, "Cannot reference more than 5 layers."),
            (
                [one, two],
                (
                    "Two different versions of the same layer are not allowed to be referenced in the same function. "
                    f"{one} and {two} are versions of the same layer."
                ),
            ),
            ([f"{LAYER}:3"], f"Layer version {LAYER}:3 does not exist."),
            (
                [far],
                f"Layers are not in the same region as the function. Layers are expected to be in region {REGION}.",
            ),
        ):
            answer = refused(client.create_function, **FUNCTION, Layers=layers)
            assert answer == ("InvalidParameterValueException", 400, text)
        assert refused(client.create_function, **FUNCTION, Layers=[LAYER])[0] == "ValidationException"

    def test_code_and_layers_together_are_limited(self, server: ControlServer, client: Any) -> None:
        arn = publish(client, Content={"ZipFile": zipped(big="1")})["LayerVersionArn"]
        [(key, versions)] = server.layers._versions.items()
        heavy = dataclasses.replace(versions[1].artifact, unzipped_bytes=262_144_000)
        server.layers._versions[key] = {1: dataclasses.replace(versions[1], artifact=heavy)}
        text = (
            "Function code combined with layers exceeds the maximum allowed size of 262144000 bytes. "
            "The actual size is 262144001 bytes."
        )
        answer = refused(client.create_function, **FUNCTION, Layers=[arn])
        assert answer == ("InvalidParameterValueException", 400, text)
        client.create_function(**FUNCTION)
        server.release()
        answer = refused(client.update_function_configuration, FunctionName="f", Layers=[arn])
        assert answer == ("InvalidParameterValueException", 400, text)

    def test_what_nothing_refers_to_is_collected(self, server: ControlServer, client: Any) -> None:
        publish(client, Content={"ZipFile": zipped(only="layer")})
        client.create_function(**FUNCTION)
        server.release()
        client.delete_layer_version(LayerName="l", VersionNumber=1)
        assert server.run(server.garbage.collect()) == 1
        client.delete_function(FunctionName="f")
        [digest] = server.artifacts.artifacts
        assert server.run(server.garbage.collect(in_use=lambda: frozenset({digest}))) == 0
        assert server.run(server.garbage.collect()) == 1
