"""What functions reach, as the settings and their tags say; in a world made by the test."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.support.functions import ROLE, archive
from tests.support.server import LamellaServer
from tests.support.world import METADATA, NAME_SERVER, SITE, World, world

pytestmark = pytest.mark.sandbox

_CODE = f"""
import os, socket, urllib.request

def reaches(address, port):
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex((address, port)) == 0

def handler(event, context):
    with urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL"] + "/2015-03-31/functions") as answer:
        functions = answer.status
    return {{
        "site": reaches("{SITE}", 80),
        "metadata": reaches("{METADATA}", 80),
        "server": reaches("127.0.0.1", event["port"]),
        "api": os.environ["AWS_LAMBDA_RUNTIME_API"],
        "functions": functions,
        "resolver": open("/etc/resolv.conf").read(),
    }}
"""


@pytest.fixture(scope="module")
def around() -> Iterator[World]:
    with world() as made, made.listen(SITE, 80), made.listen(METADATA, 80):
        yield made


class Function:
    """One on a server of its own."""

    def __init__(self, server: LamellaServer, **members: Any) -> None:
        self._server = server
        self.client = server.boto3()
        self.arn = self.client.create_function(
            FunctionName="f",
            Runtime=f"python3.{sys.version_info.minor}",
            Handler="index.handler",
            Role=ROLE,
            MemorySize=1024,
            Timeout=30,
            Code={"ZipFile": archive({"index.py": _CODE})},
            **members,
        )["FunctionArn"]
        self.client.get_waiter("function_active_v2").wait(FunctionName="f", WaiterConfig={"Delay": 1})

    def tag(self, network: str) -> None:
        self.client.tag_resource(Resource=self.arn, Tags={"lamella:network": network})

    def reached(self) -> dict[str, Any]:
        event = json.dumps({"port": int(self._server.url.rpartition(":")[2])})
        answer = self.client.invoke(FunctionName="f", Payload=event)
        found = json.load(answer["Payload"])
        assert "FunctionError" not in answer, found
        return dict(found)


NOTHING = {
    "site": False,
    "metadata": False,
    "server": False,
    "api": "169.254.100.1:9001",
    "functions": 200,
    "resolver": "",
}
THE_WORLD = {**NOTHING, "site": True, "resolver": f"nameserver {NAME_SERVER}\n"}


def test_the_world_is_reached_until_the_tag_says_otherwise(around: World) -> None:
    with LamellaServer(network="nat", network_dns=NAME_SERVER) as server:
        function = Function(server)
        assert function.reached() == THE_WORLD
        function.tag("none")
        assert function.reached() == NOTHING
        with pytest.raises(ClientError, match="asks for 'host', which this server does not allow"):
            function.tag("host")
        server.restart()
        function.client = server.boto3()
        assert function.reached() == NOTHING
        function.client.untag_resource(Resource=function.arn, TagKeys=["lamella:network"])
        assert function.reached() == THE_WORLD


def test_the_hosts_network_is_given_where_it_is_allowed(around: World) -> None:
    with LamellaServer(network="none", network_limit="host", network_dns=NAME_SERVER) as server:
        function = Function(server, Tags={"lamella:network": "host"})
        reached = function.reached()
        assert reached.pop("api").startswith("127.100.")
        assert reached.pop("resolver") == Path("/etc/resolv.conf").read_text()
        assert reached == {"site": True, "metadata": True, "server": True, "functions": 200}
        function.tag("nat")
        assert function.reached() == THE_WORLD
        function.tag("none")
        assert function.reached() == NOTHING
