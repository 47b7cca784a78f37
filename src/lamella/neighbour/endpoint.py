"""Where the requests of a service go."""

import re
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlsplit

_SERVICE: Final = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server of AWS's API: by name or address, or as the path of a Unix socket.

    Attributes:
        authority: `host` or `host:port`, as in the `Host` header of requests that we make ourselves.
        tls: Whether it speaks TLS; its certificate is checked against the system's authorities.
        unix: Path of the socket; then host and port say nothing.
    """

    host: str
    port: int
    authority: str
    tls: bool = False
    unix: str = ""

    @property
    def url(self) -> str:
        """What clients are told."""
        return f"http{'s' if self.tls else ''}://{self.authority}"

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read `http://host:port` or `https://host`.

        Raises:
            ValueError: It is something else: another scheme, a user, a path, a query.
        """
        parts = urlsplit(url)
        plain = not (parts.query or parts.fragment or parts.username is not None) and parts.path in ("", "/")
        if parts.scheme not in ("http", "https") or not parts.hostname or not plain:
            raise ValueError
        tls = parts.scheme == "https"
        return cls(parts.hostname, parts.port or (443 if tls else 80), parts.netloc, tls)


def parse_override(text: str) -> tuple[str, Endpoint]:
    """Read `service=http://host:port`; the service is named as signatures name it, such as `s3` or `sqs`.

    Raises:
        ValueError: It is something else.
    """
    service, _, url = text.partition("=")
    if _SERVICE.fullmatch(service) is None or service == "lambda":
        raise ValueError
    return service, Endpoint.parse(url)
