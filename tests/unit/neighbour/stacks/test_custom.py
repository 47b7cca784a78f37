"""Custom resources whose function says nothing."""

import json
import threading
from typing import Any

import pytest
from tests.unit.neighbour.stacks.fakes import ACCOUNT, REGION

from lamella.neighbour.stacks.custom import Answers, CustomResource
from lamella.neighbour.stacks.errors import ResourceError
from lamella.neighbour.stacks.kinds import Task


class Silent:
    """A function that keeps its events and answers nothing."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def invoke(self, FunctionName: str, InvocationType: str, Payload: bytes) -> None:  # noqa: N803  # botocore's names
        self.events.append(json.loads(Payload))


def test_the_reason_names_the_request_that_the_function_was_told_of() -> None:
    function = Silent()
    task = Task(
        account=ACCOUNT,
        region=REGION,
        stack_id="id",
        stack_name="s",
        logical_id="C",
        kind="Custom::Thing",
        name="s-C",
        clients=lambda service, account, region: function,
        base_url="",
        tags={},
        token="",
        stop=threading.Event(),
        is_stack=lambda identity: False,
    )
    with pytest.raises(ResourceError, match="did not receive a response from your Custom Resource") as refusal:
        CustomResource(Answers()).create(task, {"ServiceToken": "arn:aws:lambda:…", "ServiceTimeout": "0"})
    assert f"requestId [{function.events[0]['RequestId']}]" in str(refusal.value)
