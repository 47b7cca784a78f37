"""`lamella runtime list|add|show|remove|export`: the packs of a server."""

import shutil
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from lamella.cli import output
from lamella.cli.client import client
from lamella.cli.failure import CommandError, Status
from lamella.cli.options import Architecture, EndpointUrl, Json, examples

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="As functions name it: python3.12, nodejs20.x, java17, provided.al2023.",
        show_default=False,
    ),
]
_KINDS: Final = {"host": "this machine", "network": "fetched", "image": "image"}


def list_(
    *,
    available: Annotated[
        bool, typer.Option("--available", help="Show as well what could be added, and from what.")
    ] = False,
    json_: Json = False,
    endpoint_url: EndpointUrl = None,
) -> None:
    """List the runtimes that functions can use on this server."""
    answer = client(endpoint_url).runtimes(available=available)
    if json_:
        output.write_json(answer)
        return
    output.write_table(
        ("name", "architecture", "version", "digest"),
        [(p["name"], p["architecture"], p["version"], p["digest"][:12]) for p in answer["runtimes"]],
    )
    if available:
        output.write_table(
            ("name", "from", "", "version", "remark"), [_offer(offer) for offer in answer.get("available", ())]
        )
        output.say("Add one with 'lamella runtime add NAME', of an image with '--image REFERENCE' as well.")


def _offer(offer: dict[str, Any]) -> tuple[str, ...]:  # Any: JSON
    remark = "installed" if offer["installed"] else ""
    return (
        offer["name"],
        _KINDS.get(offer["kind"], offer["kind"]),
        output.printable(offer["from"]),
        offer["version"],
        output.printable(offer["problem"].removeprefix(f"{offer['from']} ")) or remark,
    )


def add(
    name: Name,
    *,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="PATH",
            help="On the server's machine: an interpreter, its installation, or a directory that is a runtime pack.",
            show_default=False,
        ),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(
            metavar="REFERENCE",
            help="Container image to use as it is: one of AWS's base images, or built like one.",
            show_default=False,
        ),
    ] = None,
    architecture: Architecture = None,
    json_: Json = False,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Add a runtime to the server: made of a Python, Node.js, Java or Ruby, or taken from a directory or an image.

    The server looks for the interpreter on its machine, and fetches one if there is none. AWS's runtime client for it
    comes from PyPI, npm (with npm) or Maven (with mvn), once; the server keeps it. The server then builds the runtime
    anew whenever the interpreter has been updated. Ruby, and runtimes for another architecture, are made of Debian's
    packages. What was taken from a directory or an image stays as it is.
    """
    if source is not None and image is not None:
        raise CommandError("a runtime is made from a path or an image, not from both", Status.USAGE)
    # The server's working directory is another than ours.
    given = {
        "name": name,
        "from": None if source is None else str(source.absolute()),
        "image": image,
        "architecture": architecture,
    }
    wanted = {key: value for key, value in given.items() if value is not None}
    try:
        answer = client(endpoint_url).add_runtime(wanted, lambda text: output.say(output.printable(text)))
    except KeyboardInterrupt:
        raise CommandError(
            f"the server goes on with {name}; 'lamella runtime list' tells when it is there", Status.INTERRUPTED
        ) from None
    if json_:
        output.write_json(answer)
        return
    for remark in answer.get("remarks", ()):
        output.say(f"Remark: {output.printable(remark)}")
    output.say(f"Functions can now use {name}{f' for {architecture}' if architecture else ''}.")


def show(
    name: Name, *, architecture: Architecture = None, json_: Json = False, endpoint_url: EndpointUrl = None
) -> None:
    """Show one runtime: version, digest, what it was made from, where it is kept, and what it lacks.

    Without --architecture, of each architecture that the server has it for.
    """
    found = _find(name, architecture, endpoint_url)
    if json_:
        output.write_json({"runtimes": found})
        return
    for pack in found:
        output.write_table(
            ("", ""),
            [
                (
                    key.removesuffix("_bytes").replace("_", " "),
                    output.size(value) if key == "size_bytes" else _cell(value),
                )
                for key, value in pack.items()
                if value not in (None, [], {})
            ],
        )


def _find(name: str, architecture: str | None, endpoint_url: str | None) -> list[dict[str, Any]]:  # Any: JSON
    packs: list[dict[str, Any]] = client(endpoint_url).runtimes()["runtimes"]
    found = [pack for pack in packs if pack["name"] == name and architecture in {None, pack["architecture"]}]
    if not found:
        there = ", ".join(sorted({pack["name"] for pack in packs})) or "none"
        wanted = output.printable(name) if architecture is None else f"{output.printable(name)} for {architecture}"
        raise CommandError(
            f"the server has no runtime {wanted} (it has: {there}); 'lamella runtime list --available' shows what can "
            "be added"
        )
    return found


def _cell(value: object) -> str:
    if isinstance(value, list):
        return "\n".join(output.printable(str(item)) for item in value)
    if isinstance(value, dict):
        return "\n".join(output.printable(f"{key}={item}") for key, item in value.items())
    return output.printable(str(value))


def remove(
    name: Name, *, architecture: Architecture = None, json_: Json = False, endpoint_url: EndpointUrl = None
) -> None:
    """Take a runtime away from the server. It refuses while functions use it, and says which.

    An interpreter that was fetched for it goes with it.
    """
    answer = client(endpoint_url).remove_runtime(name, architecture)
    if json_:
        output.write_json(answer)
    else:
        output.say(f"{name} for {answer['architecture']} is gone. 'lamella runtime add {name}' brings it back.")


def export(
    name: Name,
    directory: Annotated[
        Path, typer.Argument(metavar="DIRECTORY", help="Is made; must not be there.", show_default=False)
    ],
    *,
    architecture: Architecture = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Copy a runtime of a server on this machine into a directory that another one takes with `add --from`."""
    found = _find(name, architecture, endpoint_url)
    pack = found[0]
    if pack.get("image"):
        raise CommandError(f"{name} is the image {output.printable(pack['from'])}; add it from there on another server")
    source = Path(pack["path"]).parent
    if not (source / "pack.json").is_file():
        raise CommandError(f"{source} is not on this machine, or not readable; run this where the server runs")
    try:
        shutil.copytree(source, directory, symlinks=True)
    except FileExistsError as error:
        raise CommandError(f"{directory} is there already; name one that is not", Status.USAGE) from error
    except (OSError, shutil.Error) as error:
        raise CommandError(f"{source} could not be copied to {directory}: {error}", Status.USAGE) from error
    output.say(f"Wrote {directory}. Elsewhere: lamella runtime add {name} --from {directory}")


def register(runtime: typer.Typer) -> None:
    """Add the commands."""
    runtime.command(
        "list",
        epilog=examples("lamella runtime list", "lamella runtime list --available", "lamella runtime list --json"),
    )(list_)
    runtime.command(
        "add",
        epilog=examples(
            "lamella runtime add python3.12",
            "lamella runtime add nodejs24.x --from /opt/node24",
            "lamella runtime add java17 --from /usr/lib/jvm/java-17-openjdk-amd64",
            "lamella runtime add dotnet8 --image public.ecr.aws/lambda/dotnet:8",
        ),
    )(add)
    runtime.command(
        "show", epilog=examples("lamella runtime show python3.11", "lamella runtime show python3.11 --json")
    )(show)
    runtime.command("remove", epilog=examples("lamella runtime remove nodejs20.x"))(remove)
    runtime.command("export", epilog=examples("lamella runtime export python3.12 /tmp/python3.12"))(export)
