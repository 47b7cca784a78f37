"""Writes the reference pages of settings and commands from the tables they are made of.

`python -m lamella.cli.reference` writes them, `--check` says whether they are as they would be written.
"""

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import typer.main

from lamella.cli.failure import MEANINGS
from lamella.cli.main import app
from lamella.config.settings import RESERVED_VARIABLES, SETTINGS, SYSTEM_FILE

DIRECTORY: Final = Path("docs/reference")
_GENERATED: Final = "<!-- Written by python -m lamella.cli.reference; do not edit. -->"


def settings_page() -> str:
    """`docs/reference/settings.md`."""
    lines = [
        _GENERATED,
        "# Settings",
        "",
        "Each setting can be given in four places; a later one wins: its default, the settings file, an environment",
        "variable, a flag of `lamella serve`. A name that is not in this table is an error, in the file as in the",
        "environment, and so is a value that does not fit; the message names the place and the nearest name.",
        "",
        f"The settings file is TOML. It is the one that `--config` names, else `$LAMELLA_CONFIG`, else `{SYSTEM_FILE}`",
        "if there is one. A file in the working directory is never read by itself. Numbers and `true`/`false` are",
        "written bare, everything else in quotes:",
        "",
        "```toml",
        'region = "eu-central-1"',
        "max_environments = 20",
        "cpu_limits = false",
        "```",
        "",
        "| Key | Variable | Flag | Value | Default | Meaning |",
        "|---|---|---|---|---|---|",
    ]
    for setting in SETTINGS.values():
        flag = f"`{setting.flag}`"
        if setting.is_switch:
            flag += f", `--no-{setting.flag.removeprefix('--')}`"
        cells = (
            *(f"`{setting.name}`", f"`{setting.variable}`", flag),
            *(setting.kind.expects, f"`{setting.default}`", setting.meaning),
        )
        lines.append(f"| {' | '.join(_cell(cell) for cell in cells)} |")
    lines += ["", "Some more variables are read by every command:", ""]
    lines += [f"- `{name}`: {meaning}" for name, meaning in RESERVED_VARIABLES.items()]
    return "\n".join(lines) + "\n"


def cli_page() -> str:
    """`docs/reference/cli.md`."""
    lines = [
        _GENERATED,
        "# Command line",
        "",
        "Answers go to stdout and prose to stderr. With `--json` stdout holds the API's answer and nothing else.",
        "Commands other than `serve`, `doctor` and `layer` are clients of a server, which they look for where AWS's",
        "own clients would: `--endpoint-url`, `$AWS_ENDPOINT_URL_LAMBDA`, `$AWS_ENDPOINT_URL`, else",
        "`http://127.0.0.1:4566`. An `$AWS_ACCESS_KEY_ID` of 12 digits is the account to act in.",
        "",
        "| Exit status | Meaning |",
        "|---|---|",
        *(f"| {status.value} | {meaning} |" for status, meaning in MEANINGS.items()),
        "",
        "`lamella --install-completion` teaches your shell to complete commands and options.",
    ]
    for path, command in _walk(typer.main.get_command(app), ("lamella",)):
        lines += ["", *_section(path, command)]
    return "\n".join(lines) + "\n"


def _walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    # Any, here and below: Typer does not name the types of its command tree in public.
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from _walk(child, (*path, name))


def _section(path: Sequence[str], command: Any) -> Iterator[str]:
    yield f"## `{' '.join(path)}`"
    yield ""
    yield _prose(command.help or "")
    parameters = [parameter for parameter in command.params if parameter.name != "help"]
    if parameters:
        yield ""
        yield "| Argument or option | Meaning |"
        yield "|---|---|"
        for parameter in parameters:
            yield f"| {_cell(_spelling(parameter))} | {_cell(_meaning(parameter))} |"
    for name, child in getattr(command, "commands", {}).items():
        if name == next(iter(command.commands)):
            yield ""
        yield f"- `{' '.join((*path, name))}`: {_prose(child.help or '').partition(chr(10))[0]}"
    if command.epilog:
        yield ""
        yield "```sh"
        yield from (line for line in command.epilog.split("\n\n")[1:])
        yield "```"


def _spelling(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar or parameter.name.upper()}`"
    names = [*parameter.opts, *parameter.secondary_opts]
    value = f" {parameter.metavar}" if parameter.metavar and not parameter.is_flag else ""
    return ", ".join(f"`{name}{value}`" for name in names)


def _meaning(parameter: Any) -> str:
    text = (parameter.help or "").replace("\\[", "[")
    shown = parameter.show_default and parameter.default is not None and not parameter.is_flag
    default = f" [default: `{parameter.default}`]" if shown and not callable(parameter.default) else ""
    return text + default if parameter.param_type_name != "argument" else text


def _prose(text: str) -> str:
    """Docstring to Markdown: lines are joined into paragraphs."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text.strip()))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def pages() -> Mapping[str, str]:
    """Text by name of file."""
    return {"settings.md": settings_page(), "cli.md": cli_page()}


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or with `--check` compare them. Returns the exit status."""
    stale = []
    for name, text in pages().items():
        path = DIRECTORY / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(os.fspath(path))
        if "--check" not in arguments:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if "--check" not in arguments:
        return 0
    for path_text in stale:
        print(f"{path_text} is not as `python -m lamella.cli.reference` writes it", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
