"""Customer-managed runtimes through boto3's `lambda-core` client, and the functions that use them."""

from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, ParamValidationError
from tests.contract.wire.control_server import ACCOUNT, REGION, ControlServer, zipped

from lamella.domain.function import Architecture
from lamella.domain.managed_runtime import RUNTIME_RECORD, ResourceState, RuntimeKey

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:runtime/php"
KEY = RuntimeKey(ACCOUNT, REGION, "php")
OTHER = "111111111111"
ANOTHER = "14e0db71-5b02-4e16-8cc3-a44d4ba2b2f4"
CREATED = "2026-11-20T20:01:02.123+0000"


@pytest.fixture
def core(server: ControlServer) -> Any:  # Any: boto3's clients have no types
    """Of a server that has the runtime `php` with the versions v1 and v2, and an alias `prod` of the first."""
    client = server.client(service="lambda-core")
    client.create_runtime(Name="php", Description="PHP")
    for name in ("v1", "v2"):
        server.contents.offer(f"image:{name}")
        client.create_runtime_version(RuntimeName="php", Name=name, ImageUri=f"image:{name}")
    server.run(server.fetches.wait_done())
    client.create_runtime_alias(RuntimeName="php", Name="prod", RuntimeVersion="v1")
    return client


@pytest.fixture
def lam(server: ControlServer) -> Any:
    return server.client()


def create(server: ControlServer, client: Any, name: str = "f", **members: Any) -> dict[str, Any]:
    members = {"RuntimeConfig": {"RuntimeArn": ARN, "RuntimeAlias": "prod"}, "Runtime": "custom", **members}
    answer = client.create_function(
        FunctionName=name,
        Role=f"arn:aws:iam::{ACCOUNT}:role/r",
        Handler="index.handler",
        Code={"ZipFile": zipped(index__py="1")},
        **{member: value for member, value in members.items() if value is not None},
    )
    server.release()
    return dict(answer)


def shown(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def refused(call: Any, **members: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(**members)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Message"]


def version_of(client: Any, **members: Any) -> str:
    arn: str = client.get_function_configuration(FunctionName="f", **members)["RuntimeVersionConfig"][
        "RuntimeVersionArn"
    ]
    return arn.rpartition("/")[2]


class TestRuntimes:
    def test_create_and_get(self, server: ControlServer) -> None:
        client = server.client(service="lambda-core")
        made = client.create_runtime(
            Name="php", Description="PHP", LicenseInfo="MIT", ReleaseLifecycle={"ReleaseState": "PREVIEW"}
        )
        assert made["ResponseMetadata"]["HTTPStatusCode"] == 202
        facts = {
            "Arn": ARN,
            "Name": "php",
            "Description": "PHP",
            "LicenseInfo": "MIT",
            "ReleaseLifecycle": {"ReleaseState": "PREVIEW"},
            "Created": CREATED,
            "LastModified": CREATED,
        }
        assert shown(made) == facts
        found = shown(client.get_runtime(RuntimeName=ARN))
        assert len(found.pop("Id")) == 36
        assert found == {**facts, "State": "ACTIVE"}
        assert client.list_runtimes()["Items"] == [{**facts, "State": "ACTIVE"}]
        assert server.observed.runtimes[KEY].description == "PHP"

    def test_a_name_is_taken(self, core: Any) -> None:
        assert refused(core.create_runtime, Name="php") == (
            "ResourceConflictException",
            409,
            f"Runtime already exists: {ARN}",
        )

    def test_what_is_no_name(self, core: Any) -> None:
        code, status, text = refused(core.create_runtime, Name="Company")
        assert (code, status) == ("ValidationException", 400)
        assert "'name' failed to satisfy constraint" in text
        with pytest.raises(ParamValidationError):
            core.create_runtime(Name="a")

    def test_what_is_not_there(self, core: Any) -> None:
        missing = ("ResourceNotFoundException", 404, f"Runtime not found: {ARN.replace('php', 'perl')}")
        assert refused(core.get_runtime, RuntimeName="perl") == missing
        assert refused(core.delete_runtime, RuntimeName="perl") == missing
        assert refused(core.create_runtime_alias, RuntimeName="perl", Name="a", RuntimeVersion="1") == missing
        assert refused(core.get_runtime, RuntimeName=ARN.replace(REGION, "us-east-1"))[0] == missing[0]

    def test_update_takes_away_a_lifecycle_that_is_not_named(self, core: Any) -> None:
        core.update_runtime(RuntimeName="php", ReleaseLifecycle={"ReleaseState": "GA"}, Description="new")
        assert core.get_runtime(RuntimeName="php")["ReleaseLifecycle"] == {"ReleaseState": "GA"}
        answer = core.update_runtime(RuntimeName="php")
        assert answer["Description"] == "new"
        assert "ReleaseLifecycle" not in answer
        assert "State" not in answer

    def test_a_lifecycle_that_contradicts_itself(self, core: Any) -> None:
        call = core.update_runtime
        for lifecycle in ({"ReleaseState": "DEPRECATED"}, {"DeprecationDate": "2026-02-30"}):
            code, status, _ = refused(call, RuntimeName="php", ReleaseLifecycle=lifecycle)
            assert (code, status) == ("InvalidParameterValueException", 400)

    def test_listings_have_pages(self, server: ControlServer, core: Any) -> None:
        core.create_runtime(Name="perl")
        first = core.list_runtimes(MaxResults=1)
        rest = core.list_runtimes(MaxResults=1, NextToken=first["NextToken"])
        assert [item["Name"] for item in first["Items"] + rest["Items"]] == ["perl", "php"]
        pages = core.get_paginator("list_runtime_versions").paginate(
            RuntimeName="php", PaginationConfig={"PageSize": 1}
        )
        assert [[item["Name"] for item in page["Items"]] for page in pages] == [["v1"], ["v2"]]
        assert refused(core.list_runtimes, NextToken="x")[0] == "InvalidParameterValueException"
        assert (
            refused(core.list_runtime_aliases, RuntimeName="php", NextToken="x")[0] == "InvalidParameterValueException"
        )

    def test_network_connectors_are_not_there(self, core: Any) -> None:
        assert refused(core.list_network_connectors)[:2] == ("NotImplementedException", 501)


class TestVersions:
    def test_create_and_get(self, server: ControlServer, core: Any) -> None:
        server.contents.offer("image:v3", Architecture.X86_64, Architecture.ARM64)
        made = core.create_runtime_version(RuntimeName="php", Name="v3", ImageUri="image:v3", ReleaseNotes="third")
        assert made["State"] == "CREATING"
        server.run(server.fetches.wait_done())
        core.get_waiter("runtime_version_active").wait(RuntimeName="php", Name="v3")
        found = core.get_runtime_version(RuntimeName="php", Name="v3")
        assert found["Arn"] == f"{ARN}/version/v3"
        assert found["ReleaseNotes"] == "third"
        assert found["Compatibility"] == {
            "IntegrationModels": ["RuntimeAPI"],
            "Architectures": ["x86_64", "arm64"],
            "ManagedInstances": "NotSupported",
        }
        assert [platform["Architecture"] for platform in found["Platforms"]] == ["x86_64", "arm64"]
        assert found["ResolvedUri"] == f"image@{found['Platforms'][0]['Digest']}"

    def test_an_image_that_is_not_there(self, core: Any) -> None:
        call = core.create_runtime_version
        answer = refused(call, RuntimeName="php", Name="v3", ImageUri="nowhere")
        assert answer == ("InvalidParameterValueException", 400, "there is no nowhere")
        assert refused(call, RuntimeName="php", Name="v3", ImageUri="two words")[0] == "InvalidParameterValueException"
        assert [item["Name"] for item in core.list_runtime_versions(RuntimeName="php")["Items"]] == ["v1", "v2"]

    def test_an_image_that_cannot_be_fetched(self, server: ControlServer, core: Any) -> None:
        server.contents.offer("image:bad")
        uri = server.contents.offered["image:bad"].uri
        server.contents.broken[uri] = "it has no bootstrap"
        core.create_runtime_version(RuntimeName="php", Name="bad", ImageUri="image:bad")
        server.run(server.fetches.wait_done())
        assert core.get_runtime_version(RuntimeName="php", Name="bad")["State"] == "FAILED"
        code, _, text = refused(core.update_runtime_alias, RuntimeName="php", Name="prod", RuntimeVersion="bad")
        assert (code, "FAILED" in text) == ("ResourceConflictException", True)
        stored = server.run(server.records.accounts.get(ACCOUNT, REGION, RUNTIME_RECORD, "php"))
        assert stored is not None
        assert stored["versions"][-1]["failure"] == "it has no bootstrap"

    def test_a_dry_run_leaves_nothing(self, core: Any) -> None:
        made = core.create_runtime_version(RuntimeName="php", Name="v3", ImageUri="image:v1", DryRun=True)
        assert made["Arn"] == f"{ARN}/version/v3"
        assert refused(core.get_runtime_version, RuntimeName="php", Name="v3")[0] == "ResourceNotFoundException"
        refused(core.create_runtime_version, RuntimeName="php", Name="v1", ImageUri="image:v1", DryRun=True)

    def test_only_the_notes_change(self, core: Any) -> None:
        answer = core.update_runtime_version(RuntimeName="php", Name="v1", ReleaseNotes="now")
        assert answer["ReleaseNotes"] == "now"
        assert refused(core.update_runtime_version, RuntimeName="php", Name="v1", ReleaseNotes="x" * 4097)[0] == (
            "InvalidParameterValueException"
        )

    def test_what_a_crash_interrupted_is_fetched_by_the_next_server(self, server: ControlServer, core: Any) -> None:
        def interrupted(stored: Any) -> Any:
            return {**stored, "versions": [{**stored["versions"][0], "state": "CREATING"}, *stored["versions"][1:]]}

        server.run(server.records.accounts.change(ACCOUNT, REGION, RUNTIME_RECORD, "php", interrupted))
        server.observed.runtimes.clear()
        server.contents.fetched.clear()
        server.run(server.fetches.resume())
        server.run(server.fetches.wait_done())
        assert server.observed.runtimes[KEY].versions["v1"].state is ResourceState.ACTIVE
        assert len(server.contents.fetched) == 2  # the other one is only looked for


class TestAliases:
    def test_create_move_and_list(self, server: ControlServer, core: Any) -> None:
        alias = {
            "Name": "prod",
            "Arn": f"{ARN}/alias/prod",
            "RuntimeVersion": "v1",
            "RuntimeVersionArn": f"{ARN}/version/v1",
            "State": "ACTIVE",
            "Created": CREATED,
            "LastModified": CREATED,
        }
        found = shown(core.get_runtime_alias(RuntimeName="php", Name="prod"))
        assert found.pop("Compatibility")["Architectures"] == ["x86_64"]
        assert found == alias
        core.get_waiter("runtime_alias_active").wait(RuntimeName="php", Name="prod")
        moved = core.update_runtime_alias(RuntimeName="php", Name="prod", RuntimeVersion="v2", Description="d")
        assert (moved["RuntimeName"], moved["RuntimeVersionArn"]) == ("php", f"{ARN}/version/v2")
        assert server.observed.runtimes[KEY].aliases["prod"].version == "v2"  # before the answer
        assert [item["RuntimeVersion"] for item in core.list_runtime_aliases(RuntimeName="php")["Items"]] == ["v2"]

    def test_a_description_without_control_characters(self, core: Any) -> None:
        call = core.update_runtime_alias
        answer = refused(call, RuntimeName="php", Name="prod", RuntimeVersion="v2", Description="a\x1b[2J")
        assert answer[0] == "ValidationException"

    def test_a_lifecycle_is_inherited_and_overridden(self, core: Any) -> None:
        core.update_runtime(RuntimeName="php", ReleaseLifecycle={"ReleaseState": "GA"})
        assert core.get_runtime_alias(RuntimeName="php", Name="prod")["ReleaseLifecycle"] == {"ReleaseState": "GA"}
        own = {"ReleaseState": "DEPRECATED", "DeprecationDate": "2026-11-01"}
        core.update_runtime_alias(RuntimeName="php", Name="prod", RuntimeVersion="v1", ReleaseLifecycle=own)
        assert core.get_runtime_alias(RuntimeName="php", Name="prod")["ReleaseLifecycle"] == own
        core.update_runtime_alias(RuntimeName="php", Name="prod", RuntimeVersion="v1")
        assert core.get_runtime_alias(RuntimeName="php", Name="prod")["ReleaseLifecycle"] == {"ReleaseState": "GA"}


class TestDeletion:
    def test_it_waits_and_can_be_taken_back(self, server: ControlServer, core: Any) -> None:
        answer = core.delete_runtime_alias(RuntimeName="php", Name="prod", RecoveryWindowInDays=7)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
        found = core.get_runtime_alias(RuntimeName="php", Name="prod")
        assert (found["State"], found["PendingDeletionAt"]) == ("PENDING_DELETION", "2026-11-27T20:01:02.123+0000")
        back = core.restore_runtime(RuntimeName="php", RuntimeAlias="prod")
        assert shown(back) == {
            "RuntimeName": "php",
            "RuntimeAlias": "prod",
            "Arn": f"{ARN}/alias/prod",
            "State": "ACTIVE",
            "LastModified": CREATED,
        }
        core.delete_runtime_alias(RuntimeName="php", Name="prod")
        assert core.get_runtime_alias(RuntimeName="php", Name="prod")["PendingDeletionAt"].startswith("2026-12-20")

    def test_a_window_is_7_to_30_days(self, core: Any) -> None:
        code = refused(core.delete_runtime_alias, RuntimeName="php", Name="prod", RecoveryWindowInDays=31)[0]
        assert code == "ValidationException"
        with pytest.raises(ParamValidationError):
            core.delete_runtime_alias(RuntimeName="php", Name="prod", RecoveryWindowInDays=6)

    def test_the_whole_runtime_goes_and_its_name_is_free(self, server: ControlServer, core: Any) -> None:
        assert refused(core.delete_runtime, RuntimeName="php")[0] == "ResourceConflictException"
        core.delete_runtime_alias(RuntimeName="php", Name="prod")
        for name in ("v1", "v2"):
            core.delete_runtime_version(RuntimeName="php", Name=name)
        core.delete_runtime(RuntimeName="php", RecoveryWindowInDays=7)
        assert "pending deletion until 2026-11-27" in refused(core.create_runtime, Name="php")[2]
        assert core.restore_runtime(RuntimeName="php")["State"] == "ACTIVE"
        core.delete_runtime(RuntimeName="php", RecoveryWindowInDays=7)
        server.clock.advance(timedelta(days=7).total_seconds())
        assert core.list_runtimes()["Items"] == []
        assert refused(core.restore_runtime, RuntimeName="php")[0] == "ResourceNotFoundException"
        core.create_runtime(Name="php")
        assert core.list_runtime_versions(RuntimeName="php")["Items"] == []

    def test_what_is_over_is_let_go(self, server: ControlServer, core: Any) -> None:
        core.delete_runtime_alias(RuntimeName="php", Name="prod", RecoveryWindowInDays=7)
        server.clock.advance(timedelta(days=7).total_seconds())
        server.run(server.fetches.expire())
        assert server.observed.runtimes[KEY].aliases == {}
        for name in ("v1", "v2"):
            core.delete_runtime_version(RuntimeName="php", Name=name, RecoveryWindowInDays=7)
        core.delete_runtime(RuntimeName="php", RecoveryWindowInDays=7)
        server.clock.advance(timedelta(days=7).total_seconds())
        server.run(server.fetches.expire())
        assert server.run(server.records.accounts.get(ACCOUNT, REGION, RUNTIME_RECORD, "php")) is None
        assert server.observed.runtimes[KEY].versions == {}

    def test_a_runtime_that_takes_the_name_at_that_moment_stays(
        self, server: ControlServer, core: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        core.delete_runtime_alias(RuntimeName="php", Name="prod")
        for name in ("v1", "v2"):
            core.delete_runtime_version(RuntimeName="php", Name=name)
        core.delete_runtime(RuntimeName="php", RecoveryWindowInDays=7)
        server.clock.advance(timedelta(days=7).total_seconds())
        seen = server.run(server.records.accounts.every(RUNTIME_RECORD))

        async def every(kind: str) -> object:
            return seen

        core.create_runtime(Name="php")
        monkeypatch.setattr(server.records.accounts, "every", every)
        server.run(server.fetches.expire())
        assert core.get_runtime(RuntimeName="php")["State"] == "ACTIVE"

    def test_both_or_what_is_not_there(self, core: Any) -> None:
        call = core.restore_runtime
        assert refused(call, RuntimeName="php", RuntimeVersion="v1", RuntimeAlias="prod")[0] == (
            "InvalidParameterValueException"
        )
        assert refused(call, RuntimeName="php", RuntimeVersion="v9")[0] == "ResourceNotFoundException"


class TestFunctions:
    def test_a_function_has_what_its_alias_points_to(self, server: ControlServer, core: Any, lam: Any) -> None:
        made = create(server, lam, Publish=True)
        assert made["RuntimeConfig"] == {"RuntimeArn": ARN, "RuntimeAlias": "prod"}
        assert made["RuntimeVersionConfig"] == {"RuntimeVersionArn": f"{ARN}/version/v1"}
        core.update_runtime_alias(RuntimeName="php", Name="prod", RuntimeVersion="v2")
        assert version_of(lam) == "v2"
        assert version_of(lam, Qualifier="1") == "v2"
        assert lam.get_function(FunctionName="f")["Configuration"]["Runtime"] == "custom"

    @pytest.mark.parametrize(
        ("members", "text"),
        [
            ({"RuntimeConfig": None}, "RuntimeConfig is required"),
            ({"Runtime": "python3.11"}, "RuntimeConfig is for functions whose Runtime is custom"),
            ({"RuntimeConfig": {"RuntimeArn": ARN, "RuntimeAlias": "test"}}, "alias/test does not exist"),
            ({"RuntimeConfig": {"RuntimeArn": f"{ARN}x", "RuntimeAlias": "prod"}}, "does not exist"),
            ({"RuntimeConfig": {"RuntimeArn": f"{ARN}/alias/prod", "RuntimeAlias": "prod"}}, "is not the ARN of a"),
            (
                {"RuntimeConfig": {"RuntimeArn": ARN.replace(REGION, "us-east-1"), "RuntimeAlias": "prod"}},
                "not in the region of the function",
            ),
            ({"Architectures": ["arm64"]}, r"does not support the architecture arm64. It supports: \[x86_64\]"),
            ({"SnapStart": {"ApplyOn": "PublishedVersions"}}, "not supported for SnapStart"),
        ],
    )
    def test_what_cannot_be_used(
        self, server: ControlServer, core: Any, lam: Any, members: dict[str, Any], text: str
    ) -> None:
        with pytest.raises(ClientError, match=text) as caught:
            create(server, lam, **members)
        assert caught.value.response["Error"]["Code"] == "InvalidParameterValueException"

    def test_the_publisher_blocks_creating_first_and_updating_later(
        self, server: ControlServer, core: Any, lam: Any
    ) -> None:
        create(server, lam)
        blocks = {"FunctionCreateBlockDate": "2026-11-20", "FunctionUpdateBlockDate": "2026-11-21"}
        core.update_runtime(RuntimeName="php", ReleaseLifecycle=blocks)
        with pytest.raises(ClientError, match="for creating functions any more"):
            create(server, lam, "g")
        lam.update_function_configuration(FunctionName="f", Timeout=5)
        server.release()
        server.clock.advance(timedelta(days=1).total_seconds())
        assert (
            "for updating functions any more"
            in refused(lam.update_function_configuration, FunctionName="f", Timeout=6)[2]
        )
        # An alias may be better off than its runtime.
        core.update_runtime_alias(
            RuntimeName="php", Name="prod", RuntimeVersion="v1", ReleaseLifecycle={"ReleaseState": "GA"}
        )
        lam.update_function_configuration(FunctionName="f", Timeout=6)

    def test_what_is_pending_deletion_is_told(self, server: ControlServer, core: Any, lam: Any) -> None:
        create(server, lam)
        core.delete_runtime_alias(RuntimeName="php", Name="prod")
        error = lam.get_function_configuration(FunctionName="f")["RuntimeVersionConfig"]["Error"]
        assert error["ErrorCode"] == "RuntimeAliasDeletedException"
        with pytest.raises(ClientError, match="PENDING_DELETION"):
            create(server, lam, "g")
        core.restore_runtime(RuntimeName="php", RuntimeAlias="prod")
        assert version_of(lam) == "v1"

    def test_another_runtime_and_back(self, server: ControlServer, core: Any, lam: Any) -> None:
        create(server, lam)
        lam.update_function_configuration(FunctionName="f", Runtime="python3.11")
        server.release()
        assert "RuntimeConfig" not in lam.get_function_configuration(FunctionName="f")
        code = refused(lam.update_function_configuration, FunctionName="f", Runtime="custom")[0]
        assert code == "InvalidParameterValueException"
        lam.update_function_configuration(
            FunctionName="f", Runtime="custom", RuntimeConfig={"RuntimeArn": ARN, "RuntimeAlias": "prod"}
        )
        server.release()
        assert version_of(lam) == "v1"


class TestManagement:
    def test_manual(self, server: ControlServer, core: Any, lam: Any) -> None:
        create(server, lam)
        kept = f"{ARN}/version/v2"
        answer = lam.put_runtime_management_config(FunctionName="f", UpdateRuntimeOn="Manual", RuntimeVersionArn=kept)
        assert answer["RuntimeVersionArn"] == kept
        assert version_of(lam) == "v2"
        lam.update_function_configuration(FunctionName="f", Timeout=5)
        server.release()
        assert version_of(lam) == "v2"
        core.delete_runtime_version(RuntimeName="php", Name="v2")
        error = lam.get_function_configuration(FunctionName="f")["RuntimeVersionConfig"]["Error"]
        assert error["ErrorCode"] == "RuntimeVersionDeletedException"
        lam.put_runtime_management_config(FunctionName="f", UpdateRuntimeOn="Auto")
        assert version_of(lam) == "v1"

    @pytest.mark.parametrize(
        "arn",
        [f"{ARN}/version/v9", f"{ARN}x/version/v1", f"arn:aws:lambda:{REGION}::runtime:{0:064x}"],
    )
    def test_a_version_that_is_not_its_own(self, server: ControlServer, core: Any, lam: Any, arn: str) -> None:
        create(server, lam)
        call = lam.put_runtime_management_config
        code = refused(call, FunctionName="f", UpdateRuntimeOn="Manual", RuntimeVersionArn=arn)[0]
        assert code == "InvalidParameterValueException"

    def test_function_update(self, server: ControlServer, core: Any, lam: Any) -> None:
        create(server, lam)
        lam.put_runtime_management_config(FunctionName="f", UpdateRuntimeOn="FunctionUpdate")
        core.update_runtime_alias(RuntimeName="php", Name="prod", RuntimeVersion="v2")
        assert version_of(lam) == "v1"
        lam.update_function_code(FunctionName="f", ZipFile=zipped(index__py="2"))
        server.release()
        assert version_of(lam) == "v2"


class TestAccounts:
    def policy(self, action: str = "lambda:GetRuntimeAlias", resource: str = f"{ARN}/alias/prod") -> str:
        return (
            '{"Version": "2012-10-17", "Statement": [{"Sid": "a", "Effect": "Allow", "Principal": '
            f'{{"AWS": "{OTHER}"}}, "Action": "{action}", "Resource": "{resource}"}}]}}'
        )

    def test_nobody_else_sees_it(self, server: ControlServer, core: Any) -> None:
        other = server.client(account=OTHER, service="lambda-core")
        assert other.list_runtimes()["Items"] == []
        for call, members in (
            (other.get_runtime, {}),
            (other.get_runtime_alias, {"Name": "prod"}),
            (other.list_runtime_versions, {}),
            (other.delete_runtime, {}),
            (other.update_runtime_alias, {"Name": "prod", "RuntimeVersion": "v2"}),
        ):
            code, status, _ = refused(call, RuntimeName=ARN, **members)
            assert (code, status) == ("AccessDeniedException", 403)

    def test_whom_the_policy_lets_in_uses_the_alias(self, server: ControlServer, core: Any, lam: Any) -> None:
        other = server.client(account=OTHER)
        with pytest.raises(ClientError, match="not authorized to perform: lambda:GetRuntimeAlias"):
            create(server, other)
        put = lam.put_resource_policy(ResourceArn=ARN, Policy=self.policy())
        assert lam.get_resource_policy(ResourceArn=ARN)["RevisionId"] == put["RevisionId"]
        made = create(server, other)
        assert made["RuntimeConfig"]["RuntimeArn"] == ARN
        reader = server.client(account=OTHER, service="lambda-core")
        assert reader.get_runtime_alias(RuntimeName=ARN, Name="prod")["RuntimeVersion"] == "v1"
        assert refused(reader.get_runtime, RuntimeName=ARN)[0] == "AccessDeniedException"
        core.update_runtime_alias(RuntimeName="php", Name="prod", RuntimeVersion="v2")
        assert version_of(other) == "v2"
        lam.delete_resource_policy(ResourceArn=ARN)
        with pytest.raises(ClientError, match="AccessDenied"):
            create(server, other, "g")
        assert version_of(other) == "v2"  # what has been taken is kept

    def test_a_policy_is_the_owners(self, server: ControlServer, core: Any, lam: Any) -> None:
        other = server.client(account=OTHER)
        assert refused(other.put_resource_policy, ResourceArn=ARN, Policy=self.policy())[0] == "AccessDeniedException"
        assert refused(lam.get_resource_policy, ResourceArn=ARN)[0] == "ResourceNotFoundException"
        assert refused(lam.put_resource_policy, ResourceArn=f"{ARN}x", Policy=self.policy())[0] == (
            "ResourceNotFoundException"
        )
        assert refused(lam.put_resource_policy, ResourceArn=ARN, Policy="{")[0] == "InvalidParameterValueException"
        code = refused(lam.put_resource_policy, ResourceArn=ARN, Policy=self.policy(), RevisionId=ANOTHER)[0]
        assert code == "PreconditionFailedException"

    def test_a_policy_does_not_outlive_its_runtime(self, server: ControlServer, core: Any, lam: Any) -> None:
        core.create_runtime(Name="perl")
        perl = ARN.replace("php", "perl")
        lam.put_resource_policy(ResourceArn=perl, Policy=self.policy("lambda:GetRuntime", perl))
        core.delete_runtime(RuntimeName="perl", RecoveryWindowInDays=7)
        server.clock.advance(timedelta(days=7).total_seconds())
        core.create_runtime(Name="perl")
        assert refused(lam.get_resource_policy, ResourceArn=perl)[0] == "ResourceNotFoundException"
