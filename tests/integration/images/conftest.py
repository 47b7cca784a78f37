"""What tests of images share."""

from collections.abc import Iterator

import pytest
from tests.support.registry import Registry


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """One for the session; tests have repositories of their own."""
    with Registry(tmp_path_factory.mktemp("registry")) as running:
        yield running
