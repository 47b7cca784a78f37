"""The schemas that cfn-lint brings: where they are and what they say of what is relied on."""

import pytest

from lamella.neighbour.stacks.catalog import LAMBDA, SERVICES
from lamella.neighbour.stacks.schemas import OPEN, schema_of


@pytest.mark.parametrize("kind", [*LAMBDA, *SERVICES])
def test_every_type_has_one(kind: str) -> None:
    assert schema_of(kind) is not OPEN


def test_what_makes_a_new_resource() -> None:
    function = schema_of("AWS::Lambda::Function")
    assert function.replacing({"FunctionName": "a", "Timeout": 1}, {"FunctionName": "b", "Timeout": 2}) == [
        "FunctionName"
    ]
    assert function.replacing({"Timeout": 1}, {"Timeout": 2}) == []
    assert schema_of("AWS::Lambda::LayerVersion").replacing({"Content": {"S3Key": "a"}}, {"Content": {}}) == ["Content"]
    assert schema_of("AWS::Lambda::Alias").replacing({"FunctionVersion": "1"}, {"FunctionVersion": "2"}) == []


def test_what_is_wrong_with_properties() -> None:
    function = schema_of("AWS::Lambda::Function")
    assert [*function.problems({"Code": {}, "Rolle": "x"})] == [
        "#: required key [Role] not found",
        "#: extraneous key [Rolle] is not permitted",
    ]
    assert not [*function.problems({"Code": {}, "Role": "x", "RuntimeConfig": {}})]  # newer than the copy


def test_what_is_tagged() -> None:
    assert schema_of("AWS::Lambda::Function").tagged
    assert not schema_of("AWS::Lambda::Version").tagged


def test_types_that_nobody_knows_and_those_of_others_allow_everything() -> None:
    assert schema_of("Custom::Thing") is OPEN
    assert schema_of("AWS::CloudFormation::CustomResource") is OPEN
    assert [*OPEN.problems({"Any": 1})] == []
