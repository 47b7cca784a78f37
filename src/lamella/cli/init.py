"""`lamella init`. Works without a server."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from lamella.cli import output
from lamella.cli.failure import CommandError, Status
from lamella.cli.options import Json, examples


def init(
    directory: Annotated[
        Path,
        typer.Argument(
            metavar="[DIR]", help="Where the project goes, made if it is not there; else here.", show_default=False
        ),
    ] = Path(),
    *,
    runtime: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Language, or runtime: go, rust, php, python3.12, nodejs24.x; --list shows all.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of the function; else that of DIR.", show_default=False)
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="Say which languages there are, and write nothing.")] = False,
    json_: Json = False,
) -> None:
    """Begin a project: a function and a layer in a language of your choice, that work as they are.

    Writes a handler, what the layer brings, layer.toml, a SAM template, a Makefile, a test event and a README that
    says how to build, deploy and invoke. Nothing is overwritten.
    """
    # Here and not above: no other command needs it.
    from lamella.scaffold import ProjectError, make_project, name_from, write_project

    if list_:
        _list(json_=json_)
        return
    if runtime is None:
        raise CommandError("which language? --runtime NAME; --list shows all", Status.USAGE)
    try:
        project = make_project(runtime, name_from(directory.resolve().name) if name is None else name)
        write_project(project.files, directory)
    except ProjectError as error:
        raise CommandError(output.printable(str(error)), Status.USAGE) from error
    except OSError as error:
        reason = f"the project could not be written to {directory}: {error.strerror}"
        raise CommandError(output.printable(reason), Status.NEGATIVE) from error
    if json_:
        paths = [str(directory / path) for path in project.files]
        output.write_json(
            {
                "name": project.name,
                "language": project.language.name,
                "runtime": project.runtime,
                "directory": str(directory.resolve()),
                "files": paths,
            }
        )
        return
    where = "." if directory == Path() else str(directory)
    for path in project.files:
        print(output.printable(str(directory / path)))
    step = "" if where == "." else f"cd {shlex.quote(where)} && "
    output.say(
        output.printable(
            f"A project in {project.language.title}, for {project.runtime}. Next: {step}make deploy invoke"
        )
    )


def _list(*, json_: bool) -> None:
    from lamella.scaffold import languages

    if json_:
        output.write_json(
            {
                "languages": [
                    {"name": one.name, "title": one.title, "runtime": one.runtime, "needs": list(one.needs)}
                    for one in languages().values()
                ]
            }
        )
        return
    output.write_table(
        ("name", "language", "runtime", "to build it needs"),
        [(one.name, one.title, one.runtime, ", ".join(one.needs)) for one in languages().values()],
    )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            "lamella init --list",
            "lamella init --runtime go greet",
            "lamella init --runtime python3.12 --name resize .",
        )
    )(init)
