"""What templates may look like."""

import pytest

from lamella.neighbour.stacks.errors import StackError
from lamella.neighbour.stacks.template import check, parse, transforms_of

RESOURCES = {"Resources": {"A": {"Type": "AWS::SQS::Queue"}}}


def test_short_forms_are_the_long_ones() -> None:
    text = """
        A: !Ref B
        C: !GetAtt D.E.F
        G: !GetAtt [H, I]
        J: !Sub "${K}"
        L: !If [M, !Ref N, !Split [",", "a,b"]]
        O: !FindInMap {P: Q}
        R: !Not [!Condition S]
        T: 2010-09-09
    """
    assert parse(text) == {
        "A": {"Ref": "B"},
        "C": {"Fn::GetAtt": ["D", "E.F"]},
        "G": {"Fn::GetAtt": ["H", "I"]},
        "J": {"Fn::Sub": "${K}"},
        "L": {"Fn::If": ["M", {"Ref": "N"}, {"Fn::Split": [",", "a,b"]}]},
        "O": {"Fn::FindInMap": {"P": "Q"}},
        "R": {"Fn::Not": [{"Condition": "S"}]},
        "T": "2010-09-09",
    }


def test_keys_are_texts() -> None:
    assert parse("A: {YES: yes, 012345678901: 1, null: 2}") == {"A": {"YES": True, "012345678901": 1, "null": 2}}


def test_json_and_yaml_in_flow_style() -> None:
    assert parse('{"A": [1, "b"]}') == {"A": [1, "b"]}
    assert parse("{A: [1, b]}") == {"A": [1, "b"]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &x [1]\nb: *x", "YAML aliases are not allowed"),
        ("a: !!python/object/apply:os.system [id]", "not well-formed"),
        ("a: !Unknown b", "Unknown tag !Unknown"),
        ("a: [", "not well-formed"),
        ("- a", "unsupported structure"),
        ("", "unsupported structure"),
        ("{" * 100_000, "nested too deeply"),
        ("[" * 101 + "," * 100_000, "nested too deeply"),
        ('{"a": ' * 101 + "1" + "}" * 101, "nested too deeply"),
        ("a: !!binary aGVsbG8=", "Unknown tag tag:yaml.org,2002:binary"),
        ("a: !!set {b}", "Unknown tag tag:yaml.org,2002:set"),
    ],
)
def test_what_is_no_template_is_refused(text: str, said: str) -> None:
    with pytest.raises(StackError, match=said):
        parse(text)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ({}, "At least one Resources member"),
        ({"Resources": {}}, "At least one Resources member"),
        ({"Resources": {"A": {}}}, "must contain a Type member"),
        ({"Resources": {"A": []}}, "malformed"),
        ({"Resources": {"A-B": {"Type": "x"}}}, "non alphanumeric"),
        (
            {"Resources": {"A": {"Type": "x", "DeletionPolicy": "Keep"}}},
            "Unrecognized DeletionPolicy Keep for resource A",
        ),
        ({**RESOURCES, "Colour": "blue"}, r"Invalid template property or properties \[Colour\]"),
        ({**RESOURCES, "AWSTemplateFormatVersion": "2011"}, "not a supported value"),
        ({**RESOURCES, "Outputs": {"O": {}}}, "needs a Value"),
        ({**RESOURCES, "Parameters": []}, "must be an object"),
    ],
)
def test_the_form_of_templates(template: dict[str, object], said: str) -> None:
    with pytest.raises(StackError, match=said):
        check(template)


def test_a_good_template_passes() -> None:
    check({**RESOURCES, "AWSTemplateFormatVersion": "2010-09-09", "Description": "x"})


def test_transforms_by_name() -> None:
    assert transforms_of({"Transform": "A"}) == ["A"]
    assert transforms_of({"Transform": ["A", {"Name": "B"}]}) == ["A", "B"]
    assert transforms_of({}) == []


@pytest.mark.parametrize(("section", "most"), [("Resources", 500), ("Outputs", 200), ("Mappings", 200)])
def test_there_is_a_most_of_everything(section: str, most: int) -> None:
    entry = {"Resources": {"Type": "T"}, "Outputs": {"Value": "v"}, "Mappings": {}}[section]
    check({**RESOURCES, section: {f"X{number}": entry for number in range(most)}})
    with pytest.raises(StackError, match=f"Number of {section.lower()}, {most + 1}, is greater than maximum allowed"):
        check({**RESOURCES, section: {f"X{number}": entry for number in range(most + 1)}})


@pytest.mark.parametrize("links", [{"Condition": ["a"]}, {"DependsOn": {"a": 1}}, {"DependsOn": ["a", ["b"]]}])
def test_links_are_names(links: dict[str, object]) -> None:
    with pytest.raises(StackError, match="of resource A must be names"):
        check({"Resources": {"A": {"Type": "T", **links}}})


def test_a_transform_counts_once() -> None:
    assert transforms_of({"Transform": ["A", {"Name": "B"}, "A"]}) == ["A", "B"]
