"""Options that several commands share, and those that are made from the settings table."""

import inspect
import os
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import typer

from lamella.cli.failure import CommandError, Status
from lamella.config.settings import SETTINGS, Setting, Settings

EndpointUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Server to ask; else $AWS_ENDPOINT_URL_LAMBDA, $AWS_ENDPOINT_URL, http://127.0.0.1:4566.",
        show_default=False,
    ),
]
Region = Annotated[
    str | None,
    typer.Option(metavar="REGION", help="Else $AWS_REGION, $AWS_DEFAULT_REGION, the server's own.", show_default=False),
]


def _known_architecture(name: str | None) -> str | None:
    if name not in {None, "x86_64", "arm64"}:
        raise CommandError(f"--architecture {name!r} is not known: x86_64 or arm64", Status.USAGE)
    return name


Architecture = Annotated[
    str | None,
    typer.Option(
        "--architecture",
        metavar="x86_64|arm64",
        help="Else that of the server's machine.",
        show_default=False,
        callback=_known_architecture,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the answer as JSON on stdout.")]


def confirm(question: str) -> bool:
    """Ask on stderr.

    Raises:
        CommandError: Ctrl-C in place of an answer.
    """
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:
        typer.echo(err=True)  # the cursor stands behind the question
        raise CommandError("nothing was changed", Status.INTERRUPTED) from None


def examples(*lines: str) -> str:
    """The epilog of a command's help; Rich makes a line of each paragraph."""
    return "\n\n".join(["Examples:", *lines])


def with_settings(command: Callable[[Settings], Any], names: Iterable[str]) -> Callable[..., Any]:
    """Give a command one flag for each of these settings, and `--config`.

    Typer reads a function's signature, so the signature is what is made from the table; options written by hand
    would say everything a second time.

    Args:
        command: Its first parameter takes the settings; its others stay as they are.
        names: Of settings.
    """
    own = list(inspect.signature(command).parameters.values())[1:]
    options = [_config_option(), *(_option(SETTINGS[name]) for name in names)]

    def run(**arguments: Any) -> Any:  # Any: as given to `command`
        flags = {parameter.name: _as_flag(arguments.pop(parameter.name)) for parameter in options}
        settings = Settings.load(flags, os.environ, is_root=os.geteuid() == 0)
        return command(settings, **arguments)

    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in (*options, *own)]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # a documented protocol of inspect
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__doc__ = command.__doc__
    run.__name__ = command.__name__
    return run


def _config_option() -> inspect.Parameter:
    option = typer.Option(
        "--config",
        metavar="FILE",
        help="Settings file in TOML; else $LAMELLA_CONFIG, else /etc/lamella/lamella.toml if there is one.",
        show_default=False,
    )
    return _parameter("config", Annotated[str | None, option])


def _option(setting: Setting) -> inspect.Parameter:
    help_text = f"{setting.meaning} \\[default: {setting.default}]"  # escaped, as Rich would take it for markup
    if setting.is_switch:
        flag = f"{setting.flag}/--no-{setting.flag.removeprefix('--')}"
        return _parameter(setting.name, Annotated[bool | None, typer.Option(flag, help=help_text, show_default=False)])
    metavar = "SECONDS" if setting.name.endswith("_s") else "N" if setting.kind.from_text is int else "VALUE"
    option = typer.Option(setting.flag, metavar=metavar, help=help_text, show_default=False)
    return _parameter(setting.name, Annotated[str | None, option])


def _parameter(name: str, annotation: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _as_flag(value: str | bool | None) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value
