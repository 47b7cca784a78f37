"""One real server for all tests of clients of the in-sandbox APIs, and their layers on it."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.support.clients import archive_of
from tests.support.languages import add_runtime
from tests.support.layers import publish
from tests.support.server import LamellaServer


@pytest.fixture(scope="session")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server may take images from."""
    return tmp_path_factory.mktemp("layouts")


@pytest.fixture(scope="session")
def server(layouts: Path) -> Iterator[LamellaServer]:
    """A server whose functions are ready at once: the states in between are tested elsewhere."""
    with LamellaServer(state_delay_s="0", image_paths=str(layouts)) as running:
        yield running


@pytest.fixture(scope="session")
def client(server: LamellaServer) -> Any:  # Any: botocore makes its clients at run time
    """AWS's SDK for that server."""
    return server.boto3()


@pytest.fixture(scope="session")
def layer(client: Any) -> Callable[[str, str], str]:
    """Publishes an archive of a client as a layer version, once; returns its ARN."""

    @cache
    def published(of: str, name: str) -> str:
        return publish(client, archive_of(of, name))

    return published


@pytest.fixture(scope="session")
def installed(server: LamellaServer, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Adds a runtime of Node.js or Java to the server, once; returns its name."""

    @cache
    def add(name: str) -> str:
        add_runtime(server, name, tmp_path_factory.mktemp("interpreter"))
        return name

    return add
