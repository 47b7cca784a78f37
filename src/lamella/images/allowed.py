"""Which registries the server may ask, and at which address each is found: the setting `image_registries`."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from lamella.images.reference import DENIED, Reference
from lamella.ports.images import ImageError

ECR: Final = "ecr"
"""Stands for all private registries of ECR, which have an account and a region in their names."""

ANY: Final = "any"
"""Stands for all registries."""

_ECR: Final = re.compile(r"\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?", re.ASCII)
_NAME: Final = re.compile(
    r"(?=.*[.:]|localhost)[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[0-9]{1,5})?|\[[0-9a-f:]+\](?::\d{1,5})?"
)
_PREFIX: Final = re.compile(r"(/[a-z0-9]+([._-]+[a-z0-9]+)*)*/?")
_HUB: Final = "docker.io"
_HUB_HOST: Final = "registry-1.docker.io"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a repository is found.

    Attributes:
        host: With the port if it is not the scheme's own; what credentials are looked up by.
        tls: Whether HTTPS is spoken.
        repository: There.
        hub: Whether it is Docker Hub, whose names are its own.
    """

    host: str
    tls: bool
    repository: str
    hub: bool = False

    @property
    def url(self) -> str:
        """Of the registry."""
        return f"http{'s' if self.tls else ''}://{self.host}"


@dataclass(frozen=True, slots=True)
class Registry:
    """One entry of the setting.

    Attributes:
        name: As references name it, or `ECR` or `ANY`.
        url: Where it is found if not by its name; empty otherwise. A path stands before each repository.
    """

    name: str
    url: str = ""

    @classmethod
    def parse(cls, text: str) -> "Registry":
        """Read `NAME` or `NAME=URL`.

        Raises:
            ValueError: It is neither.
        """
        name, _, url = text.partition("=")
        if name not in (ECR, ANY) and _NAME.fullmatch(name) is None:
            raise ValueError
        if "=" in text:
            parts = urlsplit(url)
            plain = not (parts.query or parts.fragment or parts.username is not None)
            if parts.scheme not in ("http", "https") or not parts.hostname or not plain or name == ANY:
                raise ValueError
            if _PREFIX.fullmatch(parts.path) is None or (parts.port is not None and not parts.port):
                raise ValueError
        return cls(name, url)

    def has(self, name: str) -> bool:
        """Whether a reference's registry is meant."""
        return self.name in (name, ANY) or (self.name == ECR and _ECR.fullmatch(name) is not None)

    def place(self, reference: Reference) -> Place:
        """Where a reference's repository is found."""
        name, repository = reference.registry, reference.repository
        if self.url:
            parts = urlsplit(self.url)
            prefix = parts.path.strip("/")
            return Place(parts.netloc, parts.scheme == "https", f"{prefix}/{repository}" if prefix else repository)
        if name == _HUB:
            return Place(_HUB_HOST, tls=True, repository=_hub_repository(repository), hub=True)
        return Place(name, not _is_loopback(name), repository)


def find_place(registries: Sequence[Registry], reference: Reference) -> Place:
    """Where a reference's repository is found, by the most exact entry.

    Raises:
        ImageError: No entry lets it be asked.
    """
    ranked = sorted(registries, key=lambda one: (one.name == ANY, one.name == ECR))
    for one in ranked:
        if one.has(reference.registry):
            return one.place(reference)
    asked = ", ".join(one.name for one in registries) or "none"
    raise ImageError(
        f"The registry {reference.registry} may not be asked by this server (its setting image_registries allows: "
        f"{asked}). Its operator can add it there, or say with {reference.registry}=URL which registry stands for it.",
        DENIED,
    )


def _hub_repository(repository: str) -> str:
    return repository if "/" in repository else f"library/{repository}"


def _is_loopback(name: str) -> bool:
    """Whether it is on this machine, where registries speak plain HTTP: Docker takes them so as well."""
    host = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
