"""What a target of a rule gets."""

import json
from typing import Any

import pytest

from lamella.neighbour.services.events import event_of, input_of, transform

RULE = "arn:aws:events:us-east-1:111122223333:rule/bus/looks"
# As moto keeps it: the time is a number, and it has members of moto's own.
EVENT: dict[str, Any] = {
    "version": "0",
    "id": "1",
    "detail-type": "made",
    "source": "shop",
    "account": "111122223333",
    "time": 1_700_000_000.5,
    "region": "us-east-1",
    "resources": ["arn:a"],
    "detail": {"n": 1, "text": 'say "hi"', "list": [1, "a"]},
    "ingestion-time": 1_700_000_001,
    "replay-name": "",
}
SHOWN = {name: EVENT[name] for name in EVENT if name not in ("ingestion-time", "replay-name")}
SHOWN["time"] = "2023-11-14T22:13:20Z"


def test_an_event_has_the_members_that_aws_sends_in_its_order() -> None:
    assert list(event_of(EVENT).items()) == list(SHOWN.items())
    assert event_of({**EVENT, "replay-name": "again"})["replay-name"] == "again"
    assert event_of({**EVENT, "time": "2026-01-01T00:00:00Z"})["time"] == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("target", "given"),
    [
        ({}, SHOWN),
        ({"Input": '{"a": 1}'}, {"a": 1}),
        ({"InputPath": "$.detail"}, EVENT["detail"]),
        ({"InputPath": "$.detail.n"}, 1),
        ({"InputPath": "$.detail-type"}, "made"),
        ({"InputPath": "$.none"}, None),
        (
            {"InputTransformer": {"InputPathsMap": {"n": "$.detail.n"}, "InputTemplate": '{"n": <n>, "in": "n=<n>"}'}},
            {"n": 1, "in": "n=1"},
        ),
        (
            {"InputTransformer": {"InputTemplate": '{"r": <aws.events.rule-name>, "e": <aws.events.event.json>}'}},
            {"r": "looks", "e": SHOWN},
        ),
    ],
)
def test_a_target_gets_what_it_is_configured_to_get(target: dict[str, Any], given: object) -> None:
    assert json.loads(input_of(target, EVENT, RULE)) == given


@pytest.mark.parametrize(
    ("template", "given"),
    [
        ('"<a> of <b>"', 'x of [1, "y"]'),
        ('{"a": <a>, "b": <b>}', {"a": "x", "b": [1, "y"]}),
        ('{"quoted": "\\"<a>\\"", "after": <a>}', {"quoted": '"x"', "after": "x"}),
        ('"nothing: <none>."', "nothing: ."),  # as AWS was seen to do
        ('{"nothing": <none>}', {"nothing": None}),
        ("two lines\nof <a>", 'two lines\nof "x"'),
        ('"<hostile>"', 'x", "y": "'),
    ],
)
def test_a_template_is_filled_in(template: str, given: object) -> None:
    values = {"a": "x", "b": [1, "y"], "hostile": 'x", "y": "'}
    assert json.loads(transform(template, values)) == given
