"""What callers write to name an image, and its parts.

Source of the grammar: OCI distribution specification 1.1, "Pulling manifests", and the transports of
containers-transports(5), of which three are here.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from lamella.ports.images import ImageError

INVALID: Final = "InvalidImage"
DENIED: Final = "ImageAccessDenied"
DELETED: Final = "ImageDeleted"
INTERNAL: Final = "InternalError"

LOCAL: Final = ("oci", "oci-archive", "docker-archive")
"""Transports of images that are files of the server's machine."""

DIGEST: Final = re.compile(r"sha256:([0-9a-f]{64})")
_TAG: Final = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REGISTRY: Final = re.compile(
    r"(?P<registry>(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*"
    r"|\[[0-9a-fA-F:]{2,39}\])(?::[0-9]{1,5})?)"
    rf"/(?P<repository>{_COMPONENT}(?:/{_COMPONENT})*)(?::(?P<tag>{_TAG}))?(?:@sha256:(?P<digest>[0-9a-f]{{64}}))?",
    re.ASCII,
)
_FILE: Final = re.compile(
    rf"(?P<path>/[^\0]*?)(?::(?P<tag>{_TAG}))?(?:@sha256:(?P<digest>[0-9a-f]{{64}}))?", re.ASCII | re.DOTALL
)
_LONGEST: Final = 1024


@dataclass(frozen=True, slots=True)
class Reference:
    """An image's name in its parts.

    Attributes:
        transport: `registry`, or one of `LOCAL`.
        registry: Host, with a port if one is given; empty for files.
        repository: In the registry; of a file, its absolute path.
        tag: Empty if none is given.
        digest: SHA-256 of the manifest or index, 64 hex digits; empty if none is given. It wins over the tag.
    """

    transport: str
    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Read a reference.

        Raises:
            ImageError: It is none.
        """
        transport, colon, rest = text.partition(":")
        if len(text) > _LONGEST:
            raise ImageError("An image reference has at most 1024 characters.", INVALID)
        if not text.isprintable():  # it is shown in errors, and in the log
            raise ImageError("An image reference has no control characters.", INVALID)
        if colon and transport in LOCAL:
            match = _FILE.fullmatch(rest)
            if match is None:
                raise ImageError(f"{text!r} names no image: write {transport}:/absolute/path[:tag].", INVALID)
            return cls(transport, "", match["path"], match["tag"] or "", match["digest"] or "")
        match = _REGISTRY.fullmatch(text)
        if match is None or not _is_host(match["registry"]):
            raise ImageError(
                f"{text!r} names no image: write registry/repository:tag, such as public.ecr.aws/lambda/python:3.12, "
                "registry/repository@sha256:digest, or oci:/absolute/path:tag.",
                INVALID,
            )
        registry, repository = match["registry"].lower(), match["repository"]
        return cls("registry", registry, repository, match["tag"] or "", match["digest"] or "")

    @property
    def path(self) -> Path:
        """Of an image in a file or directory."""
        return Path(self.repository)

    def at(self, digest: str) -> "Reference":
        """The same place, by digest."""
        return replace(self, tag="", digest=digest)

    @property
    def place(self) -> str:
        """Registry and repository, or transport and path: without tag and digest."""
        return f"{self.registry}/{self.repository}" if self.transport == "registry" else self._file()

    def __str__(self) -> str:
        """As it would be written."""
        return self.place + (f":{self.tag}" if self.tag else "") + (f"@sha256:{self.digest}" if self.digest else "")

    def _file(self) -> str:
        return f"{self.transport}:{self.repository}"


def _is_host(text: str) -> bool:
    """Whether the first part is a registry and no path of one: as everywhere, by a dot, a port or `localhost`."""
    return "." in text or ":" in text or text.lower() == "localhost"
