"""The dynamic half of `lamella layer check`: a server tries in real sandboxes what the layers bring."""

import io
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lamella.cli import output as out
from lamella.cli.aws import AWS
from lamella.cli.client import Client
from lamella.cli.endpoint import Endpoint
from lamella.cli.failure import CommandError, Status

if TYPE_CHECKING:
    from lamella.cli.layer.sources import OpenedLayer
    from lamella.layers.contents import LayerContents
    from lamella.layers.findings import Finding

_HOW: Final = "start one with 'lamella serve', and install the runtimes with 'lamella runtime add'"


def prove_layers(
    names: Sequence[str],
    opened: "Sequence[OpenedLayer]",
    runtimes: Sequence[str],
    architectures: Sequence[str],
    *,
    endpoint: str | None,
    region: str | None,
    required: bool,
) -> "tuple[list[Finding], dict[str, Any]]":
    """Findings of a proof, and `proved` and `not_proved` as the server answers them.

    Args:
        names: As the user gave them.
        opened: The same layers.
        runtimes: To try them in.
        architectures: Declared ones.
        endpoint: A URL, `aws`, or `None`.
        region: Or `None`.
        required: Whether it is an error if nothing can be proved.

    Raises:
        CommandError: It is required and cannot be done.
    """
    from lamella.layers.findings import Finding

    if not runtimes or endpoint == AWS:
        reason = "AWS proves no layers" if endpoint == AWS else "no runtime is known: name one with --runtime"
        if required:
            raise CommandError(f"nothing can be proved: {reason}", Status.USAGE)
        out.say(f"Nothing was tried in a sandbox: {reason}.")
        return [], {}
    findings: list[Finding] = []
    proof: dict[str, Any] = {"proved": [], "not_proved": []}
    client = Client(Endpoint.find(endpoint, region, os.environ))
    versions = [layer.version for layer in opened]
    arns = [version.arn for version in versions if version is not None]
    # Layer versions alone are tried together, as a function has them; an archive is tried by itself.
    requests: list[tuple[str, bytes | None, list[str]]] = [("", None, arns)] if arns else []
    try:
        for name, layer in zip(names, opened, strict=True):
            if layer.version is None:
                requests.append((name if len(names) > 1 else "", _archive(name, layer.contents), []))
        for label, archive, named in requests:
            answer = client.prove_layer(archive, arns=named, runtimes=runtimes, architectures=architectures)
            for document in answer["findings"]:
                # The server knows an archive that is sent in by a name of its own.
                named_as = {"layer": label} if archive is not None else {}
                findings.append(Finding.of_dict({**document, **named_as}))
            of = {"of": label or ", ".join(named)} if len(requests) > 1 else {}
            for part in ("proved", "not_proved"):
                proof[part] += [{**one, **of} for one in answer.get(part, [])]
    except CommandError as error:
        if required:
            raise
        reason = str(error).partition(";")[0]
        how = f"; {_HOW}" if reason.startswith("cannot reach") else ""
        out.say(f"Nothing was tried in a sandbox: {out.printable(reason)}{how}.")
        return findings, {}
    for part in proof["proved"]:
        counts = f"{part['imports']} imports, {part['failed']} failed, {part['seconds']:.1f} s"
        out.say(f"Tried {_of(part)}in {part['runtime']}: {counts}.")
    for part in proof["not_proved"]:
        out.say(f"Not tried {_of(part)}in {part['runtime']}: {out.printable(str(part['reason']))}")
    if required and not proof["proved"]:
        raise CommandError("nothing was proved, see above", Status.NEGATIVE)
    return findings, proof


def _of(part: dict[str, Any]) -> str:
    """What was tried, if there was more than one thing."""
    return f"{out.printable(part['of'])} " if "of" in part else ""


def _archive(name: str, contents: "LayerContents") -> bytes:
    path = Path(name)
    if path.is_file():
        return path.read_bytes()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for entry in contents.entries.values():
            info = zipfile.ZipInfo(entry.name)
            if entry.target:
                info.external_attr = 0o120777 << 16
                archive.writestr(info, entry.target)
            elif entry.kind.value == "file":
                info.external_attr = (0o100000 | entry.mode) << 16
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, contents.read(entry.name))
    return buffer.getvalue()
