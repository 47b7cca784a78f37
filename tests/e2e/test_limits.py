"""Relaxed limits hold in real sandboxes, too."""

import json

import pytest
from tests.support.functions import archive, bash
from tests.support.server import LamellaServer

from lamella.domain.quotas import LAYERS

pytestmark = pytest.mark.sandbox

COUNT = 'while true; do next; respond "$(ls /opt | wc -l)$(printf %s "$LARGE" | wc -c)" >/dev/null; done\n'


def test_as_many_layers_and_variables_as_the_relaxed_limits_allow() -> None:
    """The directories of all layers are one option of one mount, whose length the kernel bounds."""
    assert LAYERS.relaxed is not None
    with LamellaServer(limits="relaxed", state_delay_s="0") as server:
        client = server.boto3()
        arns = [
            client.publish_layer_version(
                LayerName=f"layer-{number}", Content={"ZipFile": archive({f"file-{number}": str(number)})}
            )["LayerVersionArn"]
            for number in range(LAYERS.relaxed)
        ]
        function = bash(client, COUNT, Layers=arns, Timeout=5_400, Environment={"Variables": {"LARGE": "x" * 65_000}})
        assert json.loads(function.invoke().payload) == int(f"{LAYERS.relaxed}65000")
        assert "function timeout: 5400 s, where AWS allows 900 s" in server.log
        client.delete_function(FunctionName=function.name)
