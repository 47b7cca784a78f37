"""`lamella runtime list|add|show`: the packs of a server."""

from pathlib import Path
from typing import Annotated, Any

import typer

from lamella.cli import output
from lamella.cli.client import client
from lamella.cli.failure import CommandError
from lamella.cli.options import EndpointUrl, Json, examples

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="As functions name it: python3.12, nodejs20.x, java17, provided.al2023.",
        show_default=False,
    ),
]


def list_(*, json_: Json = False, endpoint_url: EndpointUrl = None) -> None:
    """List the runtimes that functions can use on this server."""
    answer = client(endpoint_url).runtimes()
    if json_:
        output.write_json(answer)
        return
    output.write_table(
        ("name", "architecture", "version", "digest"),
        [(p["name"], p["architecture"], p["version"], p["digest"][:12]) for p in answer["runtimes"]],
    )


def add(
    name: Name,
    *,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="PATH",
            help="Interpreter, or its installation, on the server's machine; else the server looks for one.",
            show_default=False,
        ),
    ] = None,
    json_: Json = False,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Add a runtime to the server, made from what is installed on its machine: a Python, a Node.js or a Java.

    AWS's runtime client for it comes from PyPI, npm (with npm) or Maven (with mvn), once; the server keeps it. The
    server then builds the runtime anew whenever the interpreter has been updated.
    """
    output.say(f"Adding {name} ...")
    # The server's working directory is another than ours.
    answer = client(endpoint_url).add_runtime(name, None if source is None else str(source.absolute()))
    if json_:
        output.write_json(answer)
    else:
        output.say(f"Functions can now use {name}.")


def show(name: Name, *, json_: Json = False, endpoint_url: EndpointUrl = None) -> None:
    """Show one runtime: version, digest, entry points, and where it is kept."""
    packs: list[dict[str, Any]] = client(endpoint_url).runtimes()["runtimes"]
    found = [pack for pack in packs if pack["name"] == name]
    if not found:
        there = ", ".join(sorted({pack["name"] for pack in packs})) or "none"
        raise CommandError(
            f"the server has no runtime {name} (it has: {there}); add it with 'lamella runtime add {name}'"
        )
    if json_:
        output.write_json({"runtimes": found})
        return
    for pack in found:
        output.write_table(("", ""), [(key, _cell(value)) for key, value in pack.items()])


def _cell(value: object) -> str:
    if isinstance(value, list):
        return "\n".join(str(item) for item in value)
    return str(value)


def register(runtime: typer.Typer) -> None:
    """Add the commands."""
    runtime.command("list", epilog=examples("lamella runtime list", "lamella runtime list --json"))(list_)
    runtime.command(
        "add",
        epilog=examples(
            "lamella runtime add python3.12",
            "lamella runtime add nodejs24.x --from /opt/node24",
            "lamella runtime add java17 --from /usr/lib/jvm/java-17-openjdk-amd64",
        ),
    )(add)
    runtime.command(
        "show", epilog=examples("lamella runtime show python3.11", "lamella runtime show python3.11 --json")
    )(show)
