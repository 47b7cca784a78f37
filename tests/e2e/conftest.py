"""One real server for all tests of this directory."""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.server import LamellaServer


@pytest.fixture(scope="session")
def server() -> Iterator[LamellaServer]:
    """The installed `lamella serve`; at the end of the session it must stop cleanly and leave nothing behind.

    Its functions are ready at once: the states in between are tested elsewhere.
    """
    with LamellaServer(state_delay_s="0") as running:
        yield running


@pytest.fixture(scope="session")
def client(server: LamellaServer) -> Any:  # Any: botocore makes its clients at run time
    """AWS's SDK for that server."""
    return server.boto3()
