import io
import json

import pytest

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
