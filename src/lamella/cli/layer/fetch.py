"""Getting a layer version's zip and facts through the public API, from AWS or from another Lamella."""

import sys
import urllib.request
from http.client import HTTPException
from typing import Any, Final
from urllib.parse import urlsplit

from lamella.cli.failure import CommandError
from lamella.cli.output import say

_PIECE_BYTES: Final = 1024**2
_MOST_BYTES: Final = 262_144_000
_TIMEOUT_S: Final = 60.0


def fetch(client: Any, arn: str) -> tuple[bytes, dict[str, str], str]:  # Any: a client of botocore
    """The zip of a layer version, what the server that mirrors it takes of its facts, and its SHA-256 in base64.

    Raises:
        CommandError: It cannot be downloaded, or is not what was announced.
        botocore's errors: It does not exist, or is not shared with the caller.
    """
    answer = client.get_layer_version_by_arn(Arn=arn)
    content = answer["Content"]
    facts = {
        "created": answer["CreatedDate"],
        "description": answer.get("Description", ""),
        "runtimes": ",".join(answer.get("CompatibleRuntimes", ())),
        "architectures": ",".join(answer.get("CompatibleArchitectures", ())),
        "license": answer.get("LicenseInfo", ""),
    }
    return download(content["Location"], int(content["CodeSize"]), arn), facts, content["CodeSha256"]


def download(url: str, size_bytes: int, what: str) -> bytes:
    """A zip of a known size, with progress on a terminal.

    Raises:
        CommandError: It cannot be had, or is of another size.
    """
    if urlsplit(url).scheme not in ("http", "https") or not 0 < size_bytes <= _MOST_BYTES:
        raise CommandError(f"{what} cannot be downloaded: its address or its size is not one of a layer version")
    pieces, count, tty = [], 0, sys.stderr.isatty()
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:  # noqa: S310  # its scheme was looked at
            while piece := answer.read(min(_PIECE_BYTES, size_bytes + 1 - count)):
                pieces.append(piece)
                count += len(piece)
                if tty:
                    print(f"\r{count / 1e6:.1f} of {size_bytes / 1e6:.1f} MB", end="", file=sys.stderr, flush=True)
    except (OSError, HTTPException) as error:
        raise CommandError(f"the zip of {what} cannot be downloaded: {error}") from error
    finally:
        if tty and count:
            say("")
    if count != size_bytes:
        raise CommandError(f"the zip of {what} has another size than was announced; try again")
    return b"".join(pieces)
