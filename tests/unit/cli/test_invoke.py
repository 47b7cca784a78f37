import io
import sys
from pathlib import Path

import pytest

from lamella.cli.failure import CommandError, Status
from lamella.cli.invoke import read_payload


def test_text_is_the_event_itself() -> None:
    assert read_payload('{"größe": 1}') == '{"größe": 1}'.encode()


def test_a_file_is_taken_byte_for_byte(tmp_path: Path) -> None:
    (tmp_path / "event").write_bytes(b"\xff\x00\r\n")
    assert read_payload(f"@{tmp_path / 'event'}") == b"\xff\x00\r\n"


def test_a_dash_is_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff1")))
    assert read_payload("-") == b"\xff1"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"cannot read the payload from .*/nothing: No such file") as caught:
        read_payload(f"@{tmp_path / 'nothing'}")
    assert caught.value.status is Status.USAGE
