"""What a target of a rule gets."""

import json
from typing import Any, cast

import pytest
from moto.events.models import Rule
from moto.events.utils import EventMessageType

from lamella.neighbour.services.events import _sending, event_of, input_of, transform
from lamella.neighbour.services.functions import Service

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


FUNCTION = "arn:aws:lambda:us-east-1:111122223333:function:f"
PATTERN = '{"source": ["shop"]}'


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where something was sent to, functions and others."""
    found: list[str] = []
    monkeypatch.setattr(Service, "send", lambda _, arn, event: found.append(arn))
    return found


def fire(sent: list[str], *targets: str, **members: Any) -> None:
    rule = Rule(
        **{
            "name": "looks",
            "account_id": "111122223333",
            "region_name": "us-east-1",
            "description": None,
            "event_pattern": PATTERN,
            "schedule_exp": None,
            "role_arn": None,
            "event_bus_name": "default",
            "state": None,
            "targets": [{"Id": str(number), "Arn": arn} for number, arn in enumerate(targets)],
            **members,
        }
    )

    def original(alone: Rule, event: EventMessageType, transform_input: bool) -> None:
        (target,) = alone.targets
        if "batch" in target["Arn"]:
            raise NotImplementedError
        event["time"] = "changed"
        sent.append(target["Arn"])

    _sending(original)(rule, cast("EventMessageType", EVENT))


def test_each_target_gets_its_event_whatever_another_fails_with(sent: list[str]) -> None:
    fire(sent, "arn:aws:batch:::q", "arn:aws:sqs:::q", FUNCTION, f"{FUNCTION}:live")
    assert sent == ["arn:aws:sqs:::q", FUNCTION, f"{FUNCTION}:live"]
    assert EVENT["time"] == 1_700_000_000.5


@pytest.mark.parametrize(
    "members",
    [
        {"state": "DISABLED"},
        {"event_pattern": '{"source": ["another"]}'},
        # Not every event is one that its schedule had asked for.
        {"event_pattern": None, "schedule_exp": "rate(1 minute)"},
    ],
)
def test_a_rule_that_does_not_look_for_it_sends_nothing(sent: list[str], members: dict[str, Any]) -> None:
    fire(sent, FUNCTION, **members)
    assert sent == []
