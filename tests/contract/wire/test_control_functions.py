import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.contract.wire.control_server import ACCOUNT, REGION, ControlServer, zipped

from lamella.control.services import ControlSettings
from lamella.domain.function import FunctionVersion
from lamella.ports.errors import ConflictError
from lamella.testing.stores import MemoryFunctionStore

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/r"
ZIP = zipped(index__py="def handler(event, context): return 1")
OTHER_ZIP = zipped(index__py="def handler(event, context): return 2")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# What AWS answers: LocalStack's test_lambda_api.snapshot.json, TestLambdaFunction::test_function_lifecycle, recorded
# against AWS on 27 March 2024.
CREATED = {
    "Architectures", "CodeSha256", "CodeSize", "Description", "Environment", "EphemeralStorage", "FunctionArn",
    "FunctionName", "Handler", "LastModified", "LoggingConfig", "MemorySize", "PackageType", "RevisionId", "Role",
    "Runtime", "RuntimeVersionConfig", "SnapStart", "State", "StateReason", "StateReasonCode", "Timeout",
    "TracingConfig", "Version",
}  # fmt: skip
SETTLED = (CREATED - {"StateReason", "StateReasonCode"}) | {"LastUpdateStatus"}
UPDATING = SETTLED | {"LastUpdateStatusReason", "LastUpdateStatusReasonCode"}
# The same file, test_list_functions (20 November 2023), and LoggingConfig, which AWS added that month.
LISTED = SETTLED - {"State", "LastUpdateStatus", "RuntimeVersionConfig"}


def create(client: Any, name: str = "f", **members: Any) -> dict[str, Any]:
    given = {"Runtime": "python3.11", "Role": ROLE, "Handler": "index.handler", "Code": {"ZipFile": ZIP}}
    return shown(client.create_function(FunctionName=name, **{**given, **members}))


def shown(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def refused(call: Any, **members: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(**members)
    error = caught.value.response
    return error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Message"]


class TestCreate:
    def test_the_key_of_the_archive_is_shown_with_the_code(self, server: ControlServer, client: Any) -> None:
        key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/k"
        answer = create(client, Code={"ZipFile": ZIP, "SourceKMSKeyArn": key})
        assert answer.keys() == CREATED - {"Environment"}
        server.release()
        client.update_function_configuration(FunctionName="f", Description="d")
        server.release()
        assert client.get_function(FunctionName="f")["Code"]["SourceKMSKeyArn"] == key
        client.update_function_code(FunctionName="f", ZipFile=OTHER_ZIP)
        server.release()
        assert "SourceKMSKeyArn" not in client.get_function(FunctionName="f")["Code"]
        client.update_function_code(FunctionName="f", ZipFile=OTHER_ZIP, SourceKMSKeyArn=key)
        server.release()
        assert client.get_function(FunctionName="f")["Code"]["SourceKMSKeyArn"] == key

    def test_the_answer_is_that_of_aws(self, client: Any) -> None:
        answer = create(client, Environment={"Variables": {}})

        assert answer.keys() == CREATED
        assert UUID.fullmatch(answer.pop("RevisionId"))
        assert answer == {
            "FunctionName": "f",
            "FunctionArn": ARN,
            "Runtime": "python3.11",
            "Role": ROLE,
            "Handler": "index.handler",
            "CodeSize": len(ZIP),
            "CodeSha256": answer["CodeSha256"],
            "Description": "",
            "Environment": {"Variables": {}},
            "Timeout": 3,
            "MemorySize": 128,
            "LastModified": "2026-11-20T20:01:02.123+0000",
            "Version": "$LATEST",
            "TracingConfig": {"Mode": "PassThrough"},
            "State": "Pending",
            "StateReason": "The function is being created.",
            "StateReasonCode": "Creating",
            "PackageType": "Zip",
            "Architectures": ["x86_64"],
            "EphemeralStorage": {"Size": 512},
            "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
            "RuntimeVersionConfig": {"RuntimeVersionArn": f"arn:aws:lambda:{REGION}::runtime:{0:064x}"},
            "LoggingConfig": {"LogFormat": "Text", "LogGroup": "/aws/lambda/f"},
        }

    def test_the_state_in_between_is_seen_and_the_waiters_see_its_end(self, server: ControlServer, client: Any) -> None:
        server.hold()
        revision = create(client)["RevisionId"]
        pending = client.get_function_configuration(FunctionName="f")
        assert (pending["State"], pending["LastUpdateStatus"]) == ("Pending", "InProgress")
        server.release()
        for waiter in ("function_active", "function_active_v2", "function_exists", "function_updated"):
            client.get_waiter(waiter).wait(FunctionName="f")
        active = client.get_function(FunctionName="f")["Configuration"]
        assert active.keys() == SETTLED - {"Environment"}
        assert (active["State"], active["LastUpdateStatus"]) == ("Active", "Successful")
        assert active["RevisionId"] != revision
        assert [version.key.name for version in server.observed.settled] == ["f"]

    def test_publish_makes_version_one(self, server: ControlServer, client: Any) -> None:
        answer = create(client, Publish=True)
        assert (answer["Version"], answer["FunctionArn"], answer["State"]) == ("1", ARN, "Pending")
        client.get_waiter("published_version_active").wait(FunctionName="f", Qualifier="1")
        versions = client.list_versions_by_function(FunctionName="f")["Versions"]
        assert [version["Version"] for version in versions] == ["$LATEST", "1"]

    def test_all_the_caller_decides_is_shown(self, client: Any) -> None:
        given = {
            "Description": "d",
            "Timeout": 900,
            "MemorySize": 10240,
            "EphemeralStorage": {"Size": 10240},
            "Environment": {"Variables": {"AB": "x=1\n", "C_2": "ü"}},
            "Architectures": ["arm64"],
            "Runtime": "provided.al2023",
            "TracingConfig": {"Mode": "Active"},
            "DeadLetterConfig": {"TargetArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"},
            "KMSKeyArn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/k",
        }
        answer = create(client, VpcConfig={"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}, **given)
        assert given.items() <= answer.items()
        assert answer["VpcConfig"] == {
            "SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"], "VpcId": "", "Ipv6AllowedForDualStack": False,
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("members", "code", "text"),
        [
            ({"FunctionName": "n" * 65}, "InvalidParameterValueException",
             (f"1 validation error detected: Value '{'n' * 65}' at 'functionName' failed to satisfy constraint: "
             "Member must have length less than or equal to 64")),
            ({"FunctionName": f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:f"}, "ResourceNotFoundException",
             f"Functions from 'us-east-1' are not reachable in this region ('{REGION}')"),
            ({"FunctionName": "999999999999:function:f"}, "AccessDeniedException",
             (f"User: arn:aws:iam::{ACCOUNT}:root is not authorized to perform: lambda:CreateFunction on resource: "
             f"arn:aws:lambda:{REGION}:999999999999:function:f because no resource-based policy allows the "
             "lambda:CreateFunction action")),
            ({"Runtime": "provided"}, "InvalidParameterValueException",
             ("The runtime parameter of provided is no longer supported for creating or updating AWS Lambda functions. "
             "We recommend you use a supported runtime while creating or updating functions.")),
            ({"Runtime": "python3.14"}, "InvalidParameterValueException",
             "no pack for python3.14 on x86_64: run `lamella runtime add python3.14`"),
            ({"Handler": None}, "InvalidParameterValueException",
             "Runtime and Handler are mandatory parameters for functions created with deployment packages."),
            ({"Timeout": 901}, "ValidationException",
             ("1 validation error detected: Value '901' at 'timeout' failed to satisfy constraint: "
             "Member must have value less than or equal to 900")),
            ({"MemorySize": 10241}, "ValidationException",
             ("1 validation error detected: Value '10241' at 'memorySize' failed to satisfy constraint: "
             "Member must have value less than or equal to 10240")),
            ({"Role": "r1"}, "ValidationException",
             ("1 validation error detected: Value 'r1' at 'role' failed to satisfy constraint: Member must satisfy "
             r"regular expression pattern: arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+")),
            # rule EN-05: a letter, then at least one letter, digit or underscore
            *(({"Environment": {"Variables": {name: "y"}}}, "ValidationException", None)
              for name in ("_HANDLER", "A", "1A", "A-B", "A B", "Ä1", "")),
            # rule EN-04
            ({"Environment": {"Variables": {"AWS_REGION": "x", "OK_": "", "LAMBDA_TASK_ROOT": "y"}}},
             "InvalidParameterValueException",
             ("Lambda was unable to configure your environment variables because the environment variables you have "
             "provided contains reserved keys that are currently not supported for modification. Reserved keys used in "
             "this request: AWS_REGION, LAMBDA_TASK_ROOT")),
            ({"Environment": {"Variables": {"BIG": "x" * 4090}}}, "InvalidParameterValueException",
             "Lambda was unable to configure your environment variables because the environment variables you have "
             'provided exceeded the 4KB limit. String measured: {"BIG":"' + "x" * 4090 + '"}'),
            ({"Code": {"ZipFile": b"no zip"}}, "InvalidParameterValueException",
             "Could not unzip uploaded file. Please check your file, then try to upload again."),
            ({"Code": {}}, "InvalidParameterValueException", "Please provide a source for function code."),
            ({"Code": {"S3Bucket": "bucket"}}, "InvalidParameterValueException",
             "Please provide a source for function code."),
            ({"Code": {"ZipFile": ZIP, "S3Bucket": "bucket"}}, "InvalidParameterValueException",
             "Please do not provide other FunctionCode parameters when providing a ZipFile."),
            ({"CapacityProviderConfig": {"LambdaManagedInstancesCapacityProviderConfig": {"CapacityProviderArn":
             f"arn:aws:lambda:{REGION}:{ACCOUNT}:capacity-provider:c"}}}, "InvalidParameterValueException",
             "Lamella does not support these parameters yet: CapacityProviderConfig."),
            ({"SnapStart": {"ApplyOn": "PublishedVersions"}}, "InvalidParameterValueException",
             "python3.11 is not supported for SnapStart enabled functions."),
            ({"LoggingConfig": {"ApplicationLogLevel": "INFO"}}, "InvalidParameterValueException",
             ('LogLevel is not supported when LogFormat is set to "Text". Remove LogLevel from your request or change '
             'the LogFormat to "JSON" and try again.')),
            ({"Tags": {f"t{number}": "" for number in range(51)}}, "InvalidParameterValueException",
             "Number of tags exceeds resource tag limit."),
        ],
    )  # fmt: skip
    def test_is_refused_in_the_words_of_aws(
        self, server: ControlServer, client: Any, members: dict[str, Any], code: str, text: str | None
    ) -> None:
        given = {"FunctionName": "f", "Runtime": "python3.11", "Role": ROLE, "Handler": "h.h", "Code": {"ZipFile": ZIP}}
        given = {name: value for name, value in {**given, **members}.items() if value is not None}
        answered, _, message = refused(client.create_function, **given)
        assert answered == code
        assert text is None or message == text
        assert client.list_functions()["Functions"] == []
        assert server.artifacts.protected == {}

    def test_an_arm64_function_of_an_old_runtime_is_refused(self, server: ControlServer, client: Any) -> None:
        server.settings = ControlSettings(allow_deprecated_runtimes=True)
        text = (
            "Runtime provided does not support the following architectures [arm64]. Please select different "
            "architectures from [x86_64, arm64] or select a different runtime."
        )
        answer = refused(create, client=client, Runtime="provided", Architectures=["arm64"])
        assert answer == ("InvalidParameterValueException", 400, text)

    def test_deprecated_runtimes_can_be_allowed(self, server: ControlServer, client: Any) -> None:
        server.settings = ControlSettings(allow_deprecated_runtimes=True)
        _, _, text = refused(create, client=client, Runtime="provided")
        assert text.startswith("no pack for provided")

    def test_twice_is_a_conflict(self, client: Any) -> None:
        create(client)
        assert refused(create, client=client) == ("ResourceConflictException", 409, "Function already exist: f")

    def test_unzipped_size_is_limited(self, client: Any) -> None:
        bomb = zipped(a="0" * 1000)
        # The sizes in the directory say 250 MiB: the archive itself would be slow to make.
        bomb = bomb.replace((1000).to_bytes(4, "little"), (262_144_000).to_bytes(4, "little"))
        assert refused(create, client=client, Code={"ZipFile": bomb}) == (
            "InvalidParameterValueException",
            400,
            "Unzipped size must be smaller than 262144000 bytes",
        )

    def test_an_archive_over_50_mb_is_refused(self, client: Any) -> None:
        answer = refused(create, client=client, Code={"ZipFile": bytes(52_428_801)})
        assert answer == ("RequestEntityTooLargeException", 413, "Zipped size must be smaller than 52428800 bytes")

    def test_the_quota_for_storage_is_kept(self, server: ControlServer, client: Any) -> None:
        server.settings = ControlSettings(code_storage_bytes=len(ZIP))
        create(client)
        answer = refused(create, client=client, name="g")
        assert answer == ("CodeStorageExceededException", 400, "Code storage limit exceeded.")


class TestShow:
    @pytest.mark.parametrize(
        ("name", "end"),
        [
            ("f", ""),
            ("f:$LATEST", ":$LATEST"),
            ("f:1", ":1"),
            (f"{ACCOUNT}:function:f", ""),
            (f"{ACCOUNT}:function:f:1", ":1"),
            (ARN, ""),
            (f"{ARN}:1", ":1"),
        ],
    )
    def test_every_form_of_a_name_is_known(self, client: Any, name: str, end: str) -> None:
        create(client, Publish=True)
        assert client.get_function_configuration(FunctionName=name)["FunctionArn"] == ARN + end
        assert client.get_function(FunctionName=name)["Configuration"]["FunctionArn"] == ARN + end

    def test_a_qualifier_is_a_parameter_too(self, client: Any) -> None:
        create(client, Publish=True)
        answer = client.get_function_configuration(FunctionName=f"{ARN}:1", Qualifier="1")
        assert (answer["Version"], answer["FunctionArn"]) == ("1", f"{ARN}:1")
        assert refused(client.get_function, FunctionName="f:1", Qualifier="2") == (
            "InvalidParameterValueException",
            400,
            "The derived qualifier from the function name does not match the specified qualifier.",
        )

    @pytest.mark.parametrize(("name", "arn"), [("g", "g"), ("g:3", "g:3"), ("f:2", "f:2"), ("f:live", "f:live")])
    def test_what_is_not_there_is_named(self, client: Any, name: str, arn: str) -> None:
        create(client, Publish=True)
        text = f"Function not found: arn:aws:lambda:{REGION}:{ACCOUNT}:function:{arn}"
        for call in (client.get_function, client.get_function_configuration):
            assert refused(call, FunctionName=name) == ("ResourceNotFoundException", 404, text)

    def test_the_location_gives_the_archive_and_tags_are_shown(self, server: ControlServer, client: Any) -> None:
        create(client, Tags={"a": "1"})
        answer = client.get_function(FunctionName="f")
        assert shown(answer).keys() == {"Configuration", "Code", "Tags"}
        assert answer["Tags"] == {"a": "1"}
        assert answer["Code"].keys() == {"RepositoryType", "Location"}
        path, _, query = answer["Code"]["Location"].removeprefix("http://lamella.test:4566").partition("?")
        download = server.signer.verify(path, query, server.clock.now())
        assert download is not None
        assert download.digest in server.artifacts.artifacts
        assert download.filename == "f-LATEST.zip"

    def test_other_accounts_and_regions_see_nothing(self, server: ControlServer, client: Any) -> None:
        create(client)
        for other in (server.client(account="210987654321"), server.client(region="us-east-1")):
            assert other.list_functions()["Functions"] == []
            code, _, _ = refused(other.get_function, FunctionName="f")
            assert code == "ResourceNotFoundException"


class TestUpdateCode:
    def test_goes_through_in_progress(self, server: ControlServer, client: Any) -> None:
        before = create(client, Environment={"Variables": {}})
        server.release()
        server.hold()
        answer = shown(client.update_function_code(FunctionName="f", ZipFile=OTHER_ZIP))
        assert answer.keys() == UPDATING
        assert (answer["State"], answer["LastUpdateStatus"]) == ("Active", "InProgress")
        assert answer["LastUpdateStatusReason"] == "The function is being created."
        assert answer["LastUpdateStatusReasonCode"] == "Creating"
        assert answer["CodeSha256"] != before["CodeSha256"]
        assert len(server.observed.settled) == 1
        conflict = (
            "ResourceConflictException",
            409,
            f"The operation cannot be performed at this time. An update is in progress for resource: {ARN}",
        )
        assert refused(client.update_function_code, FunctionName="f", ZipFile=ZIP) == conflict
        assert refused(client.update_function_configuration, FunctionName="f") == conflict
        assert refused(client.publish_version, FunctionName="f") == conflict
        server.release()
        client.get_waiter("function_updated_v2").wait(FunctionName="f")
        assert server.observed.settled[-1].artifact.code_sha256 == answer["CodeSha256"]
        assert client.get_function_configuration(FunctionName="f")["RevisionId"] != answer["RevisionId"]

    def test_while_pending_is_a_conflict(self, server: ControlServer, client: Any) -> None:
        server.hold()
        create(client)
        text = (
            "The operation cannot be performed at this time. The function is currently in the following state: Pending"
        )
        answer = refused(client.update_function_code, FunctionName="f", ZipFile=OTHER_ZIP)
        assert answer == ("ResourceConflictException", 409, text)

    def test_a_dry_run_changes_nothing(self, server: ControlServer, client: Any) -> None:
        before = create(client)
        server.release()
        answer = client.update_function_code(FunctionName="f", ZipFile=OTHER_ZIP, DryRun=True)
        assert answer["CodeSha256"] != before["CodeSha256"]
        assert client.get_function_configuration(FunctionName="f")["CodeSha256"] == before["CodeSha256"]
        _, _, text = refused(client.update_function_code, FunctionName="f", ZipFile=b"no zip", DryRun=True)
        assert text == "Could not unzip uploaded file. Please check your file, then try to upload again."

    def test_publish_and_architecture(self, server: ControlServer, client: Any) -> None:
        create(client, Runtime="provided.al2023")
        server.release()
        answer = client.update_function_code(FunctionName="f", ZipFile=OTHER_ZIP, Architectures=["arm64"], Publish=True)
        assert (answer["Version"], answer["FunctionArn"], answer["Architectures"]) == ("1", f"{ARN}:1", ["arm64"])
        server.release()
        assert client.get_function_configuration(FunctionName="f:1")["State"] == "Active"

    def test_an_old_revision_is_refused(self, server: ControlServer, client: Any) -> None:
        revision = create(client)["RevisionId"]
        server.release()
        for call in (client.update_function_code, client.update_function_configuration, client.publish_version):
            members = {"ZipFile": ZIP} if call == client.update_function_code else {}
            assert refused(call, FunctionName="f", RevisionId=revision, **members) == (
                "PreconditionFailedException",
                412,
                (
                    "The Revision Id provided does not match the latest Revision Id. "
                    "Call the GetFunction/GetAlias API to retrieve the latest Revision Id"
                ),
            )

    def test_no_image_and_no_version(self, server: ControlServer, client: Any) -> None:
        create(client)
        server.release()
        answer = refused(client.update_function_code, FunctionName="f", ImageUri="i")
        assert answer[2] == "Please don't provide ImageUri when updating a function with packageType Zip."
        answer = refused(client.update_function_code, FunctionName="f:1", ZipFile=ZIP)
        assert answer[2].startswith("This operation is permitted on Lambda functions only.")

    def test_an_old_function_is_blocked_a_while_after_new_ones(self, server: ControlServer, client: Any) -> None:
        create(client)
        server.release()
        server.clock.advance((datetime(2027, 8, 30, tzinfo=UTC) - server.clock.now()).total_seconds())
        assert refused(create, client=client, name="g")[2].startswith(
            "The runtime parameter of python3.11 is no longer"
        )
        client.update_function_code(FunctionName="f", ZipFile=ZIP)
        server.release()
        server.clock.advance(86400)
        for call, members in (
            (client.update_function_code, {"ZipFile": ZIP}),
            (client.update_function_configuration, {}),
        ):
            answer = refused(call, FunctionName="f", **members)
            assert answer[2].startswith("The runtime parameter of python3.11 is no longer supported")


class OvertakenStore(MemoryFunctionStore):
    """Another caller is always a moment quicker."""

    def __init__(self, store: MemoryFunctionStore) -> None:
        super().__init__()
        self._functions = store._functions

    async def create(self, latest: FunctionVersion, tags: Mapping[str, str]) -> None:
        await super().create(latest, tags)
        await super().create(latest, tags)

    async def replace(self, changed: FunctionVersion, *, expected_revision_id: str) -> None:
        raise ConflictError

    async def publish(self, snapshot: FunctionVersion) -> FunctionVersion:
        raise ConflictError


class TestRaces:
    def test_the_slower_caller_is_told(self, server: ControlServer, client: Any) -> None:
        create(client)
        server.release()
        server.functions = OvertakenStore(server.functions)
        answer = refused(create, client=client, name="g")
        assert answer == ("ResourceConflictException", 409, "Function already exist: g")
        answer = refused(client.update_function_configuration, FunctionName="f")
        text = f"The operation cannot be performed at this time. An update is in progress for resource: {ARN}"
        assert answer == ("ResourceConflictException", 409, text)
        answer = refused(client.publish_version, FunctionName="f")
        assert answer == ("ResourceNotFoundException", 404, f"Function not found: {ARN}")


class TestUpdateConfiguration:
    def test_changes_what_is_named_and_no_more(self, server: ControlServer, client: Any) -> None:
        before = create(client, Environment={"Variables": {"AB": "1"}}, Description="d", Timeout=7)
        server.release()
        answer = client.update_function_configuration(FunctionName="f", MemorySize=256, Handler="other.handler")
        assert answer["LastUpdateStatus"] == "InProgress"
        server.release()
        after = client.get_function_configuration(FunctionName="f")
        changed = {name for name in before.keys() & after.keys() if before[name] != after[name]}
        assert changed == {"MemorySize", "Handler", "RevisionId", "State"}
        client.update_function_configuration(FunctionName="f", Environment={"Variables": {"CD": "2"}}, Description="")
        server.release()
        after = client.get_function_configuration(FunctionName="f")
        assert (after["Environment"], after["Description"]) == ({"Variables": {"CD": "2"}}, "")

    def test_logging_is_changed_member_by_member(self, server: ControlServer, client: Any) -> None:
        create(client)
        shown_config = []
        for config in ({"LogFormat": "JSON"}, {"SystemLogLevel": "WARN"}, {"LogFormat": "Text", "LogGroup": "/g"}):
            server.release()
            answer = client.update_function_configuration(FunctionName="f", LoggingConfig=config)
            shown_config.append(answer["LoggingConfig"])
        json = {
            "LogFormat": "JSON",
            "ApplicationLogLevel": "INFO",
            "SystemLogLevel": "INFO",
            "LogGroup": "/aws/lambda/f",
        }
        assert shown_config == [json, {**json, "SystemLogLevel": "WARN"}, {"LogFormat": "Text", "LogGroup": "/g"}]

    def test_empty_values_take_members_away(self, server: ControlServer, client: Any) -> None:
        create(
            client,
            DeadLetterConfig={"TargetArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"},
            KMSKeyArn=f"arn:aws:kms:{REGION}:{ACCOUNT}:key/k",
        )
        server.release()
        answer = client.update_function_configuration(
            FunctionName="f", DeadLetterConfig={"TargetArn": ""}, KMSKeyArn=""
        )
        assert not answer.keys() & {"DeadLetterConfig", "KMSKeyArn"}


class TestDelete:
    def test_the_function_with_all_its_versions(self, server: ControlServer, client: Any) -> None:
        create(client, Publish=True)
        answer = client.delete_function(FunctionName="f")
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
        text = f"Function not found: {ARN}"
        assert refused(client.delete_function, FunctionName="f") == ("ResourceNotFoundException", 404, text)
        assert [(key.name, version) for key, version in server.observed.deleted] == [("f", None)]

    def test_one_version(self, server: ControlServer, client: Any) -> None:
        create(client, Publish=True)
        client.delete_function(FunctionName="f", Qualifier="1")
        client.delete_function(FunctionName="f", Qualifier="1")
        assert [(key.name, version) for key, version in server.observed.deleted] == [("f", "1")]
        assert len(client.list_versions_by_function(FunctionName="f")["Versions"]) == 1

    def test_neither_latest_nor_an_alias(self, client: Any) -> None:
        create(client)
        for qualifier, text in (
            ("$LATEST", "$LATEST version cannot be deleted without deleting the function."),
            ("live", "Deletion of aliases is not currently supported."),
        ):
            answer = refused(client.delete_function, FunctionName="f", Qualifier=qualifier)
            assert answer == ("InvalidParameterValueException", 400, text)

    def test_during_a_transition(self, server: ControlServer, client: Any) -> None:
        server.hold()
        create(client)
        client.delete_function(FunctionName="f")
        server.release()
        assert server.observed.settled == []
        create(client)


class TestList:
    def test_by_name_without_state(self, client: Any) -> None:
        for name in ("b", "a", "c"):
            create(client, name, Environment={"Variables": {}})
        functions = client.list_functions()["Functions"]
        assert [function["FunctionName"] for function in functions] == ["a", "b", "c"]
        assert functions[0].keys() == LISTED
        assert functions[0]["FunctionArn"].endswith(":function:a")

    def test_pages(self, client: Any) -> None:
        for number in range(5):
            create(client, f"f{number}")
        pages = list(client.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 2}))
        assert [[one["FunctionName"] for one in page["Functions"]] for page in pages] == [
            ["f0", "f1"], ["f2", "f3"], ["f4"],
        ]  # fmt: skip
        assert "NextMarker" not in pages[-1]
        assert refused(client.list_functions, Marker="x")[0] == "InvalidParameterValueException"

    def test_all_versions(self, client: Any) -> None:
        create(client, Publish=True)
        arns = [function["FunctionArn"] for function in client.list_functions(FunctionVersion="ALL")["Functions"]]
        assert arns == [f"{ARN}:$LATEST", f"{ARN}:1"]
        assert client.list_functions(MasterRegion="us-east-1", FunctionVersion="ALL")["Functions"] == []

    def test_never_more_than_fifty(self, client: Any) -> None:
        for number in range(51):
            create(client, f"f{number}")
        answer = client.list_functions(MaxItems=10000)
        assert len(answer["Functions"]) == 50
        assert len(client.list_functions(Marker=answer["NextMarker"])["Functions"]) == 1


def test_account_settings(client: Any) -> None:
    create(client, Publish=True)
    client.publish_layer_version(LayerName="l", Content={"ZipFile": ZIP})
    assert shown(client.get_account_settings()) == {
        "AccountLimit": {
            "TotalCodeSize": 322_122_547_200,
            "CodeSizeUnzipped": 262_144_000,
            "CodeSizeZipped": 52_428_800,
            "ConcurrentExecutions": 1000,
            "UnreservedConcurrentExecutions": 1000,
        },
        "AccountUsage": {"TotalCodeSize": 3 * len(ZIP), "FunctionCount": 1},
    }
