import io
import json

import pytest

from lamella.cli.layer.look import bar_width
from lamella.cli.output import write_json, write_table, write_untrusted


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_function_cannot_command_the_terminal() -> None:
    terminal = Terminal()
    write_untrusted("a\x1b]0;title\x07b\x9b2Jc\td\r\ne\rf\n", terminal)
    assert terminal.getvalue() == "a\\x1b]0;title\\x07b\\x9b2Jc\td\ne\nf\n"


def test_a_pipe_gets_what_was_written() -> None:
    pipe = io.StringIO()
    write_untrusted("a\x1b[31mb\r\n", pipe)
    assert pipe.getvalue() == "a\x1b[31mb\r\n"


def test_json_is_readable_and_unchanged(capsys: pytest.CaptureFixture[str]) -> None:
    write_json({"name": "größe", "list": [1, None]})
    out = capsys.readouterr().out
    assert json.loads(out) == {"name": "größe", "list": [1, None]}
    assert "größe" in out


def test_a_cell_is_never_markup_and_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    write_table(("name", "value"), [("[bold]x[/bold]", "y" * 300)])
    out = capsys.readouterr().out
    assert "[bold]x[/bold]" in out
    assert "y" * 300 in out


def test_a_narrow_terminal_breaks_names_and_cuts_none(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("COLUMNS", "40")
    write_table(("arn", "published"), [("arn:aws:lambda:us-east-1:017000801446:layer:Powertools:7", "2026-11-26")])
    shown = terminal.getvalue()
    assert "…" not in shown
    assert "wertools:7" in shown


def test_bars_are_as_long_as_there_is_room() -> None:
    assert [bar_width(left) for left in (0, 22, 30, 42, 150)] == [4, 4, 12, 24, 24]
