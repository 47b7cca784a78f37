"""Layers for the doctor, made in memory."""

import io
import stat
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lamella.layers.contents import open_contents
from lamella.layers.doctor import Advisories, check_layers
from lamella.layers.findings import Finding, Severity


@dataclass(frozen=True)
class File:
    """A file with its mode, or a link if the mode says so."""

    content: bytes
    mode: int = 0o755


def zipped(files: Mapping[str, bytes | str | File]) -> bytes:
    """A zip archive; names that end with `/` are directories."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, given in files.items():
            file = (
                given if isinstance(given, File) else File(given.encode() if isinstance(given, str) else given, 0o644)
            )
            info = zipfile.ZipInfo(name)
            kind = 0 if stat.S_IFMT(file.mode) else stat.S_IFREG
            info.external_attr = (kind | file.mode) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, file.content)
    return buffer.getvalue()


def check(
    *layers: Mapping[str, bytes | str | File] | bytes,
    runtimes: Sequence[str] = (),
    architectures: Sequence[str] = (),
    advisories: Advisories | None = None,
    code_bytes: int = 0,
) -> list[Finding]:
    """What the doctor says of layers with these files."""
    opened = [
        open_contents(io.BytesIO(layer if isinstance(layer, bytes) else zipped(layer)), label=f"layer-{number}")
        for number, layer in enumerate(layers, 1)
    ]
    contents = [manager.__enter__() for manager in opened]
    try:
        return check_layers(
            contents,
            runtimes=runtimes,
            architectures=architectures,
            advisories=advisories,
            code_bytes=code_bytes,
        )
    finally:
        for manager in opened:
            manager.__exit__(None, None, None)


def codes(findings: Sequence[Finding]) -> list[str]:
    """Codes alone."""
    return [finding.code for finding in findings]


def errors(findings: Sequence[Finding]) -> list[Finding]:
    """Those of the worst severity."""
    return [finding for finding in findings if finding.severity is Severity.ERROR]
