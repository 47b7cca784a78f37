"""`lamella layer mirror`: copies of other installations' layer versions, under the ARN that they have there."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from lamella.cli import output as out
from lamella.cli.aws import AWS, refused, service_client
from lamella.cli.client import Client, client
from lamella.cli.failure import CommandError, Status
from lamella.cli.layer.fetch import download, fetch
from lamella.cli.options import EndpointUrl, Json, Region, examples


def mirror(
    arn: Annotated[
        list[str] | None,
        typer.Argument(metavar="ARN...", help="Of layer versions.", show_default=False),
    ] = None,
    *,
    source: Annotated[
        str, typer.Option("--from", metavar="aws|URL|ZIP", help="AWS, another Lamella, or a zip of one layer version.")
    ] = AWS,
    template: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="All that this SAM, CloudFormation or Terraform text names; may be repeated.",
            show_default=False,
        ),
    ] = None,
    sha256: Annotated[
        str | None,
        typer.Option(metavar="HASH", help="What the zip must have, in hex or base64; for one ARN.", show_default=False),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Only for the layer's own account, and not for all of the server's.")
    ] = False,
    description: Annotated[str, typer.Option(metavar="TEXT", help="Of a zip.", show_default=False)] = "",
    runtime: Annotated[
        list[str] | None, typer.Option(metavar="RUNTIME", help="That a zip is for; repeated.", show_default=False)
    ] = None,
    architecture: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="That a zip is for; repeated.", show_default=False)
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="Show what is mirrored.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Compare all copies with their hashes.")] = False,
    remove: Annotated[
        bool, typer.Option("--remove", help="Delete copies; functions that have them keep them.")
    ] = False,
    forget: Annotated[
        bool, typer.Option("--forget", help="With --remove: forget the hash too, so that other bytes can follow.")
    ] = False,
    export: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write copies to a directory, for elsewhere.", show_default=False),
    ] = None,
    import_: Annotated[
        Path | None,
        typer.Option("--import", metavar="DIR", help="Mirror what such a directory has.", show_default=False),
    ] = None,
    json_: Json = False,
    region: Region = None,
    profile: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Profile of AWS's tools, with '--from aws'.", show_default=False),
    ] = None,
    endpoint_url: EndpointUrl = None,
) -> None:
    """Copy layer versions into the server, under the same ARN, so that templates which name them work offline.

    The first copy pins the ARN to its bytes: others are refused. Every account of the server can attach a copy, as
    with AWS's public layers. --region says what ${AWS::Region} stands for in templates.
    """
    chosen = [name for name, given in (("--list", list_), ("--verify", verify), ("--remove", remove)) if given]
    chosen += [name for name, given in (("--export", export), ("--import", import_)) if given is not None]
    if len(chosen) > 1:
        raise CommandError(f"{' and '.join(chosen)} do not go together", Status.USAGE)
    server = client(endpoint_url)
    with _errors():
        if list_ or verify:
            _show(server, verify=verify, json_=json_)
            return
        arns = [] if import_ is not None else _arns(arn, template, region, wanted=export is None)
        if remove:
            _remove(server, arns, forget=forget)
            return
        if export is not None:
            _export(server, arns, export)
            return
        if import_ is not None:
            from lamella.layers.mirroring import read_parcels

            parcels: Iterable[Any] = read_parcels(import_)  # Any: Parcel, or what fetches one
        elif source != AWS and "://" not in source:
            parcels = [_zip(Path(source), arns, description, runtime or [], architecture or [])]
        else:
            parcels = [partial(_fetched, one, source, profile) for one in arns]
        if sha256 is not None and len(arns) != 1:
            raise CommandError("--sha256 goes with one ARN", Status.USAGE)
        _mirror(server, parcels, sha256=sha256, private=private, json_=json_)


def _arns(arn: list[str] | None, templates: list[Path] | None, region: str | None, *, wanted: bool) -> list[str]:
    from lamella.layers.mirroring import find_arns, read_template, region_of

    arns = dict.fromkeys(arn or [])
    for path in templates or []:
        found = find_arns(read_template(path), region)
        arns |= dict.fromkeys(found.arns)
        for text in found.open:
            out.say(f"warning: {path}: {text} is left out: say with --region which region it means")
        if not found.arns and not found.open:
            out.say(f"{path} names no layer version of a known account")
    for one in arns:
        region_of(one)
    if wanted and not arns:
        raise CommandError("name the ARN of a layer version, or a template that does", Status.USAGE)
    return list(arns)


def _fetched(arn: str, source: str, profile: str | None) -> Any:  # Any: Parcel
    from botocore.exceptions import BotoCoreError, ClientError

    from lamella.layers.mirroring import Parcel, region_of

    out.say(f"{arn}: asking {source} ...")
    api = service_client(source, region_of(arn), profile=profile)
    try:
        archive, facts, code_sha256 = fetch(api, arn)
    except ClientError as error:
        raise refused(error) from error
    except BotoCoreError as error:
        raise CommandError(
            f"{source} cannot be asked for {arn} ({error}); a zip of it will do (--from ZIP), or a directory that "
            "'layer mirror --export' made elsewhere (--import DIR)"
        ) from error
    return Parcel(arn, archive, code_sha256, {**facts, "source": source})


def _zip(path: Path, arns: list[str], description: str, runtimes: list[str], architectures: list[str]) -> Any:
    from lamella.layers.mirroring import Parcel

    if len(arns) != 1:
        raise CommandError("a zip is that of one layer version: name one ARN", Status.USAGE)
    try:
        archive = path.read_bytes()
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}", Status.USAGE) from error
    facts = {"description": description, "runtimes": ",".join(runtimes), "architectures": ",".join(architectures)}
    return Parcel(arns[0], archive, "", {**facts, "source": f"zip {path.name}"})


def _mirror(server: Client, parcels: Iterable[Any], *, sha256: str | None, private: bool, json_: bool) -> None:
    from lamella.layers.mirroring import base64_of

    wanted = None if sha256 is None else base64_of(sha256)
    done, failed = [], []
    for parcel in parcels:
        try:
            done.append(_send(server, parcel() if callable(parcel) else parcel, wanted, private=private))
        except CommandError as error:
            failed.append(error)
            out.say(f"lamella: {error}")
    if json_:
        out.write_json({"mirrored": done})
    if failed:
        raise CommandError(
            f"{len(failed)} of {len(done) + len(failed)} layer versions could not be mirrored", failed[0].status
        )


def _send(server: Client, parcel: Any, wanted: str | None, *, private: bool) -> dict[str, Any]:
    from lamella.layers.mirroring import sha256_of

    expected = wanted or parcel.code_sha256
    if expected and sha256_of(parcel.archive) != expected:
        raise CommandError(
            f"the zip of {parcel.arn} has the SHA-256 {sha256_of(parcel.archive)} (base64), and should have "
            f"{expected}: nothing of it was kept",
            Status.NEGATIVE,
        )
    known = ("created", "description", "runtimes", "architectures", "license", "source")
    query = {name: parcel.facts[name] for name in known if parcel.facts.get(name)}
    query |= {"sha256": expected} if expected else {}
    query |= {"private": "1"} if private else {}
    path = f"mirror/{quote(parcel.arn, safe='')}"
    answer = server.page("PUT", path, query=query, body=parcel.archive, scoped=False)
    what = "is mirrored" if answer["new"] else "was mirrored already"
    if answer["published_here"]:
        what = "was published here, and stays as it is"
    out.say(f"{answer['arn']} {what}: {out.size(answer['size_bytes'])}, SHA-256 {answer['code_sha256']}")
    return answer


def _show(server: Client, *, verify: bool, json_: bool) -> None:
    answer = server.page("GET", "mirror", query={"verify": "1"} if verify else {}, scoped=False)
    found = answer["mirrored"]
    wrong = [one for one in found if one.get("problem")]
    if json_:
        out.write_json(answer)
    elif not found:
        out.say("Nothing is mirrored. Begin with: lamella layer mirror ARN")
    else:
        for one in found:
            print(one["arn"])
            size = out.size(one["size_bytes"]) if one["present"] else "no bytes"
            facts = [size, f"from {one['source']}", f"mirrored {one['mirrored_at'][:10]}"]
            print(out.printable(f"  {', '.join([*facts, *filter(None, [_remark(one, verified=verify)])])}"))
            print(f"  SHA-256 {one['code_sha256']}")
    if verify:
        out.say(f"{len(found) - len(wrong)} of {len(found)} copies are as they were mirrored")
    if wrong:
        raise CommandError(
            f"{len(wrong)} copies are damaged; mirror them again: --remove, then 'lamella layer mirror ARN'",
            Status.NEGATIVE,
        )


def _remark(one: dict[str, Any], *, verified: bool) -> str:
    if verified:
        return str(one["problem"]) or "good"
    if one["removed_at"]:
        return "removed; the hash is remembered"
    if not one["present"]:
        return "deleted"
    return "private" if one["private"] else ""


def _remove(server: Client, arns: list[str], *, forget: bool) -> None:
    for arn in arns:
        server.page("DELETE", f"mirror/{quote(arn, safe='')}", query={"forget": "1"} if forget else {}, scoped=False)
        out.say(f"removed {arn}" + ("" if forget else "; what it is pinned to is remembered"))


def _export(server: Client, arns: list[str], directory: Path) -> None:
    from lamella.layers.mirroring import file_name, write_manifest

    copies = server.page("GET", "mirror", scoped=False)["mirrored"]
    found = {one["arn"]: one for one in copies if one["present"]}
    if missing := [arn for arn in arns if arn not in found]:
        raise CommandError(f"{missing[0]} is not mirrored here")
    directory.mkdir(parents=True, exist_ok=True)
    entries = []
    for arn in arns or found:
        one = found[arn]
        archive = download(one["location"], one["size_bytes"], arn)
        (directory / file_name(arn)).write_bytes(archive)
        facts = {
            "created": one["created_at"],
            "description": one["description"],
            "runtimes": ",".join(one["runtimes"]),
            "architectures": ",".join(one["architectures"]),
            "license": one["license_info"],
            "source": one["source"],
        }
        entries.append({"arn": arn, "file": file_name(arn), "code_sha256": one["code_sha256"], "facts": facts})
        out.say(f"{directory / file_name(arn)}: {out.size(len(archive))}")
    write_manifest(directory, entries)
    count = "1 layer version" if len(entries) == 1 else f"{len(entries)} layer versions"
    out.say(f"{count}; mirror them elsewhere: lamella layer mirror --import {directory}")


@contextmanager
def _errors() -> Iterator[None]:
    from lamella.layers.mirroring import MirroringError

    try:
        yield
    except MirroringError as error:
        raise CommandError(str(error), Status.USAGE) from error


def register(layer: typer.Typer) -> None:
    """Add the command."""
    arn = "arn:aws:lambda:us-east-1:017000801446:layer:AWSLambdaPowertoolsPythonV3-python311-x86_64:7"
    layer.command(
        "mirror",
        epilog=examples(
            f"lamella layer mirror {arn}",
            "lamella layer mirror --template template.yaml --region eu-west-1 --profile work",
            f"lamella layer mirror {arn} --from powertools.zip --runtime python3.11",
            "lamella layer mirror --list",
            "lamella layer mirror --verify",
            "lamella layer mirror --export copies && lamella layer mirror --import copies --endpoint-url http://edge:4566",
        ),
    )(mirror)
