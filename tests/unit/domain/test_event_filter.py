"""Patterns of EventBridge's form; the pairs follow the tables of AWS's guides."""

import json
from typing import Any

import pytest

from lamella.domain.event_filter import PatternError, compile_pattern


def matches(pattern: Any, event: Any) -> bool:
    return compile_pattern(json.dumps(pattern))(event)


@pytest.mark.parametrize(
    ("alternatives", "yes", "no"),
    [
        (["a", "b"], ["a", "b", ["x", "b"]], ["c", "", None, [], ["x"], {"a": 1}, 1]),
        ([1], [1, 1.0, [2, 1]], ["1", True, 2]),
        ([True], [True], ["true", 1, False]),
        ([None], [None], ["", 0, "null"]),
        ([""], [""], [None, " "]),
        ([{"prefix": "us-"}], ["us-1", "us-"], ["eu-1", 1, None]),
        ([{"suffix": ".png"}], ["a.png"], ["a.png2"]),
        ([{"prefix": {"equals-ignore-case": "US"}}], ["us-1", "Us"], ["eu"]),
        ([{"equals-ignore-case": "alice"}], ["ALICE"], ["alic"]),
        ([{"anything-but": ["a"]}], ["b", 1, None], ["a"]),
        ([{"anything-but": "a"}], ["b"], ["a"]),
        ([{"anything-but": {"prefix": "init"}}], ["run"], ["initial"]),
        ([{"anything-but": {"suffix": ["a", "b"]}}], ["xc"], ["xa", "xb"]),
        ([{"numeric": ["=", 100]}], [100, 100.0], [99, "100", True]),
        ([{"numeric": [">", 10, "<=", 20]}], [11, 20], [10, 21]),
        ([{"cidr": "10.0.0.0/24"}], ["10.0.0.255"], ["10.0.1.1", "x"]),
        ([{"wildcard": "a*c*e"}], ["ace", "abcde"], ["aec", "ac", "abcd"]),
        ([{"wildcard": "a\\*c"}], ["a*c"], ["abc"]),
        ([{"prefix": "a"}, {"numeric": ["<", 0]}], ["ab", -1], ["b", 1]),
    ],
)
def test_what_a_field_matches(alternatives: list[Any], yes: list[Any], no: list[Any]) -> None:
    for value in yes:
        assert matches({"f": alternatives}, {"f": value}), value
    for value in no:
        assert not matches({"f": alternatives}, {"f": value}), value
    assert not matches({"f": alternatives}, {})


def test_exists() -> None:
    assert matches({"a": {"b": [{"exists": True}]}}, {"a": {"b": None}})
    assert not matches({"a": {"b": [{"exists": True}]}}, {"a": {}})
    for event in ({"a": {}}, {}):
        assert matches({"a": {"b": [{"exists": False}]}}, event)


def test_all_fields_and_either_branch() -> None:
    pattern = {"s": ["x"], "$or": [{"a": [1]}, {"b": [2]}]}
    assert matches(pattern, {"s": "x", "b": 2})
    assert not matches(pattern, {"s": "x", "b": 1})
    assert not matches(pattern, {"a": 1})


def test_a_pattern_for_objects_does_not_match_texts() -> None:
    assert not matches({"body": {"a": [1]}}, {"body": "plain"})


def test_many_stars_cost_no_more_than_their_number() -> None:
    assert not matches({"f": [{"wildcard": "*a" * 50}]}, {"f": "a" * 40 + "b" * 100_000})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        '"simple string"',
        "[]",
        "{}",
        '{"a": "b"}',
        '{"a": []}',
        '{"a": {}}',
        '{"a": [[1]]}',
        '{"a": [{"prefix": 1}]}',
        '{"a": [{"unknown": "x"}]}',
        '{"a": [{"prefix": "x", "suffix": "y"}]}',
        '{"a": [{"numeric": ["<"]}]}',
        '{"a": [{"numeric": ["~", 1]}]}',
        '{"a": [{"numeric": ["<", "1"]}]}',
        '{"a": [{"exists": "yes"}]}',
        '{"a": [{"anything-but": []}]}',
        '{"a": [{"wildcard": "a**b"}]}',
        '{"a": [{"cidr": "x"}]}',
        '{"$or": [{"a": [1]}]}',
        "[" * 100_000,
        '{"a":' * 3000 + "[1]" + "}" * 3000,
    ],
)
def test_what_is_no_pattern(text: str) -> None:
    with pytest.raises(PatternError):
        compile_pattern(text)
