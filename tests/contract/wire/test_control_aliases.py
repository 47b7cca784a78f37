"""Source of the texts: see `lamella.control.aliases`."""

import json
import re
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.contract.wire.control_server import ACCOUNT, REGION, ControlServer, zipped

from lamella.domain.alias import Alias, Route
from lamella.domain.function import FunctionKey
from lamella.testing.stores import MemoryAliasStore

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
F = FunctionKey(ACCOUNT, REGION, "f")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
VALUES = (
    "Map value must satisfy constraint: [Member must have value less than or equal to 1.0, "
    "Member must have value greater than or equal to 0.0, Member must not be null]"
)
KEYS = (
    "Map keys must satisfy constraint: [Member must have length less than or equal to 1024, Member must have length "
    "greater than or equal to 1, Member must satisfy regular expression pattern: [0-9]+, Member must not be null]"
)
NAMES = "Member must satisfy regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+)"
STALE = (
    "The Revision Id provided does not match the latest Revision Id. "
    "Call the GetFunction/GetAlias API to retrieve the latest Revision Id"
)
QUALIFIED = (
    "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. "
    "Please specify either a function name or an unqualified function ARN."
)


@pytest.fixture
def client(server: ControlServer) -> Any:
    """`f` with the versions 1 and 2, and `g`."""
    client = server.client()
    for name in ("f", "g"):
        client.create_function(
            FunctionName=name,
            Runtime="python3.11",
            Role=f"arn:aws:iam::{ACCOUNT}:role/r",
            Handler="index.handler",
            Code={"ZipFile": zipped(index__py="1")},
        )
    server.release()
    client.publish_version(FunctionName="f", Description="one")
    client.update_function_configuration(FunctionName="f", Description="two")
    server.release()
    client.publish_version(FunctionName="f")
    return client


def refused(call: Any, **members: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(**members)
    error = caught.value.response
    return error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Message"]


def shown(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def weights(version: str, weight: float) -> dict[str, Any]:
    return {"AdditionalVersionWeights": {version: weight}}


def create(client: Any, name: str = "live", version: str = "1", **members: Any) -> dict[str, Any]:
    return shown(client.create_alias(FunctionName="f", Name=name, FunctionVersion=version, **members))


class TestCreateAlias:
    def test_the_answer_is_that_of_aws(self, server: ControlServer, client: Any) -> None:
        answer = client.create_alias(
            FunctionName="f", Name="live_1-1", FunctionVersion="1", Description="d", RoutingConfig=weights("2", 0.2)
        )
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 201
        revision_id = answer["RevisionId"]
        assert UUID.fullmatch(revision_id)
        assert shown(answer) == {
            "AliasArn": f"{ARN}:live_1-1",
            "Name": "live_1-1",
            "FunctionVersion": "1",
            "Description": "d",
            "RevisionId": revision_id,
            "RoutingConfig": {"AdditionalVersionWeights": {"2": 0.2}},
        }
        read = client.get_alias(FunctionName="f", Name="live_1-1")
        assert read["ResponseMetadata"]["HTTPStatusCode"] == 200
        assert shown(read) == shown(answer)
        assert server.observed.aliases == {
            (F, "live_1-1"): Alias(F, "live_1-1", "1", revision_id, "d", Route("2", 0.2))
        }

    @pytest.mark.parametrize(
        ("name", "members"),
        [
            ("plain", {}),
            ("2024-01-01", {"RoutingConfig": {}}),
            ("_", {"RoutingConfig": {"AdditionalVersionWeights": {}}}),
            ("x" * 128, {"FunctionVersion": "$LATEST"}),
        ],
    )
    def test_without_a_second_version_no_routing_is_shown(
        self, client: Any, name: str, members: dict[str, Any]
    ) -> None:
        answer = client.create_alias(**{"FunctionName": ARN, "Name": name, "FunctionVersion": "1", **members})
        assert shown(answer).keys() == {"AliasArn", "Name", "FunctionVersion", "Description", "RevisionId"}
        assert answer["Description"] == ""
        assert answer["FunctionVersion"] == members.get("FunctionVersion", "1")

    @pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
    def test_weights_at_the_bounds(self, client: Any, weight: float) -> None:
        assert create(client, RoutingConfig=weights("2", weight))["RoutingConfig"] == weights("2", weight)

    @pytest.mark.parametrize(
        ("members", "code", "status", "text"),
        [
            (
                {"RoutingConfig": {"AdditionalVersionWeights": {"1": 0.8, "2": 0.2}}},
                "InvalidParameterValueException",
                400,
                "Number of items in AdditionalVersionWeights cannot be greater than 1",
            ),
            (
                {"RoutingConfig": weights("1", 0.5)},
                "InvalidParameterValueException",
                400,
                "Invalid function version 1. Function version 1 is already included in routing configuration.",
            ),
            (
                {"FunctionVersion": "$LATEST", "RoutingConfig": weights("1", 0.5)},
                "InvalidParameterValueException",
                400,
                "$LATEST is not supported for an alias pointing to more than 1 version",
            ),
            (
                {"RoutingConfig": weights("2", 2)},
                "ValidationException",
                400,
                (
                    "1 validation error detected: Value '{2=2.0}' at 'routingConfig.additionalVersionWeights' "
                    f"failed to satisfy constraint: {VALUES}"
                ),
            ),
            (
                {"RoutingConfig": weights("$LATEST", 0.5)},
                "ValidationException",
                400,
                (
                    "1 validation error detected: Value '{$LATEST=0.5}' at 'routingConfig.additionalVersionWeights' "
                    f"failed to satisfy constraint: {KEYS}"
                ),
            ),
            (
                {"FunctionVersion": "10"},
                "ResourceNotFoundException",
                404,
                f"Function not found: {ARN}:10",
            ),
            (
                {"FunctionVersion": "01"},
                "ResourceNotFoundException",
                404,
                f"Function not found: {ARN}:01",
            ),
            (
                {"FunctionVersion": "9" * 1000},
                "ResourceNotFoundException",
                404,
                f"Function not found: {ARN}:{'9' * 1000}",
            ),
            (
                {"RoutingConfig": weights("10", 0.5)},
                "ResourceNotFoundException",
                404,
                f"Function not found: {ARN}:10",
            ),
            (
                {"FunctionName": "f-unknown"},
                "ResourceNotFoundException",
                404,
                f"Function not found: {ARN}-unknown:1",
            ),
            (
                {"FunctionName": "f:1"},
                "InvalidParameterValueException",
                400,
                QUALIFIED,
            ),
            (
                {"Name": "7651210"},
                "ValidationException",
                400,
                f"1 validation error detected: Value '7651210' at 'name' failed to satisfy constraint: {NAMES}",
            ),
            (
                {"Name": "$LATEST"},
                "ValidationException",
                400,
                f"1 validation error detected: Value '$LATEST' at 'name' failed to satisfy constraint: {NAMES}",
            ),
            (
                {"Name": "x" * 129},
                "ValidationException",
                400,
                (
                    f"1 validation error detected: Value '{'x' * 129}' at 'name' failed to satisfy constraint: "
                    "Member must have length less than or equal to 128"
                ),
            ),
            (
                {"Description": "x" * 257},
                "ValidationException",
                400,
                (
                    f"1 validation error detected: Value '{'x' * 257}' at 'description' failed to satisfy constraint: "
                    "Member must have length less than or equal to 256"
                ),
            ),
        ],
    )
    def test_is_refused_in_the_words_of_aws(
        self, server: ControlServer, client: Any, members: dict[str, Any], code: str, status: int, text: str
    ) -> None:
        request = {"FunctionName": "f", "Name": "live", "FunctionVersion": "1", **members}
        assert refused(client.create_alias, **request) == (code, status, text)
        assert not server.observed.aliases
        assert client.list_aliases(FunctionName="f")["Aliases"] == []

    @pytest.mark.parametrize("weight", [float("nan"), float("inf"), "0.5", True])
    def test_a_weight_is_a_number(self, client: Any, weight: object) -> None:
        client.meta.events.register(
            "before-call.lambda.CreateAlias",
            lambda params, **_: params.update(body=params["body"].replace(b"0.5", json.dumps(weight).encode())),
        )
        answer = refused(
            client.create_alias, FunctionName="f", Name="live", FunctionVersion="1", RoutingConfig=weights("2", 0.5)
        )
        assert answer[:2] == ("SerializationException", 400)

    def test_twice_is_a_conflict(self, client: Any) -> None:
        first = create(client)
        answer = refused(client.create_alias, FunctionName="f", Name="live", FunctionVersion="2")
        assert answer == ("ResourceConflictException", 409, f"Alias already exists: {ARN}:live")
        assert shown(client.get_alias(FunctionName="f", Name="live")) == first


class TestGetAlias:
    @pytest.mark.parametrize("name", ["f", "h"])
    def test_what_is_not_there(self, client: Any, name: str) -> None:
        answer = refused(client.get_alias, FunctionName=name, Name="none")
        text = f"Cannot find alias arn: {ARN[:-1]}{name}:none"
        assert answer == ("ResourceNotFoundException", 404, text)

    def test_other_accounts_and_regions_see_nothing(self, server: ControlServer, client: Any) -> None:
        create(client)
        for other in (server.client(account="111111111111"), server.client(region="us-east-1")):
            assert refused(other.get_alias, FunctionName="f", Name="live")[0] == "ResourceNotFoundException"
            assert refused(other.list_aliases, FunctionName="f")[0] == "ResourceNotFoundException"
            assert refused(other.update_alias, FunctionName="f", Name="live")[0] == "ResourceNotFoundException"
            assert refused(other.delete_alias, FunctionName="f", Name="live")[0] == "ResourceNotFoundException"
        stranger = server.client(account="111111111111")
        assert refused(stranger.get_alias, FunctionName=ARN, Name="live")[:2] == ("AccessDeniedException", 403)
        assert client.get_alias(FunctionName="f", Name="live")["FunctionVersion"] == "1"


class TestListAliases:
    def test_by_name_and_by_version(self, client: Any) -> None:
        two = create(client, "two", "2")
        both = create(client, "both", "1", RoutingConfig=weights("2", 0.5))
        one = create(client, "one", "1")
        latest = create(client, "latest", "$LATEST")
        assert shown(client.list_aliases(FunctionName="f")) == {"Aliases": [both, latest, one, two]}
        for version, found in {"1": [both, one], "2": [both, two], "$LATEST": [latest], "3": []}.items():
            assert client.list_aliases(FunctionName="f", FunctionVersion=version)["Aliases"] == found
        assert client.list_aliases(FunctionName="g")["Aliases"] == []

    def test_pages(self, client: Any) -> None:
        names = [f"a{number:02}" for number in range(60)]
        for name in names:
            create(client, name)
        first = client.list_aliases(FunctionName="f", MaxItems=10000)
        assert len(first["Aliases"]) == 50
        pages = client.get_paginator("list_aliases").paginate(FunctionName="f", PaginationConfig={"PageSize": 7})
        assert [alias["Name"] for page in pages for alias in page["Aliases"]] == names

    def test_a_marker_that_is_none(self, client: Any) -> None:
        answer = refused(client.list_aliases, FunctionName="f", Marker="x")
        assert answer[:2] == ("InvalidParameterValueException", 400)

    def test_of_no_function(self, client: Any) -> None:
        answer = refused(client.list_aliases, FunctionName="h")
        assert answer == ("ResourceNotFoundException", 404, f"Function not found: {ARN[:-1]}h")


class TestUpdateAlias:
    def test_changes_what_is_named_and_no_more(self, server: ControlServer, client: Any) -> None:
        before = create(client, Description="d", RoutingConfig=weights("2", 0.2))
        seen = {before["RevisionId"]}
        for members, changed in [
            ({}, {}),
            ({"Description": ""}, {"Description": ""}),
            ({"RoutingConfig": weights("2", 0.9)}, {"RoutingConfig": weights("2", 0.9)}),
            ({"RoutingConfig": {}}, {"RoutingConfig": None}),
            ({"FunctionVersion": "2"}, {"FunctionVersion": "2"}),
            (
                {"FunctionVersion": "2", "RoutingConfig": weights("1", 0.95), "Description": "e"},
                {"RoutingConfig": weights("1", 0.95), "Description": "e"},
            ),
            (
                {"FunctionVersion": "$LATEST", "RoutingConfig": {"AdditionalVersionWeights": {}}},
                {"FunctionVersion": "$LATEST", "RoutingConfig": None},
            ),
        ]:
            answer = client.update_alias(FunctionName="f", Name="live", **members)
            assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
            assert answer["RevisionId"] not in seen
            seen.add(answer["RevisionId"])
            after = {**before, **changed, "RevisionId": answer["RevisionId"]}
            before = {name: value for name, value in after.items() if value is not None}
            assert shown(answer) == before
            assert shown(client.get_alias(FunctionName="f", Name="live")) == before
            assert server.observed.aliases[F, "live"].revision_id == answer["RevisionId"]

    def test_an_old_revision_is_refused(self, client: Any) -> None:
        old = create(client)["RevisionId"]
        new = client.update_alias(FunctionName="f", Name="live", RevisionId=old, FunctionVersion="2")["RevisionId"]
        answer = refused(client.update_alias, FunctionName="f", Name="live", RevisionId=old, FunctionVersion="1")
        assert answer == ("PreconditionFailedException", 412, STALE)
        client.update_alias(FunctionName="f", Name="live", RevisionId=new, Description="d")
        assert client.get_alias(FunctionName="f", Name="live")["FunctionVersion"] == "2"

    @pytest.mark.parametrize(
        ("members", "code", "text"),
        [
            (
                {"FunctionVersion": "2"},  # where the route leads already
                "InvalidParameterValueException",
                "Invalid function version 2. Function version 2 is already included in routing configuration.",
            ),
            (
                {"FunctionVersion": "$LATEST"},
                "InvalidParameterValueException",
                "$LATEST is not supported for an alias pointing to more than 1 version",
            ),
            ({"FunctionVersion": "10"}, "ResourceNotFoundException", f"Function not found: {ARN}:10"),
            ({"RoutingConfig": weights("10", 0.1)}, "ResourceNotFoundException", f"Function not found: {ARN}:10"),
            ({"Name": "none"}, "ResourceNotFoundException", f"Alias not found: {ARN}:none"),
            ({"FunctionName": "h"}, "ResourceNotFoundException", f"Alias not found: {ARN[:-1]}h:live"),
        ],
    )
    def test_is_refused_in_the_words_of_aws(self, client: Any, members: dict[str, Any], code: str, text: str) -> None:
        before = create(client, RoutingConfig=weights("2", 0.2))
        answer = refused(client.update_alias, **{"FunctionName": "f", "Name": "live", **members})
        assert (answer[0], answer[2]) == (code, text)
        assert shown(client.get_alias(FunctionName="f", Name="live")) == before


class TestDeleteAlias:
    def test_once_and_again(self, server: ControlServer, client: Any) -> None:
        create(client)
        for _ in range(2):
            answer = client.delete_alias(FunctionName="f", Name="live")
            assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
            assert not server.observed.aliases
        assert client.list_aliases(FunctionName="f")["Aliases"] == []
        assert refused(client.get_alias, FunctionName="f", Name="live")[1] == 404

    def test_of_no_function(self, client: Any) -> None:
        answer = refused(client.delete_alias, FunctionName="h", Name="live")
        assert answer == ("ResourceNotFoundException", 404, f"Function not found: {ARN[:-1]}h")


class TestQualifiers:
    @pytest.mark.parametrize(
        "named",
        [
            {"FunctionName": "f", "Qualifier": "live"},
            {"FunctionName": "f:live"},
            {"FunctionName": f"{ARN}:live"},
            {"FunctionName": f"{ACCOUNT}:function:f:live"},
            {"FunctionName": f"{ARN}:live", "Qualifier": "live"},
        ],
    )
    def test_the_version_is_shown_under_the_name_of_the_alias(self, client: Any, named: dict[str, str]) -> None:
        create(client)
        version = client.get_function_configuration(FunctionName="f", Qualifier="1")
        configuration = shown(client.get_function_configuration(**named))
        assert configuration == {**shown(version), "FunctionArn": f"{ARN}:live"}
        assert client.get_function(**named)["Configuration"] == configuration

    def test_it_follows_the_alias(self, client: Any) -> None:
        create(client, "dev", "$LATEST", Description="not shown")
        found = client.get_function(FunctionName="f:dev")["Configuration"]
        assert (found["FunctionArn"], found["Version"], found["Description"]) == (f"{ARN}:dev", "$LATEST", "two")
        client.update_alias(FunctionName="f", Name="dev", FunctionVersion="1")
        found = client.get_function(FunctionName="f:dev")["Configuration"]
        assert (found["FunctionArn"], found["Version"], found["Description"]) == (f"{ARN}:dev", "1", "one")

    def test_what_an_alias_cannot_be_used_for(self, client: Any) -> None:
        create(client)
        for call, members in [
            (client.update_function_code, {"ZipFile": zipped(index__py="2")}),
            (client.update_function_configuration, {}),
            (client.publish_version, {}),
            (client.get_function_concurrency, {}),
            (client.list_aliases, {}),
        ]:
            assert refused(call, FunctionName="f:live", **members)[:2] == ("InvalidParameterValueException", 400)

    def test_what_is_not_there(self, client: Any) -> None:
        answer = refused(client.get_function, FunctionName="f", Qualifier="none")
        assert answer == ("ResourceNotFoundException", 404, f"Function not found: {ARN}:none")


class TestDeleteFunction:
    def test_a_version_with_aliases_stays(self, server: ControlServer, client: Any) -> None:
        create(client, "live")
        create(client, "canary", "2", RoutingConfig=weights("1", 0.0))
        answer = refused(client.delete_function, FunctionName="f", Qualifier="1")
        text = "Unable to delete version because the following aliases reference it: [canary, live]"
        assert answer == ("ResourceConflictException", 409, text)
        assert client.get_function(FunctionName="f:1")["Configuration"]["Version"] == "1"
        assert not server.observed.deleted
        client.delete_alias(FunctionName="f", Name="canary")
        client.update_alias(FunctionName="f", Name="live", FunctionVersion="2")
        client.delete_function(FunctionName="f", Qualifier="1")
        assert server.observed.deleted == [(F, "1")]

    def test_takes_the_aliases_along(self, client: Any) -> None:
        create(client)
        create(client, "dev", "$LATEST")
        client.delete_function(FunctionName="f")
        assert refused(client.list_aliases, FunctionName="f")[1] == 404
        assert refused(client.get_function, FunctionName="f:live")[1] == 404

    def test_an_alias_is_not_deleted_that_way(self, client: Any) -> None:
        create(client)
        answer = refused(client.delete_function, FunctionName="f", Qualifier="live")
        assert answer[::2] == ("InvalidParameterValueException", "Deletion of aliases is not currently supported.")
        assert client.get_alias(FunctionName="f", Name="live")["FunctionVersion"] == "1"


class Overtaken(MemoryAliasStore):
    """Before a change is stored, somebody else makes one, once."""

    other: dict[str, Any] | None = None

    async def replace(self, changed: Alias, *, expected_revision_id: str) -> None:
        if self.other is not None:
            stored = await self.get(changed.key, changed.name)
            assert stored is not None
            other, self.other = self.other, None
            description = other.get("description", stored.description)
            await super().replace(
                Alias(stored.key, stored.name, stored.version, "other", description, stored.route),
                expected_revision_id=stored.revision_id,
            )
        await super().replace(changed, expected_revision_id=expected_revision_id)


class TestTwoAtOnce:
    def test_both_changes_are_kept(self, server: ControlServer, client: Any) -> None:
        server.aliases = store = Overtaken(server.functions)
        create(client)
        store.other = {"description": "theirs"}
        answer = client.update_alias(FunctionName="f", Name="live", FunctionVersion="2")
        assert (answer["FunctionVersion"], answer["Description"]) == ("2", "theirs")

    def test_who_names_a_revision_is_told(self, server: ControlServer, client: Any) -> None:
        server.aliases = store = Overtaken(server.functions)
        revision_id = create(client)["RevisionId"]
        store.other = {}
        answer = refused(
            client.update_alias, FunctionName="f", Name="live", FunctionVersion="2", RevisionId=revision_id
        )
        assert answer == ("PreconditionFailedException", 412, STALE)
