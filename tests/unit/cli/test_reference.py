import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lamella.cli import reference
from lamella.cli.failure import MEANINGS, Status
from lamella.cli.main import app
from lamella.config.settings import SETTINGS

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", reference.pages())
def test_the_pages_are_as_they_would_be_written(name: str) -> None:
    committed = (ROOT / "docs/reference" / name).read_text(encoding="utf-8")
    assert committed == reference.pages()[name], "run `make reference`"


def test_each_setting_is_documented_with_all_its_names() -> None:
    page = reference.settings_page()
    for setting in SETTINGS.values():
        assert f"| `{setting.name}` | `{setting.variable}` | `{setting.flag}`" in page
        assert setting.meaning in page


def commands(path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Found by asking for help, as a user does, and not by the walk that writes the page."""
    text = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "200", "TERM": "dumb"}).stdout
    yield path
    for name in re.findall(r"^│ ([a-z]+) ", text.partition("─ Commands ")[2], re.MULTILINE):
        yield from commands((*path, name))


def test_each_command_is_documented() -> None:
    found = list(commands())
    assert len(found) > 8
    page = reference.cli_page()
    for path in found:
        assert f"\n## `{' '.join(('lamella', *path))}`\n" in page


def test_each_exit_status_is_documented() -> None:
    assert set(MEANINGS) == set(Status)
    for status, meaning in MEANINGS.items():
        assert f"| {status.value} | {meaning} |" in reference.cli_page()


def test_check_names_the_stale_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert reference.main(["--check"]) == 1
    assert reference.main([]) == 0
    assert reference.main(["--check"]) == 0
    Path("docs/reference/cli.md").write_text("old", encoding="utf-8")
    capsys.readouterr()
    assert reference.main(["--check"]) == 1
    assert "docs/reference/cli.md is not as" in capsys.readouterr().err
