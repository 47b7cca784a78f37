"""What is mirrored: the ARNs that a template names, and the directories in which copies travel."""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

MANIFEST: Final = "manifest.json"
_FORMAT: Final = "lamella-layer-mirror"
_MOST_BYTES: Final = 16 * 1024**2  # of a template, or a manifest
_MOST_LAYERS: Final = 10_000
_FILE: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,250}")
_ARN: Final = re.compile(
    r"arn:(?:aws|\$\{[^}\s]{1,80}\}):lambda:"
    r"(?P<region>[a-z]{2,4}(?:-[a-z]{1,12}){1,3}-[0-9]|\$\{[^}\s]{1,80}\}):"
    r"(?P<account>[0-9]{12}):layer:(?P<name>[a-zA-Z0-9_-]{1,140}):(?P<version>[0-9]{1,10})(?![\w:])"
)
_EXACT: Final = re.compile(
    r"arn:aws:lambda:(?P<region>[a-z0-9-]{1,40}):[0-9]{12}:layer:[a-zA-Z0-9_-]{1,140}:[0-9]{1,10}"
)


class MirroringError(Exception):
    """That cannot be mirrored; the text says what, and what to do."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a template names.

    Attributes:
        arns: Of layer versions, in the order of their first mention.
        open: ARNs whose region is a variable, and none was given for it.
    """

    arns: tuple[str, ...]
    open: tuple[str, ...]


def find_arns(text: str, region: str | None) -> Found:
    """The layer versions that a SAM, CloudFormation or Terraform text names, whatever its syntax.

    Args:
        text: The template.
        region: What variables such as `${AWS::Region}` stand for; `None` if nobody said.
    """
    arns: dict[str, None] = {}
    left: dict[str, None] = {}
    for match in _ARN.finditer(text):
        named = match["region"]
        if named.startswith("$") and region is None:
            left[match[0]] = None
            continue
        where = region if named.startswith("$") else named
        arns[f"arn:aws:lambda:{where}:{match['account']}:layer:{match['name']}:{match['version']}"] = None
    return Found(tuple(arns), tuple(left))


def region_of(arn: str) -> str:
    """The region of a layer version's ARN.

    Raises:
        MirroringError: It is not the ARN of a layer version that can be mirrored.
    """
    match = _EXACT.fullmatch(arn)
    if match is None:
        raise MirroringError(
            f"{arn[:300]!r} is not the ARN of a layer version: arn:aws:lambda:REGION:ACCOUNT:layer:NAME:VERSION"
        )
    return match["region"]


def read_template(path: Path) -> str:
    """The text of a template.

    Raises:
        MirroringError: It cannot be read, or is no text.
    """
    return _read_text(path, "template")


def base64_of(sha256: str) -> str:
    """A SHA-256 in base64, as AWS shows it, of one in hex or in base64.

    Raises:
        MirroringError: It is neither.
    """
    try:
        raw = bytes.fromhex(sha256) if len(sha256) == 64 else base64.b64decode(sha256, validate=True)
    except (ValueError, binascii.Error):
        raw = b""
    if len(raw) != 32:
        raise MirroringError("a SHA-256 has 64 hexadecimal digits, or 44 characters of base64")
    return base64.b64encode(raw).decode()


def sha256_of(archive: bytes) -> str:
    """In base64, as AWS shows it."""
    return base64.b64encode(hashlib.sha256(archive).digest()).decode()


@dataclass(frozen=True, slots=True)
class Parcel:
    """A layer version with its zip, on its way.

    Attributes:
        facts: `description`, `created`, `runtimes`, `architectures`, `license`, `source`: all texts, as the server
            takes them.
        code_sha256: In base64.
    """

    arn: str
    archive: bytes
    code_sha256: str
    facts: Mapping[str, str]


def file_name(arn: str) -> str:
    """Of an ARN's zip in a directory."""
    _, _, _, region, account, _, name, version = arn.split(":")
    return f"{region}-{account}-{name[:140]}-{version}.zip"


def write_manifest(directory: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    """Say what is in a directory; written last, so that a directory that has one is complete."""
    document = {"format": _FORMAT, "version": 1, "layers": list(entries)}
    (directory / MANIFEST).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def read_parcels(directory: Path) -> Iterable[Parcel]:
    """What a directory holds, each checked against its hash. The directory may come from anywhere.

    Raises:
        MirroringError: It is none that `write_manifest` made, or has been damaged.
    """
    text = _read_text(directory / MANIFEST, "manifest")
    try:
        document = json.loads(text)
        entries = document["layers"] if document["format"] == _FORMAT and document["version"] == 1 else None
    except (ValueError, TypeError, KeyError, RecursionError):
        entries = None
    if not isinstance(entries, list) or len(entries) > _MOST_LAYERS:
        raise MirroringError(f"{directory / MANIFEST} is not a manifest of 'layer mirror --export'")
    for entry in entries:
        yield _parcel(directory, entry)


def _parcel(directory: Path, entry: object) -> Parcel:
    if not isinstance(entry, dict) or not isinstance(entry.get("facts"), dict):
        raise MirroringError(f"an entry of {directory / MANIFEST} is not a layer version")
    texts = {**entry["facts"], **{name: entry.get(name) for name in ("arn", "file", "code_sha256")}}
    if not all(isinstance(value, str) for value in texts.values()):
        raise MirroringError(f"an entry of {directory / MANIFEST} has something else than texts")
    region_of(entry["arn"])
    if not _FILE.fullmatch(entry["file"]):
        raise MirroringError(f"{entry['file'][:100]!r} in the manifest is not the plain name of a file")
    path = directory / entry["file"]
    if path.is_symlink() or not path.is_file():
        raise MirroringError(f"{path}, which the manifest names, is not there")
    archive = path.read_bytes()
    if sha256_of(archive) != entry["code_sha256"]:
        raise MirroringError(f"{path} has been damaged: its SHA-256 is not the one in the manifest")
    return Parcel(entry["arn"], archive, entry["code_sha256"], entry["facts"])


def _read_text(path: Path, what: str) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise MirroringError(f"cannot read the {what} {path}: {error.strerror}") from error
    if len(data) > _MOST_BYTES:
        raise MirroringError(f"{path} is larger than any {what}")
    return data.decode(errors="replace")
