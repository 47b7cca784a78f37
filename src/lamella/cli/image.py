"""`lamella image list|show|pull|load|remove|prune`: the container images of a server."""

import hashlib
import os
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO
from urllib.parse import quote

import typer

from lamella.cli import output as out
from lamella.cli.client import client
from lamella.cli.endpoint import SentFile
from lamella.cli.failure import CommandError, Status
from lamella.cli.layer.progress import telling
from lamella.cli.options import Architecture, EndpointUrl, Json, confirm, examples

image = typer.Typer(no_args_is_help=True, help="Container images of the server: fetch or load them, list, remove.")

Wanted = Annotated[
    str, typer.Argument(metavar="IMAGE", help="Its digest, 12 digits or more, or its name.", show_default=False)
]
_PIECE_BYTES = 1024 * 1024


@image.command("list", epilog=examples("lamella image list", "lamella image list --json"))
def list_(*, json_: Json = False, endpoint_url: EndpointUrl = None) -> None:
    """List the images that the server has, and which of them are in use."""
    answer = client(endpoint_url).page("GET", "images", scoped=False)
    if json_:
        out.write_json(answer)
    elif not answer["images"]:
        out.say("The server has no images. Begin with: lamella image pull public.ecr.aws/lambda/provided:al2023")
    else:
        rows = [
            (
                "\n".join(out.printable(name) for name in one["names"] or one["fetched_from"]),
                one["digest"][7:19],
                one["architecture"],
                out.size(one["size_bytes"]),
                str(len(one["layers"])),
                "yes" if one["in_use"] else "kept" if one["kept"] else "no",
            )
            for one in answer["images"]
        ]
        out.write_table(("image", "digest", "architecture", "size", "layers", "in use"), rows)


@image.command("show", epilog=examples("lamella image show 3fa1c0ffee12", "lamella image show 3fa1c0ffee12 --json"))
def show(wanted: Wanted, *, json_: Json = False, endpoint_url: EndpointUrl = None) -> None:
    """Show one image: what it starts, its variables, its layers."""
    answer = client(endpoint_url).page("GET", f"images/{quote(wanted, safe='')}", scoped=False)
    if json_:
        out.write_json(answer)
        return
    for one in answer["images"]:
        out.write_table(
            ("", ""),
            [
                (key.removesuffix("_bytes").replace("_", " "), _cell(key, value))
                for key, value in one.items()
                if value != {}
            ],
        )


@image.command(
    "pull",
    epilog=examples(
        "lamella image pull public.ecr.aws/lambda/python:3.12",
        "lamella image pull 111122223333.dkr.ecr.us-east-1.amazonaws.com/hello:1 --architecture arm64",
        "lamella image pull oci:/srv/images/hello:latest",
    ),
)
def pull(
    uri: Annotated[
        str,
        typer.Argument(
            metavar="IMAGE",
            help="registry/repository:tag or @sha256:digest; oci:, oci-archive: or docker-archive: and a path.",
            show_default=False,
        ),
    ],
    *,
    architecture: Architecture = None,
    json_: Json = False,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Have the server fetch an image ahead of need; it stays until it is removed.

    Functions fetch their images themselves when they are created. The server asks the registries of its setting
    image_registries, and reads paths of its own machine below image_paths.
    """
    query = {"uri": uri, **({"architecture": architecture} if architecture else {})}
    server = client(endpoint_url)
    _follow(server.lines("POST", "images/pull", query=query), f"Fetching {uri}", json_=json_)


@image.command(
    "load",
    epilog=examples(
        "docker save hello | lamella image load - 111122223333.dkr.ecr.us-east-1.amazonaws.com/hello:1",
        "lamella image load hello.tar 111122223333.dkr.ecr.us-east-1.amazonaws.com/hello:1",
        "lamella image load build/layout 111122223333.dkr.ecr.us-east-1.amazonaws.com/hello:1 --tag latest",
    ),
)
def load(
    source: Annotated[
        str,
        typer.Argument(
            metavar="PATH",
            help="Archive of 'docker save' or in OCI's form, an OCI layout's directory, or - for stdin.",
            show_default=False,
        ),
    ],
    name: Annotated[str, typer.Argument(metavar="NAME", help="What functions will call it: registry/repository:tag.")],
    *,
    tag: Annotated[
        str, typer.Option(metavar="TAG", help="Of the image in the archive, if it has several.", show_default=False)
    ] = "",
    json_: Json = False,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Send an image to the server, under a name that functions can use without any registry.

    A name that was given before stands for the new image from now on; functions keep the image that they were created
    or last updated with, as on AWS.
    """
    server = client(endpoint_url)
    with _archive(source) as file:
        sent = _measured(file)
        query = {"name": name, **({"tag": tag} if tag else {})}
        lines = server.lines("PUT", "images", query=query, file=sent)
        _follow(lines, f"Sending {out.size(sent.size_bytes)}", json_=json_)


@image.command("remove", epilog=examples("lamella image remove 3fa1c0ffee12"))
def remove(
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE...", help="Digests, 12 digits or more, or names.", show_default=False)
    ],
    *,
    json_: Json = False,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Remove images that nothing uses, with the layers that no other image has."""
    server = client(endpoint_url)
    removed = []
    for one in images:
        removed += server.page("DELETE", f"images/{quote(one, safe='')}", scoped=False)["removed"]
        out.say(f"removed {out.printable(one)}")
    if json_:
        out.write_json({"removed": removed})


@image.command("prune", epilog=examples("lamella image prune", "lamella image prune --yes --json"))
def prune(
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json_: Json = False,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Remove all images that no function and no runtime uses, those that were pulled or loaded among them.

    Of the others the server takes care by itself.
    """
    server = client(endpoint_url)
    unused = [one for one in server.page("GET", "images", scoped=False)["images"] if not one["in_use"]]
    count = "1 image" if len(unused) == 1 else f"{len(unused)} images"
    if unused and not yes and not confirm(f"Remove {count} that nothing uses?"):
        out.say("nothing was changed")
        return
    query = {"everything": "1"}
    answer = server.page("POST", "images/prune", query=query, scoped=False) if unused else {"removed": []}
    if json_:
        out.write_json(answer)
        return
    for one in answer["removed"]:
        out.say(f"removed {one['digest'][7:19]} ({out.printable(', '.join(one['names'] or one['fetched_from']))})")
    if not answer["removed"]:
        out.say("there is nothing to remove")


def _follow(lines: Iterator[dict[str, Any]], doing: str, *, json_: bool) -> None:
    """Tell of what is being fetched until it is there.

    Raises:
        CommandError: It is not.
    """
    result: dict[str, Any] | None = None
    try:
        with telling() as tell:
            tell(f"{doing} ...")
            for line in lines:
                if error := line.get("error"):
                    raise CommandError(f"{error['code']}: {out.printable(error['message'])}")
                if progress := line.get("progress"):
                    number, layers = progress["layers_done"] + 1, progress["layers"]
                    tell(f"{doing}: layer {number} of {layers}, {out.size(progress['next_bytes'])} ...")
                result = line.get("result", result)
    except KeyboardInterrupt:
        raise CommandError("interrupted; what the server has begun it may go on with", Status.INTERRUPTED) from None
    if result is None:
        raise CommandError("the server ended its answer too early; see its own log")
    if json_:
        out.write_json(result)
        return
    out.say(f"{out.printable(result['uri'])} is here:")
    for one in result["images"]:
        print(f"{one['digest']} {one['architecture']} {out.size(one['size_bytes'])}")


@contextmanager
def _archive(source: str) -> Iterator[BinaryIO]:
    """An archive as a file that can be read twice; directories and stdin are copied into one first.

    Raises:
        CommandError: There is nothing to read.
    """
    path = Path(source)
    try:
        if source != "-" and not path.is_dir():
            with path.open("rb") as file:
                yield file
            return
        with tempfile.TemporaryFile() as file:
            if source == "-":
                while piece := sys.stdin.buffer.read(_PIECE_BYTES):
                    file.write(piece)
            else:
                _pack(path, file)
            yield file
    except OSError as error:
        raise CommandError(f"cannot read {source}: {error.strerror or error}", Status.USAGE) from error


def _pack(layout: Path, file: BinaryIO) -> None:
    if not (layout / "index.json").is_file():
        raise CommandError(f"{layout} is no OCI layout: it has no index.json", Status.USAGE)
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name in ("oci-layout", "index.json", "blobs"):
            if (layout / name).exists():
                archive.add(layout / name, name)


def _measured(file: BinaryIO) -> SentFile:
    file.seek(0)
    sha256 = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # typeshed wants more of it
    size_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    return SentFile(file, size_bytes, sha256)


def _cell(key: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return "\n".join(out.printable(f"{name}={text}") for name, text in value.items())
    if isinstance(value, list):
        return "\n".join(out.printable(str(one)) for one in value)
    return out.size(float(str(value))) if key == "size_bytes" else out.printable(str(value))


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(image, name="image")
