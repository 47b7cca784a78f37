import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(autouse=True, scope="session")
def _packages_are_kept_for_offline_runs() -> None:
    os.environ.setdefault("UV_CACHE_DIR", str(REPOSITORY / ".cache" / "uv"))
