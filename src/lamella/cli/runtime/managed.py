"""`lamella runtime publish|versions|move|unpublish|restore`: customer-managed runtimes of a server."""

import os
import re
import stat
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

from lamella.cli import output
from lamella.cli.client import Client, client
from lamella.cli.failure import CommandError, Status
from lamella.cli.options import EndpointUrl, Json, Region, examples

_RUNTIMES: Final = "/2026-10-01/runtimes"
_POLL_S: Final = 0.2
_SCHEMES: Final = ("pack:", "upload:", "oci:", "oci-archive:", "docker-archive:")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,126}[a-z0-9]")
_NUMBERED: Final = re.compile(r"v(\d{1,9})")
_MOST_BYTES: Final = 262_144_000  # what a server takes that keeps AWS's limits

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Of the runtime, such as companyphp8; or its ARN.", show_default=False)
]
VersionOption = Annotated[
    str | None, typer.Option("--version", metavar="VERSION", help="Only this version.", show_default=False)
]
AliasOption = Annotated[
    str | None, typer.Option("--alias", metavar="ALIAS", help="Only this alias.", show_default=False)
]


def publish(
    name: Name,
    *,
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="SOURCE",
            help=(
                "A folder or zip with a bootstrap at its top; a runtime of the server (python3.11); or a container "
                "image (registry.example.com/php:8.4, oci:DIRECTORY, oci-archive:FILE)."
            ),
            show_default=False,
        ),
    ],
    version: Annotated[
        str | None,
        typer.Option("--version", metavar="VERSION", help="Its name; else v1, v2, ...", show_default=False),
    ] = None,
    alias: Annotated[
        str | None,
        typer.Option("--alias", metavar="ALIAS", help="Point this alias to it: functions follow.", show_default=False),
    ] = None,
    notes: Annotated[str | None, typer.Option(metavar="TEXT", help="Release notes.", show_default=False)] = None,
    json_: Json = False,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Publish a version of a customer-managed runtime. The runtime is made if there is none of this name.

    No function uses a new version until an alias points to it: --alias does that at once, 'lamella runtime move' later.
    Versions never change, whatever becomes of what they were made from.
    """
    if not _NAME.fullmatch(name.rpartition(":runtime/")[2]):
        raise CommandError(
            f"{output.printable(name)} cannot be a runtime's name: 2 to 128 of a-z, 0-9, '.', '_' and '-', the first "
            "and the last of them a letter or digit",
            Status.USAGE,
        )
    server = client(endpoint_url, region)
    uri = _uri(server, source)
    runtime = _runtime(server, name)
    if runtime is None:
        server.api("POST", _RUNTIMES, {"Name": name})
        output.say(f"Made the runtime {name}.")
    label = version or _next(server, name)
    request = {"Name": label, "ImageUri": uri, **({} if notes is None else {"ReleaseNotes": notes})}
    answer = server.api("POST", f"{_path(name)}/versions", request)
    answer = _wait(server, name, label, answer)
    output.say(f"Published version {label} of {name}.")
    if alias is not None:
        _point(server, name, alias, label)
    if json_:
        output.write_json(answer)
    elif alias is None:
        output.say(f"Point an alias to it with: lamella runtime move {name} ALIAS {label}")


def versions(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only this runtime.", show_default=False)] = None,
    *,
    json_: Json = False,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Show customer-managed runtimes: versions, aliases, and which functions use them."""
    server = client(endpoint_url, region)
    if name is None:
        found = server.page("GET", "managed-runtimes")
        runtimes: list[dict[str, Any]] = found["runtimes"]
    else:
        found = server.page("GET", f"managed-runtimes/{quote(name, safe='')}")
        runtimes = [found]
    if json_:
        output.write_json(found)
        return
    if not runtimes:
        output.say("There are no customer-managed runtimes; make one with 'lamella runtime publish'.")
        return
    rows = [
        (
            runtime["Name"],
            version["Name"],
            _state(version),
            ", ".join(_aliases(runtime, version["Name"])),
            str(sum(one["RuntimeVersion"] == version["Name"] for one in runtime["Functions"])),
            ", ".join(version["Compatibility"]["Architectures"]),
            version["Created"],
        )
        for runtime in runtimes
        for version in runtime["Versions"] or [_NONE]
    ]
    output.write_table(("runtime", "version", "state", "aliases", "functions", "architectures", "created"), rows)
    if name is not None and runtimes[0]["Functions"]:
        output.write_table(
            ("function", "of it", "alias", "updates", "runs with"),
            [
                (
                    one["FunctionName"],
                    one["Version"],
                    one["RuntimeAlias"],
                    one["UpdateRuntimeOn"],
                    one["RuntimeVersion"],
                )
                for one in runtimes[0]["Functions"]
            ],
        )
    for runtime in runtimes:
        for version in runtime["Versions"]:
            if version["Failure"]:
                output.say(f"{runtime['Name']} {version['Name']}: {output.printable(version['Failure'])}")


def move(
    name: Name,
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="Made if there is none.", show_default=False)],
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Of the runtime.", show_default=False)],
    *,
    json_: Json = False,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Point an alias to a version: the roll-out, and backwards the roll-back.

    Functions that follow it run with the version from their next invocation on; those that are running end as they
    began. No invocation fails by it.
    """
    answer = _point(client(endpoint_url, region), name, alias, version)
    if json_:
        output.write_json(answer)


def unpublish(
    name: Name,
    *,
    version: VersionOption = None,
    alias: AliasOption = None,
    days: Annotated[int, typer.Option(metavar="DAYS", min=7, max=30, help="How long it can be restored.")] = 30,
    json_: Json = False,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Delete a version, an alias, or with neither the whole runtime, after a time in which it can be restored.

    Functions that use it fail from this moment on, until it is restored. A version goes when no alias points to it, a
    runtime when its versions and aliases have gone.
    """
    server = client(endpoint_url, region)
    path, what = _part(name, version, alias)
    headers = {"x-amzn-runtime-recovery-window-in-days": str(days)}
    answer = server.api("DELETE", path, headers=headers)
    if json_:
        output.write_json(answer)
    else:
        output.say(
            f"{what} is gone for functions, and for good in {days} days. Until then: {_restore(name, version, alias)}"
        )


def restore(
    name: Name,
    *,
    version: VersionOption = None,
    alias: AliasOption = None,
    json_: Json = False,
    region: Region = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Bring back what was deleted: the runtime first, then its versions, then its aliases."""
    server = client(endpoint_url, region)
    _, what = _part(name, version, alias)
    query = {"RuntimeVersion": version, "RuntimeAlias": alias}
    given = {member: value for member, value in query.items() if value is not None}
    answer = server.api("POST", f"{_path(name)}/restore", query=given)
    if json_:
        output.write_json(answer)
    else:
        output.say(f"{what} is back.")


_NONE: Final[dict[str, Any]] = {  # Any: as a version
    "Name": "-",
    "State": "no versions",
    "Compatibility": {"Architectures": []},
    "Created": "",
}


def _path(name: str) -> str:
    return f"{_RUNTIMES}/{quote(name, safe='')}"


def _part(name: str, version: str | None, alias: str | None) -> tuple[str, str]:
    """The path of what is meant, and what it is called."""
    if version is not None and alias is not None:
        raise CommandError("say --version or --alias, not both", Status.USAGE)
    if version is not None:
        return f"{_path(name)}/versions/{quote(version, safe='')}", f"Version {version} of {name}"
    if alias is not None:
        return f"{_path(name)}/aliases/{quote(alias, safe='')}", f"Alias {alias} of {name}"
    return _path(name), f"The runtime {name}"


def _restore(name: str, version: str | None, alias: str | None) -> str:
    tail = f" --version {version}" if version is not None else f" --alias {alias}" if alias is not None else ""
    return f"lamella runtime restore {name}{tail}"


def _runtime(server: Client, name: str) -> dict[str, Any] | None:
    try:
        return server.api("GET", _path(name))
    except CommandError as error:
        if str(error).startswith("ResourceNotFoundException"):
            return None
        raise


def _next(server: Client, name: str) -> str:
    """The next name of those that are numbered."""
    shown = server.page("GET", f"managed-runtimes/{quote(name.rpartition('/')[2], safe='')}")
    numbers = [int(match[1]) for one in shown["Versions"] if (match := _NUMBERED.fullmatch(one["Name"]))]
    return f"v{max(numbers, default=0) + 1}"


def _wait(server: Client, name: str, label: str, answer: dict[str, Any]) -> dict[str, Any]:
    """Wait until the version is there.

    Raises:
        CommandError: It cannot be made.
    """
    if answer["State"] == "CREATING":
        output.say(f"Making version {label} of {name} ...")
    while answer["State"] == "CREATING":
        time.sleep(_POLL_S)
        answer = server.api("GET", f"{_path(name)}/versions/{quote(label, safe='')}")
    if answer["State"] == "FAILED":
        shown = server.page("GET", f"managed-runtimes/{quote(name.rpartition('/')[2], safe='')}")
        failure = next((one["Failure"] for one in shown["Versions"] if one["Name"] == label), None)
        raise CommandError(f"version {label} of {name} could not be made: {failure}", Status.NEGATIVE)
    return answer


def _point(server: Client, name: str, alias: str, version: str) -> dict[str, Any]:
    """Point an alias to a version, and say how to go back."""
    path = f"{_path(name)}/aliases"
    try:
        before = server.api("GET", f"{path}/{quote(alias, safe='')}")["RuntimeVersion"]
    except CommandError as error:
        if not str(error).startswith("ResourceNotFoundException: Runtime alias"):
            raise
        answer = server.api("POST", path, {"Name": alias, "RuntimeVersion": version})
        output.say(f"Made the alias {alias} of {name}, which points to {version}: {answer['Arn']}")
        return answer
    # A lifecycle that is not named would be taken away.
    kept = _own_lifecycle(server, name, alias)
    answer = server.api("PUT", f"{path}/{quote(alias, safe='')}", {"RuntimeVersion": version, **kept})
    output.say(f"{alias} of {name} points to {version}.")
    if before != version:
        output.say(f"Back with: lamella runtime move {name} {alias} {before}")
    return answer


def _own_lifecycle(server: Client, name: str, alias: str) -> dict[str, Any]:
    """The alias's lifecycle, if it is not just what it inherits."""
    shown = server.api("GET", f"{_path(name)}/aliases/{quote(alias, safe='')}").get("ReleaseLifecycle")
    inherited = server.api("GET", _path(name)).get("ReleaseLifecycle")
    return {} if shown is None or shown == inherited else {"ReleaseLifecycle": shown}


def _aliases(runtime: dict[str, Any], version: str) -> list[str]:
    return [one["Name"] for one in runtime["Aliases"] if one["RuntimeVersion"] == version and one["State"] == "ACTIVE"]


def _state(version: dict[str, Any]) -> str:
    until = version.get("PendingDeletionAt")
    return f"{version['State']} until {until[:10]}" if until else version["State"]


def _uri(server: Client, source: str) -> str:
    """What a version is made from, as the server knows it; folders and zips are sent to it.

    Raises:
        CommandError: It is not there, or is nothing of that kind.
    """
    if source.startswith(_SCHEMES):
        return _absolute(source)
    path = Path(source)
    if path.is_dir():
        if (path / "oci-layout").is_file():
            return f"oci:{path.absolute()}"
        return _send_folder(server, path)
    if path.is_file():
        if path.suffix == ".tar":
            return f"oci-archive:{path.absolute()}"
        # Here and not above: most commands read no zip.
        from zipfile import is_zipfile

        if not is_zipfile(path):
            raise CommandError(f"{path} is neither a zip archive nor, by its name, a .tar of an image", Status.USAGE)
        return _send(server, path)
    if source.startswith((".", "/", "~")):
        raise CommandError(f"there is no folder or file {output.printable(source)}", Status.USAGE)
    if "/" not in source and ":" not in source:
        return f"pack:{source}"  # if the server has none, it says which it has
    return source


def _absolute(source: str) -> str:
    """Paths of this machine as the server, which works elsewhere, understands them."""
    scheme, _, rest = source.partition(":")
    if scheme in {"oci", "oci-archive", "docker-archive"} and not rest.startswith("/"):
        return f"{scheme}:{Path(rest).absolute()}"
    return source


def _send_folder(server: Client, folder: Path) -> str:
    # Here and not above: most commands archive nothing.
    from lamella.layers.archive import Entry, entry_time, write_archive

    if not os.path.lexists(folder / "bootstrap"):
        raise CommandError(f"{folder} has no file 'bootstrap' at its top, which starts the runtime", Status.USAGE)
    entries: dict[str, Entry] = {}
    for directory, _, names in os.walk(folder):
        for name in names:
            path = Path(directory, name)
            status = path.lstat()
            inside = path.relative_to(folder).as_posix()
            if stat.S_ISLNK(status.st_mode):
                entries[inside] = Entry(os.fsencode(path.readlink()), link=True)
            elif stat.S_ISREG(status.st_mode):
                entries[inside] = Entry(path, executable=bool(status.st_mode & 0o111))
    with tempfile.TemporaryDirectory(prefix="lamella-runtime-") as staging:
        archive = Path(staging, "runtime.zip")
        write_archive(archive, entries, date_time=entry_time(os.environ.get("SOURCE_DATE_EPOCH")))
        return _send(server, archive)


def _send(server: Client, archive: Path) -> str:
    size_bytes = archive.stat().st_size
    if size_bytes > _MOST_BYTES:
        raise CommandError(f"{archive} is too large: {output.size(size_bytes)}", Status.USAGE)
    output.say(f"Sending {output.size(size_bytes)} ...")
    uri: str = server.page("POST", "runtime-contents", body=archive.read_bytes())["uri"]
    return uri


def register(runtime: typer.Typer) -> None:
    """Add the commands."""
    runtime.command(
        "publish",
        epilog=examples(
            "lamella runtime publish companyphp8 --from ./php-runtime",
            "lamella runtime publish companyphp8 --from php-runtime.zip --version 8.4.1 --alias prod",
            "lamella runtime publish companypython --from python3.11 --alias prod",
            "lamella runtime publish companyphp8 --from registry.example.com/php-runtime:8.4",
        ),
    )(publish)
    runtime.command(
        "versions", epilog=examples("lamella runtime versions", "lamella runtime versions companyphp8 --json")
    )(versions)
    runtime.command("move", epilog=examples("lamella runtime move companyphp8 prod v2"))(move)
    runtime.command(
        "unpublish",
        epilog=examples(
            "lamella runtime unpublish companyphp8 --version v1", "lamella runtime unpublish companyphp8 --days 7"
        ),
    )(unpublish)
    runtime.command(
        "restore",
        epilog=examples("lamella runtime restore companyphp8", "lamella runtime restore companyphp8 --alias prod"),
    )(restore)
