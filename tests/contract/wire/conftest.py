from collections.abc import Iterator
from typing import Any

import pytest
from tests.contract.wire.control_server import ControlServer


@pytest.fixture
def server() -> Iterator[ControlServer]:
    server = ControlServer()
    yield server
    server.close()


@pytest.fixture
def client(server: ControlServer) -> Any:  # Any: boto3's clients have no types
    return server.client()
