"""What the commands of the fleet refuse before they ask any server."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from lamella.cli.failure import CommandError, Status
from lamella.cli.main import app


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No server, and no state of the user's own."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        ("audit --fail-on old", Status.USAGE, "write stale, deleted"),
        ("audit --fail-on vulnerable", Status.USAGE, "needs --advisories"),
        ("plan shared 8 --drift maybe", Status.USAGE, "write skip, include or refuse"),
        ("plan shared 8 --wave 0", Status.USAGE, "no size of a wave"),
        ("apply shared 8 --wave 200%", Status.USAGE, "no size of a wave"),
        ("plan shared 8", Status.API, "cannot reach http://127.0.0.1:9"),
        ("apply", Status.USAGE, "name a plan"),
        ("apply a b c", Status.USAGE, "name a plan"),
        ("apply plan.json --resume x", Status.USAGE, "name a plan"),
        ("apply plan.json --on-conflict panic", Status.USAGE, "write leave or rollback"),
        ("apply nowhere", Status.USAGE, "name the new version too"),
        ("apply nowhere.json", Status.USAGE, "cannot read nowhere.json"),
        ("apply plan.json --steps 50%,10%", Status.USAGE, "growing percentages"),
        ("apply plan.json --wave 1,100%", Status.USAGE, "--wave: the plan is made already"),
        ("apply --resume x --force", Status.USAGE, "--force: the plan is made already"),
        ("apply --resume nothing", Status.USAGE, "there is no roll-out in"),
        ("apply --resume ../../../etc", Status.USAGE, "there is no roll-out in"),
        ("status nothing", Status.USAGE, "there is no roll-out in"),
        ("rollback nothing --yes", Status.USAGE, "there is no roll-out in"),
    ],
)
def test_what_is_refused(arguments: str, status: Status, text: str) -> None:
    result = CliRunner().invoke(app, ["fleet", *arguments.split()])
    assert isinstance(result.exception, CommandError)
    assert result.exception.status is status
    assert text in str(result.exception)


def test_without_rollouts_there_is_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    result = CliRunner().invoke(app, ["fleet", "status"])
    assert result.exit_code == 0
    assert "There are no roll-outs yet" in result.output
    assert '"rollouts": []' in CliRunner().invoke(app, ["fleet", "status", "--json"]).output


def test_a_directory_that_is_damaged_is_said_and_hides_no_other(tmp_path: Path) -> None:
    damaged = tmp_path / "lamella" / "rollouts" / "20260101-000000-0000"
    damaged.mkdir(parents=True)
    (damaged / "rollout.json").write_text("{")
    result = CliRunner().invoke(app, ["fleet", "status"])
    assert result.exit_code == 0
    assert "is damaged" in result.output
