"""Mappings of stacks that are cancelled while their mappings begin."""

import threading
from typing import Any

import boto3
import pytest
from tests.unit.neighbour.stacks.fakes import ACCOUNT, REGION

from lamella.neighbour.stacks.errors import ResourceError
from lamella.neighbour.stacks.events import EventSourceMapping
from lamella.neighbour.stacks.kinds import Made, Task


class Lambda:
    """Makes mappings that are ready when they are looked at again, and cannot be deleted before."""

    def __init__(self) -> None:
        client = boto3.client("lambda", REGION, aws_access_key_id="x", aws_secret_access_key="x")
        self.meta = client.meta
        self.mappings = set[str]()
        self._state = iter(("Creating", "Creating", "Enabled"))
        self._last = ""

    def create_event_source_mapping(self, **_: object) -> dict[str, str]:
        self.mappings.add("u")
        return {"UUID": "u", "EventSourceMappingArn": "arn:u"}

    def get_event_source_mapping(self, **_: object) -> dict[str, str]:
        self._last = next(self._state)
        return {"State": self._last}

    def delete_event_source_mapping(self, UUID: str) -> None:  # noqa: N803  # botocore's names
        assert self._last == "Enabled"
        self.mappings.remove(UUID)


PROPERTIES: dict[str, Any] = {"FunctionName": "f", "EventSourceArn": "arn:aws:sqs:eu-west-1:111122223333:q"}


def cancelled(client: Lambda) -> Task:
    """A task of a stack that is to end."""
    stop = threading.Event()
    stop.set()
    return Task(
        account=ACCOUNT,
        region=REGION,
        stack_id="id",
        stack_name="s",
        logical_id="M",
        kind="AWS::Lambda::EventSourceMapping",
        name="s-M",
        clients=lambda service, account, region: client,
        base_url="",
        tags={},
        token="",
        stop=stop,
        is_stack=lambda identity: False,
    )


def test_what_is_cancelled_leaves_no_mapping() -> None:
    client = Lambda()
    with pytest.raises(ResourceError, match="cancelled"):
        EventSourceMapping().create(cancelled(client), PROPERTIES)
    assert client.mappings == set()


def test_what_has_just_begun_is_removed_a_moment_later() -> None:
    client = Lambda()
    client.create_event_source_mapping()
    EventSourceMapping().delete(cancelled(client), Made("u"), PROPERTIES)
    assert client.mappings == set()
