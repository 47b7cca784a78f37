"""A queue or stream, a function, and the mapping between them, on a real server."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.support.functions import Function
from tests.support.server import LamellaServer


class Mapping:
    """An event source mapping of a test.

    Attributes:
        function: Prints each event as `event:` and JSON.
        id: Its UUID.
    """

    def __init__(self, server: LamellaServer, client: Any, source_arn: str, function: Function, **options: Any) -> None:
        """Create it, and wait until it is enabled."""
        self.server, self.client, self.function = server, client, function
        self.id: str = client.create_event_source_mapping(
            EventSourceArn=source_arn, FunctionName=function.name, **options
        )["UUID"]
        self.wait_state("Enabled")

    def shown(self) -> Any:
        return self.client.get_event_source_mapping(UUID=self.id)

    def wait_state(self, state: str) -> None:
        self.wait(lambda: self.shown()["State"] == state)

    def wait(self, condition: Callable[[], object], within_s: float = 60) -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline, self.server.log[-3000:]
            time.sleep(0.05)  # what the API shows has no event to wait for

    def events(self) -> Iterator[dict[str, Any]]:
        """Each as the function prints it."""
        for line in self.server.follow(self.function.name):
            if line.startswith("event:"):
                yield json.loads(line.removeprefix("event:"))
