"""What nobody is told of a stack, though its resources have it."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.unit.neighbour.stacks.fakes import ACCOUNT, REGION, World, reasons

from lamella.neighbour.stacks.errors import StackError
from lamella.neighbour.stacks.model import Stack, Wish
from lamella.neighbour.stacks.rendering import stack_document

SECRET = "s3cr3t-word"


class Keeper:
    """SSM and Secrets Manager with one value each."""

    def __call__(self, service: str, account: str, region: str) -> Any:  # Any: as a client of botocore
        return self

    def get_parameter(self, *, Name: str, WithDecryption: bool) -> Any:  # noqa: N803
        kind = "SecureString" if Name == "/secure" else "String"
        return {"Parameter": {"Type": kind, "Value": SECRET if kind == "String" or WithDecryption else "encrypted"}}

    def get_secret_value(self, *, SecretId: str) -> Any:  # noqa: N803
        if SecretId != "db":
            raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "GetSecretValue")
        return {"SecretString": json.dumps({"password": SECRET})}


def made(properties: dict[str, object], parameters: dict[str, str | None] | None = None, **more: object) -> Stack:
    definitions = {
        "P": {"NoEcho": True, "Default": ""},
        "L": {"Type": "CommaDelimitedList", "NoEcho": "true", "Default": ""},
    }
    text = json.dumps(
        {"Parameters": definitions, "Resources": {"A": {"Type": "Test::Thing", "Properties": properties}, **more}}
    )
    stack = World(clients=Keeper()).stacks.create(ACCOUNT, REGION, "s", Wish(text, parameters or {}))
    assert stack.settled.wait(30)
    return stack


def told(stack: Stack) -> list[dict[str, object]]:
    found = [json.loads(event.properties) for event in stack.events if event.properties]
    assert found
    return found


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"Ref": "P"}, "****"),
        ({"Fn::Sub": "user:${P}@host"}, "user:****@host"),
        ({"Fn::Join": ["-", {"Ref": "L"}]}, "****-****"),
        (
            {"Fn::Select": [1, {"Fn::Split": ["-", {"Ref": "P"}]}]},
            {"Fn::Select": [1, {"Fn::Split": ["-", {"Ref": "P"}]}]},
        ),
        ("{{resolve:secretsmanager:db:SecretString:password}}", "{{resolve:secretsmanager:db:SecretString:password}}"),
        ("{{resolve:ssm-secure:/secure}}", "{{resolve:ssm-secure:/secure}}"),
        ({"Fn::Sub": "{{resolve:ssm:/${AWS::Region}}}"}, "{{resolve:ssm:/eu-west-1}}"),
    ],
)
def test_events_tell_no_secrets(value: object, shown: object) -> None:
    stack = made({"X": value}, {"P": SECRET, "L": f"{SECRET},{SECRET}"})
    assert stack.status == "CREATE_COMPLETE"
    assert stack.resources["A"].properties["X"] not in ("", shown)
    assert {json.dumps(one["X"]) for one in told(stack)} == {json.dumps(shown)}
    assert SECRET not in repr(stack.events)


def test_a_refusal_that_quotes_a_secret_is_told_without_it() -> None:
    stack = made({"Fail": {"Fn::Sub": "${P}"}}, {"P": "create"})
    assert stack.status == "ROLLBACK_COMPLETE"
    assert "**** does not work" in reasons(stack)


def test_what_a_custom_resource_returns_may_be_secret() -> None:
    reader = {"Type": "Test::Thing", "Properties": {"X": {"Fn::GetAtt": ["A", "Arn"]}, "Y": {"Ref": "A"}}}
    stack = made({"Secret": "yes"}, None, B=reader)
    assert stack.resources["B"].properties == {"X": "arn:A-1", "Y": "A-1"}
    assert told(stack)[-1] == {"X": "****", "Y": "****"}


def test_metadata_is_told_without_what_dynamic_references_stand_for() -> None:
    reference = "{{resolve:secretsmanager:db:SecretString:password}}"
    stack = made({}, None, B={"Type": "Test::Thing", "Metadata": {"M": reference}})
    assert stack.resources["B"].metadata == {"M": reference}


def test_a_hidden_parameter_of_ssm_shows_neither_name_nor_value() -> None:
    text = json.dumps(
        {
            "Parameters": {"P": {"Type": "AWS::SSM::Parameter::Value<String>", "NoEcho": True, "Default": "/plain"}},
            "Resources": {"A": {"Type": "Test::Thing", "Properties": {"X": {"Ref": "P"}}}},
        }
    )
    world = World(clients=Keeper())
    stack = world.create(text)
    assert stack.resources["A"].properties == {"X": SECRET}
    (shown,) = stack_document(stack)["Parameters"]
    assert shown == {"ParameterKey": "P", "ParameterValue": "****", "ResolvedValue": "****"}


def test_encrypted_parameters_are_read_only_where_the_template_says_so() -> None:
    kind = "AWS::SSM::Parameter::Value<String>"
    text = json.dumps({"Parameters": {"P": {"Type": kind, "Default": "/secure"}}, "Resources": {"A": {"Type": "T"}}})
    with pytest.raises(StackError, match="have types not supported by CloudFormation"):
        World(clients=Keeper()).create(text)
    stack = made({"X": "{{resolve:ssm:/secure}}"})
    assert stack.status == "ROLLBACK_COMPLETE"
    assert any("have types not supported by CloudFormation" in reason for reason in reasons(stack))


def test_a_secret_that_is_not_there() -> None:
    stack = made({"X": "{{resolve:secretsmanager:other}}"})
    assert any("Could not resolve the secret other" in reason for reason in reasons(stack))
