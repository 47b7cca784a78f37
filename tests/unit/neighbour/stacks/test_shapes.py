"""Templates with something else in every place: refused in CloudFormation's words, whatever it is."""

import copy
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from tests.unit.neighbour.stacks.fakes import ACCOUNT, REGION, World

from lamella.neighbour.stacks.errors import StackError
from lamella.neighbour.stacks.model import Wish
from lamella.neighbour.stacks.template import Json

FORMS: Json = {
    "Parameters": {"P": {"Type": "Number", "Default": 1, "AllowedValues": [1], "MinValue": 0, "AllowedPattern": "."}},
    "Mappings": {"M": {"a": {"b": "c"}}},
    "Conditions": {
        "C": {"Fn::And": [{"Fn::Equals": ["a", "a"]}, {"Fn::Not": [{"Condition": "D"}]}]},
        "D": {"Fn::Or": []},
    },
    "Resources": {
        "A": {
            "Type": "Test::Thing",
            "Condition": "C",
            "DependsOn": ["B"],
            "Metadata": {"m": {"Ref": "P"}},
            "Properties": {
                "Tags": [{"Key": "k", "Value": "v"}],
                "X": {"Fn::Sub": ["${P}-${Own}", {"Own": {"Fn::Join": ["-", [{"Ref": "P"}]]}}]},
                "Y": {"Fn::If": ["C", {"Fn::Select": [0, {"Fn::Split": ["-", "a-b"]}]}, {"Ref": "AWS::NoValue"}]},
                "Z": [{"Fn::FindInMap": ["M", "a", "b"]}, {"Fn::Cidr": ["10.0.0.0/24", 1, 8]}, {"Fn::Base64": "a"}],
            },
        },
        "B": {"Type": "AWS::IAM::Role", "Properties": {"RoleName": "r", "AssumeRolePolicyDocument": {}}},
        "N": {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": "inner", "Parameters": {"Q": "1"}}},
    },
    "Outputs": {
        "O": {"Value": {"Fn::GetAtt": ["A", "Arn"]}, "Export": {"Name": {"Fn::Sub": "${P}"}}, "Condition": "C"}
    },
}
LOOPS: Json = {
    "Transform": ["AWS::LanguageExtensions"],
    "Resources": {"Fn::ForEach::L": ["V", ["a"], {"R${V}": {"Type": "Test::Thing", "DeletionPolicy": "Retain"}}]},
}
SAM: Json = {
    "Transform": ["AWS::LanguageExtensions", "AWS::Serverless-2016-10-31"],
    "Globals": {"Function": {"Timeout": 3, "Environment": {"Variables": {"A": "b"}}}},
    "Resources": {
        "F": {
            "Type": "AWS::Serverless::Function",
            "Properties": {
                "Runtime": "python3.11",
                "Handler": "a.b",
                "InlineCode": "x",
                "Policies": ["AWSLambdaExecute", {"Statement": []}],
                "Events": {"E": {"Type": "Api", "Properties": {"Path": "/a", "Method": "get"}}},
            },
        }
    },
}
NONSENSE: tuple[Json, ...] = (None, 7, "text", [], {}, [[]], {"Ref": ["P"]}, {"Fn::Sub": {}}, {"a": {"b": 1}, "c": 2})


def places(value: Json, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def spoilt(template: Json) -> Iterator[tuple[tuple[Any, ...], Json]]:
    for path in places(template):
        for nonsense in NONSENSE:
            made = copy.deepcopy(template)
            *above, last = path
            inner = made
            for key in above:
                inner = inner[key]
            inner[last] = nonsense
            yield path, made


@pytest.mark.parametrize("template", [FORMS, LOOPS, SAM], ids=["forms", "loops", "sam"])
def test_whatever_is_wrong_is_said_as_an_error_of_the_template(template: Json, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Json] = []
    monkeypatch.setattr("lamella.neighbour.stacks.changes.parse", lambda text: made[-1])
    capabilities = ("CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND")
    for path, one in spoilt(template):
        made.append(one)
        world = World({"inner": "{}"})
        with suppress(StackError):
            stack = world.stacks.create(ACCOUNT, REGION, "s", Wish("{}", capabilities=capabilities))
            assert stack.settled.wait(30), path
            assert not stack.reason.startswith("Internal failure"), (path, stack.reason)
