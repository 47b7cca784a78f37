"""Weights of aliases: a list in templates, a map in the API."""

from typing import Any

import botocore.session
from tests.unit.neighbour.stacks.fakes import ACCOUNT, REGION

from lamella.neighbour.stacks.kinds import Made, Task
from lamella.neighbour.stacks.versions import Alias


class Client:
    """Notes what it is asked."""

    def __init__(self) -> None:
        session = botocore.session.Session()
        self.meta = session.create_client("lambda", REGION, aws_access_key_id="x", aws_secret_access_key="x").meta
        self.asked: dict[str, Any] = {}

    def update_alias(self, **parameters: Any) -> None:
        self.asked = parameters


def test_weights() -> None:
    client = Client()
    task = Task(ACCOUNT, REGION, "id", "s", "A", "AWS::Lambda::Alias", "s-A-1", lambda *_: client)
    alias = {"FunctionName": "f", "Name": "live", "FunctionVersion": "2"}
    weights = [{"FunctionVersion": "1", "FunctionWeight": "0.25"}]
    weighted = {**alias, "RoutingConfig": {"AdditionalVersionWeights": weights}}
    Alias().update(task, Made("arn"), alias, weighted)
    assert client.asked["RoutingConfig"] == {"AdditionalVersionWeights": {"1": 0.25}}
    Alias().update(task, Made("arn"), weighted, alias)
    assert client.asked["RoutingConfig"] == {"AdditionalVersionWeights": {}}
