"""What `make demo` runs, as a stranger would see it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.server import ROOT, share_runtimes


@pytest.mark.sandbox
@pytest.mark.network
def test_the_demo_shows_every_example_and_ends_well(tmp_path: Path) -> None:
    # The packs that other tests use, so that this one takes seconds.
    (tmp_path / "data").mkdir()
    share_runtimes(tmp_path / "data" / "runtimes")
    result = subprocess.run(
        [sys.executable, ROOT / "examples" / "demo.py", "--home", tmp_path],
        env={name: value for name, value in os.environ.items() if name != "COLUMNS"} | {"TERM": "dumb"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "\x1b" not in result.stdout
    for answer in (
        '"shape": [300, 451, 3], "mean_colour": "#946f57"',
        '{"greeting": "Hello, Ada!"}',
        '{"words": 6, "different": 4}',
        '"user": "sbx_user1051"',
        '{"sorted": [1, 2, 3], "sum": 6',
        '{"total": 3.5',
        ": item 2 costs 2\n",
    ):
        assert answer in result.stdout
    # Cold ones: photo-facts twice (two versions), and each of the six others.
    assert len(re.findall(r"Init Duration: [0-9.]+ ms", result.stdout)) == 8
    assert (tmp_path / "thumbnail.jpg").read_bytes().startswith(b"\xff\xd8\xff")
    assert result.stdout.splitlines()[-1].startswith("Everything answered as expected; the server has stopped.")
