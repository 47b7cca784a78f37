"""Functions that are subscribed to topics.

Source of the shape: Lambda developer guide, "Invoking Lambda functions with Amazon SNS notifications"; an event that
AWS sent, quoted in public (a destination's record of 2021), for the order and spelling of members.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from moto.sns.models import Subscription

from lamella.neighbour.services.functions import Service
from lamella.neighbour.services.patching import replace

_SIGNATURE: Final = "EXAMPLE"
"""As in AWS's own test events. Nobody could check a signature: its certificate would be on the network."""


def sns_event(
    subscription: Subscription,
    message: str,
    message_id: str,
    subject: str | None,
    attributes: dict[str, Any] | None,  # Any: JSON
) -> dict[str, Any]:
    """What a function is told of a message; always one."""
    region = subscription.topic_arn.split(":")[3]
    now = datetime.now(UTC)
    return {
        "Records": [
            {
                "EventSource": "aws:sns",
                "EventVersion": "1.0",
                "EventSubscriptionArn": subscription.arn,
                "Sns": {
                    "Type": "Notification",
                    "MessageId": message_id,
                    "TopicArn": subscription.topic_arn,
                    "Subject": subject or None,
                    "Message": message,
                    "Timestamp": f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03}Z",
                    "SignatureVersion": "1",
                    "Signature": _SIGNATURE,
                    "SigningCertUrl": f"https://sns.{region}.amazonaws.com/SimpleNotificationService-{'0' * 32}.pem",
                    "UnsubscribeUrl": f"https://sns.{region}.amazonaws.com/?Action=Unsubscribe"
                    f"&SubscriptionArn={subscription.arn}",
                    "MessageAttributes": {
                        name: {"Type": value["Type"], "Value": str(value["Value"])}
                        for name, value in (attributes or {}).items()
                    },
                },
            }
        ]
    }


def _publishing(publish: Callable[..., None]) -> Callable[..., None]:
    def publish_to(
        subscription: Subscription,
        message: str,
        message_id: str,
        subject: str | None = None,
        message_attributes: dict[str, Any] | None = None,
        message_structure: str | None = None,
        **more: Any,
    ) -> None:
        if subscription.protocol != "lambda":
            publish(
                subscription,
                message,
                message_id,
                subject=subject,
                message_attributes=message_attributes,
                message_structure=message_structure,
                **more,
            )
            return
        matcher = subscription._filter_policy_matcher
        if matcher is not None and not matcher.matches(message_attributes, message):
            return
        if message_structure == "json":
            message = subscription._parse_message_structure(message, "lambda")
        event = sns_event(subscription, message, message_id, subject, message_attributes)
        account, region = subscription.topic.account_id, subscription.topic_arn.split(":")[3]
        Service("sns.amazonaws.com", subscription.topic_arn, account, region).send(subscription.endpoint, event)

    return publish_to


def install() -> None:
    """Let topics invoke functions."""
    replace(Subscription, "publish", _publishing)
