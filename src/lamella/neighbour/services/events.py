"""Functions that are targets of EventBridge's rules; moto itself sends to logs, queues and buses alone.

Source: EventBridge user guide, "Events and their structure", "Input transformation"; inputs that AWS sent, recorded in
LocalStack's `test_events_inputs.snapshot.json`.
"""

import copy
import json
import re
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from jsonpath_ng.ext.parser import parse as parse_path
from moto.events import notifications
from moto.events.models import Rule
from moto.events.utils import EventMessageType

from lamella.neighbour.services.functions import Service
from lamella.neighbour.services.hops import hop
from lamella.neighbour.services.patching import replace

_PRINCIPAL: Final = "events.amazonaws.com"
_MEMBERS: Final = ("version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail")
_VARIABLE: Final = re.compile(r"<([A-Za-z0-9_.\-]+)>")

Event = Mapping[str, Any]  # Any: JSON


def event_of(event: Event) -> dict[str, Any]:
    """An event as targets see it, in AWS's order; moto keeps the time as a number."""
    shown = {name: event[name] for name in _MEMBERS if name in event}
    if isinstance(shown["time"], (int, float)):
        shown["time"] = _iso(shown["time"])
    if event.get("replay-name"):
        shown["replay-name"] = event["replay-name"]
    return shown


def input_of(target: Mapping[str, Any], event: Event, rule_arn: str) -> str:
    """The text that a target gets: the event, or what it is configured to get of it."""
    shown = event_of(event)
    if (constant := target.get("Input")) is not None:
        return str(constant)
    if path := target.get("InputPath"):
        return json.dumps(_at(path, shown))
    if transformer := target.get("InputTransformer"):
        found = {name: _at(path, shown) for name, path in (transformer.get("InputPathsMap") or {}).items()}
        reserved = {
            "aws.events.rule-arn": rule_arn,
            "aws.events.rule-name": rule_arn.rpartition("/")[2],
            "aws.events.event": {name: value for name, value in shown.items() if name != "detail"},
            "aws.events.event.json": shown,
            "aws.events.event.ingestion-time": _iso(event.get("ingestion-time", 0)),
        }
        return transform(transformer["InputTemplate"], {**found, **reserved})
    return json.dumps(shown)


def transform(template: str, values: Mapping[str, Any]) -> str:
    """Fill in a template. Within quotes a value is text, elsewhere JSON; a name that there is no value for is empty."""
    filled, position, quoted = "", 0, False
    for found in _VARIABLE.finditer(template):
        before = template[position : found.start()]
        quoted ^= _quotes(before) % 2 == 1
        filled += before + _filled(values.get(found[1]), quoted=quoted)
        position = found.end()
    filled += template[position:]
    try:
        json.loads(filled)
    except ValueError:
        return json.dumps(filled)  # several lines of text, say: a function takes nothing but JSON
    return filled


def _quotes(text: str) -> int:
    return len(re.findall(r'(?<!\\)(?:\\\\)*"', text))


def _filled(value: object, *, quoted: bool) -> str:
    if not quoted:
        return json.dumps(value)
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value)
    return json.dumps(text)[1:-1]


def _at(path: str, event: Event) -> Any:
    found = parse_path(path).find(event)
    return found[0].value if found else None


def _iso(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _sending(send: Callable[..., None]) -> Callable[..., None]:
    def send_to_targets(rule: Rule, original_event: EventMessageType, transform_input: bool = True) -> None:
        """To each target on its own: what one of them fails with must not keep the others from their event."""
        scheduled = rule.scheduled_expression and not rule.event_pattern.get_pattern()
        if rule.state == "DISABLED" or scheduled or not rule.event_pattern.matches_event(original_event):
            return
        for target in list(rule.targets):
            arn = target["Arn"]
            try:
                if ":lambda:" in arn:
                    service = Service(_PRINCIPAL, rule.arn, rule.account_id, rule.region_name)
                    service.send(arn, input_of(target, original_event, rule.arn))
                else:
                    alone = copy.copy(rule)
                    alone.targets = [target]
                    if ":event-bus/" in arn:
                        # Source: EventBridge user guide, "Sending and receiving events between event buses": an event
                        # is not routed on from the bus that has received it.
                        with hop():
                            send(alone, copy.deepcopy(original_event), transform_input)
                        continue
                    send(alone, copy.deepcopy(original_event), transform_input)
            except Exception as error:  # noqa: BLE001  # as on AWS: who put the event is not told
                print(f"{rule.arn} could not reach its target {arn}: {error!r}", file=sys.stderr)

    return send_to_targets


def _send_to_function(account_id: str, fn_arn: str, event: Any) -> None:
    """Of a bucket's being made; moto does not say which rule asks for it."""
    Service(_PRINCIPAL, "", account_id, fn_arn.split(":")[3]).send(fn_arn, event)


def install() -> None:
    """Let rules invoke functions."""
    replace(Rule, "send_to_targets", _sending)
    replace(notifications, "_invoke_lambda", lambda _: _send_to_function)
