"""SAM's transform and that of the language's extensions."""

import pytest
from tests.unit.neighbour.stacks.scopes import FixedScope

from lamella.neighbour.stacks.errors import TransformError
from lamella.neighbour.stacks.template import Template
from lamella.neighbour.stacks.transforms import transform

FUNCTION = {"Runtime": "python3.11", "Handler": "a.b", "InlineCode": "x"}


def transformed(template: Template, scope: FixedScope | None = None) -> Template:
    return transform(template, {}, account="000000000000", region="eu-west-1", scope=scope or FixedScope())


def test_nothing_is_done_where_nothing_is_asked() -> None:
    template = {"Resources": {"A": {"Type": "AWS::Serverless::Function"}}}
    assert transformed(template) == template


def test_a_function_of_sam_becomes_one_with_its_role() -> None:
    template = {
        "Transform": "AWS::Serverless-2016-10-31",
        "Resources": {
            "F": {
                "Type": "AWS::Serverless::Function",
                "Properties": {**FUNCTION, "AutoPublishAlias": "live", "Policies": "AWSLambdaExecute"},
            }
        },
    }
    found = transformed(template)
    kinds = sorted(one["Type"].rpartition("::")[2] for one in found["Resources"].values())
    assert kinds == ["Alias", "Function", "Role", "Version"]
    assert "Transform" not in found
    assert template["Transform"]  # as it was sent
    policies = found["Resources"]["FRole"]["Properties"]["ManagedPolicyArns"]
    assert "arn:aws:iam::aws:policy/AWSLambdaExecute" in policies


def test_what_sam_refuses_is_said_in_its_words() -> None:
    template = {
        "Transform": "AWS::Serverless-2016-10-31",
        "Resources": {"F": {"Type": "AWS::Serverless::Function", "Properties": {**FUNCTION, "Events": {"E": {}}}}},
    }
    with pytest.raises(TransformError, match=r"Transform AWS::Serverless-2016-10-31 failed with: .*Number of errors"):
        transformed(template)


def test_a_transform_that_nobody_knows() -> None:
    with pytest.raises(TransformError, match="No transform named 123::Macro found"):
        transformed({"Transform": "123::Macro", "Resources": {}})


def test_loops_are_written_out() -> None:
    template = {
        "Transform": "AWS::LanguageExtensions",
        "Resources": {
            "Fn::ForEach::Queues": [
                "Name",
                {"Ref": "Names"},
                {"Queue${Name}": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": {"Ref": "Name"}}}},
            ],
            "Topic": {"Type": "AWS::SNS::Topic", "DeletionPolicy": {"Ref": "Keep"}},
        },
    }
    found = transformed(template, FixedScope(refs={"Names": ["A", "B"], "Keep": "Retain"}))["Resources"]
    assert found == {
        "QueueA": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "A"}},
        "QueueB": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "B"}},
        "Topic": {"Type": "AWS::SNS::Topic", "DeletionPolicy": "Retain"},
    }


def test_loops_within_loops_do_not_write_out_more_than_a_template_can_be() -> None:
    body: Template = {"Q": {"Type": "AWS::SQS::Queue"}}
    for level in range(6):
        body = {f"Fn::ForEach::L{level}": [f"V{level}", [str(number) for number in range(100)], body]}
    with pytest.raises(TransformError, match="the loops would write out more than"):
        transformed({"Transform": "AWS::LanguageExtensions", "Resources": body})


@pytest.mark.parametrize("loop", ["x", ["V", "text", {}], ["V", 3, {}], ["V", ["a"], "b"]])
def test_loops_that_are_none(loop: object) -> None:
    with pytest.raises(TransformError, match="layout is incorrect"):
        transformed({"Transform": "AWS::LanguageExtensions", "Resources": {"Fn::ForEach::X": loop}})
