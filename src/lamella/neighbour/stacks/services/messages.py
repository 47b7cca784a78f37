"""Queues of SQS, topics of SNS, with their policies and subscriptions."""

import json
from typing import Final

from lamella.neighbour.stacks.coercion import arguments, tag_map
from lamella.neighbour.stacks.intrinsics import text
from lamella.neighbour.stacks.kinds import Made, Properties, Task
from lamella.neighbour.stacks.template import Json

_QUEUE_DEFAULTS: Final = {
    "DelaySeconds": "0",
    "KmsMasterKeyId": "",
    "MaximumMessageSize": "262144",
    "MessageRetentionPeriod": "345600",
    "ReceiveMessageWaitTimeSeconds": "0",
    "RedriveAllowPolicy": "",
    "RedrivePolicy": "",
    "VisibilityTimeout": "30",
}
"""What a property that a template has no more goes back to. Source: API reference, `SetQueueAttributes`."""
_TOPIC_ATTRIBUTES: Final = ("DisplayName", "KmsMasterKeyId", "ContentBasedDeduplication", "DeliveryPolicy")
_SUBSCRIPTION_ATTRIBUTES: Final = (
    "DeliveryPolicy",
    "FilterPolicy",
    "FilterPolicyScope",
    "RawMessageDelivery",
    "RedrivePolicy",
    "SubscriptionRoleArn",
)


class Queue:
    """A queue; `Ref` is its URL at this server."""

    def create(self, task: Task, properties: Properties) -> Made:
        """Make it."""
        client, name = task.client("sqs"), str(properties.get("QueueName", task.name))
        attributes = {key: text(value) for key, value in properties.items() if key not in ("QueueName", "Tags")}
        tags = tag_map(properties.get("Tags"))
        client.create_queue(QueueName=name, Attributes=attributes, **({"tags": tags} if tags else {}))
        url = f"{task.base_url}/{task.account}/{name}"
        arn = f"arn:aws:sqs:{task.region}:{task.account}:{name}"
        return Made(url, {"Arn": arn, "QueueName": name, "QueueUrl": url})

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """Set what differs."""
        client = task.client("sqs")
        changed = {}
        for key in {*old, *new} - {"QueueName", "Tags"}:
            if old.get(key) != new.get(key):
                changed[key] = text(new.get(key, _QUEUE_DEFAULTS.get(key, "")))
        if changed:
            client.set_queue_attributes(QueueUrl=made.physical_id, Attributes=changed)
        before, after = tag_map(old.get("Tags")), tag_map(new.get("Tags"))
        if gone := [key for key in before if key not in after]:
            client.untag_queue(QueueUrl=made.physical_id, TagKeys=gone)
        if after and after != before:
            client.tag_queue(QueueUrl=made.physical_id, Tags=after)
        return made

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """With its messages."""
        task.client("sqs").delete_queue(QueueUrl=made.physical_id)


class QueuePolicy:
    """One policy for several queues."""

    def create(self, task: Task, properties: Properties) -> Made:
        """Put it."""
        self._put(task, properties["Queues"], json.dumps(properties["PolicyDocument"]))
        return Made(task.name, {"Id": task.name})

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """Put another one in its place."""
        self._put(task, [url for url in old["Queues"] if url not in new["Queues"]], "")
        self._put(task, new["Queues"], json.dumps(new["PolicyDocument"]))
        return made

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """Take it away."""
        self._put(task, properties["Queues"], "")

    def _put(self, task: Task, queues: Json, policy: str) -> None:
        for url in queues:
            task.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})


class Topic:
    """A topic, with the subscriptions that stand in it."""

    def create(self, task: Task, properties: Properties) -> Made:
        """Make it."""
        client, name = task.client("sns"), str(properties.get("TopicName", task.name))
        attributes = {key: text(properties[key]) for key in (*_TOPIC_ATTRIBUTES, "FifoTopic") if key in properties}
        tags = [*properties.get("Tags", [])]
        arn = client.create_topic(Name=name, Attributes=attributes, Tags=tags)["TopicArn"]
        self._subscribe(task, arn, properties.get("Subscription", []))
        return Made(arn, {"TopicArn": arn, "TopicName": name})

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """Set what differs."""
        client = task.client("sns")
        for key in _TOPIC_ATTRIBUTES:
            if old.get(key) != new.get(key):
                client.set_topic_attributes(
                    TopicArn=made.physical_id, AttributeName=key, AttributeValue=text(new.get(key, ""))
                )
        if old.get("Subscription") != new.get("Subscription"):
            gone = [one for one in old.get("Subscription", []) if one not in new.get("Subscription", [])]
            for found in client.list_subscriptions_by_topic(TopicArn=made.physical_id)["Subscriptions"]:
                if {"Endpoint": found["Endpoint"], "Protocol": found["Protocol"]} in gone:
                    client.unsubscribe(SubscriptionArn=found["SubscriptionArn"])
            added = [one for one in new.get("Subscription", []) if one not in old.get("Subscription", [])]
            self._subscribe(task, made.physical_id, added)
        return made

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """With its subscriptions."""
        task.client("sns").delete_topic(TopicArn=made.physical_id)

    def _subscribe(self, task: Task, arn: str, subscriptions: Json) -> None:
        for one in subscriptions:
            task.client("sns").subscribe(TopicArn=arn, Protocol=one["Protocol"], Endpoint=one["Endpoint"])


class Subscription:
    """A subscription of its own."""

    def create(self, task: Task, properties: Properties) -> Made:
        """Subscribe."""
        client = task.client("sns")
        attributes = {key: text(properties[key]) for key in _SUBSCRIPTION_ATTRIBUTES if key in properties}
        made = client.subscribe(
            **arguments(
                client,
                "Subscribe",
                {key: properties[key] for key in ("TopicArn", "Protocol", "Endpoint") if key in properties},
            ),
            Attributes=attributes,
            ReturnSubscriptionArn=True,
        )
        arn = made["SubscriptionArn"]
        return Made(arn, {"Arn": arn})

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """Set what differs."""
        for key in _SUBSCRIPTION_ATTRIBUTES:
            if old.get(key) != new.get(key):
                task.client("sns").set_subscription_attributes(
                    SubscriptionArn=made.physical_id, AttributeName=key, AttributeValue=text(new.get(key, ""))
                )
        return made

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """Unsubscribe."""
        task.client("sns").unsubscribe(SubscriptionArn=made.physical_id)


class TopicPolicy:
    """One policy for several topics; topics have one whatever happens, so it stays when this goes."""

    def create(self, task: Task, properties: Properties) -> Made:
        """Put it."""
        for arn in properties["Topics"]:
            task.client("sns").set_topic_attributes(
                TopicArn=arn, AttributeName="Policy", AttributeValue=json.dumps(properties["PolicyDocument"])
            )
        return Made(task.name, {"Id": task.name})

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        """Put another one in its place."""
        self.create(task, new)
        return made

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """Nothing: a topic without a policy is none."""
