from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from lamella.cli.failure import CommandError, Status
from lamella.cli.options import Architecture, confirm, with_settings
from lamella.config.settings import SETTINGS, Settings, SettingsError

RUNNER = CliRunner()


def run(*arguments: str, environ: dict[str, str] | None = None) -> tuple[Settings, bool]:
    taken: list[tuple[Settings, bool]] = []

    def command(settings: Settings, *, loud: Annotated[bool, typer.Option("--loud")] = False) -> None:
        taken.append((settings, loud))

    app = typer.Typer()
    app.command()(with_settings(command, SETTINGS))
    result = RUNNER.invoke(app, arguments, env={"LAMELLA_CONFIG": None, **(environ or {})})
    if result.exception:
        raise result.exception
    return taken[0]


def test_each_setting_has_its_flag() -> None:
    text_of = {"data": "/data", "listen": "127.0.0.1:1", "max_environments": "7"}
    for setting in SETTINGS.values():
        if setting.is_switch:
            on, off = setting.flag, f"--no-{setting.flag.removeprefix('--')}"
            assert getattr(run(on)[0], setting.name) is True
            assert getattr(run(off)[0], setting.name) is False
        else:
            text = text_of.get(setting.name, setting.default)
            value = getattr(run(setting.flag, text)[0], setting.name)
            assert value == setting.kind.check(setting.kind.from_text(text)), setting.name


def test_a_flag_wins_over_a_variable() -> None:
    settings, _ = run("--region", "eu-west-1", environ={"LAMELLA_REGION": "eu-west-2", "LAMELLA_LOG_LEVEL": "debug"})
    assert (settings.region, settings.log_level) == ("eu-west-1", "debug")


def test_the_command_keeps_its_own_options() -> None:
    assert run("--loud")[1] is True
    assert run()[1] is False


def test_an_unfit_value_names_the_flag() -> None:
    with pytest.raises(SettingsError, match="flag --max-environments: 'x' is not a whole number"):
        run("--max-environments", "x")


def test_ctrl_c_in_place_of_an_answer_is_an_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> bool:
        raise typer.Abort

    monkeypatch.setattr("typer.confirm", interrupted)
    with pytest.raises(CommandError, match="nothing was changed") as caught:
        confirm("Roll it out?")
    assert caught.value.status is Status.INTERRUPTED


def test_an_architecture_that_lambda_does_not_have_is_a_mistake_of_the_command_line() -> None:
    app = typer.Typer()

    @app.command()
    def command(*, architecture: Architecture = None) -> None:
        typer.echo(architecture)

    assert RUNNER.invoke(app, ["--architecture", "arm64"]).output == "arm64\n"
    error = RUNNER.invoke(app, ["--architecture", "riscv64"]).exception
    assert isinstance(error, CommandError)
    assert (error.status, "x86_64 or arm64" in str(error)) == (Status.USAGE, True)
