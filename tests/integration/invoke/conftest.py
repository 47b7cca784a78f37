"""One real server for all tests of the data plane."""

import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.server import LamellaServer


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server reads container images."""
    return tmp_path_factory.mktemp("images")


@pytest.fixture(scope="session")
def server(image_folder: Path) -> Iterator[LamellaServer]:
    """A server whose functions are ready at once: the states in between are tested elsewhere."""
    with LamellaServer(state_delay_s="0", image_paths=str(image_folder)) as running:
        yield running


@pytest.fixture(scope="session")
def client(server: LamellaServer) -> Any:  # Any: botocore makes its clients at run time
    """AWS's SDK for that server."""
    return server.boto3()


@pytest.fixture
def logs(server: LamellaServer) -> Callable[..., list[str]]:
    """Reads a function's log, and waits for a line that begins with a word; returns that line, or all up to it."""

    def read(name: str, *, until: str, whole: bool = False) -> list[str]:
        found = []
        with urllib.request.urlopen(f"{server.url}/_lamella/logs/{name}?follow=1", timeout=30) as lines:
            for line in lines:
                found.append(json.loads(line)["message"])
                if found[-1].startswith(until):
                    return found if whole else found[-1:]
        raise AssertionError(found)

    return read
