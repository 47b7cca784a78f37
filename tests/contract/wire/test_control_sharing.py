"""Resource policies of layer versions, with a real client.

What AWS answers: LocalStack's test_lambda_api.snapshot.json, TestLambdaLayer::test_layer_policy_exceptions and
test_layer_policy_lifecycle, recorded against AWS on 10 April 2024.
"""

import json
from typing import Any

import pytest
from tests.contract.wire.control_server import ACCOUNT, REGION, ControlServer
from tests.contract.wire.test_control_layers import LAYER, publish, refused

ALL = {"Action": "lambda:GetLayerVersion", "Principal": "*"}
VERSION = {"LayerName": "l", "VersionNumber": 1}


@pytest.fixture
def client(server: ControlServer) -> Any:
    """Of the account that has published version 1 of the layer `l`."""
    client = server.client()
    publish(client)
    return client


def statement(sid: str) -> dict[str, Any]:
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": "*",
        "Action": "lambda:GetLayerVersion",
        "Resource": f"{LAYER}:1",
    }


def test_a_life(client: Any) -> None:
    added = client.add_layer_version_permission(**VERSION, StatementId="s1", **ALL)
    assert added["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert added["Statement"] == json.dumps(statement("s1"), separators=(",", ":"))
    shown = client.get_layer_version_policy(**VERSION)
    assert json.loads(shown["Policy"]) == {"Version": "2012-10-17", "Id": "default", "Statement": [statement("s1")]}
    assert shown["RevisionId"] == added["RevisionId"]
    second = client.add_layer_version_permission(**{**VERSION, "LayerName": LAYER}, StatementId="s2", **ALL)
    assert second["RevisionId"] != added["RevisionId"]
    assert client.get_layer_version_policy(**VERSION)["RevisionId"] == second["RevisionId"]
    removed = client.remove_layer_version_permission(**VERSION, StatementId="s2")
    assert removed["ResponseMetadata"]["HTTPStatusCode"] == 204
    shown = client.get_layer_version_policy(**VERSION)
    assert json.loads(shown["Policy"])["Statement"] == [statement("s1")]
    assert shown["RevisionId"] not in (added["RevisionId"], second["RevisionId"])
    client.remove_layer_version_permission(**VERSION, StatementId="s1")
    assert refused(client.get_layer_version_policy, **VERSION)[0] == "ResourceNotFoundException"


def test_an_organization_is_a_condition(client: Any) -> None:
    added = client.add_layer_version_permission(**VERSION, StatementId="s", OrganizationId="o-t194hfs8cz", **ALL)
    condition = {"StringEquals": {"aws:PrincipalOrgID": "o-t194hfs8cz"}}
    assert json.loads(added["Statement"]) == {**statement("s"), "Condition": condition}
    for organization in ("t194hfs8cz", "o-short", f"o-{'a' * 33}", "o-T194HFS8CZ"):
        add = client.add_layer_version_permission
        refusal = refused(add, **VERSION, StatementId="x", OrganizationId=organization, **ALL)
        assert refusal[:2] == ("ValidationException", 400)


def test_refusals(client: Any) -> None:
    add, get = client.add_layer_version_permission, client.get_layer_version_policy
    remove = client.remove_layer_version_permission
    none = ("ResourceNotFoundException", 404, "No policy is associated with the given resource.")
    assert refused(get, **VERSION) == none
    assert refused(remove, **VERSION, StatementId="s1") == none
    add(**VERSION, StatementId="s1", **ALL)
    assert refused(add, **VERSION, StatementId="s2", **{**ALL, "Action": "*"}) == (
        "ValidationException",
        400,
        (
            "1 validation error detected: Value '*' at 'action' failed to satisfy constraint: "
            "Member must satisfy regular expression pattern: lambda:GetLayerVersion"
        ),
    )
    assert refused(add, **VERSION, StatementId="s1", **ALL) == (
        "ResourceConflictException",
        409,
        (
            "The statement id (s1) provided already exists. "
            "Please provide a new statement id, or remove the existing statement."
        ),
    )
    wrong = (
        "PreconditionFailedException",
        412,
        (
            "The Revision Id provided does not match the latest Revision Id. "
            "Call the GetLayerPolicy API to retrieve the latest Revision Id"
        ),
    )
    assert refused(add, **VERSION, StatementId="s2", RevisionId="wrong", **ALL) == wrong
    assert refused(remove, **VERSION, StatementId="s1", RevisionId="wrong") == wrong
    assert refused(remove, **VERSION, StatementId="s2") == (
        "ResourceNotFoundException",
        404,
        "Statement s2 is not found in resource policy.",
    )
    current = get(**VERSION)["RevisionId"]
    current = add(**VERSION, StatementId="s2", RevisionId=current, **ALL)["RevisionId"]
    remove(**VERSION, StatementId="s2", RevisionId=current)
    assert refused(add, **VERSION, StatementId="s3", **{**ALL, "Principal": "nobody"})[0] == "ValidationException"


@pytest.mark.parametrize(("name", "number"), [("m", 1), ("l", 2), ("l", 0), ("l", -1)])
def test_what_is_not_there(client: Any, name: str, number: int) -> None:
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:{name}:{number}"
    expected = ("ResourceNotFoundException", 404, f"Layer version {arn} does not exist.")
    version = {"LayerName": name, "VersionNumber": number}
    assert refused(client.add_layer_version_permission, **version, StatementId="s", **ALL) == expected
    assert refused(client.get_layer_version_policy, **version) == expected
    assert refused(client.remove_layer_version_permission, **version, StatementId="s") == expected


def test_a_policy_goes_with_its_version(server: ControlServer, client: Any) -> None:
    client.add_layer_version_permission(**VERSION, StatementId="s", **ALL)
    client.delete_layer_version(**VERSION)
    assert server.run(server.records.accounts.every("layer-policy")) == []
