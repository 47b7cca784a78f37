"""Keeps accounts apart where moto follows an ARN into another one and asks nobody: topics, queues, buses, log groups.

On AWS the policy of the topic or bus would decide, and by default lets nobody in. moto looks at none, whoever asks: a
client, a function, or a stack.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from moto.events.exceptions import ValidationException
from moto.events.models import EventsBackend
from moto.logs.exceptions import InvalidParameterException
from moto.logs.models import LogsBackend
from moto.sns.exceptions import SNSInvalidParameter, TopicNotFound
from moto.sns.models import SNSBackend, Subscription, Topic

from lamella.neighbour.services.patching import replace

_SERVICE, _ACCOUNT = 2, 4
_ELSEWHERE: Final = "is in another account, which is kept apart from this one"


def _is_elsewhere(arn: str, account: str, *services: str) -> bool:
    """Whether an ARN leads to one of the services in another account."""
    parts = arn.split(":")
    return len(parts) > _ACCOUNT and parts[_SERVICE] in services and parts[_ACCOUNT] != account


def _own_topic(get: Callable[[SNSBackend, str], Topic]) -> Callable[[SNSBackend, str], Topic]:
    def get_topic(backend: SNSBackend, arn: str) -> Topic:
        if _is_elsewhere(arn, backend.account_id, "sns"):
            raise TopicNotFound
        return get(backend, arn)

    return get_topic


def _own_queue(subscribe: Callable[..., Subscription]) -> Callable[..., Subscription]:
    def subscribe_to(backend: SNSBackend, topic_arn: str, endpoint: str, protocol: str) -> Subscription:
        if _is_elsewhere(endpoint, backend.account_id, "sqs"):
            raise SNSInvalidParameter(f"Invalid parameter: Endpoint {endpoint} {_ELSEWHERE}")
        return subscribe(backend, topic_arn, endpoint, protocol)

    return subscribe_to


def _own_bus(put: Callable[..., None]) -> Callable[..., None]:
    def put_targets(
        backend: EventsBackend, name: str, event_bus_arn: str | None, targets: Sequence[dict[str, Any]]
    ) -> None:
        for target in targets:
            if _is_elsewhere(str(target["Arn"]), backend.account_id, "events"):
                raise ValidationException(f"The target {target['Arn']} {_ELSEWHERE}")
        put(backend, name=name, event_bus_arn=event_bus_arn, targets=targets)

    return put_targets


def _own_group(put: Callable[..., None]) -> Callable[..., None]:
    def put_subscription_filter(backend: LogsBackend, *arguments: Any, **named: Any) -> None:
        for value in (*arguments, *named.values()):
            if _is_elsewhere(str(value), backend.account_id, "logs"):
                raise InvalidParameterException(f"The destination {value} {_ELSEWHERE}")
        put(backend, *arguments, **named)

    return put_subscription_filter


def install() -> None:
    """Let nothing lead from one account into another."""
    replace(SNSBackend, "get_topic", _own_topic)
    replace(SNSBackend, "subscribe", _own_queue)
    replace(EventsBackend, "put_targets", _own_bus)
    replace(LogsBackend, "put_subscription_filter", _own_group)
