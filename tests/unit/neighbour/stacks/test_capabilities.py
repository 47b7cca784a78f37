"""What has to be acknowledged."""

from lamella.neighbour.stacks.capabilities import missing_capabilities, needed
from lamella.neighbour.stacks.template import Template


def of(**properties: str) -> Template:
    return {"Resources": {"R": {"Type": "AWS::IAM::Role", "Properties": properties}}}


def test_roles_have_to_be_and_others_not() -> None:
    assert needed({"Resources": {"Q": {"Type": "AWS::SQS::Queue"}}}) == []
    assert needed(of()) == ["CAPABILITY_IAM"]
    assert needed(of(RoleName="x")) == ["CAPABILITY_NAMED_IAM"]


def test_the_wider_capability_covers_the_other() -> None:
    assert missing_capabilities(of(), ("CAPABILITY_NAMED_IAM",)) == []
    assert missing_capabilities(of(RoleName="x"), ("CAPABILITY_IAM",)) == ["CAPABILITY_NAMED_IAM"]
