"""What parameters of stacks are, and may be."""

import pytest

from lamella.neighbour.stacks.errors import StackError
from lamella.neighbour.stacks.parameters import Parameter, settle
from lamella.neighbour.stacks.template import Template


def settled(sent: dict[str, str | None], previous: dict[str, Parameter] | None = None, **definitions: object) -> object:
    template: Template = {"Parameters": definitions}
    found = settle(template, sent, previous or {}, lambda name: f"value of {name}")
    return {name: parameter.value for name, parameter in found.items()}


def test_what_is_sent_comes_before_the_default() -> None:
    assert settled({"A": "1"}, A={"Type": "String", "Default": "0"}, B={"Default": True}) == {"A": "1", "B": "true"}


def test_the_previous_value_is_taken_when_it_is_asked_for() -> None:
    previous = {"A": Parameter("old", "old")}
    assert settled({"A": None}, previous, A={"Type": "String", "Default": "new"}) == {"A": "old"}
    assert settled({}, previous, A={"Type": "String", "Default": "new"}) == {"A": "new"}


def test_lists_and_values_of_ssm() -> None:
    value = settled(
        {"L": "a, b", "S": "/x"},
        L={"Type": "CommaDelimitedList"},
        S={"Type": "AWS::SSM::Parameter::Value<String>"},
        M={"Type": "AWS::SSM::Parameter::Value<List<String>>", "Default": "/y,z"},
    )
    assert value == {"L": ["a", "b"], "S": "value of /x", "M": ["value of /y", "z"]}


def test_what_is_not_to_be_shown() -> None:
    found = settle({"Parameters": {"P": {"NoEcho": True}}}, {"P": "secret"}, {}, str)["P"]
    assert (found.value, found.shown) == ("secret", "****")


@pytest.mark.parametrize(
    ("definition", "value", "said"),
    [
        ({"AllowedValues": ["a", "b"]}, "c", "must be one of AllowedValues"),
        ({"AllowedPattern": "[a-z]+"}, "A", "must match pattern"),
        ({"AllowedPattern": "[a-z]+", "ConstraintDescription": "small letters"}, "A", "small letters"),
        ({"Type": "Number"}, "x", "is not a number"),
        ({"Type": "Number", "MinValue": 3}, "2", "not less than 3"),
        ({"Type": "Number", "MaxValue": 3}, "4", "not greater than 3"),
        ({"MinLength": 2}, "a", "at least 2"),
        ({"MaxLength": 2}, "abc", "at most 2"),
        ({}, "x" * 4097, "at most 4096 bytes"),
        ({"AllowedPattern": "("}, "a", "AllowedPattern of parameter P is none"),
        ({"AllowedPattern": "(" * 2000 + "a" + ")" * 2000}, "a", "AllowedPattern of parameter P is none"),
        ({"AllowedPattern": "(a|aa)+[bc]"}, "a" * 4000, "AllowedPattern of parameter P takes too long"),
        ({"AllowedPattern": "a" * 4097}, "a", "AllowedPattern of parameter P is too long"),
        ({"MaxLength": "x"}, "a", "MaxLength of parameter P must be a number"),
    ],
)
def test_constraints(definition: dict[str, object], value: str, said: str) -> None:
    with pytest.raises(StackError, match=said):
        settled({"P": value}, P=definition)


def test_what_is_missing_or_unknown() -> None:
    with pytest.raises(StackError, match=r"Parameters: \[A, B\] must have values"):
        settled({}, A={}, B={})
    with pytest.raises(StackError, match=r"Parameters: \[X\] do not exist in the template"):
        settled({"X": "1"})


@pytest.mark.parametrize("definitions", [["P"], {"P": "String"}, {"P": None}])
def test_definitions_that_are_none(definitions: object) -> None:
    with pytest.raises(StackError, match="unsupported structure"):
        settle({"Parameters": definitions}, {"P": "x"}, {}, str)


def test_there_are_two_hundred_at_most() -> None:
    with pytest.raises(StackError, match="Number of parameters, 201, is greater than maximum allowed, 200"):
        settled({}, None, **{f"P{number}": {"Default": "x"} for number in range(201)})
