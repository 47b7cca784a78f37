"""What two accounts can do to each other: nothing, but what a policy grants, for as long as it does."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from tests.contract.wire.control_server import ACCOUNT, REGION, ControlServer, zipped
from tests.contract.wire.test_control_layers import FUNCTION, LAYER, publish, refused

from lamella.control.access import CROSS_ACCOUNT

OTHER, THIRD, ORGANIZATION = "210987654321", "333333333333", "o-a1b2c3d4e5"
ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
GET = {"Action": "lambda:GetLayerVersion", "StatementId": "s"}
VERSION = {"LayerName": "l", "VersionNumber": 1}


def refusal(action: str, resource: str, account: str = OTHER) -> tuple[str, int, str]:
    return (
        "AccessDeniedException",
        403,
        (
            f"User: arn:aws:iam::{account}:root is not authorized to perform: lambda:{action} on resource: {resource} "
            f"because no resource-based policy allows the lambda:{action} action"
        ),
    )


@pytest.fixture
def owner(server: ControlServer) -> Any:
    """The account that has the function `f` with version 1, and version 1 of the layer `l`."""
    client = server.client()
    publish(client)
    client.create_function(**FUNCTION, Publish=True)
    server.release()
    return client


@pytest.fixture
def other(server: ControlServer) -> Any:
    return server.client(account=OTHER)


# Every operation that can be granted and is built, by its permission: what the other account sends.
GRANTABLE: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "GetFunction": ("get_function", {}),
    "GetFunctionConfiguration": ("get_function_configuration", {}),
    "GetPolicy": ("get_policy", {}),
    "ListTags": ("list_tags", {}),
    "ListVersionsByFunction": ("list_versions_by_function", {}),
    "PublishVersion": ("publish_version", {}),
    "PutFunctionConcurrency": ("put_function_concurrency", {"ReservedConcurrentExecutions": 1}),
    "DeleteFunctionConcurrency": ("delete_function_concurrency", {}),
    "TagResource": ("tag_resource", {"Tags": {"a": "1"}}),
    "UntagResource": ("untag_resource", {"TagKeys": ["a"]}),
    "UpdateFunctionCode": ("update_function_code", {"ZipFile": zipped(b="2")}),
    "DeleteFunction": ("delete_function", {}),
}
_ALIASES = {"CreateAlias", "DeleteAlias", "GetAlias", "ListAliases", "UpdateAlias"}


def call(client: Any, action: str, arn: str = ARN) -> Callable[[], Any]:
    method, members = GRANTABLE[action]
    name = "Resource" if "ag" in method and "anguage" not in method else "FunctionName"
    return lambda: getattr(client, method)(**{name: arn}, **members)


class TestFunctions:
    def test_every_operation_that_aws_grants_is_tried(self) -> None:
        assert GRANTABLE.keys() == CROSS_ACCOUNT - _ALIASES

    @pytest.mark.parametrize("action", GRANTABLE)
    def test_a_permission_opens_and_its_removal_closes(
        self, server: ControlServer, owner: Any, other: Any, action: str
    ) -> None:
        assert refused(call(other, action)) == refusal(action, ARN)
        for sid, given in (("t", THIRD), ("x", "s3.amazonaws.com")):  # permissions of others are none
            owner.add_permission(FunctionName="f", StatementId=sid, Action=f"lambda:{action}", Principal=given)
        owner.add_permission(FunctionName="f", StatementId="i", Action="lambda:InvokeFunction", Principal=OTHER)
        assert refused(call(other, action)) == refusal(action, ARN)
        owner.add_permission(FunctionName="f", StatementId="s", Action=f"lambda:{action}", Principal=OTHER)
        call(other, action)()
        server.release()
        if action == "DeleteFunction":
            assert refused(owner.get_function, FunctionName="f")[0] == "ResourceNotFoundException"
        else:
            owner.remove_permission(FunctionName="f", StatementId="s")
        assert refused(call(other, action)) == refusal(action, ARN)

    def test_what_no_policy_can_grant(self, owner: Any, other: Any) -> None:
        owner.add_permission(FunctionName="f", StatementId="s", Action="*", Principal=OTHER)
        s3 = {"StatementId": "x", "Action": "lambda:InvokeFunction", "Principal": OTHER}
        for action, attempt in {
            "AddPermission": lambda: other.add_permission(FunctionName=ARN, **s3),
            "RemovePermission": lambda: other.remove_permission(FunctionName=ARN, StatementId="s"),
            "GetResourcePolicy": lambda: other.get_resource_policy(ResourceArn=ARN),
            "PutResourcePolicy": lambda: other.put_resource_policy(ResourceArn=ARN, Policy="{}"),
            "DeleteResourcePolicy": lambda: other.delete_resource_policy(ResourceArn=ARN),
            "UpdateFunctionConfiguration": lambda: other.update_function_configuration(FunctionName=ARN, Timeout=9),
            "GetFunctionConcurrency": lambda: other.get_function_concurrency(FunctionName=ARN),
            "CreateFunction": lambda: other.create_function(**{**FUNCTION, "FunctionName": ARN}),
        }.items():
            assert refused(attempt) == refusal(action, ARN)

    def test_what_does_not_exist_is_refused_in_the_same_words(self, owner: Any, other: Any) -> None:
        """Else the answers would tell what another account has."""
        assert refused(other.get_function, FunctionName=f"{ARN}x") == refusal("GetFunction", f"{ARN}x")
        assert refused(other.get_function, FunctionName=f"{ARN}:9") == refusal("GetFunction", f"{ARN}:9")
        assert owner.list_functions()["Functions"]
        assert other.list_functions()["Functions"] == []

    def test_a_permission_is_one_for_the_qualifier_it_names(self, owner: Any, other: Any) -> None:
        get = {"Action": "lambda:GetFunction", "Principal": OTHER}
        owner.add_permission(FunctionName="f", StatementId="s", **get)
        assert other.get_function(FunctionName=ARN)["Configuration"]["FunctionArn"] == ARN
        assert refused(other.get_function, FunctionName=f"{ARN}:1") == refusal("GetFunction", f"{ARN}:1")
        owner.remove_permission(FunctionName="f", StatementId="s")
        owner.add_permission(FunctionName="f", Qualifier="1", StatementId="s", **get)
        assert other.get_function(FunctionName=f"{ARN}:1")["Configuration"]["Version"] == "1"
        assert other.get_function(FunctionName=ARN, Qualifier="1")["Configuration"]["Version"] == "1"
        assert refused(other.get_function, FunctionName=ARN) == refusal("GetFunction", ARN)

    def test_a_document_may_speak_of_all_qualifiers_and_deny(self, owner: Any, other: Any) -> None:
        text = """{"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": "%s"}, "Action": "lambda:Get*", "Resource": "%s*"},
            {"Effect": "Deny", "Principal": "*", "Action": "lambda:GetFunction", "Resource": "%s:1"}
        ]}"""
        owner.put_resource_policy(ResourceArn=ARN, Policy=text % (OTHER, ARN, ARN))
        assert other.get_function(FunctionName=ARN)["Configuration"]["FunctionArn"] == ARN
        assert other.get_function_configuration(FunctionName=f"{ARN}:1")["Version"] == "1"
        assert refused(other.get_function, FunctionName=f"{ARN}:1") == (
            "AccessDeniedException",
            403,
            (
                f"User: arn:aws:iam::{OTHER}:root is not authorized to perform: lambda:GetFunction on resource: "
                f"{ARN}:1 with an explicit deny in a resource-based policy"
            ),
        )

    def test_organizations(self, server: ControlServer, owner: Any, other: Any) -> None:
        server.settings = replace(server.settings, organizations={OTHER: ORGANIZATION, THIRD: "o-zzzzzzzzzz"})
        owner.add_permission(
            FunctionName="f", StatementId="s", Action="lambda:*", Principal="*", PrincipalOrgID=ORGANIZATION
        )
        assert other.get_function(FunctionName=ARN)["Configuration"]["FunctionArn"] == ARN
        for account in (THIRD, "444444444444"):
            stranger = server.client(account=account)
            assert refused(stranger.get_function, FunctionName=ARN) == refusal("GetFunction", ARN, account)

    def test_code_counts_against_the_quota_of_the_owner(self, server: ControlServer, owner: Any, other: Any) -> None:
        owner.add_permission(FunctionName="f", StatementId="s", Action="lambda:UpdateFunctionCode", Principal=OTHER)
        server.settings = replace(server.settings, code_storage_bytes=400)
        assert refused(other.update_function_code, FunctionName=ARN, ZipFile=zipped(b="2"))[0] == (
            "CodeStorageExceededException"
        )


class TestLayers:
    def attach(self, client: Any) -> Any:
        return client.update_function_configuration(FunctionName="mine", Layers=[f"{LAYER}:1"])

    @pytest.fixture
    def mine(self, server: ControlServer, owner: Any, other: Any) -> Any:
        """The other account has a function of its own."""
        other.create_function(**{**FUNCTION, "FunctionName": "mine"})
        server.release()
        return other

    @pytest.mark.parametrize(
        "given",
        [
            {"Principal": OTHER},
            {"Principal": f"arn:aws:iam::{OTHER}:root"},
            {"Principal": "*"},
            {"Principal": "*", "OrganizationId": ORGANIZATION},
        ],
    )
    def test_a_permission_opens_and_its_removal_closes(
        self, server: ControlServer, owner: Any, mine: Any, given: dict[str, str]
    ) -> None:
        server.settings = replace(server.settings, organizations={OTHER: ORGANIZATION})
        expected = refusal("GetLayerVersion", f"{LAYER}:1")
        attempts = [
            lambda: mine.get_layer_version(LayerName=LAYER, VersionNumber=1),
            lambda: mine.get_layer_version_by_arn(Arn=f"{LAYER}:1"),
            lambda: mine.create_function(**{**FUNCTION, "FunctionName": "new"}, Layers=[f"{LAYER}:1"]),
            lambda: self.attach(mine),
        ]
        for attempt in attempts:
            assert refused(attempt) == expected
        owner.add_layer_version_permission(**VERSION, **GET, **given)
        for attempt in attempts:
            attempt()
        server.release()
        owner.remove_layer_version_permission(**VERSION, StatementId="s")
        mine.delete_function(FunctionName="new")
        for attempt in attempts:
            assert refused(attempt) == expected
        # The function keeps it, whatever else is changed.
        changed = mine.update_function_configuration(FunctionName="mine", Timeout=9)
        assert [layer["Arn"] for layer in changed["Layers"]] == [f"{LAYER}:1"]
        server.release()
        assert mine.publish_version(FunctionName="mine")["Layers"] == changed["Layers"]

    @pytest.mark.parametrize(
        ("given", "organization"),
        [
            ({"Principal": THIRD}, None),
            ({"Principal": "*", "OrganizationId": ORGANIZATION}, None),
            ({"Principal": "*", "OrganizationId": ORGANIZATION}, "o-zzzzzzzzzz"),
        ],
    )
    def test_permissions_of_others_are_none(
        self, server: ControlServer, owner: Any, mine: Any, given: dict[str, str], organization: str | None
    ) -> None:
        if organization is not None:
            server.settings = replace(server.settings, organizations={OTHER: organization})
        owner.add_layer_version_permission(**VERSION, **GET, **given)
        assert refused(self.attach, client=mine) == refusal("GetLayerVersion", f"{LAYER}:1")

    def test_a_permission_is_one_for_a_version(self, owner: Any, mine: Any) -> None:
        publish(owner)
        owner.add_layer_version_permission(**{**VERSION, "VersionNumber": 2}, **GET, Principal="*")
        assert mine.get_layer_version_by_arn(Arn=f"{LAYER}:2")["Version"] == 2
        for number in (1, 3):
            arn = f"{LAYER}:{number}"
            assert refused(mine.get_layer_version_by_arn, Arn=arn) == refusal("GetLayerVersion", arn)

    def test_what_no_policy_can_grant(self, owner: Any, mine: Any) -> None:
        owner.add_layer_version_permission(**VERSION, **GET, Principal="*")
        version = {"LayerName": LAYER, "VersionNumber": 1}
        arn = f"{LAYER}:1"
        content = {"ZipFile": zipped(a="1")}
        for action, resource, attempt in (
            ("DeleteLayerVersion", arn, lambda: mine.delete_layer_version(**version)),
            ("ListLayerVersions", LAYER, lambda: mine.list_layer_versions(LayerName=LAYER)),
            ("GetLayerVersionPolicy", arn, lambda: mine.get_layer_version_policy(**version)),
            (
                "AddLayerVersionPermission",
                arn,
                lambda: mine.add_layer_version_permission(**version, **GET, Principal=OTHER),
            ),
            (
                "RemoveLayerVersionPermission",
                arn,
                lambda: mine.remove_layer_version_permission(**version, StatementId="s"),
            ),
        ):
            assert refused(attempt) == refusal(action, resource)
        assert refused(mine.publish_layer_version, LayerName=LAYER, Content=content)[0] in (
            "AccessDeniedException",
            "ValidationException",
        )

    def test_a_deleted_version_is_refused_again_and_kept_by_whoever_has_it(
        self, server: ControlServer, owner: Any, mine: Any
    ) -> None:
        owner.add_layer_version_permission(**VERSION, **GET, Principal="*")
        self.attach(mine)
        server.release()
        owner.delete_layer_version(**VERSION)
        assert refused(self.attach, client=mine) == refusal("GetLayerVersion", f"{LAYER}:1")
        assert server.run(server.garbage.collect()) == 0
        assert mine.get_function_configuration(FunctionName="mine")["Layers"][0]["Arn"] == f"{LAYER}:1"
