"""Resource policies of functions, with a real client.

What AWS answers: LocalStack's test_lambda_api.snapshot.json, TestLambdaPermissions, recorded against AWS on 10 April
2024 and in December 2022.
"""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.contract.wire.control_server import ACCOUNT, REGION, ControlServer, zipped

from lamella.domain.alias import Alias
from lamella.domain.function import FunctionKey

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
KEY = FunctionKey(ACCOUNT, REGION, "f")
FUNCTION = {
    "FunctionName": "f",
    "Runtime": "python3.11",
    "Role": f"arn:aws:iam::{ACCOUNT}:role/r",
    "Handler": "index.handler",
    "Code": {"ZipFile": zipped(a="1")},
}
S3 = {
    "Action": "lambda:InvokeFunction",
    "Principal": "s3.amazonaws.com",
    "SourceArn": "arn:aws:s3:::bucket",
}
WRONG = (
    "PreconditionFailedException",
    412,
    (
        "The Revision Id provided does not match the latest Revision Id. "
        "Call the GetFunction/GetAlias API to retrieve the latest Revision Id"
    ),
)
NOTHING = ("ResourceNotFoundException", 404, "The resource you requested does not exist.")


def refused(call: Any, **members: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(**members)
    error = caught.value.response
    return error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Message"]


def statement(sid: str, resource: str = ARN) -> dict[str, Any]:
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Resource": resource,
        "Condition": {"ArnLike": {"AWS:SourceArn": "arn:aws:s3:::bucket"}},
    }


def policy(client: Any, **members: str) -> tuple[dict[str, Any], str]:
    answer = client.get_policy(FunctionName="f", **members)
    assert answer.keys() == {"Policy", "RevisionId", "ResponseMetadata"}
    return json.loads(answer["Policy"]), answer["RevisionId"]


def revision(client: Any, **members: str) -> str:
    return str(client.get_function_configuration(FunctionName="f", **members)["RevisionId"])


@pytest.fixture
def client(server: ControlServer) -> Any:
    """Of the account that has the function `f`, whose version 1 is published, and its alias `live`."""
    client = server.client()
    client.create_function(**FUNCTION)
    server.release()
    client.publish_version(FunctionName="f")
    server.run(server.aliases.create(Alias(KEY, "live", "1", "00000000-0000-4000-8000-000000000000")))
    return client


class TestFunctions:
    def test_a_life(self, server: ControlServer, client: Any) -> None:
        assert refused(client.get_policy, FunctionName="f") == NOTHING
        added = client.add_permission(FunctionName="f", StatementId="s3", **S3)
        assert added["ResponseMetadata"]["HTTPStatusCode"] == 201
        assert added["Statement"] == json.dumps(statement("s3"), separators=(",", ":"))
        shown, first = policy(client)
        assert shown == {"Version": "2012-10-17", "Id": "default", "Statement": [statement("s3")]}
        assert first == revision(client)
        client.add_permission(FunctionName=ARN, StatementId="s3_2", **S3)
        shown, second = policy(client)
        assert shown["Statement"] == [statement("s3"), statement("s3_2")]
        assert second == revision(client) != first
        removed = client.remove_permission(FunctionName="f", StatementId="s3")
        assert removed["ResponseMetadata"]["HTTPStatusCode"] == 204
        assert policy(client)[0]["Statement"] == [statement("s3_2")]
        client.remove_permission(FunctionName="f", StatementId="s3_2")
        assert refused(client.get_policy, FunctionName="f") == NOTHING
        assert server.observed.policies == [KEY] * 4

    @pytest.mark.parametrize(("qualifier", "owner"), [("1", "version"), ("live", "alias")])
    def test_versions_and_aliases_have_their_own(
        self, server: ControlServer, client: Any, qualifier: str, owner: str
    ) -> None:
        client.add_permission(FunctionName="f", StatementId="s3", **S3)
        of_function = policy(client)
        assert refused(client.get_policy, FunctionName="f", Qualifier=qualifier) == NOTHING
        client.add_permission(FunctionName="f", StatementId="s3", Qualifier=qualifier, **S3)
        shown, its_revision = policy(client, Qualifier=qualifier)
        assert shown["Statement"] == [statement("s3", f"{ARN}:{qualifier}")]
        if owner == "version":
            assert its_revision == revision(client, Qualifier="1")
        else:
            alias = server.run(server.aliases.get(KEY, "live"))
            assert alias is not None
            assert its_revision == alias.revision_id
            assert server.observed.aliases == {(KEY, "live"): alias}
        # The same name, in the name of the function.
        assert client.get_policy(FunctionName=f"f:{qualifier}")["RevisionId"] == its_revision
        assert policy(client) == of_function
        client.remove_permission(FunctionName=f"{ARN}:{qualifier}", StatementId="s3")
        assert refused(client.get_policy, FunctionName="f", Qualifier=qualifier) == NOTHING
        assert policy(client)[0] == of_function[0]

    def test_what_cannot_be_added(self, client: Any) -> None:
        add = client.add_permission
        client.add_permission(FunctionName="f", StatementId="s3", **S3)
        assert refused(add, FunctionName="f", StatementId="s3", **S3) == (
            "ResourceConflictException",
            409,
            (
                "The statement id (s3) provided already exists. "
                "Please provide a new statement id, or remove the existing statement."
            ),
        )
        assert refused(add, FunctionName="f", StatementId="a", **{**S3, "Principal": "invalid.nonaws.com"}) == (
            "InvalidParameterValueException",
            400,
            "The provided principal was invalid. Please check the principal and try again.",
        )
        for name in ({"FunctionName": "f", "Qualifier": "$LATEST"}, {"FunctionName": f"{ARN}:$LATEST"}):
            assert refused(add, StatementId="a", **name, **S3) == (
                "InvalidParameterValueException",
                400,
                "We currently do not support adding policies for $LATEST.",
            )
        assert refused(add, FunctionName="f", StatementId="a b", **S3) == (
            "ValidationException",
            400,
            (
                "1 validation error detected: Value 'a b' at 'statementId' failed to satisfy constraint: "
                "Member must satisfy regular expression pattern: ([a-zA-Z0-9-_]+)"
            ),
        )
        assert refused(add, FunctionName="f:2", Qualifier="1", StatementId="a", **S3)[2] == (
            "The derived qualifier from the function name does not match the specified qualifier."
        )
        # Kept it could be, read it could not.
        assert refused(add, FunctionName="f", StatementId="a", **{**S3, "SourceArn": "arn:aws:s3:::${x}"}) == (
            "InvalidParameterValueException",
            400,
            "The policy cannot be used: policy variables cannot be evaluated.",
        )
        assert policy(client)[0]["Statement"] == [statement("s3")]

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ({"FunctionName": "g"}, f"Function not found: {ARN[:-1]}g"),
            ({"FunctionName": "f", "Qualifier": "2"}, f"Function not found: {ARN}:2"),
            ({"FunctionName": "f", "Qualifier": "dead"}, f"Cannot find alias arn: {ARN}:dead"),
        ],
    )
    def test_what_is_not_there(self, client: Any, name: dict[str, str], text: str) -> None:
        expected = ("ResourceNotFoundException", 404, text)
        assert refused(client.add_permission, StatementId="a", **name, **S3) == expected
        assert refused(client.get_policy, **name) == expected
        if name["FunctionName"] == "g":
            expected = ("ResourceNotFoundException", 404, f"No policy found for: {ARN[:-1]}g")
        assert refused(client.remove_permission, StatementId="a", **name) == expected

    def test_what_cannot_be_removed(self, client: Any) -> None:
        assert refused(client.remove_permission, FunctionName="f", StatementId="a") == (
            "ResourceNotFoundException",
            404,
            "No policy is associated with the given resource.",
        )
        client.add_permission(FunctionName="f", StatementId="s3", **S3)
        assert refused(client.remove_permission, FunctionName="f", StatementId="a") == (
            "ResourceNotFoundException",
            404,
            "Statement a is not found in resource policy.",
        )

    def test_revisions(self, client: Any) -> None:
        for name in ({}, {"Qualifier": "1"}, {"Qualifier": "live"}):
            call = {"FunctionName": "f", **name}
            assert refused(client.add_permission, **call, StatementId="a", RevisionId="wrong", **S3) == WRONG
            assert refused(client.get_policy, **call) == NOTHING
            client.add_permission(**call, StatementId="a", **S3)
            assert refused(client.add_permission, **call, StatementId="a", RevisionId="wrong", **S3) == WRONG
            current = client.get_policy(**call)["RevisionId"]
            client.add_permission(**call, StatementId="b", RevisionId=current, **S3)
            assert refused(client.remove_permission, **call, StatementId="a", RevisionId=current) == WRONG
            current = client.get_policy(**call)["RevisionId"]
            client.remove_permission(**call, StatementId="a", RevisionId=current)
            assert len(json.loads(client.get_policy(**call)["Policy"])["Statement"]) == 1

    def test_a_change_that_is_refused_gives_no_other_revision(self, client: Any) -> None:
        client.add_permission(FunctionName="f", StatementId="a", **S3)
        before = revision(client)
        refused(client.add_permission, FunctionName="f", StatementId="a", **S3)
        refused(client.remove_permission, FunctionName="f", StatementId="b")
        assert revision(client) == before

    def test_the_limit(self, client: Any) -> None:
        long = {**S3, "SourceArn": f"arn:aws:s3:::{'b' * 6000}"}
        for sid in ("a", "b", "c"):
            client.add_permission(FunctionName="f", StatementId=sid, **long)
        code, status, text = refused(client.add_permission, FunctionName="f", StatementId="d", **long)
        assert (code, status) == ("PolicyLengthExceededException", 400)
        assert text.startswith("The final policy size (24")
        assert text.endswith(") is bigger than the limit (20480).")

    def test_a_policy_goes_with_its_function_and_its_version(self, server: ControlServer, client: Any) -> None:
        client.add_permission(FunctionName="f", StatementId="a", **S3)
        client.add_permission(FunctionName="f", StatementId="a", Qualifier="1", **S3)
        client.add_permission(FunctionName="f", StatementId="a", Qualifier="live", **S3)
        server.run(server.aliases.delete(KEY, "live"))
        client.delete_function(FunctionName="f", Qualifier="1")
        assert len(server.run(server.records.functions.every("policy"))) == 1
        client.delete_function(FunctionName="f")
        client.create_function(**FUNCTION)
        assert refused(client.get_policy, FunctionName="f") == NOTHING


WHOLE = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "some",
            "Effect": "Allow",
            "Principal": {"AWS": ["arn:aws:iam::210987654321:root", "333333333333"]},
            "Action": ["lambda:InvokeFunction", "lambda:Get*"],
            "Resource": [ARN, f"{ARN}:*"],
            "Condition": {"StringEquals": {"aws:PrincipalOrgID": ["o-a1b2c3d4e5", "o-a1b2c3d4e6"]}},
        },
        {"Effect": "Deny", "NotPrincipal": {"AWS": [ACCOUNT, "210987654321"]}, "Action": "*", "Resource": "*"},
    ],
}


class TestDocuments:
    @pytest.mark.parametrize("arn", [ARN, f"{ARN}:1", f"{ARN}:live"])
    def test_a_life(self, client: Any, arn: str) -> None:
        assert refused(client.get_resource_policy, ResourceArn=arn) == NOTHING
        client.add_permission(FunctionName=arn, StatementId="s3", **S3)
        put = client.put_resource_policy(ResourceArn=arn, Policy=json.dumps(WHOLE, indent=2))
        assert json.loads(put["Policy"]) == WHOLE  # in place of what was there
        shown = client.get_resource_policy(ResourceArn=arn)
        assert (shown["Policy"], shown["RevisionId"]) == (put["Policy"], put["RevisionId"])
        # They are the same policy, whichever operation shows or changes it.
        same = client.get_policy(FunctionName=arn)
        assert (same["Policy"], same["RevisionId"]) == (put["Policy"], put["RevisionId"])
        client.add_permission(FunctionName=arn, StatementId="s3", **S3)
        statements = json.loads(client.get_resource_policy(ResourceArn=arn)["Policy"])["Statement"]
        assert statements == [*WHOLE["Statement"], statement("s3", arn)]
        deleted = client.delete_resource_policy(ResourceArn=arn)
        assert deleted["ResponseMetadata"]["HTTPStatusCode"] == 204
        assert refused(client.get_resource_policy, ResourceArn=arn) == NOTHING
        assert refused(client.delete_resource_policy, ResourceArn=arn)[:2] == ("ResourceNotFoundException", 404)

    def test_revisions(self, client: Any) -> None:
        text = json.dumps(WHOLE)
        wrong = "00000000-0000-4000-8000-00000000dead"
        assert refused(client.put_resource_policy, ResourceArn=ARN, Policy=text, RevisionId=wrong) == WRONG
        first = client.put_resource_policy(ResourceArn=ARN, Policy=text)["RevisionId"]
        second = client.put_resource_policy(ResourceArn=ARN, Policy=text, RevisionId=first)["RevisionId"]
        assert second != first
        assert refused(client.delete_resource_policy, ResourceArn=ARN, RevisionId=first) == WRONG
        client.delete_resource_policy(ResourceArn=ARN, RevisionId=second)

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("x", "a policy must be JSON"),
            ("[]", "a policy must be a JSON object"),
            ('{"Statement": []}', "a policy needs statements"),
            (json.dumps({"Statement": [{**WHOLE["Statement"][0], "Effect": "Maybe"}]}), "Effect must be Allow or Deny"),
            (
                json.dumps(
                    {"Statement": [{**WHOLE["Statement"][0], "Condition": {"Bool": {"aws:ViaAWSService": "true"}}}]}
                ),
                "the condition key aws:ViaAWSService cannot be evaluated",
            ),
        ],
    )
    def test_what_cannot_be_put(self, client: Any, text: str, reason: str) -> None:
        expected = ("InvalidParameterValueException", 400, f"The policy cannot be used: {reason}.")
        assert refused(client.put_resource_policy, ResourceArn=ARN, Policy=text) == expected
        assert refused(client.get_policy, FunctionName="f") == NOTHING

    def test_half_a_character_is_refused(self, client: Any) -> None:
        """JSON can have it, and no answer could."""
        text = json.dumps({**WHOLE, "Id": "\ud800"})
        expected = ("InvalidParameterValueException", 400, "The policy cannot be used: it has halves of characters.")
        assert refused(client.put_resource_policy, ResourceArn=ARN, Policy=text) == expected
        odd = {**S3, "SourceArn": "arn:aws:s3:::\udc00"}
        assert refused(client.add_permission, FunctionName="f", StatementId="a", **odd) == expected

    def test_what_has_no_policy(self, client: Any) -> None:
        put = client.put_resource_policy
        assert refused(put, ResourceArn=f"{ARN}:$LATEST", Policy="{}")[2] == (
            "We currently do not support adding policies for $LATEST."
        )
        assert refused(put, ResourceArn=f"{ARN}:9", Policy="{}")[2] == f"Function not found: {ARN}:9"
        runtime = f"arn:aws:lambda:{REGION}:{ACCOUNT}:runtime/r"
        assert refused(client.get_resource_policy, ResourceArn=runtime) == NOTHING
        assert refused(client.get_resource_policy, ResourceArn="f")[0] == "ValidationException"
        assert refused(put, ResourceArn=ARN, Policy="x" * 20_481)[0] == "ValidationException"
