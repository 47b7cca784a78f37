"""The functions of templates. Source: CloudFormation user guide, "Intrinsic function reference"."""

import pytest
from tests.unit.neighbour.stacks.scopes import FixedScope

from lamella.neighbour.stacks.errors import StackError
from lamella.neighbour.stacks.intrinsics import UNKNOWN, decide, references, resolve
from lamella.neighbour.stacks.template import Json

SCOPE = FixedScope(
    refs={"Name": "web", "Zones": ["a", "b"], "AWS::Region": "eu-west-1", "Later": UNKNOWN, "Number": "3"},
    attributes={("Bucket", "Arn"): "arn:x", ("Nested", "Outputs.Url"): "http://x"},
    conditions={"Yes": True, "No": False},
    mappings={"Map": {"eu-west-1": {"size": 5, "list": ["p", "q"]}}},
)


@pytest.mark.parametrize(
    ("value", "result"),
    [
        ({"Ref": "Name"}, "web"),
        ({"Fn::GetAtt": ["Bucket", "Arn"]}, "arn:x"),
        ({"Fn::GetAtt": "Nested.Outputs.Url"}, "http://x"),
        ({"Fn::Sub": "${Name}-${Bucket.Arn}-${!Literal}-$Plain"}, "web-arn:x-${Literal}-$Plain"),
        ({"Fn::Sub": ["${Own}.${Name}", {"Own": {"Ref": "Number"}}]}, "3.web"),
        ({"Fn::Join": ["-", ["a", {"Ref": "Name"}, 1, True]]}, "a-web-1-true"),
        ({"Fn::Join": [",", {"Ref": "Zones"}]}, "a,b"),
        ({"Fn::Join": [",", {"Ref": "Later"}]}, UNKNOWN),
        ({"Fn::Split": ["|", "a|b|c"]}, ["a", "b", "c"]),
        ({"Fn::Select": ["1", {"Ref": "Zones"}]}, "b"),
        ({"Fn::Select": [0, {"Fn::Split": ["/", {"Ref": "Later"}]}]}, UNKNOWN),
        ({"Fn::If": ["Yes", "a", {"Ref": "Missing"}]}, "a"),
        ({"Fn::FindInMap": ["Map", {"Ref": "AWS::Region"}, "size"]}, 5),
        ({"Fn::FindInMap": ["Map", "nowhere", "size", {"DefaultValue": 7}]}, 7),
        ({"Fn::Base64": "hello"}, "aGVsbG8="),
        ({"Fn::GetAZs": ""}, ["eu-west-1a", "eu-west-1b", "eu-west-1c"]),
        ({"Fn::Cidr": ["10.0.0.0/24", "2", "5"]}, ["10.0.0.0/27", "10.0.0.32/27"]),
        ({"Fn::ImportValue": {"Fn::Sub": "${Name}-x"}}, "imported web-x"),
        ({"Fn::Length": {"Ref": "Zones"}}, 2),
        ({"Fn::ToJsonString": {"a": {"Ref": "Name"}}}, '{"a":"web"}'),
        ("a {{resolve:ssm:/x:1}} b", "a <ssm /x:1> b"),
        ({"A": {"Ref": "AWS::NoValue"}, "B": [1, {"Ref": "AWS::NoValue"}]}, {"B": [1]}),
        # Of a policy, and no function.
        ({"Condition": {"Bool": {"x": "y"}}}, {"Condition": {"Bool": {"x": "y"}}}),
        ({"Condition": "Yes"}, {"Condition": "Yes"}),
    ],
)
def test_each_function(value: Json, result: Json) -> None:
    assert resolve(value, SCOPE) == result


@pytest.mark.parametrize(
    "value",
    [
        {"Ref": "Missing"},
        {"Ref": ["a"]},
        {"Fn::GetAtt": ["a"]},
        {"Fn::Sub": ["a", "b", "c"]},
        {"Fn::Join": ["-"]},
        {"Fn::Join": ["-", "text"]},
        {"Fn::Select": ["9", ["a"]]},
        {"Fn::Select": ["x", ["a"]]},
        {"Fn::Split": ["a"]},
        {"Fn::If": ["Yes", "a"]},
        {"Fn::FindInMap": ["Map", "nowhere", "size"]},
        {"Fn::FindInMap": ["None", "a", "b"]},
        {"Fn::Cidr": ["10.0.0.0/33", 1, 1]},
        {"Fn::Transform": {"Name": "AWS::Include"}},
        {"Fn::Unknown": 1},
    ],
)
def test_what_is_malformed_is_refused(value: Json) -> None:
    with pytest.raises(StackError):
        resolve(value, SCOPE)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({"Fn::Equals": [{"Ref": "Name"}, "web"]}, True),
        ({"Fn::Equals": [True, "true"]}, True),
        ({"Fn::Not": [{"Condition": "Yes"}]}, False),
        ({"Fn::And": [{"Condition": "Yes"}, {"Fn::Equals": ["a", "b"]}]}, False),
        ({"Fn::Or": [{"Condition": "No"}, {"Condition": "Yes"}]}, True),
    ],
)
def test_conditions(condition: Json, holds: bool) -> None:
    assert decide(condition, SCOPE) is holds


@pytest.mark.parametrize("condition", [{"Fn::Equals": ["a"]}, {"Ref": "Name"}, "Yes", {}])
def test_conditions_that_are_none(condition: Json) -> None:
    with pytest.raises(StackError):
        decide(condition, SCOPE)


def test_references_are_found_where_they_count() -> None:
    value = {
        "A": {"Ref": "One"},
        "B": [{"Fn::GetAtt": ["Two", "Arn"]}, {"Fn::GetAtt": "Three.Arn"}],
        "C": {"Fn::Sub": ["${Four} ${Five.Arn} ${!Not} ${Own}", {"Own": {"Ref": "Six"}}]},
        "D": {"Fn::If": ["Yes", {"Ref": "Seven"}, {"Ref": "Eight"}]},
    }
    assert set(references(value, SCOPE.condition)) == {"One", "Two", "Three", "Four", "Five", "Six", "Seven"}


def within(form: str, depth: int) -> Json:
    """A text of a hundred texts of a hundred texts ..."""
    return "x" * 100 if not depth else {"Fn::Sub": [form, {"X": within(form, depth - 1)}]}


def quoted(depth: int) -> Json:
    """Each level puts a backslash before every quote and backslash of the level below."""
    return '"' if not depth else {"Fn::ToJsonString": [quoted(depth - 1)]}


@pytest.mark.parametrize(
    "value",
    [
        within("${X}" * 100, 10),
        quoted(40),
        {"Fn::Join": ["x" * 10_000, ["a"] * 1000]},
        [{"Ref": "Long"}] * 1000,
        "{{resolve:ssm:long}}" * 1000,
        {"Fn::FindInMap": ["Long", "a", "b"]},
    ],
)
def test_functions_do_not_make_more_than_there_is_room_for(value: Json) -> None:
    scope = FixedScope(refs={"Long": "x" * 2000}, mappings={"Long": {"a": {"b": ["x" * 2000] * 1000}}})
    scope.dynamic = lambda service, key: "x" * 2000  # type: ignore[method-assign]
    with pytest.raises(StackError, match="too much"):
        resolve(value, scope)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"Fn::Cidr": ["::/0", 10**9, 8]}, "the count is 1 at least and 256 at most"),
        ({"Fn::Cidr": ["10.0.0.0/8", [1]]}, "Fn::Cidr"),
        ({"Fn::Split": ["", "abc"]}, "every Fn::Split object"),
        ({"Fn::Select": ["\u00b2", ["a"]]}, "Fn::Select cannot select"),
        ({"Fn::Select": ["9" * 5000, ["a"]]}, "Fn::Select cannot select"),
        ({"Fn::Length": 3}, "Fn::Length requires a list"),
    ],
)
def test_arguments_that_make_no_sense(value: Json, said: str) -> None:
    with pytest.raises(StackError, match=said):
        resolve(value, FixedScope())
