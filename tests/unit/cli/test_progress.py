from io import StringIO

import pytest

from lamella.cli.layer.progress import printable, telling


def test_names_of_files_cannot_command_a_terminal() -> None:
    assert printable("a\x1b[2Jb\rc\x9b") == "a\\x1b[2Jb\nc\\x9b"


def test_elsewhere_than_on_a_terminal_it_is_told_in_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    with telling() as progress:
        progress("Resolving")
        progress("Packing [bold]\x1b")
    assert stream.getvalue() == "Resolving\nPacking [bold]\\x1b\n"
